"""What every reader of a table gives, a row at a time, and what it is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from lookalike.errors import TableError

from .feeds import shop_advice

Row = dict[str, Any]

MOST_BYTES = 1 << 24
"""The longest row that is read: 16 MiB."""

_MOST_NAMED = 100


@dataclass(frozen=True)
class Line:
    """A row of a file: its values, or why it can't be used and those of its values that can still be read."""

    number: int
    values: Row
    error: str | None = None


@dataclass(frozen=True)
class Wanted:
    """The columns that a table must have, and those that are read, None for all.

    Each required column is given as the names that it may have; the first one is the id.
    """

    required: tuple[tuple[str, ...], ...] = ()
    columns: frozenset[str] | None = None

    def reads(self, name: str) -> bool:
        """Whether this column is read."""
        return self.columns is None or name in self.columns or any(name in names for names in self.required)

    def has_required(self, names: Collection[str]) -> bool:
        """Whether all required columns are among these names."""
        return all(any(choice in names for choice in choices) for choices in self.required)

    def check(self, path: Path, names: Collection[str], *, advice: str = "") -> None:
        """Raise TableError if a required column is missing, or if two columns that are read have one name."""
        missing = [choices for choices in self.required if not any(choice in names for choice in choices)]
        if missing:
            named = ", ".join(" or ".join(choices) for choices in missing)
            there = ", ".join(map(str, islice(names, _MOST_NAMED))) or "none"
            more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
            advice = advice or shop_advice(names) or f"its columns are: {there}{more}"
            raise TableError(f"{path} has no column {named}; {advice}")
        if repeated := self.repeated(names):
            raise TableError(f"{path} has several columns named {', '.join(repeated)}; leave one or rename the others")

    def repeated(self, names: Iterable[str]) -> list[str]:
        """The names among these that come more than once and are read; a column without a name is not."""
        return [name for name, count in Counter(names).items() if count > 1 and name and self.reads(name)]

    def refused(self, number: int, values: Mapping[str, Any], trouble: str) -> Line:
        """A row that can't be used; it keeps its id if that is among its values."""
        kept = {name: values[name] for names in self.required[:1] for name in names if name in values}
        return Line(number, kept, f"row {number} {trouble}")
