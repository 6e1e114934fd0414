"""The speed benchmark runs every encoder on the same pictures and says how much faster each is."""

from __future__ import annotations

import io

import pytest
import torch
from PIL import Image

from lookalike.scripts.benchmarks.speed import draw_jpeg, main


def test_prints_a_row_for_every_encoder(capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    assert main(["--model", "lookalike-embedded", "--pictures", "3", "--side", "64", "--rounds", "1"]) == 0
    assert torch.get_num_threads() == threads
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0].strip() for line in lines[1:]] == ["embedded", "lookalike-embedded", "reading alone"]
    assert min(float(line.split()[-1]) for line in lines[1:]) == 1.0


def test_draws_photos_of_the_size_asked_for() -> None:
    assert Image.open(io.BytesIO(draw_jpeg(96, 1))).size == (96, 96)
    assert draw_jpeg(96, 1) != draw_jpeg(96, 2)
