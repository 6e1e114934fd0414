"""Results that are expensive to compute, as bytes by a key that names all they depend on."""

from __future__ import annotations

import logging
import random
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from .database import Database, checksum, stored_bytes

_log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS results (key TEXT PRIMARY KEY, value BLOB NOT NULL, checksum BLOB NOT NULL) WITHOUT ROWID
"""

_KEYS_TOGETHER = 4096
_REMOVED = 8  # one row in this many is removed at a time


class BlobCache(Database):
    """A file of bytes by key (see `Database`). A damaged row counts as missing.

    Once the file holds more than `most_bytes`, some neighbouring rows are removed, drawn at random: a scan that needs
    more than fits still finds most of what is there, where it would miss all of it if the oldest were removed.
    """

    def __init__(self, path: Path, *, optional: bool = False, most_bytes: int | None = None) -> None:
        super().__init__(path, _SCHEMA, optional=optional)
        self._most_bytes = most_bytes

    def get(self, key: str) -> bytes | None:
        """The bytes under that key, or None."""
        row = self.row("SELECT value, checksum FROM results WHERE key = ?", (key,))
        if row is None:
            return None
        value, stored = row
        if not isinstance(value, bytes) or stored != checksum(key, value):
            _log.warning("%s: the row of %s is damaged; its value will be computed again", self._path, key)
            return None
        return bytes(value)

    def put(self, values: Mapping[str, bytes]) -> None:
        """Keep values under their keys, all of them or none if the process is killed."""
        rows = [(key, value, checksum(key, value)) for key, value in values.items()]

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany("INSERT OR REPLACE INTO results VALUES (?, ?, ?)", rows)
            if self._most_bytes is not None:
                while stored_bytes(connection) > self._most_bytes and _remove_some(connection):
                    pass

        self.change(write)

    @property
    def empty(self) -> bool:
        """Whether there is no value at all."""
        return self.row("SELECT 1 FROM results LIMIT 1", ()) is None

    def keep_only(self, wanted: Callable[[Sequence[str]], Iterable[bool]]) -> None:
        """Remove the values whose keys are not `wanted`; it is called with some keys at a time."""

        def write(connection: sqlite3.Connection) -> None:
            found, gone = connection.execute("SELECT key FROM results WHERE typeof(key) = 'text'"), list[tuple[str]]()
            while keys := [key for (key,) in found.fetchmany(_KEYS_TOGETHER)]:
                gone += [(key,) for key, keep in zip(keys, wanted(keys), strict=True) if not keep]
            connection.executemany("DELETE FROM results WHERE key = ?", gone)

        self.change(write)


def _remove_some(connection: sqlite3.Connection) -> bool:
    """Remove some rows; whether there were any."""
    count = int(connection.execute("SELECT count(*) FROM results").fetchone()[0])
    gone = count // _REMOVED + 1
    start = random.randrange(count - gone + 1)  # noqa: S311
    # neighbours, because only pages that lose all of their rows become free
    connection.execute(
        "DELETE FROM results WHERE key IN (SELECT key FROM results ORDER BY key LIMIT ? OFFSET ?)", (gone, start)
    )
    return count > 0
