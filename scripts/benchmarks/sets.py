"""Test sets with ground truth: references, and queries with the product that each one shows.

The encoder was trained on none of it: all of `storefront` is held out, clothing photos come from held-out senders, and
the rendered marketplace's test split has brands and label designs of its own.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from lookalike.detection.lookup import Lookup
from lookalike.errors import TableError
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.encoder import Encoder, Vectors
from lookalike.model.features import reference_features
from lookalike.model.images import read_image
from lookalike.policy.terms import Reach
from lookalike.records import Reference
from lookalike.scripts.training.edits import EDITS, edit, random_edits
from lookalike.scripts.training.held_out import is_held_out
from lookalike.thresholds.labels import LabelledMatches

DISTRACTORS, BACKDROPS = 500, 60


@dataclass
class BenchmarkSet:
    """Genuine photos, and queries for them; a query that shows no product (`""`) must be left alone.

    `strata` says what each query is. It may name several strata, coarse before fine: ("edited", "edited: crop").
    """

    name: str
    references: list[Image.Image] = field(default_factory=list)
    products: list[str] = field(default_factory=list)
    queries: list[Image.Image] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    strata: list[tuple[str, ...]] = field(default_factory=list)

    def refer(self, image: Image.Image, product: str) -> None:
        """Add a genuine photo."""
        self.references.append(image)
        self.products.append(product)

    def ask(self, image: Image.Image, product: str, *strata: str) -> None:
        """Add a query."""
        self.queries.append(image)
        self.shown.append(product)
        self.strata.append(strata)


def storefront_sets(data: Path, *, seed: int = 1) -> tuple[BenchmarkSet, BenchmarkSet]:
    """Edited copies of the storefront's main views, and its other views, each set with unrelated clothing photos.

    The first set has two copies of each main view: one with a single edit, all edits in turn, and one with two or three
    edits. Its unrelated photos are edited in the same ways, so that edits don't tell them apart.
    """
    rng = np.random.default_rng([seed, 2**20])  # training draws from small seeds
    copies, views = BenchmarkSet("storefront, edited copies"), BenchmarkSet("storefront, other views")
    strangers = _strangers(data)
    backdrops = [np.asarray(image) for image in strangers[DISTRACTORS:]]

    def edited(image: Image.Image, names: list[str]) -> Image.Image:
        return Image.fromarray(edit(np.asarray(image), names, rng, others=backdrops))

    singles = list(EDITS)
    for row in _rows(data / "storefront" / "products.csv"):
        image, product = read_image(data / "storefront" / row["path"]).image, row["product_id"]
        if row["view"] != "main":
            views.ask(image, product, "other view")
            continue
        copies.refer(image, product)
        views.refer(image, product)
        one, more = singles[len(copies.references) % len(singles)], _stack(rng)
        copies.ask(edited(image, [one]), product, "one edit", f"one edit: {one}")
        copies.ask(edited(image, more), product, "two or three edits")
    for number, image in enumerate(strangers[:DISTRACTORS]):
        names = [singles[number % len(singles)]] if number % 2 else _stack(rng)
        copies.ask(edited(image, names), "", "unrelated")
        views.ask(image, "", "unrelated")
    return copies, views


def market_set(market: Path, data: Path) -> BenchmarkSet:
    """The rendered marketplace's test split, with rivals' products and unrelated clothing photos."""
    found = BenchmarkSet("rendered marketplace")
    add_market(found, market, split="test")
    for image in _strangers(data)[:DISTRACTORS]:
        found.ask(image, "", "unrelated")
    return found


def edited_again(found: BenchmarkSet, data: Path, *, seed: int) -> BenchmarkSet:
    """A set with its queries edited in one to three ways, as sellers pass photos on."""
    rng = np.random.default_rng([seed, 2**20])
    backdrops = [np.asarray(image) for image in _strangers(data)[DISTRACTORS:]]
    queries = [
        Image.fromarray(edit(np.asarray(image), random_edits(rng, most=3), rng, others=backdrops))
        for image in found.queries
    ]
    return replace(found, queries=queries)


def add_market(found: BenchmarkSet, market: Path, *, split: str) -> None:
    """Add the pictures that scripts/marketplace/render.py wrote to a folder. Raises TableError for another split."""
    for row in _rows(market / "pictures.csv"):
        if row["split"] != split:
            raise TableError(
                f"{market} holds the split {row['split']!r}, expected {split}; "
                f"render it with scripts/marketplace/render.py --split {split}"
            )
        image, product = read_image(market / row["image"]).image, row["product_id"]
        if row["kind"] == "packshot":
            found.refer(image, product)
        elif row["kind"] == "other":
            found.ask(image, "", "unrelated")
        elif row["kind"] == "imitation":
            found.ask(image, product, "imitation", f"imitation, step {row['step']}")
        elif row["kind"] == "edited":
            edits = row["edit"].split("+")
            fine = f"edited: {edits[0]}" if len(edits) == 1 else "edited: two or three edits"
            found.ask(image, product, "edited", fine)
        else:
            found.ask(image, product, {"photo": "other photo"}.get(row["kind"], row["kind"]))


def compared(
    pictures: BenchmarkSet, encoder: Encoder, *, references: int = Reach().references, parts: int = 0
) -> list[LabelledMatches]:
    """The matches of each query, all compared point by point with their nearest references, as a scan compares them."""
    images = range(len(pictures.references))
    index = ReferenceIndex(encoder.spec)
    with ThreadPoolExecutor() as pool:
        features = list(pool.map(lambda image: reference_features(image).to_bytes(), pictures.references))
    index.add(
        [Reference(str(at), pictures.products[at], "", "") for at in images],
        described(pictures.references, encoder.encode),
        hashes=[str(at) for at in images],
        features=features,
    )
    lookup = Lookup(encoder, index, PhotoReader(), reach=Reach(references=references, parts=parts))
    found = lookup.look_up(pictures.queries)
    return [
        LabelledMatches(photo.matches, frozenset({shown} if shown else ()))
        for photo, shown in zip(found, pictures.shown, strict=True)
    ]


def described(images: Sequence[Image.Image], describe: Callable[[Sequence[Image.Image]], Vectors]) -> Vectors:
    """The vectors of any number of pictures, float32 (n, dim), described 64 at a time."""
    return np.concatenate([describe(images[at : at + 64]) for at in range(0, len(images), 64)])


def similarity_of(encoder: Encoder) -> Callable[[Sequence[Image.Image]], Vectors]:
    """What turns pictures into the vectors whose cosine is the similarity, float32 (n, dim), without those for look."""
    return lambda images: np.ascontiguousarray(encoder.spec.parts(encoder.encode(images))[0])


def background_photos(data: Path) -> list[Image.Image]:
    """Held-out photos that none of these sets has: the other clothing photos, and fruit and vegetables."""
    clothing = _held_out_clothing(data)[DISTRACTORS + BACKDROPS :]
    produce = sorted(path for path in (data / "produce").rglob("*.jpg") if is_held_out(path.stem))
    return [read_image(path).image for path in (*clothing, *produce)]


def _stack(rng: np.random.Generator) -> list[str]:
    while len(names := random_edits(rng, most=3)) < 2:
        pass
    return names


def _strangers(data: Path) -> list[Image.Image]:
    return [read_image(path).image for path in _held_out_clothing(data)[: DISTRACTORS + BACKDROPS]]


def _held_out_clothing(data: Path) -> list[Path]:
    rows = [row for row in _rows(data / "clothing" / "images.csv") if is_held_out(row["sender_id"])]
    return [data / "clothing" / "images" / f"{row['image']}.jpg" for row in rows]


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise TableError(
            f"there is no {path}; name a folder that holds storefront/ and clothing/, or one that "
            "scripts/marketplace/render.py wrote"
        )
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
