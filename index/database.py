"""A SQLite file of results that can be computed again; threads and processes share it, and may be killed."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock

_log = logging.getLogger(__name__)


class Database:
    """A SQLite file with the tables of `schema`, made if there is none. Several threads and processes may use it.

    A change is there whole after a kill at any moment, or not at all. A damaged file is recreated empty, because what
    it held can be computed again; `checksum` tells whether a row is damaged.
    """

    def __init__(self, path: Path, schema: str) -> None:
        self._path, self._schema = path, schema
        self._lock = threading.Lock()
        self._connection = _open(path, schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, once no thread is reading or writing it."""
        with self._lock:
            self._connection.close()

    def row(self, query: str, values: Sequence[object]) -> tuple[Any, ...] | None:
        """The first row that a query finds, or None."""
        with self._lock:
            try:
                found: tuple[Any, ...] | None = self._connection.execute(query, values).fetchone()
            except sqlite3.DatabaseError as error:
                self._recreate(error)
                return None
        return found

    def change(self, make: Callable[[sqlite3.Connection], None]) -> None:
        """Let `make` change the tables, in one transaction; it is called again if the file had to be recreated."""
        with self._lock:
            try:
                self._change(make)
            except sqlite3.DatabaseError as error:
                self._recreate(error)
                self._change(make)

    def _change(self, make: Callable[[sqlite3.Connection], None]) -> None:
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            make(self._connection)

    def _recreate(self, error: sqlite3.DatabaseError) -> None:
        if type(error) is not sqlite3.DatabaseError:  # not damage, but no room, no permission or a mistake of ours
            raise error
        self._connection.close()
        self._connection = _open(self._path, self._schema, suspect=True)


def checksum(name: str, data: bytes, *, key: bytes = b"") -> bytes:
    """Eight bytes that differ if the name of a row or its data was changed, or belongs to another `key`."""
    return hashlib.blake2b(f"{name}\0".encode() + data, digest_size=8, key=key).digest()


def _open(path: Path, schema: str, *, suspect: bool = False) -> sqlite3.Connection:
    """Open the file, or recreate it if it is damaged. A file that is `suspect` is read whole to find out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(path.name + ".lock")):  # so that nobody opens what another process is deleting
        try:
            return _connect(path, schema, check=suspect)
        except sqlite3.OperationalError:  # not damage, but no room or no permission
            raise
        except sqlite3.DatabaseError:
            _log.warning("%s is damaged; its contents will be computed again", path)
            for part in ("", "-wal", "-shm", "-journal"):
                path.with_name(path.name + part).unlink(missing_ok=True)
            return _connect(path, schema)


def _connect(path: Path, schema: str, *, check: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=60, check_same_thread=False)
    try:
        # in WAL mode a commit is a single write, and survives the kill of its process
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(schema)
        if check and connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("damaged")
    except sqlite3.Error:
        connection.close()
        raise
    return connection
