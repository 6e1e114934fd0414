"""In which order findings come up: the most urgent first, those that teach an adapter most, or drawn at random."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from lookalike.errors import TableError
from lookalike.records import Verdict
from lookalike.tables.verdicts import Draw

from .findings import Item

_OPEN = (Verdict.FLAGGED, Verdict.REVIEW)
_LEAST = 1e-6
_FALL = {True: 2.0, False: 0.1}
"""Within what distance of the threshold the urgency falls to 1/e: on probabilities in log-odds, else in similarity."""


def triage(items: Iterable[Item], *, on_probability: bool) -> list[int]:
    """The places of findings that are flagged or in review: nearest the flag threshold and most at stake first.

    The urgency is exp(-distance) · (1 + log2(1 + stake)). The distance is between strength and flag threshold, and the
    stake is the price in parts of the median price.
    """
    open_ones = [item for item in items if item.verdict in _OPEN]
    return [item.place for item in sorted(open_ones, key=lambda each: -_urgency(each, on_probability))]


def teach(items: Iterable[Item], *, on_probability: bool) -> list[int]:
    """The places of findings that are flagged or in review: one of each product, then a second one, and so on.

    Of each product, those nearest the flag threshold come first, and so do products in each turn. An adapter learns as
    much from fewer labels in this order (`scripts/benchmarks/adapt.py --only orders`).
    """
    open_ones = [item for item in items if item.verdict in _OPEN]
    turns: Counter[tuple[str | None, str | None]] = Counter()
    order = []
    for item in sorted(open_ones, key=lambda each: _distance(each, on_probability)):
        turns[item.brand, item.product] += 1
        order.append((turns[item.brand, item.product], item.place))
    return [place for _, place in sorted(order, key=lambda each: each[0])]


def _urgency(item: Item, on_probability: bool) -> float:
    return math.exp(-_distance(item, on_probability)) * (1 + math.log2(1 + item.stake))


def _distance(item: Item, on_probability: bool) -> float:
    """How far a finding is from the flag threshold, or if it has none, from that for review; infinite if unknown."""
    threshold = item.flag if item.flag is not None else item.review
    if item.strength is None or threshold is None:
        return math.inf
    return abs(_scaled(item.strength, on_probability) - _scaled(threshold, on_probability)) / _FALL[on_probability]


def _scaled(value: float, on_probability: bool) -> float:
    if not on_probability:
        return value
    bounded = min(max(value, _LEAST), 1 - _LEAST)
    return math.log(bounded / (1 - bounded))


def drawable(items: Sequence[Item]) -> list[Item]:
    """The findings that a draw is made from: all that are at least as strong as the weakest in review or flagged.

    Thresholds set on the draw then rest on a random part of all that they let through, whatever the kinds' own
    thresholds were.
    """
    judged = [item for item in items if item.strength is not None and not item.suppressed]
    open_ones = [item.strength for item in judged if item.said in _OPEN and item.strength is not None]
    if not open_ones:
        raise TableError("no finding is flagged or in review, so there is nothing to draw from")
    lowest = min(open_ones)
    return [item for item in judged if item.strength is not None and item.strength >= lowest]


def draw_at_random(items: Sequence[Item], *, size: int, seed: int) -> tuple[list[int], dict[int, Draw]]:
    """A random draw without replacement: its places in the order drawn, and what is stored with each verdict.

    The order is that of the SHA-256 of the seed with the listing's id, so the same findings give the same draw on every
    machine. All findings have the same chance; the strata are stored, so that anyone can see what they are. Raises
    TableError if there is nothing to draw from.
    """
    population = drawable(items)
    size = min(size, len(population))
    chosen = in_drawn_order(population, seed)[:size]
    of = hashlib.sha256("\n".join(sorted(_digest(repr(item.finding)) for item in population)).encode()).hexdigest()[:16]
    strata = Counter(_stratum(item) for item in population)
    return [item.place for item in chosen], {
        item.place: Draw(of, seed, size, len(population), _stratum(item), strata[_stratum(item)]) for item in chosen
    }


def in_drawn_order(items: Iterable[Item], seed: int) -> list[Item]:
    """The findings in the order in which a draw takes them, whichever of them there are."""
    return sorted(items, key=lambda item: (_digest(f"{seed}/{item.listing}"), item.place))


def strata_of(draws: Iterable[Draw]) -> list[tuple[str, int, int]]:
    """The strata of a draw, the largest first: name, how many were drawn, how many there are."""
    draws = list(draws)
    sizes = {draw.stratum: draw.stratum_size for draw in draws}
    drawn = Counter(draw.stratum for draw in draws)
    return [(name, drawn[name], sizes[name]) for name in sorted(sizes, key=lambda name: (-sizes[name], name))]


def _stratum(item: Item) -> str:
    return f"{item.said}, {item.kind.replace('_', ' ')}" if item.kind else item.said


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Queue:
    """Findings that wait for a verdict, in order, by their places."""

    def __init__(self, order: Iterable[int]) -> None:
        self._waiting: OrderedDict[int, None] = OrderedDict.fromkeys(order)

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, place: int) -> bool:
        return place in self._waiting

    def first(self, most: int) -> list[int]:
        """The next ones, at most so many."""
        return list(islice(self._waiting, most))

    def __iter__(self) -> Iterator[int]:
        return iter(self._waiting)

    def take(self, place: int) -> None:
        """It waits no more."""
        self._waiting.pop(place, None)

    def put_first(self, place: int) -> None:
        """It is the next one."""
        self._waiting[place] = None
        self._waiting.move_to_end(place, last=False)

    def put_last(self, place: int) -> None:
        """It comes up again at the end."""
        self._waiting[place] = None
        self._waiting.move_to_end(place)
