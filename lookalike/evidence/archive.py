"""A folder or ZIP of files: written in one step, read within limits because it may come from a stranger."""

from __future__ import annotations

import os
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from lookalike.disk import make_folder
from lookalike.errors import BundleError

MOST_FILES = 50_000
MOST_BYTES = 2_000_000_000
MOST_FILE_BYTES = 1 << 28

_NAME = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,63}/){0,3}[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CHUNK = 1 << 18
_MOST_RATIO = 100
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # one time for all entries, so that equal files give equal bytes
_END, _END_BYTES = b"PK\x05\x06", 22  # APPNOTE 6.3.10, 4.3.16: the end of central directory record
_LOCATOR, _LOCATOR_BYTES = b"PK\x06\x07", 20  # 4.3.15: the ZIP64 locator, which would stand before it
_DIRECTORY_BYTES = 1 << 24
_OF_FILE_MANAGERS = (".DS_Store", "Thumbs.db", "desktop.ini")  # left behind in folders that somebody opened
_PACKED_ALREADY = (".jpg", ".png", ".webp", ".gif", ".avif")


def is_safe_name(name: object) -> bool:
    """Whether a bundle may contain a file of this name: letters, digits, dots and dashes, at most three folders deep.

    >>> [is_safe_name(n) for n in ("findings/0001/listing.jpg", "../x", "/x", "a//b", ".hidden", "a\\\\b", "x ")]
    [True, False, False, False, False, False, False]
    """
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


class Writer:
    """Adds files to a folder or ZIP that is being written, and counts them."""

    def __init__(self, folder: Path | None, packed: zipfile.ZipFile | None) -> None:
        self._folder, self._packed = folder, packed
        self.files = 0
        self.bytes = 0

    def put(self, name: str, data: bytes) -> None:
        """Add a file. Raises BundleError for an unsafe name, and for more files or bytes than `reading` accepts."""
        if not is_safe_name(name):
            raise BundleError(
                f"a bundle can't contain a file named {name[:80]!r}; use letters, digits, dots and dashes"
            )
        self.files, self.bytes = self.files + 1, self.bytes + len(data)
        if self.files > MOST_FILES or self.bytes > MOST_BYTES or len(data) > MOST_FILE_BYTES:
            raise BundleError(
                f"a bundle holds at most {MOST_FILES:,} files and {MOST_BYTES:,} bytes, {MOST_FILE_BYTES:,} bytes per "
                "file; put fewer findings in each bundle"
            )
        if self._packed is not None:
            entry = zipfile.ZipInfo(name, _EARLIEST)
            stored = name.endswith(_PACKED_ALREADY)
            entry.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            self._packed.writestr(entry, data)
        elif self._folder is not None:
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())


def require_free(out: Path) -> None:
    """Raise BundleError if `out` exists, as evidence is never overwritten, or if it names a file that is no .zip."""
    if out.suffix[1:2].isalpha() and out.suffix.lower() != ".zip":
        raise BundleError(f"{out} ends in {out.suffix}; a bundle is a .zip file, or a folder without such an ending")
    if os.path.lexists(out):
        raise BundleError(f"{out} already exists; choose another name, or remove it first")


@contextmanager
def writing(out: Path) -> Iterator[Writer]:
    """Write a folder, or a ZIP if `out` ends in .zip; it appears under its name at the end, complete.

    A run that is killed leaves `out`.partial, which the next run removes. Raises BundleError if `out` exists.
    """
    require_free(out)
    partial = out.with_name(out.name + ".partial")
    make_folder(out.parent)
    _remove(partial)
    try:
        if out.suffix.lower() == ".zip":
            with open(partial, "wb") as file:
                with zipfile.ZipFile(file, "w", allowZip64=False) as packed:
                    yield Writer(None, packed)
                file.flush()
                os.fsync(file.fileno())
        else:
            partial.mkdir()
            yield Writer(partial, None)
        require_free(out)
        partial.rename(out)
    except zipfile.LargeZipFile as error:
        raise BundleError(f"{out} would be too large for a ZIP; put fewer findings in each bundle") from error
    finally:
        _remove(partial)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class Archive(Protocol):
    """Files that can be read by name."""

    names: frozenset[str]

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises BundleError if it is missing or can't be read."""


