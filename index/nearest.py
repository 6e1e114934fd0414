"""Which rows are nearest to a vector: exactly, over all of them, or over the few that a partition leads to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import IndexDamagedError
from lookalike.model.encoder import Vectors

from .partition import MOST_CANDIDATES, Agreement, Lists, Partition, nearest_of_all, similarities_at, threads_up_to

Found = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Similarities and rows, both (n, width or more), best first; −∞ and −1 fill up."""

_BLOCK = 1 << 16  # vectors taken into memory at a time
_QUERIES = 1 << 12  # queries looked up at a time


class Exact:
    """All vectors in memory, float32 (n, dim), every one of them compared."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors: Vectors = np.ascontiguousarray(vectors, np.float32)

    def __len__(self) -> int:
        return len(self.vectors)

    def vectors_at(self, rows: NDArray[np.int64]) -> Vectors:
        """The vectors of these rows, float32 (n, dim)."""
        return self.vectors[rows]

    def search(self, queries: Vectors, width: int, rows: NDArray[np.int64] | None = None) -> Found:
        """The `width` nearest rows, of all or of `rows`, to each of `queries`, float32 (n, dim)."""
        import faiss

        among = self.vectors if rows is None else self.vectors[rows]
        with threads_up_to(1) if len(queries) == 1 else nullcontext():
            similarity, nearest = faiss.knn(queries, among, width, faiss.METRIC_INNER_PRODUCT)
        return similarity, nearest if rows is None else rows[nearest]


class Partitioned:
    """Vectors on disk or in memory, in pieces; a partition's lists in memory lead to those worth comparing.

    `pieces` are float32 (n, dim) each, `lists` and `codes` what the partition makes of all of their rows together, and
    `alive` which of these rows there still are. The rows that are given and asked for count the living ones only.
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
        """How far a search was measured to decide as an exact one does."""
        return self._partition.agreement

    @property
    def vectors(self) -> Vectors:
        """All vectors, float32 (n, dim); a copy, unless they are in one piece and all of them living."""
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
        """At least the `width` nearest rows to each of `queries`, float32 (n, dim).

        A search among given `rows`, and one for so many that choosing candidates is of no use, is exact. Raises
        IndexDamagedError where vectors read from disk are not of length 1.
        """
        chunks = [queries[start : start + _QUERIES] for start in range(0, len(queries), _QUERIES)]
        with threads_up_to(1) if len(queries) == 1 else nullcontext():
            found = [self._search(chunk, width, rows) for chunk in chunks]
        if not found:
            return np.empty((0, width), np.float32), np.empty((0, width), np.int64)
        return np.concatenate([values for values, _ in found]), np.concatenate([near for _, near in found])

    def _search(self, queries: Vectors, width: int, rows: NDArray[np.int64] | None) -> Found:
        if rows is not None or width > MOST_CANDIDATES or width >= len(self):
            return nearest_of_all(queries, self._blocks(np.arange(len(self)) if rows is None else rows), width)
        partition = self._partition
        nprobe = partition.nprobe * -(-width // partition.candidates)
        nearest = self._inverted.candidates(queries, width=max(width, partition.candidates), nprobe=nprobe)
        nearest.sort(axis=1)  # of equally near rows the first comes first
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
                "the index holds vectors that are not of length 1, so its files are not as they were written; "
                "look which with: lookalike info DIR, and build the index again"
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
