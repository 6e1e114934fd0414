"""`lookalike bench` measures everything on the same pictures, and says what stands beside what."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from lookalike.scripts.bench import main
from lookalike.scripts.benchmarks.speed import draw_jpeg


def test_measures_draws_and_writes(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(5):
        (tmp_path / "photos" / f"{number}.jpg").write_bytes(draw_jpeg(160, number))
    out, plot = tmp_path / "speed.json", tmp_path / "speed.png"
    call = [
        str(tmp_path / "photos"),
        "--rounds",
        "1",
        "--device",
        "cpu",
        "--vectors",
        "300",
        "--json",
        str(out),
        "--plot",
        str(plot),
    ]
    # in a process of its own: the engines that it loads bring threading libraries of theirs
    command = [sys.executable, "-m", "lookalike.scripts.bench", *call]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    figures = json.loads(out.read_text())
    assert {"lookalike", "DataLoader", "one at a time", "reading and preparing alone", "bare forward"} <= set(
        figures["rates"]
    )
    assert all(name in text for name in figures["rates"])
    assert figures["pictures"] == 5 and (figures["device"], figures["precision"]) == ("cpu", "float32")
    assert figures["waits_for"] == min(
        ("reading and preparing alone", "bare forward"), key=lambda name: figures["rates"][name]["median"]
    )
    assert 0.2 < figures["gflop_per_picture"] < 0.5, "0.17 G multiplications and additions"
    assert figures["search"]["lookalike"]["nearest"] == figures["search"]["numpy"]["nearest"] == 1.0
    with Image.open(plot) as drawn:
        assert drawn.width > 1000


def test_refuses_a_folder_without_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "holds no picture; needed a folder with" in capsys.readouterr().err
