"""Refuses files that would keep a decoder busy for minutes, or take gigabytes, before decoding starts."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

from PIL import Image

# without these limits a file can make the decoders work for ever or take gigabytes
_MAX_READS = 1_000_000  # of markers, chunks, blocks and runs; a GIF of 64 MB in full blocks takes half as many
_MAX_TABLE = 300_000  # numbers in a TIFF tag: enough for the strips or smallest tiles of the largest picture
_MAX_RATIONALS = 10_000
_MAX_SCANS = 64  # of a JPEG; encoders write about ten, and each one goes over all pixels
_MAX_EXIF_PARTS = 16
_MAX_PHOTOSHOP_PARTS = 20_000
_MAX_PNG_TEXTS = 20  # compressed ones: Pillow unpacks each to up to 1 MB
_MAX_RLE_PIXELS = 8_000_000  # Pillow unpacks run-length coded bitmaps in Python
MAX_FRAMES_COUNTED = 1_000

_DECODING = {"PNG": 5.0, "WEBP": 14.5, "GIF": 2.5, "TIFF": 7.5, "BMP": 5.0, "AVIF": 14.0}
"""Bytes for each pixel that Pillow and its codecs take in decoding (measured with Pillow 13), the result apart."""

_RESULT = 8  # bytes for each pixel that is given out: RGB takes 4 in Pillow, and turning makes a copy


@dataclass(frozen=True)
class _TiffLayout:
    """Where the first directory's offset is, and how a count, an entry of `size` bytes and a pointer are packed."""

    first: int
    number: str
    entry: str
    pointer: str
    size: int


_TIFF = _TiffLayout(4, "H", "HHII", "I", 12)
_BIG_TIFF = _TiffLayout(8, "Q", "HHQQ", "Q", 20)
_TIFF_SUBDIRECTORIES = (34665, 34853, 40965)  # EXIF, GPS, interoperability


class TooComplexError(Exception):
    """The file has so many parts that reading it would take minutes."""


class CountedFile(io.BytesIO):
    """A file in memory with a limited number of reads: Pillow reads each part of a file separately."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._reads_left = _MAX_READS

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as io.BytesIO does; raises TooComplexError after too many calls."""
        self._reads_left -= 1
        if self._reads_left < 0:
            raise TooComplexError("has more than a million parts")
        return super().read(size)


def check_cost(image: Image.Image) -> None:
    """Refuse a picture of few pixels whose way of storage makes it large or slow. Raises TooComplexError."""
    pixels = image.width * image.height
    if any(tile[0] == "bmp_rle" for tile in getattr(image, "tile", ())) and pixels > _MAX_RLE_PIXELS:
        raise TooComplexError("is a run-length coded BMP that is too large to unpack quickly")
    tags = getattr(image, "tag_v2", {})
    if tags.get(322, 1) * tags.get(323, 1) > max(2 * pixels, 2**24):  # tile width and length
        raise TooComplexError("is a TIFF whose tiles are larger than the picture")


def decoding_memory(image: Image.Image, format: str, size: int, scale: int) -> int:
    """About how many bytes it takes to decode an opened file of `size` bytes and give it out at 1 / `scale`."""
    pixels = image.width * image.height
    given_out = pixels // scale**2
    decoding = 4.0 * given_out if format == "JPEG" else _DECODING.get(format, 8.0) * pixels
    if format == "JPEG" and image.info.get("progressive"):
        decoding += _coefficients(image) * pixels
    return size + int(decoding) + _RESULT * given_out


def _coefficients(image: Image.Image) -> float:
    """Bytes for each pixel: a JPEG of several scans is kept as coefficients of 16 bits, at full size."""
    sampling: list[int] = [across * down for _, across, down, _ in getattr(image, "layer", ())]
    return 2 * sum(sampling) / max([1, *sampling])


def check_png(data: bytes) -> None:
    """Refuse a file with so many compressed texts that unpacking them takes much memory. Raises TooComplexError."""
    if data.count(b"zTXt") + data.count(b"iTXt") > _MAX_PNG_TEXTS:
        raise TooComplexError("is a PNG with far more texts than a photo needs")


def check_jpeg(data: bytes) -> None:
    """Refuse a file with so many scans or metadata parts that reading them takes minutes. Raises TooComplexError."""
    parts = ((b"\xff\xda", _MAX_SCANS), (b"Exif\0\0", _MAX_EXIF_PARTS), (b"8BIM", _MAX_PHOTOSHOP_PARTS))
    if any(data.count(part) > most for part, most in parts):
        raise TooComplexError("is a JPEG with far more scans or metadata than a photo needs")


def check_tiff(data: bytes) -> int:
    """The number of pages, unless there are tables that Pillow would turn into millions of objects (TIFF 6.0).

    Raises TooComplexError for those.
    """
    order = "<" if data[:2] == b"II" else ">"
    layout = _BIG_TIFF if 43 in data[2:4] else _TIFF
    first = _number(data, layout.first, order + layout.pointer)
    directories, checked = [first], set[int]()
    while directories:
        at = directories.pop()
        checked.add(at)
        entries = _number(data, at, order + layout.number)
        if entries > 65_535 or len(checked) > 20:
            raise TooComplexError("is a TIFF with far more directories than a photo needs")
        start = at + struct.calcsize(layout.number)
        for place in range(start, min(start + layout.size * entries, len(data) - layout.size + 1), layout.size):
            tag, kind, count, value = struct.unpack_from(order + layout.entry, data, place)
            most, width = (_MAX_RATIONALS, 8) if kind in (5, 10) else (_MAX_TABLE, 2)
            # bytes stay bytes, and Pillow skips a table that is larger than the file
            if most < count <= len(data) // width and kind not in (1, 2, 7):
                raise TooComplexError("is a TIFF with a far longer table than a photo needs")
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
    """One number from a file; 0 beyond its end, where Pillow reports the damage or copes with it."""
    return int(struct.unpack_from(format, data, at)[0]) if at + struct.calcsize(format) <= len(data) else 0


def gif_frames(data: bytes) -> int:
    """The number of frames, up to `MAX_FRAMES_COUNTED` (GIF89a specification, 17-27)."""
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
