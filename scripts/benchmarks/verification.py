"""Measure point-by-point verification: what it adds to similarity, its cost, false finds, mirrored copies, and kinds.

What it adds: each query's nearest references are compared, and answered by similarity alone, by the points that agree
alone (on the same candidates), and by both, as the default policy fuses them, within its reach; it was fitted on other
pictures (set_default_policy.py). The cost is that of a scan of storefront views and clothing photos with the default
policy, beside the same scan without comparing.

Unrelated are 500 clothing photos, each against its nearest storefront photos by the embedded encoder, and a sample of
them against all; mirrored are storefront photos edited, and the same mirrored; kinds are asked on the rendered test
split, where of a product's genuine photos the one with most agreeing points answers, and for goods of other brands of
the five nearest. A pair without verification counts as `lookalike`. Thresholds are the module's own, set on rendered
training and validation photos.
"""

from __future__ import annotations

import argparse
import io
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from rich.console import Console
from rich.table import Table

from lookalike.detection.detector import Detector
from lookalike.errors import TableError
from lookalike.index.build import build_index
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.encoder import Encoder, load_encoder
from lookalike.model.features import LocalFeatures, local_features, reference_features
from lookalike.model.local import verify
from lookalike.policy.policy import Policy, Reach, default_policy
from lookalike.records import Match, Verification
from lookalike.scripts.benchmarks import storefront_tables
from lookalike.scripts.benchmarks.sets import BenchmarkSet, add_market, compared, market_set, storefront_sets
from lookalike.scripts.training.edits import EDITS, edit
from lookalike.tables.inputs import read_listings, read_references
from lookalike.thresholds.labels import LabelledMatches, within
from lookalike.thresholds.metrics import Retrieval, evaluate_retrieval

KINDS = ("copied_photo", "same_print", "lookalike")
_METRICS = ("recall_at_1", "micro_average_precision", "recall_at_precision_90")
_ROUNDS = 3
_UNMIRRORED = [name for name in EDITS if name != "mirror"]


@dataclass(frozen=True)
class Gallery:
    """Genuine photos and their features."""

    images: Sequence[Image.Image]
    features: Sequence[LocalFeatures]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of storefront/ and clothing/")
    parser.add_argument("--market", type=Path, required=True, help="a rendered test split")
    parser.add_argument("--photos", type=int, default=500, help="clothing photos to use (default 500)")
    parser.add_argument("--nearest", type=int, default=5, help="references each of them is verified with (default 5)")
    parser.add_argument("--thorough", type=int, default=20, help="of them against all references (default 20)")
    parser.add_argument("--copies", type=int, default=234, help="storefront photos to mirror (default 234)")
    parser.add_argument("--every", type=int, default=1, help="ask only every so many-th rendered query (default 1)")
    arguments = parser.parse_args(argv)
    console = Console(highlight=False, width=140)
    copies, views = storefront_sets(arguments.data)
    encoder = load_encoder("embedded", device="cpu")
    policy = default_policy(encoder.spec.weights_sha256)
    if policy is None or policy.fusion is None:
        raise TableError("no policy with a fusion ships for the embedded encoder; set one with set_default_policy.py")
    for pictures in (copies, market_set(arguments.market, arguments.data)):
        console.print(fused_table(pictures, encoder, policy))
    console.print(cost_table(arguments.data, encoder, policy))
    storefront = Gallery(views.references, [reference_features(image) for image in views.references])
    strangers = [views.queries[i] for i in range(len(views.queries)) if not views.shown[i]][: arguments.photos]
    console.print(speed_table(storefront, strangers[:50]))
    console.print(unrelated_table(storefront, strangers, nearest=arguments.nearest, thorough=arguments.thorough))
    console.print(mirror_table(storefront, arguments.copies))
    rendered = BenchmarkSet("rendered")
    add_market(rendered, arguments.market, split="test")
    console.print(kind_table(rendered, arguments.every))
    return 0


