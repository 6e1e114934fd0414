"""Findings to cases: who sells how much of whose goods, the case with most value per minute of review first.

Sellers are one case when they share a photograph of their own (see `shared_photos`), a title, or another key that the
tables carry, such as a phone number. A key that more than `Joining.most` sellers have joins nobody: it is a call
centre's, not a ring's. A case's worth is

    value per minute = sum of its listings' prices / (minutes a case + minutes a pair x pairs to look at)

where a pair is a photo that differs beside a product, so that a photo shown a hundred times is looked at once. Prices
are exact decimals, and those of different currencies are never added; with `Rates` they are converted first. Where
prices of several currencies come without rates there is no common value, and cases are ranked by listings per minute.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

from lookalike.errors import TableError

from .money import EXACT, Rates, round_fraction
from .shared_photos import SharedPhoto, same_files
from .totals import Ledger, SellerTotals, normalised

_ID_DIGITS = 10

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Effort:
    """Minutes of review: to open a case, and to look at one pair of a listing's and a genuine photo.

    Both are guesses to replace by your own: they move cases of one pair against those of many.
    """

    case: Decimal = Decimal(5)
    pair: Decimal = Decimal("0.5")

    def __post_init__(self) -> None:
        if self.case <= 0 or self.pair < 0:
            raise TableError(
                f"came {self.case} minutes a case and {self.pair} a pair; needed more than 0, and 0 or more"
            )

    def minutes(self, pairs: int) -> Decimal:
        """The minutes that a case of so many pairs takes."""
        return self.case + self.pair * pairs


@dataclass(frozen=True)
class Joining:
    """What joins sellers: `columns` whose equal values do, and `most` sellers that one value may belong to."""

    columns: tuple[str, ...] = ()
    most: int = 20

    def __post_init__(self) -> None:
        if self.most < 2:
            raise TableError(f"came {self.most} sellers of one key at the most; needed 2 or more")


@dataclass(frozen=True)
class Link:
    """What sellers of a case share: `kind` is photo or a column, `key` the photograph's name or the value."""

    kind: str
    key: str
    sellers: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """Sellers and their listings that belong together; see the module for what joins and ranks them.

    `sellers` are seller_ids; a listing of no named seller stands there by itself, as "listing ID". `values` are sums by
    currency, "" for prices of none; `value` is the sum in `value_currency`, None where there is no such sum, and
    `unvalued` counts listings that it lacks. `pairs` are the photos that differ, each beside a product. `examples` are
    a listing of each pair, the dearest first. `rights` are those that findings name, by territory. `merged` are ids of
    cases that were older runs' and have become part of this one; `split_from` is the case that it was a part of.
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
    """Cases, the one to look at first first, and what they leave out.

    `ranked_by` says by what. `ignored` are keys that too many sellers have: kind, key and how many. `bad_prices` counts
    findings whose price can't be used. `unconverted` are currencies without a rate, and their listings.
    """

    cases: tuple[Case, ...]
    ranked_by: str
    findings: int
    ignored: tuple[tuple[str, str, int], ...] = ()
    bad_prices: int = 0
    unconverted: Mapping[str, int] = field(default_factory=dict)


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

    `shared` are photographs of sellers' own; by default those are found whose files are the same, and of which findings
    say that they show no print of the brand's. `keys` are further keys (seller_id, column, value), such as a listings
    table carries. `previous` are the cases of the last run, whose ids are kept. Raises TableError for rows that can't
    be used.
    """
    joining, effort = joining or Joining(), effort or Effort()
    ledger = Ledger(frozenset(verdicts), joining.columns)
    for row in rows:
        ledger.add(row)
    if shared is None:
        shared = same_files(ledger.photos).shared
    links, ignored = _links(ledger, shared, keys, joining.most)
    groups = _connected(list(ledger.sellers), links)
    by_seller = {seller: number for number, sellers in enumerate(groups) for seller in sellers}
    own: list[list[Link]] = [[] for _ in groups]
    for link in links:
        own[by_seller[link.sellers[0]]].append(link)
    ids = _identify(groups, list(previous))
    currencies = {name for seller in ledger.sellers.values() for name in seller.values}
    common = rates.currency if rates is not None else next(iter(currencies)) if len(currencies) == 1 else None
    common = common or None
    unconverted: Counter[str] = Counter()
    cases = []
    for number, sellers in enumerate(groups):
        links_of = tuple(own[number])
        cases.append(_case(sellers, ledger, links_of, ids[number], effort, rates, common, unconverted))
    ranked_by = "value" if common is not None else "listings"
    cases.sort(key=lambda case: (-_worth(case, ranked_by), -len(case.listings), case.id))
    return Cases(tuple(cases), ranked_by, ledger.findings, tuple(ignored), ledger.bad_prices, dict(unconverted))


def _worth(case: Case, ranked_by: str) -> Fraction:
    of = Fraction(len(case.listings)) if ranked_by == "listings" else Fraction(case.value or 0)
    return of / Fraction(case.minutes)


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


def _connected(sellers: Sequence[str], links: Sequence[Link]) -> list[tuple[str, ...]]:
    """The sellers that hang together by links, each group sorted, groups by their first seller."""
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    number = {seller: at for at, seller in enumerate(sellers)}
    ends = [(number[link.sellers[0]], number[other]) for link in links for other in link.sellers[1:]]
    left, right = np.array(ends, np.int32).reshape(-1, 2).T
    graph = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(len(sellers), len(sellers)))
    _, labels = connected_components(graph, directed=False)
    groups: dict[int, list[str]] = {}
    for seller, label in zip(sellers, labels.tolist(), strict=True):
        groups.setdefault(label, []).append(seller)
    return sorted(tuple(sorted(group)) for group in groups.values())


