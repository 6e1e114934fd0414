"""What was decided of findings after the scan, and why: a file that is only ever added to, under a chain of hashes.

A history is JSON Lines. Each line is an entry: its number, what it says, the hash of the entry before it, and the
sha256 of all that. So a line that was changed, cut out, added or moved shows, and which one. What is cut off at the end
doesn't show by itself: for that the last entry's hash, the seal, is told at each addition, and is best kept elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from lookalike.chain import Disagreement, canonical, plain
from lookalike.disk import sync
from lookalike.errors import HistoryError
from lookalike.records import Verdict

_START = "0" * 64
_MOST_BYTES = 1 << 30
_LINE_BYTES = 1 << 16
_MOST_TEXT = 4000

Row = Mapping[str, Any]


class Answer(StrEnum):
    """What a seller says against a finding."""

    LICENCE = "licence"
    OWN_PHOTOGRAPH = "own_photograph"
    EXHAUSTED_RIGHT = "exhausted_right"
    OTHER = "other"


class Outcome(StrEnum):
    """What became of an answer. While it is open the listing waits for a person."""

    OPEN = "open"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


_ACCEPTED = {
    Answer.LICENCE: Verdict.AUTHORISED,
    Answer.EXHAUSTED_RIGHT: Verdict.AUTHORISED,
    Answer.OWN_PHOTOGRAPH: Verdict.CLEAR,
    Answer.OTHER: Verdict.CLEAR,
}
_CHANGEABLE = frozenset({Verdict.FLAGGED, Verdict.REVIEW})


@dataclass(frozen=True)
class Statement:
    """What an entry says: who said when and why what of which listing or seller, and from when on it holds.

    `brand` and `territory` narrow it; `until` is its last day. `notice` is the number of the entry that it decides.
    Days are ISO 8601, `when` is a time in UTC.
    """

    who: str
    why: str
    answer: Answer = Answer.OTHER
    outcome: Outcome = Outcome.OPEN
    listing: str | None = None
    seller: str | None = None
    brand: str | None = None
    territory: str | None = None
    since: str = ""
    until: str | None = None
    notice: int | None = None
    when: str = ""

    def __post_init__(self) -> None:
        for name in ("who", "why"):
            if not getattr(self, name).strip():
                raise HistoryError(f"an entry needs a {name}, and came without; say who decides, and why")
        texts = [value for value in vars(self).values() if isinstance(value, str)]
        if max(map(len, texts)) > _MOST_TEXT:
            raise HistoryError(
                f"an entry has a text of more than {_MOST_TEXT:,} characters; keep it elsewhere, name it"
            )
        if self.listing is None and self.seller is None and self.notice is None:
            raise HistoryError("an entry is about a listing or a seller, or decides a notice; none of them was given")
        since, until = (_day(day) for day in (self.since, self.until))
        if since is not None and until is not None and until < since:
            raise HistoryError(f"an entry holds from {since} until {until}, which is earlier; needed a later day")

    def fits(self, row: Row, day: date) -> bool:
        """Whether it is about that row of a findings table, and holds on that day."""
        since, until = _day(self.since), _day(self.until)
        return (since is None or since <= day) and (until is None or day <= until) and self.is_about(row)

    def is_about(self, row: Row) -> bool:
        """Whether it is about that row of a findings table, whenever it holds."""
        wanted = {
            "listing_id": self.listing,
            "seller_id": self.seller,
            "brand": self.brand,
            "territory": self.territory,
        }
        return all(
            value is None or (row.get(name) is not None and str(row[name]) == value) for name, value in wanted.items()
        )

    @property
    def verdict(self) -> Verdict | None:
        """What it makes of a flagged finding, None for leaving it as it is.

        An open answer takes the flag away until a person has looked (review). An accepted licence or exhausted right
        makes it authorised, an own photograph or anything else clear; after a rejection the scan's verdict stands.
        """
        if self.outcome is Outcome.REJECTED:
            return None
        return Verdict.REVIEW if self.outcome is Outcome.OPEN else _ACCEPTED[self.answer]


@dataclass(frozen=True)
class HistoryEntry:
    """A link of the chain."""

    number: int
    said: Statement
    previous: str
    hash: str

    def computed_hash(self) -> str:
        """The hash that the entry should have."""
        values = self.to_json()
        del values["hash"]
        return hashlib.sha256(canonical(values).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The entry as plain JSON values."""
        return {**vars(self), "said": asdict(self.said)}

    @property
    def place(self) -> str:
        """How a person finds the entry."""
        about = self.said.listing if self.said.listing is not None else self.said.seller
        return f"entry {self.number} ({'listing' if self.said.listing is not None else 'seller'} {plain(about)})"


