"""How a table names our columns: by our names, by names of its own, or as a shop's export does."""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from lookalike.errors import TableError

from .cells import cell_text, id_text, photos_in
from .feeds import FEEDS, Feed
from .files import read_rows
from .lines import Line, Row

Columns: TypeAlias = Mapping[str, str | Sequence[str]]
"""For columns of ours, what a table calls them: a name, or several if the first that isn't empty counts."""

_MONEY = re.compile(r"\s*([\d.,]+)\s*([A-Za-z]{3})\s*")


@dataclass(frozen=True)
class Layout:
    """What a table calls our columns: those in `columns`, then those of `feed`, a shop's export (see `feeds.FEEDS`).

    A column of ours that neither names has our name, unless there is a feed. Raises TableError for an unknown feed.

    >>> Layout({"listing_id": "sku"}).names("listing_id"), Layout(feed="shopify").names("brand")
    (('sku',), ('Vendor',))
    """

    columns: Columns | None = None
    feed: str | None = None

    def __post_init__(self) -> None:
        if self.feed is not None and self.feed not in FEEDS:
            raise TableError(f"there is no feed {self.feed!r}; use one of {', '.join(FEEDS)}")

    def __str__(self) -> str:
        """What differs between layouts, and nothing for a table with our own names."""
        named = ", ".join(f"{name}={'+'.join(self.names(name))}" for name in sorted(self.columns or ()))
        return " ".join(filter(None, (self.feed, named)))

    @property
    def shop(self) -> Feed | None:
        """The shop's export that the table is."""
        return None if self.feed is None else FEEDS[self.feed]

    @property
    def several_rows(self) -> bool:
        """Whether the rows of one id are one product of a shop and its variants."""
        return self.shop is not None and self.shop.several_rows

    def names(self, column: str) -> tuple[str, ...]:
        """What the table calls this column of ours; none if a feed doesn't have it."""
        named = (self.columns or {}).get(column)
        if named is not None:
            return (named,) if isinstance(named, str) else tuple(named)
        if self.shop is None:
            return (column,)
        return self.shop.columns.get("listing_id" if column == "reference_id" else column, ())

    def require_known(self, path: Path, known: Collection[str]) -> None:
        """Raise TableError if a column has a name that isn't one of those that are read from that table."""
        if unknown := [name for name in self.columns or () if name not in known]:
            raise TableError(f"{path} has no use for a column {', '.join(unknown)}; columns that can be named are "
                             f"{', '.join(known)}")  # fmt: skip

    def read(
        self,
        path: Path,
        *,
        required: Sequence[str],
        columns: Collection[str] = (),
        further: Collection[str] | None = (),
    ) -> Iterator[Line]:
        """The rows of a table with our names for these columns, and with its own for `further` ones; None for all.

        Raises TableError as `read_rows` does.
        """
        asked = {name: self.names(name) for name in (*required, *columns)}
        taken = {name for names in asked.values() for name in names}
        parents = _Parents(self.shop)
        lines = read_rows(
            path,
            required=[asked[name] for name in required],
            columns=None if further is None else taken | parents.columns | set(further),
        )
        if not str(self):
            yield from lines
            return
        for line in lines:
            values, error = self._ours(line, asked, path.parent)
            carried = (
                {n: v for n, v in line.values.items() if n not in taken and n not in asked}
                if further is None
                else {name: line.values[name] for name in further if name in line.values and name not in asked}
            )
            yield Line(line.number, carried | parents.of(values, line.values), error)

    def _ours(self, line: Line, asked: Mapping[str, tuple[str, ...]], folder: Path) -> tuple[Row, str | None]:
        """The values of a row under our names, and what is wrong with it."""
        values: Row = {}
        error = line.error
        for name, names in asked.items():
            cells = [line.values[each] for each in names if each in line.values]
            if name == "image" and len(names) > 1:
                try:
                    values[name] = [photo for cell in cells for photo in photos_in(cell, folder)]
                except ValueError as trouble:
                    error = error or f"row {line.number} {trouble}"
            elif cells:
                values[name] = next((cell for cell in cells if cell_text(cell) is not None), cells[0])
        return values if self.shop is None else _plain(values), error


PLAIN = Layout()
"""The layout of a table with our own names."""


def _plain(values: Row) -> Row:
    """The values of a row of a shop's export as ours: text without HTML entities, price and currency apart."""
    for name in ("title", "brand", "seller_id"):
        if isinstance(values.get(name), str):
            values[name] = html.unescape(values[name])
    money = _MONEY.fullmatch(values["price"]) if isinstance(values.get("price"), str) else None
    if money:
        values["price"] = money[1]
        values.setdefault("currency", money[2].upper())
    return values


class _Parents:
    """Gives the rows of variants the ids of their products, which came before them."""

    def __init__(self, shop: Feed | None) -> None:
        self._parent = None if shop is None else shop.parent
        self._known_as = None if shop is None else shop.known_as
        self._ids: dict[str, Any] = {}
        self.columns = {name for name in (self._parent, self._known_as) if name is not None}

    def of(self, values: Row, theirs: Row) -> Row:
        """The values of a row, with its product's id if it is a variant's."""
        parent = id_text(theirs.get(self._parent)) if self._parent else None
        known_as = id_text(theirs.get(self._known_as)) if self._known_as else None
        if parent is None:
            if known_as is not None:
                self._ids.setdefault(known_as, values.get("listing_id", values.get("reference_id")))
            return values
        owner = parent[3:] if parent.startswith("id:") else self._ids.get(parent, parent)
        return values | {name: owner for name in ("listing_id", "reference_id", "product_id") if name in values}
