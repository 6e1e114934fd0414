"""Metrics against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.evaluation import bootstrap_retrieval, evaluate_retrieval, threshold_at_precision


def test_values_of_a_small_example() -> None:
    # ranked: right, wrong, right, right, wrong; five queries could have been right
    result = evaluate_retrieval([0.9, 0.8, 0.7, 0.6, 0.5], [True, False, True, True, False], related=[True] * 5)
    assert result.recall_at_1 == pytest.approx(3 / 5)
    assert result.micro_average_precision == pytest.approx((1 + 2 / 3 + 3 / 4) / 5)
    assert result.recall_at_precision_90 == pytest.approx(1 / 5)


def test_answers_of_equal_similarity_stand_or_fall_together() -> None:
    result = evaluate_retrieval([0.9, 0.9], [True, False], related=[True, False])
    assert (result.micro_average_precision, result.recall_at_precision_90) == (0.5, 0.0)


def test_nothing_right_is_zero() -> None:
    result = evaluate_retrieval([0.9, 0.1], [False, False], related=[True, True])
    assert (result.recall_at_1, result.micro_average_precision, result.recall_at_precision_90) == (0, 0, 0)


def test_misses_are_counted_where_one_stranger_in_a_hundred_is_hit() -> None:
    # of 200 strangers the threshold may hit two, so it lies above the third: 0.7 is lost with it, 0.75 is not
    strangers = [0.9, 0.8, 0.7, *np.linspace(0.1, 0.5, 197)]
    similarity = [0.75, 0.7, 0.95, 0.3, *strangers]
    correct = [True, True, False, True] + [False] * 200
    result = evaluate_retrieval(similarity, correct, related=[True] * 4 + [False] * 200)
    assert result.fnir_at_fpir_1 == pytest.approx(3 / 4)


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


def test_finds_the_lowest_threshold_of_a_precision() -> None:
    similarity, correct = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, True, False, True])
    assert threshold_at_precision(similarity, correct, 0.75) == pytest.approx(0.6)
    assert threshold_at_precision(similarity, correct, 0.9) == pytest.approx(0.8)
    assert threshold_at_precision(similarity, ~correct, 0.9) is None
