"""Is one reference suddenly hit far more often? Compares the hits of two findings tables."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lookalike.binomial import chance_of_at_least

from .observed import Observed

FLOOD_FACTOR, FLOOD_COUNT = 3.0, 10
"""How many times as many hits, and how many at least, make a flood. Above the 2 and 3 of Evans, Waller & Davis ("Use of
proportional reporting ratios for signal generation", 2001), as one seller's listings come together."""


@dataclass(frozen=True)
class Flood:
    """A reference hit `factor` times as often as before; `p` is corrected for the number of references (Holm)."""

    reference_id: str
    hits: int
    hits_before: int
    per_thousand: float
    per_thousand_before: float
    factor: float
    p: float


def find_floods(before: Observed, now: Observed, *, alpha: float = 0.05) -> tuple[Flood, ...]:
    """The references with far more hits per listing than before, the largest factor first.

    If a reference's rate has not changed, its hits in the later table, given those in both, are binomial with that
    table's share of the listings (the exact test of two Poisson rates; Przyborowski & Wilenski, 1940). Holm's
    correction covers all references hit. A reference counts as having had at least one hit before, and at least as many
    as the average one, so that one never hit before, which may be new, has a rate, too.
    """
    if not before.listings or not now.listings:
        return ()
    names = sorted({*before.hits, *now.hits})
    had = np.array([before.hits.get(name, 0) for name in names])
    hits = np.array([now.hits.get(name, 0) for name in names])
    usual = np.maximum(had, max(1, math.ceil(had.sum() / max(1, before.references))))
    p = chance_of_at_least(hits, hits + usual, now.listings / (now.listings + before.listings))
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(names))
    corrected[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(names), 0, -1)))
    factor = (hits / now.listings) / (usual / before.listings)
    raised = (corrected <= alpha) & (factor >= FLOOD_FACTOR) & (hits >= FLOOD_COUNT)
    thousands, thousands_before = 1000 * hits / now.listings, 1000 * had / before.listings
    columns = (hits, had, thousands, thousands_before, factor, corrected)
    floods = [Flood(names[i], *(column[i].item() for column in columns)) for i in np.flatnonzero(raised)]
    return tuple(sorted(floods, key=lambda flood: -flood.factor))
