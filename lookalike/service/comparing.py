"""Compares photos point by point in processes of their own, one a core.

Comparing is most of a check, and Python runs one thread of a process at a time. The processes get pictures that were
decoded, never a stranger's file.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import traceback
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import LifoQueue
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lookalike.allocator import keep_freed
from lookalike.detection.verification import compared
from lookalike.errors import ImageReadError, LookalikeError

from .processes import end

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from numpy.typing import NDArray

    from lookalike.model.features import LocalFeatures
    from lookalike.records import Verification

_TRIES = 2  # a process that dies at a photo may have died of something else
_MOST_SECONDS = 60.0  # for one photo, which takes some hundredths; a process that takes longer hangs, and is killed
_TO_END = 1.0  # seconds that a process gets to end by itself
_KEPT = 32 * 2**20  # bytes; a fifth of the time went into asking the system for the same memory again

_log = logging.getLogger("lookalike.service")


class Comparing:
    """Has `count` processes do what `compared` does. Each starts when it is needed, and again after it died."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="lookalike-compare")
        self._idle: LifoQueue[_Worker] = LifoQueue()  # the last is taken first, and those not needed don't start
        for _ in range(count):
            self._idle.put(_Worker())

    def start(self) -> None:
        """Start all of them, and return once they are ready. Raises LookalikeError if they can't be started."""
        workers = [self._idle.get() for _ in range(self._count)]
        try:
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.compared(np.zeros((8, 8), np.uint8), [])
        except (EOFError, OSError) as error:
            raise LookalikeError("the processes that compare photos can't be started; memory may be short") from error
        finally:
            for worker in workers:
                self._idle.put(worker)

    def submit(self, picture: NDArray[np.uint8], references: Sequence[LocalFeatures]) -> Future[list[Verification]]:
        """What `compared` returns for these. The future raises ImageReadError if processes die or hang at it."""
        return self._threads.submit(self._compared, picture, references)

    def close(self) -> None:
        """End all of them; what wasn't begun is dropped."""
        self._threads.shutdown(cancel_futures=True)
        for _ in range(self._count):
            self._idle.get().end()

    def _compared(self, picture: NDArray[np.uint8], references: Sequence[LocalFeatures]) -> list[Verification]:
        worker = self._idle.get()
        try:
            for _ in range(_TRIES):
                try:
                    return worker.compared(picture, references)
                except (EOFError, OSError):
                    status = worker.end()
                    _log.warning("a process that compares photos ended with the exit status %s", status)
        finally:
            self._idle.put(worker)
        raise ImageReadError(f"{_TRIES} processes ended at it; memory may be short, or the photo the cause")


class _Worker:
    """A process, once it is started, and the pipe to it. One thread uses it at a time."""

    def __init__(self) -> None:
        self._open: tuple[SpawnProcess, Connection] | None = None

    def start(self) -> Connection:
        """Start the process unless it runs."""
        if self._open is None:
            spawn = multiprocessing.get_context("spawn")  # a fork would take the locks of other threads along
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=_work, args=(theirs,), name="lookalike compare", daemon=True)
            process.start()
            theirs.close()
            self._open = process, ours
        return self._open[1]

    def compared(self, picture: NDArray[np.uint8], references: Sequence[LocalFeatures]) -> list[Verification]:
        """What the process says. Raises EOFError or OSError if it dies or hangs, RuntimeError for an error in code."""
        pipe = self.start()
        pipe.send((picture, references))
        if not pipe.poll(_MOST_SECONDS):
            raise TimeoutError
        answer: list[Verification] | str = pipe.recv()
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return answer

    def end(self) -> int | None:
        """End the process, if it was started. Returns its exit status."""
        if self._open is None:
            return None
        process, pipe = self._open
        self._open = None
        pipe.close()
        return end(process, after=_TO_END)


def _work(pipe: Connection) -> None:
    """Compare what comes through the pipe, until its other end is closed or gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides when it ends
    cv2.setNumThreads(1)
    keep_freed(_KEPT)
    with suppress(EOFError, OSError):
        while True:
            picture, references = pipe.recv()
            try:
                pipe.send(compared(picture, references))
            except Exception:  # noqa: BLE001  the server logs it, and answers that listing with an error
                pipe.send(traceback.format_exc())
