"""Exact similarities of vectors, computed by FAISS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lookalike.cores import Threads
from lookalike.model.encoder import Vectors

_BLOCK = 1 << 16  # vectors taken into memory at a time

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


def similarities_at(queries: Vectors, vectors: Vectors, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """The similarities, (n, width), of each of `queries`, (n, dim), to the rows of `vectors` in `rows`, (n, width).

    Only these rows are read, so `vectors` may be memory-mapped. The similarity to row −1 is −∞.
    """
    import faiss

    found = np.empty(rows.shape, np.float32)
    queries, rows = np.ascontiguousarray(queries, np.float32), np.ascontiguousarray(rows, np.int64)
    pointers = [faiss.swig_ptr(array) for array in (found, queries, vectors, rows)]
    faiss.fvec_inner_products_by_idx(*pointers, queries.shape[1], *rows.shape)  # type: ignore[attr-defined]
    return found


def nearest_of_all(
    queries: Vectors, blocks: Iterator[tuple[NDArray[np.int64], Vectors]], width: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Exact search over blocks of rows and their vectors: similarities and rows, both (n, width), best first.

    If there are fewer rows than `width`, they are padded with −∞ and −1.
    """
    import faiss

    best = np.full((len(queries), width), -np.inf, np.float32)
    rows = np.full((len(queries), width), -1, np.int64)
    for numbers, block in blocks:
        similarities, places = faiss.knn(queries, block, min(width, len(block)), faiss.METRIC_INNER_PRODUCT)
        values = np.concatenate([best, similarities], axis=1)
        names = np.concatenate([rows, numbers[places]], axis=1)
        order = np.argsort(-values, axis=1, kind="stable")[:, :width]
        best, rows = np.take_along_axis(values, order, 1), np.take_along_axis(names, order, 1)
    return best, rows


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
