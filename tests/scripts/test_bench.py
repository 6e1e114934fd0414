"""`lookalike bench` measures all ways on the same pictures, and names what it compares."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from onnx_files import save_onnx
from PIL import Image

from lookalike.model.clip_loading import untrained_encoder
from lookalike.model.loading import load_encoder
from lookalike.scripts.bench import main
from lookalike.scripts.bench_pictures import draw_pictures
from lookalike.scripts.bench_pipeline import measure_pipelines
from lookalike.scripts.bench_report import show


def test_measures_draws_and_writes(tmp_path: Path) -> None:
    draw_pictures(tmp_path / "photos", 5, side=160)
    out, plot = tmp_path / "speed.json", tmp_path / "speed.png"
    call = [str(tmp_path / "photos"), "--rounds", "1", "--device", "cpu", "--vectors", "300"]
    call += ["--json", str(out), "--plot", str(plot)]
    # in a process of its own, since the engines it loads have threading libraries of their own
    command = [sys.executable, "-m", "lookalike.scripts.bench", *call]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures = json.loads(out.read_text())
    assert {"lookalike", "DataLoader", "one at a time", "reading and preparing alone", "bare forward"} <= set(
        figures["rates"]
    )
    assert all(name in done.stdout for name in figures["rates"])
    assert min(figures["peak_bytes"].values()) > 50e6, "Python with torch takes more than that"
    assert figures["pictures"] == 5 and (figures["device"], figures["precision"]) == ("cpu", "float32")
    assert figures["waits_for"] == min(
        ("reading and preparing alone", "bare forward"), key=lambda name: figures["rates"][name]["median"]
    )
    assert figures["limit"] is figures["gflop_per_picture"] is None, "an ONNX file doesn't say what it computes"
    assert figures["search"]["lookalike"]["nearest"] == figures["search"]["numpy"]["nearest"] == 1.0
    with Image.open(plot) as drawn:
        assert drawn.width > 1000


def test_says_what_the_machine_allows_for_a_tower_of_open_clip(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = draw_pictures(tmp_path / "photos", 3, side=64)
    encoder = untrained_encoder("lookalike-embedded")
    figures = measure_pipelines(files, encoder, rounds=1, scratch=tmp_path, quiet=True)
    assert 0.2 < figures["gflop_per_picture"] < 0.5, "0.17 G multiplications and additions"
    assert figures["limit"] == pytest.approx(figures["peak_gflops"] / figures["gflop_per_picture"])
    show({**figures, "search": {}})
    assert "limit of float32 products" in capsys.readouterr().out


def test_refuses_a_folder_without_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "holds no pictures; name a folder with JPEG, PNG or WebP files" in capsys.readouterr().err


def test_measures_an_onnx_file_beside_scripts_that_use_the_same_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = draw_pictures(tmp_path / "photos", 3, side=64)
    encoder = load_encoder(weights=save_onnx(tmp_path / "mine.onnx", described={"size": 32}))
    figures = measure_pipelines(files, encoder, rounds=1, scratch=tmp_path, quiet=True)
    assert {"lookalike", "DataLoader", "one at a time"} <= set(figures["rates"])
    assert figures["limit"] is figures["gflop_per_picture"] is None
    show({**figures, "search": {}})
    assert "mine@" in capsys.readouterr().out


def test_measures_no_memory_without_psutil_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    files = draw_pictures(tmp_path / "photos", 2, side=64)
    encoder = untrained_encoder("lookalike-embedded", device="cpu")
    figures = measure_pipelines(files, encoder, rounds=1, scratch=tmp_path, quiet=False)
    assert figures["peak_bytes"] == {}
    assert figures["rates"]["lookalike"]["median"] > 0
    assert "peak memory is not measured; install lookalike[benchmark]" in capsys.readouterr().err
