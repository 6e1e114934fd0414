"""Figures show what they are given: the drawn points are the measured ones, and axes say what they measure."""

from __future__ import annotations

import io
import sys
from math import comb
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lookalike.binomial import Share
from lookalike.errors import MissingExtraError
from lookalike.plots.errors import plot_counts, plot_pictures
from lookalike.plots.quality import plot_brands, plot_det, plot_precision_recall, plot_similarities
from lookalike.plots.tuning import plot_flags_needed, plot_promises, plot_scopes
from lookalike.policy.policy import Policy, Promise
from lookalike.thresholds.brands import brand_figures
from lookalike.thresholds.guarantees import Kept, Shortfall, flags_needed, precision_threshold
from lookalike.thresholds.metrics import det_curve
from lookalike.thresholds.tuning import LabelledPairs, tune

RNG = np.random.default_rng(0)
RELATED = RNG.random(800) < 0.4
SIMILARITY = np.where(RELATED, RNG.normal(0.75, 0.1, 800), RNG.normal(0.5, 0.1, 800))
CORRECT = RELATED & (RNG.random(800) < 0.9)
BRAND = RNG.choice([f"Brand {letter}" for letter in "ABCDEFGHIJKL"], 800)


def xy(line: object) -> NDArray[np.float64]:
    return np.asarray(line.get_xydata())  # type: ignore[attr-defined]


def test_the_histogram_shows_each_group_as_shares_of_itself_and_the_thresholds() -> None:
    figure = plot_similarities(SIMILARITY[RELATED], SIMILARITY[~RELATED], thresholds={"flag": 0.8, "review": 0.7})
    (axes,) = figure.axes
    filled = [patch.get_data() for patch in axes.patches if patch.get_fill()]  # type: ignore[attr-defined]
    assert [data.values.sum() for data in filled] == pytest.approx([100, 100])
    low, high = filled[0].edges[20:22]
    inside = (low <= SIMILARITY) & (high > SIMILARITY)
    assert filled[0].values[20] == pytest.approx(100 * inside[RELATED].mean())
    assert filled[1].values[20] == pytest.approx(100 * inside[~RELATED].mean())
    assert [xy(line)[0, 0] for line in axes.lines] == [0.8, 0.7]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("similarity (cosine)", "share of the group per bin (%)")


def test_a_histogram_of_probabilities_says_so_and_goes_from_0_to_1() -> None:
    (axes,) = plot_similarities([0.9, 0.97], [0.2], unit="probability", bins=20).axes
    assert axes.get_xlabel() == "probability of a look-alike (0 to 1)"
    filled = [patch.get_data() for patch in axes.patches if patch.get_fill()]  # type: ignore[attr-defined]
    assert [np.flatnonzero(data.values).tolist() for data in filled] == [[18, 19], [4]]
    assert (filled[0].edges[0], filled[0].edges[-1]) == (0, 1)


def test_a_histogram_of_one_group_or_of_one_value_is_drawn_and_of_none_refused() -> None:
    plot_similarities([0.5, 0.5], [])
    with pytest.raises(ValueError, match="needed at least one"):
        plot_similarities([], [])


def test_precision_over_recall_counts_the_photos_that_are_never_found() -> None:
    figure = plot_precision_recall([0.9, 0.8, 0.7, 0.6], [True, False, True, True], positives=5)
    (axes,) = figure.axes
    expected = [(60, 75), (40, 200 / 3), (20, 50), (20, 100)]
    assert xy(axes.lines[0]) == pytest.approx(np.array(expected))
    assert "%" in axes.get_xlabel()
    assert "%" in axes.get_ylabel()
    with pytest.raises(ValueError, match="no answer is right"):
        plot_precision_recall([0.9], [False], positives=1)


