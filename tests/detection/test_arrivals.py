"""What comes slowly is handed on in time, in order, and its source is closed with its reader."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import chain, count, islice

import pytest

from lookalike.detection.arrivals import arrivals


class Source:
    """Gives numbers, each after its pause, and notes when it is closed."""

    def __init__(self, pauses: Iterator[float]) -> None:
        self.closed = threading.Event()
        self.given = 0
        self._pauses = pauses

    def __iter__(self) -> Iterator[int]:
        try:
            for pause in self._pauses:
                time.sleep(pause)
                self.given += 1
                yield self.given
        finally:
            self.closed.set()


def feeders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "lookalike-arrivals"]


def test_everything_comes_in_order_whatever_the_pace() -> None:
    quick = list(chain.from_iterable(arrivals(range(1000), most=7, max_wait=60)))
    assert quick == list(range(1000))
    source = Source(iter([0, 0.02, 0, 0, 0.02, 0.01]))
    groups = list(arrivals(source, most=3, max_wait=0.005))
    assert list(chain.from_iterable(groups)) == [1, 2, 3, 4, 5, 6] and max(map(len, groups)) <= 3
    assert list(arrivals([], most=3, max_wait=1)) == []


def test_a_group_waits_no_longer_than_it_may() -> None:
    later = threading.Event()

    def source() -> Iterator[int]:
        yield from (1, 2)
        later.wait(60)

    start = time.monotonic()
    groups = arrivals(source(), most=100, max_wait=0.2)
    assert next(groups) == [1, 2]
    assert 0.15 < time.monotonic() - start < 15
    later.set()
    assert list(groups) == []


def test_a_source_runs_no_further_ahead_than_a_group() -> None:
    source = Source(0.0 for _ in count())
    with_groups = arrivals(source, most=5, max_wait=10)
    assert list(islice(with_groups, 2)) == [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]
    time.sleep(0.1)
    assert source.given <= 10 + 5 + 2
    with_groups.close()
    assert source.closed.wait(10) and not feeders()
    assert next(with_groups, None) is None


def test_an_error_of_the_source_comes_after_what_came_before_it() -> None:
    def broken() -> Iterator[int]:
        yield from range(5)
        raise RuntimeError("the queue is gone")

    groups = arrivals(broken(), most=3, max_wait=10)
    assert [next(groups), next(groups)] == [[0, 1, 2], [3, 4]]
    with pytest.raises(RuntimeError, match="the queue is gone"):
        next(groups)
    assert not feeders()
