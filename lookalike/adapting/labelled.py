"""Tables of labels to labelled vectors: photos are embedded without an adapter, products found in the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lookalike.errors import TableError
from lookalike.model.adapter import unadapted
from lookalike.tables.findings import FindingRow, read_findings
from lookalike.tables.labels import ProductLabel, read_labels
from lookalike.tables.reviews import read_reviews
from lookalike.tables.verdicts import is_verdict_file
from lookalike.thresholds.labels import labels_of_rows, require_one_brand

from .fitting import LabelledVectors

if TYPE_CHECKING:
    from lookalike.detection.lookup import Lookup
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.index.vector_cache import VectorCache
    from lookalike.thresholds.photos import Progress

MOST_REFERENCES = 50_000
"""Of a larger catalogue, the labelled products' references are compared, and others drawn at random."""


@dataclass(frozen=True)
class LabelledImage:
    """A photo to embed, the `name` of its label (a listing id, or where it is), and the products that are right.

    `sound` is whether a promise may rest on the label: one that a person's triage chose tells what a photo shows, but
    not how often that happens.
    """

    image: str
    name: str
    right: frozenset[ProductLabel]
    sound: bool = True


@dataclass(frozen=True)
class Taken:
    """The labels to fit to, and why photos could not be used.

    `names` are each label's name and its photo's sha256. `unknown` counts photos of products that aren't in the index.
    """

    labelled: LabelledVectors
    names: tuple[tuple[str, str], ...]
    failed: tuple[str, ...]
    unknown: int


def images_of_photos(labels: str | Path) -> list[LabelledImage]:
    """The photos of a table of labels (image, product_id, lookalike; optional brand). Raises as `read_labels` does."""
    return [LabelledImage(image, image, frozenset(right)) for image, right in read_labels(labels).items()]


def images_of_findings(labels: str | Path, findings: str | Path) -> list[LabelledImage]:
    """The photos that decided findings, with what labels or a review's verdicts say of them.

    Raises TableError as reading either does, and if no label is about any of the findings.
    """
    reviews = read_reviews(labels).reviews
    drawn = read_reviews(labels, promise=True).reviews if is_verdict_file(labels) else reviews
    audited = {review.listing_id for review in drawn}
    asked = {review.listing_id for review in reviews}
    rows: dict[str, FindingRow] = {
        row["listing_id"]: row for row in read_findings(findings) if row["image"] and row["listing_id"] in asked
    }
    found = labels_of_rows(reviews, rows.values())
    if not found.photos:
        raise TableError(f"none of the {len(reviews)} labels of {labels} is about a finding in {findings}")
    return [
        LabelledImage(str(rows[photo.name]["image"]), photo.name, photo.right, photo.name in audited)
        for photo in found.photos
    ]


def take(
    images: Sequence[LabelledImage],
    *,
    lookup: Lookup,
    cache: VectorCache | None = None,
    progress: Progress | None = None,
    seed: int = 0,
) -> Taken:
    """Embed labelled photos, those in `cache` excepted, and take those to fit to.

    Raises TableError for a product_id without a brand that several brands have, and if no photo could be read.
    """
    from lookalike.index.embedding import embed_photos

    index = lookup.index
    numbers = _product_numbers(index)
    require_one_brand(set().union(*(image.right for image in images)), index.products)
    photos = embed_photos(
        [image.image for image in images], encoder=unadapted(lookup.encoder), reader=lookup.reader, cache=cache
    )
    vectors, right, sound = [], list[frozenset[int]](), list[bool]()
    names, failed, unknown = list[tuple[str, str]](), list[str](), 0
    for image, photo in zip(images, photos, strict=True):
        if progress is not None:
            progress(1)
        if photo.vector is None or photo.sha256 is None:
            failed.append(str(photo.error))
        elif image.right and not (known := _known(image.right, numbers)):
            unknown += 1
        else:
            vectors.append(photo.vector)
            right.append(known if image.right else frozenset())
            sound.append(image.sound)
            names.append((image.name, photo.sha256))
    if not vectors:
        why = f"; the first: {failed[0]}" if failed else ""
        raise TableError(f"none of the {len(images)} labelled photos could be used{why}; label more")
    references, product = _references(index, frozenset().union(*right), seed)
    own = index.spec.unadapted.parts(np.stack(vectors))[0]
    labelled = LabelledVectors(np.ascontiguousarray(own), tuple(right), np.array(sound, bool), references, product)
    return Taken(labelled, tuple(names), tuple(failed), unknown)


def _product_numbers(index: ReferenceIndex) -> dict[ProductLabel, int]:
    """Each product's number, by brand and product_id and by product_id alone."""
    numbers: dict[ProductLabel, int] = {}
    for at, (brand, product) in enumerate(sorted(index.products)):
        numbers[brand, product] = at
        numbers.setdefault(product, at)
    return numbers


def _known(right: Iterable[ProductLabel], numbers: Mapping[ProductLabel, int]) -> frozenset[int]:
    return frozenset(numbers[label] for label in right if label in numbers)


def _references(
    index: ReferenceIndex, labelled: frozenset[int], seed: int
) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.float32]], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """The references to compare with, without adapter, and the numbers of their products."""
    numbers = _product_numbers(index)
    pairs = zip(*(index.catalogue[name].to_pylist() for name in ("brand", "product_id")), strict=True)
    product = np.array([numbers[pair] for pair in pairs], np.int64)
    rows = np.arange(len(product))
    if len(product) > MOST_REFERENCES:
        own = np.isin(product, list(labelled))
        others = np.random.default_rng(seed).permutation(np.flatnonzero(~own))
        rows = np.sort(np.concatenate([np.flatnonzero(own), others])[:MOST_REFERENCES])
    vectors = index.unadapted_vectors_at(rows.tolist())
    return np.ascontiguousarray(index.spec.unadapted.parts(vectors)[0]), product[rows]