def test_the_det_curve_lies_at_normal_deviates_of_its_rates() -> None:
    curve = det_curve(SIMILARITY, CORRECT, related=RELATED)
    (axes,) = plot_det({"all": curve}, thresholds={"flag": 0.7}).axes
    points = xy(axes.lines[0])
    assert np.isfinite(points).all()
    inside = (curve.fpir > 0) & (curve.fpir < 1) & (curve.fnir > 0) & (curve.fnir < 1)
    deviate = NormalDist().inv_cdf
    assert points[:, 0] == pytest.approx([deviate(rate) for rate in curve.fpir[inside]])
    assert points[:, 1] == pytest.approx([deviate(rate) for rate in curve.fnir[inside]])
    ticks = {label.get_text(): place for label, place in zip(axes.get_xticklabels(), axes.get_xticks(), strict=True)}
    assert ticks["1"] == pytest.approx(deviate(0.01))
    flag = (SIMILARITY[~RELATED] >= 0.7).mean(), 1 - (CORRECT & (SIMILARITY >= 0.7)).sum() / RELATED.sum()
    assert xy(axes.lines[1])[0] == pytest.approx([deviate(rate) for rate in flag])


def test_the_false_negatives_between_two_points_are_those_of_the_stricter_threshold() -> None:
    # where fewer than that many may be hit only the next threshold up will do, and it misses more
    (axes,) = plot_det({"all": det_curve(SIMILARITY, CORRECT, related=RELATED)}).axes
    assert axes.lines[0].get_drawstyle() == "steps-pre"
    assert xy(axes.lines[0])[0, 0] > xy(axes.lines[0])[-1, 0]


def test_a_curve_without_a_rate_between_0_and_1_is_an_empty_plot() -> None:
    curve = det_curve([0.9, 0.1], [True, False], related=[True, False])
    (axes,) = plot_det({"all": curve}, thresholds={"flag": 0.5}).axes
    assert len(xy(axes.lines[0])) == 0


def test_every_brand_stands_at_its_recall_and_false_flags_least_recall_on_top() -> None:
    figures = brand_figures(SIMILARITY, CORRECT, related=RELATED, brand=BRAND, threshold=0.7)
    figure = plot_brands(figures, threshold=0.7)
    left, right = figure.axes
    ordered = sorted(figures, key=lambda each: each.recall.value)
    assert [label.get_text() for label in left.get_yticklabels()] == [
        f"{each.brand} ({each.recall.total})" for each in ordered
    ]
    assert left.get_ylim()[0] > left.get_ylim()[1]  # row 0 on top
    for axes, name in ((left, "recall"), (right, "false_flags")):
        dots = [xy(line)[0] for line in axes.lines if line.get_marker() == "o"]
        shares = [getattr(each, name) for each in ordered]
        assert np.array(dots) == pytest.approx(np.array([(100 * each.value, n) for n, each in enumerate(shares)]))
        bars = [xy(line)[:, 0] for line in axes.lines if line.get_marker() == "None" and line.get_linewidth() == 4]
        assert np.array(bars) == pytest.approx(np.array([(100 * each.low, 100 * each.high) for each in shares]))
        middle = next(line for line in axes.lines if line.get_linestyle() == "--")
        assert xy(middle)[0, 0] == pytest.approx(100 * np.median([each.value for each in shares]))


def test_the_weakest_of_many_brands_are_drawn_and_the_rest_told_of() -> None:
    figures = brand_figures(SIMILARITY, CORRECT, related=RELATED, brand=BRAND, threshold=0.7)
    figure = plot_brands(figures, threshold=0.7, most=5)
    assert len(figure.axes[0].get_yticklabels()) == 5
    assert "7 more left out" in figure.get_suptitle()
    with pytest.raises(ValueError, match="no brands"):
        plot_brands([], threshold=0.7)


def test_a_brand_without_photos_or_unrelated_ones_has_no_dot_there() -> None:
    figures = brand_figures([0.9, 0.2], [True, False], related=[True, False], brand=["Acme", "Brio"], threshold=0.5)
    left, right = plot_brands(figures, threshold=0.5).axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["Acme (1)", "Brio (0)"]
    rows = [[xy(line)[0, 1] for line in axes.lines if line.get_marker() == "o"] for axes in (left, right)]
    assert rows == [[0], [1]]


