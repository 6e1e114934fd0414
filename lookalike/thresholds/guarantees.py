"""Thresholds and lists that keep a promise: what n labelled or unrelated similarities allow one to say.

Everything here takes arrays of similarities and returns a threshold or a choice, with no files and no models. The
promises hold for listings like the labelled ones: drawn from the same stream, in any order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookalike.binomial import chance_of_at_most, trials_needed

STEP = 0.005
"""Only multiples of this are tried as thresholds: a grid fixed before any label is seen."""
_DENSEST = 1.05  # each threshold tried has 5 % more flags than the one before, as less would say nothing new


@dataclass(frozen=True)
class Kept:
    """A threshold that keeps its promise: of `count` similarities at or above it, `errors` should not be there."""

    threshold: float
    count: int
    errors: int


@dataclass(frozen=True)
class Shortfall:
    """No threshold keeps the promise yet; it takes about `needed` more labels, all of them right (or unrelated)."""

    needed: int


def precision_threshold(
    similarity: ArrayLike, lookalike: ArrayLike, *, precision: float, confidence: float
) -> Kept | Shortfall:
    """The lowest threshold at which at least `precision` of the flags are right, with that confidence.

    `similarity` (n,) and `lookalike` (n,) are labelled pairs. Learn-then-Test (arXiv 2110.01052): each threshold is a
    hypothesis "too few of the flags above are right", tested exactly by the binomial. They are tested in a fixed
    sequence, from the strictest that could pass downwards, so the confidence is that of the threshold found. The
    sequence starts at the fewest flags that can pass without an error, or with some errors if there are many labels:
    otherwise one early error would end it.

    >>> kept = precision_threshold(np.linspace(0.5, 1, 101), np.linspace(0.5, 1, 101) > 0.6, precision=0.9,
    ...                            confidence=0.95)
    >>> kept.threshold, kept.count, kept.errors
    (0.595, 82, 2)
    """
    values, right = _pairs(similarity, lookalike)
    spared = int(max(0.0, np.log2(max(1, len(values)) / trials_needed(precision, confidence)) / 2 - 1))
    least = trials_needed(precision, confidence, spared)
    thresholds, flags, errors = _searched(values, right, least)
    if len(thresholds):
        from mapie.risk_control import control_fwer

        kept = control_fwer(chance_of_at_most(errors, flags, 1 - precision), 1 - confidence, "fixed_sequence")
        if len(kept):
            last = int(kept[-1])
            return Kept(float(thresholds[last]), int(flags[last]), int(errors[last]))
    # this many more, all right and all above the first error that is one too many, would make the first test pass
    wrong = np.flatnonzero(~right[np.argsort(-values, kind="stable")])
    return Shortfall(max(1, least - (int(wrong[spared]) if len(wrong) > spared else len(values))))


def false_flag_threshold(unrelated: ArrayLike, *, share: float, confidence: float) -> Kept | Shortfall:
    """The lowest threshold that flags at most that share of unrelated listings, with that confidence.

    `unrelated` (n,) are their similarities; look-alikes among them only make the threshold stricter. It lies above the
    order statistic whose exceeded share is bounded: a conformal p-value with a guarantee for the threshold at hand,
    not on average over thresholds (Vovk, arXiv 1209.2673, proposition 2a).

    >>> kept = false_flag_threshold(np.linspace(0, 0.598, 599), share=0.01, confidence=0.95)
    >>> kept.threshold, kept.count
    (0.6, 0)
    >>> false_flag_threshold(np.linspace(0, 0.5, 100), share=0.01, confidence=0.95)
    Shortfall(needed=199)
    """
    values = np.sort(np.asarray(unrelated, float))
    needed = trials_needed(1 - share, confidence)
    if len(values) < needed:
        return Shortfall(needed - len(values))
    chances = chance_of_at_most(np.arange(len(values)), len(values), share)
    allowed = int(np.searchsorted(chances, 1 - confidence, "right")) - 1
    threshold = _above(float(values[-1 - allowed]))
    flagged = int((values >= threshold).sum())
    return Kept(threshold, flagged, flagged)


def shortlist(
    similarity: ArrayLike, *, labelled: ArrayLike, lookalike: ArrayLike, false_share: float
) -> NDArray[np.bool_]:
    """Which of the similarities (m,) to list, so that on average at most `false_share` of the list is wrong.

    `labelled` (n,) and `lookalike` (n,) are labelled similarities from the same stream. Conformal selection with
    Benjamini–Hochberg (Jin and Candès, arXiv 2210.01408): a p-value counts the labelled similarities that are at least
    as high and yet no look-alikes.
    """
    from scipy.stats import false_discovery_control

    new = np.asarray(similarity, float)
    if not len(new):
        return np.zeros(0, bool)
    values, right = _pairs(labelled, lookalike)
    wrong = np.sort(values[~right])
    above = len(wrong) - np.searchsorted(wrong, new, "left")
    return np.asarray(false_discovery_control((1 + above) / (len(values) + 1)) <= false_share)


def budget_threshold(similarity: ArrayLike, *, share: float) -> float:
    """The lowest threshold that at most that share of the stream (n,) reaches: what reviewers have time for.

    >>> budget_threshold(np.linspace(0, 1, 1001), share=0.05)
    0.955
    """
    values = np.sort(np.asarray(similarity, float))
    return _above(float(values[-1 - int(share * len(values))]))


def _above(value: float) -> float:
    """The first threshold above that similarity."""
    return round((math.floor(value / STEP + 1e-6) + 1) * STEP, 9)


def _pairs(similarity: ArrayLike, lookalike: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values, right = np.asarray(similarity, float), np.asarray(lookalike, bool)
    if values.ndim != 1 or values.shape != right.shape:
        raise ValueError(f"got arrays of {values.shape} and {right.shape}; expected two of the same (n,)")
    return values, right


def _searched(
    values: NDArray[np.float64], right: NDArray[np.bool_], least: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """The thresholds to try, strictest first, with their flags and errors; chosen without looking at the labels."""
    order = np.argsort(-values, kind="stable")
    ranked, wrong = values[order], np.concatenate([[0], np.cumsum(~right[order])])
    if len(values) < least:
        return np.empty(0), np.empty(0, np.int64), np.empty(0, np.int64)
    highest, lowest = np.floor(ranked[least - 1] / STEP + 1e-9), np.floor(ranked[-1] / STEP + 1e-9)
    grid = np.round(np.arange(highest, lowest - 1, -1) * STEP, 9)
    flags = np.searchsorted(-ranked, -grid, "right")
    chosen, reached = [], 0.0
    for at, count in enumerate(flags):
        if count >= reached * _DENSEST and count > reached:
            chosen.append(at)
            reached = float(count)
    return grid[chosen], flags[chosen], wrong[flags[chosen]]
