"""Cross-fitting: the map fitted five times, each time without a fifth of the products, so that labels can test it.

A map does better on labels that it was fitted to than on others. So what a label says of a map, it says of one that was
fitted to no photo of its product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .fitting import LabelledVectors, LinearMap, answers, fit_map

FOLDS = 5
LEAST_PRODUCTS = 10
"""With labels of fewer products, nobody can tell how a map does on others: each fold would leave out one or two."""

Answered = tuple[NDArray[np.float64], NDArray[np.bool_]]
"""The similarity of each of n photos to its nearest reference (n,), and whether that is right (n,)."""


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """Maps fitted to n labelled photos: `maps[k]` to those whose `fold`, int (n,), isn't k."""

    maps: tuple[LinearMap, ...]
    fold: NDArray[np.int64]

    def answers(self, labelled: LabelledVectors, rows: NDArray[np.intp]) -> Answered:
        """What each of these photos is answered by the map that saw no photo of its product."""
        similarity, right = np.empty(len(rows)), np.empty(len(rows), bool)
        for number, fitted in enumerate(self.maps):
            here = self.fold[rows] == number
            similarity[here], right[here] = answers(labelled, rows[here], fitted)
        return similarity, right


def cross_fit(labelled: LabelledVectors, *, seed: int = 0) -> CrossFitted | None:
    """The maps that these labels ask for without a fold; None if the counted ones show fewer than LEAST_PRODUCTS.

    Photos of one product, and equal ones, are in one fold; `seed` draws which.
    """
    groups = labelled.groups
    if len(np.unique(groups[labelled.counted & labelled.related])) < LEAST_PRODUCTS:
        return None
    fold = (np.random.default_rng(seed).permutation(int(groups.max()) + 1) % FOLDS)[groups]
    partners = labelled.partners()
    return CrossFitted(
        tuple(fit_map(labelled, partners, np.flatnonzero(fold != number)) for number in range(FOLDS)), fold
    )
