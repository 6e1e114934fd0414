"""The verdicts of one file as they stand, kept in memory while others may add to it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from lookalike.entries import START, Entry, read_entries
from lookalike.errors import HistoryError
from lookalike.tables.reviews import Standing, standing
from lookalike.tables.verdicts import Finding, ReviewVerdict, verdict_file, verdict_of

CARRIED_OVER = "judged before, and drawn since"
"""The reason of a verdict that counts for a draw that the finding was in no part of when it was judged."""


class VerdictStore:
    """A file of verdicts that one person adds to.

    `add` and `withdraw` return once the entry is on disk. What other processes have added since is taken over then.
    Raises HistoryError for a file that is not as it was written, and without a name.
    """

    def __init__(self, path: str | Path, who: str) -> None:
        if not who.strip():
            raise HistoryError("a review needs a name; say who judges with --who NAME")
        self.who = who.strip()
        self._file = verdict_file(path)
        self._lock = threading.RLock()
        self._entries: list[Entry[ReviewVerdict]] = []
        self._about: dict[Finding, list[Entry[ReviewVerdict]]] = {}
        self._end = 0  # of the entries taken, in bytes
        if self._file.path.exists() and self._file.path.stat().st_size:
            self._file.entries()  # so that a file that was changed is refused
            self._take_new()

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    @property
    def entries(self) -> Sequence[Entry[ReviewVerdict]]:
        """All entries, in order."""
        return self._entries

    @property
    def seal(self) -> str:
        """The last entry's hash."""
        return self._entries[-1].hash if self._entries else START

    def about(self, finding: Finding) -> Standing | None:
        """What stands about a finding, None if nobody has judged it."""
        with self._lock:
            entries = self._about.get(finding)
            stands = standing(entries) if entries else []
        return stands[0] if stands else None

    def mine(self, finding: Finding) -> Entry[ReviewVerdict] | None:
        """This person's verdict on a finding, if it stands."""
        stands = self.about(finding)
        return next((each for each in stands.verdicts if each.said.who == self.who), None) if stands else None

    def standing(self) -> list[Standing]:
        """What stands about each finding."""
        with self._lock:
            return standing(self._entries)

    def recent(self, most: int) -> list[Entry[ReviewVerdict]]:
        """This person's last verdicts that stand, the latest first."""
        found: list[Entry[ReviewVerdict]] = []
        with self._lock:
            for entry in reversed(self._entries):
                mine = entry.said.who == self.who and entry.said.withdraws is None
                mine = mine and entry.said.reason != CARRIED_OVER
                if mine and self.mine(entry.said.finding) is entry:
                    found.append(entry)
                if len(found) == most:
                    break
        return found

    def add(self, verdicts: Sequence[ReviewVerdict]) -> list[Entry[ReviewVerdict]]:
        """Add verdicts, with the time of now; gives their entries.

        Raises HistoryError for a file that is not as it was written any more.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        said = [replace(verdict, when=now, who=self.who) for verdict in verdicts]
        with self._lock:
            added = self._file.add(lambda _: said)
            self._take_new()
            return list(added.entries)

    def withdraw(self, entries: Sequence[Entry[ReviewVerdict]]) -> None:
        """Have verdicts of this person count no more. Raises HistoryError for one of another person."""
        for entry in entries:
            if entry.said.who != self.who:
                raise HistoryError(f"entry {entry.number} is by {entry.said.who}; only they can withdraw it")
        self.add([replace(each.said, withdraws=each.hash, origin=None, reason="", note="") for each in entries])

    def _take_new(self) -> None:
        """Take over what was added since, by this process or by another one."""
        read = read_entries(self.path, verdict_of, start=self._end, first=len(self._entries) + 1)
        for _, entry in read.entries:
            self._entries.append(entry)
            self._about.setdefault(entry.said.finding, []).append(entry)
            self._end += len(entry.line())
