"""The benchmarks of promises, tuning and replay run, and tell kept promises from broken ones."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from lookalike.model.loading import load_encoder
from lookalike.records import KINDS
from lookalike.scripts.benchmarks import policy as benchmark_policy
from lookalike.scripts.benchmarks.promise import Tally, Vectored, World, by_kind, show_coverage, show_normalisation
from lookalike.scripts.benchmarks.sets import BenchmarkSet


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
    none = np.zeros(0), np.zeros(0, bool)
    hardly = np.linspace(0.5, 1, 60), np.arange(60) > 0  # most draws have no wrong one, others little else
    show_coverage({"ours": pairs, "none": none, "hardly": hardly}, 40, np.random.default_rng(0))
    text = capsys.readouterr().out
    assert text.count("ours, drawn again") == 8 and text.count("ours, other half") == 4 and "none," not in text
    shares = {
        name: [float(v) for v in re.findall(rf"simulated +500 +{name} +([\d.]+)%", text)]
        for name in ("promise", "naive")
    }
    assert shares["promise"][0] <= 10 < 25 < shares["naive"][0]


def test_answers_are_told_apart_by_kind() -> None:
    pictures, rng = BenchmarkSet("small"), np.random.default_rng(3)
    prints = [Image.fromarray(rng.integers(0, 256, (30, 25, 3), np.uint8)).resize((200, 240)) for _ in range(3)]
    for at, image in enumerate(prints[:2]):
        pictures.refer(image, f"p{at}")
        pictures.ask(image.crop((10, 10, 180, 220)), f"p{at}", "edited")
    pictures.ask(prints[2], "", "unrelated")
    found = by_kind(pictures, load_encoder("embedded"))
    assert list(found) == [f"validation, {kind}" for kind in KINDS]
    copied, alike = found["validation, copied_photo"], found["validation, lookalike"]
    assert copied[1].tolist() == [True, True] and alike[1].tolist() == [False]
    assert copied[0].min() > alike[0].max()


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
