"""Have similarities moved? Compares those of two findings tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .observed import Observed

DRIFT_LEAST = 200
"""Findings needed in both tables: with b bins the index of two equal distributions is about (b - 1)(1/n + 1/m), so
0.09 here (Yurdakul & Naranjo, "Statistical properties of the population stability index", 2020)."""
DRIFT_INDEX = 0.25
"""A large shift of the population stability index; a convention (Lewis, "An Introduction to Credit Scoring", 1994)."""


@dataclass(frozen=True)
class Drift:
    """How far the values of a `column` have moved: counts and medians `before` and `now`.

    `ks` is the largest difference of the two cumulative shares (0 to 1), `p` its significance, `index` the population
    stability index over deciles of the earlier values: 0 if nothing moved, a large shift from 0.25 on, whatever the
    counts.
    """

    column: str
    before: int
    now: int
    median_before: float
    median_now: float
    ks: float
    p: float
    index: float
    raised: bool


def measure_drift(before: Observed, now: Observed, *, normalised: bool = False, alpha: float = 0.05) -> Drift | None:
    """Compare the similarities, or the normalised ones, of two tables; None if one has none.

    The drift is raised if both have DRIFT_LEAST or more, the two-sample Kolmogorov-Smirnov test gives p ≤ alpha, and
    the population stability index is DRIFT_INDEX or more. An index over deciles says little about a rare upper end:
    only verdicts say whether flags are still right.
    """
    from scipy.stats import ks_2samp

    was, are = (before.normalised, now.normalised) if normalised else (before.similarity, now.similarity)
    if not len(was) or not len(are):
        return None
    # the exact p takes minutes for large tables, and warns when it can't be computed
    test = ks_2samp(was, are, method="asymp")
    index = stability_index(was, are)
    p = float(test.pvalue)
    return Drift(
        column="normalised_similarity" if normalised else "similarity",
        before=len(was),
        now=len(are),
        median_before=float(np.median(was)),
        median_now=float(np.median(are)),
        ks=float(test.statistic),
        p=p,
        index=index,
        raised=min(len(was), len(are)) >= DRIFT_LEAST and index >= DRIFT_INDEX and p <= alpha,
    )


def stability_index(before: NDArray[np.float32], now: NDArray[np.float32]) -> float:
    """The population stability index over deciles of the earlier values: Σ (now - before) ln(now / before) of shares.

    Half a value is added to each bin, so that an empty bin counts for much but not for infinity. A value that fills a
    whole decile gets a bin of its own.

    >>> values = np.arange(100, dtype=np.float32)
    >>> stability_index(values, values), round(stability_index(values, values + 10), 2)
    (0.0, 0.35)
    """
    deciles, times = np.unique(np.quantile(before, np.linspace(0.1, 0.9, 9)), return_counts=True)
    edges = np.unique(np.concatenate([deciles, np.nextafter(deciles[times > 1], np.float32(np.inf))]))
    shares = []
    for values in (before, now):
        counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1) + 0.5
        shares.append(counts / counts.sum())
    return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))
