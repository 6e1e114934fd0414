"""What checks found, kept for a while: the answers in a database, the photos that decided as files."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lookalike.disk import make_folder
from lookalike.policy.numbers import in_words
from lookalike.tables.candidates import region_in

_SHA256 = re.compile(r"[0-9a-f]{64}")
_DAY = 86_400.0
_TRIMMED_AFTER = 1000  # new ones


@dataclass(frozen=True)
class Pair:
    """What the evidence of a finding shows: the listing's photo by name and sha256, and the genuine one by its name.

    `region` is that of the match (see `Match`); `numbers` and `caption` are a line of text each.
    """

    image: str
    sha256: str | None
    reference: str
    region: tuple[float, float, float, float] | None
    numbers: str
    caption: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Pair | None:
        """The pair of a row of a findings table, None if its photo was matched with nothing."""
        image, reference = row["image"], row["reference_image"]
        if image is None or reference is None:
            return None
        caption = f"{row['verdict']}: resembles {row['brand']} {row['product_id']}"
        return cls(image, row["image_sha256"], reference, region_in(row), in_words(row), caption)


class FindingStore:
    """Answers by their ids, the `most` newest of the last `days`. What was put is there after a kill.

    Several threads may use it.
    """

    def __init__(self, path: Path, *, most: int, days: float) -> None:
        make_folder(path.parent)
        self._most, self._days, self._put = most, days, 0
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        # a commit reaches the system, so that a kill loses nothing, and the disk a little later
        self._database.executescript(
            """
            PRAGMA journal_mode = WAL;
            PRAGMA synchronous = NORMAL;
            CREATE TABLE IF NOT EXISTS findings (
                number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, time REAL NOT NULL, answer TEXT NOT NULL, pair TEXT
            );
            """
        )
        self.trim()

    def put(self, name: str, answer: str, pair: Pair | None) -> None:
        """Keep an answer, which is JSON."""
        values = name, time.time(), answer, None if pair is None else json.dumps(asdict(pair))
        with self._lock:
            self._database.execute("INSERT INTO findings (id, time, answer, pair) VALUES (?, ?, ?, ?)", values)
            self._put += 1
            due = self._put % _TRIMMED_AFTER == 0
        if due:
            self.trim()

    def get(self, name: str) -> tuple[str, Pair | None] | None:
        """An answer and what its evidence shows; None if there is none of that id, or none any more."""
        with self._lock:
            row = self._database.execute("SELECT answer, pair FROM findings WHERE id = ?", (name,)).fetchone()
        if row is None:
            return None
        return row[0], None if row[1] is None else Pair(**json.loads(row[1]))

    def trim(self) -> None:
        """Forget what is too old or too much."""
        with self._lock:
            self._database.execute("DELETE FROM findings WHERE time < ?", (time.time() - self._days * _DAY,))
            self._database.execute(
                "DELETE FROM findings WHERE number <= (SELECT max(number) FROM findings) - ?", (self._most,)
            )

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()


class KeptPhotos:
    """The bytes of photos by their sha256, at most so many in all: the oldest are forgotten first.

    They are only there to be shown, so none is waited for until it is on disk, and one that is damaged counts as gone.
    Several threads may use it.
    """

    def __init__(self, folder: Path, *, most_bytes: int) -> None:
        self._folder, self._most, self._held = folder, most_bytes, 0
        self._sizes: dict[str, int] = {}
        self._lock = threading.Lock()
        make_folder(folder)
        found = [(path.stat(), path) for path in folder.glob("*/*")]
        for status, path in sorted(found, key=lambda each: each[0].st_mtime):
            if _SHA256.fullmatch(path.name):
                self._sizes[path.name] = status.st_size
                self._held += status.st_size
            else:
                path.unlink()  # left by a kill
        self._forget()

    def put(self, sha256: str, data: bytes) -> None:
        """Keep a photo."""
        with self._lock:
            if sha256 in self._sizes or len(data) > self._most:
                return
            path = self._path(sha256)
            path.parent.mkdir(exist_ok=True)
            temporary = path.with_name(f"{secrets.token_hex(8)}.tmp")
            temporary.write_bytes(data)
            temporary.replace(path)
            self._sizes[sha256] = len(data)
            self._held += len(data)
            self._forget()

    def get(self, sha256: str) -> bytes | None:
        """A photo's bytes, None if they are not kept."""
        if sha256 not in self._sizes:
            return None
        try:
            data = self._path(sha256).read_bytes()
        except FileNotFoundError:
            return None
        return data if hashlib.sha256(data).hexdigest() == sha256 else None

    def _path(self, sha256: str) -> Path:
        return self._folder / sha256[:2] / sha256

    def _forget(self) -> None:
        while self._held > self._most:
            sha256 = next(iter(self._sizes))
            self._held -= self._sizes.pop(sha256)
            self._path(sha256).unlink(missing_ok=True)
