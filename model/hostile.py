"""Refuses files that would keep a decoder busy for minutes, or cost it gigabytes, before it begins."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

from PIL import Image

# what the decoders would do for ever, or with gigabytes, if a file only asked for it
_MAX_READS = 1_000_000  # markers, chunks, blocks and runs; a GIF of 64 MB in whole blocks takes half of it
_MAX_TABLE = 300_000  # numbers in a TIFF tag: the strips or smallest tiles of the largest picture
_MAX_RATIONALS = 10_000
_MAX_SCANS = 64  # of a JPEG; encoders write some ten, and each goes over all its pixels
_MAX_EXIF_PARTS = 16
_MAX_PHOTOSHOP_PARTS = 20_000
_MAX_RLE_PIXELS = 8_000_000  # Pillow unpacks such a bitmap in Python
MAX_FRAMES_COUNTED = 1_000


@dataclass(frozen=True)
class _TiffLayout:
    """Where the first directory is named, and how its count, an entry of `size` bytes and a pointer are packed."""

    first: int
    number: str
    entry: str
    pointer: str
    size: int


_TIFF = _TiffLayout(4, "H", "HHII", "I", 12)
_BIG_TIFF = _TiffLayout(8, "Q", "HHQQ", "Q", 20)
_TIFF_SUBDIRECTORIES = (34665, 34853, 40965)  # EXIF, GPS, interoperability


class TooComplexError(Exception):
    """A file of so many parts that reading it would take minutes."""


class CountedFile(io.BytesIO):
    """A file in memory that can be read from only so often: Pillow reads each part of a file by itself."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._reads_left = _MAX_READS

    def read(self, size: int | None = -1, /) -> bytes:
        """As io.BytesIO does; raises TooComplexError when it was called too often."""
        self._reads_left -= 1
        if self._reads_left < 0:
            raise TooComplexError("is of more than a million parts")
        return super().read(size)


def check_cost(image: Image.Image) -> None:
    """Refuse what is small by its size in pixels but large or slow by the way it is stored."""
    pixels = image.width * image.height
    if any(tile[0] == "bmp_rle" for tile in getattr(image, "tile", ())) and pixels > _MAX_RLE_PIXELS:
        raise TooComplexError("is a run-length coded BMP too large to be unpacked quickly")
    tags = getattr(image, "tag_v2", {})
    if tags.get(322, 1) * tags.get(323, 1) > max(2 * pixels, 2**24):  # tile width and length
        raise TooComplexError("is a TIFF whose tiles are larger than the picture")


def check_jpeg(data: bytes) -> None:
    """Refuse a file of so many scans or metadata parts that going through them takes minutes."""
    parts = ((b"\xff\xda", _MAX_SCANS), (b"Exif\0\0", _MAX_EXIF_PARTS), (b"8BIM", _MAX_PHOTOSHOP_PARTS))
    if any(data.count(part) > most for part, most in parts):
        raise TooComplexError("is a JPEG of far more scans or metadata than one needs")


def check_tiff(data: bytes) -> int:
    """The number of pages, after refusing tables that Pillow would turn into millions of objects (TIFF 6.0)."""
    order = "<" if data[:2] == b"II" else ">"
    layout = _BIG_TIFF if 43 in data[2:4] else _TIFF
    first = _number(data, layout.first, order + layout.pointer)
    directories, checked = [first], set[int]()
    while directories:
        at = directories.pop()
        checked.add(at)
        entries = _number(data, at, order + layout.number)
        if entries > 65_535 or len(checked) > 20:
            raise TooComplexError("is a TIFF of far more directories than one needs")
        start = at + struct.calcsize(layout.number)
        for place in range(start, min(start + layout.size * entries, len(data) - layout.size + 1), layout.size):
            tag, kind, count, value = struct.unpack_from(order + layout.entry, data, place)
            most, width = (_MAX_RATIONALS, 8) if kind in (5, 10) else (_MAX_TABLE, 2)
            # bytes stay bytes, and Pillow skips a table that is larger than the file
            if most < count <= len(data) // width and kind not in (1, 2, 7):
                raise TooComplexError("is a TIFF with a table of far more numbers than one needs")
            if tag in _TIFF_SUBDIRECTORIES and value < len(data) and value not in checked:
                directories.append(value)
    pages = set[int]()
    while 0 < first < len(data) and first not in pages and len(pages) < MAX_FRAMES_COUNTED:
        pages.add(first)
        entries = _number(data, first, order + layout.number)
        next_at = first + struct.calcsize(layout.number) + layout.size * entries
        first = _number(data, next_at, order + layout.pointer)
    return len(pages)


def _number(data: bytes, at: int, format: str) -> int:
    """One number of a file; 0 beyond its end, of which Pillow will say more, or make do."""
    return int(struct.unpack_from(format, data, at)[0]) if at + struct.calcsize(format) <= len(data) else 0


def gif_frames(data: bytes) -> int:
    """The number of frames, counted as far as is cheap (GIF89a specification, 17-27)."""
    frames, blocks_left = 0, 100_000
    try:
        at = 13 + _gif_palette(data[10])
        while data[at] in b"!," and frames < MAX_FRAMES_COUNTED:
            if data[at] == ord(","):
                frames += 1
                at += 11 + _gif_palette(data[at + 9])
            else:
                at += 2
            while data[at] and blocks_left:
                at, blocks_left = at + 1 + data[at], blocks_left - 1
            if not blocks_left:
                return MAX_FRAMES_COUNTED
            at += 1
    except IndexError:  # the end is missing
        pass
    return frames


def _gif_palette(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
