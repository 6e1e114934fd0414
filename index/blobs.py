"""Small results that cost much to compute, by a key that says all they depend on; on disk, and safe against kills."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from .vector_cache import open_database

_SCHEMA = "CREATE TABLE IF NOT EXISTS blobs (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"


class BlobCache:
    """A SQLite file of bytes by key. May be used from several threads and processes.

    What `put` was given is there after a kill at any moment, all of one call or none of it. A damaged file is begun
    anew: what it held can be computed again.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = open_database(path, _SCHEMA)

    def close(self) -> None:
        """Close the file, once nobody is reading or writing it."""
        with self._lock:
            self._connection.close()

    def get(self, key: str) -> bytes | None:
        """What was put under that key, or None."""
        with self._lock:
            row = self._connection.execute("SELECT value FROM blobs WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def put(self, values: Mapping[str, bytes]) -> None:
        """Keep values under their keys, as one transaction."""
        with self._lock, self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO blobs VALUES (?, ?)", values.items())
