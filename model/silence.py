"""Keeps Pillow and its libtiff silent about odd files while this library reads them: a library must not print."""

from __future__ import annotations

import ctypes
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, _imaging

_reading = ContextVar("_reading", default=False)


@contextmanager
def silenced() -> Iterator[None]:
    """Drop Pillow's warnings in this thread. In other threads, and afterwards, they go their usual way.

    The filters in `warnings` belong to the whole program, and two threads that change them at the same time, with
    `warnings.catch_warnings`, can leave them changed. So they stay as they are.
    """
    _prepare()
    token = _reading.set(True)
    try:
        yield
    finally:
        _reading.reset(token)


class _PillowWarnings:
    """Takes the place of the module `warnings` in the modules of Pillow that warn about files."""

    def warn(
        self, message: Warning | str, category: type[Warning] | None = None, stacklevel: int = 1, **options: Any
    ) -> None:
        if not _reading.get():
            warnings.warn(message, category, stacklevel=stacklevel + 1, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(warnings, name)


@lru_cache(maxsize=1)
def _prepare() -> None:
    """Everything that has to be set once. Doing it twice, in two threads, does no harm."""
    for module in (Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin):
        vars(module)["warnings"] = _PillowWarnings()
    # Pillow logs some damage as errors, which Python prints on stderr if there is no handler
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    for path in _libtiff_candidates(Path(_imaging.__file__)):
        try:
            library = ctypes.CDLL(path)
        except OSError:  # the name of another platform's library
            continue
        _silence_libtiff(library)


def _silence_libtiff(library: ctypes.CDLL) -> None:
    """Take away libtiff's error and warning handlers, which print on stderr; Pillow offers no way to do so.

    libtiff keeps them in global variables, which TIFFSetErrorHandler and TIFFSetWarningHandler set (libtiff manual,
    TIFFError); null means silence. Errors still reach Pillow as return values.
    """
    for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        setter = getattr(library, name, None)
        if setter is not None:
            setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
            setter(None)


def _libtiff_candidates(imaging: Path) -> list[str]:
    """Where Pillow's libtiff can be: bundled beside Pillow, linked into it, or the system's, which is then loaded."""
    folders = (imaging.parent.parent / "pillow.libs", imaging.parent / ".dylibs")
    bundled = [str(path) for folder in folders for path in folder.glob("libtiff*")]
    return [*bundled, str(imaging)] if bundled else [str(imaging), "libtiff.so.6", "libtiff.so.5"]
