"""Metrics against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.evaluation import evaluate_retrieval, threshold_at_precision


def test_values_of_a_small_example() -> None:
    # ranked: right, wrong, right, right, wrong; five queries could have been right
    result = evaluate_retrieval([0.9, 0.8, 0.7, 0.6, 0.5], [True, False, True, True, False], positives=5)
    assert result.recall_at_1 == pytest.approx(3 / 5)
    assert result.micro_average_precision == pytest.approx((1 + 2 / 3 + 3 / 4) / 5)
    assert result.recall_at_precision_90 == pytest.approx(1 / 5)


def test_answers_of_equal_similarity_stand_or_fall_together() -> None:
    result = evaluate_retrieval([0.9, 0.9], [True, False], positives=1)
    assert (result.micro_average_precision, result.recall_at_precision_90) == (0.5, 0.0)


def test_nothing_right_is_zero() -> None:
    result = evaluate_retrieval([0.9, 0.1], [False, False], positives=2)
    assert (result.recall_at_1, result.micro_average_precision, result.recall_at_precision_90) == (0, 0, 0)


@pytest.mark.parametrize("positives", [0, 3])
def test_refuses_counts_that_cannot_be(positives: int) -> None:
    with pytest.raises(ValueError, match="positives is"):
        evaluate_retrieval([0.9, 0.1], [True, False], positives=positives)


def test_finds_the_lowest_threshold_of_a_precision() -> None:
    similarity, correct = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, True, False, True])
    assert threshold_at_precision(similarity, correct, 0.75) == pytest.approx(0.6)
    assert threshold_at_precision(similarity, correct, 0.9) == pytest.approx(0.8)
    assert threshold_at_precision(similarity, ~correct, 0.9) is None