@contextmanager
def reading(path: Path) -> Iterator[Archive]:
    """Open a folder or ZIP. Raises BundleError for anything else, and for contents that no bundle has."""
    if path.is_dir():
        yield _Folder(path)
    elif path.is_file():
        with open(path, "rb") as file:
            _require_plain_end(path, file.fileno())
            try:
                packed = zipfile.ZipFile(file)
            except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
                raise BundleError(f"{path} can't be read as a ZIP ({error}); give a bundle") from error
            with packed:
                yield _Zip(path, packed)
    else:
        raise BundleError(f"there is no bundle {path}")


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.names = frozenset(self._walk())

    def _walk(self) -> Iterator[str]:
        """All files, and links to folders; links are never followed."""
        count = 0
        for parent, folders, files in os.walk(self._folder):
            for name in (*folders, *files):
                path = Path(parent, name)
                count += 1
                if count > 2 * MOST_FILES:
                    raise BundleError(f"{self._folder} is not a bundle: it holds more than {2 * MOST_FILES:,} files")
                if (name in files and name not in _OF_FILE_MANAGERS) or path.is_symlink():
                    yield path.relative_to(self._folder).as_posix()

    def read(self, name: str) -> bytes:
        if name not in self.names:
            raise BundleError(f"{name} is missing")
        try:
            # a link could lead outside the folder, and opening a named pipe would block forever
            flags = (
                os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
            )
            with os.fdopen(os.open(self._folder / name, flags), "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_FILE_BYTES:
                    raise BundleError(f"{name} is not a regular file of at most {MOST_FILE_BYTES:,} bytes")
                return file.read(MOST_FILE_BYTES)
        except OSError as error:
            raise BundleError(f"{name} can't be read ({error.strerror})") from error


class _Zip:
    def __init__(self, path: Path, packed: zipfile.ZipFile) -> None:
        self._packed = packed
        self._entries: dict[str, zipfile.ZipInfo] = {}
        folded: set[str] = set()
        for entry in packed.infolist():
            if entry.is_dir() and not entry.file_size and is_safe_name(entry.orig_filename.rstrip("/")):
                continue  # other programs store folders as entries of their own
            if not is_safe_name(entry.orig_filename):  # zipfile cuts `filename` off at a null byte
                raise BundleError(f"{path} is not a bundle: it holds a file named {entry.orig_filename[:80]!r}")
            if entry.filename.lower() in folded:
                raise BundleError(f"{path} is not a bundle: it holds {entry.filename} twice")
            if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise BundleError(f"{path} is not a bundle: {entry.filename} is encrypted or compressed in another way")
            if stat.S_ISLNK(entry.external_attr >> 16):
                raise BundleError(f"{path} is not a bundle: {entry.filename} is a link")
            if entry.file_size > MOST_FILE_BYTES:
                raise BundleError(f"{path} is not a bundle: {entry.filename} has more than {MOST_FILE_BYTES:,} bytes")
            folded.add(entry.filename.lower())
            self._entries[entry.filename] = entry
        self.names = frozenset(self._entries)
        _require_plausible(path, list(self._entries.values()))

    def read(self, name: str) -> bytes:
        if name not in self._entries:
            raise BundleError(f"{name} is missing")
        entry, data = self._entries[name], bytearray()
        try:
            with self._packed.open(entry) as file:
                # in pieces, because zipfile would unpack up to 2 GiB before it looks at the size
                while chunk := file.read(_CHUNK):
                    data += chunk
                    if len(data) > entry.file_size:
                        raise BundleError(f"{name} unpacks to more than the {entry.file_size:,} bytes it claims")
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError) as error:
            raise BundleError(f"{name} can't be unpacked ({error})") from error
        return bytes(data)


def _require_plausible(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Refuse a ZIP that unpacks to far more than its own size, before unpacking any of it."""
    unpacked, size = sum(entry.file_size for entry in entries), path.stat().st_size
    if unpacked > MOST_BYTES or unpacked > _MOST_RATIO * size:
        raise BundleError(f"{path} is not a bundle: its {size:,} bytes would unpack to {unpacked:,}")


def _require_plain_end(path: Path, descriptor: int) -> None:
    """Refuse a ZIP whose directory would fill the memory; zipfile reads as much as the file claims."""
    size = os.fstat(descriptor).st_size
    if size > MOST_BYTES + _DIRECTORY_BYTES:
        raise BundleError(f"{path} is not a bundle: it has {size:,} bytes, more than any bundle")
    start = max(0, size - _END_BYTES - _LOCATOR_BYTES)
    os.lseek(descriptor, start, os.SEEK_SET)
    tail = os.read(descriptor, size - start)
    os.lseek(descriptor, 0, os.SEEK_SET)
    end = tail[-_END_BYTES:]
    files, directory, offset = (int.from_bytes(end[a:b], "little") for a, b in ((10, 12), (12, 16), (16, 20)))
    if not end.startswith(_END) or end[20:] != b"\0\0" or tail.startswith(_LOCATOR) or files > MOST_FILES:
        raise BundleError(f"{path} is not a bundle; give a folder or ZIP that `lookalike bundle` wrote")
    if directory > _DIRECTORY_BYTES or offset + directory + _END_BYTES != size:
        raise BundleError(f"{path} is not a bundle: it holds data before or after its files")
