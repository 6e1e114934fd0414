"""Checks listings: photos are fetched, read, embedded and compared, each in threads of its own, within a deadline."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from lookalike.cores import available_cores
from lookalike.errors import ImageReadError
from lookalike.index.embedding import embedded_photo
from lookalike.index.reading import PictureReader, Read
from lookalike.model.sources import read_source
from lookalike.records import Finding, ImageSource, Listing, photo_name

from .embedding import Embedding
from .problems import too_many

if TYPE_CHECKING:
    from .serving import Serving
    from .settings import Settings

STAGES = ("fetching", "reading", "embedding", "comparing")

_AT_ONCE = 8  # photos of one listing that are fetched at the same time
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Checked:
    """A listing that was judged: its finding with an id, its photos as they were read, and what it was judged with.

    `data` has the photos' bytes by their sha256. `seconds` is how long each stage took for the listing as a whole.
    """

    id: str
    finding: Finding
    reads: tuple[Read, ...]
    data: dict[str, bytes] = field(repr=False)
    serving: Serving
    seconds: dict[str, float]


class Checks:
    """Checks listings for all requests. Not more than `queue` are in work or waiting; others are refused.

    `kept` is called with each listing that was judged, in a thread, before it is answered.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._fetching = ThreadPoolExecutor(settings.fetching, thread_name_prefix="lookalike-fetch")
        self._comparing = ThreadPoolExecutor(
            settings.threads or available_cores(), thread_name_prefix="lookalike-compare"
        )
        self._embedding = Embedding(batch=settings.batch, wait=settings.batch_wait)
        self.kept: list[Callable[[Checked], None]] = []
        self.waiting = 0

    def close(self) -> None:
        """End all threads; what wasn't begun is dropped."""
        self._fetching.shutdown(wait=False, cancel_futures=True)
        self._comparing.shutdown(wait=False, cancel_futures=True)
        self._embedding.close()

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the queue. Raises a Problem, 429, if there is none."""
        if self.waiting >= self._settings.queue:
            raise too_many("queue_full", f"{self.waiting} listings wait already; try again", after=1)
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    async def check(self, listing: Listing, serving: Serving) -> Checked:
        """Judge a listing with what is open. What isn't done by the deadline is said in the finding's error."""
        until = time.monotonic() + self._settings.deadline_seconds
        work = _Work(self, serving, until)
        begun = time.perf_counter()
        reads = await asyncio.gather(*(work.photo(image) for image in listing.images))
        began = time.perf_counter()
        photos = [embedded_photo(read) for read in reads]
        finding = await self._in(
            self._comparing, lambda: serving.detector.judge(listing, photos, held=work.data, until=until)
        )
        seconds = {**work.seconds, "comparing": time.perf_counter() - began, "total": time.perf_counter() - begun}
        checked = Checked(secrets.token_hex(12), finding, tuple(reads), work.data, serving, seconds)
        for keep in self.kept:
            await self._in(self._fetching, lambda keep=keep: keep(checked))
        return checked

    async def _in(self, pool: ThreadPoolExecutor, work: Callable[[], _Result]) -> _Result:
        return await asyncio.wrap_future(pool.submit(work))


class _Work:
    """The photos of one listing while they are looked at; `seconds` adds up each stage's longest wait."""

    def __init__(self, checks: Checks, serving: Serving, until: float) -> None:
        self._checks, self._serving, self._until = checks, serving, until
        detector = serving.detector
        self._pictures = PictureReader(detector.encoder, detector.reader, cache=None, known=None, onlooker=None,
                                       parts=detector.lookup.reach.parts)  # fmt: skip
        self._few = asyncio.Semaphore(_AT_ONCE)
        self.data: dict[str, bytes] = {}
        self.seconds = dict.fromkeys(STAGES, 0.0)

    async def photo(self, image: ImageSource) -> Read:
        """A photo with the vectors of its views; or why there are none."""
        try:
            async with self._few, asyncio.timeout(max(0.0, self._until - time.monotonic())):
                name = "" if isinstance(image, bytes) else str(image)
                access = self._serving.detector.reader.access
                data = image
                if not isinstance(data, bytes):
                    data = await self._stage(
                        "fetching", self._checks._fetching.submit(read_source, name, access=access)
                    )
                read = await self._stage(
                    "reading", self._checks._comparing.submit(self._pictures.read_data, data, name)
                )
                if read.error is not None or read.sha256 is None:
                    return read
                self.data[read.sha256] = data
                encoder = self._serving.detector.encoder
                return await self._stage("embedding", self._checks._embedding.submit(encoder, read))
        except ImageReadError as error:
            return Read(None, error=str(error), reason=error.reason)
        except TimeoutError:
            what = (
                f"{photo_name(image)}: was not looked at by the deadline; allow more time, or check the listing again"
            )
            return Read(None, error=what, reason="deadline")

    async def _stage(self, stage: str, future: Future[_Result]) -> _Result:
        begun = time.perf_counter()
        try:
            return await asyncio.wrap_future(future)
        finally:
            self.seconds[stage] = max(self.seconds[stage], time.perf_counter() - begun)
