"""Memory for the pictures that are being decoded at once: one budget for all threads of the process."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from lookalike.allocator import give_back

_LARGE = 100_000_000


class Budget:
    """Counts the bytes that threads have reserved. They get them in the order in which they asked."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all reservations: after a fork, the threads that made them don't exist."""
        self._changed = Condition()
        self._waiting: deque[object] = deque()
        self.reserved = 0

    @contextmanager
    def reserve(self, size: int, *, most: int) -> Iterator[None]:
        """Hold `size` bytes; wait while that would make more than `most`. A thread must not reserve twice at once.

        If nothing else is reserved, it doesn't wait: whether one picture is too large is for the caller to say.
        """
        turn = object()
        with self._changed:
            self._waiting.append(turn)
            try:
                self._changed.wait_for(
                    lambda: self._waiting[0] is turn and (not self.reserved or self.reserved + size <= most)
                )
                self.reserved += size
            finally:  # also when interrupted
                self._waiting.remove(turn)
                self._changed.notify_all()
        try:
            yield
        finally:
            if size >= _LARGE:
                give_back()  # of which glibc keeps a few hundred MB for each thread
            with self._changed:
                self.reserved -= size
                self._changed.notify_all()


DECODING = Budget()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=DECODING.reset)
