"""Vectors by the content of their picture and by encoder, on disk, so that no picture is embedded twice."""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
from numpy.typing import NDArray

from lookalike.model.encoder import EncoderSpec

from .database import Database, checksum, stored_bytes

_log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (
    encoder BLOB, key TEXT, vector BLOB NOT NULL, hint TEXT, checksum BLOB NOT NULL, used REAL NOT NULL,
    PRIMARY KEY (encoder, key)
) WITHOUT ROWID
"""

MOST_BYTES = 4 << 30
"""The size a shared cache grows to; beyond it, the vectors unused for longest are removed."""

_EVICTED = 8  # one row in this many is removed at a time
_USE_SECONDS = 24 * 3600  # a use is recorded once a day at most, so that reading seldom writes


@dataclass(frozen=True)
class CachedVector:
    """One picture's vector, float32 (width,), and the hint that came with reading it, if any."""

    vector: NDArray[np.float32]
    hint: str | None


def default_cache() -> Path:
    """Where the commands keep vectors between runs: in the user's cache folder."""
    return platformdirs.user_cache_path("lookalike") / "vectors.sqlite"


class VectorCache(Database):
    """A file of vectors by a key that says which pixels they stand for (see `Database`), used with one encoder.

    Of an encoder with an adapter, it keeps the vectors before they are adapted, so that an adapter costs no embedding.

    The keys are those of `index.embedding`: the sha256 of a picture's bytes, and of the encoder's input. Once the file
    holds more than `most_bytes`, the vectors unused for longest are removed. A damaged row counts as missing.
    """

    def __init__(self, path: Path, spec: EncoderSpec, *, most_bytes: int = MOST_BYTES, optional: bool = False) -> None:
        super().__init__(path, _SCHEMA, optional=optional)
        self._width, self._most_bytes = spec.width, most_bytes
        canonical = json.dumps({**spec.unadapted.to_json(), "name": ""}, sort_keys=True)
        self._encoder = hashlib.sha256(canonical.encode()).digest()
        self._used: set[str] = set()

    def close(self) -> None:
        """Record which vectors were used, and close the file."""
        try:
            self.change(self._write_uses)
        except (sqlite3.DatabaseError, OSError) as error:  # no vector is lost, only the order in which they are removed
            _log.warning("%s: could not record which vectors were used (%s)", self._path, error)
        super().close()

    def get(self, key: str) -> CachedVector | None:
        """The vector under that key, or None."""
        row = self.row(
            "SELECT vector, hint, checksum, used FROM rows WHERE encoder = ? AND key = ?", (self._encoder, key)
        )
        if row is None:
            return None
        vector, hint, stored, used = row
        whole = isinstance(vector, bytes) and isinstance(used, float) and len(vector) == 4 * self._width
        if not whole or stored != self._checksum(key, vector, hint):
            _log.warning("%s: the row of %s is damaged; its vector will be computed again", self._path, key)
            return None
        if time.time() - used > _USE_SECONDS:
            self._used.add(key)
        return CachedVector(np.frombuffer(vector, "<f4"), hint)

    def put(self, keys: Sequence[str], vectors: NDArray[np.float32], hints: Iterable[str | None]) -> None:
        """Keep `vectors`, float32 (n, width), under their n keys, all of them or none if the process is killed."""
        rows = []
        for key, vector, hint in zip(keys, vectors, hints, strict=True):
            packed = np.ascontiguousarray(vector, "<f4").tobytes()
            rows.append((self._encoder, key, packed, hint, self._checksum(key, packed, hint), time.time()))

        def write(connection: sqlite3.Connection) -> None:
            self._write_uses(connection)
            connection.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?)", rows)
            if stored_bytes(connection) > self._most_bytes:
                connection.execute(
                    "DELETE FROM rows WHERE (encoder, key) IN "
                    "(SELECT encoder, key FROM rows ORDER BY used LIMIT (SELECT count(*) / ? + 1 FROM rows))",
                    (_EVICTED,),
                )

        self.change(write)

    def _write_uses(self, connection: sqlite3.Connection) -> None:
        now, used = time.time(), list(self._used)  # other threads add to the set meanwhile
        connection.executemany(
            "UPDATE rows SET used = ? WHERE encoder = ? AND key = ?", [(now, self._encoder, key) for key in used]
        )
        self._used.difference_update(used)

    def _checksum(self, key: str, vector: bytes, hint: str | None) -> bytes:
        return checksum(f"{key}\0{hint}", vector, key=self._encoder)
