"""Keeps libtiff from printing on stderr. Pillow offers no way to, and a library must not print."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def silence_libtiff() -> bool:
    """Take the error and warning handlers from the libtiff that Pillow uses; gives whether one was found.

    libtiff keeps its handlers in global variables that TIFFSetErrorHandler and TIFFSetWarningHandler set
    (libtiff manual, TIFFError); null means silence. Errors still reach Pillow as return values.
    """
    from PIL import _imaging

    found = False
    for path in _candidates(Path(_imaging.__file__)):
        try:
            library = ctypes.CDLL(path)
        except OSError:  # the name of another platform's library
            continue
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            setter = getattr(library, name, None)
            if setter is not None:
                setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
                setter(None)
                found = True
    return found


def _candidates(imaging: Path) -> list[str]:
    """Where that libtiff may be: bundled beside Pillow, linked into it, or the system's that is loaded already."""
    folders = (imaging.parent.parent / "pillow.libs", imaging.parent / ".dylibs")
    bundled = [str(path) for folder in folders for path in folder.glob("libtiff*")]
    return [*bundled, str(imaging)] if bundled else [str(imaging), "libtiff.so.6", "libtiff.so.5"]
