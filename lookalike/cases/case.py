"""Cases: sellers that belong together, with their listings, what these are worth, and how long a review takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from lookalike.errors import TableError
from lookalike.tables.amounts import AMOUNTS

_KEYS_NAMED = 5
_NAME = 18


@dataclass(frozen=True)
class Effort:
    """Minutes of review: to open a case, and to look at one pair of a listing's photo and a genuine one.

    Both are guesses, so replace them by your own: they weigh cases of one pair against cases of many. Raises TableError
    for minutes that are negative, and for a case that takes none.
    """

    case: Decimal = Decimal(5)
    pair: Decimal = Decimal("0.5")

    def __post_init__(self) -> None:
        if self.case <= 0 or self.pair < 0:
            raise TableError(
                f"got {self.case} minutes per case and {self.pair} per pair; give more than 0, and 0 or more"
            )

    def minutes(self, pairs: int) -> Decimal:
        """How long a case with this many pairs takes."""
        return self.case + self.pair * pairs


@dataclass(frozen=True)
class Link:
    """What sellers of a case share: `kind` is photo or a column, `key` the photograph's name or the column's value."""

    kind: str
    key: str
    sellers: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """Sellers that belong together, and their listings.

    `sellers` are seller_ids; a listing without a named seller stands there as "listing ID". `values` are sums of prices
    by currency, "" for prices without one. `value` is the sum in `value_currency`, None if there is no common currency,
    and `unvalued` counts the listings without a price in it. `pairs` counts different photos, each with one product.
    `examples` are a listing of each pair, the dearest first. `rights` are the rights that the findings name, by
    territory. `merged` are the ids of earlier cases that are part of this one; `split_from` is the case that it was
    part of.
    """

    id: str
    sellers: tuple[str, ...]
    listings: tuple[str, ...]
    verdicts: Mapping[str, int]
    brands: Mapping[str, int]
    products: Mapping[str, int]
    kinds: Mapping[str, int]
    territories: Mapping[str, int]
    rights: Mapping[str, tuple[str, ...]]
    values: Mapping[str, Decimal]
    value: Decimal | None
    value_currency: str | None
    unvalued: int
    pairs: int
    minutes: Decimal
    per_minute: Decimal
    examples: tuple[str, ...]
    links: tuple[Link, ...]
    first_seen: str | None
    last_seen: str | None
    merged: tuple[str, ...] = ()
    split_from: str | None = None


@dataclass(frozen=True)
class Cases:
    """Cases, the most urgent first, and what they leave out.

    `ranked_by` is value or listings, both per minute of review. `ignored` are keys that too many sellers have: kind,
    key and number of sellers. `bad_prices` counts findings whose price can't be used, `unconverted` the prices in each
    currency without a rate.
    """

    cases: tuple[Case, ...]
    ranked_by: str
    findings: int
    ignored: tuple[tuple[str, str, int], ...] = ()
    bad_prices: int = 0
    unconverted: Mapping[str, int] = field(default_factory=dict)

    def remarks(self) -> list[str]:
        """What the cases leave out, one line each: keys of too many sellers, prices that can't be used or converted."""
        said = []
        if self.ignored:
            named = ", ".join(f"{kind} {key[:_NAME]} ({n:,} sellers)" for kind, key, n in self.ignored[:_KEYS_NAMED])
            more = f" and {len(self.ignored) - _KEYS_NAMED:,} more" if len(self.ignored) > _KEYS_NAMED else ""
            said.append(f"Too common to join anybody: {named}{more}.")
        if self.bad_prices:
            said.append(f"Prices that can't be used: {self.bad_prices:,}. A price is {AMOUNTS}.")
        for currency, count in sorted(self.unconverted.items()):
            said.append(f"Prices without a rate, in {currency or 'no currency'}: {count:,}. They are not in the sums.")
        return said
