"""What a slow source gives, in groups that wait for nobody longer than they must."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from queue import Empty, Queue
from typing import TypeVar

Item = TypeVar("Item")

_GOODBYE = 1.0  # seconds that a source gets to stop in


class _End:
    """The last that a source gives: its error, if it ended with one."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def arrivals(source: Iterable[Item], *, most: int, max_wait: float) -> Generator[list[Item], None, None]:
    """What `source` gives, in groups of up to `most`, each at most `max_wait` seconds after its first item came.

    The source runs in a thread of its own, up to `most` items ahead. It is closed when this is closed; if it is waiting
    for something then, as soon as it gives its next item. An error of the source is raised after what came before it.
    """
    arrived: Queue[Item | _End] = Queue(most)
    closed = threading.Event()
    feeder = threading.Thread(target=_feed, args=(source, arrived, closed), name="lookalike-arrivals", daemon=True)
    feeder.start()
    try:
        while True:
            group, end = _group(arrived, most, max_wait)
            if group:
                yield group
            if end is not None:
                if end.error is not None:
                    raise end.error
                return
    finally:
        closed.set()
        with suppress(Empty):  # so that the feeder, if it waits for room, finds out
            while True:
                arrived.get_nowait()
        feeder.join(_GOODBYE)


def close_source(source: Iterator[Item]) -> None:
    """Close a generator, or anything else that can be closed."""
    close = getattr(source, "close", None)
    if callable(close):
        close()


def _feed(source: Iterable[Item], arrived: Queue[Item | _End], closed: threading.Event) -> None:
    error: BaseException | None = None
    try:
        items = iter(source)
        try:
            for item in items:
                arrived.put(item)
                if closed.is_set():
                    break
        finally:
            close_source(items)
    except BaseException as raised:  # noqa: BLE001  it is raised again in the thread that asks for what came
        error = raised
    if not closed.is_set():
        arrived.put(_End(error))


def _group(arrived: Queue[Item | _End], most: int, max_wait: float) -> tuple[list[Item], _End | None]:
    """The next group, and the end if the source has ended."""
    group: list[Item] = []
    until = float("inf")
    while len(group) < most:
        try:
            item = arrived.get(timeout=None if not group else max(0.0, until - time.monotonic()))
        except Empty:
            break
        if isinstance(item, _End):
            return group, item
        if not group:
            until = time.monotonic() + max_wait
        group.append(item)
    return group, None
