"""Where photos are embedded: on a CPU by the thread that read each, on a GPU together by one thread.

On a GPU, photos of several listings that wait at the same time go through the encoder together. On a CPU that gains
nothing, and with photos that change threads a twentieth fewer checks were answered.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lookalike.model.adapter import unadapted
from lookalike.model.encoder import in_threads

if TYPE_CHECKING:
    from lookalike.index.reading import Read
    from lookalike.model.encoder import Encoder


@dataclass(frozen=True)
class _Waiting:
    encoder: Encoder
    read: Read
    done: Future[Read] = field(default_factory=Future)


def embedded_here(encoder: Encoder, read: Read) -> Read:
    """The same picture with the vectors of all its views, computed in this thread; as it is if a GPU embeds."""
    if read.error is not None or str(getattr(unadapted(encoder), "device", "cpu")) != "cpu":
        return read
    return read.embedded(iter(in_threads(encoder, 1).embed(read.inputs())))


class Embedding:
    """Embeds up to `batch` views together, and waits up to `wait` seconds for others once there is one."""

    def __init__(self, *, batch: int, wait: float) -> None:
        self._batch, self._wait = batch, wait
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="lookalike-embedding", daemon=True)
        self._thread.start()

    def submit(self, encoder: Encoder, read: Read) -> Future[Read]:
        """The same picture with the vectors of all its views, once they are there."""
        waiting = _Waiting(encoder, read)
        self._waiting.put(waiting)
        return waiting.done

    def close(self) -> None:
        """End, once everything that waits is embedded."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        ended = False
        while not ended:
            group, ended = self._group()
            group = [each for each in group if each.done.set_running_or_notify_cancel()]
            for encoder in {id(each.encoder): each.encoder for each in group}.values():
                _embed(encoder, [each for each in group if each.encoder is encoder])

    def _group(self) -> tuple[list[_Waiting], bool]:
        """What is embedded next, and whether that is the last."""
        first = self._waiting.get()
        if first is None:
            return [], True
        group, views, until = [first], len(first.read.inputs()), time.monotonic() + self._wait
        while views < self._batch:
            try:
                left = until - time.monotonic()
                item = self._waiting.get(timeout=left) if left > 0 else self._waiting.get_nowait()
            except queue.Empty:
                break
            if item is None:
                return group, True
            group.append(item)
            views += len(item.read.inputs())
        return group, False


def _embed(encoder: Encoder, group: Sequence[_Waiting]) -> None:
    try:
        vectors = iter(encoder.embed([view for each in group for view in each.read.inputs()]))
        embedded = [each.read.embedded(vectors) for each in group]
    except Exception as error:  # noqa: BLE001  each listing's own answer says so; the thread goes on
        for each in group:
            each.done.set_exception(error)
        return
    for each, read in zip(group, embedded, strict=True):
        each.done.set_result(read)
