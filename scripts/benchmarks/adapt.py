"""Measure what an adapter gains, how often it is refused, whether it ever harms, and whether promises hold behind it.

DATA holds storefront/ and clothing/; --market is a folder that scripts/marketplace/render.py --split test wrote. Labels
come from half of the products of a set, drawn anew in each run, and from half of its unrelated photos; what they gain
is measured on the others. Where the adapter is refused, a run counts as it is without. For 5,000 labels, the
storefront's photos are edited several times. Cross-fitted labels set thresholds as `lookalike tune` does on labels that
the adapter was fitted to.

Vectors are kept in the folder --keep, so that a second run opens no picture.
"""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.adapting.fitting import LabelledVectors, LinearMap, answers, fit_map
from lookalike.adapting.folds import Answered, CrossFitted, cross_fit
from lookalike.adapting.judging import judge_map
from lookalike.binomial import Share
from lookalike.disk import make_folder, written
from lookalike.model.encoder import Vectors
from lookalike.model.loading import load_encoder
from lookalike.scripts.benchmarks.adapt_orders import show_orders
from lookalike.scripts.benchmarks.harness import one_line_errors
from lookalike.scripts.benchmarks.sets import BenchmarkSet, described, edited_again, market_set, storefront_sets
from lookalike.scripts.timing import show_table
from lookalike.thresholds.guarantees import Kept, precision_threshold
from lookalike.thresholds.metrics import Retrieval, evaluate_retrieval

LABELS, EDITINGS, AGAIN = (50, 200, 1000, 5000), 8, 4
"""How many labels; how often the storefront's photos are edited: once to measure on, the other times for labels; and in
how many forms there are the rendered market's, for orders of labelling."""
METRICS = {"R@1": "recall_at_1", "µAP": "micro_average_precision", "recall at 90 %": "recall_at_precision_90"}
PRECISION, CONFIDENCE = 0.9, 0.95
_DRAWN = 1000
_THRESHOLDS = ("all labels, no adapter", "all labels, cross-fitted", "all labels, as if not fitted to")


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder that holds storefront/ and clothing/")
    parser.add_argument("--market", type=Path, required=True, help="folder of the rendered test split")
    parser.add_argument("--keep", type=Path, required=True, help="folder that keeps vectors")
    parser.add_argument("--runs", type=int, default=20, help="draws of products and labels (default 20)")
    parser.add_argument("--draws", type=int, default=500, help="draws of labels for the promise (default 500)")
    parser.add_argument("--only", choices=("gains", "promise", "orders"), help="leave out the rest")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    make_folder(arguments.keep)
    sets = list(labelled_sets(arguments.data, arguments.market, arguments.keep))
    if arguments.only in (None, "gains"):
        show_gains(sets, arguments.runs, arguments.seed)
    if arguments.only in (None, "promise"):
        show_promise(sets[:2], arguments.draws, np.random.default_rng(arguments.seed))
    if arguments.only in (None, "orders"):
        known = market_again(arguments.data, arguments.market, arguments.keep)
        for each in (known, sets[1]):
            show_orders(each.name, each.known, each.asked, each.look, runs=arguments.runs, seed=arguments.seed)
    return 0


@dataclass(frozen=True)
class LabelledSet:
    """A set with its labels: those to measure on (`asked`), and those to learn from (`known`), often the same.

    `look` is the look's part of the vectors: of `known` photos, and of references.
    """

    name: str
    asked: LabelledVectors
    known: LabelledVectors
    look: tuple[Vectors, Vectors]


def labelled_sets(data: Path, market: Path, keep: Path) -> Iterator[LabelledSet]:
    """The rendered test market, and the storefront's edited copies and other views."""
    rendered = _vectors(keep / "market.npz", lambda: market_set(market, data))
    yield _labelled_set("rendered market", rendered, [rendered])
    edited = [
        _vectors(keep / f"copies-{seed}.npz", lambda seed=seed: storefront_sets(data, seed=seed)[0])  # type: ignore[misc]
        for seed in range(1, 1 + EDITINGS)
    ]
    yield _labelled_set("storefront, edited copies", edited[0], edited[1:])
    views = _vectors(keep / "views.npz", lambda: storefront_sets(data)[1])
    yield _labelled_set("storefront, other views", views, [views])


