"""The review's benchmarks run on little data and report what they measure."""

from __future__ import annotations

import sys

import pytest

from lookalike.scripts.benchmarks import review, review_promise


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for its memory")
def test_times_and_memory_of_a_review_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert review.main(["--findings", "60", "--verdicts", "8", "--keys", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if "next finding received" in line)
    assert row.split()[-7] == "8" and float(row.split()[-6]) > 0
    assert lines[-2].startswith("opened 60 findings in ") and lines[-1].startswith("memory after 1: ")


def test_kept_promises_are_counted_against_the_truth(capsys: pytest.CaptureFixture[str]) -> None:
    assert review_promise.main(["--findings", "2000", "--reviews", "8", "--size", "300"]) == 0
    (row,) = [line.split() for line in capsys.readouterr().out.splitlines() if line.split()[:1] == ["draw"]]
    assert row[1] == "8" and 0 <= int(row[2]) <= 8
    right = review_promise.World.drawn(2000, review_promise.np.random.default_rng(0)).right
    assert 0.5 < right.mean() < 0.62, "the world is as its kinds say"
