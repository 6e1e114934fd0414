"""Measure the embedded encoder, perceptual hashes, a hand-made grid and CLIP models on three test sets.

DATA holds storefront/ and clothing/; --market is a folder that scripts/marketplace/render.py --split test wrote. For
every stratum of each set (edit, view, step of imitation, variant) it prints R@1, R@5, µAP, recall at 90 % precision
and FNIR at FPIR 1 % over the stratum's queries and the set's unrelated ones, with 95 % bootstrap intervals by product.
It also prints how similar imitations are to what they imitate, step by step. --card FILE puts the same tables between
the marks in a model card.

Needs the packages of the `benchmark` extra.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import TableError
from lookalike.scripts.benchmarks.baselines import Describe, describers
from lookalike.scripts.benchmarks.harness import one_line_errors
from lookalike.scripts.benchmarks.sets import BenchmarkSet, described, market_set, storefront_sets
from lookalike.scripts.timing import show_table
from lookalike.thresholds.metrics import Retrieval, bootstrap_retrieval, evaluate_retrieval

METRICS = {
    "R@1": "recall_at_1",
    "µAP": "micro_average_precision",
    "recall at 90 % precision": "recall_at_precision_90",
    "FNIR at FPIR 1 %": "fnir_at_fpir_1",
}
COLUMNS = ("related", "unrelated", "R@1", "R@5", *list(METRICS)[1:])
MARKS = re.compile(r"(<!-- figures -->\n).*?(<!-- end of figures -->)", re.DOTALL)


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder that holds storefront/ and clothing/")
    parser.add_argument("--market", type=Path, help="folder of the rendered marketplace's test split")
    parser.add_argument("--model", action="append", default=[], help="another preset, or ARCHITECTURE/TAG of open_clip")
    parser.add_argument(
        "--weights", action="append", default=[], help="other weights from a file, as ARCHITECTURE=FILE"
    )
    parser.add_argument("--card", type=Path, help="the model card to put the figures into")
    parser.add_argument("--rounds", type=int, default=200, help="bootstrap rounds (default 200)")
    arguments = parser.parse_args(argv)
    # measuring takes minutes, so a card without the marks is refused first
    if arguments.card and not (arguments.card.is_file() and MARKS.search(arguments.card.read_text(encoding="utf-8"))):
        raise TableError(
            f"{arguments.card} has no place for the figures; give a file with the lines <!-- figures --> and "
            "<!-- end of figures -->"
        )
    sets = list(storefront_sets(arguments.data))
    if arguments.market:
        sets.append(market_set(arguments.market, arguments.data))
    tables = list(measure(sets, describers(arguments.model, arguments.weights), rounds=arguments.rounds))
    for table in tables:
        show_table(table.columns, table.rows, title=table.title, width=150)
    if arguments.card:
        text = "\n".join(table.markdown() for table in tables)
        card = arguments.card.read_text(encoding="utf-8")
        arguments.card.write_text(MARKS.sub(lambda m: f"{m[1]}\n{text}\n{m[2]}", card), encoding="utf-8")
    return 0


@dataclass(frozen=True)
class FigureTable:
    """A table of figures, to print or to keep in a card."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def markdown(self) -> str:
        """The table in Markdown, under its title."""
        lines = [self.columns, ("---",) * len(self.columns), *self.rows]
        return f"**{self.title}**\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def measure(sets: list[BenchmarkSet], methods: dict[str, Describe], *, rounds: int) -> Iterator[FigureTable]:
    """The figures of every set: all methods side by side, the first and its look by stratum, imitations by step."""
    for each in sets:
        answers = {name: Answers.of(each, describe) for name, describe in methods.items()}
        title = f"{each.name}: {len(each.references)} references of {len(set(each.products))} products"
        yield _overview(title, answers, rounds)
        for name in _ours(answers):
            yield _by_stratum(f"{each.name}, {name} by stratum", answers[name], rounds)
        if any(stratum.startswith("imitation, step") for names in each.strata for stratum in names):
            yield _curve(answers)


