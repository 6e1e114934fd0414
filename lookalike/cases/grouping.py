"""Findings to cases: who sells how much of whose goods, the case with most value per minute of review first.

Sellers are one case if they share a photograph of their own (see `shared_photos`) or a key that the tables carry, such
as a phone number. A key that more than `Joining.most` sellers have joins nobody: it belongs to a call centre, not to a
ring. A case is worth

    value per minute = sum of its listings' prices / (minutes per case + minutes per pair x pairs to look at)

where a pair is a different photo beside a product, so that a photo shown a hundred times is looked at once. Sums are
exact, and prices of different currencies are never added; `Rates` convert them first. If there are prices of several
currencies and no rates, no common value exists, and cases are ranked by listings per minute.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

from lookalike.errors import TableError

from .case import Case, Cases, Effort, Link
from .identity import Identity, identify
from .money import Rates, round_fraction
from .shared_photos import SharedPhoto, same_files
from .totals import Ledger, SellerTotals, normalised

_DIGITS = 100
"""A sum of a billion prices of 32 digits, converted by rates of 32 digits, has some 75; so nothing is ever rounded."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Joining:
    """What joins sellers: equal values in `columns`, unless more than `most` sellers have the value.

    Raises TableError for fewer than two sellers.
    """

    columns: tuple[str, ...] = ()
    most: int = 20

    def __post_init__(self) -> None:
        if self.most < 2:
            raise TableError(f"a key may join at most {self.most} sellers, which joins nobody; give 2 or more")


def build_cases(
    rows: Iterable[Row],
    *,
    verdicts: Sequence[str] = ("flagged",),
    joining: Joining | None = None,
    shared: Iterable[SharedPhoto] | None = None,
    keys: Iterable[tuple[str, str, str]] = (),
    rates: Rates | None = None,
    effort: Effort | None = None,
    previous: Iterable[Case] = (),
) -> Cases:
    """Group findings of these verdicts into cases, in one pass over the rows.

    `shared` are photographs of sellers' own, by default identical files that, as their findings say, show no print of
    the brand's. `keys` are further keys (seller_id, column, value), such as a listings table has. `previous` are the
    cases of the last run, whose ids are kept. Raises TableError for rows that can't be used.
    """
    joining, effort = joining or Joining(), effort or Effort()
    with localcontext(prec=_DIGITS):
        ledger = Ledger(frozenset(verdicts), joining.columns)
        for row in rows:
            ledger.add(row)
        if shared is None:
            shared = same_files(ledger.photos).shared
        links, ignored = _links(ledger, shared, keys, joining.most)
        groups = _groups(ledger.sellers, links)
        links_of: dict[str, list[Link]] = {}
        first = {seller: group[0] for group in groups for seller in group}
        for link in links:
            links_of.setdefault(first[link.sellers[0]], []).append(link)
        used = rates or _single_currency(ledger)
        cases = [
            _case(group, ledger, links_of.get(group[0], ()), identity, effort, used)
            for group, identity in zip(groups, identify(groups, list(previous)), strict=True)
        ]
    ranked_by = "value" if used is not None else "listings"
    cases.sort(key=lambda case: (-_worth(case), -len(case.listings), case.id))
    unconverted = _unconverted(ledger, rates) if rates is not None else {}
    return Cases(tuple(cases), ranked_by, ledger.findings, tuple(ignored), ledger.bad_prices, unconverted)


def _links(
    ledger: Ledger, shared: Iterable[SharedPhoto], keys: Iterable[tuple[str, str, str]], most: int
) -> tuple[list[Link], list[tuple[str, str, int]]]:
    """What joins sellers that have findings, and the keys that too many of them have."""
    holders = dict(ledger.holders)
    for photo in shared:
        holders["photo", photo.name] = {seller for seller in photo.images if seller in ledger.sellers}
    for seller, column, value in keys:
        key = normalised(value)
        if key is not None and seller in ledger.sellers:
            holders.setdefault((column, key), set()).add(seller)
    links, ignored = [], []
    for (kind, key), sellers in holders.items():
        if len(sellers) > most:
            ignored.append((kind, key, len(sellers)))
        elif len(sellers) > 1:
            links.append(Link(kind, key, tuple(sorted(sellers))))
    return sorted(links, key=lambda link: (link.kind, link.key)), sorted(ignored)


def _groups(sellers: Iterable[str], links: Iterable[Link]) -> list[tuple[str, ...]]:
    """The sellers that links connect, each group sorted, groups by their first seller."""
    from scipy.cluster.hierarchy import DisjointSet

    groups = DisjointSet(sellers)
    for link in links:
        for other in link.sellers[1:]:
            groups.merge(link.sellers[0], other)
    return sorted(tuple(sorted(group)) for group in groups.subsets())


def _single_currency(ledger: Ledger) -> Rates | None:
    """The currency of all prices as rates; None if they are of several, or of none that is named."""
    currencies = {currency for seller in ledger.sellers.values() for currency in seller.values}
    return Rates.only(currencies.pop()) if len(currencies) == 1 and "" not in currencies else None


def _unconverted(ledger: Ledger, rates: Rates) -> dict[str, int]:
    """How many prices there are in each currency without a rate."""
    counts: Counter[str] = Counter()
    for seller in ledger.sellers.values():
        counts.update({currency: n for currency, n in seller.priced.items() if currency not in rates.rates})
    return dict(counts)


def _case(
    sellers: tuple[str, ...],
    ledger: Ledger,
    links: Sequence[Link],
    identity: Identity,
    effort: Effort,
    rates: Rates | None,
) -> Case:
    total = SellerTotals(first=identity.first_seen)
    for seller in sellers:
        total.include(ledger.sellers[seller])
    known = rates.rates if rates is not None else {}
    value = sum((amount * known[name] for name, amount in total.values.items() if name in known), Decimal(0))
    worth, minutes = (len(total.listings) if rates is None else value), effort.minutes(len(total.pairs))
    examples = sorted(total.pairs.values(), key=lambda example: (-example[0], example[1]))
    return Case(
        id=identity.id,
        sellers=sellers,
        listings=tuple(sorted(total.listings)),
        verdicts=dict(sorted(Counter(total.listings.values()).items())),
        brands=_counted(total.brands),
        products=_counted(total.products),
        kinds=_counted(total.kinds),
        territories=_counted(total.territories),
        rights={territory: tuple(sorted(named)) for territory, named in sorted(total.rights.items())},
        values=dict(sorted(total.values.items())),
        value=None if rates is None else value,
        value_currency=None if rates is None else rates.currency,
        unvalued=len(total.listings) - sum(n for name, n in total.priced.items() if name in known),
        pairs=len(total.pairs),
        minutes=minutes,
        per_minute=round_fraction(Fraction(worth) / Fraction(minutes)),
        examples=tuple(listing for _, listing in examples),
        links=tuple(links),
        first_seen=total.first,
        last_seen=total.last,
        merged=identity.merged,
        split_from=identity.split_from,
    )


def _counted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _worth(case: Case) -> Fraction:
    """Value per minute, or without a value listings per minute, not rounded."""
    return Fraction(len(case.listings) if case.value is None else case.value) / Fraction(case.minutes)
