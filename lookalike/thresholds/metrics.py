"""How well the right references are found and the wrong listings left alone: the field's metrics."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Retrieval:
    """Quality over queries that are each answered with their most similar product.

    `recall_at_1`: of the queries that have a right product, the share answered with it, at any similarity.
    `micro_average_precision`: µAP, the area under precision over recall when all answers are ranked by
    similarity, whichever query they are of (DISC21, arXiv 2106.09672); it needs one threshold to fit all.
    `recall_at_precision_90`: the share of right answers kept at the lowest threshold whose answers are
    right nine times out of ten; `recall_at_precision_95`: nineteen out of twenty.
    `fnir_at_fpir_1`: of the queries that have a right product, the share not answered with it at the threshold that
    hits one in a hundred of the other queries (ISO/IEC 19795-1); NaN where there are no others. `fnir_at_fpir_03`:
    three in a thousand, which fewer than 334 others allow none of.
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

    `related` (n,) is true for queries that have a right product; the others are there to be left alone. Answers of
    equal similarity are accepted or refused together. Raises ValueError for shapes that differ, for no related
    query, and for a correct answer to an unrelated one.

    >>> evaluate_retrieval([0.9, 0.8, 0.7, 0.2], [True, False, True, False], related=[1, 0, 1, 0]).recall_at_1
    1.0
    """
    similarities, right, could = np.asarray(similarity, float), np.asarray(correct, bool), np.asarray(related, bool)
    if similarities.ndim != 1 or not similarities.shape == right.shape == could.shape:
        raise ValueError(f"came {similarities.shape}, {right.shape} and {could.shape}, needed three arrays of (n,)")
    if not could.any() or (right & ~could).any():
        raise ValueError(f"{could.sum()} queries are related, {(right & ~could).sum()} others are answered correctly; "
                         "needed at least one related query and no correct answer to another")  # fmt: skip
    found, positives = int(right.sum()), int(could.sum())
    share = found / positives  # scikit-learn takes the answers found for all there are
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
    """The 2.5 % and 97.5 % ends of each metric over `rounds` resamplings, whole groups (n,) at a time.

    A product's queries resemble one another, so that resampling single queries would give intervals too
    narrow: groups are products, and of unrelated queries each its own. Source: Davison and Hinkley,
    "Bootstrap Methods and their Application" (1997), section 3.8.
    """
    similarities, right, could = np.asarray(similarity, float), np.asarray(correct, bool), np.asarray(related, bool)
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
    """False negative identification rate where at most that share of the unrelated queries is hit; NaN without any."""
    if related.all():
        return float("nan")
    above = similarity > most_hit(similarity[~related], share)
    return 1.0 - float((correct & above).sum() / related.sum())


def most_hit(unrelated: NDArray[np.floating], share: float) -> float:
    """The similarity (n,) above which at most that share of the unrelated ones lie, −inf where all may.

    Any threshold above it keeps the share; thresholds count from their own value on, so it is none itself.

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


def threshold_at_precision(
    similarity: NDArray[np.floating], correct: NDArray[np.bool_], precision: float
) -> float | None:
    """The lowest similarity from which on that share of the answers is correct; None where there is none."""
    from sklearn.metrics import precision_recall_curve

    precisions, _, thresholds = precision_recall_curve(correct, similarity)
    enough = precisions[:-1] >= precision
    return float(thresholds[enough].min()) if enough.any() else None


def precision_at_budget(similarity: ArrayLike, correct: ArrayLike, budget: int) -> float:
    """Of the `budget` strongest answers, which is what reviewers have time for, the share that is right.

    `similarity` (n,) and `correct` (n,) are of all answers; of fewer than the budget, all count. Where answers of
    equal similarity compete for the last places, the wrong ones get them, so that no order of the table flatters.
    Raises ValueError for shapes that differ, for no answers and for a budget below 1.

    >>> precision_at_budget([0.9, 0.8, 0.8, 0.1], [True, True, False, True], 2)
    0.5
    """
    similarities, right = np.asarray(similarity, float), np.asarray(correct, bool)
    if similarities.ndim != 1 or similarities.shape != right.shape:
        raise ValueError(f"came {similarities.shape} and {right.shape}, needed two arrays of (n,)")
    if budget < 1 or not len(right):
        raise ValueError(f"a budget of {budget} for {len(right)} answers; needed at least one of both")
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

    A query answered with a wrong product is missed at every threshold. The least `fnir` of the points with
    `fpir` ≤ s is `fnir_at_fpir(…, s)`. Raises ValueError for shapes that differ, and unless some queries are related
    and some are not.

    >>> curve = det_curve([0.9, 0.5, 0.7, 0.1], [True, True, False, False], related=[True, True, False, False])
    >>> curve.threshold.tolist(), curve.fpir.tolist(), curve.fnir.tolist()
    ([0.1, 0.5, 0.7, 0.9, inf], [1.0, 0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5, 1.0])
    """
    similarities, right, could = as_queries(similarity, correct, related)
    if not could.any() or could.all():
        raise ValueError(
            f"{could.sum()} of {len(could)} queries are related; needed some that are and some that aren't"
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
        raise ValueError(f"came {similarities.shape}, {right.shape} and {could.shape}, needed three arrays of (n,)")
    return similarities, right, could


def share_from(values: NDArray[np.float64], thresholds: NDArray[np.float64], total: int) -> NDArray[np.float64]:
    """What share of the total the values at each threshold or above are."""
    return np.asarray((len(values) - np.searchsorted(np.sort(values), thresholds, "left")) / total, float)
