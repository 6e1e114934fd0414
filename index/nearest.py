"""The rows and products nearest to a vector: compared with all rows, or with the few that a partition leads to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import IndexDamagedError
from lookalike.model.encoder import Vectors

from .comparison import best_first, blocks, nearest_of_all, searched, similarities_at, threads_up_to
from .partition import MOST_CANDIDATES, Coded, Lists, Partition

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

    def similarities_at(self, queries: Vectors, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The similarities, (n, most), of `queries`, (n, dim), to `rows`, (n, most); −∞ to row −1."""
        return similarities_at(queries, self.vectors, rows)

    def search(self, queries: Vectors, width: int, rows: NDArray[np.int64] | None = None) -> Found:
        """The `width` rows nearest to each of `queries`, float32 (n, dim), among all rows or among `rows`."""
        vectors = self.vectors
        among = blocks(vectors) if rows is None else ((some, vectors[some]) for some in _pieces_of(rows))
        nearest = nearest_of_all(queries, among, width)
        with threads_up_to(1):
            return best_first(nearest, partial(self.similarities_at, queries))


class Pieces:
    """Vectors in `pieces`, each float32 (n, width), on disk or in memory; `alive` says which of all rows still exist.

    Rows in arguments and results are counted among the living ones.
    """

    def __init__(self, pieces: Sequence[Vectors], alive: NDArray[np.bool_]) -> None:
        self._pieces = pieces
        self._starts = np.cumsum([0, *map(len, pieces)])
        self.stored = np.flatnonzero(alive)

    def __len__(self) -> int:
        return len(self.stored)

    @property
    def vectors(self) -> Vectors:
        """All living vectors, float32 (n, width); a copy unless there is one piece and all of it is alive."""
        if len(self._pieces) == 1 and len(self) == len(self._pieces[0]):
            return self._pieces[0]
        return self.vectors_at(np.arange(len(self)))

    def vectors_at(self, rows: NDArray[np.int64]) -> Vectors:
        """The vectors of these rows, float32 (n, width); only they are read."""
        vectors = np.empty((len(rows), self._pieces[0].shape[1]), np.float32)
        for piece, places, here in self._places(rows):
            vectors[here] = piece[places[here]]
        return vectors

    def similarities_at(self, queries: Vectors, rows: NDArray[np.int64], columns: slice) -> NDArray[np.float32]:
        """The similarities, (n, most), of `queries`, (n, dim), to these columns of `rows`, (n, most); −∞ to row −1."""
        similarity = np.full(rows.shape, -np.inf, np.float32)
        for piece, places, here in self._places(rows):
            found = similarities_at(queries, piece, np.where(here, places, -1), columns=columns)
            similarity = np.where(here, found, similarity)
        return similarity

    def _places(self, rows: NDArray[np.int64]) -> Iterator[tuple[Vectors, NDArray[np.int64], NDArray[np.bool_]]]:
        """Each piece that has some of these rows, their places in it, and which of the rows it has."""
        stored = np.where(rows < 0, -1, self.stored[rows])
        for piece, start, end in zip(self._pieces, self._starts[:-1], self._starts[1:], strict=True):
            here = (stored >= start) & (stored < end)
            if here.any():
                yield piece, stored - start, here


class Mapped(Pieces):
    """Pieces whose vectors a map changes whenever they are asked for."""

    def __init__(
        self, pieces: Sequence[Vectors], alive: NDArray[np.bool_], changed: Callable[[Vectors], Vectors]
    ) -> None:
        super().__init__(pieces, alive)
        self._changed = changed

    @property
    def vectors(self) -> Vectors:
        """All living vectors, float32 (n, width); a copy."""
        return self.vectors_at(np.arange(len(self)))

    def vectors_at(self, rows: NDArray[np.int64]) -> Vectors:
        """The vectors of these rows, float32 (n, width); only they are read."""
        return self._changed(super().vectors_at(rows))

    def similarities_at(self, queries: Vectors, rows: NDArray[np.int64], columns: slice) -> NDArray[np.float32]:
        """The similarities, (n, most), of `queries`, (n, dim), to these columns of `rows`, (n, most); −∞ to row −1."""
        asked, place = np.unique(np.maximum(rows, 0), return_inverse=True)
        places = np.where(rows < 0, -1, place.reshape(rows.shape))
        return similarities_at(queries, self.vectors_at(asked), places, columns=columns)


