"""The fast path for plain JPEGs, the most common kind of photo: the same pixels as `decode_image`, bit by bit.

libjpeg-turbo decodes the file in one call, into memory that Pillow then works on. Decoding at half the size or less
would be faster still, but it moves similarities by up to 0.03, a large part of the distance between two verdicts.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass

import simplejpeg
from PIL import Image

from .encoder import Preprocessing
from .formats import exif_orientation
from .hostile import TooComplexError, check_jpeg
from .limits import MOST_PIXELS, ImageLimits
from .memory import DECODING
from .resize import is_distorted, picture, quick_resize

_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive; Huffman coded (ITU-T T.81, table B.1)
_PROGRESSIVE, _START_OF_SCAN = 0xC2, 0xDA
_APP1, _APP2, _ADOBE = 0xE1, 0xE2, 0xEE
_TABLES, _COMMENT = (0xC4, 0xDB, 0xDD), 0xFE  # Huffman codes, quantisation, restart interval
_MOST_SEGMENTS = 200
_MEMORY, _MEMORY_PROGRESSIVE = 8, 14  # bytes for each pixel: two pictures of four, and coefficients if all are kept
_YCBCR = b"\x01\x02\x03"


def prepared_plain(
    data: bytes,
    preprocessing: Preprocessing,
    *,
    limits: ImageLimits,
    look: Callable[[Image.Image], object] | None = None,
) -> Image.Image | None:
    """The RGB picture of a plain JPEG, already resized if `preprocessing` starts with a resize to its own size.

    An encoder's `prepare` turns it into the same input, bit by bit, as the picture from `decode_image`. None for any
    other file, for anything that libjpeg warns about, and for sides so unequal that there is a hint to give:
    `decode_image` reads those, or says what is wrong. `look` is called with the picture in its own size, in RGBX.
    """
    plain, most = _plain(data), min(limits.max_pixels, MOST_PIXELS)
    size = plain.size if plain is not None else (0, 0)
    if plain is None or size[0] * size[1] > most or max(size) > limits.max_side_ratio * min(size):
        return None
    memory = size[0] * size[1] * (_MEMORY_PROGRESSIVE if plain.progressive else _MEMORY)
    if is_distorted(size, preprocessing) or memory > limits.max_memory:
        return None
    with DECODING.reserve(memory, most=limits.max_memory):
        try:
            check_jpeg(data)
            pixels = simplejpeg.decode_jpeg(data, "RGBX", strict=True)
        except (ValueError, TooComplexError):  # decode_image decides, and says why
            return None
        if look is not None:
            look(Image.frombuffer("RGBX", pixels.shape[1::-1], pixels, "raw", "RGBX", 0, 1))
        return picture(pixels) if preprocessing.reducing_gap is None else quick_resize(pixels, preprocessing)


def coded_hash(data: bytes) -> str | None:
    """The sha256 of everything in a plain JPEG that its pixels depend on, without metadata; None for any other file."""
    plain = _plain(data)
    return None if plain is None else hashlib.sha256(b"".join([str(plain.size).encode(), *plain.coding])).hexdigest()


@dataclass(frozen=True)
class _Plain:
    """The (width, height) of a plain JPEG, and the parts of the file that its pixels depend on."""

    size: tuple[int, int]
    coding: list[bytes]
    progressive: bool


def _plain(data: bytes) -> _Plain | None:
    """A complete, upright JPEG of three colours and 8 bits without a colour profile; None for any other file."""
    if data[:2] != b"\xff\xd8" or data[-2:] != b"\xff\xd9" or data.count(b"Exif\0\0") > 1:
        return None
    at, size, coding, progressive = 2, None, [], False
    for _ in range(_MOST_SEGMENTS):
        if len(data) < at + 4 or data[at] != 0xFF:
            return None
        kind, (length,) = data[at + 1], struct.unpack_from(">H", data, at + 2)
        body = data[at + 4 : at + 2 + length]
        if kind == _START_OF_SCAN:
            return None if size is None else _Plain(size, [*coding, data[at:]], progressive)
        if kind in _FRAMES:
            size, progressive = _three_colours(body), kind == _PROGRESSIVE
        if not _is_plain(kind, body):
            return None
        if kind in _FRAMES or kind in _TABLES:
            coding.append(data[at : at + 2 + length])
        at += 2 + length
    return None


def _is_plain(kind: int, body: bytes) -> bool:
    """Whether a segment before the first scan leaves colours and orientation alone, with a common kind of coding."""
    if kind == _APP1 and body.startswith(b"Exif\0\0"):
        return exif_orientation(body) == 1
    if kind == _APP2:
        return not body.startswith((b"ICC_PROFILE\0", b"MPF\0"))
    if kind == _ADOBE:
        return not body.startswith(b"Adobe") or body[11:12] == b"\x01"
    return kind in _FRAMES or kind in _TABLES or kind == _COMMENT or 0xE0 <= kind <= 0xEF


def _three_colours(frame: bytes) -> tuple[int, int] | None:
    """The (width, height) in a frame header (T.81, B.2.2) with 8 bits and the components Y, Cb and Cr."""
    if len(frame) != 15 or frame[0] != 8 or frame[5] != 3 or frame[6::3] != _YCBCR:
        return None
    height, width = struct.unpack_from(">HH", frame, 1)
    return (width, height) if width and height else None
