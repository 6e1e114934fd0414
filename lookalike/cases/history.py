"""What was decided about findings after the scan: a file that is only ever added to, and the verdicts it changes.

See `entries` for the file, `statements` for what an entry says.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from lookalike.disk import make_folder, sync
from lookalike.errors import HistoryError
from lookalike.records import Verdict

from .checkpoint import entry_at, last_entry, remember
from .entries import LINE_BYTES, MOST_BYTES, START, UNREADABLE, HistoryEntry, parse_entry, read_history
from .statements import Outcome, Statement

_CHANGEABLE = frozenset({Verdict.FLAGGED, Verdict.REVIEW})

Row = Mapping[str, Any]


@dataclass(frozen=True)
class History:
    """The entries of an intact history, in order."""

    entries: tuple[HistoryEntry, ...] = ()

    @classmethod
    def load(cls, path: str | Path) -> History:
        """Read a history. Raises HistoryError if there is none, or if it is not as it was written."""
        read = read_history(Path(path))
        for trouble in read.disagreements():
            raise HistoryError(f"{path} is not as it was written: {trouble}; see: lookalike history verify {path}")
        return cls(tuple(entry for _, entry in read.entries))

    @property
    def seal(self) -> str:
        """The last entry's hash; noted elsewhere, it proves later that nothing was cut off before it."""
        return self.entries[-1].hash if self.entries else START


@dataclass(frozen=True)
class Addition:
    """An entry added, and the file `torn` with the remains of an addition that was cut short before, if any."""

    entry: HistoryEntry
    torn: Path | None = None


