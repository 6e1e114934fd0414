"""The processor cores that this process may use, and threads for them that a forked child starts anew."""

from __future__ import annotations

import ctypes
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple, Protocol, TypeVar
from weakref import WeakSet

Item = TypeVar("Item")
Result = TypeVar("Result")


def available_cores() -> int:
    """How many cores this process may use, by its affinity and by the quota of its container."""
    import joblib

    return int(joblib.cpu_count())


class Renewed(Protocol):
    """Holds something that a forked child can't use as it is: threads, a lock, an open database."""

    def renew(self) -> None:
        """Start anew. Called in a forked child, before it does anything else."""


_renewed: WeakSet[Renewed] = WeakSet()


def renew_in_children(holder: Renewed) -> None:
    """Call the holder's `renew` in every child that this process forks from now on."""
    _renewed.add(holder)


def _renew() -> None:
    for holder in list(_renewed):
        holder.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


class Threads:
    """A pool of as many threads as there are cores, started when they are needed, and anew in a forked child.

    OpenMP, with which torch and FAISS compute, keeps helpers for every thread that once asked for some. A fork copies
    the thread that forks without its helpers, and it would wait for them for ever. So only threads of such a pool ask.
    """

    def __init__(self, name: str, *, count: int | None = None, initializer: Callable[[], object] | None = None) -> None:
        self._name, self._count, self._initializer = name, count, initializer
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        """Forget the threads; others are started when they are needed."""
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def map(self, work: Callable[[Item], Result], items: Iterable[Item], *, most: int) -> Iterator[Result]:
        """The results for all items, in order, with at most `most` of them worked on at a time."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(
                    self._count or available_cores(), thread_name_prefix=self._name, initializer=self._initializer
                )
            pool = self._pool
        running: deque[Future[Result]] = deque()
        try:
            for item in items:
                if len(running) >= most:
                    yield running.popleft().result()
                running.append(pool.submit(work, item))
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()


def use_cores(count: int) -> None:
    """Have what computes with OpenMP use so many cores in this thread from now on, and in no other."""
    _openmp().limit(limits=count)


@contextmanager
def on_cores(count: int) -> Iterator[None]:
    """The same for a while."""
    with _openmp().limit(limits=count):
        yield


@lru_cache(maxsize=1)
def _openmp() -> Any:
    import torch  # noqa: F401  so that its OpenMP is loaded
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="openmp")


class _Library(NamedTuple):
    """What tells and sets how many threads a copy of OpenBLAS uses."""

    threads: Callable[[], int]
    change: Callable[[int], None]


class _Blas:
    """How many threads are inside `one_core_each`, and what OpenBLAS was set to before the first came in."""

    def __init__(self) -> None:
        self._before: list[tuple[_Library, int]] = []
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        """In a forked child nobody is inside; what was set before is put back when the next one leaves."""
        self._lock = threading.Lock()
        self._inside = 0

    def enter(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = self._before or [(each, each.threads()) for each in _blas_with_own_threads()]
                for library, _ in self._before:
                    library.change(1)
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside = max(0, self._inside - 1)  # one that forked inside leaves in the child too
            if not self._inside:
                for library, count in self._before:
                    library.change(count)
                self._before = []


_blas = _Blas()


@contextmanager
def one_core_each() -> Iterator[None]:
    """Keep numpy's and OpenCV's matrix products on the calling thread's core.

    For one product OpenBLAS wakes a thread on every core, and each of them then spins for some milliseconds, which
    other work lacks. Its setting belongs to the whole process. So it is set while any thread is in here, and put back.
    """
    _blas.enter()
    try:
        yield
    finally:
        _blas.leave()


@lru_cache(maxsize=1)
def _blas_with_own_threads() -> list[_Library]:
    """The copies of OpenBLAS that this process has loaded, one for numpy and one for OpenCV, but not FAISS's.

    FAISS's uses OpenMP, whose number of threads belongs to the calling thread. threadpoolctl finds the copies, but lets
    only one thread of a program set them.
    """
    import cv2  # noqa: F401  so that its copy is loaded
    import numpy as np  # noqa: F401
    from threadpoolctl import ThreadpoolController

    found = ThreadpoolController().select(internal_api="openblas").lib_controllers
    return [each for library in found if library.threading_layer == "pthreads" for each in _switches(library.filepath)]


def _switches(path: str) -> Iterator[_Library]:
    """Builds of OpenBLAS for Python give its functions names of their own."""
    library = ctypes.CDLL(path)
    for prefix, suffix in product(("", "scipy_"), ("", "64_", "_64")):
        threads = getattr(library, f"{prefix}openblas_get_num_threads{suffix}", None)
        change = getattr(library, f"{prefix}openblas_set_num_threads{suffix}", None)
        if threads is not None and change is not None:
            yield _Library(threads, change)
            return
