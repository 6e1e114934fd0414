"""Many pictures to vectors, in order and in bounded memory; pictures are read while earlier ones are embedded."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.cores import available_cores
from lookalike.errors import ImageReadError
from lookalike.model.encoder import Encoder
from lookalike.model.images import ImageLimits, content_hash, decode_image, read_image
from lookalike.model.plain_jpeg import coded_hash, prepared_plain
from lookalike.model.resize import unseen
from lookalike.model.sources import Access, read_source
from lookalike.records import ImageSource, photo_name
from lookalike.tables.gathering import MOST_PHOTOS

from .vector_cache import CachedVector, VectorCache

WINDOW = 64
"""Pictures that are embedded and stored together. A resumed run has the same windows, so it ends with the same bits."""

_BEFORE_DEADLINE = 8  # pictures read at once, and embedded together, if there is a deadline
_READ_AHEAD, _EMBEDDED_AHEAD = 1, 1
"""This many further windows are being read, and embedded, while one is given out."""

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class EmbeddedPhoto:
    """One picture's vector, float32 (dim,) of length 1; or, if it could not be read, why (`error`).

    `fresh` is true if the picture went through the encoder in this run; of several equal pictures, one does.
    """

    sha256: str | None
    vector: Vector | None
    hint: str | None = None
    error: str | None = None
    fresh: bool = False


@dataclass(frozen=True)
class PhotoReader:
    """Which pictures may be read, within which limits, and by how many threads (by default one a core, up to eight).

    Of a listing, the first `most_photos` are looked at, and its finding's error says so.
    """

    access: Access = field(default_factory=Access)
    limits: ImageLimits = field(default_factory=ImageLimits)
    workers: int = field(default_factory=lambda: min(8, available_cores()))
    most_photos: int = MOST_PHOTOS


class Onlooker(Protocol):
    """Looks at pictures while they are decoded for the encoder. Several threads call it."""

    def wants(self, sha256: str) -> bool:
        """Whether it must see the picture with that content hash, even if the vector is known."""

    def take(self, sha256: str, image: Image.Image) -> None:
        """Look at a picture that it wants, given in RGB."""


def embed_photos(
    sources: Iterable[ImageSource],
    *,
    encoder: Encoder,
    reader: PhotoReader,
    cache: VectorCache | None = None,
    known: Callable[[str], Vector | None] | None = None,
    onlooker: Onlooker | None = None,
    until: float | None = None,
) -> Iterator[EmbeddedPhoto]:
    """Give one `EmbeddedPhoto` for each source, in order; a picture that can't be read becomes an error.

    A picture is neither decoded nor embedded if `known` or `cache` has the vector for its content hash, and equal
    pictures are embedded once. New vectors go into `cache`, a window at a time. They are found there by the bytes of
    the file, by the bytes that determine the pixels of a JPEG, and by the encoder's input, so that a file saved again
    with the same pixels isn't embedded again. `onlooker` sees the pictures it wants before their vectors are given out.

    `until` is a time of `time.monotonic`; a picture whose vector isn't there by then becomes an error. All `sources`
    are then read at once, so they should be few.
    """
    embedder = _Embedder(encoder, reader, cache, known, onlooker)
    if until is not None:
        yield from _embedded_until(until, list(sources), embedder)
        return
    if reader.workers <= 1:
        for window in _windows(sources):
            yield from embedder.finish(embedder.begin([embedder.read(source) for source in window], _at_once))
        return
    reading: deque[list[Future[_Read]]] = deque()
    embedding: deque[_Window] = deque()
    with (
        ThreadPoolExecutor(reader.workers, thread_name_prefix="lookalike-read") as readers,
        ThreadPoolExecutor(1, thread_name_prefix="lookalike-embed") as behind,
    ):
        try:
            for window in _windows(sources):
                reading.append([readers.submit(embedder.read, source) for source in window])
                if len(reading) > _READ_AHEAD:
                    embedding.append(embedder.begin([f.result() for f in reading.popleft()], behind.submit))
                if len(embedding) > _EMBEDDED_AHEAD:
                    yield from embedder.finish(embedding.popleft())
            while reading:
                embedding.append(embedder.begin([f.result() for f in reading.popleft()], behind.submit))
            while embedding:
                yield from embedder.finish(embedding.popleft())
        finally:
            for future in (future for futures in reading for future in futures):
                future.cancel()
            for begun in embedding:
                begun.vectors.cancel()


def _embedded_until(until: float, sources: Sequence[ImageSource], embedder: _Embedder) -> Iterator[EmbeddedPhoto]:
    """What `embed_photos` gives until that time. What was begun by then ends on its own, and nobody waits for it."""
    readers = ThreadPoolExecutor(_BEFORE_DEADLINE, thread_name_prefix="lookalike-read")
    behind = ThreadPoolExecutor(1, thread_name_prefix="lookalike-embed")
    try:
        reading = [(source, readers.submit(embedder.read, source)) for source in sources]
        for start in range(0, len(reading), _BEFORE_DEADLINE):
            part = reading[start : start + _BEFORE_DEADLINE]
            window = embedder.begin([_read_until(until, source, future) for source, future in part], behind.submit)
            try:
                window.vectors.result(timeout=max(0.0, until - time.monotonic()))
            except TimeoutError:
                yield from (EmbeddedPhoto(None, None, error=_late(source)) for source, _ in reading[start:])
                return
            yield from embedder.finish(window)
    finally:
        for pool in (readers, behind):
            pool.shutdown(wait=False, cancel_futures=True)


def _read_until(until: float, source: ImageSource, reading: Future[_Read]) -> _Read:
    try:
        return reading.result(timeout=max(0.0, until - time.monotonic()))
    except TimeoutError:
        return _Read(None, error=_late(source))


def _late(source: ImageSource) -> str:
    return f"{photo_name(source)}: was not looked at by the deadline; allow more time, or check the listing again"


@dataclass(frozen=True)
class _Read:
    """A picture that was read: its vector (`stored`) if it is known, the encoder's input (`prepared`), or an `error`.

    `aliases` are further keys to keep its vector under.
    """

    sha256: str | None
    stored: CachedVector | None = None
    prepared: NDArray[np.uint8] | None = None
    hint: str | None = None
    error: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Window:
    """A window whose `new` pictures are being embedded, as the rows of `vectors`; others are in `earlier` windows.

    `stored` holds the vectors that are known so far: all of them once the window is finished.
    """

    reads: list[_Read]
    stored: dict[str, CachedVector]
    new: dict[str, _Read]
    earlier: dict[str, _Window]
    vectors: Future[Vector]


class _Embedder:
    def __init__(
        self,
        encoder: Encoder,
        reader: PhotoReader,
        cache: VectorCache | None,
        known: Callable[[str], Vector | None] | None,
        onlooker: Onlooker | None,
    ) -> None:
        self._encoder, self._reader, self._cache, self._known = encoder, reader, cache, known
        self._onlooker = onlooker
        self._coming: dict[str, _Window] = {}

    def read(self, source: ImageSource) -> _Read:
        sha256, stored = None, None
        try:
            if isinstance(source, str | Path | bytes):
                data = read_source(source, access=self._reader.access)
                sha256 = content_hash(data)
                stored = self._stored(sha256)
                if stored is not None and not self._wanted(sha256):
                    return _Read(sha256, stored=stored)
                plain = None if self._wanted(sha256) else self._read_plain(sha256, data)
                if plain is not None:
                    return plain
                name = photo_name(source, sha256) if isinstance(source, bytes) else str(source)
                photo = decode_image(data, source=name, limits=self._reader.limits)
            else:
                photo = read_image(source, limits=self._reader.limits, access=self._reader.access)
                sha256 = photo.sha256
        except ImageReadError as error:
            return _Read(sha256, error=str(error))
        if self._onlooker is not None and self._wanted(photo.sha256):
            self._onlooker.take(photo.sha256, photo.image)
            if stored is not None:
                return _Read(sha256, stored=stored)
        return self._prepared(photo.sha256, photo.image, (), photo.hint)

    def _keep(self, window: _Window, cache: VectorCache) -> None:
        """Put the window's new vectors into the cache, and known ones under further keys."""
        rows = [(sha256, window.stored[sha256]) for sha256 in window.new]
        for read in window.reads:
            if read.sha256 is not None and read.sha256 in window.stored:
                rows += [(alias, window.stored[read.sha256]) for alias in read.aliases]
        if rows:
            found = dict(rows)
            cache.put(list(found), np.stack([v.vector for v in found.values()]), [v.hint for v in found.values()])

    def _read_plain(self, sha256: str, data: bytes) -> _Read | None:
        """A plain JPEG, decoded the quick way, or not at all if only its metadata are new; None for other files."""
        coded = coded_hash(data) if self._cache is not None else None
        aliases = () if coded is None else (f"coded {coded}",)
        stored = self._stored(*aliases)
        if stored is not None:
            return _Read(sha256, stored=stored, aliases=(sha256,))
        image = prepared_plain(data, self._encoder.spec.preprocessing, limits=self._reader.limits)
        return None if image is None else self._prepared(sha256, image, aliases, None)

    def _prepared(self, sha256: str, image: Image.Image, aliases: tuple[str, ...], hint: str | None) -> _Read:
        """The encoder's input; or the vector, if the same input was embedded before."""
        hint = "; ".join(filter(None, (hint, unseen(image.size, self._encoder.spec.preprocessing)))) or None
        prepared = self._encoder.prepare(image)
        if self._cache is None:
            return _Read(sha256, prepared=prepared, hint=hint)
        key = f"pixels {hashlib.sha256(np.ascontiguousarray(prepared).data).hexdigest()} {hint}"
        stored = self._cache.get(key)
        if stored is not None:
            return _Read(sha256, stored=stored, aliases=(sha256, *aliases))
        return _Read(sha256, prepared=prepared, hint=hint, aliases=(*aliases, key))

    def begin(self, reads: list[_Read], submit: Callable[..., Future[Vector]]) -> _Window:
        """Start to embed the window's new pictures."""
        new: dict[str, _Read] = {}
        stored: dict[str, CachedVector] = {}
        earlier: dict[str, _Window] = {}
        for read in reads:
            if read.sha256 is None or read.error is not None or read.sha256 in stored:
                continue
            # this window may have been read before an earlier one stored the same picture
            found = read.stored or self._stored(read.sha256)
            if found is not None:
                stored[read.sha256] = found
            elif read.sha256 in self._coming:
                earlier[read.sha256] = self._coming[read.sha256]
            else:
                new.setdefault(read.sha256, read)
        inputs = [read.prepared for read in new.values() if read.prepared is not None]
        window = _Window(reads, stored, new, earlier, submit(self._embed, inputs))
        self._coming.update(dict.fromkeys(new, window))
        return window

    def _embed(self, inputs: list[NDArray[np.uint8]]) -> Vector:
        return self._encoder.embed(inputs) if inputs else np.empty((0, self._encoder.spec.dim), np.float32)

    def finish(self, window: _Window) -> Iterator[EmbeddedPhoto]:
        """Store the new vectors, and give out the window's photos in order."""
        vectors, hints = window.vectors.result(), [read.hint for read in window.new.values()]
        window.stored.update(zip(window.new, map(CachedVector, vectors, hints), strict=True))
        if self._cache is not None:
            self._keep(window, self._cache)
        window.stored.update({sha256: owner.stored[sha256] for sha256, owner in window.earlier.items()})
        fresh = set(window.new)
        for sha256 in fresh:
            del self._coming[sha256]
        for read in window.reads:
            if read.error is not None or read.sha256 is None:
                yield EmbeddedPhoto(read.sha256, None, error=read.error)
                continue
            answer = window.stored[read.sha256]
            yield EmbeddedPhoto(read.sha256, answer.vector, hint=answer.hint, fresh=read.sha256 in fresh)
            fresh.discard(read.sha256)

    def _wanted(self, sha256: str) -> bool:
        return self._onlooker is not None and self._onlooker.wants(sha256)

    def _stored(self, *keys: str) -> CachedVector | None:
        for key in keys:
            vector = self._known(key) if self._known is not None else None
            if vector is not None:
                return CachedVector(vector, None)
            found = self._cache.get(key) if self._cache is not None else None
            if found is not None:
                return found
        return None


def _at_once(work: Callable[..., Vector], *arguments: object) -> Future[Vector]:
    """Do the work now; an executor's `submit` would do it later."""
    done: Future[Vector] = Future()
    done.set_result(work(*arguments))
    return done


def _windows(sources: Iterable[ImageSource]) -> Iterator[list[ImageSource]]:
    remaining = iter(sources)
    while window := list(islice(remaining, WINDOW)):
        yield window
