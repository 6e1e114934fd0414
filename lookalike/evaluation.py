"""How well the right references are found and the wrong listings left alone: the field's metrics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Retrieval:
    """Quality over queries that are each answered with their most similar product.

    `recall_at_1`: of the queries that have a right product, the share answered with it, at any similarity.
    `micro_average_precision`: µAP, the area under precision over recall when all answers are ranked by
    similarity, whichever query they are of (DISC21, arXiv 2106.09672); it needs one threshold to fit all.
    `recall_at_precision_90`: the share of right answers kept at the lowest threshold whose answers are
    right nine times out of ten.
    """

    queries: int
    positives: int
    recall_at_1: float
    micro_average_precision: float
    recall_at_precision_90: float


def evaluate_retrieval(similarity: ArrayLike, correct: ArrayLike, *, positives: int) -> Retrieval:
    """Metrics of n answers: their `similarity` (n,), whether each is `correct` (n,), and how many queries could be.

    `positives` counts queries that have a right product; the others are there to be left alone. Answers of
    equal similarity are accepted or refused together. Raises ValueError for shapes that differ or
    `positives` smaller than the correct answers.

    >>> evaluate_retrieval([0.9, 0.8, 0.7, 0.2], [True, False, True, False], positives=2).recall_at_1
    1.0
    """
    similarities, right = np.asarray(similarity, float), np.asarray(correct, bool)
    if similarities.shape != right.shape or similarities.ndim != 1:
        raise ValueError(f"came {similarities.shape} similarities and {right.shape} answers, needed two of (n,)")
    found = int(right.sum())
    if not 0 < positives <= len(right) or positives < found:
        raise ValueError(f"positives is {positives}, needed from {max(found, 1)} to {len(right)}")
    if not found:
        return Retrieval(len(right), positives, 0.0, 0.0, 0.0)
    from sklearn.metrics import average_precision_score

    share = found / positives  # scikit-learn takes the answers found for all there are
    return Retrieval(
        queries=len(right),
        positives=positives,
        recall_at_1=share,
        micro_average_precision=float(average_precision_score(right, similarities)) * share,
        recall_at_precision_90=recall_at_precision(similarities, right, 0.9) * share,
    )


def recall_at_precision(similarity: NDArray[np.floating], correct: NDArray[np.bool_], precision: float) -> float:
    """The largest share of the correct answers that one threshold keeps at that precision or better; 0 if none."""
    from sklearn.metrics import precision_recall_curve

    precisions, recalls, _ = precision_recall_curve(correct, similarity)
    return float(recalls[precisions >= precision].max())


def threshold_at_precision(
    similarity: NDArray[np.floating], correct: NDArray[np.bool_], precision: float
) -> float | None:
    """The lowest similarity from which on that share of the answers is correct; None where there is none."""
    from sklearn.metrics import precision_recall_curve

    precisions, _, thresholds = precision_recall_curve(correct, similarity)
    enough = precisions[:-1] >= precision
    return float(thresholds[enough].min()) if enough.any() else None
