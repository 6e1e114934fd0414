"""Content hash and encoder to vector, on disk, so that no picture is embedded twice."""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import platformdirs
from filelock import FileLock
from numpy.typing import NDArray

from lookalike.model.encoder import EncoderSpec

_log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (
    encoder BLOB, key TEXT, vector BLOB NOT NULL, hint TEXT, checksum BLOB NOT NULL, used REAL NOT NULL,
    PRIMARY KEY (encoder, key)
) WITHOUT ROWID
"""

MOST_BYTES = 4 << 30
"""A cache that several runs share grows to this; then the vectors that were not used for longest go."""

_EVICTED = 8  # one in so many goes at a time
_USE_SECONDS = 24 * 3600  # a use is written down once a day, so that reading costs no writing


@dataclass(frozen=True)
class CachedVector:
    """One picture's vector, float32 (dim,), and the hint its reading gave, if any."""

    vector: NDArray[np.float32]
    hint: str | None


def default_cache() -> Path:
    """Where the commands keep vectors from run to run: in the user's own cache folder."""
    return platformdirs.user_cache_path("lookalike") / "vectors.sqlite"


class VectorCache:
    """A SQLite file of vectors by a key that says which pixels they are of, for one encoder at a time.

    Keys are those of `index.embedding`: the sha256 of a picture's bytes, and of what the encoder is given of it. What
    `put` was given is there after a kill at any moment, all of one call or none of it, until the file holds more than
    `most_bytes` and it is among those that were not used for longest. May be used from several threads and processes.
    A damaged row is as none, a damaged file begun anew: what it held can be computed again.
    """

    def __init__(self, path: Path, spec: EncoderSpec, *, most_bytes: int = MOST_BYTES) -> None:
        self._path, self._dim, self._most_bytes = path, spec.dim, most_bytes
        canonical = json.dumps({**spec.to_json(), "name": ""}, sort_keys=True)
        self._encoder = hashlib.sha256(canonical.encode()).digest()
        self._lock = threading.Lock()
        self._used: set[str] = set()
        self._connection = open_database(path, _SCHEMA)

    def __enter__(self) -> VectorCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write down what was used, and close the file."""
        with self._lock:
            try:
                with self._connection:
                    self._write_uses()
            except sqlite3.DatabaseError as error:  # the vectors are safe; only their order of eviction is not
                _log.warning("%s: which vectors were used could not be written down (%s)", self._path, error)
            self._connection.close()

    def get(self, key: str) -> CachedVector | None:
        """The vector under that key, or None."""
        with self._lock:
            try:
                row = self._connection.execute(
                    "SELECT vector, hint, checksum, used FROM rows WHERE encoder = ? AND key = ?", (self._encoder, key)
                ).fetchone()
            except sqlite3.DatabaseError as error:
                self._begin_anew(error)
                return None
            if row is None:
                return None
            vector, hint, checksum, used = row
            if checksum != self._checksum(key, vector, hint) or len(vector) != 4 * self._dim:
                _log.warning("%s: the row of %s is damaged; its vector is computed again", self._path, key)
                return None
            if time.time() - used > _USE_SECONDS:
                self._used.add(key)
        return CachedVector(np.frombuffer(vector, "<f4"), hint)

    def put(self, keys: Sequence[str], vectors: NDArray[np.float32], hints: Iterable[str | None]) -> None:
        """Keep `vectors`, float32 (n, dim), under their n keys, as one transaction."""
        rows = []
        for key, vector, hint in zip(keys, vectors, hints, strict=True):
            packed = np.ascontiguousarray(vector, "<f4").tobytes()
            rows.append((self._encoder, key, packed, hint, self._checksum(key, packed, hint), time.time()))
        with self._lock:
            try:
                self._write(rows)
            except sqlite3.DatabaseError as error:
                self._begin_anew(error)
                self._write(rows)

    def _write(self, rows: Sequence[tuple[object, ...]]) -> None:
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._write_uses()
            self._connection.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?)", rows)
            if self._bytes() > self._most_bytes:
                self._connection.execute(
                    "DELETE FROM rows WHERE (encoder, key) IN "
                    "(SELECT encoder, key FROM rows ORDER BY used LIMIT (SELECT count(*) / ? + 1 FROM rows))",
                    (_EVICTED,),
                )

    def _write_uses(self) -> None:
        now = time.time()
        self._connection.executemany(
            "UPDATE rows SET used = ? WHERE encoder = ? AND key = ?", [(now, self._encoder, key) for key in self._used]
        )
        self._used.clear()

    def _bytes(self) -> int:
        pages, free, size = (
            int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size

    def _checksum(self, key: str, vector: bytes, hint: str | None) -> bytes:
        return hashlib.blake2b(f"{key}\0{hint}\0".encode() + vector, digest_size=8, key=self._encoder).digest()

    def _begin_anew(self, error: sqlite3.DatabaseError) -> None:
        if type(error) is not sqlite3.DatabaseError:  # no damage: no room, no permission, a mistake of ours
            raise error
        self._connection.close()
        self._connection = open_database(self._path, _SCHEMA, suspect=True)


def open_database(path: Path, schema: str, *, suspect: bool = False) -> sqlite3.Connection:
    """A SQLite file with that schema, for several threads and processes; a damaged one is begun anew.

    A file that is `suspect` is read whole to find out.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(path.name + ".lock")):  # so that nobody opens what another is throwing away
        try:
            return _connect(path, schema, check=suspect)
        except sqlite3.OperationalError:  # no damage: no room, no permission
            raise
        except sqlite3.DatabaseError:
            _log.warning("%s is damaged; what it held is computed again", path)
            for part in ("", "-wal", "-shm", "-journal"):
                path.with_name(path.name + part).unlink(missing_ok=True)
            return _connect(path, schema)


def _connect(path: Path, schema: str, *, check: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=60, check_same_thread=False)
    try:
        # WAL keeps a commit at one write, and a killed process's last commit whole
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(schema)
        if check and connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("damaged")
    except sqlite3.Error:
        connection.close()
        raise
    return connection
