"""The speed benchmark runs every encoder on the same pictures and reports how much faster each is."""

from __future__ import annotations

import pytest
import torch

from lookalike.scripts.benchmarks.speed import main


def test_prints_a_row_for_every_encoder(capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    assert main(["--model", "lookalike-embedded", "--pictures", "3", "--side", "64", "--rounds", "1"]) == 0
    assert torch.get_num_threads() == threads
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0].strip() for line in lines[1:]] == ["embedded", "lookalike-embedded", "reading alone"]
    assert min(float(line.split()[-1]) for line in lines[1:]) == 1.0
