"""Rows of a listings table gathered to listings, wherever in the table the rows of one stand."""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from lookalike.records import Listing

from .amounts import AMOUNTS, read_amount
from .cells import cell_text, id_text, photos_in, resolve_image
from .lines import Line

MOST_PHOTOS = 100
"""How many photos of a listing are compared; one with more gets an error that says so."""

OFFER_COLUMNS = ("seller_id", "territory", "price", "currency", "title", "url")
"""The columns of a listings table that it needn't have; all but the last two are the same in all rows of a listing."""

_SAME = OFFER_COLUMNS[:4]
_MOST_ERRORS = 10


class Gathering:
    """One listing while its rows are read; it holds no more than a listing may have."""

    def __init__(self, key: str | None, folder: Path) -> None:
        self._key, self._folder = key, folder
        self._photos: dict[str, None] = {}
        self._further = 0
        self._values: dict[str, tuple[Any, int]] = {}
        self._errors: dict[str, None] = {}
        self._differing: set[str] = set()
        self._first = self._unsaid = 0

    def add(self, line: Line) -> None:
        """Add a row of the listing."""
        self._first = self._first or line.number
        if line.error:
            self._report(line.error)
        if self._key is None and not line.error:
            self._report(f"row {line.number} has no listing_id")
        try:
            photos = photos_in(line.values.get("image"), self._folder)
        except ValueError as error:
            self._report(f"row {line.number} {error}")
        else:
            if not photos and not line.error:
                self._report(f"row {line.number} has no image")
            self._add_photos(photos)
        for name in OFFER_COLUMNS:
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
        read = value if name == "price" else id_text(value) if name == "seller_id" else cell_text(value)
        known, row = self._values.setdefault(name, (read, number))
        same = known == read or (name == "price" and read_amount(known) == read_amount(read))
        if not same and name in _SAME and name not in self._differing:
            self._differing.add(name)
            self._report(f"rows {row} and {number} differ in {name} ({str(known)[:40]}, {str(read)[:40]}); "
                         "the first counts")  # fmt: skip

    def listing(self) -> Listing:
        """The listing, with what is wrong with its rows as its `error`."""
        errors = list(self._errors)
        if self._unsaid:
            errors.append(f"and {self._unsaid} more errors")
        values = {name: value for name, (value, _) in self._values.items()}
        asked = values.pop("price", None)
        price = read_amount(asked)
        if asked is not None and price is None:
            errors.append(f"the price {str(asked)[:40]!r} is not {AMOUNTS}; write it like 1234.50")
        if self._further:
            there = MOST_PHOTOS + self._further
            errors.append(f"has {there} photos, of which the first {MOST_PHOTOS} were compared")
        return Listing(
            id=self._key or f"row {self._first}",
            images=tuple(self._photos),
            seller=values.get("seller_id"),
            territory=values.get("territory"),
            price=price,
            currency=values.get("currency"),
            title=values.get("title"),
            url=values.get("url"),
            error="; ".join(errors) or None,
        )


def rows_apart(lines: Iterable[Line]) -> dict[bytes, int]:
    """The listings whose rows don't all stand together, by digest, and in how many places each has rows.

    It takes eight bytes for each listing of the table.
    """
    import numpy as np

    digests = array("Q")
    for key, _ in groupby(lines, key=listing_key):
        if key is not None:
            digests.frombytes(_digest(key))
    found, places = np.unique(np.frombuffer(digests, np.uint64), return_counts=True)
    apart = places > 1
    return {digest.tobytes(): int(count) for digest, count in zip(found[apart], places[apart], strict=True)}


def gather(lines: Iterable[Line], folder: Path, *, apart: dict[bytes, int]) -> Iterator[Listing]:
    """The listings of rows. One of `apart` (see `rows_apart`) comes in the place of its last row.

    Memory grows with the listings that stand apart and are not complete yet.
    """
    remaining = dict(apart)
    held: dict[str, Gathering] = {}
    for key, rows in groupby(lines, key=lambda line: listing_key(line) or line.number):
        name = key if isinstance(key, str) else None  # a row without an id stands alone
        gathering = held.pop(name or "", None) or Gathering(name, folder)
        for line in rows:
            gathering.add(line)
        if name is not None and remaining and (digest := _digest(name)) in remaining:
            remaining[digest] -= 1
            if remaining[digest]:
                held[name] = gathering
                continue
        yield gathering.listing()
    yield from (gathering.listing() for gathering in held.values())


def listing_key(line: Line) -> str | None:
    """The listing that a row belongs to."""
    return id_text(line.values.get("listing_id"))


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=8).digest()