def add_entry(path: str | Path, statement: Statement) -> Addition:
    """Append an entry; it is on disk when this returns. Several processes may add at once.

    `when` is set to now, and an empty `since` to today. With `notice`, what the statement leaves out is taken from that
    entry. A last line that a killed process left unfinished was never an entry; it is moved to a file beside. Raises
    HistoryError for a history that is not as it was written, and for a notice that doesn't exist.
    """
    from filelock import FileLock

    path = Path(path)
    make_folder(path.parent)
    with FileLock(path.with_name(path.name + ".lock")):
        torn, last = None, last_entry(path)
        if last is None:
            torn = _mend(path)
            entries = History.load(path).entries if path.exists() and path.stat().st_size else ()
            last = entries[-1] if entries else None
        entry = _next(_completed(statement, path, last), last)
        line = entry.line()
        if len(line) > LINE_BYTES:
            raise HistoryError(f"the entry takes {len(line):,} bytes, at most {LINE_BYTES:,} fit; shorten its texts")
        with open(path, "ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        sync(path.parent)
        remember(path)
    return Addition(entry, torn)


def _next(said: Statement, last: HistoryEntry | None) -> HistoryEntry:
    """The entry that follows the last one."""
    number, previous = (1, START) if last is None else (last.number + 1, last.hash)
    entry = HistoryEntry(number, said, previous, "")
    return replace(entry, hash=entry.computed_hash())


def _completed(statement: Statement, path: Path, last: HistoryEntry | None) -> Statement:
    """The statement with its time and first day, and with what it leaves out taken from the notice that it decides."""
    now = datetime.now(UTC)
    said = replace(statement, when=now.isoformat(timespec="seconds"), since=statement.since or now.date().isoformat())
    if said.notice is None:
        return said
    count = 0 if last is None else last.number
    if not 1 <= said.notice <= count:
        raise HistoryError(f"there is no entry {said.notice} to decide; the history has {count:,}")
    noticed = entry_at(path, said.notice).said
    for name in ("listing", "seller", "brand", "territory"):
        if getattr(said, name) not in (None, getattr(noticed, name)):
            raise HistoryError(
                f"entry {said.notice} is about {name} {getattr(noticed, name)}, but the decision about "
                f"{getattr(said, name)}; leave it out, or give the same"
            )
    return replace(
        said,
        listing=noticed.listing,
        seller=noticed.seller,
        brand=noticed.brand,
        territory=noticed.territory,
        answer=noticed.answer,
        until=said.until or noticed.until,
    )


def _mend(path: Path) -> Path | None:
    """End a last line that only lacks its line end, and move any other unfinished one to the file that this returns."""
    if not path.exists() or not path.stat().st_size:
        return None
    with open(path, "r+b") as file:
        data = file.read(MOST_BYTES + 1)
        kept = data.rfind(b"\n") + 1
        rest = data[kept:]
        if not rest:
            return None
        if _is_whole(rest):
            file.seek(0, os.SEEK_END)
            file.write(b"\n")
            file.flush()
            os.fsync(file.fileno())
            return None
        torn = path.with_name(path.name + ".torn")
        with open(torn, "ab") as aside:
            aside.write(rest + b"\n")
            aside.flush()
            os.fsync(aside.fileno())
        file.truncate(kept)
        file.flush()
        os.fsync(file.fileno())
    return torn


def _is_whole(rest: bytes) -> bool:
    """Whether these bytes are an entry without its line end."""
    try:
        entry = parse_entry(rest)
    except UNREADABLE:
        return False
    return entry.line() == rest + b"\n" and entry.hash == entry.computed_hash()


class Decisions:
    """What a history says about findings on one day.

    If several entries apply to a row of a findings table, one about the listing comes before one about the seller, then
    the one with the later first day, then the later entry. Only rows that are flagged or in review change.
    """

    def __init__(self, history: History, day: date) -> None:
        self._day = day
        self._by_listing: dict[str, list[HistoryEntry]] = {}
        self._by_seller: dict[str, list[HistoryEntry]] = {}
        for entry in history.entries:
            if entry.said.listing is not None:
                self._by_listing.setdefault(entry.said.listing, []).append(entry)
            elif entry.said.seller is not None:
                self._by_seller.setdefault(entry.said.seller, []).append(entry)

    def applied(self, row: Row) -> dict[str, Any]:
        """The row with the verdict that the history gives it.

        A changed row has the new `verdict`, the scan's as `verdict_before`, and a `reason`: who said what, and when.
        """
        entry = self._deciding(row)
        verdict = entry.said.verdict if entry is not None else None
        if entry is None or verdict is None:
            return dict(row)
        return {**row, "verdict": str(verdict), "verdict_before": row["verdict"], "reason": reason_of(entry)}

    def settle(self, row: Row) -> bool:
        """Whether a person has decided about the row, so that nobody need look at it again.

        That is an accepted answer, or a rejected one about this very listing: a seller whose licence was rejected may
        show more tomorrow.
        """
        entry = self._deciding(row)
        if entry is None or entry.said.outcome is Outcome.OPEN:
            return False
        return entry.said.outcome is Outcome.ACCEPTED or entry.said.listing is not None

    def _deciding(self, row: Row) -> HistoryEntry | None:
        if row["verdict"] not in _CHANGEABLE:
            return None
        about_listing = self._latest(self._by_listing.get(str(row["listing_id"]), ()), row)
        if about_listing is not None or row.get("seller_id") is None:
            return about_listing
        return self._latest(self._by_seller.get(str(row["seller_id"]), ()), row)

    def _latest(self, entries: Sequence[HistoryEntry], row: Row) -> HistoryEntry | None:
        applying = (entry for entry in entries if entry.said.applies(row, self._day))
        return max(applying, key=lambda entry: (entry.said.since, entry.number), default=None)


def apply_history(rows: Iterable[Row], history: History, day: date) -> Iterator[dict[str, Any]]:
    """Rows of a findings table with the verdicts that the history gives them on that day (see `Decisions.applied`)."""
    return map(Decisions(history, day).applied, rows)


class Undecided:
    """Rows of a findings table as the history has them, without the settled ones, which `left_out` counts."""

    def __init__(self, rows: Iterable[Row], decisions: Decisions) -> None:
        self._rows, self._decisions = rows, decisions
        self.left_out = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for row in self._rows:
            if self._decisions.settle(row):
                self.left_out += 1
            else:
                yield self._decisions.applied(row)


def reason_of(entry: HistoryEntry) -> str:
    """An entry as the reason of a verdict, in words."""
    said = entry.said
    answer = said.answer.replace("_", " ")
    when = f"since {said.since}, by {said.who} on {said.when[:10]}"
    return f"{answer} ({said.outcome}) {when}: {said.why} (entry {entry.number})"
