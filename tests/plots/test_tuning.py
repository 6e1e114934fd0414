"""What labels allow to be promised is drawn where it was worked out."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from drawn import CORRECT, RELATED, SIMILARITY, annotations, xy

from lookalike.binomial import Share, trials_needed
from lookalike.plots.tuning import plot_flags_needed, plot_promises, plot_scopes
from lookalike.policy.policy import Policy
from lookalike.policy.terms import Promise
from lookalike.thresholds.guarantees import Kept, Shortfall, precision_threshold
from lookalike.thresholds.pairs import LabelledPairs
from lookalike.thresholds.tuning import tune


def test_promises_stand_below_the_measured_precision_on_the_exact_bound() -> None:
    figure = plot_promises(SIMILARITY, CORRECT, positives=int(RELATED.sum()), precisions=(0.6, 0.999), confidence=0.95)
    (axes,) = figure.axes
    measured, bound = xy(axes.lines[0]), xy(axes.lines[1])
    thresholds = np.unique(SIMILARITY)[::-1]
    for at in (0, 7, 200, len(thresholds) - 1):
        flagged = thresholds[at] <= SIMILARITY
        hits, flags = int((flagged & CORRECT).sum()), int(flagged.sum())
        recall = 100 * hits / RELATED.sum()
        assert measured[at] == pytest.approx((recall, 100 * hits / flags))
        # the bound is the precision at which this many hits or more still have a chance of 5 %
        low = bound[at, 1] / 100
        if hits:
            chance = sum(comb(flags, k) * low**k * (1 - low) ** (flags - k) for k in range(hits, flags + 1))
            assert chance == pytest.approx(0.05)
    kept = precision_threshold(SIMILARITY, CORRECT, precision=0.6, confidence=0.95)
    short = precision_threshold(SIMILARITY, CORRECT, precision=0.999, confidence=0.95)
    assert isinstance(kept, Kept)
    assert isinstance(short, Shortfall)
    dots = [xy(line)[0] for line in axes.lines if line.get_marker() == "o"]
    assert np.array(dots) == pytest.approx(np.array([(100 * (kept.count - kept.errors) / RELATED.sum(), 60)]))
    assert annotations(axes) == [f"60 %: from {kept.threshold:.3f} on", f"99.9 %: {short.needed:,} more needed"]


def test_flags_needed_are_drawn_beside_those_there_are_and_so_is_the_shortfall() -> None:
    right = np.array([True] * 20 + [False] + [True] * 4 + [False] * 2)
    (axes,) = plot_flags_needed((0.9, 0.8), confidence=0.95, similarity=np.linspace(1, 0, 27), correct=right).axes
    curves = [xy(line) for line in axes.lines]
    for curve, precision in zip(curves, (0.9, 0.8), strict=False):
        assert curve.tolist() == [[k, trials_needed(precision, 0.95, k)] for k in range(6)]
    assert curves[2].tolist() == [[0, 20], [1, 25], [2, 26], [3, 27]]
    short = precision_threshold(np.linspace(1, 0, 27), right, precision=0.9, confidence=0.95)
    assert isinstance(short, Shortfall)
    assert annotations(axes) == [f"{short.needed} more"]  # 80 % needs 14 without an error, which are there


def test_flags_needed_are_drawn_without_any_labels() -> None:
    (axes,) = plot_flags_needed((0.95,), confidence=0.95).axes
    assert xy(axes.lines[0])[0].tolist() == [0, 59]
    assert len(axes.lines) == 1


def test_scopes_say_whose_thresholds_a_brand_has_and_what_its_flags_came_to() -> None:
    counts = {"Acme": 60, "Brio": 12, "Cora": 3}
    brand = np.repeat(list(counts), list(counts.values()))
    similarity = np.concatenate([np.linspace(0.4, 1, n) for n in counts.values()])
    pairs = LabelledPairs.of((s, s > 0.5, b, None, None) for s, b in zip(similarity.tolist(), brand, strict=True))
    policy = tune(pairs, promise=Promise(0.95, 0.9), categories={"Brio": "toys", "Cora": "toys"})
    figure = plot_scopes(policy, pairs)
    left, middle, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == [
        "Acme (60), its own", "Brio (12), all", "Cora (3), all"
    ]  # fmt: skip
    scopes = {scope.brand: scope for scope in policy.scopes}
    flags = [xy(line)[0] for line in left.lines if line.get_marker() in "os^"]
    assert np.array(flags) == pytest.approx(np.array([(scopes[b].flag, row) for row, b in enumerate(counts)]))
    shares = []
    for name in counts:
        mine = (brand == name) & (similarity >= scopes[name].flag)
        shares.append(Share.of(int((mine & (similarity > 0.5)).sum()), int(mine.sum())))
    bars = [xy(line)[:, 0] for line in middle.lines if line.get_linewidth() == 4]
    assert np.array(bars) == pytest.approx(np.array([(100 * each.low, 100 * each.high) for each in shares]))
    assert xy(middle.lines[-1])[0, 0] == pytest.approx(90)
    needed = [scopes[name].evidence.more_needed for name in counts]  # type: ignore[union-attr]
    assert annotations(right) == [str(each) for each in needed]
    assert [patch.get_width() for patch in right.patches] == needed  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="no brands"):
        plot_scopes(Policy("mine", 0.8, 0.7), pairs)


def test_a_brand_that_flags_nothing_has_no_flag_and_no_share() -> None:
    pairs = LabelledPairs.of([(0.9, True, "Acme", None, None)])
    left, middle, right = plot_scopes(tune(pairs, promise=Promise(0.95, 0.9)), pairs).axes
    assert not [line for line in left.lines if line.get_marker() in "os^"]
    assert len(middle.lines) == 1  # what was promised
    assert annotations(right) == ["28"]
