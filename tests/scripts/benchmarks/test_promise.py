"""The benchmarks of promises, tuning and replay run, and tell kept promises from broken ones."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lookalike.scripts.benchmarks import policy as benchmark_policy
from lookalike.scripts.benchmarks.promise import Tally, Vectored, World, show_coverage, show_normalisation


def test_counts_a_promise_as_broken_only_where_the_truth_falls_short() -> None:
    world = World(precision=lambda t: 0.8 + t / 5, recall=lambda t: 1 - t, false_flags=lambda t: 0.02 - t / 50)
    tally = Tally()
    for threshold in (0.4, 0.6, None):
        tally.precision(threshold, world)
    assert (tally.draws, tally.broken, tally.none) == (3, 1, 1)
    assert tally.found / 3 == pytest.approx((0.6 + 0.4 + 0) / 3)
    caps = Tally()
    for threshold in (0.4, 0.6):
        caps.cap(threshold, world)
    assert caps.broken == 1


def test_shows_promises_kept_beside_naive_ones_broken(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    right = rng.random(800) < 0.4
    pairs = np.where(right, rng.normal(0.8, 0.1, 800), rng.normal(0.55, 0.1, 800)), right
    show_coverage(pairs, 40, np.random.default_rng(0))
    text = capsys.readouterr().out
    shares = {
        name: [float(v) for v in re.findall(rf"simulated +500 +{name} +([\d.]+)%", text)]
        for name in ("promise", "naive")
    }
    assert shares["promise"][0] <= 10 < 25 < shares["naive"][0]


def test_normalisation_is_chosen_on_one_set_and_shown_on_all(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(500, 16)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    products = np.array([f"p{k // 2}" for k in range(100)])
    shown = np.concatenate([products, np.full(100, "")])
    sets = [Vectored(name, rows[:100], np.concatenate([rows[:100], rows[100:200]]), products, shown) for name in "ab"]
    show_normalisation(sets[0], sets[1:], rows[200:])
    text = capsys.readouterr().out
    assert text.count("none") == 2 and text.count("subtract, nearest") == 2 and text.count("s-norm, nearest") == 2


def test_replay_agrees_with_a_new_scan(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark_policy.main(["--listings", "300", "--brands", "5", "--pool", "20", "--sample", "100"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "tune: 300 labelled pairs of 5 brands" in text
    assert "0 of 100 differ" in text
