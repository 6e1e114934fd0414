"""Measure whether promises are kept, and what normalisation is worth, with the embedded encoder.

Coverage: labelled pairs are drawn many times, a threshold is set on them, and the truth is looked up. The truth is a
simulated distribution of similarities, where it is known, or the pairs of the validation set: held-out photos of DATA
and the rendered marketplace's validation split. Those are drawn with replacement, so that all pairs are the truth, and
split in two halves, of which the second has to keep what the first promised. The naive threshold, where the labelled
pairs themselves have the precision, stands beside the promised one.

Normalisation: chosen on the validation set, and measured on the storefront's edited copies and the rendered test split
with background photos that none of these sets has.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from lookalike.binomial import Share
from lookalike.model.encoder import Encoder, Vectors
from lookalike.model.loading import load_encoder
from lookalike.policy.cohort import Cohort
from lookalike.policy.shipped import default_policy
from lookalike.records import KINDS
from lookalike.scripts.benchmarks.harness import one_line_errors
from lookalike.scripts.benchmarks.sets import (
    BenchmarkSet,
    background_photos,
    compared,
    described,
    market_set,
    similarity_of,
    storefront_sets,
)
from lookalike.scripts.timing import show_table
from lookalike.scripts.training.set_default_policy import validation_set
from lookalike.thresholds.brands import opis
from lookalike.thresholds.guarantees import Kept, false_flag_threshold, precision_threshold
from lookalike.thresholds.metrics import evaluate_retrieval

PRECISION, CONFIDENCE, CAP = 0.9, 0.95, 0.01
METHODS = [("subtract", nearest, share) for nearest in (2, 5, 20, 100) for share in (0.25, 0.5, 0.75, 1.0)]
METHODS += [("s-norm", nearest, 1.0) for nearest in (20, 50, 100, 200)]
LOOKALIKES, LOOKALIKE, OTHER = 0.3, norm(0.8, 0.1), norm(0.55, 0.08)
"""Simulated pairs: the share of look-alikes, and how their similarities and the others' are distributed."""

