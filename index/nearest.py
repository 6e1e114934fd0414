"""The rows and products nearest to a vector: compared with all rows, or with the few that a partition leads to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import IndexDamagedError
from lookalike.model.encoder import Vectors

from .comparison import nearest_of_all, searched, similarities_at
from .partition import MOST_CANDIDATES, Agreement, Lists, Partition

Found = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Similarities and rows, both (n, width or more), best first, padded with −∞ and −1."""

_BLOCK = 1 << 16  # vectors taken into memory at a time
_QUERIES = 1 << 12  # queries looked up at a time


class Exact:
    """Compares with every vector, all of them in memory as float32 (n, dim)."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors: Vectors = np.ascontiguousarray(vectors, np.float32)

    def __len__(self) -> int:
        return len(self.vectors)

    def vectors_at(self, rows: NDArray[np.int64]) -> Vectors:
        """The vectors of these rows, float32 (n, dim)."""
        return self.vectors[rows]

    def search(self, queries: Vectors, width: int, rows: NDArray[np.int64] | None = None) -> Found:
        """The `width` rows nearest to each of `queries`, float32 (n, dim), among all rows or among `rows`."""
        import faiss

        among = self.vectors if rows is None else self.vectors[rows]
        similarity, nearest = searched(
            len(queries), lambda: faiss.knn(queries, among, width, faiss.METRIC_INNER_PRODUCT)
        )
        return similarity, nearest if rows is None else rows[nearest]


class Partitioned:
    """Vectors in pieces, on disk or in memory; a partition's lists in memory lead to those worth comparing.

    Each of the `pieces` is float32 (n, dim). `lists` and `codes` are the partition's for the rows of each piece, and
    `alive` says which of all rows still exist. Rows in arguments and results are counted among the living ones.
    """

    def __init__(
        self,
        partition: Partition,
        pieces: Sequence[Vectors],
        lists: Sequence[NDArray[np.int32]],
        codes: Sequence[NDArray[np.uint8]],
        alive: NDArray[np.bool_],
    ) -> None:
        self._partition, self._pieces, self._lists, self._codes = partition, pieces, lists, codes
        self._starts = np.cumsum([0, *map(len, pieces)])
        self._stored = np.flatnonzero(alive)

    def __len__(self) -> int:
        return len(self._stored)

    @property
    def agreement(self) -> Agreement:
        """How often a search was measured to decide as an exact one does."""
        return self._partition.agreement

    @property
    def vectors(self) -> Vectors:
        """All living vectors, float32 (n, dim); a copy unless there is one piece and all of it is alive."""
        if len(self._pieces) == 1 and len(self) == len(self._pieces[0]):
            return self._pieces[0]
        return self.vectors_at(np.arange(len(self)))

    def vectors_at(self, rows: NDArray[np.int64]) -> Vectors:
        """The vectors of these rows, float32 (n, dim); only they are read."""
        stored = self._stored[rows]
        vectors = np.empty((len(rows), self._pieces[0].shape[1]), np.float32)
        for piece, start, end in zip(self._pieces, self._starts[:-1], self._starts[1:], strict=True):
            here = (stored >= start) & (stored < end)
            vectors[here] = piece[stored[here] - start]
        return vectors

    def search(self, queries: Vectors, width: int, rows: NDArray[np.int64] | None = None) -> Found:
        """The `width` rows, or more, nearest to each of `queries`, float32 (n, dim).

        A search among given `rows` is exact, and so is one too wide for choosing candidates to help. Raises
        IndexDamagedError if vectors read from disk don't have length 1.
        """
        chunks = [queries[start : start + _QUERIES] for start in range(0, len(queries), _QUERIES)]
        found = searched(len(queries), lambda: [self._search(chunk, width, rows) for chunk in chunks])
        if not found:
            return np.empty((0, width), np.float32), np.empty((0, width), np.int64)
        return np.concatenate([values for values, _ in found]), np.concatenate([near for _, near in found])

    def _search(self, queries: Vectors, width: int, rows: NDArray[np.int64] | None) -> Found:
        if rows is not None or width > MOST_CANDIDATES or width >= len(self):
            return nearest_of_all(queries, self._blocks(np.arange(len(self)) if rows is None else rows), width)
        partition = self._partition
        nprobe = partition.nprobe * -(-width // partition.candidates)
        nearest = self._inverted.candidates(queries, width=max(width, partition.candidates), nprobe=nprobe)
        nearest.sort(axis=1)  # so that the first of equally near rows comes first
        similarity = self._similarities(queries, nearest)
        order = np.argsort(-similarity, axis=1, kind="stable")
        return np.take_along_axis(similarity, order, 1), np.take_along_axis(nearest, order, 1)

    def _similarities(self, queries: Vectors, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        stored = np.where(rows < 0, -1, self._stored[rows])
        similarity = np.full(rows.shape, -np.inf, np.float32)
        for piece, start, end in zip(self._pieces, self._starts[:-1], self._starts[1:], strict=True):
            here = (stored >= start) & (stored < end)
            if here.any():
                found = similarities_at(queries, piece, np.where(here, stored - start, -1))
                similarity = np.where(here, found, similarity)
        bound = 1.001 * np.linalg.norm(queries, axis=1, keepdims=True) + 0.001
        if not np.all((np.abs(similarity) <= bound) | (rows < 0) | np.isnan(bound)):
            raise IndexDamagedError(
                "the index holds vectors that don't have length 1, so its files are not as they were written; "
                "find out which with: lookalike info DIR, and build the index again"
            )
        return similarity

    def _blocks(self, rows: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            yield block, self.vectors_at(block)

    @cached_property
    def _inverted(self) -> Lists:
        lists, codes = np.concatenate(self._lists), np.concatenate(self._codes)
        return self._partition.lists_of(lists[self._stored], codes[self._stored])


def best_of_each_product(
    nearest: Exact | Partitioned,
    product: NDArray[np.int32],
    vectors: Vectors,
    *,
    products: int,
    top: int,
    rows: NDArray[np.int64] | None,
) -> Found:
    """The best reference of each of the `top` products nearest to each of `vectors`, best first.

    Similarities and rows are (n, `top`), or narrower if there are fewer products among `rows` (None for all). `product`
    numbers the product of each row, from 0 to `products` − 1. References are searched, not products. So the search is
    widened for those vectors whose nearest references belong to too few products.
    """
    wanted = min(top, products if rows is None else len(np.unique(product[rows])))
    reachable = len(product) if rows is None else len(rows)
    found = np.full((len(vectors), wanted), -1, np.int64)
    similarity = np.full((len(vectors), wanted), -np.inf, np.float32)
    pending = np.arange(len(vectors))
    width = min(reachable, max(16, 4 * top))
    while len(pending) and width:
        values, near = nearest.search(vectors[pending], width, rows)
        query, place, rank = _first_of_each(np.where(near < 0, -1, product[near]), wanted)
        found[pending[query], rank] = near[query, place]
        similarity[pending[query], rank] = values[query, place]
        if width == reachable:
            break
        pending, width = pending[found[pending, -1] < 0], min(reachable, width * 8)
    return similarity, found


def _first_of_each(
    values: NDArray[np.int32], most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Row, column and rank of the first place of each value in its row, for the first `most` values of each row but −1.

    >>> [places.tolist() for places in _first_of_each(np.array([[7, 7, 5, -1], [2, 9, 2, 4]], np.int32), 2)]
    [[0, 0, 1, 1], [0, 2, 0, 1], [0, 1, 0, 1]]
    """
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, 1)
    new = np.ones(values.shape, bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = np.empty_like(new)
    np.put_along_axis(first, order, new, 1)
    first &= values >= 0
    rank = np.cumsum(first, axis=1) - 1
    row, column = np.nonzero(first & (rank < most))
    return row, column, rank[row, column]