def market_again(data: Path, market: Path, keep: Path) -> LabelledSet:
    """The rendered test market, with its photos edited some times more to learn from."""
    rendered = _vectors(keep / "market.npz", lambda: market_set(market, data))

    def pictures(seed: int) -> BenchmarkSet:
        return edited_again(market_set(market, data), data, seed=seed)

    again = [_vectors(keep / f"market-again-{seed}.npz", partial(pictures, seed)) for seed in range(1, AGAIN)]
    return _labelled_set("rendered market", rendered, [rendered, *again])


Stored = dict[str, NDArray[Any]]


def _vectors(path: Path, pictures: Callable[[], BenchmarkSet]) -> Stored:
    """The vectors of a set's pictures, and what they show; computed only if the file isn't there."""
    if not path.is_file():
        encoder, each = load_encoder("embedded"), pictures()
        references, queries = (described(images, encoder.encode) for images in (each.references, each.queries))
        with written(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, references=references, queries=queries,
                     products=np.array(each.products), shown=np.array(each.shown))  # fmt: skip
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in ("references", "queries", "products", "shown")}
    except (zipfile.BadZipFile, KeyError) as error:
        raise SystemExit(f"{path} is damaged ({error}); remove it") from error


def _labelled_set(name: str, asked: Stored, known: Sequence[Stored]) -> LabelledSet:
    queries = np.concatenate([each["queries"] for each in known])
    dim = load_encoder("embedded").spec.dim
    shown = np.concatenate([each["shown"] for each in known])
    return LabelledSet(
        name,
        _labelled(asked, asked["queries"], asked["shown"], dim),
        _labelled(asked, queries, shown, dim),
        (queries[:, dim:], asked["references"][:, dim:]),
    )


def _labelled(stored: Stored, queries: Vectors, shown: NDArray[np.str_], dim: int) -> LabelledVectors:
    number = {product: at for at, product in enumerate(np.unique(stored["products"]).tolist())}
    return LabelledVectors(
        np.ascontiguousarray(queries[:, :dim]),
        tuple(frozenset({number[product]} if product else ()) for product in shown.tolist()),
        np.ones(len(shown), bool),
        np.ascontiguousarray(stored["references"][:, :dim]),
        np.array([number[product] for product in stored["products"].tolist()], np.int64),
    )


def at(labelled: LabelledVectors, rows: NDArray[np.intp]) -> LabelledVectors:
    """These of the labelled photos."""
    right = tuple(labelled.right[row] for row in rows.tolist())
    return LabelledVectors(labelled.photos[rows], right, labelled.counted[rows], labelled.references, labelled.product)


