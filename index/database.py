"""A SQLite file of results that can be computed again; threads and processes share it, and may be killed."""

from __future__ import annotations

import errno
import hashlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock

from lookalike.cores import renew_in_children
from lookalike.disk import make_folder

_log = logging.getLogger(__name__)

_PARTS = ("", "-wal", "-shm", "-journal")
_COLUMNS = "SELECT name FROM pragma_table_info(?)"
_inherited: list[sqlite3.Connection] = []  # kept, because to forget a connection is to close it
_WAIT = 60  # seconds, for another process to finish its change


class Database:
    """A SQLite file with the tables of `schema`, made if there is none. Several threads and processes may use it.

    A change is there whole after a kill at any moment, or not at all. A damaged file is recreated empty, because what
    it held can be computed again; `checksum` tells whether a row is damaged. If the file can't be used at all
    (no permission, no room, locked for a minute, tables of something else), sqlite3.Error or OSError is raised. With
    `optional`, it is set aside instead, with a warning: it then holds nothing and keeps nothing.
    """

    def __init__(self, path: Path, schema: str, *, optional: bool = False) -> None:
        self._path, self._schema, self._optional = path, schema, optional
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._forked = False
        with self._usable():
            self._connection = _open(path, schema)
        renew_in_children(self)

    def renew(self) -> None:
        """Open the file again when it is next used: a connection must not be used, or closed, in a forked child."""
        self._lock = threading.Lock()
        if self._connection is not None:
            _inherited.append(self._connection)
            self._connection, self._forked = None, True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, once no thread is reading or writing it."""
        with self._lock:
            self._disconnect()

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self._path

    def row(self, query: str, values: Sequence[object]) -> tuple[Any, ...] | None:
        """The first row that a query finds, or None."""
        found: tuple[Any, ...] | None = None
        with self._lock, self._usable():
            if self._connection is not None:
                try:
                    found = self._connection.execute(query, values).fetchone()
                except sqlite3.DatabaseError as error:
                    self._recreate(error)
        return found

    def change(self, make: Callable[[sqlite3.Connection], None]) -> None:
        """Let `make` change the tables, in one transaction; it is called again if the file had to be recreated."""
        with self._lock, self._usable():
            try:
                self._change(make)
            except sqlite3.DatabaseError as error:
                self._recreate(error)
                self._change(make)

    def _change(self, make: Callable[[sqlite3.Connection], None]) -> None:
        if self._connection is None:
            return
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            make(self._connection)

    @contextmanager
    def _usable(self) -> Iterator[None]:
        """Set the file aside if it turns out that it can't be used, and it is optional."""
        try:
            if self._forked:
                self._forked, self._connection = False, _open(self._path, self._schema)
            yield
        except (sqlite3.DatabaseError, OSError) as error:
            if not self._optional or isinstance(error, sqlite3.ProgrammingError):
                raise
            _log.warning("%s can't be used (%s); going on without it", self._path, error)
            self._disconnect()

    def _disconnect(self) -> None:
        self._forked = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _recreate(self, error: sqlite3.DatabaseError) -> None:
        if type(error) is not sqlite3.DatabaseError:  # not damage, but no room, no permission or a mistake of ours
            raise error
        self._disconnect()
        self._connection = _open(self._path, self._schema, suspect=True)


def checksum(name: str, data: bytes, *, key: bytes = b"") -> bytes:
    """Eight bytes that differ if the name of a row or its data was changed, or belongs to another `key`."""
    return hashlib.blake2b(f"{name}\0".encode() + data, digest_size=8, key=key).digest()


def stored_bytes(connection: sqlite3.Connection) -> int:
    """How many bytes of the file hold rows."""
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _open(path: Path, schema: str, *, suspect: bool = False) -> sqlite3.Connection:
    """Open the file, or recreate it if it is damaged. A file that is `suspect` is read whole to find out."""
    make_folder(path.parent)
    for part in _PARTS:
        _require_regular(path.with_name(path.name + part))
    # so that nobody opens what another process is deleting
    with FileLock(path.with_name(path.name + ".lock"), timeout=_WAIT):
        try:
            return _connect(path, schema, check=suspect)
        except sqlite3.OperationalError:  # not damage, but no room or no permission
            raise
        except sqlite3.DatabaseError:
            _log.warning("%s is damaged; its contents will be computed again", path)
            for part in _PARTS:
                path.with_name(path.name + part).unlink(missing_ok=True)
            return _connect(path, schema)


def _connect(path: Path, schema: str, *, check: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_WAIT, check_same_thread=False)
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")  # damaged text fails its checksum
    try:
        # in WAL mode a commit is a single write, and survives the kill of its process
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(schema)
        if check and connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("damaged")
        _require_columns(connection, path, schema)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _require_columns(connection: sqlite3.Connection, path: Path, schema: str) -> None:
    """Raise sqlite3.OperationalError if a table of the schema was there already, with other columns."""
    with closing(sqlite3.connect(":memory:")) as pristine:
        pristine.execute(schema)
        for (table,) in pristine.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            ours, theirs = (each.execute(_COLUMNS, (table,)).fetchall() for each in (pristine, connection))
            if ours != theirs:
                raise sqlite3.OperationalError(f"the table {table} in {path} has other columns")


def _require_regular(path: Path) -> None:
    """Raise OSError for a pipe or device, which would keep its reader waiting."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
