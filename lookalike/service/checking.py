"""Checks listings within a deadline: photos are fetched, read and embedded in threads, and compared in processes."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from lookalike.cores import available_cores
from lookalike.errors import ImageReadError
from lookalike.index.embedding import embedded_photo
from lookalike.index.reading import PictureReader, Read
from lookalike.model.sources import read_error, read_source
from lookalike.records import Finding, ImageSource, Listing, photo_name

from .comparing import Comparing
from .embedding import Embedding, embedded_here
from .problems import too_many

if TYPE_CHECKING:
    from .bodies import Room
    from .metrics import Metrics
    from .serving import Serving
    from .settings import Settings

STAGES = ("fetching", "reading", "embedding", "comparing")

_AT_ONCE = 8  # photos of one listing that are looked at at the same time
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Checked:
    """A listing that was judged: its finding with an id, its photos as they were read, and what it was judged with.

    `data` has the photos' bytes by their sha256. `seconds` says how long each stage took: of fetching, reading and
    embedding, that of the photo that took longest.
    """

    id: str
    finding: Finding
    reads: tuple[Read, ...]
    data: dict[str, bytes] = field(repr=False)
    serving: Serving
    seconds: dict[str, float]


class Checks:
    """Checks listings for all requests, of which not more than `queue` are in work or waiting.

    The functions in `kept` are called with each listing that was judged, in a thread, before it is answered.
    """

    def __init__(self, settings: Settings, *, room: Room, metrics: Metrics) -> None:
        self._settings, self._metrics, self.room = settings, metrics, room
        cores = settings.threads or available_cores()
        self.fetching = ThreadPoolExecutor(settings.fetching, thread_name_prefix="lookalike-fetch")
        self.reading = ThreadPoolExecutor(cores, thread_name_prefix="lookalike-read")
        self.judging = ThreadPoolExecutor(2 * cores, thread_name_prefix="lookalike-judge")  # half wait for processes
        self.comparing = Comparing(cores)
        self.embedding = Embedding(batch=settings.batch, wait=settings.batch_wait)
        self.kept: list[Callable[[Checked], None]] = []
        self.waiting = 0

    def close(self) -> None:
        """End all threads and processes; what wasn't begun is dropped."""
        for pool in (self.fetching, self.reading, self.judging):
            pool.shutdown(wait=False, cancel_futures=True)
        self.comparing.close()
        self.embedding.close()

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the queue. Raises a Problem, 429, if there is none."""
        if self.waiting >= self._settings.queue:
            raise too_many("queue_full", f"{self.waiting} requests are in work or wait; try again", after=1)
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    async def check(self, listing: Listing, serving: Serving) -> Checked:
        """Judge a listing with what is open. What isn't done by the deadline is said in the finding's error."""
        begun = time.perf_counter()
        work = _Work(self, serving, until=time.monotonic() + self._settings.deadline_seconds)
        try:
            reads = await _all(map(work.photo, listing.images))
            finding = await work.judge(listing, reads)
            seconds = {**work.seconds, "total": time.perf_counter() - begun}
            checked = Checked(secrets.token_hex(12), finding, tuple(reads), work.data, serving, seconds)
            for keep in self.kept:
                await asyncio.wrap_future(self.fetching.submit(keep, checked))
        finally:
            self.room.give(work.taken)
        self._metrics.checked(checked)
        return checked


async def _all(works: Iterable[Coroutine[None, None, Read]]) -> list[Read]:
    """What all of these give. When one raises, the others are ended first: they use what is given back afterwards."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Work:
    """One listing while it is looked at."""

    def __init__(self, checks: Checks, serving: Serving, *, until: float) -> None:
        self._checks, self._serving, self._until = checks, serving, until
        detector = serving.detector
        self._pictures = PictureReader(detector.encoder, detector.reader, cache=None, known=None, onlooker=None,
                                       parts=detector.lookup.reach.parts)  # fmt: skip
        self._few = asyncio.Semaphore(_AT_ONCE)
        self.data: dict[str, bytes] = {}
        self.taken = 0
        self.seconds = dict.fromkeys(STAGES, 0.0)

    async def photo(self, image: ImageSource) -> Read:
        """A photo with the vectors of its views; or why there are none."""
        try:
            async with self._few, asyncio.timeout(max(0.0, self._until - time.monotonic())):
                name = "" if isinstance(image, bytes) else str(image)
                read = await self._read(await self._fetched(image), name)
                if read.error is not None or read.known:
                    return read
                encoder = self._serving.detector.encoder
                return await self._stage("embedding", self._checks.embedding.submit(encoder, read))
        except ImageReadError as error:
            return Read(None, error=str(error), reason=error.reason)
        except TimeoutError:
            what = "was not looked at by the deadline; allow more time, or check the listing again"
            return Read(None, error=f"{photo_name(image)}: {what}", reason="deadline")

    async def _fetched(self, image: ImageSource) -> bytes:
        access = self._serving.detector.reader.access
        if isinstance(image, bytes):
            return read_source(image, access=access)  # within its limit of size
        return await self._stage("fetching", self._checks.fetching.submit(read_source, str(image), access=access))

    async def _read(self, data: bytes, name: str) -> Read:
        if not self._checks.room.take(len(data)):
            raise read_error("there is no room for more photos now; check the listing again", name, "no_room")
        self.taken += len(data)
        begun, embedding = time.perf_counter(), 0.0
        try:
            read, embedding = await asyncio.wrap_future(self._checks.reading.submit(self._looked_at, data, name))
        finally:
            self._took("reading", time.perf_counter() - begun - embedding)
            self._took("embedding", embedding)
        if read.sha256 is not None:
            self.data[read.sha256] = data
        return read

    def _looked_at(self, data: bytes, name: str) -> tuple[Read, float]:
        """A photo that was read, and embedded if that is done here; and the seconds that embedding took."""
        read = self._pictures.read_data(data, name)
        begun = time.perf_counter()
        return embedded_here(self._serving.detector.encoder, read), time.perf_counter() - begun

    async def judge(self, listing: Listing, reads: list[Read]) -> Finding:
        """The finding, by what was read."""
        photos = [embedded_photo(read) for read in reads]
        work = self._checks.judging.submit(self._serving.detector.judge, listing, photos, held=self.data,
                                           until=self._until, comparer=self._checks.comparing)  # fmt: skip
        return await self._stage("comparing", work)

    async def _stage(self, stage: str, future: Future[_Result]) -> _Result:
        begun = time.perf_counter()
        try:
            return await asyncio.wrap_future(future)
        finally:
            self._took(stage, time.perf_counter() - begun)

    def _took(self, stage: str, seconds: float) -> None:
        self.seconds[stage] = max(self.seconds[stage], seconds)
