"""What every reader of a table gives, a row at a time, and what it is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookalike.errors import TableError

Row = dict[str, Any]

MOST_BYTES = 1 << 26
"""The longest row that is read: 64 MiB."""


@dataclass(frozen=True)
class Line:
    """A row of a file: its values, or why it can't be used and those of its values that can still be read."""

    number: int
    values: Row
    error: str | None = None


@dataclass(frozen=True)
class Wanted:
    """The columns that a table must have, and those that are read, None for all. The first required one is the id."""

    required: tuple[str, ...] = ()
    columns: frozenset[str] | None = None

    def reads(self, name: str) -> bool:
        """Whether this column is read."""
        return self.columns is None or name in self.columns or name in self.required

    def check(self, path: Path, names: Collection[str], *, advice: str = "") -> None:
        """Raise TableError if a required column is missing, or if two columns that are read have one name."""
        missing = [name for name in self.required if name not in names]
        if missing:
            there = ", ".join(names) or "none"
            raise TableError(f"{path} has no column {', '.join(missing)}; {advice or f'its columns are: {there}'}")
        if repeated := self.repeated(names):
            raise TableError(f"{path} has several columns named {', '.join(repeated)}; leave one or rename the others")

    def repeated(self, names: Iterable[str]) -> list[str]:
        """The names among these that come more than once and are read; a column without a name is not."""
        return [name for name, count in Counter(names).items() if count > 1 and name and self.reads(name)]

    def refused(self, number: int, values: Mapping[str, Any], trouble: str) -> Line:
        """A row that can't be used; it keeps its id if that is among its values."""
        kept = {name: values[name] for name in self.required[:1] if name in values}
        return Line(number, kept, f"row {number} {trouble}")
