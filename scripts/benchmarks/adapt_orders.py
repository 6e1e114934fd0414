"""How many labels an order of labelling takes until an adapter is as good as by labels taken at random.

A pool is what a scan puts before a person. A third of the products are left out of the catalogue, as other makers'
goods, and half of the others is learnt from, the other half measured on. Of the photos at or above a similarity at
which a person looks, so many are in the pool that one in ten shows a product of the catalogue. Labels are taken in an
order, the map is fitted to the first ones, and its figures are of products that no label showed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.adapting.fitting import LabelledVectors, LinearMap, answers, fit_map
from lookalike.model.encoder import Vectors
from lookalike.scripts.timing import show_table
from lookalike.thresholds.metrics import evaluate_retrieval

LOOKED_AT, PRECISION, PREVALENCE = 0.4, 0.9, 0.1
"""From which similarity on a person looks, what share of flags is right, and what share of the pool is related."""
LABELS, COUNTS = (100, 200, 400), (0, 25, 50, 75, 100, 150, 200, 300, 400, 600, 800)
METRICS = {"µAP": "micro_average_precision", "recall at 90 %": "recall_at_precision_90"}
AT_RANDOM, _TIMES = "at random", 3
"""The order that others are held against, and how often it is drawn in a run."""
_ROUNDS = 1000
_RELATED, _UNRELATED = 1, 2

Curve = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pool:
    """Photos that wait for labels (`known`), and those to measure on (`asked`).

    Each of the first has its highest `similarity`, the `product` with it, and whether the two heads `disagree`, as
    another product looks most alike; all (n,).
    """

    known: LabelledVectors
    asked: LabelledVectors
    similarity: NDArray[np.float32]
    product: NDArray[np.int64]
    disagree: NDArray[np.bool_]


def drawn_pool(
    known: LabelledVectors, asked: LabelledVectors, look: tuple[Vectors, Vectors], rng: np.random.Generator
) -> Pool:
    """A pool of `known` photos and what it is measured on; `look` is that of the known photos and of references."""
    parts = np.array_split(rng.permutation(int(known.product.max()) + 1), 6)
    rivals, learnt, measured = parts[:2], np.concatenate(parts[2:4]), np.concatenate(parts[4:])
    catalogue = np.flatnonzero(np.isin(known.product, np.concatenate([learnt, measured])))
    strangers = rng.random(len(asked.photos)) < 0.5
    kind = _kinds(known, learnt, rivals[0], strangers)
    product, alike = known.product[catalogue], known.photos @ known.references[catalogue].T
    strong = alike.max(axis=1) >= LOOKED_AT
    related, other = (rng.permutation(np.flatnonzero((kind == each) & strong)) for each in (_RELATED, _UNRELATED))
    odds = PREVALENCE / (1 - PREVALENCE)
    related = related[: round(len(other) * odds)]
    rows = rng.permutation(np.concatenate([related, other[: round(len(related) / odds)]]))
    nearest = product[alike[rows].argmax(axis=1)]
    looks = product[(look[0][rows] @ look[1][catalogue].T).argmax(axis=1)]
    held_out = np.flatnonzero(_kinds(asked, measured, rivals[1], ~strangers))
    return Pool(
        _of_catalogue(known, rows, catalogue),
        _of_catalogue(asked, held_out, catalogue),
        alike[rows].max(axis=1),
        nearest,
        nearest != looks,
    )


def _kinds(
    labelled: LabelledVectors, products: NDArray[np.int64], rivals: NDArray[np.int64], strangers: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Of each photo, _RELATED if it shows one of the products, _UNRELATED if a rival's or one of the strangers, or 0.

    Several photos are of one stranger, as far apart as there are `strangers`.
    """
    own, others = set(products.tolist()), set(rivals.tolist())

    def kind(at: int, right: frozenset[int]) -> int:
        if not right:
            return _UNRELATED * bool(strangers[at % len(strangers)])
        return _RELATED if right & own else _UNRELATED * bool(right & others)

    return np.array([kind(at, right) for at, right in enumerate(labelled.right)])


def _of_catalogue(labelled: LabelledVectors, rows: NDArray[np.intp], catalogue: NDArray[np.intp]) -> LabelledVectors:
    """These photos, with these references alone: of other products, a photo is unrelated."""
    product = labelled.product[catalogue]
    kept = frozenset(product.tolist())
    right = tuple(labelled.right[row] & kept for row in rows.tolist())
    return LabelledVectors(
        labelled.photos[rows], right, labelled.counted[rows], labelled.references[catalogue], product
    )


def orders_of(pool: Pool, rng: np.random.Generator) -> dict[str, list[NDArray[np.intp]]]:
    """The rows of a pool in each order, those at random several times."""
    chance = rng.permutation(len(pool.similarity))
    near = np.argsort(np.abs(pool.similarity - _flag(pool.known)))
    taught = _in_turn(pool, near)
    return {
        AT_RANDOM: [rng.permutation(chance) for _ in range(_TIMES)],
        "at random once more": [chance],
        "nearest to the threshold": [near],
        "the two heads disagree": [chance[np.argsort(~pool.disagree[chance], kind="stable")]],
        "each product once": [_in_turn(pool, chance)],
        "each product once, nearest first": [taught],
        "at random and of that order by turns": [_every_other(taught, chance)],
    }


def _flag(known: LabelledVectors) -> float:
    """The lowest similarity from which on PRECISION of the answers are right, as a policy well tuned would flag."""
    similarity, right = answers(known, np.arange(len(known.photos)))
    order = np.argsort(-similarity)
    precision = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    kept = np.flatnonzero(precision >= PRECISION)
    return float(similarity[order[kept[-1] if len(kept) else 0]])


