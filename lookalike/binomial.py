"""Exact binomial intervals, bounds and chances: what a count says about the share behind it.

All bounds are those of Clopper and Pearson ("The use of confidence or fiducial limits illustrated in the case of the
binomial", Biometrika 26, 1934): they hold for any share and any total, and are never too narrow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Share:
    """`count` of `total`: `value` is their share, `low` and `high` the ends of its exact 95 % interval (all 0 to 1).

    For a total of 0 the value is NaN and the interval 0 to 1.
    """

    count: int
    total: int
    value: float
    low: float
    high: float

    @classmethod
    def of(cls, count: int, total: int) -> Share:
        """The share with its interval. Raises ValueError unless 0 ≤ count ≤ total.

        >>> share = Share.of(0, 29)
        >>> share.value, round(share.high, 3)
        (0.0, 0.119)
        """
        low, high = lower_bound(count, total, confidence=0.975), upper_bound(count, total, confidence=0.975)
        return cls(count, total, count / total if total else float("nan"), float(low), float(high))


def lower_bound(count: ArrayLike, total: ArrayLike, *, confidence: float) -> NDArray[np.float64]:
    """The share that is exceeded with that confidence, one-sided, for each count (n,) of a total (n,); 0 for count 0.

    Raises ValueError unless 0 ≤ count ≤ total.

    >>> lower_bound([0, 29], [29, 29], confidence=0.95).round(3).tolist()
    [0.0, 0.902]
    """
    from scipy.special import betaincinv

    counts, totals = _counted(count, total)
    bound = betaincinv(np.maximum(counts, 1), totals - counts + 1, 1 - confidence)
    return np.asarray(np.where(counts > 0, bound, 0.0), float)


def upper_bound(count: ArrayLike, total: ArrayLike, *, confidence: float) -> NDArray[np.float64]:
    """The share that is not reached with that confidence, one-sided; 1 where all were counted.

    Takes and raises what `lower_bound` does.
    """
    counts, totals = _counted(count, total)
    return 1 - lower_bound(totals - counts, totals, confidence=confidence)


def chance_of_at_most(count: ArrayLike, total: ArrayLike, share: ArrayLike) -> NDArray[np.float64]:
    """The chance of `count` or fewer among `total` independent ones, each counted with a chance of `share` (0 to 1)."""
    from scipy.stats import binom

    return np.asarray(binom.cdf(count, total, share), float)


def chance_of_at_least(count: ArrayLike, total: ArrayLike, share: ArrayLike) -> NDArray[np.float64]:
    """The chance of `count` or more among `total` independent ones, each counted with a chance of `share` (0 to 1)."""
    from scipy.stats import binom

    return np.asarray(binom.sf(np.asarray(count) - 1, total, share), float)


@lru_cache(maxsize=4096)
def trials_needed(share: float, confidence: float, misses: int = 0) -> int:
    """How many trials with this many misses show, with that confidence, that at least `share` of all succeed.

    The fewest n for which n trials of a lower share have so few misses with a chance of at most 1 − confidence.

    >>> trials_needed(0.90, 0.95), trials_needed(0.95, 0.95), trials_needed(0.90, 0.95, misses=1)
    (29, 59, 46)
    """
    from scipy.special import bdtrin

    # the real number of trials is rounded up by the chance itself, lest a float just off a whole number decide
    needed = max(misses + 1, math.floor(float(bdtrin(misses, 1 - confidence, 1 - share))))
    while chance_of_at_most(misses, needed, 1 - share) > 1 - confidence:
        needed += 1
    return needed


def _counted(count: ArrayLike, total: ArrayLike) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    counts, totals = np.asarray(count), np.asarray(total)
    if not (np.all(counts >= 0) and np.all(counts <= totals)):
        raise ValueError(f"got a count of {counts} in a total of {totals}; expected 0 <= count <= total")
    return counts, totals
