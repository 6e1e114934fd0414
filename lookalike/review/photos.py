"""The photos of findings as a page shows them: read again from the files, and encoded again."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

    from lookalike.index.embedding import PhotoReader

SIDE = 1600
"""The longer side, in pixels, of a photo on the page."""

SMALL = 240
"""The same of a photo in a row of several."""

MOST_KEPT = 48 << 20
_QUALITY = 88


class Kept:
    """Bytes by a key, at most so many: those used longest ago are forgotten first."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._most, self._held = most, 0
        self._values: OrderedDict[object, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: object) -> bytes | None:
        """The bytes, None if they are not kept."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: object, value: bytes) -> None:
        """Keep the bytes."""
        with self._lock:
            self._held += len(value) - len(self._values.pop(key, b""))
            self._values[key] = value
            while self._held > self._most:
                self._held -= len(self._values.popitem(last=False)[1])


@dataclass(frozen=True)
class ReadPhoto:
    """A photo in RGB, and the sha256 of its file."""

    picture: Image.Image
    sha256: str


class Photos:
    """Photos as JPEG, no larger than the page shows them. What a stranger sent is never given on as it came."""

    def __init__(self, reader: PhotoReader) -> None:
        self._reader = reader
        self._kept = Kept()

    def read(self, source: str) -> ReadPhoto:
        """Read a photo. Raises ImageReadError if it can't be read, or may not be."""
        from lookalike.model.images import read_image

        photo = read_image(source, limits=self._reader.limits, access=self._reader.access)
        return ReadPhoto(photo.image, photo.sha256)

    def jpeg(self, source: str, side: int = SIDE) -> bytes:
        """A photo as JPEG, no larger than that side. Raises ImageReadError if it can't be read, or may not be."""
        found = self._kept.get((source, side))
        if found is None:
            found = jpeg(self.read(source).picture, side)
            self._kept.put((source, side), found)
        return found


def jpeg(picture: Image.Image, side: int = SIDE) -> bytes:
    """A picture as JPEG, no larger than that side."""
    small = picture.convert("RGB")
    small.thumbnail((side, side))
    data = io.BytesIO()
    small.save(data, "JPEG", quality=_QUALITY)
    return data.getvalue()
