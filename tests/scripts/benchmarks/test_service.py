"""The benchmark of a service runs on few checks, and every way gives the answers of one thread."""

from __future__ import annotations

import importlib.util

import pytest
from children import forks

from lookalike.scripts.benchmarks import service


@forks
@pytest.mark.skipif(service.os.name != "posix", reason="it reads Linux's /proc")
def test_every_way_gives_the_answers_of_one_thread(capsys: pytest.CaptureFixture[str]) -> None:
    assert service.main(["--checks", "4", "--threads", "2", "--busy", "1", "--busy-checks", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    there = importlib.util.find_spec("gunicorn") is not None
    rows = [line for line in lines if line.rstrip().endswith("  0") and "MiB" not in line]
    assert len(rows) == 5 + there
    assert any("after a fork" in line for line in rows)
