"""Where a history ends, known without reading all of it, as long as nobody but additions touched the file.

After each addition, a small file beside the history says what the history's size and times were then. While they are
the same, all entries are as they were when they were last checked, so only the last one is read. Otherwise, or without
that file, everything is read and checked. Whoever forges the times as well is found by `verify_history`, which never
looks at this file.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from lookalike.disk import read_regular
from lookalike.errors import HistoryError

from .entries import LINE_BYTES, UNREADABLE, HistoryEntry, parse_entry

_MOST_BYTES = 1000


def last_entry(path: Path) -> HistoryEntry | None:
    """The last entry of a history that is as the last addition left it; None if that is not known."""
    try:
        if json.loads(read_regular(_beside(path), most=_MOST_BYTES)) != _state(path):
            return None
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - LINE_BYTES))
            line = file.read(LINE_BYTES).splitlines(keepends=True)[-1]
        entry = parse_entry(line)
    except (OSError, IndexError, *UNREADABLE):
        return None
    return entry if line == entry.line() and entry.hash == entry.computed_hash() else None


def entry_at(path: Path, number: int) -> HistoryEntry:
    """The entry with that number of a history whose end is known. Raises HistoryError if it is not there."""
    with open(path, "rb") as file:
        for _ in range(number - 1):
            file.readline(LINE_BYTES + 1)
        line = file.readline(LINE_BYTES + 1)
    try:
        entry = parse_entry(line)
        if entry.number == number:
            return entry
    except UNREADABLE:
        pass
    raise HistoryError(f"{path} is not as it was written; see: lookalike history verify {path}")


def remember(path: Path) -> None:
    """Note that the history is intact as it is now."""
    with suppress(OSError):  # it only saves time
        _beside(path).write_text(json.dumps(_state(path)), encoding="utf-8")


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".checked")


def _state(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
