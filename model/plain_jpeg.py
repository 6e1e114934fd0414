"""The quick way to the pixels of a plain JPEG, the commonest photo: bit by bit those of the reference path, or none.

libjpeg-turbo decodes the file in one call, into the memory that Pillow works on. Decoding at half size or less would be
quicker still, but moves similarities by up to 0.03, a large part of the way from one verdict to another.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from .encoder import Preprocessing
from .formats import exif_orientation
from .hostile import TooComplexError, check_jpeg
from .images import HALVED_PIXELS, ImageLimits

_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive; Huffman coded (ITU-T T.81, table B.1)
_START_OF_SCAN = 0xDA
_APP1, _APP2, _ADOBE = 0xE1, 0xE2, 0xEE
_TABLES, _COMMENT = (0xC4, 0xDB, 0xDD), 0xFE  # Huffman codes, quantisation, restart interval
_MOST_SEGMENTS = 200
_MOST_ADDED = 256  # bytes whose sum fits 16 bits
_YCBCR = b"\x01\x02\x03"


def prepared_plain(data: bytes, preprocessing: Preprocessing, *, limits: ImageLimits) -> Image.Image | None:
    """The picture of a plain JPEG in RGB, resized already where `preprocessing` begins by a resize to its own size.

    An encoder's `prepare` makes of it bit by bit what it makes of the one that `decode_image` gives. None for every
    other file, and for all that libjpeg warns of: those take the reference path, which also tells what is wrong.
    """
    plain, most = _plain(data), min(limits.max_pixels, HALVED_PIXELS)
    size = plain.size if plain is not None else (0, 0)
    if plain is None or size[0] * size[1] > most or max(size) > limits.max_side_ratio * min(size):
        return None
    try:
        check_jpeg(data)
        pixels = simplejpeg.decode_jpeg(data, "RGBX", strict=True)
    except (ValueError, TooComplexError):  # the reference path decides, and says why
        return None
    if preprocessing.reducing_gap is None:
        return _picture(pixels)
    return _quick_resize(pixels, preprocessing)


def first_resize(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """The resize that a preprocessing with a `reducing_gap` begins with, and does once only."""
    height, width = preprocessing.size
    return image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=preprocessing.reducing_gap)


def _quick_resize(pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> Image.Image:
    """What `first_resize` makes of pixels in RGBX, uint8 (height, width, 4), bit by bit, in less time."""
    (high, wide), gap = preprocessing.size, preprocessing.reducing_gap or 1.0
    height, width = pixels.shape[:2]
    columns, rows = max(1, int(width / wide / gap)), max(1, int(height / high / gap))
    if not 1 < columns * rows <= _MOST_ADDED:
        return first_resize(_picture(pixels), preprocessing)
    box = (0.0, 0.0, width / columns, height / rows)
    return _picture(_reduced(pixels, columns, rows)).resize((wide, high), Image.Resampling.BILINEAR, box=box)


def _reduced(pixels: NDArray[np.uint8], columns: int, rows: int) -> NDArray[np.uint8]:
    """The means of blocks of so many columns and rows, and of what is left at the right and lower edge.

    Rounded as Pillow's `reduce` does, whose sums are not of four colours at a time (src/libImaging/Reduce.c).
    """
    sums = pixels[::rows].astype(np.uint16)
    for row in range(1, rows):
        more = pixels[row::rows]
        sums[: len(more)] += more
    four = sums.view(np.uint64)[..., 0]
    added = four[:, ::columns].copy()
    for column in range(1, columns):
        part = four[:, column::columns]
        added[:, : part.shape[1]] += part
    sums = added[..., None].view(np.uint16)
    means = _means(sums, rows * columns)
    below, beside = len(pixels) % rows, pixels.shape[1] % columns
    if below:
        means[-1] = _means(sums[-1], below * columns)
    if beside:
        means[:, -1] = _means(sums[:, -1], rows * beside)
    if below and beside:
        means[-1, -1] = _means(sums[-1, -1], below * beside)
    return means


def _means(sums: NDArray[np.uint16], count: int) -> NDArray[np.uint8]:
    """Pillow multiplies by 2**24 / count without its fraction, so that what is whole already comes out one less."""
    half = count // 2 - (0 if 2**24 % count == 0 else 1)
    means: NDArray[np.uint16] = (sums + np.uint16(half)) // np.uint16(count)
    return means.astype(np.uint8)


def _picture(pixels: NDArray[np.uint8]) -> Image.Image:
    """Pixels in RGBX, uint8 (height, width, 4), as a picture in RGB."""
    height, width = pixels.shape[:2]
    return Image.frombuffer("RGBX", (width, height), pixels, "raw", "RGBX", 0, 1).convert("RGB")


def coded_hash(data: bytes) -> str | None:
    """The sha256 of all of a plain JPEG that its pixels depend on, so without metadata; None for any other file."""
    plain = _plain(data)
    return None if plain is None else hashlib.sha256(b"".join([str(plain.size).encode(), *plain.coding])).hexdigest()


@dataclass(frozen=True)
class _Plain:
    """Width and height of a plain JPEG, and the parts of it that its pixels depend on."""

    size: tuple[int, int]
    coding: list[bytes]


def _plain(data: bytes) -> _Plain | None:
    """A whole JPEG of three colours, 8 bits, upright, without profile; None for any other."""
    if data[:2] != b"\xff\xd8" or data[-2:] != b"\xff\xd9" or data.count(b"Exif\0\0") > 1:
        return None
    at, size, coding = 2, None, []
    for _ in range(_MOST_SEGMENTS):
        if len(data) < at + 4 or data[at] != 0xFF:
            return None
        kind, (length,) = data[at + 1], struct.unpack_from(">H", data, at + 2)
        body = data[at + 4 : at + 2 + length]
        if kind == _START_OF_SCAN:
            return None if size is None else _Plain(size, [*coding, data[at:]])
        if kind in _FRAMES:
            size = _three_colours(body)
        if not _is_plain(kind, body):
            return None
        if kind in _FRAMES or kind in _TABLES:
            coding.append(data[at : at + 2 + length])
        at += 2 + length
    return None


def _is_plain(kind: int, body: bytes) -> bool:
    """Whether a segment before the first scan leaves colours and orientation as they are, the coding usual."""
    if kind == _APP1 and body.startswith(b"Exif\0\0"):
        return exif_orientation(body) == 1
    if kind == _APP2:
        return not body.startswith((b"ICC_PROFILE\0", b"MPF\0"))
    if kind == _ADOBE:
        return not body.startswith(b"Adobe") or body[11:12] == b"\x01"
    return kind in _FRAMES or kind in _TABLES or kind == _COMMENT or 0xE0 <= kind <= 0xEF


def _three_colours(frame: bytes) -> tuple[int, int] | None:
    """Width and height of a frame header (T.81, B.2.2) of 8 bits and the components Y, Cb and Cr."""
    if len(frame) != 15 or frame[0] != 8 or frame[5] != 3 or frame[6::3] != _YCBCR:
        return None
    height, width = struct.unpack_from(">HH", frame, 1)
    return (width, height) if width and height else None
