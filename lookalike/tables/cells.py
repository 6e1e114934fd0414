"""What a cell of a table holds: a name, some text, or photos, whatever the format and the type of its column."""

from __future__ import annotations

import hashlib
import json
import math
import re
from decimal import Decimal
from pathlib import Path

_BETWEEN = re.compile(r"(\s*[,|][\s,|]*)")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_PICTURE = re.compile(r"\.(jpe?g|jfif|png|webp|gif|tiff?|bmp|avif)([?#].*)?$", re.IGNORECASE | re.DOTALL)


def cell_text(value: object) -> str | None:
    """A value as the text that it has in a CSV file; None for an empty cell, or a number that isn't one.

    Data frames turn whole numbers into floats if one of a column is missing.

    >>> [cell_text(value) for value in ("007", 7, 7.0, 0, 7.5, float("nan"), "", None)]
    ['007', '7', '7', '0', '7.5', None, None, None]
    """
    if isinstance(value, float | Decimal):
        if not math.isfinite(value):
            return None
        return str(int(value)) if value == int(value) else str(value)
    if isinstance(value, bytes):
        value = value.decode(errors="backslashreplace")
    return None if value is None else str(value) or None


def json_text(value: object) -> str:
    """The one JSON text that a cell of the table has for this value."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def id_text(value: object) -> str | None:
    """A value as the id of something, as `cell_text`; true, false, lists and tables are none.

    >>> id_text(100.0), id_text(0), id_text(True), id_text(["100"])
    ('100', '0', None, None)
    """
    return None if isinstance(value, bool | list | dict) else cell_text(value)


def id_digest(name: str) -> bytes:
    """Eight bytes that stand for an id where many are held at once."""
    return hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest()


def is_picture(text: str) -> bool:
    """Whether the text is an address, or ends like the name of a picture."""
    return bool(_ADDRESS.match(text) or _PICTURE.search(text))


def photos_in(value: object, folder: Path) -> list[str]:
    """The photos in a cell: of a list, its items; of text, what stands between commas or bars if those are pictures.

    A comma may be part of a name or an address, so a file in `folder` that exists by the whole text is one photo, and
    text is split only before an address, or between the names of two pictures. Raises ValueError for anything but
    text, such as the bytes of a picture.

    >>> photos_in("a.jpg, b.jpg", Path())
    ['a.jpg', 'b.jpg']
    >>> photos_in("https://a.example/w_4,h_3/a.jpg|https://a.example/b", Path())
    ['https://a.example/w_4,h_3/a.jpg', 'https://a.example/b']
    """
    if isinstance(value, list):
        return [text for item in value if (text := _image_text(item))]
    text = _image_text(value)
    if text is None:
        return []
    first, *rest = _BETWEEN.split(text)
    if not rest or (_ADDRESS.match(text) is None and _exists(folder / text)):
        return [text]
    photos = [first]
    for between, piece in zip(rest[::2], rest[1::2], strict=True):
        named = _PICTURE.search(photos[-1]) and (not piece or _PICTURE.search(piece))
        if named or _ADDRESS.match(piece):
            photos.append(piece)
        else:
            photos[-1] += between + piece
    return [photo for photo in photos if photo.strip()]


def _image_text(value: object) -> str | None:
    try:
        text = value.decode() if isinstance(value, bytes) else cell_text(value)
    except UnicodeDecodeError:
        text = None
    if (text is None and isinstance(value, bytes)) or isinstance(value, bool | dict | list):
        raise ValueError(f"has an image that is {type(value).__name__}, not text; give paths or addresses")
    return text


def resolve_image(image: str, folder: Path) -> str:
    """A table's image as a path or URL that can be opened from anywhere.

    >>> resolve_image("a.jpg", Path("/data"))
    '/data/a.jpg'
    >>> resolve_image("https://example.com/a.jpg", Path("/data"))
    'https://example.com/a.jpg'
    """
    return image if "://" in image else str((folder / image).absolute())


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # the text is too long for a name, or has a NUL
        return False
