"""Metrics against scikit-learn and values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike.thresholds.metrics import (
    bootstrap_retrieval,
    det_curve,
    evaluate_retrieval,
    fnir_at_fpir,
    most_hit,
    precision_at_budget,
)


def test_values_of_a_small_example() -> None:
    # ranked: right, wrong, right, right, wrong; five queries could have been right
    result = evaluate_retrieval([0.9, 0.8, 0.7, 0.6, 0.5], [True, False, True, True, False], related=[True] * 5)
    assert result.recall_at_1 == pytest.approx(3 / 5)
    assert result.micro_average_precision == pytest.approx((1 + 2 / 3 + 3 / 4) / 5)
    assert result.recall_at_precision_90 == pytest.approx(1 / 5)
    assert result.recall_at_precision_95 == pytest.approx(1 / 5)


def test_the_stricter_precision_keeps_fewer() -> None:
    # 18 right, 1 wrong, 1 right: 19 of 20 are 95 %; one more wrong and that precision ends at the first wrong one
    right = [True] * 18 + [False, True]
    result = evaluate_retrieval(np.linspace(0.9, 0.5, 20), right, related=[True] * 20)
    assert result.recall_at_precision_95 == pytest.approx(19 / 20)
    result = evaluate_retrieval(np.linspace(0.9, 0.5, 21), [*right[:19], False, True], related=[True] * 21)
    assert (result.recall_at_precision_90, result.recall_at_precision_95) == pytest.approx((19 / 21, 18 / 21))


def test_answers_of_equal_similarity_stand_or_fall_together() -> None:
    result = evaluate_retrieval([0.9, 0.9], [True, False], related=[True, False])
    assert (result.micro_average_precision, result.recall_at_precision_90) == (0.5, 0.0)


def test_nothing_right_is_zero() -> None:
    result = evaluate_retrieval([0.9, 0.1], [False, False], related=[True, True])
    assert (result.recall_at_1, result.micro_average_precision, result.recall_at_precision_90) == (0, 0, 0)
    assert result.recall_at_precision_95 == 0
    assert np.isnan([result.fnir_at_fpir_1, result.fnir_at_fpir_03]).all()


def test_misses_are_counted_where_one_stranger_in_a_hundred_is_hit() -> None:
    # of 200 strangers the threshold may hit two, so it lies above the third: 0.7 is lost with it, 0.75 is not
    strangers = [0.9, 0.8, 0.7, *np.linspace(0.1, 0.5, 197)]
    similarity = [0.75, 0.7, 0.95, 0.3, *strangers]
    correct = [True, True, False, True] + [False] * 200
    result = evaluate_retrieval(similarity, correct, related=[True] * 4 + [False] * 200)
    assert result.fnir_at_fpir_1 == pytest.approx(3 / 4)
    # three in a thousand of 200 are none, so that nothing at 0.9 or below is kept
    assert result.fnir_at_fpir_03 == pytest.approx(1)
    doubled = evaluate_retrieval(
        [*similarity, *strangers], [*correct, *[False] * 200], related=[True] * 4 + [False] * 400
    )
    assert doubled.fnir_at_fpir_03 == pytest.approx(1)  # one of 400 may be hit, but 0.9 is there twice
    assert evaluate_retrieval(
        [0.85, *strangers, *np.linspace(0, 0.1, 200)], [True] + [False] * 400, related=[True] + [False] * 400
    ).fnir_at_fpir_03 == pytest.approx(0)  # fmt: skip


def test_a_share_that_floats_miss_by_a_hair_is_counted_in_full() -> None:
    assert 0.29 * 100 < 29
    assert most_hit(np.arange(100.0), 0.29) == 70
    assert most_hit(np.arange(100.0), 0.0) == 99
    assert most_hit(np.arange(100.0), 1.0) == -np.inf


@pytest.mark.parametrize("related", [[False, False], [False, True]])
def test_refuses_answers_that_cannot_be(related: list[bool]) -> None:
    with pytest.raises(ValueError, match="queries are related"):
        evaluate_retrieval([0.9, 0.1], [True, False], related=related)


def test_intervals_follow_the_number_of_products_not_of_queries() -> None:
    # of 40 products half are found, with all their queries or none: the share's standard error is that of 40 draws
    found = np.repeat(np.arange(40) % 2 == 0, 25)
    similarity, products = np.full(1000, 0.5), np.repeat(np.arange(40), 25)
    low, high = bootstrap_retrieval(similarity, found, related=np.ones(1000, bool), groups=products, rounds=400)
    width = high.recall_at_1 - low.recall_at_1
    assert width == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 40), rel=0.2)
    assert low.recall_at_1 < 0.5 < high.recall_at_1


def test_precision_of_the_strongest_answers_whatever_their_order() -> None:
    similarity, correct = np.array([0.2, 0.9, 0.7, 0.8]), np.array([True, True, True, False])
    assert precision_at_budget(similarity, correct, 1) == 1
    assert precision_at_budget(similarity, correct, 2) == 0.5
    assert precision_at_budget(similarity, correct, 3) == pytest.approx(2 / 3)
    assert precision_at_budget(similarity, correct, 100) == 0.75


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]])
def test_of_equal_answers_the_wrong_ones_take_the_last_places(order: list[int]) -> None:
    similarity, correct = np.array([0.9, 0.8, 0.8, 0.8])[order], np.array([True, True, False, True])[order]
    assert precision_at_budget(similarity, correct, 2) == 0.5


@pytest.mark.parametrize(("count", "budget"), [(0, 1), (2, 0)])
def test_refuses_a_budget_for_nothing(count: int, budget: int) -> None:
    with pytest.raises(ValueError, match="expected at least one of each"):
        precision_at_budget(np.zeros(count), np.zeros(count, bool), budget)


def queries(count: int = 600) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Similarity with many ties, correct and related of random queries."""
    rng = np.random.default_rng(0)
    related = rng.random(count) < 0.4
    similarity = np.round(np.where(related, rng.normal(0.7, 0.1, count), rng.normal(0.5, 0.1, count)), 2)
    return similarity, related & (rng.random(count) < 0.8), related


