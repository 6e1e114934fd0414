"""Labels of photos: the photos are embedded and looked up in an index."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lookalike.errors import TableError
from lookalike.model.adapter import unadapted
from lookalike.records import ImageSource
from lookalike.tables.inputs import read_listings
from lookalike.tables.labels import ProductLabel, read_labels
from lookalike.tables.layout import PLAIN, Layout

from .cross_fitting import CrossFittedLookup
from .labels import LabelledMatches, Labels, require_one_brand

if TYPE_CHECKING:
    from lookalike.detection.lookup import Lookup
    from lookalike.index.embedding import EmbeddedPhoto
    from lookalike.model.encoder import Vectors

Progress = Callable[[int], None]
"""Called with how many photos were just done."""


def labels_of_photos(labels: str | Path, *, lookup: CrossFittedLookup, progress: Progress | None = None) -> Labels:
    """Labels of photos (image, product_id, lookalike; optional brand), each photo with its matches.

    Raises TableError as reading the table does, if no photo could be read, and for a product_id without a brand that
    several brands have; and what `CrossFittedLookup.look_up` does.
    """
    right = read_labels(labels)
    require_one_brand(set().union(*right.values()), lookup.lookup.index.products)
    found = _looked_up(lookup, list(right), [frozenset(products) for products in right.values()], progress)
    if not found.photos:
        raise TableError(f"none of the photos of {labels} could be read; the first: {found.failed[0]}")
    return found


def unrelated_photos(
    listings: str | Path, *, lookup: CrossFittedLookup, progress: Progress | None = None, layout: Layout = PLAIN
) -> Labels:
    """All photos of a table of listings believed to be unrelated. Raises what `labels_of_photos` does."""
    images = listed_images(listings, layout)
    found = _looked_up(lookup, images, [frozenset[ProductLabel]()] * len(images), progress)
    if not found.photos:
        raise TableError(f"none of the photos of {listings} could be read")
    return found


def vectors_of(
    images: Iterable[ImageSource], *, lookup: Lookup, progress: Progress | None = None
) -> tuple[Vectors, list[str]]:
    """The vectors of photos that could be read, float32 (n, width), without an adapter, and why others could not."""
    from lookalike.index.embedding import embed_photos

    encoder = unadapted(lookup.encoder)
    photos: Iterable[EmbeddedPhoto] = embed_photos(images, encoder=encoder, reader=lookup.reader)
    vectors, failed = [], []
    for photo in photos:
        if progress is not None:
            progress(1)
        if photo.vector is None:
            failed.append(str(photo.error))
        else:
            vectors.append(photo.vector)
    return np.array(vectors, np.float32).reshape(len(vectors), encoder.spec.width), failed


def listed_images(listings: str | Path, layout: Layout = PLAIN) -> list[str]:
    """The paths or URLs of all photos of a listings table."""
    read = read_listings(listings, columns=layout.columns, feed=layout.feed)
    return [str(image) for listing in read for image in listing.images]


def _looked_up(
    lookup: CrossFittedLookup,
    images: Sequence[str],
    right: Sequence[frozenset[ProductLabel]],
    progress: Progress | None,
) -> Labels:
    found, failed, crossed = [], [], 0
    looked_up = zip(images, lookup.look_up(images, progress=progress), right, strict=True)
    for image, (photo, by_fold), products in looked_up:
        if photo.error is not None:
            failed.append(photo.error)
        else:
            found.append(LabelledMatches(photo.matches, products, name=image, picture=photo.sha256))
            crossed += by_fold
    remark = f"{crossed:,} labels that the index's adapter was fitted to: each is looked up by a map that left it out"
    return Labels(tuple(found), failed=tuple(failed), remarks=(remark,) if crossed else (), cross_fitted=crossed)
