"""Measure whether a promise from a review's verdicts is kept.

A world of findings has a known truth. In each simulated review, findings are drawn as `lookalike review --order audit`
draws them, a person judges them, thresholds are set as `lookalike tune` sets them, and the precision that was promised
is compared with that of all findings that the thresholds flag; a review without a promise flags nothing, and counts as
kept. Brands and kinds with thresholds of their own have own promises, each of what it decides. The person is unsure
about some, which count as wrong.

"draw" judges one draw to its end. "draws until promised" begins another draw of the same size while nothing can be
promised, at most so many times: looking several times is what a promise does not allow for, so this shows what it
costs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from lookalike.binomial import Share
from lookalike.policy.policy import Policy
from lookalike.policy.terms import Promise
from lookalike.records import Verdict
from lookalike.review.findings import Item
from lookalike.review.queue import draw_at_random
from lookalike.scripts.benchmarks.harness import one_line_errors
from lookalike.scripts.timing import show_table
from lookalike.thresholds.pairs import LabelledPairs
from lookalike.thresholds.realised import promising
from lookalike.thresholds.tuning import tune

KINDS = {"copied_photo": (0.25, 0.98, 1.4), "same_print": (0.35, 0.62, 1.2), "lookalike": (0.4, 0.25, 1.0)}
"""Of each kind: its share of the findings, the share of right ones, and how far apart these and the others lie, in
standard deviations of the log-odds."""

FLAG, REVIEW = 0.9, 0.05
UNSURE, MOST_DRAWS = 0.02, 3


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--findings", type=int, default=20_000, help="findings of the world (default 20,000)")
    parser.add_argument("--reviews", type=int, default=500, help="simulated reviews (default 500)")
    parser.add_argument("--size", type=int, default=300, help="findings of a draw (default 300)")
    parser.add_argument("--precision", type=float, default=0.9, help="what is promised (default 0.9)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    rng = np.random.default_rng(arguments.seed)
    world = World.drawn(arguments.findings, rng)
    size, reviews = arguments.size, arguments.reviews
    rows = []
    for name, label in (("draw", _one_draw), ("draws until promised", _until_promised)):
        outcomes = [
            _outcome(world, label(world, size, seed, arguments.precision, rng), arguments.precision)
            for seed in range(reviews)
        ]
        kept = Share.of(sum(not each.broken for each in outcomes), reviews)
        own = Share.of(sum(each.own - each.own_broken for each in outcomes), sum(each.own for each in outcomes))
        rows.append([name, f"{reviews:,}", f"{sum(each.promised for each in outcomes):,}", _shown(kept),
                     f"{own.total:,}", _shown(own)])  # fmt: skip
    show_table(("labels by", "reviews", "promised", "kept", "own promises", "kept"), rows)
    return 0


def _shown(share: Share) -> str:
    return f"{share.value:.1%} ({share.low:.1%}–{share.high:.1%})"


@dataclass(frozen=True)
class World:
    """Findings, and which of them are right: bool (n,)."""

    items: tuple[Item, ...]
    right: NDArray[np.bool_]

    @cached_property
    def places(self) -> dict[tuple[str, str], tuple[NDArray[np.float64], NDArray[np.bool_]]]:
        """By brand and kind, the strengths of findings and which are right."""
        found: dict[tuple[str, str], list[int]] = {}
        for item in self.items:
            found.setdefault((item.brand or "", item.kind), []).append(item.place)
        strength = np.array([item.strength for item in self.items])
        return {place: (strength[rows], self.right[rows]) for place, rows in found.items()}

    @classmethod
    def drawn(cls, count: int, rng: np.random.Generator) -> World:
        """Findings of all kinds, of ten brands, with log-odds that are normal."""
        kinds = rng.choice(list(KINDS), count, p=[share for share, _, _ in KINDS.values()])
        right = rng.random(count) < np.array([KINDS[kind][1] for kind in kinds])
        apart = np.array([KINDS[kind][2] for kind in kinds])
        odds = norm.rvs(size=count, random_state=rng) * 1.5 + np.where(right, apart, -apart) * 1.5
        strength = 1 / (1 + np.exp(-odds))
        brands, prices = rng.integers(0, 10, count), np.exp(rng.normal(3, 1, count))
        items = tuple(
            _item(at, kind, f"brand {brand}", value, Decimal(f"{price:.2f}"))
            for at, (kind, brand, value, price) in enumerate(
                zip(kinds.tolist(), brands.tolist(), strength.tolist(), prices.tolist(), strict=True)
            )
        )
        return cls(items, right)

    def pairs(self, places: list[int], rng: np.random.Generator) -> LabelledPairs:
        """The findings at these places as a person judges them, who is unsure about some."""
        sure = rng.random(len(places)) >= UNSURE
        rows = (
            (self.items[place].strength or 0.0, bool(self.right[place] and known), self.items[place].brand, None, None)
            for place, known in zip(places, sure.tolist(), strict=True)
        )
        return LabelledPairs.of(rows, [self.items[place].kind for place in places])


def _item(place: int, kind: str, brand: str, strength: float, price: Decimal) -> Item:
    verdict = Verdict.FLAGGED if strength >= FLAG else Verdict.REVIEW if strength >= REVIEW else Verdict.CLEAR
    return Item(
        place=place, listing=f"L{place}", verdict=str(verdict), said=str(verdict), kind=kind, brand=brand, product="p",
        photo=f"photo {place}", seller=f"s{place % 997}", territory=None, strength=strength, flag=FLAG, review=REVIEW,
        price=price, currency="EUR", stake=float(price) / 20, suppressed=False, policy="p",
    )  # fmt: skip


def _tuned(world: World, places: list[int], precision: float, rng: np.random.Generator) -> Policy:
    return tune(world.pairs(places, rng), promise=Promise(0.95, precision))


def _one_draw(world: World, size: int, seed: int, precision: float, rng: np.random.Generator) -> Policy:
    return _tuned(world, draw_at_random(world.items, size=size, seed=seed)[0], precision, rng)


def _until_promised(world: World, size: int, seed: int, precision: float, rng: np.random.Generator) -> Policy:
    judged: list[int] = []
    for policy in _draws(world, size, seed, precision, rng, judged):
        if _flags(policy):
            break
    return policy


def _draws(
    world: World, size: int, seed: int, precision: float, rng: np.random.Generator, judged: list[int]
) -> Iterator[Policy]:
    for again in range(MOST_DRAWS):
        judged += draw_at_random(world.items, size=size, seed=seed * MOST_DRAWS + again + 1_000_000)[0]
        yield _tuned(world, list(dict.fromkeys(judged)), precision, rng)


def _flags(policy: Policy) -> bool:
    scopes = (policy.scope(), *policy.scopes)
    return any(scope.of(kind).flag is not None for scope in scopes for kind in (None, *scope.kinds.own))


@dataclass(frozen=True)
class Outcome:
    """Whether a policy flags anything, whether fewer of all its flags are right than promised (`broken`), and how many
    of its brands' and kinds' own promises (`own`) are broken.
    """

    promised: bool
    broken: bool
    own: int
    own_broken: int


def _outcome(world: World, policy: Policy, precision: float) -> Outcome:
    """What the policy flags of the world, and how much of that is right. Each promise is of what its scope decides."""
    flags: dict[int, list[NDArray[np.bool_]]] = {}
    promises = {id(scope): scope for _, scope in promising(policy)}
    for (brand, kind), (strength, right) in world.places.items():
        scope = policy.scope(brand).of(kind)
        if scope.flag is not None:
            flags.setdefault(id(scope), []).append(right[strength >= scope.flag])
    groups = {name: np.concatenate(rights) for name, rights in flags.items()}
    own = [right for name, right in groups.items() if name in promises and len(right)]
    everything = np.concatenate([*groups.values(), np.empty(0, bool)])
    return Outcome(
        len(everything) > 0,
        len(everything) > 0 and bool(everything.mean() < precision),
        len(own),
        sum(bool(right.mean() < precision) for right in own),
    )


if __name__ == "__main__":
    raise SystemExit(main())
