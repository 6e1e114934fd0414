"""What can be given as a photo, and how a value that may hold one is shown."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

ImageSource: TypeAlias = "str | Path | bytes | Image.Image | NDArray[np.generic]"
"""A picture: a path or URL, the bytes of a file, a PIL image, or an array (height, width[, 1, 3 or 4])."""

Given: TypeAlias = "ImageSource | os.PathLike[str] | bytearray | memoryview | BinaryIO"
"""What can be given as a picture: an `ImageSource`, or what becomes one, such as a file that is open for reading."""

MOST_FILE_BYTES = 64 * 2**20
"""How much is read of a file that was given open; more is refused."""

_EXPECTED = "expected a path, an address, the bytes of a picture or a file open in binary mode, a PIL image or an array"
_SHAPES = "an array of one picture is (height, width) or (height, width, channels) with 1, 3 or 4 channels"


def pictures(given: object, owner: str) -> tuple[ImageSource, ...]:
    """One picture or several as a tuple. `owner` is whose they are, in messages.

    Raises TypeError for what is no picture, and ValueError for an open file that is too large.
    """
    alone = _picture(given, owner)
    if alone is not None:
        return (alone,)
    if isinstance(given, Mapping) or not isinstance(given, Iterable) or _dimensions(given) not in (None, 1):
        raise _refusal(given, owner)
    return tuple(picture(each, owner) for each in given)


def picture(given: object, owner: str) -> ImageSource:
    """One picture. Raises as `pictures` does."""
    found = _picture(given, owner)
    if found is None:
        raise _refusal(given, owner)
    return found


def _picture(given: object, owner: str) -> ImageSource | None:
    """The picture that was given, or None if this is none; what is read in parts or may change is copied."""
    if isinstance(given, str | Path | bytes) or hasattr(given, "getbands"):  # of PIL, which needn't be loaded for paths
        return cast("ImageSource", given)
    if isinstance(given, bytearray | memoryview):
        return bytes(given)
    if isinstance(given, os.PathLike):
        return Path(os.fsdecode(given))
    if hasattr(given, "read"):
        return _contents(given, owner)
    shape = _shape(given)
    fits = shape is not None and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4)))
    return cast("ImageSource", given) if fits else None


def _contents(file: Any, owner: str) -> bytes:
    """The rest of an open file."""
    data = file.read(MOST_FILE_BYTES + 1)
    if not isinstance(data, bytes):
        raise TypeError(f"a photo of {owner} is a file that is open in text mode; open it with mode 'rb'")
    if len(data) > MOST_FILE_BYTES:
        raise ValueError(
            f"a photo of {owner} is an open file of more than {MOST_FILE_BYTES:,} bytes; give its path, or shrink it"
        )
    return data


def _shape(given: object) -> tuple[int, ...] | None:
    """The shape of a numpy array, None for anything else."""
    return tuple(given.shape) if hasattr(given, "__array_interface__") and hasattr(given, "shape") else None


def _dimensions(given: object) -> int | None:
    shape = _shape(given)
    return None if shape is None else len(shape)


def _refusal(given: object, owner: str) -> TypeError:
    shape = _shape(given)
    if shape:
        return TypeError(f"a photo of {owner} is an array of shape {shape}; {_SHAPES}; give several as a list")
    return TypeError(f"a photo of {owner} is given as {type(given).__name__}; {_EXPECTED}")


def shown(value: object) -> str:
    """A value as `repr` shows it, but of photos and other bulky data only what they are."""
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value):,} bytes>"
    if isinstance(value, str) and value[:5].lower() == "data:":
        return f"<data address of {len(value):,} characters>"
    if hasattr(value, "getbands"):
        return f"<{type(value).__name__} {' x '.join(map(str, getattr(value, 'size', ())))}>"
    shape = _shape(value)
    if shape:
        return f"<array {' x '.join(map(str, shape))}>"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {shown(each)}" for key, each in value.items()) + "}"
    if isinstance(value, tuple | list):
        inner = ", ".join(map(shown, value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner},)" if len(value) == 1 else f"({inner})"
    return repr(value)