Sample = tuple[NDArray[np.float64], NDArray[np.bool_]]


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder that holds storefront/, clothing/ and the rest")
    parser.add_argument("--validation", type=Path, required=True, help="folder of the rendered validation split")
    parser.add_argument("--test", type=Path, help="folder of the rendered test split")
    parser.add_argument("--rounds", type=int, default=1000, help="draws of labelled pairs (default 1000)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    encoder = load_encoder("embedded")
    pictures = validation_set(arguments.data, arguments.validation, np.random.default_rng(5))
    known = Vectored.of(pictures, encoder)
    others = list(storefront_sets(arguments.data))[:1]
    if arguments.test:
        others.append(market_set(arguments.test, arguments.data))
    background = described(background_photos(arguments.data), similarity_of(encoder))
    rng = np.random.default_rng(arguments.seed)
    show_coverage({"validation": known.pairs(None), **by_kind(pictures, encoder)}, arguments.rounds, rng)
    show_normalisation(known, [Vectored.of(each, encoder) for each in others], background)
    return 0


@dataclass(frozen=True)
class Vectored:
    """A benchmark set as vectors, float32: references (n, dim) and queries (m, dim), with the products they show."""

    name: str
    references: Vectors
    queries: Vectors
    products: NDArray[np.str_]
    shown: NDArray[np.str_]

    @classmethod
    def of(cls, each: BenchmarkSet, encoder: Encoder) -> Vectored:
        """Encode the set's pictures."""
        references, queries = (described(images, similarity_of(encoder)) for images in (each.references, each.queries))
        return cls(each.name, references, queries, np.array(each.products), np.array(each.shown))

    def pairs(self, cohort: Cohort | None) -> Sample:
        """Each query's similarity to its nearest reference (m,), normalised, and whether that is the product shown."""
        similarity = self.queries @ self.references.T
        best = similarity.argmax(axis=1)
        strongest = similarity[np.arange(len(best)), best]
        if cohort is not None:
            levels = cohort.level(self.references)
            strongest = cohort.normalise(strongest, cohort.level(self.queries), levels.of(best))
        return strongest.astype(float), self.nearest == self.shown

    @property
    def nearest(self) -> NDArray[np.str_]:
        """The product of each query's nearest reference (m,)."""
        nearest: NDArray[np.str_] = self.products[(self.queries @ self.references.T).argmax(axis=1)]
        return nearest

    @property
    def related(self) -> NDArray[np.bool_]:
        """Which queries have a right product (m,)."""
        return np.asarray(self.shown != "")


def by_kind(pictures: BenchmarkSet, encoder: Encoder) -> dict[str, Sample]:
    """The answers of the shipped policy's fusion to these pictures, apart by kind of likeness.

    The fusion was fitted to such pictures. That is no part of a promise, which is one about thresholds.
    """
    policy = default_policy(encoder.spec.weights_sha256)
    fusion = None if policy is None else policy.fusion
    photos = compared(pictures, encoder)
    answers = [(photo.answer(fusion), photo) for photo in photos]
    found = {}
    for kind in KINDS:
        own = [(match.strength, photo.is_right(match)) for match, photo in answers if match.kind == kind]
        strength, right = zip(*own, strict=True) if own else ((), ())
        found[f"validation, {kind}"] = np.array(strength, np.float64), np.array(right, np.bool_)
    return found


def show_coverage(samples: Mapping[str, Sample], rounds: int, rng: np.random.Generator) -> None:
    """How often each promise is broken over many draws, and how much it finds, simulated and of these samples."""
    print(
        f"Promised with {CONFIDENCE:.0%} confidence: precision {PRECISION}, or at most {CAP:.0%} of unrelated listings "
        f"flagged; {rounds:,} draws each, of which at most {1 - CONFIDENCE:.0%} may break the promise"
    )
    rows: list[tuple[object, ...]] = []
    worlds = [("simulated", count, _simulated(count, rounds, rng)) for count in (500, 100)]
    for name, pairs in samples.items():
        if 0 < pairs[1].sum() < len(pairs[1]):  # otherwise there is nothing to promise, or nothing to break it
            half = len(pairs[0]) // 2
            worlds += [(f"{name}, drawn again", count, _drawn(pairs, count, rounds, rng)) for count in {half, 200}]
            worlds.append((f"{name}, other half", half, _halves(pairs, rounds, rng)))
    for truth, count, draws in worlds:
        tallies = {"promise": Tally(), "naive": Tally(), "false-flag cap": Tally(), "naive cap": Tally()}
        for sample, world in draws:
            tallies["promise"].precision(_promised(sample), world)
            tallies["naive"].precision(_naive(sample), world)
            tallies["false-flag cap"].cap(_capped(sample), world)
            tallies["naive cap"].cap(_naive_cap(sample), world)
        for name, tally in tallies.items():
            rows.append((truth, count, name, *tally.cells()))
    show_table(("truth", "labels", "threshold by", "broken (95 % interval)", "recall", "none possible"), rows)


@dataclass(frozen=True)
class World:
    """The truth: precision, recall and the share of unrelated listings flagged, at a threshold."""

    precision: Callable[[float], float]
    recall: Callable[[float], float]
    false_flags: Callable[[float], float]


@dataclass
class Tally:
    """Counts draws: how many promises were broken, and how much was found."""

    draws: int = 0
    broken: int = 0
    none: int = 0
    found: float = 0.0

    def precision(self, threshold: float | None, world: World) -> None:
        """Count a threshold that promises precision."""
        self._count(threshold, world, lambda t: world.precision(t) < PRECISION)

    def cap(self, threshold: float | None, world: World) -> None:
        """Count a threshold that promises few false flags."""
        self._count(threshold, world, lambda t: world.false_flags(t) > CAP)

    def _count(self, threshold: float | None, world: World, broken: Callable[[float], bool]) -> None:
        self.draws += 1
        if threshold is None:
            self.none += 1
        else:
            self.broken += broken(threshold)
            self.found += world.recall(threshold)

    def cells(self) -> tuple[str, str, str]:
        """The share broken with its exact interval, mean recall (0 without a promise), the share without a promise."""
        share = Share.of(self.broken, self.draws)
        broken = f"{share.value:.1%} ({share.low:.1%}–{share.high:.1%})"
        return broken, f"{self.found / self.draws:.3f}", f"{self.none / self.draws:.1%}"


def _promised(sample: Sample) -> float | None:
    kept = precision_threshold(*sample, precision=PRECISION, confidence=CONFIDENCE)
    return kept.threshold if isinstance(kept, Kept) else None


def _capped(sample: Sample) -> float | None:
    kept = false_flag_threshold(sample[0][~sample[1]], share=CAP, confidence=CONFIDENCE)
    return kept.threshold if isinstance(kept, Kept) else None


def _naive(sample: Sample) -> float | None:
    similarity, right = sample
    order = np.argsort(-similarity, kind="stable")
    enough = np.flatnonzero(np.cumsum(right[order]) / np.arange(1, len(order) + 1) >= PRECISION)
    return float(similarity[order][enough[-1]]) if len(enough) else None


def _naive_cap(sample: Sample) -> float | None:
    wrong = sample[0][~sample[1]]
    return float(np.quantile(wrong, 1 - CAP)) if len(wrong) else None


def _simulated(count: int, rounds: int, rng: np.random.Generator) -> Iterator[tuple[Sample, World]]:
    def precision(threshold: float) -> float:
        right, wrong = LOOKALIKES * LOOKALIKE.sf(threshold), (1 - LOOKALIKES) * OTHER.sf(threshold)
        return float(right / (right + wrong))

    world = World(precision, lambda t: float(LOOKALIKE.sf(t)), lambda t: float(OTHER.sf(t)))
    for _ in range(rounds):
        right = rng.random(count) < LOOKALIKES
        yield (
            (np.where(right, LOOKALIKE.rvs(count, random_state=rng), OTHER.rvs(count, random_state=rng)), right),
            world,
        )


def _drawn(pairs: Sample, count: int, rounds: int, rng: np.random.Generator) -> Iterator[tuple[Sample, World]]:
    world = _world(pairs)
    for _ in range(rounds):
        rows = rng.integers(len(pairs[0]), size=count)
        yield (pairs[0][rows], pairs[1][rows]), world


def _halves(pairs: Sample, rounds: int, rng: np.random.Generator) -> Iterator[tuple[Sample, World]]:
    for _ in range(rounds):
        order = rng.permutation(len(pairs[0]))
        first, second = np.array_split(order, 2)
        yield (pairs[0][first], pairs[1][first]), _world((pairs[0][second], pairs[1][second]))


def _world(pairs: Sample) -> World:
    right, wrong = np.sort(pairs[0][pairs[1]]), np.sort(pairs[0][~pairs[1]])

    def above(values: NDArray[np.float64], threshold: float) -> int:
        return len(values) - int(np.searchsorted(values, threshold, "left"))

    def precision(threshold: float) -> float:
        flagged = above(right, threshold) + above(wrong, threshold)
        return above(right, threshold) / flagged if flagged else 1.0

    return World(
        precision, lambda t: above(right, t) / max(1, len(right)), lambda t: above(wrong, t) / max(1, len(wrong))
    )


def show_normalisation(known: Vectored, others: list[Vectored], background: Vectors) -> None:
    """Recall at 90 % precision and OPIS with and without normalisation, on the set it was chosen on and on others."""
    print(
        f"\nNormalisation with {len(background)} background photos, chosen on the validation set by recall at 90 % "
        "precision; OPIS groups are products"
    )
    cohorts: dict[str, Cohort | None] = {"none": None}
    for method in ("subtract", "s-norm"):
        tried = [Cohort(background, name, nearest, share) for name, nearest, share in METHODS if name == method]
        best = max(tried, key=lambda cohort: _figures(known, cohort)[0])
        cohorts[f"{method}, nearest {best.nearest}" + (f", share {best.share:g}" if method == "subtract" else "")] = (
            best
        )
    rows = []
    for each in (known, *others):
        for name, cohort in cohorts.items():
            recall, average, uneven = _figures(each, cohort)
            rows.append((each.name, name, f"{recall:.3f}", f"{average:.3f}", f"{uneven:.4f}"))
    show_table(("set", "normalisation", "recall at 90 % precision", "µAP", "OPIS"), rows)


def _figures(each: Vectored, cohort: Cohort | None) -> tuple[float, float, float]:
    similarity, right = each.pairs(cohort)
    found = evaluate_retrieval(similarity, right & each.related, related=each.related)
    uneven = opis(similarity, right & each.related, related=each.related, brand=each.nearest, least=2)
    return found.recall_at_precision_90, found.micro_average_precision, uneven.score


if __name__ == "__main__":
    raise SystemExit(main())