def fused_table(pictures: BenchmarkSet, encoder: Encoder, policy: Policy) -> Table:
    """R@1, µAP and recall at 90 % precision of the three ways to answer, by stratum."""
    photos = [within(photo, policy.reach) for photo in compared(pictures, encoder, references=policy.reach.references)]
    answers = {
        "similarity": [photo.answer(None) for photo in photos],
        "points": [max(photo.matches, key=_by_points) for photo in photos],
        "fused": [photo.answer(policy.fusion) for photo in photos],
    }
    ways = list(answers)
    metrics = [f"{metric}\n{way}" for metric in ("R@1", "µAP", "R@P90") for way in ways]
    table = _table(
        f"{pictures.name}: similarity, points that agree, and both fused", "", "queries", *metrics, "misses\nleft"
    )
    related = np.array([bool(shown) for shown in pictures.shown], bool)
    names = sorted(
        {name for strata, shown in zip(pictures.strata, pictures.shown, strict=True) if shown for name in strata}
    )
    for stratum in ("all", *names):
        rows = ~related | np.array([stratum == "all" or stratum in strata for strata in pictures.strata])
        if (rows & related).any():
            found = [_measured(photos, answers[way], related, rows, by_points=way == "points") for way in ways]
            cells = [f"{value:.3f}" for name in _METRICS for value in (getattr(each, name) for each in found)]
            missed = [1 - each.recall_at_precision_90 for each in (found[0], found[-1])]
            left = f"{missed[1] / missed[0]:.2f}" if missed[0] else ""
            table.add_row(stratum, str(int((rows & related).sum())), *cells, left)
    near = np.mean(
        [photo.matches[0].verification is not None for photo, has in zip(photos, related, strict=True) if not has]
    )
    table.caption = f"{(~related).sum()} unrelated photos beside each, of which {near:.1%} are in reach and compared"
    return table


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
    # of equal points the more similar comes first
    strength = np.array([sum(_by_points(match)) if by_points else match.strength for match in answers])
    right = np.array([photo.is_right(match) for photo, match in zip(photos, answers, strict=True)], bool)
    return evaluate_retrieval(strength[rows], right[rows], related=related[rows])


def cost_table(data: Path, encoder: Encoder, policy: Policy) -> Table:
    """Seconds of a scan from files with the default policy and without comparing, alternating."""
    with TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        storefront_tables.main([str(data), folder])
        listings = list(read_listings(Path(folder, "listings.parquet")))
        build_index(read_references(Path(folder, "references.csv")), index=Path(folder, "index"), encoder=encoder)
        index = ReferenceIndex.load(Path(folder, "index"))
    without = replace(policy, fusion=None, reach=Reach(references=0))
    seconds: dict[str, list[float]] = {"without": [], "with": []}
    compared_photos = 0
    for _ in range(_ROUNDS):
        for name, used in (("without", without), ("with", policy)):
            start = time.perf_counter()
            found = Detector(encoder, index, used, PhotoReader()).check_many(listings)
            seconds[name].append(time.perf_counter() - start)
            compared_photos = sum(any(match.verification for match in finding.matches) for finding in found)
    table = _table("cost of comparing, storefront views and clothing photos", "", "median", "least", "most")
    for name, values in seconds.items():
        table.add_row(
            f"seconds {name} comparing", *(f"{value:.1f}" for value in (np.median(values), min(values), max(values)))
        )
    shares = [1 - a / b for a, b in zip(seconds["without"], seconds["with"], strict=True)]
    table.add_row(
        "share of a scan's time", *(f"{value:.1%}" for value in (np.median(shares), min(shares), max(shares)))
    )
    table.caption = (
        f"{len(listings):,} listings, of which {compared_photos / len(listings):.1%} were in reach and compared"
    )
    return table


def speed_table(gallery: Gallery, photos: Sequence[Image.Image]) -> Table:
    """Milliseconds of processor time, and bytes."""
    start = time.process_time()
    listings = [local_features(photo) for photo in photos]
    per_photo = (time.process_time() - start) / len(photos)
    count = len(gallery.features)
    pairs = [(gallery.features[(7 * i + j) % count], listing) for i, listing in enumerate(listings) for j in range(5)]
    start = time.process_time()
    for reference, listing in pairs:
        verify(reference, listing)
    per_pair = (time.process_time() - start) / len(pairs)
    same = [(gallery.features[i], local_features(gallery.images[i])) for i in range(min(100, count))]
    start = time.process_time()
    for reference, listing in same:
        verify(reference, listing)
    per_hit = (time.process_time() - start) / len(same)
    sizes = [len(features.to_bytes()) for features in gallery.features]
    table = _table("speed and size", "", "mean")
    table.add_row("ms for the features of a photo", f"{1000 * per_photo:.1f}")
    table.add_row("ms to verify an unrelated pair", f"{1000 * per_pair:.1f}")
    table.add_row("ms to verify a photo with itself, kind included", f"{1000 * per_hit:.1f}")
    table.add_row("bytes stored per reference", f"{np.mean(sizes):,.0f}")
    table.add_row("features per reference", f"{np.mean([len(each) for each in gallery.features]):.0f}")
    return table


