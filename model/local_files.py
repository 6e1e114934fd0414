"""Reads files of this machine: regular files only, and if the caller wants that, only those in certain folders."""

from __future__ import annotations

import io
import math
import os
import stat
import time
from pathlib import Path
from typing import Any

from .access import Access, read_error, too_large

CHUNK = 1 << 18

# without O_NONBLOCK, opening a named pipe would wait for ever for a writer
_FILE = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | _NO_LINK


def read_local(path: Path, source: str, access: Access) -> bytes:
    """The bytes of a regular file; `source` is its name in messages.

    Raises ImageReadError if it is missing, not allowed, too large, or not a regular file.
    """
    if not access.local:
        raise read_error("local files are not read here; give an address", source, "not_allowed")
    try:
        descriptor = os.open(path, _FILE) if access.roots is None else _open_within(path, source, access.roots)
    except FileNotFoundError as error:
        raise read_error("there is no such file", source, "missing") from error
    except (OSError, ValueError) as error:  # no permission, a name that is too long or has a null byte …
        why = getattr(error, "strerror", None) or error
        reason = "not_a_file" if isinstance(error, IsADirectoryError) else "unreadable"
        raise read_error(f"can't be opened ({why})", source, reason) from error
    try:
        with os.fdopen(descriptor, "rb", buffering=0, closefd=False) as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise read_error("is not a regular file; give a picture", source, "not_a_file")
            if status.st_size > access.max_bytes:
                raise too_large(source, access)
            return read_all(file, source, access)
    except IsADirectoryError as error:
        raise read_error("is not a regular file; give a picture", source, "not_a_file") from error
    except OSError as error:
        raise read_error(f"can't be read ({error.strerror})", source, "unreadable") from error
    finally:
        os.close(descriptor)


def read_all(file: Any, source: str, access: Access, *, end: float = math.inf) -> bytes:
    """All bytes of an open file. Raises ImageReadError for too many, and TimeoutError at the monotonic time `end`."""
    data = io.BytesIO()
    while chunk := file.read(CHUNK):
        data.write(chunk)
        if data.tell() > access.max_bytes:
            raise too_large(source, access)
        if time.monotonic() > end:
            raise TimeoutError
    return data.getvalue()


def _open_within(path: Path, source: str, roots: Any) -> int:
    """A descriptor of the file, if it really lies in one of these folders; whether others exist is not told."""
    real = Path(os.path.realpath(path))
    for root in roots:
        base = Path(os.path.realpath(root))
        if real.is_relative_to(base):
            return _walk(base, real.relative_to(base).parts)
    raise read_error("is in no folder that may be read; allow its folder with --photos-under", source, "not_allowed")


def _walk(base: Path, parts: tuple[str, ...]) -> int:
    """Open a file below a folder step by step, following no link: one put there meanwhile can't lead outside."""
    if os.open not in os.supports_dir_fd or not _NO_LINK:  # Windows, where only few may make links
        return _open_unmoved(base.joinpath(*parts))
    if not parts:
        return os.open(base, _FILE | _NO_LINK)
    folder = os.open(base, _FOLDER)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(parts[-1], _FILE | _NO_LINK, dir_fd=folder)
    finally:
        os.close(folder)


def _open_unmoved(path: Path) -> int:
    """Open a file by its real path. Raises OSError if a link came in its way meanwhile."""
    descriptor = os.open(path, _FILE)
    try:
        same = os.path.samestat(os.fstat(descriptor), os.lstat(path)) and os.path.realpath(path) == str(path)
    except OSError:
        same = False
    if not same:
        os.close(descriptor)
        raise OSError(f"{path} changed while it was opened")
    return descriptor
