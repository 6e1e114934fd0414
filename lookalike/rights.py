"""Who may sell what where: rows of the sellers table, asked for a brand, a seller, a territory and a day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from .errors import TableError
from .rows import Line, read_rows

SELLER_COLUMNS = ("brand", "seller_id", "territory", "valid_from", "valid_until")


@dataclass(frozen=True)
class _Term:
    territory: str
    first: date
    last: date


@dataclass(frozen=True)
class AuthorisedSellers:
    """Sellers that may sell a brand, in one territory or (where none is named) everywhere, between two days."""

    _terms: dict[tuple[str, str], list[_Term]] = field(default_factory=dict)

    @classmethod
    def load(cls, path: str | Path) -> AuthorisedSellers:
        """Read a sellers table: brand, seller_id, territory, valid_from, valid_until (empty: everywhere, unlimited).

        Raises TableError for a table that is missing or lacks a column, and for a row that can't be used: a seller
        that is missed would be flagged.
        """
        terms: dict[tuple[str, str], list[_Term]] = {}
        for line in read_rows(Path(path), required=SELLER_COLUMNS):
            brand, seller = line.values.get("brand"), line.values.get("seller_id")
            if line.error or not brand or not seller:
                raise TableError(f"{path}: {line.error or f'row {line.number} needs a brand and a seller_id'}")
            first, last = _days(line, path)
            terms.setdefault((str(brand), str(seller)), []).append(
                _Term(str(line.values.get("territory") or ""), first, last)
            )
        return cls(terms)

    def allow(self, *, brand: str, seller: str | None, territory: str | None, day: date) -> bool:
        """Whether that seller may sell that brand there on that day; a listing of no known seller never may."""
        return any(
            term.territory in ("", territory) and term.first <= day <= term.last
            for term in self._terms.get((brand, seller or ""), [])
        )


def _days(line: Line, path: str | Path) -> Iterator[date]:
    for column, otherwise in (("valid_from", date.min), ("valid_until", date.max)):
        value = line.values.get(column)
        try:
            yield value if isinstance(value, date) else date.fromisoformat(str(value)) if value else otherwise
        except ValueError as error:
            raise TableError(
                f"{path}: row {line.number} has {column} {str(value)[:40]!r}; needed a day like 2026-12-31"
            ) from error