def _halves(each: LabelledSet, rng: np.random.Generator) -> tuple[NDArray[np.intp], LabelledVectors]:
    """The rows of `known` photos of half of the products, and the `asked` photos of the others."""
    products = int(each.asked.product.max()) + 1
    half = set(rng.permutation(products)[: products // 2].tolist())
    known, asked = each.known.right, each.asked.right
    strangers = rng.random(len(asked)) < 0.5
    learnt = [bool(right & half) if right else bool(strangers[row % len(asked)]) for row, right in enumerate(known)]
    measured = [not right & half if right else not strangers[row] for row, right in enumerate(asked)]
    return np.flatnonzero(learnt), at(each.asked, np.flatnonzero(measured))


def _figures(asked: LabelledVectors, mapped: LinearMap | None) -> Retrieval:
    return evaluate_retrieval(*answers(asked, np.arange(len(asked.photos)), mapped), related=asked.related)


def _fitted(known: LabelledVectors, seed: int) -> tuple[LinearMap, CrossFitted] | None:
    """The map and its folds, if it is certain to be better."""
    crossed = cross_fit(known, seed=seed)
    if crossed is None or not judge_map(known, crossed, seed=seed).is_certain:
        return None
    return fit_map(known, known.partners(), np.arange(len(known.photos))), crossed


def show_gains(sets: Sequence[LabelledSet], runs: int, seed: int) -> None:
    """What labels of some products gain on others: without an adapter, and with it where it is used."""
    rows: list[tuple[object, ...]] = []
    for each in sets:
        for count in LABELS:
            found = [_run(each, count, np.random.default_rng([seed, run])) for run in range(runs)]
            labels = found[0][0]
            used = [after is not None for _, _, after in found]
            harmed = sum(
                after is not None and after.micro_average_precision < before.micro_average_precision
                for _, before, after in found
            )
            cells = []
            for of in METRICS.values():
                off = np.array([getattr(before, of) for _, before, _ in found])
                on = np.array([getattr(after or before, of) for _, before, after in found])
                low, high = np.quantile(on - off, [0.025, 0.975])
                cells.append(f"{off.mean():.3f} -> {on.mean():.3f} ({low:+.3f} to {high:+.3f})")
            share = Share.of(harmed, runs)
            rows.append((each.name, f"{labels:,}", *cells, f"{1 - np.mean(used):.0%}",
                         f"{harmed} of {runs} (up to {share.high:.0%})"))  # fmt: skip
            if labels < count:
                break
    show_table(
        ("set", "labels", *METRICS, "refused", "used and harmed"), rows, width=200,
        title=f"Without and with an adapter (range of 95 % of {runs} runs); µAP decides what harm is",
    )  # fmt: skip


def _run(each: LabelledSet, count: int, rng: np.random.Generator) -> tuple[int, Retrieval, Retrieval | None]:
    """How many labels there were, and the figures without and with an adapter, None if it is refused."""
    pool, asked = _halves(each, rng)
    drawn = rng.permutation(pool)[:count]
    found = _fitted(at(each.known, drawn), int(rng.integers(1 << 31)))
    return len(drawn), _figures(asked, None), _figures(asked, found[0]) if found is not None else None


def show_promise(sets: Sequence[LabelledSet], draws: int, rng: np.random.Generator) -> None:
    """How often a threshold breaks its promise behind an adapter that was fitted to the labels that it is set on."""
    rows: list[tuple[object, ...]] = []
    for each in sets:
        drawn = [kept_promises(each.asked, rng) for _ in range(draws)]
        used = sum(use for _, use in drawn)
        for name in _THRESHOLDS:
            made = [result for kept, _ in drawn if (result := kept[name]) is not None]
            share = Share.of(sum(broken for broken, _ in made), draws)
            recall = sum(found for _, found in made) / draws / each.asked.related.mean()
            rows.append((each.name, name, f"{share.value:.1%} ({share.low:.1%}–{share.high:.1%})", f"{recall:.3f}",
                         f"{1 - len(made) / draws:.0%}", f"{used / draws:.0%}"))  # fmt: skip
    show_table(
        ("set", "threshold set on", "broken", "recall", "none possible", "adapter used"), rows, width=150,
        title=f"A promise of precision {PRECISION} with confidence {CONFIDENCE}, {draws} draws of {_DRAWN:,} labels",
    )  # fmt: skip


def kept_promises(
    population: LabelledVectors, rng: np.random.Generator, *, labels: int = _DRAWN
) -> tuple[dict[str, tuple[bool, float] | None], bool]:
    """What each of _THRESHOLDS comes to (see `_kept`), and whether an adapter is used.

    Labels are drawn from a population with replacement, so that the population is the truth.
    """
    every = np.arange(len(population.photos))
    drawn = rng.integers(len(every), size=labels)
    known = at(population, drawn)
    found = _fitted(known, int(rng.integers(1 << 31)))
    before = after = answers(population, every)
    plain = crossed = seen = before[0][drawn], before[1][drawn]
    if found is not None:
        after = answers(population, every, found[0])
        crossed, seen = found[1].answers(known, np.arange(labels)), (after[0][drawn], after[1][drawn])
    results = (_kept(plain, before), _kept(crossed, after), _kept(seen, after))
    return dict(zip(_THRESHOLDS, results, strict=True)), found is not None


def _kept(labels: Answered, truth: Answered) -> tuple[bool, float] | None:
    """Whether the threshold set on labels breaks its promise among all photos, and the share of all that it finds."""
    result = precision_threshold(*labels, precision=PRECISION, confidence=CONFIDENCE)
    if not isinstance(result, Kept):
        return None
    flagged = truth[0] >= result.threshold
    return bool(truth[1][flagged].mean() < PRECISION), float((flagged & truth[1]).mean())


if __name__ == "__main__":
    raise SystemExit(main())