@dataclass(frozen=True)
class _Identity:
    id: str
    merged: tuple[str, ...] = ()
    split_from: str | None = None
    first_seen: str | None = None


def case_id(seller: str, attempt: int = 0) -> str:
    """The id of a new case, by its first seller in the order of the alphabet.

    >>> case_id("outlet4u")
    'C12b61cfca5'
    """
    text = seller if not attempt else f"{seller}\0{attempt}"
    return "C" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_ID_DIGITS]


def _identify(groups: Sequence[Sequence[str]], previous: Sequence[Case]) -> list[_Identity]:
    """An id for each group of sellers, those of the last run kept.

    A group keeps the id of the older case that its sellers were of, older by `first_seen`, then by id; the others'
    merge into it. If a case's sellers are in several groups now, the group with most of them keeps it.
    """
    of_seller = {seller: case for case in previous for seller in case.sellers}
    claims: dict[str, list[tuple[int, int]]] = {}
    befores: list[Counter[str]] = []
    known = {case.id: case for case in previous}
    for at, sellers in enumerate(groups):
        before = Counter(of_seller[seller].id for seller in sellers if seller in of_seller)
        befores.append(before)
        for name, count in before.items():
            claims.setdefault(name, []).append((-count, at))
    keeper = {name: min(claim)[1] for name, claim in claims.items()}
    taken = set(known) | {name for case in previous for name in case.merged}
    identities = []
    for at, sellers in enumerate(groups):
        mine = sorted((known[name] for name in befores[at] if keeper[name] == at), key=_age)
        if mine:
            merged = {name for case in mine for name in (case.id, *case.merged)} - {mine[0].id}
            first = min((case.first_seen for case in mine if case.first_seen), default=None)
            identities.append(_Identity(mine[0].id, tuple(sorted(merged)), mine[0].split_from, first))
            continue
        parents = sorted((known[name] for name in befores[at]), key=_age)
        attempt = 0
        while (name := case_id(sellers[0], attempt)) in taken:
            attempt += 1
        taken.add(name)
        identities.append(_Identity(name, (), parents[0].id if parents else None))
    return identities


def _age(case: Case) -> tuple[str, str]:
    return case.first_seen or "9", case.id


def _case(
    sellers: tuple[str, ...],
    ledger: Ledger,
    links: tuple[Link, ...],
    identity: _Identity,
    effort: Effort,
    rates: Rates | None,
    common: str | None,
    unconverted: Counter[str],
) -> Case:
    parts = [ledger.sellers[seller] for seller in sellers]
    total = SellerTotals()
    rights: dict[str, set[str]] = {}
    pairs: dict[tuple[str, str], tuple[Decimal, str]] = {}
    for part in parts:
        total.listings.update(part.listings)
        for name in ("brands", "products", "kinds", "territories", "priced"):
            getattr(total, name).update(getattr(part, name))
        for territory, named in part.rights.items():
            rights.setdefault(territory, set()).update(named)
        for currency, amount in part.values.items():
            total.values[currency] = EXACT.add(total.values.get(currency, Decimal(0)), amount)
        for pair, example in part.pairs.items():
            pairs[pair] = max(pairs.get(pair, example), example)
    value, valued = _in_one(total, rates, common)
    for currency, count in total.priced.items():
        if rates is not None and currency not in rates.rates:
            unconverted[currency] += count
    minutes = effort.minutes(len(pairs))
    firsts = [part.first for part in parts if part.first] + ([identity.first_seen] if identity.first_seen else [])
    worth = Fraction(value if value is not None else len(total.listings)) / Fraction(minutes)
    return Case(
        id=identity.id,
        sellers=sellers,
        listings=tuple(sorted(total.listings)),
        verdicts=dict(sorted(Counter(total.listings.values()).items())),
        brands=_counted(total.brands),
        products=_counted(total.products),
        kinds=_counted(total.kinds),
        territories=_counted(total.territories),
        rights={territory: tuple(sorted(named)) for territory, named in sorted(rights.items())},
        values=dict(sorted(total.values.items())),
        value=value,
        value_currency=common,
        unvalued=len(total.listings) - valued,
        pairs=len(pairs),
        minutes=minutes,
        per_minute=round_fraction(worth),
        examples=tuple(listing for _, listing in sorted(pairs.values(), key=lambda pair: (-pair[0], pair[1]))),
        links=links,
        first_seen=min(firsts, default=None),
        last_seen=max((part.last for part in parts if part.last), default=None),
        merged=identity.merged,
        split_from=identity.split_from,
    )


def _in_one(total: SellerTotals, rates: Rates | None, common: str | None) -> tuple[Decimal | None, int]:
    """The sum in one currency, exact, and of how many listings it is."""
    if common is None:
        return None, 0
    value, valued = Decimal(0), 0
    for currency, part in total.values.items():
        rate = rates.rates.get(currency) if rates is not None else Decimal(1) if currency == common else None
        if rate is not None:
            value = EXACT.add(value, EXACT.multiply(part, rate))
            valued += total.priced[currency]
    return value, valued


def _counted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
