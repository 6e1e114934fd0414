"""The findings of a table, open for a review: what the queue needs in memory, the whole rows on disk."""

from __future__ import annotations

import json
import sqlite3
import statistics
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, Self

from lookalike.errors import LookalikeError, TableError
from lookalike.policy.policy import Policy
from lookalike.records import Verdict
from lookalike.tables.amounts import read_amount
from lookalike.tables.candidates import kind_of
from lookalike.tables.cells import json_text
from lookalike.tables.findings import FindingRow, read_last_findings, said_by_similarity, strength_of, typed_row
from lookalike.tables.verdicts import Finding

_BATCH = 500


class ReviewError(LookalikeError):
    """What was asked of a review can't be done."""


class Item(NamedTuple):
    """What is held of a finding: where it stands, what it is about, and what orders the queue.

    `strength` is what thresholds are compared with, `flag` and `review` are those of its policy, as far as they are
    known. `stake` is the price in parts of the median price in its currency, 1 if it is not known. `photo` is the
    sha256 of the photo that decided.
    """

    place: int
    listing: str
    verdict: str
    said: str
    kind: str
    brand: str | None
    product: str | None
    photo: str | None
    seller: str | None
    territory: str | None
    strength: float | None
    flag: float | None
    review: float | None
    price: Decimal | None
    currency: str
    stake: float
    suppressed: bool
    policy: str

    @property
    def finding(self) -> Finding:
        """What a verdict is about, as `ReviewVerdict.finding`."""
        return self.listing, self.brand, self.product, self.photo

    @property
    def group(self) -> tuple[str, str | None, str | None] | None:
        """What findings of the same photo file and product have in common; None if the file is not known."""
        return None if self.photo is None else (self.photo, self.brand, self.product)


class OpenFindings:
    """The last finding of each listing of a table. `rows` are read from a file that is removed with `close`."""

    def __init__(self, path: str | Path, policy: Policy | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lookalike-review-")
        self._lock = threading.Lock()
        self._rows = sqlite3.connect(Path(self._folder.name) / "rows.sqlite", check_same_thread=False)
        self._rows.execute("CREATE TABLE rows (place INTEGER PRIMARY KEY, row TEXT NOT NULL)")
        try:
            self.items: Sequence[Item] = _with_stakes(list(self._stored(read_last_findings(path), policy)))
        except BaseException:
            self.close()
            raise
        self.path = Path(path)
        self.by_seller = _places(self.items, lambda item: item.seller)
        self.groups = _places(self.items, lambda item: item.group)
        self.by_finding = {item.finding: item.place for item in self.items}
        self.by_listing = {item.listing: item.place for item in self.items}
        self.medians = _median_prices(self.items)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the rows from disk."""
        self._rows.close()
        self._folder.cleanup()

    def known(self, place: int) -> int:
        """The place, if a finding is there. Raises ReviewError otherwise."""
        if not 0 <= place < len(self.items):
            raise ReviewError(f"there is no finding {place}; reload the page")
        return place

    def row(self, place: int) -> FindingRow:
        """The whole row of a finding."""
        with self._lock:
            (text,) = self._rows.execute("SELECT row FROM rows WHERE place = ?", (place,)).fetchone()
        return typed_row(json.loads(text))

    def rows(self, places: Iterable[int]) -> Iterator[FindingRow]:
        """The whole rows of findings, one at a time."""
        return map(self.row, places)

    def _stored(self, rows: Iterable[FindingRow], policy: Policy | None) -> Iterator[Item]:
        batch: list[tuple[int, str]] = []
        for place, row in enumerate(rows):
            own = policy if policy is not None and policy.made(row["policy"]) else None
            batch.append((place, json_text({name: _plain(value) for name, value in row.items()})))
            if len(batch) == _BATCH:
                self._write(batch)
            yield _item(place, row, own)
        self._write(batch)
        self._rows.commit()

    def _write(self, batch: list[tuple[int, str]]) -> None:
        self._rows.executemany("INSERT INTO rows VALUES (?, ?)", batch)
        batch.clear()


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Decimal) else value


def _item(place: int, row: Mapping[str, Any], policy: Policy | None) -> Item:
    kind = row["kind"] or _kind(row)
    scope = None if policy is None else policy.scope(row["brand"], row["territory"]).of(kind)
    try:
        price = None if row["price"] is None else read_amount(row["price"])
    except (TableError, ValueError):
        price = None
    said = said_by_similarity(row)
    flag, review = (None, None) if scope is None else (scope.flag, scope.review)
    if scope is None:
        flagged = said == Verdict.FLAGGED
        flag = row["flag_threshold"] or (row["threshold"] if flagged else None)
        review = None if flagged else row["threshold"]
    return Item(
        place=place,
        listing=row["listing_id"],
        verdict=sys.intern(row["verdict"]),
        said=sys.intern(said),
        kind=sys.intern(kind or ""),
        brand=_interned(row["brand"]),
        product=_interned(row["product_id"]),
        photo=row["image_sha256"],
        seller=_interned(row["seller_id"]),
        territory=_interned(row["territory"]),
        strength=strength_of(row),
        flag=flag,
        review=review,
        price=price if price is not None and price > 0 else None,
        currency=sys.intern((row["currency"] or "").strip().upper()),
        stake=1.0,
        suppressed=row["suppressed_by"] is not None,
        policy=sys.intern(row["policy"]),
    )


def _kind(row: Mapping[str, Any]) -> str | None:
    """The kind of a clear finding's match, which thresholds may depend on."""
    try:
        return kind_of(row)
    except TableError:
        return None


def _interned(text: str | None) -> str | None:
    return None if text is None else sys.intern(text)


def _with_stakes(items: list[Item]) -> list[Item]:
    prices: dict[str, list[Decimal]] = defaultdict(list)
    for item in items:
        if item.price is not None:
            prices[item.currency].append(item.price)
    medians = {currency: statistics.median(values) for currency, values in prices.items()}
    return [
        item if item.price is None else item._replace(stake=float(item.price / medians[item.currency]))
        for item in items
    ]


def _places(items: Iterable[Item], key: Callable[[Item], Any]) -> dict[Any, list[int]]:
    places: dict[Any, list[int]] = defaultdict(list)
    for item in items:
        if (value := key(item)) is not None:
            places[value].append(item.place)
    return dict(places)


def _median_prices(items: Iterable[Item]) -> dict[tuple[str, str], Decimal]:
    """The median price of each brand's findings, by brand and currency."""
    prices: dict[tuple[str, str], list[Decimal]] = defaultdict(list)
    for item in items:
        if item.brand and item.price is not None:
            prices[item.brand, item.currency].append(item.price)
    return {place: statistics.median(values) for place, values in prices.items()}
