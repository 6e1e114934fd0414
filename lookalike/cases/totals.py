"""Findings added up by seller, in one pass: what is kept grows with sellers, listings and photos, not with rows."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from lookalike.errors import TableError

from .money import EXACT, currency_code, read_amount
from .shared_photos import SellerPhoto

_LISTED = "listing "  # how a listing of no named seller stands in a seller's place

Row = Mapping[str, Any]


@dataclass(slots=True)
class SellerTotals:
    """All that is added up of a seller's findings."""

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


class Ledger:
    """Adds findings up by seller; what is kept grows with sellers, listings and photos that differ, not with rows."""

    def __init__(self, verdicts: frozenset[str], columns: Sequence[str]) -> None:
        self._verdicts, self._columns = verdicts, columns
        self.sellers: dict[str, SellerTotals] = {}
        self.photos: list[SellerPhoto] = []
        self.holders: dict[tuple[str, str], set[str]] = {}
        self.findings = self.bad_prices = 0

    def add(self, row: Row) -> None:
        """Add a row, if it is of a verdict asked for; a listing that came already is not counted again."""
        if row["verdict"] not in self._verdicts:
            return
        name = seller_of(row)
        seller = self.sellers.setdefault(name, SellerTotals())
        seen = _time(row)
        if seen is not None:
            seller.first = min(seller.first or seen, seen)
            seller.last = max(seller.last or seen, seen)
        listing = str(row["listing_id"])
        if listing in seller.listings:
            return
        self.findings += 1
        seller.listings[listing] = str(row["verdict"])
        territory = str(row.get("territory") or "")
        seller.brands[str(row.get("brand") or "")] += 1
        seller.products[str(row.get("product_id") or "")] += 1
        seller.kinds[str(row.get("kind") or "")] += 1
        seller.territories[territory] += 1
        for right in rights_of(row.get("rights")):
            seller.rights.setdefault(territory, set()).add(right)
        price = self._price(row)
        if price is not None:
            currency = currency_code(row.get("currency"))
            seller.values[currency] = EXACT.add(seller.values.get(currency, Decimal(0)), price)
            seller.priced[currency] += 1
        photo = str(row.get("image_sha256") or row.get("image") or listing)
        pair = photo, f"{row.get('brand')}\0{row.get('product_id')}"
        if pair not in seller.pairs and row.get("image_sha256"):
            self.photos.append(_photo(name, row))
        seller.pairs[pair] = max(seller.pairs.get(pair, (Decimal(-1), "")), (price or Decimal(0), listing))
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
    """The seller of a finding; a listing of no named seller stands for itself."""
    seller = row.get("seller_id")
    return _LISTED + str(row["listing_id"]) if seller in (None, "") else str(seller)


def normalised(value: object) -> str | None:
    """A key's value without what people write in different ways: case, width, spaces, punctuation; None for none.

    >>> normalised(" +49 (170) 555-01 "), normalised("Ｓhop 12"), normalised("--")
    ('4917055501', 'shop12', None)
    """
    if value is None:
        return None
    folded = unicodedata.normalize("NFKC", str(value)).casefold()
    return re.sub(r"[\W_]+", "", folded) or None


def _time(row: Row) -> str | None:
    """When the finding was made, in UTC by ISO 8601, so that texts compare as times."""
    value = row.get("scanned_at")
    if value in (None, ""):
        return None
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError as error:
        raise TableError(f"the finding of listing {row['listing_id']} has scanned_at {str(value)[:40]!r}; "
                         "needed a time like 2026-11-24T09:05:00+00:00") from error  # fmt: skip
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="seconds")


def rights_of(value: object) -> tuple[str, ...]:
    """The rights that a finding names: a JSON list, a list, or text with semicolons between them.

    >>> rights_of("trademark 1234 DE; design 7 EU"), rights_of('["trademark 1234"]'), rights_of(None)
    (('trademark 1234 DE', 'design 7 EU'), ('trademark 1234',), ())
    """
    if value in (None, ""):
        return ()
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise TableError(f"the rights {str(value)[:40]!r} of a finding are no JSON list") from error
    parts: Iterable[object] = value if isinstance(value, list | tuple) else str(value).split(";")
    said = (part if isinstance(part, str) else json.dumps(part, ensure_ascii=False) for part in parts)
    return tuple(text.strip() for text in said if text.strip())