def unrelated_table(gallery: Gallery, photos: Sequence[Image.Image], *, nearest: int, thorough: int) -> Table:
    """How many pairs that have nothing to do with each other are verified all the same."""
    encoder = load_encoder("embedded", device="cpu")
    similar = _vectors(encoder, photos) @ _vectors(encoder, gallery.images).T
    listings = [local_features(photo) for photo in photos]
    table = _table("unrelated clothing photos", "against", "pairs", "pass", "share", "photos that pass", "by kind")
    near = [(i, int(j)) for i, row in enumerate(similar) for j in np.argsort(-row)[:nearest]]
    every = [(i, j) for i in range(min(thorough, len(photos))) for j in range(len(gallery.features))]
    for name, pairs in ((f"their {nearest} nearest", near), (f"all, {thorough} photos", every)):
        passed = [(i, found) for i, j in pairs if (found := verify(gallery.features[j], listings[i])) is not None]
        kinds = Counter(found.kind for _, found in passed)
        told = ", ".join(f"{kind} {count}" for kind, count in kinds.items())
        share = f"{len(passed) / len(pairs):.3%}"
        table.add_row(name, f"{len(pairs):,}", str(len(passed)), share, str(len({i for i, _ in passed})), told)
    return table


def mirror_table(gallery: Gallery, copies: int) -> Table:
    """Copies of storefront photos, each with one edit in turn: found unmirrored, and mirrored."""
    rng = np.random.default_rng(5)
    others = [np.asarray(image) for image in gallery.images[:20]]
    straight, turned = Counter[str](), Counter[str]()
    chosen = np.linspace(0, len(gallery.images) - 1, min(copies, len(gallery.images))).astype(int)
    for number, i in enumerate(chosen):
        name = _UNMIRRORED[number % len(_UNMIRRORED)]
        copy = Image.fromarray(edit(np.asarray(gallery.images[i]), [name], rng, others=others))
        for counted, listing in ((straight, copy), (turned, ImageOps.mirror(copy))):
            found = verify(gallery.features[i], local_features(listing))
            counted["found"] += found is not None
            counted["said mirrored"] += found is not None and found.mirrored
            counted["copied_photo"] += found is not None and found.kind == "copied_photo"
    table = _table("copies of storefront photos", "", "copies", "found", "said mirrored", "copied_photo")
    for name, counted in (("unmirrored", straight), ("mirrored", turned)):
        cells = [f"{counted[key] / len(chosen):.3f}" for key in ("found", "said mirrored", "copied_photo")]
        table.add_row(name, str(len(chosen)), *cells)
    return table


def kind_table(rendered: BenchmarkSet, every: int) -> Table:
    """What kind each sort of query is told to be, and how often "copied_photo" is right."""
    features = [reference_features(image) for image in rendered.references]
    encoder = load_encoder("embedded", device="cpu")
    asked = range(0, len(rendered.queries), every)
    similar = _vectors(encoder, [rendered.queries[i] for i in asked]) @ _vectors(encoder, rendered.references).T
    told: dict[str, Counter[str]] = {}
    copied = Counter[bool]()
    for i, row in zip(asked, similar, strict=True):
        listing = local_features(rendered.queries[i])
        same = [j for j, product in enumerate(rendered.products) if product == rendered.shown[i]]
        ours = [features[j] for j in same or np.argsort(-row)[:5]]
        kind = _told(verify(reference, listing) for reference in ours)
        for stratum in rendered.strata[i]:
            told.setdefault(stratum, Counter())[kind] += 1
        if kind == "copied_photo":
            copied[rendered.strata[i][0] == "edited"] += 1
    table = _table("kinds on the rendered test split", "queries", "number", *KINDS, "of these not verified")
    for stratum in sorted(told):
        count = told[stratum]
        cells = [str(count["copied_photo"]), str(count["same_print"]), str(count["lookalike"] + count["none"])]
        table.add_row(stratum, str(sum(count.values())), *cells, str(count["none"]))
    table.caption = (
        f"copied_photo: {sum(copied.values())} told, precision {copied[True] / max(1, sum(copied.values())):.3f}"
    )
    return table


def _told(found: Iterable[Verification | None]) -> str:
    best = max((each for each in found if each is not None), key=lambda each: each.inliers, default=None)
    return best.kind if best is not None else "none"


def _vectors(encoder: Encoder, images: Sequence[Image.Image]) -> NDArray[np.float32]:
    return np.concatenate([encoder.encode(images[at : at + 32]) for at in range(0, len(images), 32)])


def _table(title: str, *columns: str) -> Table:
    table = Table(*columns, box=None, title=f"\n{title}", title_justify="left", caption_justify="left", pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    return table


if __name__ == "__main__":
    raise SystemExit(main())
