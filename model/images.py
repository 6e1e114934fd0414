"""Any picture to RGB as a shopper would see it, safely: bounded, and every failure one ImageReadError.

What open_clip's own transform leaves out is done here: EXIF orientation, transparency on white, colour
profiles, 16 bits. Else a seller slips past by turning a picture in its metadata.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from lookalike.errors import ImageReadError
from lookalike.records import ImageSource

from .colours import to_rgb
from .libtiff import silence_libtiff
from .sources import Access, read_source

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")
"""The only formats tried. Some of Pillow's other decoders take 600 MB for a file of 1 kB."""

_SCALED_DECODE_PIXELS = 24_000_000
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class ImageLimits:
    """Pictures beyond these are refused, by their header, before anything is decoded.

    `max_side_ratio` is longer to shorter side; `truncated` accepts a JPEG whose end is missing.
    """

    max_pixels: int = 64_000_000
    max_side_ratio: float = 40.0
    truncated: bool = False


@dataclass(frozen=True)
class Photo:
    """A picture read: `image` in RGB, `sha256` of the file's bytes (of mode, size and pixels for pixels given).

    `hint` tells what a viewer of the file might miss, for example that it is the first of several frames.
    """

    image: Image.Image
    sha256: str
    format: str
    hint: str | None = None


def read_image(source: ImageSource, *, limits: ImageLimits | None = None, access: Access | None = None) -> Photo:
    """Read a path, an address, a file's bytes, a PIL image or an array (height, width[, 1, 3 or 4]).

    Arrays hold uint8, uint16, bool, or floats from 0 to 1. Raises ImageReadError for whatever can't be read.

    >>> read_image(np.zeros((2, 3), np.uint8)).image.size
    (3, 2)
    """
    limits = limits or ImageLimits()
    if isinstance(source, str | Path | bytes):
        data = read_source(source, access=access)
        return decode_image(data, source="" if isinstance(source, bytes) else str(source), limits=limits)
    image = source if isinstance(source, Image.Image) else _from_array(source)
    return _guarded(lambda: _from_pixels(image, limits), "picture given as pixels")


def decode_image(data: bytes, *, source: str = "", limits: ImageLimits | None = None) -> Photo:
    """Decode a file's bytes; `source` is its name for messages. Raises ImageReadError for whatever can't be read."""
    limits, name = limits or ImageLimits(), source or "picture"
    format = _format(data)
    if format is None:
        raise ImageReadError(
            f"{name}: is no picture of a format that is read; needed one of {', '.join(FORMATS)}",
            source=source,
            reason="format",
        )
    silence_libtiff()
    photo = _guarded(lambda: _decode(data, format, name, limits), name)
    return photo


def content_hash(source: bytes | Image.Image) -> str:
    """The sha256 of a file's bytes, or of a picture's mode, size and pixels, in hexadecimal."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    head = f"{source.mode} {source.size}".encode()
    return hashlib.sha256(head + source.tobytes()).hexdigest()


def _guarded(read: object, name: str) -> Photo:
    try:
        return read()  # type: ignore[operator,no-any-return]
    except ImageReadError:
        raise
    except UnidentifiedImageError as error:
        raise ImageReadError(f"{name}: is damaged at its start", source=name, reason="damaged") from error
    except Exception as error:  # decoders of foreign bytes raise OSError, ValueError, SyntaxError, struct.error …
        truncated = "truncated" in str(error).lower()
        what = "its end is missing" if truncated else f"is damaged ({type(error).__name__}: {error})"
        reason = "truncated" if truncated else "damaged"
        raise ImageReadError(f"{name}: {what[:200]}", source=name, reason=reason) from error


def _decode(data: bytes, format: str, name: str, limits: ImageLimits) -> Photo:
    # the end-of-image marker makes libjpeg fill up what is missing instead of asking for more
    readable = data + b"\xff\xd9" if format == "JPEG" and limits.truncated else data
    with Image.open(io.BytesIO(readable), formats=[format]) as image:
        _check_size(image, name, limits)
        hints = [_frames(image, format)]
        if format == "JPEG" and image.width * image.height > _SCALED_DECODE_PIXELS:
            # no encoder sees more than a tenth of this; half the sides take a quarter of the memory
            image.draft(None, (image.width // 2, image.height // 2))
        image.load()
        rgb, colour_hint = to_rgb(image, format=format)
        turn = _TURNS.get(_orientation(image))
        hints.append(colour_hint)
        rgb = rgb.copy() if rgb is image else rgb
    if turn is not None:
        rgb = rgb.transpose(turn)
    rgb.info.clear()
    return Photo(rgb, content_hash(data), format, "; ".join(hint for hint in hints if hint) or None)


def _from_pixels(image: Image.Image, limits: ImageLimits) -> Photo:
    _check_size(image, "picture given as pixels", limits)
    image = image.copy()
    rgb, hint = to_rgb(image, format=image.format or "")
    turn = _TURNS.get(_orientation(image))
    return Photo(rgb if turn is None else rgb.transpose(turn), content_hash(image), "pixels", hint)


def _from_array(array: NDArray[np.generic]) -> Image.Image:
    accepted = "needed (height, width[, 1, 3 or 4]) of uint8, uint16, bool, or floats from 0 to 1"
    array = np.asarray(array)
    fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if not fits or 0 in array.shape:
        raise ImageReadError(f"came an array of shape {array.shape}, {accepted}", reason="array")
    if array.dtype == np.bool_:
        pixels = array.astype(np.uint8) * 255
    elif array.dtype == np.uint16:
        pixels = (array.astype(np.float32) / 257 + 0.5).astype(np.uint8)
    elif np.issubdtype(array.dtype, np.floating) and _within_unit(array):
        pixels = (array.astype(np.float32) * 255 + 0.5).astype(np.uint8)
    elif array.dtype == np.uint8:
        pixels = array.astype(np.uint8)
    else:
        raise ImageReadError(f"came an array of {array.dtype} that is out of range, {accepted}", reason="array")
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels))


def _within_unit(array: NDArray[np.generic]) -> bool:
    values = array.astype(np.float64)
    return bool(np.all((values >= 0) & (values <= 1)))


def _check_size(image: Image.Image, name: str, limits: ImageLimits) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageReadError(f"{name}: has no pixels", source=name, reason="damaged")
    if width * height > limits.max_pixels:
        raise ImageReadError(
            f"{name}: is {width:,} x {height:,} pixels, more than {limits.max_pixels:,} in all; shrink the picture",
            source=name,
            reason="too_many_pixels",
        )
    if max(width, height) > limits.max_side_ratio * min(width, height):
        raise ImageReadError(
            f"{name}: is {width:,} x {height:,} pixels, one side more than {limits.max_side_ratio:g} times the other",
            source=name,
            reason="side_ratio",
        )


def _frames(image: Image.Image, format: str) -> str | None:
    """Which frame was taken. Frames of a GIF or TIFF are not counted: millions may be claimed in one file."""
    if format == "JPEG" or not getattr(image, "is_animated", False):
        return None
    count = "several" if format in ("GIF", "TIFF") else str(getattr(image, "n_frames", "several"))
    return f"only the first of {count} frames was compared"


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - broken EXIF is common and, as in browsers, as good as none
        return 1


def _format(data: bytes) -> str | None:
    """The format by the file's first bytes, so that no other decoder is tried."""
    head = data[:64]
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if head[4:8] == b"ftyp" and (b"avif" in head[8:] or b"avis" in head[8:]):
        return "AVIF"
    return "BMP" if head.startswith(b"BM") else None
