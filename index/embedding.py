"""Many pictures to vectors, in order and in bounded memory; pictures are read while earlier ones are embedded."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from lookalike.model.adapter import AdaptedEncoder, Adapter
from lookalike.model.encoder import Encoder
from lookalike.model.regions import Region
from lookalike.records import ImageSource, photo_name

from .reading import Onlooker as Onlooker
from .reading import PhotoReader as PhotoReader
from .reading import PictureReader, Read
from .reading import Vector as Vector
from .vector_cache import VectorCache

WINDOW = 64
"""Pictures that are embedded and stored together, fewer if they have parts. A resumed run has the same windows, so it
ends with the same bits."""

_BEFORE_DEADLINE = 8  # pictures read at once, and embedded together, if there is a deadline
_READ_AHEAD, _EMBEDDED_AHEAD = 1, 1
"""This many further windows are being read, and embedded, while one is given out."""


@dataclass(frozen=True)
class Part:
    """A part of a picture: its region (see `model.regions`), and its vector, float32 (width,)."""

    region: Region
    vector: Vector


@dataclass(frozen=True)
class EmbeddedPhoto:
    """One picture's vector, float32 (width,) as the encoder makes it; or, if it could not be read, why (`error`).

    `parts` are those of its parts that were asked for. `fresh` is true if the picture went through the encoder in this
    run; of several equal pictures, one does.
    """

    sha256: str | None
    vector: Vector | None
    hint: str | None = None
    error: str | None = None
    fresh: bool = False
    parts: tuple[Part, ...] = ()


def embed_photos(
    sources: Iterable[ImageSource],
    *,
    encoder: Encoder,
    reader: PhotoReader,
    cache: VectorCache | None = None,
    known: Callable[[str], Vector | None] | None = None,
    onlooker: Onlooker | None = None,
    until: float | None = None,
    parts: int = 0,
) -> Iterator[EmbeddedPhoto]:
    """Give one `EmbeddedPhoto` for each source, in order; a picture that can't be read becomes an error.

    A picture is neither decoded nor embedded if `known` or `cache` has the vector for its content hash, and equal
    pictures are embedded once. New vectors go into `cache`, a window at a time. They are found there by the bytes of
    the file, by the bytes that determine the pixels of a JPEG, and by the encoder's input, so that a file saved again
    with the same pixels isn't embedded again. `onlooker` sees the pictures it wants before their vectors are given out.
    Of each picture up to `parts` parts are embedded as well (see `model.regions`); a picture whose parts aren't all
    known is decoded again.

    `until` is a time of `time.monotonic`; a picture whose vector isn't there by then becomes an error. All `sources`
    are then read at once, so they should be few.

    Of an encoder with an adapter, `known` and `cache` hold the vectors before they are adapted.
    """
    if isinstance(encoder, AdaptedEncoder):
        photos = embed_photos(sources, encoder=encoder.encoder, reader=reader, cache=cache, known=known,
                              onlooker=onlooker, until=until, parts=parts)  # fmt: skip
        yield from (adapted_photo(photo, encoder.adapter) for photo in photos)
        return
    pictures = PictureReader(encoder, reader, cache=cache, known=known, onlooker=onlooker, parts=parts)
    embedder = _Embedder(encoder, pictures)
    if until is not None:
        yield from _embedded_until(until, list(sources), embedder)
        return
    if reader.workers <= 1:
        for window in _windows(sources, parts):
            yield from embedder.finish(embedder.begin([embedder.read(source) for source in window], _at_once))
        return
    reading: deque[list[Future[Read]]] = deque()
    embedding: deque[_Window] = deque()
    with (
        ThreadPoolExecutor(reader.workers, thread_name_prefix="lookalike-read") as readers,
        ThreadPoolExecutor(1, thread_name_prefix="lookalike-embed") as behind,
    ):
        try:
            for window in _windows(sources, parts):
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


def _read_until(until: float, source: ImageSource, reading: Future[Read]) -> Read:
    try:
        return reading.result(timeout=max(0.0, until - time.monotonic()))
    except TimeoutError:
        return Read(None, error=_late(source))


def _late(source: ImageSource) -> str:
    return f"{photo_name(source)}: was not looked at by the deadline; allow more time, or check the listing again"


@dataclass(frozen=True)
class _Window:
    """A window whose `new` pictures are being embedded, view by view, as the rows of `vectors`.

    `known` holds the pictures whose vectors are known so far: all of them once the window is finished. Others are in
    `earlier` windows.
    """

    reads: list[Read]
    known: dict[str, Read]
    new: dict[str, Read]
    earlier: dict[str, _Window]
    vectors: Future[Vector]


class _Embedder:
    def __init__(self, encoder: Encoder, pictures: PictureReader) -> None:
        self._encoder, self._pictures = encoder, pictures
        self._coming: dict[str, _Window] = {}
        self.read = pictures.read

    def begin(self, reads: list[Read], submit: Callable[..., Future[Vector]]) -> _Window:
        """Start to embed the window's new pictures."""
        new: dict[str, Read] = {}
        known: dict[str, Read] = {}
        earlier: dict[str, _Window] = {}
        for read in reads:
            if read.sha256 is None or read.error is not None or read.sha256 in known:
                continue
            # this window may have been read before an earlier one stored the same picture
            found = read if read.known else self._pictures.stored(read.sha256)
            if found is not None:
                known[read.sha256] = found
            elif read.sha256 in self._coming:
                earlier[read.sha256] = self._coming[read.sha256]
            else:
                new.setdefault(read.sha256, read)
        inputs = [prepared for read in new.values() for prepared in read.inputs()]
        window = _Window(reads, known, new, earlier, submit(self._embed, inputs))
        self._coming.update(dict.fromkeys(new, window))
        return window

    def _embed(self, inputs: list[NDArray[np.uint8]]) -> Vector:
        return self._encoder.embed(inputs) if inputs else np.empty((0, self._encoder.spec.width), np.float32)

    def finish(self, window: _Window) -> Iterator[EmbeddedPhoto]:
        """Store the new vectors, and give out the window's photos in order."""
        vectors = iter(window.vectors.result())
        window.known.update({sha256: read.embedded(vectors) for sha256, read in window.new.items()})
        self._pictures.keep(
            replace(window.known[read.sha256], names=read.names)
            for read in window.reads
            if read.sha256 in window.known and (read.sha256 in window.new or read.names)
        )
        window.known.update({sha256: owner.known[sha256] for sha256, owner in window.earlier.items()})
        fresh = set(window.new)
        for sha256 in fresh:
            del self._coming[sha256]
        for read in window.reads:
            if read.error is not None or read.sha256 is None:
                yield embedded_photo(read)
                continue
            yield embedded_photo(window.known[read.sha256], fresh=read.sha256 in fresh)
            fresh.discard(read.sha256)


