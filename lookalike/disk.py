"""Files on disk: that they appear whole, are really there, and what they hold."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from lookalike.errors import LookalikeError

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(/|$)")  # a single letter is a drive
LOCK = ".lock"
"""The file in a folder that its only writer holds."""


def require_local(path: Path) -> None:
    """Raise LookalikeError for an address such as s3://bucket/a: a path of it would be a folder with an odd name.

    >>> require_local(Path("s3://bucket/a"))
    Traceback (most recent call last):
    lookalike.errors.LookalikeError: s3:/bucket/a is an address; results are written to local files only, so give a path
    """
    if _ADDRESS.match(path.as_posix()):
        raise LookalikeError(f"{path} is an address; results are written to local files only, so give a path")


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, unless it is there. Raises LookalikeError for an address."""
    require_local(folder)
    folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; the file appears at `path` at the end, whole or not at all.

    The temporary file lies beside `path` under a name that no other writer uses. It is on disk before it is renamed.
    After an error it is removed, and `path` stays as it was. What a killed writer left there is removed, too.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with written(Path(folder) / "a.txt") as temporary:
    ...         _ = temporary.write_text("whole")
    ...     [file.name for file in Path(folder).iterdir()]
    ['a.txt']
    """
    with _temporary(path) as temporary:
        _remove_left(path)
        yield temporary
        _put(temporary, path)


def write_named_by_content(folder: Path, stem: str, suffix: str, save: Callable[[Path], object]) -> tuple[Path, str]:
    """Let `save` write a file, and name it after its content; give its path and the sha256 of its bytes.

    The file appears whole or not at all, as with `written`. `save` is called with the path to write to.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path, _ = write_named_by_content(Path(folder), "a", ".txt", lambda path: path.write_text("whole"))
    ...     path.name
    'a-5d5766cf2d787016.txt'
    """
    with _temporary(folder / f"{stem}{suffix}") as temporary:
        save(temporary)
        sha256 = file_sha256(temporary)
        path = folder / f"{stem}-{sha256[:16]}{suffix}"
        _put(temporary, path)
    return path, sha256


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A path beside `path` that no other writer uses; whatever is left there is removed."""
    require_local(path)
    with _marked(path) as temporary:
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _marked(path: Path) -> Iterator[Path]:
    """A new file beside `path`, locked while it is in use, so that nobody takes it for one that was left.

    Windows renames no open file, so there it is neither made nor locked.
    """
    while True:
        temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
        if os.name != "posix":
            yield temporary
            return
        with open(temporary, "xb") as file:
            if _locked(file) is not False and os.fstat(file.fileno()).st_nlink:
                yield temporary
                return  # otherwise another process is just removing it


def _locked(file: BinaryIO) -> bool | None:
    """Lock an open file; False if another process holds it, None where files can't be locked."""
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _remove_left(path: Path) -> None:
    """Remove what writers of `path` left that were killed."""
    if os.name != "posix":
        return
    for left in path.parent.glob(f"{escape(path.name)}.{'[0-9a-f]' * 16}.tmp"):
        with suppress(OSError), open(left, "r+b", opener=_open_regular) as file:  # another process may be faster
            if _locked(file):
                left.unlink()


def _put(temporary: Path, path: Path) -> None:
    """Rename a file, with its bytes on disk before and its name afterwards."""
    sync(temporary)
    temporary.replace(path)
    sync(path.parent)


@contextmanager
def held(folder: Path, busy: Exception) -> Iterator[None]:
    """Keep other processes out of a folder, which is made if there is none; raises `busy` while another one holds it.

    The hold ends with its process, however that dies. A folder with nothing but the lock in it is removed at the end.
    """
    make_folder(folder)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise busy from error
    try:
        yield
    finally:
        unused = [path.name for path in folder.iterdir()] == [LOCK]
        if unused and os.name == "posix":  # before anyone else can hold it; Windows removes no open file
            (folder / LOCK).unlink()
        lock.release()
        if unused:
            with suppress(OSError):  # another process came in between, and uses the folder
                if os.name != "posix":
                    (folder / LOCK).unlink(missing_ok=True)
                folder.rmdir()


def clear(folder: Path) -> None:
    """Remove everything that a folder holds, except its lock."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def sync(path: Path) -> None:
    """Return once a file's bytes, or a folder's names, are on disk.

    Where the system can't open a folder (Windows), it keeps the names safe itself.
    """
    if os.name != "posix" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_regular(path: Path) -> BufferedReader:
    """Open a file to read its bytes. Raises OSError for a pipe or device, which would keep its reader waiting."""
    return open(path, "rb", opener=_open_regular)


def _open_regular(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return descriptor


def read_regular(path: Path, *, most: int) -> bytes:
    """All bytes of a file. Raises OSError for a pipe or device, and for a file of more than `most` bytes."""
    with open_regular(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"larger than {most} bytes", str(path))
    return data


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
