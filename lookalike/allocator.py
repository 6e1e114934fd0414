"""What the allocator of memory is told, where it is glibc's (mallopt(3), malloc_trim(3)); others aren't asked."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # malloc.h


def share_arenas(count: int) -> None:
    """Have the threads of this process share `count` arenas."""
    _call("mallopt", _ARENA_MAX, count)


def keep_freed(size: int) -> None:
    """Have this process keep up to about `size` bytes of freed memory for what comes next, at most 32 MiB."""
    _call("mallopt", _TRIM_THRESHOLD, size)
    _call("mallopt", _MMAP_THRESHOLD, size)


def give_back() -> None:
    """Give the memory that this process has freed back to the system."""
    _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> None:
    function = getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
    if function is not None:
        function(*arguments)
