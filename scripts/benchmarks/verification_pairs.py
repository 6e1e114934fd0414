"""What verification says about single pairs: its speed, false finds, mirrored copies, and kinds."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from lookalike.model.encoder import Encoder
from lookalike.model.features import LocalFeatures, local_features, reference_features
from lookalike.model.local import verify
from lookalike.records import Verification
from lookalike.scripts.benchmarks.sets import BenchmarkSet, described, similarity_of
from lookalike.scripts.timing import show_table
from lookalike.scripts.training.edits import EDITS, edit

KINDS = ("copied_photo", "same_print", "lookalike")
_UNMIRRORED = [name for name in EDITS if name != "mirror"]


@dataclass(frozen=True)
class Gallery:
    """Genuine photos and their features."""

    images: Sequence[Image.Image]
    features: Sequence[LocalFeatures]


def show_speed(gallery: Gallery, photos: Sequence[Image.Image]) -> None:
    """Milliseconds of processor time, and bytes."""
    start = time.process_time()
    listings = [local_features(photo) for photo in photos]
    per_photo = (time.process_time() - start) / len(photos)
    count = len(gallery.features)
    pairs = [(gallery.features[(7 * i + j) % count], listing) for i, listing in enumerate(listings) for j in range(5)]
    same = [(gallery.features[i], local_features(gallery.images[i])) for i in range(min(100, count))]
    sizes = [len(features.to_bytes()) for features in gallery.features]
    show_table(
        ("", "mean"),
        [
            ("ms for the features of a photo", f"{1000 * per_photo:.1f}"),
            ("ms to verify an unrelated pair", f"{1000 * _seconds_a_pair(pairs):.1f}"),
            ("ms to verify a photo with itself, kind included", f"{1000 * _seconds_a_pair(same):.1f}"),
            ("bytes stored per reference", f"{np.mean(sizes):,.0f}"),
            ("features per reference", f"{np.mean([len(each) for each in gallery.features]):.0f}"),
        ],
        title="speed and size",
    )


def _seconds_a_pair(pairs: Sequence[tuple[LocalFeatures, LocalFeatures]]) -> float:
    start = time.process_time()
    for reference, listing in pairs:
        verify(reference, listing)
    return (time.process_time() - start) / len(pairs)


def show_unrelated(
    gallery: Gallery, photos: Sequence[Image.Image], encoder: Encoder, *, nearest: int, thorough: int
) -> None:
    """How many pairs that have nothing to do with each other pass verification."""
    similar = described(photos, similarity_of(encoder)) @ described(gallery.images, similarity_of(encoder)).T
    listings = [local_features(photo) for photo in photos]
    near = [(i, int(j)) for i, row in enumerate(similar) for j in np.argsort(-row)[:nearest]]
    every = [(i, j) for i in range(min(thorough, len(photos))) for j in range(len(gallery.features))]
    lines = []
    for name, pairs in ((f"their {nearest} nearest", near), (f"all, {thorough} photos", every)):
        passed = [(i, found) for i, j in pairs if (found := verify(gallery.features[j], listings[i])) is not None]
        kinds = Counter(found.kind for _, found in passed)
        said = ", ".join(f"{kind} {count}" for kind, count in kinds.items())
        share = f"{len(passed) / len(pairs):.3%}"
        lines.append((name, f"{len(pairs):,}", len(passed), share, len({i for i, _ in passed}), said))
    show_table(
        ("against", "pairs", "pass", "share", "photos that pass", "by kind"), lines,
        title="unrelated clothing photos",
    )  # fmt: skip


def show_mirrored(gallery: Gallery, copies: int) -> None:
    """Copies of storefront photos with one edit each, in turn: how many are found, unmirrored and mirrored."""
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
            counted["mirrored"] += found is not None and found.mirrored
            counted["copied_photo"] += found is not None and found.kind == "copied_photo"
    show_table(
        ("", "copies", "found", "reported as mirrored", "copied_photo"),
        [
            (name, len(chosen), *(f"{counted[key] / len(chosen):.3f}" for key in ("found", "mirrored", "copied_photo")))
            for name, counted in (("unmirrored", straight), ("mirrored", turned))
        ],
        title="copies of storefront photos",
    )


def show_kinds(rendered: BenchmarkSet, encoder: Encoder, *, every: int) -> None:
    """The kinds that each sort of query gets, and how often "copied_photo" is right."""
    features = [reference_features(image) for image in rendered.references]
    asked = range(0, len(rendered.queries), every)
    queries = described([rendered.queries[i] for i in asked], similarity_of(encoder))
    similar = queries @ described(rendered.references, similarity_of(encoder)).T
    kinds: dict[str, Counter[str]] = {}
    copied = Counter[bool]()
    for i, row in zip(asked, similar, strict=True):
        listing = local_features(rendered.queries[i])
        same = [j for j, product in enumerate(rendered.products) if product == rendered.shown[i]]
        ours = [features[j] for j in same or np.argsort(-row)[:5]]
        kind = _kind_of(verify(reference, listing) for reference in ours)
        for stratum in rendered.strata[i]:
            kinds.setdefault(stratum, Counter())[kind] += 1
        if kind == "copied_photo":
            copied[rendered.strata[i][0] == "edited"] += 1
    show_table(
        ("queries", "number", *KINDS, "of these not verified"),
        [
            (stratum, count.total(), count["copied_photo"], count["same_print"], count["lookalike"] + count["none"],
             count["none"])
            for stratum, count in sorted(kinds.items())
        ],
        title="kinds on the rendered test split",
        caption=f"copied_photo: {copied.total()} queries, precision {copied[True] / max(1, copied.total()):.3f}",
    )  # fmt: skip


def _kind_of(found: Iterable[Verification | None]) -> str:
    best = max((each for each in found if each is not None), key=lambda each: each.inliers, default=None)
    return best.kind if best is not None else "none"