@dataclass(frozen=True)
class History:
    """The entries of a file that holds, in order."""

    entries: tuple[HistoryEntry, ...] = ()

    @classmethod
    def load(cls, path: str | Path) -> History:
        """Read a history. Raises HistoryError where there is none, or where it is not as it was written."""
        read = _read(Path(path))
        for trouble in (*read.troubles, *_broken(read)):
            raise HistoryError(f"{path} is not as it was written: {trouble}; see: lookalike history verify {path}")
        return cls(tuple(entry for _, entry in read.entries))

    @property
    def seal(self) -> str:
        """The last entry's hash; noted elsewhere, it proves later that nothing was cut off before it."""
        return self.entries[-1].hash if self.entries else _START


@dataclass(frozen=True)
class HistoryAudit:
    """What of a history holds: how many entries it has, its seal, and all that is not as it was written.

    `since_seal` is how many entries were added after the one with the seal asked for; None if none was asked for, or
    if it isn't there.
    """

    entries: int
    seal: str
    disagreements: tuple[Disagreement, ...]
    since_seal: int | None = None


@dataclass(frozen=True)
class Addition:
    """An entry added, and what was left over by an addition before that was cut short, now in the file `torn`."""

    entry: HistoryEntry
    torn: Path | None = None


def add_entry(path: str | Path, statement: Statement) -> Addition:
    """Append an entry; it is on disk when this returns. Several processes may add at once.

    `when` is set to now and `since`, where it is empty, to today. With `notice` what the entry leaves out is taken over
    from that entry. A last line that a killed process left unfinished was never an entry; it goes to a file beside.
    Raises HistoryError for a history that is not as it was written, and for a notice that isn't there.
    """
    from filelock import FileLock

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(path.name + ".lock")):
        torn = _mend(path)
        history = History.load(path) if path.exists() and path.stat().st_size else History()
        now = datetime.now(UTC)
        said = replace(
            statement, when=now.isoformat(timespec="seconds"), since=statement.since or now.date().isoformat()
        )
        if said.notice is not None:
            said = _about_notice(said, history)
        entry = HistoryEntry(len(history.entries) + 1, said, history.seal, "")
        entry = replace(entry, hash=entry.computed_hash())
        line = _line(entry)
        if len(line) > _LINE_BYTES:
            raise HistoryError(f"the entry takes {len(line):,} bytes, needed at most {_LINE_BYTES:,}; say less")
        with open(path, "ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        sync(path.parent)
    return Addition(entry, torn)


def _about_notice(said: Statement, history: History) -> Statement:
    """The statement with what it leaves out from the notice that it decides."""
    noticed = next((entry.said for entry in history.entries if entry.number == said.notice), None)
    if noticed is None:
        raise HistoryError(f"there is no entry {said.notice} to decide; there are {len(history.entries):,}")
    for name in ("listing", "seller", "brand", "territory"):
        if getattr(said, name) not in (None, getattr(noticed, name)):
            raise HistoryError(f"entry {said.notice} is about {name} {getattr(noticed, name)}, the decision about "
                               f"{getattr(said, name)}; leave it out, or give the same")  # fmt: skip
    return replace(
        said,
        listing=noticed.listing,
        seller=noticed.seller,
        brand=noticed.brand,
        territory=noticed.territory,
        answer=noticed.answer,
        until=said.until or noticed.until,
    )


def verify_history(path: str | Path, *, seal: str | None = None) -> HistoryAudit:
    """Compute all hashes again and name each line that is not as it was written.

    With `seal`, noted at an addition, what was cut off at the end shows as well. Raises HistoryError where there is no
    file, or one too large to be a history.
    """
    read = _read(Path(path))
    found = [*read.troubles, *_broken(read)]
    ordered = sorted((entry for _, entry in read.entries), key=lambda entry: entry.number)
    after = None
    if seal is not None:
        hashes = [_START, *(entry.hash for entry in ordered)]
        if seal in hashes:
            after = len(hashes) - 1 - hashes.index(seal)
        else:
            cut = "what was written last was cut off, or all was written anew"
            found.append(Disagreement("the end", f"no entry has the seal {plain(seal)}: {cut}"))
    return HistoryAudit(len(ordered), ordered[-1].hash if ordered else _START, tuple(found), after)


def apply_history(rows: Iterable[Row], history: History, day: date) -> Iterator[dict[str, Any]]:
    """Rows of a findings table with the verdicts that the history makes of them on that day.

    Of the entries that are about a row and hold on that day, one that names the listing goes before one that names the
    seller only, then the one that holds since the later day, then the later one. Only what is flagged or in review is
    changed. A changed row has the new `verdict`, the scan's as `verdict_before`, and in `reason` who said what, when.
    """
    by_listing: dict[str, list[HistoryEntry]] = {}
    by_seller: dict[str, list[HistoryEntry]] = {}
    for entry in history.entries:
        if entry.said.listing is not None:
            by_listing.setdefault(entry.said.listing, []).append(entry)
        elif entry.said.seller is not None:
            by_seller.setdefault(entry.said.seller, []).append(entry)
    for row in rows:
        decided: HistoryEntry | None = None
        if row["verdict"] in _CHANGEABLE:
            decided = _deciding(by_listing.get(str(row["listing_id"]), ()), row, day)
            if decided is None and row.get("seller_id") is not None:
                decided = _deciding(by_seller.get(str(row["seller_id"]), ()), row, day)
        verdict = decided.said.verdict if decided is not None else None
        if decided is None or verdict is None:
            yield dict(row)
            continue
        yield {**row, "verdict": str(verdict), "verdict_before": row["verdict"], "reason": reason_of(decided)}


def reason_of(entry: HistoryEntry) -> str:
    """An entry as the reason of a verdict, in words."""
    said = entry.said
    answer = said.answer.replace("_", " ")
    when = f"since {said.since}, by {said.who} on {said.when[:10]}"
    return f"{answer} ({said.outcome}) {when}: {said.why} (entry {entry.number})"


def _deciding(entries: Sequence[HistoryEntry], row: Row, day: date) -> HistoryEntry | None:
    fitting = (entry for entry in entries if entry.said.fits(row, day))
    return max(fitting, key=lambda entry: (entry.said.since, entry.number), default=None)


@dataclass(frozen=True)
class _Reading:
    """Entries with the number of their line, and lines that hold none."""

    entries: tuple[tuple[int, HistoryEntry], ...]
    troubles: tuple[Disagreement, ...]


def _read(path: Path) -> _Reading:
    if not path.is_file():
        raise HistoryError(f"there is no history {path}; the first: lookalike history add {path} …")
    if path.stat().st_size > _MOST_BYTES:
        raise HistoryError(f"{path} has more than {_MOST_BYTES:,} bytes, so it is no history")
    entries, troubles = [], []
    with open(path, "rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_LINE_BYTES + 1), b""), 1):
            if not line.endswith(b"\n"):
                why = "a process was killed while writing it, or it was cut; the next addition sets it aside"
                troubles.append(Disagreement(f"line {number}", f"it has no end: {why}"))
                continue
            try:
                entry = _entry(line)
            except (ValueError, KeyError, TypeError, RecursionError, HistoryError) as error:
                why = plain(f"{type(error).__name__}: {error}")
                troubles.append(Disagreement(f"line {number}", f"it was changed: it can't be read as an entry ({why})"))
                continue
            if line != _line(entry):
                troubles.append(Disagreement(entry.place, "its text is not as it was written"))
            entries.append((number, entry))
    return _Reading(tuple(entries), tuple(troubles))


def _entry(line: bytes) -> HistoryEntry:
    value = json.loads(line)
    said = dict(value["said"])
    statement = Statement(**{**said, "answer": Answer(said["answer"]), "outcome": Outcome(said["outcome"])})
    texts = (value["previous"], value["hash"], statement.who, statement.why, statement.since, statement.when)
    if not all(isinstance(text, str) for text in texts) or type(value["number"]) is not int or set(value) != {
        "number", "said", "previous", "hash"
    }:  # fmt: skip
        raise ValueError("it has not the parts that an entry has")
    return HistoryEntry(value["number"], statement, value["previous"], value["hash"])


def _line(entry: HistoryEntry) -> bytes:
    return canonical(entry.to_json()).encode() + b"\n"


def _broken(read: _Reading) -> Iterator[Disagreement]:
    """What of the chain is not as it was written: entries changed, missing, there twice, or moved."""
    numbers = Counter(entry.number for _, entry in read.entries)
    ordered = sorted((entry for _, entry in read.entries), key=lambda entry: entry.number)
    unread = len(read.troubles)
    last = ordered[-1].number if ordered else 0
    for first, end in _gaps(sorted(numbers), last):
        span = f"entry {first}" if first == end else f"entries {first} to {end}"
        maybe = "; a line that can't be read may be it" if unread else ""
        yield Disagreement(span, f"cut out: it is not there{maybe}" if first == end else f"cut out: not there{maybe}")
    for number in sorted(number for number, count in numbers.items() if count > 1):
        yield Disagreement(f"entry {number}", "it is there more than once")
    by_number = {entry.number: entry for entry in ordered}
    for entry in ordered:
        if entry.hash != entry.computed_hash():
            yield Disagreement(entry.place, "changed: its hash is another")
        before = by_number.get(entry.number - 1)
        expected = _START if entry.number == 1 else before.hash if before is not None else None
        if expected is not None and entry.previous != expected:
            yield Disagreement(entry.place, "it does not follow from the entry before it, which was written anew")
    for (line, entry), due in zip(read.entries, ordered, strict=True):
        if entry.number != due.number:
            yield Disagreement(entry.place, f"moved: it stands in line {line}, where entry {due.number} belongs")


def _gaps(numbers: Sequence[int], last: int) -> Iterator[tuple[int, int]]:
    """The runs of numbers from 1 to `last` that are not there."""
    due = 1
    for number in numbers:
        if number > due:
            yield due, number - 1
        due = max(due, number + 1)
    if due <= last:
        yield due, last


def _mend(path: Path) -> Path | None:
    """Set a last line without an end aside, or end it if it is whole; gives the file that it went to."""
    if not path.exists() or not path.stat().st_size:
        return None
    with open(path, "r+b") as file:
        data = file.read(_MOST_BYTES + 1)
        kept = data.rfind(b"\n") + 1
        rest = data[kept:]
        if not rest:
            return None
        try:
            entry = _entry(rest)
            whole = _line(entry) == rest + b"\n" and entry.hash == entry.computed_hash()
        except (ValueError, KeyError, TypeError, RecursionError, HistoryError):
            whole = False
        if whole:
            file.seek(0, os.SEEK_END)
            file.write(b"\n")
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


def _day(text: str | None) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except (ValueError, TypeError) as error:
        raise HistoryError(f"the day {plain(text)!r} is none; write it like 2026-11-24") from error
