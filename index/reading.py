"""Pictures as views for an encoder: each picture as a whole and, if asked for, its parts.

A view whose vector is known, by the picture's bytes or by the encoder's input, is not prepared or embedded again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.cores import available_cores
from lookalike.errors import ImageReadError
from lookalike.model.encoder import Encoder
from lookalike.model.images import ImageLimits, Photo, content_hash, decode_image, read_image
from lookalike.model.plain_jpeg import coded_hash, prepared_plain
from lookalike.model.regions import VERSION, Region, cut, regions_of, working_picture
from lookalike.model.resize import unseen
from lookalike.model.sources import Access, read_source
from lookalike.records import ImageSource, photo_name, region_of
from lookalike.tables.gathering import MOST_PHOTOS

from .vector_cache import VectorCache

Vector = NDArray[np.float32]


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


@dataclass(frozen=True)
class View:
    """A picture, or with a `region` a part of it: its `vector` if that is known, otherwise the encoder's input.

    `key` is what a cache keeps the vector under; None without a cache.
    """

    region: Region | None = None
    key: str | None = None
    vector: Vector | None = None
    prepared: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Read:
    """A picture that was read: its `views`, the whole first, or an `error` with the `reason` of an ImageReadError.

    `names` are further names of the picture, besides its sha256, that a cache should know it by.
    """

    sha256: str | None
    views: tuple[View, ...] = ()
    hint: str | None = None
    error: str | None = None
    names: tuple[str, ...] = ()
    reason: str | None = None

    @property
    def known(self) -> bool:
        """Whether the vectors of all its views are known."""
        return bool(self.views) and all(view.vector is not None for view in self.views)

    def inputs(self) -> list[NDArray[np.uint8]]:
        """What is left to embed."""
        return [view.prepared for view in self.views if view.vector is None and view.prepared is not None]

    def embedded(self, vectors: Iterator[Vector]) -> Read:
        """The same picture with the vectors of its inputs."""
        views = (view if view.vector is not None else replace(view, vector=next(vectors), prepared=None)
                 for view in self.views)  # fmt: skip
        return replace(self, views=tuple(views))


class PictureReader:
    """Reads pictures for an encoder, each with up to `parts` of its parts. Several threads may use it."""

    def __init__(
        self,
        encoder: Encoder,
        reader: PhotoReader,
        *,
        cache: VectorCache | None,
        known: Callable[[str], Vector | None] | None,
        onlooker: Onlooker | None,
        parts: int,
    ) -> None:
        self._encoder, self._reader, self._cache, self._known = encoder, reader, cache, known
        self._onlooker, self._most = onlooker, parts

    def read(self, source: ImageSource) -> Read:
        """The picture's views; those whose vectors are known are not prepared, if that spares decoding."""
        try:
            if isinstance(source, str | Path | bytes):
                data = read_source(source, access=self._reader.access)
                return self.read_data(data, "" if isinstance(source, bytes) else str(source))
            photo = read_image(source, limits=self._reader.limits, access=self._reader.access)
        except ImageReadError as error:
            return Read(None, error=str(error), reason=error.reason)
        return self._decoded(photo, None)

    def read_data(self, data: bytes, source: str = "") -> Read:
        """The same for the bytes of a picture that came from `source`, which is its name in messages."""
        sha256 = content_hash(data)
        stored = self.stored(sha256)
        if stored is not None and not self._wanted(sha256):
            return stored
        try:
            plain = None if self._wanted(sha256) else self._read_plain(sha256, data)
            if plain is not None:
                return plain
            photo = decode_image(data, source=source or photo_name(data, sha256), limits=self._reader.limits)
        except ImageReadError as error:
            return Read(sha256, error=str(error), reason=error.reason)
        return self._decoded(photo, stored)

    def _decoded(self, photo: Photo, stored: Read | None) -> Read:
        if self._onlooker is not None and self._wanted(photo.sha256):
            self._onlooker.take(photo.sha256, photo.image)
            if stored is not None:
                return stored
        return self._prepared(photo.sha256, photo.image, (), photo.hint, self._parts(photo.image))

    def stored(self, sha256: str, *names: str) -> Read | None:
        """The picture with all its vectors, by its sha256 or one of its further names; None unless all are known."""
        vector = self._known(sha256) if self._known is not None else None
        if vector is not None:
            return Read(sha256, (View(vector=vector),))
        for name in names or (sha256,):
            found = None if self._cache is None else self._by_name(self._cache, name)
            if found is not None:
                return replace(found, sha256=sha256, names=names and (sha256,))
        return None

    def _by_name(self, cache: VectorCache, name: str) -> Read | None:
        if not self._most:
            row = cache.get(name)
            return None if row is None else Read(None, (View(vector=row.vector),), row.hint)
        row = cache.get(self._listed(name))
        if row is None:
            return None
        try:
            hint, parts = json.loads(row.hint or "")
            views = [View(vector=row.vector)]
            for region, key in parts:
                part = cache.get(key)
                if part is None:  # it was removed to make room
                    return None
                views.append(View(region_of(region), key, part.vector))
        except (ValueError, TypeError):
            return None
        return Read(None, tuple(views), hint)

    def _listed(self, name: str) -> str:
        """The key of a picture whose parts are known."""
        return f"parts {VERSION}.{self._most} {name}"

    def _read_plain(self, sha256: str, data: bytes) -> Read | None:
        """A plain JPEG, decoded the quick way, or not at all if only its metadata are new; None for other files."""
        coded = coded_hash(data) if self._cache is not None else None
        names = () if coded is None else (f"coded {coded}",)
        stored = self.stored(sha256, *names) if names else None
        if stored is not None:
            return stored
        parts: list[View] = []
        image = prepared_plain(data, self._encoder.spec.preprocessing, limits=self._reader.limits,
                               look=lambda whole: parts.extend(self._parts(whole)))  # fmt: skip
        return None if image is None else self._prepared(sha256, image, names, None, parts)

    def _prepared(
        self, sha256: str, image: Image.Image, names: tuple[str, ...], hint: str | None, parts: Sequence[View]
    ) -> Read:
        hint = "; ".join(filter(None, (hint, unseen(image.size, self._encoder.spec.preprocessing)))) or None
        read = Read(sha256, (self._view(image, hint=hint), *parts), hint, names=names)
        return replace(read, names=(sha256, *names)) if read.known else read

    def _parts(self, image: Image.Image) -> list[View]:
        if not self._most:
            return []
        picture = working_picture(image)
        return [self._view(cut(picture, region), region) for region in regions_of(picture, most=self._most)]

    def _view(self, image: Image.Image, region: Region | None = None, hint: str | None = None) -> View:
        """A view; its vector is known if the same input was embedded before."""
        prepared = self._encoder.prepare(image)
        if self._cache is None:
            return View(region, prepared=prepared)
        key = f"pixels {hashlib.sha256(np.ascontiguousarray(prepared).data).hexdigest()} {hint}"
        stored = self._cache.get(key)
        return View(region, key, stored.vector) if stored is not None else View(region, key, prepared=prepared)

    def keep(self, reads: Iterable[Read]) -> None:
        """Put the vectors of pictures into the cache, under all their names."""
        rows: dict[str, tuple[Vector, str | None]] = {}
        for read in reads:
            whole, *parts = read.views
            assert whole.vector is not None, "only what was embedded is kept"
            listed = json.dumps([read.hint, [(view.region, view.key) for view in parts]])
            for name in filter(None, (read.sha256, *read.names)):
                rows[name] = whole.vector, read.hint
                if self._most:
                    rows[self._listed(name)] = whole.vector, listed
            for view in read.views:
                if view.key is not None and view.vector is not None:
                    rows[view.key] = view.vector, read.hint if view is whole else None
        if rows and self._cache is not None:
            self._cache.put(
                list(rows), np.stack([vector for vector, _ in rows.values()]), [h for _, h in rows.values()]
            )

    def _wanted(self, sha256: str) -> bool:
        return self._onlooker is not None and self._onlooker.wants(sha256)