def adapted_photo(photo: EmbeddedPhoto, adapter: Adapter) -> EmbeddedPhoto:
    """The photo with the vectors that the encoder made adapted."""
    if photo.vector is None:
        return photo
    vectors = adapter.map(np.stack([photo.vector, *(part.vector for part in photo.parts)]))
    parts = tuple(replace(part, vector=vector) for part, vector in zip(photo.parts, vectors[1:], strict=True))
    return replace(photo, vector=vectors[0], parts=parts)


def embedded_photo(read: Read, *, fresh: bool = False) -> EmbeddedPhoto:
    """What is known of a picture whose vectors are all known, or that could not be read."""
    if read.error is not None:
        return EmbeddedPhoto(read.sha256, None, error=read.error)
    whole, *others = read.views
    parts = tuple(Part(view.region, view.vector) for view in others if view.region and view.vector is not None)
    return EmbeddedPhoto(read.sha256, whole.vector, hint=read.hint, fresh=fresh, parts=parts)


def _at_once(work: Callable[..., Vector], *arguments: object) -> Future[Vector]:
    """Do the work now; an executor's `submit` would do it later."""
    done: Future[Vector] = Future()
    done.set_result(work(*arguments))
    return done


def _windows(sources: Iterable[ImageSource], parts: int) -> Iterator[list[ImageSource]]:
    remaining, size = iter(sources), WINDOW // (1 + parts // 4)  # most photos have far fewer parts than they may
    while window := list(islice(remaining, size)):
        yield window
