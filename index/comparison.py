"""Exact similarities of vectors, and the nearest of all."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lookalike.cores import Threads, one_core_each
from lookalike.model.encoder import Vectors

_BLOCK = 1 << 16  # vectors taken into memory at a time
_QUERIES, _LEAST_ROWS, _PRODUCTS = 512, 1024, 1 << 21  # of one product of matrices
_FEW = 3  # queries that FAISS compares one by one, faster than a product of matrices does

_T = TypeVar("_T")
_searching = Threads("lookalike-search")


def searched(queries: int, search: Callable[[], _T]) -> _T:
    """Let FAISS search for so many queries, with as many threads as it may use in this one; for one query, with one."""
    import faiss

    cores = 1 if queries == 1 else faiss.omp_get_max_threads()
    if cores == 1:
        with threads_up_to(1):
            return search()

    def with_helpers(search: Callable[[], _T]) -> _T:
        faiss.omp_set_num_threads(cores)
        return search()

    return next(_searching.map(with_helpers, [search], most=1))


def similarities_at(
    queries: Vectors, vectors: Vectors, rows: NDArray[np.int64], *, columns: slice = slice(None)
) -> NDArray[np.float32]:
    """The similarities, (n, most), of each of `queries`, (n, dim), to the rows of `vectors` in `rows`, (n, most).

    Only these rows are read, so `vectors` may be memory-mapped; `columns` are the dim of them to compare with. The
    similarity to row −1 is −∞.
    """
    import faiss

    found = np.empty(rows.shape, np.float32)
    wide = np.zeros((len(queries), vectors.shape[1]), np.float32)  # so that other columns count for nothing
    wide[:, columns] = queries
    queries, rows = wide, np.ascontiguousarray(rows, np.int64)
    pointers = [faiss.swig_ptr(array) for array in (found, queries, vectors, rows)]
    faiss.fvec_inner_products_by_idx(*pointers, queries.shape[1], *rows.shape)  # type: ignore[attr-defined]
    return found


def nearest_of_all(
    queries: Vectors, blocks: Iterable[tuple[NDArray[np.int64], Vectors]], width: int
) -> NDArray[np.int64]:
    """Exact search over blocks of ascending rows and their vectors: the `width` nearest rows, int64 (n, width).

    If there are fewer, they are padded with −1. As many threads as FAISS may use in this one take what is left piece
    by piece. So none waits for another, as OpenMP's threads do at every step. `best_first` puts the rows in order.
    """
    import faiss

    cores = 1 if len(queries) == 1 else faiss.omp_get_max_threads()
    left = _cut(blocks, max(_LEAST_ROWS, _PRODUCTS // min(len(queries), _QUERIES)) if cores > 1 else _BLOCK)
    parts = [_Nearest(queries, width) for _ in range(cores)]
    lock = Lock()

    def take(part: _Nearest) -> None:
        with threads_up_to(1):
            while True:
                with lock:
                    piece = next(left, None)
                if piece is None:
                    return
                part.take(*piece)

    def others() -> Iterator[_Nearest]:
        yield from parts[1:]
        take(parts[0])  # in this thread, now that the others have begun

    with one_core_each() if len(queries) > _FEW else nullcontext():
        list(_searching.map(take, others(), most=cores))
    similarity = np.concatenate([part.similarity for part in parts], axis=1)
    rows = np.concatenate([part.rows for part in parts], axis=1)
    return _best(similarity, rows, width)


def _best(similarity: NDArray[np.float32], rows: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """The `width` best of these rows, (n, any number), best first; of equally near rows the first ones.

    >>> _best(np.array([[1, 0.5, 1, 0.5]], np.float32), np.array([[7, 4, 3, 2]]), 3).tolist()
    [[3, 7, 2]]
    """
    return np.take_along_axis(rows, np.lexsort((rows, -similarity))[:, :width], 1)


def _cut(blocks: Iterable[tuple[NDArray[np.int64], Vectors]], most: int) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
    """The same in pieces of `most` rows."""
    for rows, vectors in blocks:
        for start in range(0, len(rows), most):
            yield rows[start : start + most], vectors[start : start + most]


class _Nearest:
    """The `width` rows nearest to each of `queries`, (n, dim), among those taken so far, best first."""

    def __init__(self, queries: Vectors, width: int) -> None:
        self._queries, self._width = queries, width
        self.similarity = np.full((len(queries), width), -np.inf, np.float32)
        self.rows = np.full((len(queries), width), -1, np.int64)
        self._rooms: dict[type, NDArray[Any]] = {}

    def take(self, rows: NDArray[np.int64], vectors: Vectors) -> None:
        """Compare with these rows, which come after those taken before. FAISS is faster for very few queries."""
        import faiss

        if len(self._queries) <= _FEW:
            found = faiss.knn(self._queries, vectors, min(self._width, len(rows)), faiss.METRIC_INNER_PRODUCT)
            self.keep(slice(None), found[0], np.where(found[1] < 0, -1, rows[found[1]]))
            return
        for start in range(0, len(self._queries), _QUERIES):
            some = slice(start, start + _QUERIES)
            queries = self._queries[some]
            similarity = np.matmul(vectors, queries.T, out=self._room_for((len(vectors), len(queries)), np.float32))
            least = self.similarity[some, -1]
            if np.isneginf(least).any():
                least = np.maximum(least, _surpassed(similarity, self._width))
            better = np.greater(similarity, least, out=self._room_for(similarity.shape, bool))
            row, query = np.divmod(np.flatnonzero(better), len(least))
            if len(query):
                self.keep(some, *_padded(query, similarity[row, query], rows[row], len(least)))

    def keep(self, some: slice, similarity: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
        """Keep, of some queries, the best of what was taken and of others, both (n, any number)."""
        values = np.concatenate([self.similarity[some], similarity], axis=1)
        names = np.concatenate([self.rows[some], rows], axis=1)
        order = np.argsort(-values, axis=1, kind="stable")[:, : self._width]
        self.similarity[some] = np.take_along_axis(values, order, 1)
        self.rows[some] = np.take_along_axis(names, order, 1)

    def _room_for(self, shape: tuple[int, ...], kind: type) -> NDArray[Any]:
        """An array whose memory is used again: to get fresh memory of that size takes as long as to compute."""
        size = math.prod(shape)
        if kind not in self._rooms or self._rooms[kind].size < size:
            self._rooms[kind] = np.empty(size, kind)
        return self._rooms[kind][:size].reshape(shape)


def _surpassed(similarity: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """A number for each query, (n,), that at least `width` of its similarities, (rows, n), surpass; −∞ if rows are few.

    The rows fall into groups. As many groups as `width` reach the `width`-th greatest of the groups' maxima.
    """
    rows, queries = similarity.shape
    groups = 8 * width
    size = rows // groups
    if size < 2:
        return np.full(queries, -np.inf, np.float32)
    greatest = similarity[: groups * size].reshape(size, groups, queries).max(axis=0)
    reached = np.partition(greatest, -width, axis=0)[-width]
    return np.asarray(np.nextafter(reached, np.float32(-np.inf)), np.float32)


def _padded(
    query: NDArray[np.int64], values: NDArray[np.float32], rows: NDArray[np.int64], queries: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Values and rows of each query side by side in their order, (queries, most of one), padded with −∞ and −1.

    >>> values, rows = _padded(np.array([1, 0, 1]), np.array([3, 4, 5], np.float32), np.array([6, 7, 8]), 2)
    >>> values.tolist(), rows.tolist()
    ([[4.0, -inf], [3.0, 5.0]], [[7, -1], [6, 8]])
    """
    order = np.argsort(query, kind="stable")
    query = query[order]
    count = np.bincount(query, minlength=queries)
    place = np.arange(len(query)) - (np.cumsum(count) - count)[query]
    similarity = np.full((queries, int(count.max())), -np.inf, np.float32)
    names = np.full(similarity.shape, -1, np.int64)
    similarity[query, place], names[query, place] = values[order], rows[order]
    return similarity, names


def best_first(
    rows: NDArray[np.int64], similarities: Callable[[NDArray[np.int64]], NDArray[np.float32]]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The similarities of these rows, (n, width), and the rows, best first; of equally near rows the first one first.

    The similarities are computed anew, so that they don't depend on what else is looked up in the same call.
    """
    rows = np.sort(rows, axis=1)
    similarity = similarities(rows)
    order = np.argsort(-similarity, axis=1, kind="stable")
    return np.take_along_axis(similarity, order, 1), np.take_along_axis(rows, order, 1)


@contextmanager
def threads_up_to(most: int) -> Iterator[None]:
    """Let FAISS use this many threads at most: for little work, waiting for more takes longer.

    OpenMP keeps the number per calling thread, so other callers don't notice.
    """
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(min(before, most))
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def blocks(vectors: Vectors) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
    """Rows and their vectors, a bounded number at a time, in memory even if `vectors` is memory-mapped."""
    for start in range(0, len(vectors), _BLOCK):
        block = np.ascontiguousarray(vectors[start : start + _BLOCK], np.float32)
        yield np.arange(start, start + len(block)), block
