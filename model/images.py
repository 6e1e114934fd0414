"""Reads any picture as RGB, as a shopper sees it: within limits, and every failure is an ImageReadError.

It does what open_clip's own transform leaves out: EXIF orientation, transparency on white, colour profiles, 16 bits.
Otherwise a seller could escape by rotating a picture in its metadata.
"""

from __future__ import annotations

import hashlib
import struct
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from lookalike.errors import ImageReadError
from lookalike.records import ImageSource

from .colours import to_rgb
from .formats import FORMATS, foreign_name, orientation, sniff_format
from .hostile import (
    MAX_FRAMES_COUNTED,
    CountedFile,
    TooComplexError,
    check_cost,
    check_jpeg,
    check_png,
    check_tiff,
    gif_frames,
)
from .limits import ImageLimits as ImageLimits
from .limits import check_size, reserved, scale_of
from .silence import silenced
from .sources import Access, read_error, read_source

_STRIP_PIXELS = 4_000_000
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_T = TypeVar("_T")


@dataclass(frozen=True)
class Photo:
    """A picture that was read: `image` in RGB, and the `sha256` that `content_hash` gives.

    `hint` says what someone looking at the file might miss, for example that this is the first of several frames.
    """

    image: Image.Image
    sha256: str
    format: str
    hint: str | None = None


def read_image(source: ImageSource, *, limits: ImageLimits | None = None, access: Access | None = None) -> Photo:
    """Read a path, a URL, the bytes of a file, a PIL image or an array (height, width[, 1, 3 or 4]).

    Arrays hold uint8, uint16, bool, or floats from 0 to 1. Raises ImageReadError if the picture can't be read.

    >>> read_image(np.zeros((2, 3), np.uint8)).image.size
    (3, 2)
    """
    limits = limits or ImageLimits()
    if isinstance(source, str | Path | bytes):
        data = read_source(source, access=access)
        return decode_image(data, source="" if isinstance(source, bytes) else str(source), limits=limits)
    return _guarded(lambda: _from_pixels(source, limits), "")


def decode_image(data: bytes, *, source: str = "", limits: ImageLimits | None = None) -> Photo:
    """Decode the bytes of a file; `source` is its name in messages. Raises ImageReadError if it can't be read.

    Pictures of more than 24 million pixels are returned at half, a quarter … of their sides, all others exactly.
    """
    limits = limits or ImageLimits()
    format = sniff_format(data)
    if format is None:
        raise read_error(f"is {foreign_name(data)}; convert it to one of {', '.join(FORMATS)}", source, "format")
    return _guarded(lambda: _decode(data, format, source, limits), source)


def content_hash(source: bytes | Image.Image | NDArray[np.generic]) -> str:
    """The sha256 of a file's bytes, or of a picture's mode, size, pixels and whatever else changes how it looks."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    return _guarded(lambda: _pixel_hash(source if isinstance(source, Image.Image) else _from_array(source)), "")


def _pixel_hash(image: Image.Image) -> str:
    digest = hashlib.sha256(f"{image.mode} {image.size}".encode())
    for strip in _strips(image):
        digest.update(strip.tobytes())
    digest.update(bytes(image.getpalette() or ()))
    looks = [(key, image.info[key]) for key in ("transparency", "icc_profile", "gamma") if key in image.info]
    if (stored := orientation(image)) in _TURNS or looks:
        digest.update(repr((looks, stored)).encode())
    return digest.hexdigest()


def _guarded(read: Callable[[], _T], source: str) -> _T:
    try:
        with silenced():
            return read()
    except ImageReadError:
        raise
    except Image.DecompressionBombError as error:  # Pillow's own bound, which it checks on opening a file
        raise read_error(f"has too many pixels ({error}); shrink it", source, "too_many_pixels") from error
    except TooComplexError as error:
        raise read_error(f"{error}; save the picture again", source, "too_complex") from error
    except UnidentifiedImageError as error:
        raise read_error("is damaged at its start", source, "damaged") from error
    except Exception as error:  # on foreign bytes, decoders raise OSError, ValueError, SyntaxError, struct.error …
        if "truncated" in str(error).lower():
            what = "its end is missing; save it again, or accept such JPEGs with --accept-truncated"
            raise read_error(what, source, "truncated") from error
        raise read_error(f"is damaged ({type(error).__name__}: {error})", source, "damaged") from error


def _decode(data: bytes, format: str, source: str, limits: ImageLimits) -> Photo:
    if format == "JPEG":
        check_jpeg(data)
    if format == "PNG":
        check_png(data)
    frames = check_tiff(data) if format == "TIFF" else gif_frames(data) if format == "GIF" else None
    # the end-of-image marker makes libjpeg fill in what is missing instead of asking for more
    readable = data + b"\xff\xd9" if format == "JPEG" and limits.truncated else data
    image = _opened(CountedFile(readable), format)
    check_size(image, source, limits)
    check_cost(image)
    with reserved(image, format, source, limits, size=len(data)):
        try:
            rgb, colour_hint = _decoded(image, format)
            if format in ("PNG", "WEBP", "AVIF"):  # a second picture in a JPEG is a thumbnail or depth map
                frames = getattr(image, "n_frames", 1)
        except Exception as error:
            traceback.clear_frames(error.__traceback__)  # they hold the picture
            raise
        finally:  # free its memory before others reserve it: some decoders keep theirs until nothing names the picture
            image.close()
            del image
    hints = (_frames_hint(frames), colour_hint)
    return Photo(rgb, content_hash(data), format, "; ".join(hint for hint in hints if hint) or None)


def _opened(file: CountedFile, format: str) -> Image.Image:
    """What Image.open gives, without Pillow's bound on pixels: it belongs to the whole program, and we have our own."""
    if format not in Image.OPEN:
        Image.init()
    try:
        return Image.OPEN[format][0](file, "")
    except (SyntaxError, IndexError, TypeError, struct.error) as error:
        raise UnidentifiedImageError from error