@dataclass(frozen=True)
class Answers:
    """What one method answered to n queries: the similarity of the nearest product, and of the right one."""

    similarity: NDArray[np.float32]
    correct: NDArray[np.bool_]
    among_five: NDArray[np.bool_]
    to_right: NDArray[np.float32]
    shown: NDArray[np.str_]
    strata: list[tuple[str, ...]]

    @classmethod
    def of(cls, each: BenchmarkSet, describe: Describe) -> Answers:
        """Describe references and queries, and look every query up."""
        references, queries = described(each.references, describe), described(each.queries, describe)
        similarity = queries @ references.T
        products, shown = np.array(each.products), np.array(each.shown)
        best = similarity.argmax(axis=1)
        right = np.where(products[None] == shown[:, None], similarity, -1.0).max(axis=1)
        nearest = np.stack([similarity[:, products == name].max(axis=1) for name in dict.fromkeys(products.tolist())])
        among_five = (nearest > right).sum(axis=0) < 5
        return cls(similarity.max(axis=1), products[best] == shown, among_five, right, shown, each.strata)

    def names(self) -> list[str]:
        """The strata of related queries, each coarse one followed by its finer ones."""
        return sorted({name for names, shown in zip(self.strata, self.shown, strict=True) if shown for name in names})

    def select(self, stratum: str | None) -> NDArray[np.bool_]:
        """Which queries are in this stratum (None for any) or unrelated."""
        return np.array([not shown or stratum is None or stratum in names
                         for names, shown in zip(self.strata, self.shown, strict=True)])  # fmt: skip

    def figures(
        self, stratum: str | None, *, rounds: int, among_five: bool = False
    ) -> tuple[Retrieval, Retrieval, Retrieval]:
        """The metrics of a stratum together with all unrelated queries, and the ends of their 95 % intervals.

        With `among_five`, a query is found if the right product is among the five nearest.
        """
        kept = self.select(stratum)
        similarity, shown = self.similarity[kept], self.shown[kept]
        correct = (self.among_five if among_five else self.correct)[kept]
        related = shown != ""
        groups = np.where(related, shown, [f"?{k}" for k in range(len(shown))])
        low, high = bootstrap_retrieval(similarity, correct, related=related, groups=groups, rounds=rounds)
        return evaluate_retrieval(similarity, correct, related=related), low, high


def _ours(answers: dict[str, Answers]) -> list[str]:
    """The first method, and its look if it has one."""
    first = next(iter(answers))
    return [name for name in (first, f"{first}, look") if name in answers]


def _cells(given: Answers, stratum: str | None, rounds: int) -> tuple[str, ...]:
    figures = given.figures(stratum, rounds=rounds)
    value = figures[0]
    counts = (str(value.positives), str(value.queries - value.positives))
    first, *others = (_cell(figures, name) for name in METRICS.values())
    five = _cell(given.figures(stratum, rounds=rounds, among_five=True), METRICS["R@1"])
    return (*counts, first, five, *others)


def _cell(figures: tuple[Retrieval, Retrieval, Retrieval], name: str) -> str:
    value, low, high = (getattr(each, name) for each in figures)
    return f"{value:.3f} ({low:.2f}–{high:.2f})"


def _overview(title: str, answers: dict[str, Answers], rounds: int) -> FigureTable:
    rows = [(name, *_cells(given, None, rounds)) for name, given in answers.items()]
    return FigureTable(title, ("method", *COLUMNS), rows)


def _by_stratum(title: str, given: Answers, rounds: int) -> FigureTable:
    rows = [(name, *_cells(given, name, rounds)) for name in given.names()]
    return FigureTable(title, ("stratum", *COLUMNS), rows)


def _curve(answers: dict[str, Answers]) -> FigureTable:
    """Mean similarity to the product imitated, step by step, between its other photos and unrelated goods."""
    first, *_ = answers.values()
    strata = [name for name in first.names() if name.startswith("imitation, step")]
    if "other photo" in first.names():
        strata.insert(0, "other photo")
    rows = []
    for method, given in answers.items():
        cells = [f"{given.to_right[given.select(name) & (given.shown != '')].mean():.3f}" for name in strata]
        rows.append((method, *cells, f"{given.similarity[given.shown == ''].mean():.3f}"))
    columns = ("method", *(name.removeprefix("imitation, ") for name in strata), "unrelated, nearest")
    return FigureTable("mean similarity to the product shown or imitated", columns, rows)


if __name__ == "__main__":
    raise SystemExit(main())
