"""Content hash and encoder to vector, on disk, so that no picture is embedded twice."""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from lookalike.model.encoder import EncoderSpec

_log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (
    encoder TEXT, sha256 TEXT, vector BLOB NOT NULL, hint TEXT, PRIMARY KEY (encoder, sha256)
) WITHOUT ROWID
"""


@dataclass(frozen=True)
class CachedVector:
    """One picture's vector, float32 (dim,), and the hint its reading gave, if any."""

    vector: NDArray[np.float32]
    hint: str | None


class VectorCache:
    """A SQLite file of vectors by the sha256 of the picture's bytes, for one encoder at a time.

    What `put` was given is there after a kill at any moment, all of one call or none of it. May be used
    from several threads and processes. A damaged file is begun anew: what it held can be computed again.
    """

    def __init__(self, path: Path, spec: EncoderSpec) -> None:
        self._dim = spec.dim
        canonical = json.dumps({**spec.to_json(), "name": ""}, sort_keys=True)
        self._encoder = hashlib.sha256(canonical.encode()).hexdigest()
        self._lock = threading.Lock()
        self._connection = open_database(path, _SCHEMA)

    def __enter__(self) -> VectorCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def get(self, sha256: str) -> CachedVector | None:
        """The vector of the picture with that hash, or None."""
        with self._lock:
            row = self._connection.execute(
                "SELECT vector, hint FROM vectors WHERE encoder = ? AND sha256 = ?", (self._encoder, sha256)
            ).fetchone()
        if row is None or len(row[0]) != 4 * self._dim:
            return None
        return CachedVector(np.frombuffer(row[0], "<f4"), row[1])

    def put(self, hashes: Sequence[str], vectors: NDArray[np.float32], hints: Iterable[str | None]) -> None:
        """Keep `vectors`, float32 (n, dim), under their n hashes, as one transaction."""
        rows = [
            (self._encoder, sha256, np.ascontiguousarray(vector, "<f4").tobytes(), hint)
            for sha256, vector, hint in zip(hashes, vectors, hints, strict=True)
        ]
        with self._lock, self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)", rows)


def open_database(path: Path, schema: str) -> sqlite3.Connection:
    """A SQLite file with that schema, for several threads and processes; a damaged one is begun anew."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _connect(path, schema)
    except sqlite3.OperationalError:  # no damage: no room, no permission
        raise
    except sqlite3.DatabaseError:
        _log.warning("%s is damaged; what it held is computed again", path)
        for damaged in path.parent.glob(path.name + "*"):
            damaged.unlink()
        return _connect(path, schema)


def _connect(path: Path, schema: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=60, check_same_thread=False)
    try:
        # WAL keeps a commit at one write, and a killed process's last commit whole
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(schema)
    except sqlite3.Error:
        connection.close()
        raise
    return connection