def _decoded(image: Image.Image, format: str) -> tuple[Image.Image, str | None]:
    """An opened picture as RGB, the right way up, and a hint if its colours had to be guessed."""
    covered = image.tile[0][1] if format == "GIF" and image.tile else None  # type: ignore[attr-defined]
    if format == "JPEG" and (scale := scale_of(image)) > 1:
        # no encoder sees more than a tenth of this; at half the sides it takes a quarter of the memory
        image.draft(None, (max(1, image.width // scale), max(1, image.height // scale)))
    image.load()
    rgb, hint = _to_rgb(image, format)
    if covered is not None and "transparency" not in image.info:
        rgb = _on_white(rgb, covered, rgb.width / image.width)
    return _turned(rgb, image), hint


def _from_pixels(source: Image.Image | NDArray[np.generic], limits: ImageLimits) -> Photo:
    image = source if isinstance(source, Image.Image) else _from_array(source)
    check_size(image, "", limits)
    with reserved(image, image.format or "", "", limits):
        image.load()  # a file may be open but not yet read
        rgb, hint = _to_rgb(image, image.format or "")
        rgb = _turned(rgb, image)
    format = "PIL" if isinstance(source, Image.Image) else "array"
    return Photo(rgb, _pixel_hash(image), format, hint)


def _strips(image: Image.Image, scale: int = 1) -> Iterator[Image.Image]:
    """The picture in strips of its full width and a multiple of `scale` rows, so that copies stay small."""
    rows = max(1, _STRIP_PIXELS // image.width // scale) * scale
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(image.height, top + rows)))


def _to_rgb(image: Image.Image, format: str) -> tuple[Image.Image, str | None]:
    if format == "JPEG" and image.mode == "RGB" and "icc_profile" not in image.info:
        return image.copy(), None  # most photos; there is nothing to convert
    scale = scale_of(image)
    if image.mode in ("I", "F"):  # scaled by the range of all values, so not in strips
        return to_rgb(image.reduce(scale) if scale > 1 else image, format=format)
    rgb = Image.new("RGB", (-(-image.width // scale), -(-image.height // scale)))
    # shrink before a slow colour profile; but palette indices and a colour that means transparent can't be averaged
    early = image.mode in ("L", "LA", "RGB", "RGBA", "CMYK") and "transparency" not in image.info
    top, hint = 0, None
    for strip in _strips(image, scale):
        done, hint = to_rgb(strip.reduce(scale) if scale > 1 and early else strip, format=format)
        done = done.reduce(scale) if scale > 1 and not early else done
        rgb.paste(done, (0, top))
        top += done.height
    return rgb, hint


def _on_white(rgb: Image.Image, covered: tuple[int, int, int, int], scale: float) -> Image.Image:
    """White where a GIF's first frame covers nothing: transparent in browsers, in Pillow the first colour."""
    left, top, right, bottom = (round(edge * scale) for edge in covered)
    if (left, top, right, bottom) == (0, 0, *rgb.size):
        return rgb
    seen = Image.new("RGB", rgb.size, "white")
    seen.paste(rgb.crop((left, top, right, bottom)), (left, top))
    return seen


def _turned(rgb: Image.Image, image: Image.Image) -> Image.Image:
    turn = _TURNS.get(orientation(image))
    return rgb if turn is None else rgb.transpose(turn)


def _from_array(array: NDArray[np.generic]) -> Image.Image:
    accepted = "give (height, width[, 1, 3 or 4]) of uint8, uint16, bool, or floats from 0 to 1"
    array = np.asarray(array)
    fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if not fits or 0 in array.shape:
        raise read_error(f"is an array of shape {array.shape}; {accepted}", "", "array")
    if array.dtype == np.bool_:
        pixels = array.astype(np.uint8) * 255
    elif array.dtype == np.uint16:
        pixels = (array.astype(np.float32) / 257 + 0.5).astype(np.uint8)
    elif np.issubdtype(array.dtype, np.floating) and _within_unit(array):
        pixels = (array.astype(np.float32) * 255 + 0.5).astype(np.uint8)
    elif array.dtype == np.uint8:
        pixels = array.astype(np.uint8)
    else:
        raise read_error(f"is an array of {array.dtype}, or its values are out of range; {accepted}", "", "array")
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels))


def _within_unit(array: NDArray[Any]) -> bool:
    return bool(np.all((array >= 0) & (array <= 1)))


def _frames_hint(frames: int | None) -> str | None:
    if frames is None or frames < 2:
        return None
    return f"only the first of {frames if frames < MAX_FRAMES_COUNTED else 'several'} frames was compared"
