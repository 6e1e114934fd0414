"""From vectors to matches: the best references of the nearest products, by similarity and by look."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from lookalike.model.encoder import Vectors
from lookalike.records import Match

from .catalogue import references_at, rows_of
from .nearest import best_of_each_product, united
from .state import State


def matches_in(
    state: State, vectors: Vectors, *, top: int, brands: Iterable[str] | None, products: Iterable[str] | None
) -> list[tuple[Match, ...]]:
    """What `ReferenceIndex.search` says."""
    vectors = np.asarray(vectors, np.float32)
    if vectors.ndim != 2 or vectors.shape[1] != state.spec.width:
        raise ValueError(f"got vectors of shape {vectors.shape}, expected (n, {state.spec.width})")
    if top < 1:
        raise ValueError(f"top is {top}, expected 1 or more")
    rows = rows_of(state.catalogue, brands=brands, products=products)
    parts = [np.ascontiguousarray(part) for part in state.spec.parts(vectors)]
    nearest = [
        best_of_each_product(head, state.product, part, products=state.products, top=top, rows=rows)
        for head, part in zip(state.heads, parts, strict=True)
    ]
    look: Sequence[Sequence[float | None]]
    if len(nearest) == 1:
        (similarity, found), look = nearest[0], [[None] * nearest[0][1].shape[1]] * len(vectors)
    else:
        similarity, looks, found = united(state.heads, parts, nearest, state.product)
        look = looks.clip(-1, 1).tolist()
    similarity = similarity.clip(-1, 1)  # products of float32 vectors of length 1 may exceed it a little
    reference = references_at(state.catalogue, np.unique(found[found >= 0]))
    return [
        tuple(
            Match.found(reference[row], value, own)
            for row, value, own in zip(best, values, looked, strict=True)
            if row >= 0
        )
        for best, values, looked in zip(found.tolist(), similarity.tolist(), look, strict=True)
    ]
