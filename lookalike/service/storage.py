"""Indexes and policies in object storage: a copy on this machine, brought up to date file by file and checked.

The copy of an index is an index folder like any other: data files are named after their content, so only new ones are
fetched, and the manifest is replaced last. Whoever has the copy open keeps reading what was there before.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from lookalike.disk import clear, make_folder, written
from lookalike.errors import LookalikeError
from lookalike.index import store
from lookalike.index.build import harmless_folder
from lookalike.index.data_files import data_name
from lookalike.policy.file import parse_file, read_text

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_NAME = re.compile(r"\w[\w.-]{0,120}")
_CHUNK = 8 << 20
_SMALL = 16 << 20
"""The most bytes of a manifest or a policy."""

_LARGEST_COHORT = 1 << 28
_TRIES = 5


class StorageError(LookalikeError):
    """What an address of object storage names can't be read, or is not what it should be."""


class MissingError(StorageError):
    """There is no such file."""


def is_address(place: str | Path) -> bool:
    """Whether this is an address, and no path.

    >>> is_address("s3://bucket/genuine.index"), is_address("C:/genuine.index"), is_address("genuine.index")
    (True, False, False)
    """
    return _ADDRESS.match(str(place)) is not None


@dataclass(frozen=True)
class Storage:
    """Copies what addresses such as s3://bucket/genuine.index name into folders below `cache`.

    Only addresses whose scheme is among `protocols` are read, by the fsspec back end of that scheme, with the
    credentials that it finds in the environment. An index may have `most_bytes` bytes. Several threads may use it.
    """

    cache: Path
    protocols: frozenset[str] = frozenset({"s3"})
    most_bytes: int = 1 << 40
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def local_copy(self, place: str | Path) -> Path:
        """The local path of an index folder or a policy (.toml): a path itself, or the up-to-date copy of an address.

        Raises StorageError for an address that may not or can't be read, or whose files are not as they were written,
        and what a damaged manifest or policy raises. The copy then stays as it was.
        """
        if not is_address(place):
            return Path(place)
        url, folder = str(place).rstrip("/"), self.folder_of(place)
        with self._lock:
            if url.endswith(".toml"):
                above, _, name = url.rpartition("/")
                return _copy_policy(self.place(above), name, folder)
            _copy_harmless(self.place(f"{url}/harmless"), harmless_folder(folder), self.most_bytes)
            _copy_index(self.place(url), folder, self.most_bytes)
            return folder

    def path_of(self, place: str | Path) -> Path:
        """The path that `local_copy` gave last; nothing is looked at."""
        if not is_address(place):
            return Path(place)
        name = str(place).rstrip("/").rpartition("/")[2]
        return self.folder_of(place) / name if name.endswith(".toml") else self.folder_of(place)

    def folder_of(self, place: str | Path) -> Path:
        """The folder for the copy of what lies at an address."""
        return self.cache / hashlib.sha256(str(place).rstrip("/").encode()).hexdigest()[:16]

    def place(self, url: str) -> Place:
        """The files below an address. Raises StorageError for one that may not be read."""
        import fsspec

        scheme = url.partition("://")[0].lower()
        if scheme not in self.protocols or "::" in url:
            allowed = ", ".join(sorted(self.protocols)) or "none"
            raise StorageError(f"{url} may not be read; the protocols that the settings allow are: {allowed}")
        try:
            system, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except (ImportError, ValueError) as error:  # names the package that brings the scheme, or knows none
            raise StorageError(f"{url} can't be read: {error}") from error
        return Place(system, root, url)


def _copy_harmless(place: Place, folder: Path, most: int) -> None:
    """Copy an index's harmless photos, if it has any."""
    try:
        _copy_index(place, folder, most)
    except MissingError as error:
        if not str(error).startswith(f"{place.url}/{store.MANIFEST} "):
            raise
        shutil.rmtree(folder, ignore_errors=True)


