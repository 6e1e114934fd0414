"""Thresholds that keep a promise, and lists that do: what n labelled or unrelated similarities allow one to say.

Everything here takes arrays of similarities and gives a threshold or a choice, with no files and no models. The
promises hold for listings like those that were labelled: drawn from the same stream, in any order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

STEP = 0.005  # thresholds that are tried: its multiples, fixed before any label is seen
_DENSEST = 1.05  # neighbours among them have five per cent more flags, for less says nothing new


@dataclass(frozen=True)
class Kept:
    """A threshold that keeps its promise: of `count` similarities at it or above, `errors` should not be there."""

    threshold: float
    count: int
    errors: int


@dataclass(frozen=True)
class Shortfall:
    """No threshold keeps the promise yet: that would take about `needed` more, all of them right (or unrelated)."""

    needed: int


@lru_cache(maxsize=4096)
def flags_needed(precision: float, confidence: float, errors: int = 0) -> int:
    """How many flags with that many errors show, with that confidence, that at least `precision` of flags are right.

    Exact binomial: the fewest n for which n flags of a lower precision have so few errors with a probability of at
    most 1 − confidence (Clopper and Pearson, Biometrika 26, 1934).

    >>> flags_needed(0.90, 0.95), flags_needed(0.95, 0.95), flags_needed(0.90, 0.95, errors=1)
    (29, 59, 46)
    """
    from scipy.stats import binom

    low, high = errors + 1, errors + 2
    while binom.cdf(errors, high, 1 - precision) > 1 - confidence:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        if binom.cdf(errors, middle, 1 - precision) <= 1 - confidence:
            high = middle
        else:
            low = middle + 1
    return high


def precision_threshold(
    similarity: ArrayLike, lookalike: ArrayLike, *, precision: float, confidence: float, step: float = STEP
) -> Kept | Shortfall:
    """The lowest threshold from which on at least `precision` of what is flagged is right, with that confidence.

    `similarity` (n,) and `lookalike` (n,) are labelled pairs. Learn-then-Test (arXiv 2110.01052): every threshold is
    a hypothesis "of what lies above, too little is right", tested exactly by the binomial; the search goes through
    them in a fixed sequence, from the strictest that could pass down, so that the confidence is that of the threshold
    found. It starts at the fewest flags that can pass without an error, with many labels at those that can with some:
    one early error would end it.

    >>> kept = precision_threshold(np.linspace(0.5, 1, 101), np.linspace(0.5, 1, 101) > 0.6, precision=0.9,
    ...                            confidence=0.95)
    >>> kept.threshold, kept.count, kept.errors
    (0.595, 82, 2)
    """
    values, right = _pairs(similarity, lookalike)
    spared = int(max(0.0, np.log2(max(1, len(values)) / flags_needed(precision, confidence)) / 2 - 1))
    least = flags_needed(precision, confidence, spared)
    thresholds, flags, errors = _searched(values, right, least, step)
    if len(thresholds):
        from mapie.risk_control import control_fwer
        from scipy.stats import binom

        kept = control_fwer(binom.cdf(errors, flags, 1 - precision), 1 - confidence, "fixed_sequence")
        if len(kept):
            last = int(kept[-1])
            return Kept(float(thresholds[last]), int(flags[last]), int(errors[last]))
    # so many more, all right and all above the first error that is one too many, would make the first test pass
    wrong = np.flatnonzero(~right[np.argsort(-values, kind="stable")])
    return Shortfall(max(1, least - (int(wrong[spared]) if len(wrong) > spared else len(values))))


def false_flag_threshold(
    unrelated: ArrayLike, *, share: float, confidence: float, step: float = STEP
) -> Kept | Shortfall:
    """The lowest threshold that flags at most that share of unrelated listings, with that confidence.

    `unrelated` (n,) are their similarities; look-alikes among them make it only more careful. Takes the order
    statistic of which the share above is bounded: a conformal p-value whose guarantee holds for the threshold at
    hand, not on average over thresholds (Vovk, arXiv 1209.2673, proposition 2a).

    >>> kept = false_flag_threshold(np.linspace(0, 0.598, 599), share=0.01, confidence=0.95)
    >>> kept.threshold, kept.count
    (0.6, 0)
    >>> false_flag_threshold(np.linspace(0, 0.5, 100), share=0.01, confidence=0.95)
    Shortfall(needed=199)
    """
    from scipy.stats import binom

    values = np.sort(np.asarray(unrelated, float))
    needed = flags_needed(1 - share, confidence)
    if len(values) < needed:
        return Shortfall(needed - len(values))
    allowed = int(np.searchsorted(binom.cdf(np.arange(len(values)), len(values), share), 1 - confidence, "right")) - 1
    highest_wrong = values[-1 - allowed]
    threshold = _above(float(highest_wrong), step)
    return Kept(threshold, int((values >= threshold).sum()), int((values >= threshold).sum()))


def conformal_p_values(similarity: ArrayLike, unrelated: ArrayLike) -> NDArray[np.float64]:
    """For each similarity (m,) how rarely an unrelated listing is as alike: (1 + those at it or above) / (n + 1).

    `unrelated` (n,) are similarities of listings known or believed to be unrelated. If the new one is unrelated, the
    value is at most u with a probability of at most u (Vovk et al., "Algorithmic Learning in a Random World", 2005).

    >>> conformal_p_values([0.9, 0.5], [0.1, 0.2, 0.6]).tolist()
    [0.25, 0.5]
    """
    values = np.sort(np.asarray(unrelated, float))
    above = len(values) - np.searchsorted(values, np.asarray(similarity, float), "left")
    return np.asarray((1 + above) / (len(values) + 1), float)


def shortlist(
    similarity: ArrayLike, *, labelled: ArrayLike, lookalike: ArrayLike, false_share: float
) -> NDArray[np.bool_]:
    """Which of the similarities (m,) to list, so that on average at most `false_share` of the list is no look-alike.

    `labelled` (n,) and `lookalike` (n,) are labelled similarities from the same stream. Conformal selection with
    Benjamini–Hochberg (Jin and Candès, arXiv 2210.01408): a p-value counts the labelled that are as alike and yet no
    look-alikes.
    """
    from scipy.stats import false_discovery_control

    new = np.asarray(similarity, float)
    if not len(new):
        return np.zeros(0, bool)
    values, right = _pairs(labelled, lookalike)
    wrong = np.sort(values[~right])
    above = len(wrong) - np.searchsorted(wrong, new, "left")
    return np.asarray(false_discovery_control((1 + above) / (len(values) + 1)) <= false_share)


def budget_threshold(similarity: ArrayLike, *, share: float, step: float = STEP) -> float:
    """The lowest threshold that at most that share of the stream (n,) reaches: what reviewers have time for.

    >>> budget_threshold(np.linspace(0, 1, 1001), share=0.05)
    0.955
    """
    values = np.sort(np.asarray(similarity, float))
    last_out = values[-1 - int(share * len(values))]
    return _above(float(last_out), step)


def _above(value: float, step: float) -> float:
    """The first threshold that is above that similarity."""
    return round((math.floor(value / step + 1e-6) + 1) * step, 9)


def _pairs(similarity: ArrayLike, lookalike: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values, right = np.asarray(similarity, float), np.asarray(lookalike, bool)
    if values.ndim != 1 or values.shape != right.shape:
        raise ValueError(f"came {values.shape} and {right.shape}, needed two arrays of (n,)")
    return values, right


def _searched(
    values: NDArray[np.float64], right: NDArray[np.bool_], least: int, step: float
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """The thresholds to try, strictest first, with their flags and errors; chosen without a look at the labels."""
    order = np.argsort(-values, kind="stable")
    ranked, wrong = values[order], np.concatenate([[0], np.cumsum(~right[order])])
    if len(values) < least:
        return np.empty(0), np.empty(0, np.int64), np.empty(0, np.int64)
    highest, lowest = np.floor(ranked[least - 1] / step + 1e-9), np.floor(ranked[-1] / step + 1e-9)
    grid = np.round(np.arange(highest, lowest - 1, -1) * step, 9)
    flags = np.searchsorted(-ranked, -grid, "right")
    chosen, reached = [], 0.0
    for at, count in enumerate(flags):
        if count >= reached * _DENSEST and count > reached:
            chosen.append(at)
            reached = float(count)
    return grid[chosen], flags[chosen], wrong[flags[chosen]]
