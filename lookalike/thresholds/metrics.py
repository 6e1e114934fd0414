"""How well the right products are found and unrelated listings left alone: the field's metrics."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Retrieval:
    """Quality over queries that are each answered with their most similar product.

    `recall_at_1`: of the queries with a right product, the share answered with it, at any similarity.
    `micro_average_precision`: µAP, the area under precision over recall when all answers are ranked by similarity,
    whichever query they belong to (DISC21, arXiv 2106.09672); it needs one threshold to fit all.
    `recall_at_precision_90`: of the queries with a right product, the share answered with it at the lowest threshold
    whose answers are right nine times out of ten; `recall_at_precision_95`: nineteen out of twenty.
    `fnir_at_fpir_1`: of the queries with a right product, the share not answered with it at the threshold that hits one
    in a hundred of the other queries (ISO/IEC 19795-1); NaN without others. `fnir_at_fpir_03`: three in a thousand,
    which allows no hit at all among fewer than 334 others.
    """

    queries: int
    positives: int
    recall_at_1: float
    micro_average_precision: float
    recall_at_precision_90: float
    fnir_at_fpir_1: float
    recall_at_precision_95: float
    fnir_at_fpir_03: float


def evaluate_retrieval(similarity: ArrayLike, correct: ArrayLike, *, related: ArrayLike) -> Retrieval:
    """Metrics of n answers: their `similarity` (n,), whether each is `correct` (n,), and which queries could be.

    `related` (n,) is true for queries that have a right product; the others should be left alone. Answers of equal
    similarity are accepted or refused together. Raises ValueError for shapes that differ, without a related query, and
    for a correct answer to an unrelated one.

    >>> evaluate_retrieval([0.9, 0.8, 0.7, 0.2], [True, False, True, False], related=[1, 0, 1, 0]).recall_at_1
    1.0
    """
    similarities, right, could = as_queries(similarity, correct, related)
    if not could.any() or (right & ~could).any():
        raise ValueError(
            f"{could.sum()} queries are related and {(right & ~could).sum()} unrelated ones are answered correctly; "
            "expected at least one related query, and no correct answer to an unrelated one"
        )
    found, positives = int(right.sum()), int(could.sum())
    share = found / positives  # scikit-learn takes the right answers for all there could be
    average_precision = 0.0
    if found:
        from sklearn.metrics import average_precision_score

        average_precision = float(average_precision_score(right, similarities))
    return Retrieval(
        queries=len(right),
        positives=positives,
        recall_at_1=share,
        micro_average_precision=average_precision * share,
        recall_at_precision_90=recall_at_precision(similarities, right, 0.9) * share if found else 0.0,
        fnir_at_fpir_1=fnir_at_fpir(similarities, right, could, 0.01),
        recall_at_precision_95=recall_at_precision(similarities, right, 0.95) * share if found else 0.0,
        fnir_at_fpir_03=fnir_at_fpir(similarities, right, could, 0.003),
    )


def bootstrap_retrieval(
    similarity: ArrayLike,
    correct: ArrayLike,
    *,
    related: ArrayLike,
    groups: ArrayLike,
    rounds: int = 200,
    seed: int = 0,
) -> tuple[Retrieval, Retrieval]:
    """The 2.5 % and 97.5 % ends of each metric over `rounds` resamplings of whole groups (n,).

    A product's queries resemble one another, so resampling single queries would give intervals that are too narrow.
    Groups are therefore products, and each unrelated query is a group of its own. Source: Davison and Hinkley,
    "Bootstrap Methods and their Application" (1997), section 3.8.
    """
    similarities, right, could = as_queries(similarity, correct, related)
    _, number = np.unique(np.asarray(groups), return_inverse=True)
    members = np.split(np.argsort(number, kind="stable"), np.cumsum(np.bincount(number))[:-1])
    rng, drawn = np.random.default_rng(seed), list[tuple[float, ...]]()
    while len(drawn) < rounds:
        rows = np.concatenate([members[k] for k in rng.integers(len(members), size=len(members))])
        if could[rows].any():
            drawn.append(astuple(evaluate_retrieval(similarities[rows], right[rows], related=could[rows])))
    low, high = np.quantile(np.array(drawn), [0.025, 0.975], axis=0).tolist()
    return Retrieval(*low), Retrieval(*high)


def fnir_at_fpir(
    similarity: NDArray[np.floating], correct: NDArray[np.bool_], related: NDArray[np.bool_], share: float
) -> float:
    """False negative identification rate when at most that share of unrelated queries is hit; NaN without any."""
    if related.all():
        return float("nan")
    above = similarity > most_hit(similarity[~related], share)
    return 1.0 - float((correct & above).sum() / related.sum())


def most_hit(unrelated: NDArray[np.floating], share: float) -> float:
    """The similarity that at most that share of the unrelated ones (n,) exceeds; −inf if all may.

    Any threshold above it keeps the share. The value itself doesn't, as a threshold counts from its own value on.

    >>> most_hit(np.array([0.1, 0.2, 0.3, 0.4]), 0.25)
    0.3
    """
    allowed = int(share * len(unrelated) + 1e-9)  # 0.29 of 100 are 29, which floats make 28.999…
    return float(np.sort(unrelated)[-1 - allowed]) if allowed < len(unrelated) else -np.inf


def recall_at_precision(similarity: NDArray[np.floating], correct: NDArray[np.bool_], precision: float) -> float:
    """The largest share of the correct answers that one threshold keeps at that precision or better; 0 if none."""
    from sklearn.metrics import precision_recall_curve

    precisions, recalls, _ = precision_recall_curve(correct, similarity)
    return float(recalls[precisions >= precision].max())


def precision_at_budget(similarity: ArrayLike, correct: ArrayLike, budget: int) -> float:
    """Of the `budget` strongest answers, which reviewers have time for, the share that is right.

    `similarity` (n,) and `correct` (n,) cover all answers; if there are fewer than the budget, all count. Where answers
    of equal similarity compete for the last places, the wrong ones get them, so the order of the table can't flatter.
    Raises ValueError for shapes that differ, without answers, and for a budget below 1.

    >>> precision_at_budget([0.9, 0.8, 0.8, 0.1], [True, True, False, True], 2)
    0.5
    """
    similarities, right = np.asarray(similarity, float), np.asarray(correct, bool)
    if similarities.ndim != 1 or similarities.shape != right.shape:
        raise ValueError(f"got arrays of {similarities.shape} and {right.shape}; expected two of the same (n,)")
    if budget < 1 or not len(right):
        raise ValueError(f"got a budget of {budget} and {len(right)} answers; expected at least one of each")
    strongest = np.lexsort((right, -similarities))[:budget]
    return float(right[strongest].mean())


@dataclass(frozen=True)
class DetCurve:
    """False positive and false negative identification rate, `fpir` and `fnir` (m,), at each `threshold` (m,).

    Thresholds ascend through all similarities that occur, each counting from its own value on; the last is infinite
    and hits nothing. So `fpir` falls from 1 to 0 and `fnir` rises to 1. Read-only arrays of float64.
    """

    fpir: NDArray[np.float64]
    fnir: NDArray[np.float64]
    threshold: NDArray[np.float64]


def det_curve(similarity: ArrayLike, correct: ArrayLike, *, related: ArrayLike) -> DetCurve:
    """Misses against false hits over all thresholds (ISO/IEC 19795-1); takes what `evaluate_retrieval` takes.

    A query answered with a wrong product is missed at every threshold. The least `fnir` of the points with `fpir` ≤ s
    is `fnir_at_fpir(…, s)`. Raises ValueError for shapes that differ, and unless there are both related and unrelated
    queries.

    >>> curve = det_curve([0.9, 0.5, 0.7, 0.1], [True, True, False, False], related=[True, True, False, False])
    >>> curve.threshold.tolist(), curve.fpir.tolist(), curve.fnir.tolist()
    ([0.1, 0.5, 0.7, 0.9, inf], [1.0, 0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5, 1.0])
    """
    similarities, right, could = as_queries(similarity, correct, related)
    if not could.any() or could.all():
        raise ValueError(
            f"{could.sum()} of {len(could)} queries are related; expected some that are and some that aren't"
        )
    thresholds = np.append(np.unique(similarities), np.inf)
    fpir = share_from(similarities[~could], thresholds, (~could).sum())
    fnir = 1 - share_from(similarities[right & could], thresholds, could.sum())
    for array in (fpir, fnir, thresholds):
        array.flags.writeable = False
    return DetCurve(fpir, fnir, thresholds)


def as_queries(
    similarity: ArrayLike, correct: ArrayLike, related: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """The three as arrays (n,): similarity float64, correct and related bool. Raises ValueError for other shapes."""
    similarities, right, could = np.asarray(similarity, float), np.asarray(correct, bool), np.asarray(related, bool)
    if similarities.ndim != 1 or not similarities.shape == right.shape == could.shape:
        raise ValueError(
            f"got arrays of {similarities.shape}, {right.shape} and {could.shape}; expected three of the same (n,)"
        )
    return similarities, right, could


def share_from(values: NDArray[np.float64], thresholds: NDArray[np.float64], total: int) -> NDArray[np.float64]:
    """What share of the total the values at or above each threshold are."""
    return np.asarray((len(values) - np.searchsorted(np.sort(values), thresholds, "left")) / total, float)
