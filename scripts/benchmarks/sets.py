"""The test sets of the encoder's benchmark: references, and queries of which it is known what they show.

Nothing here was trained on: `storefront` is held out as a whole, clothing photos are of senders held out, and the
rendered marketplace's test split has brands and label designs of its own.
"""

from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from lookalike.detection.detector import Detector
from lookalike.errors import TableError
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.encoder import Encoder
from lookalike.model.features import reference_features
from lookalike.model.images import read_image
from lookalike.policy.policy import Policy, Reach
from lookalike.records import Reference
from lookalike.scripts.training.edits import EDITS, edit, random_edits
from lookalike.scripts.training.held_out import is_held_out
from lookalike.thresholds.labels import LabelledMatches

DISTRACTORS, BACKDROPS = 500, 60


@dataclass
class BenchmarkSet:
    """A gallery of genuine photos and queries to it; a query without a product (`""`) must be left alone.

    `strata` says of each query what it is, and may name several, coarse before fine: ("edited", "edited: crop").
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
    """Edited copies of the storefront's main views, and its other views, both beside unrelated clothing photos.

    Each main view is asked for with one edit, all edits in turn, and with two or three stacked. The unrelated photos
    of the first set are edited in the same ways, so that it is not the edit that tells them apart.
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
    """The rendered marketplace's test split, beside rivals' products and unrelated clothing photos."""
    found = BenchmarkSet("rendered marketplace")
    add_market(found, market, split="test")
    for image in _strangers(data)[:DISTRACTORS]:
        found.ask(image, "", "unrelated")
    return found


def add_market(found: BenchmarkSet, market: Path, *, split: str) -> None:
    """Add what render_marketplace.py wrote to MARKET. Raises TableError for another split than that."""
    for row in _rows(market / "pictures.csv"):
        if row["split"] != split:
            raise TableError(
                f"{market} is of the split {row['split']!r}; needed {split} (render_marketplace.py --split)"
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
    pictures: BenchmarkSet, encoder: Encoder, *, references: int = Reach().references
) -> list[LabelledMatches]:
    """What each query is alike to, every one compared point by point with its nearest references, as a scan would."""
    images = range(len(pictures.references))
    index = ReferenceIndex(encoder.spec)
    with ThreadPoolExecutor() as pool:
        features = list(pool.map(lambda image: reference_features(image).to_bytes(), pictures.references))
    index.add(
        [Reference(str(at), pictures.products[at], "", "") for at in images],
        np.concatenate([encoder.encode(pictures.references[at : at + 32]) for at in images[::32]]),
        hashes=[str(at) for at in images],
        features=features,
    )
    policy = Policy("everything in reach", flag=None, review=-1.0, reach=Reach(-1.0, references))
    found = Detector(encoder, index, policy, PhotoReader()).look_up(pictures.queries)
    return [
        LabelledMatches(photo.matches, frozenset({shown} if shown else ()))
        for photo, shown in zip(found, pictures.shown, strict=True)
    ]


def background_photos(data: Path) -> list[Image.Image]:
    """Held-out photos that are in none of the sets above: the other clothing photos, and fruit and vegetables."""
    rows = [row for row in _rows(data / "clothing" / "images.csv") if is_held_out(row["sender_id"])]
    clothing = [data / "clothing" / "images" / f"{row['image']}.jpg" for row in rows[DISTRACTORS + BACKDROPS :]]
    produce = sorted(path for path in (data / "produce").rglob("*.jpg") if is_held_out(path.stem))
    return [read_image(path).image for path in (*clothing, *produce)]


def _stack(rng: np.random.Generator) -> list[str]:
    while len(names := random_edits(rng, most=3)) < 2:
        pass
    return names


def _strangers(data: Path) -> list[Image.Image]:
    rows = [row for row in _rows(data / "clothing" / "images.csv") if is_held_out(row["sender_id"])]
    names = [row["image"] for row in rows[: DISTRACTORS + BACKDROPS]]
    return [read_image(data / "clothing" / "images" / f"{name}.jpg").image for name in names]


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise TableError(f"there is no {path}; DATA holds storefront/ and clothing/, MARKET a rendered test split")
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
