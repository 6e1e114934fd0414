"""Photos of findings, read again: to be shown, and to be checked against the files that were scanned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from lookalike.errors import ImageReadError

if TYPE_CHECKING:
    from PIL import Image

    from lookalike.index.embedding import PhotoReader
    from lookalike.index.reference_index import ReferenceIndex

MOVED = "if photos moved, lookalike add TABLE --index INDEX takes their new paths and computes nothing again"
"""What to do about genuine photos that can't be read where they were when they were indexed."""

_ENDINGS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "TIFF": "tif", "BMP": "bmp", "AVIF": "avif"}
_REFERENCES_KEPT = 8
_SMALL_SIDE = 640

Row = Mapping[str, Any]


def photo_of(reader: PhotoReader) -> Callable[[str | None], Image.Image | None]:
    """A function that gives the photo of a findings table's `image` or `reference_image`, in RGB.

    It gives None for a photo that can't be read any more, and for None: pages show that there is no picture.
    """
    from lookalike.model.images import read_image

    def photo(image: str | None) -> Image.Image | None:
        try:
            return None if image is None else read_image(image, limits=reader.limits, access=reader.access).image
        except ImageReadError:
            return None

    return photo


@dataclass(frozen=True)
class CheckedPhoto:
    """A photo that was read again.

    `said` is what the bundle says about it: where it was read and when, its sha256 and the one recorded earlier, and
    its state: "same", "changed", "unknown" (no sha256 was recorded), "unreadable" or "none" (there was no photo).
    `data` and `ending` are the file; `picture` is the photo in RGB.
    """

    said: Mapping[str, Any]
    data: bytes | None = None
    ending: str = ""
    picture: Image.Image | None = field(default=None, compare=False)


class CheckedPhotos:
    """Reads the photos of findings again and checks whether they are still those that were scanned and indexed."""

    def __init__(self, reader: PhotoReader, index: ReferenceIndex) -> None:
        self._reader = reader
        catalogue = index.catalogue
        self._indexed = dict(zip(catalogue["reference_id"].to_pylist(), catalogue["sha256"].to_pylist(), strict=True))
        # findings of one product often follow each other and share its photo
        self._reference = lru_cache(maxsize=_REFERENCES_KEPT)(self._photo)

    def read(self, rows: Iterable[Row], *, pictures: bool) -> Iterator[tuple[Row, CheckedPhoto, CheckedPhoto]]:
        """Give each row with its listing's photo and its reference's; several are read at once, in bounded memory.

        Without `pictures`, the pictures are only as large as a page shows them.
        """
        remaining = iter(rows)
        with ThreadPoolExecutor(self._reader.workers, thread_name_prefix="lookalike-bundle") as pool:
            while batch := list(islice(remaining, self._reader.workers)):
                yield from pool.map(lambda row: self._pair(row, pictures), batch)

    def _pair(self, row: Row, pictures: bool) -> tuple[Row, CheckedPhoto, CheckedPhoto]:
        listing = self._photo(row["image"], row["image_sha256"], whole=pictures)
        indexed = self._indexed.get(row["reference_id"])
        return row, listing, self._reference(row["reference_image"], indexed, whole=pictures)

    def _photo(self, source: str | None, expected: str | None, *, whole: bool) -> CheckedPhoto:
        from lookalike.model.images import decode_image
        from lookalike.model.sources import read_source

        said = {"source": source, "state": "none", "sha256": None, "expected_sha256": expected, "read_at": None,
                "why": None}  # fmt: skip
        if source is None:
            return CheckedPhoto(said)
        said["read_at"] = utc_now()
        try:
            data = read_source(source, access=self._reader.access)
            # only pictures are taken: a table may name any file on this machine
            photo = decode_image(data, source=source, limits=self._reader.limits)
        except ImageReadError as error:
            return CheckedPhoto({**said, "state": "unreadable", "why": str(error)})
        picture = photo.image
        if not whole:
            picture.thumbnail((_SMALL_SIDE, _SMALL_SIDE))
        state = "unknown" if expected is None else "same" if expected == photo.sha256 else "changed"
        return CheckedPhoto({**said, "state": state, "sha256": photo.sha256}, data, _ENDINGS[photo.format], picture)


def utc_now() -> str:
    """The time in UTC to the second, in ISO format."""
    return datetime.now(UTC).isoformat(timespec="seconds")