def _copy_index(place: Place, folder: Path, most: int) -> None:
    """Make a folder hold the index that lies there; tried again if its files were replaced meanwhile."""
    make_folder(folder)
    for left in reversed(range(_TRIES)):
        data = place.read(store.MANIFEST)
        there = folder / store.MANIFEST
        if there.is_file() and there.read_bytes() == data:
            return
        arriving = folder / "arriving"
        make_folder(arriving)
        (arriving / store.MANIFEST).write_bytes(data)
        manifest, _ = store.read_manifest(arriving)
        clear(arriving)
        arriving.rmdir()
        try:
            _fetch_data(place, folder, manifest, most)
        except MissingError:
            if not left:
                raise
            continue
        with store.writing(folder):
            store.replace_manifest(folder, manifest)
        return


def _fetch_data(place: Place, folder: Path, manifest: dict[str, Any], most: int) -> None:
    """Fetch the data files that a folder lacks. Raises StorageError for sizes or contents that can't be right."""
    try:
        files = {data_name(entry["name"]): (int(entry["bytes"]), entry["sha256"])
                 for entry in store.data_entries(manifest)}  # fmt: skip
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise store.unusable(Path(place.url), error) from error
    if sum(size for size, _ in files.values()) > most or any(size < 0 for size, _ in files.values()):
        raise StorageError(f"the index {place.url} is larger than {most:,} bytes; allow more, or keep it elsewhere")
    for name, (size, sha256) in files.items():
        target = folder / name
        if not target.is_file() or target.stat().st_size != size:
            place.fetch(name, target, sha256=sha256, most=size)


def _copy_policy(place: Place, name: str, folder: Path) -> Path:
    """Copy a policy under its own name, and the cohort that it names beside it."""
    path = folder / name
    if not _NAME.fullmatch(name):
        raise StorageError(f"{place.url}/{name} can't be a policy; name it with letters, digits, dots and dashes")
    data = place.read(name)
    if path.is_file() and path.read_bytes() == data:
        return path
    make_folder(folder)
    with written(path) as temporary:
        temporary.write_bytes(data)
        cohort = parse_file(read_text(temporary), source=f"{place.url}/{name}").cohort
        if cohort is not None and not _NAME.fullmatch(cohort.file):
            raise StorageError(f"{place.url}/{name} names the cohort {cohort.file[:60]!r}, expected a file beside it")
        if cohort is not None:
            place.fetch(cohort.file, folder / cohort.file, sha256=cohort.sha256, most=_LARGEST_COHORT)
    return path


@dataclass(frozen=True)
class Place:
    """The files below an address. Raises StorageError for one that can't be read or written, MissingError for none."""

    system: Any
    root: str
    url: str

    def read(self, name: str, *, most: int = _SMALL) -> bytes:
        """The bytes of a small file."""
        with self._open(name) as file:
            data = bytes(file.read(most + 1))
        if len(data) > most:
            raise StorageError(f"{self.url}/{name} is larger than {most:,} bytes, too large for what it should be")
        return data

    def write(self, name: str, data: bytes) -> None:
        """Have a file hold these bytes; it appears whole, as far as the back end does that."""
        with self._said(name):
            self.system.pipe_file(f"{self.root}/{name}", data)

    def fetch(self, name: str, target: Path, *, sha256: object, most: int) -> None:
        """Copy a file of at most so many bytes that has this sha256; it appears whole or not at all."""
        digest, left = hashlib.sha256(), most
        with written(target) as temporary, open(temporary, "wb") as file, self._open(name) as source:
            while left >= 0 and (chunk := source.read(min(_CHUNK, left + 1))):
                left -= len(chunk)
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            if left < 0 or digest.hexdigest() != sha256:
                raise StorageError(f"{self.url}/{name} is not as it was written (checksum differs); upload it again")

    @contextmanager
    def _open(self, name: str) -> Iterator[BinaryIO]:
        with self._said(name), self.system.open(f"{self.root}/{name}", "rb", block_size=_CHUNK) as file:
            yield file

    @contextmanager
    def _said(self, name: str) -> Iterator[None]:
        try:
            yield
        except LookalikeError:
            raise
        except FileNotFoundError as error:
            raise MissingError(f"{self.url}/{name} is missing; upload it again") from error
        except Exception as error:  # each back end raises the errors of its client
            raise StorageError(f"{self.url}/{name} can't be read ({type(error).__name__}: {error})") from error
