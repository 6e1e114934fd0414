"""Measure point-by-point verification: what it adds to similarity, its cost, false finds, mirrored copies, and kinds.

What it adds: each query is compared point by point with its nearest references, and answered in three ways on the same
candidates: by similarity alone, by the points that agree alone, and by both, as the default policy fuses them within
its reach. The policy was fitted on other pictures (scripts/training/set_default_policy.py). The cost is that of a scan
of storefront views and clothing photos with the default policy, beside the same scan without comparing.

Unrelated pairs are clothing photos with their nearest storefront photos by the embedded encoder, and some of them with
all storefront photos. Mirrored copies are edited storefront photos, each also mirrored. Kinds are those of the rendered
test split: of a product's genuine photos, the one with the most agreeing points answers; for other brands' goods, the
best of the five nearest. A pair without verification counts as `lookalike`. The thresholds of verification are its own,
set on rendered training and validation photos.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from lookalike.detection.detector import Detector
from lookalike.detection.lookup import Lookup
from lookalike.errors import TableError
from lookalike.index.build import build_index
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.encoder import Encoder
from lookalike.model.features import reference_features
from lookalike.model.loading import load_encoder
from lookalike.policy.policy import Policy
from lookalike.policy.shipped import default_policy
from lookalike.policy.terms import Reach
from lookalike.records import Match
from lookalike.scripts.benchmarks import storefront_tables
from lookalike.scripts.benchmarks.harness import one_line_errors
from lookalike.scripts.benchmarks.sets import BenchmarkSet, add_market, compared, market_set, storefront_sets
from lookalike.scripts.benchmarks.verification_pairs import (
    Gallery,
    show_kinds,
    show_mirrored,
    show_speed,
    show_unrelated,
)
from lookalike.scripts.timing import Spread, in_turns, seconds_of, show_table
from lookalike.tables.inputs import read_listings, read_references
from lookalike.thresholds.fusing import within
from lookalike.thresholds.labels import LabelledMatches
from lookalike.thresholds.metrics import Retrieval, evaluate_retrieval

_METRICS = {
    "R@1": "recall_at_1",
    "µAP": "micro_average_precision",
    "R@P90": "recall_at_precision_90",
}
_ROUNDS = 3


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that holds storefront/ and clothing/")
    parser.add_argument("--market", type=Path, required=True, help="a rendered test split")
    parser.add_argument("--photos", type=int, default=500, help="clothing photos to use (default 500)")
    parser.add_argument("--nearest", type=int, default=5, help="references to verify each of them with (default 5)")
    parser.add_argument("--thorough", type=int, default=20, help="of them with all references (default 20)")
    parser.add_argument("--copies", type=int, default=234, help="storefront photos to mirror (default 234)")
    parser.add_argument("--every", type=int, default=1, help="use every n-th rendered query (default 1)")
    arguments = parser.parse_args(argv)
    copies, views = storefront_sets(arguments.data)
    encoder = load_encoder("embedded", device="cpu")
    policy = default_policy(encoder.spec.weights_sha256)
    if policy is None or policy.fusion is None:
        raise TableError(
            "no policy with a fusion ships for the embedded encoder; set one with "
            "scripts/training/set_default_policy.py"
        )
    for pictures in (copies, market_set(arguments.market, arguments.data)):
        show_fused(pictures, encoder, policy)
    show_cost(arguments.data, encoder, policy)
    storefront = Gallery(views.references, [reference_features(image) for image in views.references])
    strangers = [views.queries[i] for i in range(len(views.queries)) if not views.shown[i]][: arguments.photos]
    show_speed(storefront, strangers[:50])
    show_unrelated(storefront, strangers, encoder, nearest=arguments.nearest, thorough=arguments.thorough)
    show_mirrored(storefront, arguments.copies)
    rendered = BenchmarkSet("rendered")
    add_market(rendered, arguments.market, split="test")
    show_kinds(rendered, encoder, every=arguments.every)
    return 0


def show_fused(pictures: BenchmarkSet, encoder: Encoder, policy: Policy) -> None:
    """R@1, µAP and recall at 90 % precision of the three ways to answer, by stratum."""
    photos = [
        within(photo, policy.reach)
        for photo in compared(pictures, encoder, references=policy.reach.references, parts=policy.reach.parts)
    ]
    answers = {
        "similarity": [photo.answer(None) for photo in photos],
        "points": [max(photo.matches, key=_by_points) for photo in photos],
        "fused": [photo.answer(policy.fusion) for photo in photos],
    }
    related = np.array([bool(shown) for shown in pictures.shown], bool)
    names = sorted(
        {name for strata, shown in zip(pictures.strata, pictures.shown, strict=True) if shown for name in strata}
    )
    lines = []
    for stratum in ("all", *names):
        rows = ~related | np.array([stratum == "all" or stratum in strata for strata in pictures.strata])
        if (rows & related).any():
            found = [_measured(photos, way, related, rows, by_points=name == "points") for name, way in answers.items()]
            cells = [f"{getattr(each, metric):.3f}" for metric in _METRICS.values() for each in found]
            alone, *_, fused = (1 - each.recall_at_precision_90 for each in found)
            lines.append((stratum, (rows & related).sum(), *cells, f"{fused / alone:.2f}" if alone else ""))
    near = np.mean(
        [photo.matches[0].verification is not None for photo, has in zip(photos, related, strict=True) if not has]
    )
    show_table(
        ("", "queries", *(f"{metric}\n{way}" for metric in _METRICS for way in answers), "misses\nleft"),
        lines,
        title=f"{pictures.name}: similarity, points that agree, and both fused",
        caption=f"{(~related).sum()} unrelated photos beside each, of which {near:.1%} are in reach and compared",
        width=140,
    )


def _by_points(match: Match) -> tuple[int, float]:
    return (match.verification.inliers if match.verification else 0), match.similarity


def _measured(
    photos: Sequence[LabelledMatches],
    answers: Sequence[Match],
    related: NDArray[np.bool_],
    rows: NDArray[np.bool_],
    *,
    by_points: bool,
) -> Retrieval:
    # with equally many points, the more similar comes first
    strength = np.array([sum(_by_points(match)) if by_points else match.strength for match in answers])
    right = np.array([photo.is_right(match) for photo, match in zip(photos, answers, strict=True)], bool)
    return evaluate_retrieval(strength[rows], right[rows], related=related[rows])


def show_cost(data: Path, encoder: Encoder, policy: Policy) -> None:
    """Seconds of a scan from files with the default policy and without comparing, in turns."""
    with TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        storefront_tables.main([str(data), folder])
        listings = list(read_listings(Path(folder, "listings.parquet")))
        build_index(read_references(Path(folder, "references.csv")), index=Path(folder, "index"), encoder=encoder)
        lookup = Lookup(encoder, ReferenceIndex.load(Path(folder, "index")), PhotoReader())
    policies = {"without": replace(policy, fusion=None, reach=Reach(references=0)), "with": policy}
    compared_photos: dict[str, int] = {}

    def scan(name: str) -> float:
        def check() -> None:
            found = Detector(lookup, policies[name]).check_many(listings)
            compared_photos[name] = sum(any(match.verification for match in finding.matches) for finding in found)

        return seconds_of(check)

    seconds = in_turns({name: name for name in policies}, rounds=_ROUNDS, measure=scan)
    shares = Spread.of(1 - a / b for a, b in zip(seconds["without"], seconds["with"], strict=True))
    show_table(
        ("", "median", "least", "most"),
        [
            *((f"seconds {name} comparing", *Spread.of(each).cells()) for name, each in seconds.items()),
            ("share of a scan's time", *shares.cells(".1%")),
        ],
        title="cost of comparing, storefront views and clothing photos",
        caption=f"{len(listings):,} listings, {compared_photos['with'] / len(listings):.1%} of them in reach and "
        "compared",
    )


if __name__ == "__main__":
    raise SystemExit(main())
