"""Findings added up by seller, in one pass: memory grows with sellers, listings and photos, not with rows."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from decimal import Decimal
from typing import Any

from lookalike.errors import TableError
from lookalike.rights.grounds import claimable, grounds_of
from lookalike.tables.amounts import read_amount

from .money import currency_code
from .shared_photos import SellerPhoto
from .times import read_time

_LISTED = "listing "  # stands for the seller of a listing that names none

Row = Mapping[str, Any]


@dataclass(slots=True)
class SellerTotals:
    """What the findings of one seller, or of several together, add up to."""

    listings: dict[str, str] = field(default_factory=dict)
    brands: Counter[str] = field(default_factory=Counter)
    products: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    territories: Counter[str] = field(default_factory=Counter)
    rights: dict[str, set[str]] = field(default_factory=dict)
    values: dict[str, Decimal] = field(default_factory=dict)
    priced: Counter[str] = field(default_factory=Counter)
    pairs: dict[tuple[str, str], tuple[Decimal, str]] = field(default_factory=dict)
    first: str | None = None
    last: str | None = None

    def see(self, first: str | None, last: str | None) -> None:
        """Count these times in, as ISO 8601 in UTC."""
        self.first = min(filter(None, (self.first, first)), default=None)
        self.last = max(filter(None, (self.last, last)), default=None)

    def add(self, row: Row, price: Decimal | None) -> bool:
        """Add a finding, whose price is known already; says whether its photo and product are a new pair."""
        listing, territory = str(row["listing_id"]), str(row.get("territory") or "")
        self.listings[listing] = str(row["verdict"])
        self.brands[str(row.get("brand") or "")] += 1
        self.products[str(row.get("product_id") or "")] += 1
        self.kinds[str(row.get("kind") or "")] += 1
        self.territories[territory] += 1
        for right in rights_of(row):
            self.rights.setdefault(territory, set()).add(right)
        if price is not None:
            currency = currency_code(row.get("currency"))
            self.values[currency] = self.values.get(currency, Decimal(0)) + price
            self.priced[currency] += 1
        photo = str(row.get("image_sha256") or row.get("image") or listing)
        pair = photo, f"{row.get('brand')}\0{row.get('product_id')}"
        new = pair not in self.pairs
        self.pairs[pair] = max(self.pairs.get(pair, (Decimal(-1), "")), (price or Decimal(0), listing))
        return new

    def include(self, other: SellerTotals) -> None:
        """Add what another seller's findings add up to."""
        self.see(other.first, other.last)
        self.listings.update(other.listings)
        for name in ("brands", "products", "kinds", "territories", "priced"):
            getattr(self, name).update(getattr(other, name))
        for territory, named in other.rights.items():
            self.rights.setdefault(territory, set()).update(named)
        for currency, amount in other.values.items():
            self.values[currency] = self.values.get(currency, Decimal(0)) + amount
        for pair, example in other.pairs.items():
            self.pairs[pair] = max(self.pairs.get(pair, example), example)


class Ledger:
    """Adds findings up by seller. `holders` are the sellers of each value in `columns`, `photos` those of new pairs."""

    def __init__(self, verdicts: frozenset[str], columns: Sequence[str]) -> None:
        self._verdicts, self._columns = verdicts, columns
        self.sellers: dict[str, SellerTotals] = {}
        self.photos: list[SellerPhoto] = []
        self.holders: dict[tuple[str, str], set[str]] = {}
        self.findings = self.bad_prices = 0

    def add(self, row: Row) -> None:
        """Add a row if it has one of the verdicts; a listing that was added before is not counted again."""
        if row["verdict"] not in self._verdicts:
            return
        name = seller_of(row)
        seller = self.sellers.get(name)
        if seller is None:
            seller = self.sellers[name] = SellerTotals()
        seen = _time(row)
        seller.see(seen, seen)
        if str(row["listing_id"]) in seller.listings:
            return
        self.findings += 1
        if seller.add(row, self._price(row)) and row.get("image_sha256"):
            self.photos.append(_photo(name, row))
        for column in self._columns:
            if (key := normalised(row.get(column))) is not None:
                self.holders.setdefault((column, key), set()).add(name)

    def _price(self, row: Row) -> Decimal | None:
        value = row.get("price")
        if value in (None, ""):
            return None
        price = read_amount(value)
        self.bad_prices += price is None
        return price


def seller_photos(rows: Iterable[Row], *, verdicts: Sequence[str] = ("flagged",)) -> Iterator[SellerPhoto]:
    """The photos that decided findings of these verdicts, each with its seller."""
    for row in rows:
        if row["verdict"] in verdicts and row.get("image"):
            yield _photo(seller_of(row), row)


def _photo(seller: str, row: Row) -> SellerPhoto:
    kind = row.get("kind")
    own = kind == "lookalike" and row.get("inliers") is not None
    return SellerPhoto(seller, str(row["image"]), row.get("image_sha256"), kind == "copied_photo", own)


def seller_of(row: Row) -> str:
    """The seller of a finding; a listing that names none stands for itself."""
    seller = row.get("seller_id")
    return _LISTED + str(row["listing_id"]) if seller in (None, "") else str(seller)


def normalised(value: object) -> str | None:
    """A key's value without what people write differently: case, width, spaces, punctuation; None if nothing is left.

    >>> normalised(" +49 (170) 555-01 "), normalised("Ｓhop 12"), normalised("--")
    ('4917055501', 'shop12', None)
    """
    if value is None:
        return None
    folded = unicodedata.normalize("NFKC", str(value)).casefold()
    return re.sub(r"[\W_]+", "", folded) or None


def _time(row: Row) -> str | None:
    """When the finding was made, in UTC by ISO 8601, so that texts compare as times."""
    time = read_time(row.get("scanned_at"), f"the finding of listing {row['listing_id']}")
    return None if time is None else time.astimezone(UTC).isoformat(timespec="seconds")


def rights_of(row: Row) -> tuple[str, ...]:
    """The names of the rights that a finding could be acted on by. Raises TableError for rights that are no JSON.

    >>> rights_of({"rights": '[{"ground": "right", "kind": "trademark", "number": "7; 8", "territory": "DE"}]'})
    ('trademark 7; 8 in DE',)
    """
    try:
        return tuple(claimable(grounds_of(row.get("rights"))))
    except (ValueError, KeyError, TypeError) as error:
        raise TableError(f"the rights of listing {row['listing_id']} can't be read ({error}); if an older version "
                         "wrote the findings, look the rights up again with: lookalike recheck") from error  # fmt: skip
