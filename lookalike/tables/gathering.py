"""Rows gathered to listings, or to products of a shop, wherever in the table the rows of one stand."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

from lookalike.records import BadRow, Listing, Reference

from .amounts import AMOUNTS, read_amount
from .cells import cell_text, id_digest, id_text, photos_in, resolve_image
from .lines import Line

MOST_PHOTOS = 100
"""How many photos of a listing are compared; one with more gets an error that says so."""

OFFER_COLUMNS = ("seller_id", "territory", "price", "currency", "title", "url")
"""The columns of a listings table that it needn't have; all but the last two are the same in all rows of a listing."""

_SAME = OFFER_COLUMNS[:4]
_IDS = ("seller_id", "product_id", "brand")
_MOST_ERRORS = 10


class Gathering:
    """One listing, or one product of a shop, while its rows are read; it holds no more than a listing may have."""

    def __init__(
        self, key: str | None, folder: Path, *, columns: Sequence[str] = OFFER_COLUMNS, several_rows: bool = False
    ) -> None:
        self._key, self._folder, self._columns = key, folder, columns
        self._several_rows = several_rows  # of a product and its variants: not each has a photo, prices may differ
        self._photos: dict[str, None] = {}
        self._further = 0
        self._values: dict[str, tuple[Any, int]] = {}
        self._errors: dict[str, None] = {}
        self._differing: set[str] = set()
        self._first = self._unsaid = 0

    def add(self, line: Line) -> None:
        """Add a row."""
        self._first = self._first or line.number
        if line.error:
            self._report(line.error)
        if self._key is None and not line.error:
            self._report(
                f"row {line.number} has no id" if self._several_rows else f"row {line.number} has no listing_id"
            )
        try:
            photos = photos_in(line.values.get("image"), self._folder)
        except ValueError as error:
            self._report(f"row {line.number} {error}")
        else:
            if not photos and not line.error and not self._several_rows:
                self._report(f"row {line.number} has no image")
            self._add_photos(photos)
        for name in self._columns:
            self._add_value(name, line.values.get(name), line.number)

    def _report(self, error: str) -> None:
        if len(self._errors) < _MOST_ERRORS:
            self._errors[error] = None
        else:
            self._unsaid += error not in self._errors

    def _add_photos(self, photos: Iterable[str]) -> None:
        for photo in photos:
            whole = resolve_image(photo, self._folder)
            if whole in self._photos:
                continue
            if len(self._photos) < MOST_PHOTOS:
                self._photos[whole] = None
            else:
                self._further += 1

    def _add_value(self, name: str, value: object, number: int) -> None:
        if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
            return
        # a price keeps its type, so that its error shows what was written
        read = value if name == "price" else id_text(value) if name in _IDS else cell_text(value)
        known, row = self._values.setdefault(name, (read, number))
        same = known == read or (name == "price" and read_amount(known) == read_amount(read))
        if not same and name in _SAME and name not in self._differing and not self._several_rows:
            self._differing.add(name)
            self._report(f"rows {row} and {number} differ in {name} ({str(known)[:40]}, {str(read)[:40]}); "
                         "the first counts")  # fmt: skip

    def listing(self) -> Listing:
        """The listing, with what is wrong with its rows as its `error`."""
        values, price, errors = self._read()
        if self._further:
            there = MOST_PHOTOS + self._further
            errors.append(f"has {there} photos, of which the first {MOST_PHOTOS} were compared")
        return Listing(
            id=self._name,
            images=tuple(self._photos),
            seller=values.get("seller_id"),
            territory=values.get("territory"),
            price=price,
            currency=values.get("currency"),
            title=values.get("title"),
            url=values.get("url"),
            error="; ".join(errors) or None,
        )

    def references(self, *, branded: bool) -> Iterator[Reference | BadRow]:
        """A reference for each photo, with the id ID/1, ID/2 and so on; and what is wrong with the rows."""
        values, _, errors = self._read()
        brand, product = values.pop("brand", None), values.pop("product_id", None)
        if branded and brand is None:
            errors.append(f"row {self._first} has no brand")
        if self._further:
            errors.append(f"has {MOST_PHOTOS + self._further} photos; only the first {MOST_PHOTOS} are references")
        if errors:
            yield BadRow(self._name, "; ".join(errors))
        if self._key is not None and (brand is not None or not branded):
            for number, photo in enumerate(self._photos, 1):
                yield Reference(f"{self._key}/{number}", product or self._key, brand or "", photo, dict(values))

    @property
    def _name(self) -> str:
        return self._key or f"row {self._first}"

    def _read(self) -> tuple[dict[str, Any], Decimal | None, list[str]]:
        """The values as text, the price, and what is wrong with the rows."""
        errors = list(self._errors)
        if self._unsaid:
            errors.append(f"and {self._unsaid} more errors")
        if self._several_rows and not self._photos and not errors:
            errors.append(f"row {self._first} has no image, nor has another row of this id")
        values = {name: value for name, (value, _) in self._values.items()}
        asked = values.pop("price", None)
        price = read_amount(asked)
        if asked is not None and price is None:
            errors.append(f"the price {str(asked)[:40]!r} is not {AMOUNTS}; write it like 1234.50")
        return values, price, errors


def rows_apart(lines: Iterable[Line], *, key: str) -> dict[bytes, int]:
    """The ids, in the column `key`, whose rows don't all stand together, and in how many places each has rows.

    They are given by their digests; it takes eight bytes for each id of the table.
    """
    import numpy as np

    digests = array("Q")
    for found, _ in groupby(lines, key=lambda line: id_text(line.values.get(key))):
        if found is not None:
            digests.frombytes(id_digest(found))
    ids, places = np.unique(np.frombuffer(digests, np.uint64), return_counts=True)
    apart = places > 1
    return {digest.tobytes(): int(count) for digest, count in zip(ids[apart], places[apart], strict=True)}


def count_ids(lines: Iterable[Line], *, key: str) -> int:
    """How many ids there are in the column `key`; a row without one counts by itself. It takes eight bytes for each."""
    import numpy as np

    digests, alone = array("Q"), 0
    for found, rows in groupby(lines, key=lambda line: id_text(line.values.get(key))):
        if found is None:
            alone += sum(1 for _ in rows)
        else:
            digests.frombytes(id_digest(found))
    return alone + len(np.unique(np.frombuffer(digests, np.uint64)))


def gather(
    lines: Iterable[Line], begin: Callable[[str | None], Gathering], *, key: str, apart: dict[bytes, int]
) -> Iterator[Gathering]:
    """The rows of each id in the column `key`, gathered in what `begin` gives for it.

    One of `apart` (see `rows_apart`) comes in the place of its last row. Memory grows with those that stand apart and
    are not complete yet.
    """
    remaining = dict(apart)
    held: dict[str, Gathering] = {}
    for found, rows in groupby(lines, key=lambda line: id_text(line.values.get(key)) or line.number):
        name = found if isinstance(found, str) else None  # a row without an id stands alone
        gathering = held.pop(name or "", None) or begin(name)
        for line in rows:
            gathering.add(line)
        if name is not None and remaining and (digest := id_digest(name)) in remaining:
            remaining[digest] -= 1
            if remaining[digest]:
                held[name] = gathering
                continue
        yield gathering
    yield from held.values()