def test_rates_at_every_threshold_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import det_curve as reference

    similarity, _, related = queries()
    curve = det_curve(similarity, related, related=related)  # with all answers right it is a plain DET curve
    at = dict(zip(curve.threshold.tolist(), zip(curve.fpir, curve.fnir, strict=True), strict=True))
    fpr, fnr, thresholds = reference(related, similarity)
    assert len(thresholds) > 30
    for false_positive, false_negative, threshold in zip(fpr, fnr, thresholds.tolist(), strict=True):
        assert at[threshold] == pytest.approx((false_positive, false_negative))


def test_rates_are_counted_at_the_threshold_itself_and_wrong_answers_are_misses() -> None:
    similarity, correct, related = queries()
    curve = det_curve(similarity, correct, related=related)
    assert curve.threshold.tolist() == [*sorted(set(similarity.tolist())), np.inf]
    for fpir, fnir, threshold in zip(curve.fpir, curve.fnir, curve.threshold, strict=True):
        assert fpir == pytest.approx((similarity[~related] >= threshold).mean())
        assert fnir == pytest.approx(1 - (correct[related] & (similarity[related] >= threshold)).mean())


@pytest.mark.parametrize("share", [0.0, 0.003, 0.01, 0.1, 0.5])
def test_the_curve_passes_through_the_misses_at_a_share_of_false_hits(share: float) -> None:
    similarity, correct, related = queries()
    curve = det_curve(similarity, correct, related=related)
    assert curve.fnir[curve.fpir <= share].min() == pytest.approx(fnir_at_fpir(similarity, correct, related, share))


@pytest.mark.parametrize("related", [[True, True], [False, False]])
def test_refuses_a_curve_of_one_kind_of_query(related: list[bool]) -> None:
    with pytest.raises(ValueError, match="some that are and some that aren't"):
        det_curve([0.1, 0.2], [False, False], related=related)


def test_refuses_arrays_of_different_lengths() -> None:
    for measure in (evaluate_retrieval, det_curve):
        with pytest.raises(ValueError, match="expected three of the same"):
            measure([0.1], [True], related=[True, False])
    with pytest.raises(ValueError, match="expected two of the same"):
        precision_at_budget([0.1], [True, False], 1)