def _in_turn(pool: Pool, order: NDArray[np.intp]) -> NDArray[np.intp]:
    """The first row of each product in this order, then the second ones, and so on."""
    times: dict[int, int] = {}
    turn = []
    for product in pool.product[order].tolist():
        times[product] = times.get(product, 0) + 1
        turn.append(times[product])
    return order[np.argsort(turn, kind="stable")]


def _every_other(order: NDArray[np.intp], chance: NDArray[np.intp]) -> NDArray[np.intp]:
    """One of an order and one at random by turns, each row once: the labels of a draw and of an order together."""
    both = np.stack([order, chance], axis=1).ravel()
    return both[np.sort(np.unique(both, return_index=True)[1])]


def curves_of(pool: Pool, rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """For each order what the first labels give: (METRICS, COUNTS), with those of no label first."""
    counts = [count for count in COUNTS if count <= len(pool.similarity)]
    before = _figures(pool.asked, None)
    found = {}
    for name, orders in orders_of(pool, rng).items():
        curves = [
            [before, *(_figures(pool.asked, _fitted(pool.known, order[:count])) for count in counts[1:])]
            for order in orders
        ]
        found[name] = np.mean(curves, axis=0).T
    return found


def _fitted(known: LabelledVectors, rows: NDArray[np.intp]) -> LinearMap:
    right = tuple(known.right[row] for row in rows.tolist())
    own = LabelledVectors(known.photos[rows], right, known.counted[rows], known.references, known.product)
    return fit_map(own, own.partners(), np.arange(len(rows)))


def _figures(asked: LabelledVectors, mapped: LinearMap | None) -> list[float]:
    found = evaluate_retrieval(*answers(asked, np.arange(len(asked.photos)), mapped), related=asked.related)
    return [float(getattr(found, name)) for name in METRICS.values()]


def labels_needed(curve: Curve, target: float, counts: Sequence[int]) -> float:
    """After how many labels a curve first reaches a target, between counts on a straight line; infinite if it doesn't.

    >>> labels_needed(np.array([0.5, 0.625, 0.75]), 0.6875, [0, 100, 200])
    150.0
    """
    above = np.flatnonzero(curve >= target)
    if not len(above):
        return float("inf")
    last = int(above[0])
    if last == 0:
        return 0.0
    share = (target - curve[last - 1]) / (curve[last] - curve[last - 1])
    return float(counts[last - 1] + share * (counts[last] - counts[last - 1]))


def ratios(
    by_order: Mapping[str, NDArray[np.float64]], name: str, metric: int, labels: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """The labels that an order needs in parts of those at random: of all runs, then of runs drawn with replacement.

    `by_order` holds curves (runs, METRICS, COUNTS).
    """
    runs, _, length = by_order[name].shape
    at = COUNTS.index(labels)
    drawn = np.vstack([np.arange(runs), rng.integers(runs, size=(_ROUNDS, runs))])
    found = []
    for rows in drawn:
        chance, own = (by_order[each][rows, metric].mean(axis=0) for each in (AT_RANDOM, name))
        target = float(chance[: at + 1].max())
        found.append(labels_needed(np.maximum.accumulate(own), target, COUNTS[:length]) / labels)
    return np.array(found)


def show_orders(
    name: str, known: LabelledVectors, asked: LabelledVectors, look: tuple[Vectors, Vectors], *, runs: int, seed: int
) -> None:
    """How many labels each order takes for what labels at random give; the sets are as for `drawn_pool`."""
    collected: dict[str, list[NDArray[np.float64]]] = {}
    sizes = []
    for run in range(runs):
        rng = np.random.default_rng([seed, run])
        pool = drawn_pool(known, asked, look, rng)
        sizes.append((len(pool.similarity), int(pool.known.related.sum()), len(pool.asked.photos)))
        for order, curve in curves_of(pool, rng).items():
            collected.setdefault(order, []).append(curve)
    length = min(curve.shape[1] for curve in collected[AT_RANDOM])
    by_order = {order: np.stack([curve[:, :length] for curve in curves]) for order, curves in collected.items()}
    rows = [
        (
            order,
            metric,
            f"{curves[:, at, 0].mean():.3f}",
            *(_cell(by_order, order, at, count, seed) for count in LABELS),
        )
        for at, metric in enumerate(METRICS)
        for order, curves in by_order.items()
    ]
    photos, related, measured = np.mean(sizes, axis=0)
    title = (
        f"{name}: figures with so many labels; labels needed, in parts of those at random, for what so many at random "
        f"give (95 % interval, {runs} draws; a pool of {photos:.0f}, {related:.0f} of them related, {measured:.0f} "
        "measured on)"
    )
    show_table(("labelled first", "", "none", *(f"{count} labels" for count in LABELS)), rows, width=150, title=title)


def _cell(by_order: Mapping[str, NDArray[np.float64]], order: str, metric: int, labels: int, seed: int) -> str:
    """A figure with so many labels, and how many it takes in parts of those at random, as far as those gain at all."""
    value = by_order[order][:, metric, COUNTS.index(labels)].mean()
    chance = by_order[AT_RANDOM][:, metric, [0, COUNTS.index(labels)]].mean(axis=0)
    if order == AT_RANDOM or chance[1] <= chance[0]:
        return f"{value:.3f}"
    found = ratios(by_order, order, metric, labels, np.random.default_rng(seed))
    low, high = np.quantile(found[1:], [0.025, 0.975], method="nearest")
    most = COUNTS[by_order[order].shape[2] - 1] / labels
    needed, least, at_most = (f"{each:.2f}" if each < np.inf else f">{most:.2g}" for each in (found[0], low, high))
    return f"{value:.3f}; {needed} ({least} to {at_most})"
