"""Curves, histograms and brands are drawn where they were measured, and axes say what they measure."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from drawn import BRAND, CORRECT, RELATED, SIMILARITY, xy

from lookalike.plots.quality import plot_brands, plot_det, plot_precision_recall, plot_similarities
from lookalike.thresholds.brands import brand_figures
from lookalike.thresholds.metrics import det_curve


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


def test_fewer_bins_hold_the_same_shares() -> None:
    (axes,) = plot_similarities(SIMILARITY[RELATED], SIMILARITY[~RELATED], bins=10).axes
    filled = [patch.get_data().values for patch in axes.patches if patch.get_fill()]  # type: ignore[attr-defined]
    assert [(len(values), values.sum()) for values in filled] == [(10, pytest.approx(100))] * 2


def test_a_histogram_of_probabilities_says_so_and_goes_from_0_to_1() -> None:
    (axes,) = plot_similarities([0.9, 0.97], [0.2], unit="probability", bins=20).axes
    assert axes.get_xlabel() == "probability of a look-alike (0 to 1)"
    filled = [patch.get_data() for patch in axes.patches if patch.get_fill()]  # type: ignore[attr-defined]
    assert [np.flatnonzero(data.values).tolist() for data in filled] == [[18, 19], [4]]
    assert (filled[0].edges[0], filled[0].edges[-1]) == (0, 1)


def test_a_histogram_of_one_group_or_of_one_value_is_drawn_and_of_none_refused() -> None:
    (axes,) = plot_similarities([0.5, 0.5], [], names=("right", "wrong")).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["right (2)", "wrong (0)"]  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="expected at least one"):
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


def test_the_weakest_of_many_brands_are_drawn_and_the_rest_counted() -> None:
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
