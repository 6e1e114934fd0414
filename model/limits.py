"""The limits within which pictures are read: checked by the header of a file, before anything is decoded."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from PIL import Image

from .access import read_error
from .hostile import decoding_memory
from .memory import DECODING

MOST_PIXELS = 24_000_000
"""Pictures with more pixels are given out at half, a quarter … of their width and height."""

_LEAST = {"AVIF": 400_000_000}  # bytes: its frame can be larger than its header says, up to 16,384 pixels square


@dataclass(frozen=True)
class ImageLimits:
    """Pictures beyond these limits are refused by their header, before anything is decoded.

    `max_side_ratio` is the longer side divided by the shorter. `truncated` accepts a JPEG whose end is missing.
    `max_memory` is for all pictures together that threads of this process are decoding at once, in bytes: a thread
    waits for its share, and a picture that needs more than that alone is refused.
    """

    max_pixels: int = 128_000_000
    max_side_ratio: float = 40.0
    truncated: bool = False
    max_memory: int = 2**30


def check_size(image: Image.Image, source: str, limits: ImageLimits) -> None:
    """Raise ImageReadError for a picture without pixels, or with too many, or with too unequal sides."""
    width, height = image.size
    is_so = f"is {width:,} x {height:,} pixels"
    if width < 1 or height < 1:
        raise read_error("has no pixels", source, "damaged")
    if width * height > limits.max_pixels:
        what = f"{is_so}, more than {limits.max_pixels:,} in total; shrink it, or allow more with --max-megapixels"
        raise read_error(what, source, "too_many_pixels")
    if max(width, height) > limits.max_side_ratio * min(width, height):
        ratio = f"one side more than {limits.max_side_ratio:g} times the other"
        raise read_error(f"{is_so}, {ratio}; crop it, or allow more with --max-side-ratio", source, "side_ratio")


def scale_of(image: Image.Image) -> int:
    """1 for a picture that is given out as it is, 2 for one of which half the width and height is enough …"""
    scale = 1
    while image.width * image.height > MOST_PIXELS * scale**2:
        scale *= 2
    return scale


def reserved(
    image: Image.Image, format: str, source: str, limits: ImageLimits, *, size: int = 0
) -> AbstractContextManager[None]:
    """Holds the memory that it takes to decode an opened picture. Raises ImageReadError if it is more than allowed."""
    memory = decoding_memory(image, format, size, scale_of(image))
    if memory > limits.max_memory:
        what = f"takes about {memory / 1e6:,.0f} MB to decode; shrink it, or allow more with --max-memory"
        raise read_error(what, source, "too_much_memory")
    return DECODING.reserve(max(memory, _LEAST.get(format, 0)), most=limits.max_memory)
