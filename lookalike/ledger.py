"""A file that is only ever added to: several processes may add at once, and what a kill left unfinished is set aside.

After each addition, a small file beside it says what its size and times were then. While they are the same, all
entries are as they were when they were last checked, so only the last one is read. Otherwise, or without that file,
everything is read and checked. Whoever forges the times as well is found by `Ledger.audit`, which never looks at it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic

from .disk import make_folder, read_regular, sync
from .entries import LINE_BYTES, MOST_BYTES, START, UNREADABLE, Audit, Entry, Reading, S, parse_entry, read_entries
from .errors import HistoryError

_MOST_BYTES = 1000


@dataclass(frozen=True)
class Added(Generic[S]):
    """Entries added, and the file `torn` with the remains of an addition that was cut short before, if any."""

    entries: tuple[Entry[S], ...]
    torn: Path | None = None


@dataclass(frozen=True)
class Ledger(Generic[S]):
    """A file of entries: `said` makes of a line's values what the entry says, and raises one of UNREADABLE.

    `kind` is what the file is called, `verify` the command that names what is not as it was written, and `start` how
    one begins such a file.
    """

    path: Path
    said: Callable[[Mapping[str, Any]], S]
    kind: str
    verify: str
    start: str

    def read(self) -> Reading[S]:
        """All lines. Raises HistoryError if there is no file, or one too large."""
        if not self.path.is_file():
            raise HistoryError(f"there is no {self.kind} {self.path}; start one with: {self.start}")
        return read_entries(self.path, self.said)

    def entries(self) -> tuple[Entry[S], ...]:
        """The entries in order. Raises HistoryError if there is no file, or if it is not as it was written."""
        read = self.read()
        for trouble in read.disagreements():
            raise HistoryError(f"{self.path} is not as it was written: {trouble}; see: {self.verify} {self.path}")
        return tuple(entry for _, entry in read.entries)

    def audit(self, seal: str | None = None) -> Audit:
        """Compute all hashes again, and name each line that is not as it was written (see `Audit.of`)."""
        return Audit.of(self.read(), seal)

    def add(self, say: Callable[[Entry[S] | None], Sequence[S]]) -> Added[S]:
        """Append what `say` makes of the last entry; all of it is on disk when this returns.

        Several processes may add at once. A last line that a killed process left unfinished was never an entry; it is
        moved to a file beside. Raises HistoryError for a file that is not as it was written.
        """
        from filelock import FileLock

        make_folder(self.path.parent)
        with FileLock(self.path.with_name(self.path.name + ".lock")):
            torn, last = None, self._last()
            if last is None:
                torn = self._mend()
                entries = self.entries() if self.path.exists() and self.path.stat().st_size else ()
                last = entries[-1] if entries else None
            added: list[Entry[S]] = []
            for each in say(last):
                last = _next(each, last)
                added.append(last)
            lines = [entry.line() for entry in added]
            if longest := max((len(line) for line in lines if len(line) > LINE_BYTES), default=0):
                raise HistoryError(f"the entry takes {longest:,} bytes, at most {LINE_BYTES:,} fit; shorten its texts")
            is_new = not self.path.exists()
            with open(self.path, "ab") as file:
                file.write(b"".join(lines))
                file.flush()
                os.fsync(file.fileno())
            if is_new:
                sync(self.path.parent)
            self._remember()
        return Added(tuple(added), torn)

    def at(self, number: int) -> Entry[S]:
        """The entry with that number of a file whose end is known. Raises HistoryError if it is not there."""
        with open(self.path, "rb") as file:
            for _ in range(number - 1):
                file.readline(LINE_BYTES + 1)
            line = file.readline(LINE_BYTES + 1)
        try:
            entry = parse_entry(line, self.said)
            if entry.number == number:
                return entry
        except UNREADABLE:
            pass
        raise HistoryError(f"{self.path} is not as it was written; see: {self.verify} {self.path}")

    def _last(self) -> Entry[S] | None:
        """The last entry of a file that is as the last addition left it; None if that is not known."""
        try:
            if json.loads(read_regular(self._beside, most=_MOST_BYTES)) != self._state():
                return None
            with open(self.path, "rb") as file:
                file.seek(max(0, self.path.stat().st_size - LINE_BYTES))
                line = file.read(LINE_BYTES).splitlines(keepends=True)[-1]
            entry = parse_entry(line, self.said)
        except (OSError, IndexError, *UNREADABLE):
            return None
        return entry if _is_as_written(entry, line) else None

    def _remember(self) -> None:
        """Note that the file is intact as it is now."""
        with suppress(OSError):  # it only saves time
            self._beside.write_text(json.dumps(self._state()), encoding="utf-8")

    @property
    def _beside(self) -> Path:
        return self.path.with_name(self.path.name + ".checked")

    def _state(self) -> list[int]:
        status = self.path.stat()
        return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]

    def _mend(self) -> Path | None:
        """End a last line that only lacks its line end; move any other unfinished one to the file that this returns."""
        if not self.path.exists() or not self.path.stat().st_size:
            return None
        with open(self.path, "r+b") as file:
            data = file.read(MOST_BYTES + 1)
            kept = data.rfind(b"\n") + 1
            rest = data[kept:]
            if not rest:
                return None
            if self._is_whole(rest):
                file.seek(0, os.SEEK_END)
                file.write(b"\n")
                file.flush()
                os.fsync(file.fileno())
                return None
            torn = self.path.with_name(self.path.name + ".torn")
            with open(torn, "ab") as aside:
                aside.write(rest + b"\n")
                aside.flush()
                os.fsync(aside.fileno())
            file.truncate(kept)
            file.flush()
            os.fsync(file.fileno())
        return torn

    def _is_whole(self, rest: bytes) -> bool:
        """Whether these bytes are an entry without its line end."""
        try:
            return _is_as_written(parse_entry(rest, self.said), rest + b"\n")
        except UNREADABLE:
            return False


def _is_as_written(entry: Entry[S], line: bytes) -> bool:
    return entry.line() == line and entry.hash == entry.computed_hash()


def _next(said: S, last: Entry[S] | None) -> Entry[S]:
    """The entry that follows the last one."""
    number, previous = (1, START) if last is None else (last.number + 1, last.hash)
    entry = Entry(number, said, previous, "")
    return replace(entry, hash=entry.computed_hash())