def test_figures_are_saved_as_pictures(tmp_path: Path) -> None:
    curve = det_curve(SIMILARITY, CORRECT, related=RELATED)
    plot_det({"all": curve, "again": curve}, thresholds={"flag": 0.7}).savefig(tmp_path / "det.png", dpi=100)
    with Image.open(tmp_path / "det.png") as picture:
        assert picture.size == (650, 600)


def test_a_missing_matplotlib_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"lookalike\[notebook\]"):
        plot_similarities([0.9], [0.1])


def annotations(axes: object) -> list[str]:
    return [text.get_text() for text in axes.texts if text.get_text()]  # type: ignore[attr-defined]


def test_a_figure_shows_itself_in_a_notebook_as_a_picture() -> None:
    shown = plot_similarities([0.9], [0.1])._repr_png_()  # type: ignore[attr-defined]
    with Image.open(io.BytesIO(shown)) as picture:
        assert (picture.format, picture.size) == ("PNG", (800, 450))


def test_fewer_bins_hold_the_same_shares() -> None:
    (axes,) = plot_similarities(SIMILARITY[RELATED], SIMILARITY[~RELATED], bins=10).axes
    filled = [patch.get_data().values for patch in axes.patches if patch.get_fill()]  # type: ignore[attr-defined]
    assert [(len(values), values.sum()) for values in filled] == [(10, pytest.approx(100))] * 2


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
        # the bound is the precision at which so many hits or more still have a chance of 5 %
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


def test_flags_needed_are_drawn_beside_those_there_are_and_the_shortfall_is_told() -> None:
    right = np.array([True] * 20 + [False] + [True] * 4 + [False] * 2)
    (axes,) = plot_flags_needed((0.9, 0.8), confidence=0.95, similarity=np.linspace(1, 0, 27), correct=right).axes
    curves = [xy(line) for line in axes.lines]
    for curve, precision in zip(curves, (0.9, 0.8), strict=False):
        assert curve.tolist() == [[k, flags_needed(precision, 0.95, k)] for k in range(6)]
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


def test_counts_are_stacked_and_say_their_numbers() -> None:
    (axes,) = plot_counts({"before": {"flagged": 3, "clear": 0}, "after": {"clear": 5}}, group="verdict").axes
    flagged, clear = axes.containers
    assert [bar.get_width() for bar in flagged] == [3, 0]  # type: ignore[attr-defined]
    assert [(bar.get_x(), bar.get_width()) for bar in clear] == [(3, 0), (0, 5)]  # type: ignore[attr-defined]
    assert annotations(axes) == ["3", "5"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["before", "after"]
    with pytest.raises(ValueError, match="no counts"):
        plot_counts({}, group="verdict")


def test_pictures_of_a_case_stand_side_by_side_without_ticks() -> None:
    red, green = np.full((40, 60, 3), (255, 0, 0), np.uint8), np.full((800, 20, 3), (0, 255, 0), np.uint8)
    cases = {f"case {k}\nof some": {"listing": red, "nearest": green, "gone": "no-such-file.jpg"} for k in range(5)}
    figure = plot_pictures(cases, columns=2, most=3)
    assert [panel.get_suptitle() for panel in figure.subfigs[:3]] == [f"case {k}\nof some" for k in range(3)]  # type: ignore[attr-defined]
    axes = [each for each in figure.axes if each.get_title()]
    assert [each.get_title() for each in axes] == ["listing", "nearest", "gone"] * 3
    assert not any(each.axison for each in figure.axes)
    assert np.asarray(axes[0].images[0].get_array())[0, 0].tolist() == [255, 0, 0]
    assert np.asarray(axes[1].images[0].get_array()).shape[0] == 320  # a thumbnail of it
    assert annotations(axes[2]) == ["can't be read"]


def test_no_pictures_are_a_figure_that_says_so() -> None:
    assert plot_pictures({}).texts[0].get_text() == "there are none"
