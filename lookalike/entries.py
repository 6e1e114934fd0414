"""The entries of a file that is only ever added to, under a chain of hashes, and what is not as it was written.

Histories and files of verdicts are such files, in JSON Lines. Each line is an entry: its number, what it says, the hash
of the entry before it, and the sha256 of all that. So it shows which line was changed, cut out, added or moved. Lines
cut off at the end don't show that way; they do if the last entry's hash, the seal, is known from elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from .chain import Disagreement, canonical, plain
from .errors import HistoryError

START = "0" * 64
"""What the first entry has in place of the hash of an entry before it."""

MOST_BYTES = 1 << 30
LINE_BYTES = 1 << 16
UNREADABLE = (ValueError, KeyError, TypeError, RecursionError, HistoryError)
"""What `parse_entry` raises for bytes that are not an entry."""

_PARTS = {"number", "said", "previous", "hash"}


class Said(Protocol):
    """What an entry can say: a dataclass of JSON values, which says what it is `about`, for people to find it by."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def about(self) -> str:
        """What it is about, as one line."""


S = TypeVar("S", bound=Said)


@dataclass(frozen=True)
class Entry(Generic[S]):
    """A link of the chain: an entry's number, what is `said`, the `previous` entry's hash and its own."""

    number: int
    said: S
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

    def line(self) -> bytes:
        """The entry as a line of the file; there is one form only, so that a change of any byte shows."""
        return canonical(self.to_json()).encode() + b"\n"

    @property
    def place(self) -> str:
        """How a person finds the entry."""
        return f"entry {self.number} ({self.said.about})"


def parse_entry(line: bytes, said: Callable[[Mapping[str, Any]], S]) -> Entry[S]:
    """The entry of a line, with what `said` makes of its values. Raises one of UNREADABLE if it is not one."""
    value = json.loads(line)
    number, previous, own = value["number"], value["previous"], value["hash"]
    if type(number) is not int or not isinstance(previous, str) or not isinstance(own, str) or set(value) != _PARTS:
        raise ValueError("it lacks parts of an entry, or has others")
    return Entry(number, said(value["said"]), previous, own)


@dataclass(frozen=True)
class Reading(Generic[S]):
    """The entries of a file, each with the number of its line, and the `troubles` of lines that can't be used."""

    entries: tuple[tuple[int, Entry[S]], ...]
    troubles: tuple[Disagreement, ...]

    def disagreements(self) -> Iterator[Disagreement]:
        """All that is not as it was written: in single lines, and in the chain."""
        yield from self.troubles
        yield from self._gaps()
        counts = Counter(entry.number for _, entry in self.entries)
        for number in sorted(number for number, count in counts.items() if count > 1):
            yield Disagreement(f"entry {number}", "it is there more than once")
        yield from _broken_links(self.ordered)
        for (line, entry), due in zip(self.entries, self.ordered, strict=True):
            if entry.number != due.number:
                yield Disagreement(entry.place, f"it was moved: it is in line {line}, where entry {due.number} belongs")

    @property
    def ordered(self) -> list[Entry[S]]:
        """The entries by their numbers."""
        return sorted((entry for _, entry in self.entries), key=lambda entry: entry.number)

    def _gaps(self) -> Iterator[Disagreement]:
        """The runs of numbers that are missing before the last entry's."""
        due = 1
        for entry in self.ordered:
            if entry.number > due:
                span = f"entry {due}" if entry.number == due + 1 else f"entries {due} to {entry.number - 1}"
                maybe = ", unless it is in a line that can't be read" if self.troubles else ""
                yield Disagreement(span, f"missing: cut out{maybe}")
            due = max(due, entry.number + 1)


def _broken_links(ordered: Sequence[Entry[S]]) -> Iterator[Disagreement]:
    """Entries that were changed, and entries that don't follow from the one before."""
    by_number = {entry.number: entry for entry in ordered}
    for entry in ordered:
        if entry.hash != entry.computed_hash():
            yield Disagreement(entry.place, "it was changed: its hash is different")
        before = by_number.get(entry.number - 1)
        expected = START if entry.number == 1 else before.hash if before is not None else None
        if expected is not None and entry.previous != expected:
            yield Disagreement(entry.place, "it does not follow from the entry before it, which was rewritten")


def read_entries(path: Path, said: Callable[[Mapping[str, Any]], S], *, start: int = 0, first: int = 1) -> Reading[S]:
    """Read the lines of a file from the byte `start`, where line number `first` begins.

    Raises HistoryError for a file too large to be one of entries.
    """
    if path.stat().st_size > MOST_BYTES:
        raise HistoryError(f"{path} has more than {MOST_BYTES:,} bytes, so it is no file of entries")
    entries, troubles = [], []
    with open(path, "rb") as file:
        file.seek(start)
        for number, line in enumerate(iter(lambda: file.readline(LINE_BYTES + 1), b""), first):
            if not line.endswith(b"\n"):
                why = "a process was killed while writing it, or it was cut; the next addition moves it aside"
                troubles.append(Disagreement(f"line {number}", f"it is unfinished: {why}"))
                continue
            try:
                entry = parse_entry(line, said)
            except UNREADABLE as error:
                why = plain(f"{type(error).__name__}: {error}")
                troubles.append(Disagreement(f"line {number}", f"it was changed: it can't be read as an entry ({why})"))
                continue
            if line != entry.line():
                troubles.append(Disagreement(entry.place, "its text is not as it was written"))
            entries.append((number, entry))
    return Reading(tuple(entries), tuple(troubles))


@dataclass(frozen=True)
class Audit:
    """What a check of a file found: the number of entries, the seal, and all that is not as it was written.

    `since_seal` counts the entries added after the one with the seal asked for; None if no seal was given, or if no
    entry has it.
    """

    entries: int
    seal: str
    disagreements: tuple[Disagreement, ...]
    since_seal: int | None = None

    @classmethod
    def of(cls, read: Reading[S], seal: str | None) -> Audit:
        """Compute all hashes again. With `seal`, noted at an addition, lines cut off at the end show as well."""
        found = list(read.disagreements())
        hashes = [START, *(entry.hash for entry in read.ordered)]
        after = None
        if seal in hashes:
            after = len(hashes) - 1 - hashes.index(seal)
        elif seal is not None:
            cut = "the last entries were cut off, or everything was rewritten"
            found.append(Disagreement("the end", f"no entry has the seal {plain(seal)}: {cut}"))
        return cls(len(read.entries), hashes[-1], tuple(found), after)