class Streamed:
    """Compares `columns` of all vectors in pieces, a block of them in memory at a time."""

    def __init__(self, pieces: Pieces, columns: slice) -> None:
        self._pieces, self._columns = pieces, columns

    def __len__(self) -> int:
        return len(self._pieces)

    def search(self, queries: Vectors, width: int, rows: NDArray[np.int64] | None = None) -> Found:
        """The `width` rows nearest to each of `queries`, float32 (n, dim), among all rows or among `rows`.

        Raises IndexDamagedError if vectors read from disk don't have length 1.
        """
        nearest = nearest_of_all(queries, self._blocks(np.arange(len(self)) if rows is None else rows), width)
        with threads_up_to(1):
            return best_first(nearest, partial(self.similarities_at, queries))

    def similarities_at(self, queries: Vectors, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The similarities, (n, most), of `queries`, (n, dim), to `rows`, (n, most); −∞ to row −1."""
        similarity = self._pieces.similarities_at(queries, rows, self._columns)
        bound = 1.001 * np.linalg.norm(queries, axis=1, keepdims=True) + 0.001
        if not np.all((np.abs(similarity) <= bound) | (rows < 0) | np.isnan(bound)):
            raise IndexDamagedError(
                "the index holds vectors that don't have length 1, so its files are not as they were written; "
                "find out which with: lookalike info DIR, and build the index again"
            )
        return similarity

    def _blocks(self, rows: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
        for block in _pieces_of(rows):
            yield block, np.ascontiguousarray(self._pieces.vectors_at(block)[:, self._columns])


class Partitioned(Streamed):
    """Compares `columns` of vectors in pieces; a partition's lists in memory lead to those worth comparing.

    `coded` has the lists and codes of the rows of each piece.
    """

    def __init__(self, partition: Partition, pieces: Pieces, coded: Sequence[Coded], columns: slice) -> None:
        super().__init__(pieces, columns)
        self._partition, self._coded = partition, coded

    def search(self, queries: Vectors, width: int, rows: NDArray[np.int64] | None = None) -> Found:
        """The `width` rows, or more, nearest to each of `queries`, float32 (n, dim).

        A search among given `rows` is exact, and so is one too wide for choosing candidates to help. Raises
        IndexDamagedError if vectors read from disk don't have length 1.
        """
        if rows is not None or width > MOST_CANDIDATES or width >= len(self):
            return super().search(queries, width, rows)
        chunks = [queries[start : start + _QUERIES] for start in range(0, len(queries), _QUERIES)]
        found = searched(len(queries), lambda: [self._candidates(chunk, width) for chunk in chunks])
        if not found:
            return np.empty((0, width), np.float32), np.empty((0, width), np.int64)
        return np.concatenate([values for values, _ in found]), np.concatenate([near for _, near in found])

    def _candidates(self, queries: Vectors, width: int) -> Found:
        partition = self._partition
        nprobe = partition.nprobe * -(-width // partition.candidates)
        nearest = self._inverted.candidates(queries, width=max(width, partition.candidates), nprobe=nprobe)
        return best_first(nearest, partial(self.similarities_at, queries))

    @cached_property
    def _inverted(self) -> Lists:
        lists, codes = (np.concatenate(each) for each in zip(*self._coded, strict=True))
        return self._partition.lists_of(lists[self._pieces.stored], codes[self._pieces.stored])


def _pieces_of(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    return (rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK))


def best_of_each_product(
    nearest: Exact | Streamed,
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


def united(
    heads: Sequence[Exact | Streamed], queries: Sequence[Vectors], found: Sequence[Found], product: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """What the searches of two heads `found`, as one answer: similarities, looks and rows, (n, most), padded as these.

    Each product has one row, the one of its two rows with the greater sum of similarity and look; the products come by
    similarity, highest first. `heads`, `queries` and `found` are those for similarity and those for look.
    """
    rows = np.concatenate([near for _, near in found], axis=1)
    both = []
    for at, (head, vectors) in enumerate(zip(heads, queries, strict=True)):
        known, other = found[at], found[1 - at]
        with threads_up_to(1):  # in a forked process, more of them would wait for ever
            values = [known[0], head.similarities_at(vectors, other[1])]
        both.append(np.concatenate(values if at == 0 else values[::-1], axis=1))
    order = np.argsort(-(both[0] + both[1]), axis=1, kind="stable")
    ordered = np.take_along_axis(rows, order, 1)
    query, place, _ = _first_of_each(np.where(ordered < 0, -1, product[ordered]), rows.shape[1])
    kept = np.zeros(rows.shape, bool)
    kept[query, order[query, place]] = True
    similarity, look = (np.where(kept, values, -np.inf).astype(np.float32) for values in both)
    best = np.argsort(-similarity, axis=1, kind="stable")
    similarity, look, rows = (
        np.take_along_axis(each, best, 1) for each in (similarity, look, np.where(kept, rows, -1))
    )
    most = int(kept.sum(axis=1).max(initial=0))
    return similarity[:, :most], look[:, :most], rows[:, :most]


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
