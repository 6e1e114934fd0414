"""Why a listing's photo is held to be alike to a genuine one: the points that agree, and a picture that shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from lookalike.model.features import local_features, reference_features
from lookalike.model.local import Alignment as FoundAlignment
from lookalike.model.local import verify_and_align
from lookalike.records import Verification

from .comparison import Alignment
from .pair_picture import compose_pair


@dataclass(frozen=True)
class Explanation:
    """What a comparison point by point found, None where no points agree, and the picture of it."""

    verification: Verification | None
    picture: Image.Image


def explain_pair(
    reference: Image.Image,
    listing: Image.Image,
    *,
    similarity: float | None = None,
    threshold: float | None = None,
    caption: str = "",
) -> Explanation:
    """Compare a listing's photo with a genuine one, both RGB, and draw what agrees and what differs.

    `similarity`, `threshold` and one line of `caption` are written above the photos where they are given.
    """
    genuine, listed = reference_features(reference), local_features(listing)
    found = verify_and_align(genuine, listed)
    verification, alignment = None, None
    if found is not None:
        verification, place = found
        alignment = _in_photos(place, reference, genuine.size, listing, listed.size)
    picture = compose_pair(
        reference,
        listing,
        alignment,
        similarity=similarity,
        threshold=threshold,
        inliers=verification.inliers if verification else None,
        caption=caption,
    )
    return Explanation(verification, picture)


def explain_finding(row: Mapping[str, Any], reference: Image.Image, listing: Image.Image) -> Explanation:
    """Explain a row of a findings table by its two photos, both RGB.

    A threshold on something other than the similarity is not written beside it, where it would mean nothing.
    """
    other = any(row.get(name) is not None for name in ("normalised_similarity", "probability"))
    threshold = None if other else row.get("threshold")
    return explain_pair(reference, listing, similarity=row.get("similarity"), threshold=threshold)


def _in_photos(
    place: FoundAlignment,
    reference: Image.Image,
    reference_size: tuple[int, int],
    listing: Image.Image,
    listing_size: tuple[int, int],
) -> Alignment:
    """The place in pixels of the photos as they are, instead of those at which features were found."""
    grow = np.array(listing.size) / listing_size
    shrink = np.array(reference_size) / reference.size
    homography = np.diag([*grow, 1.0]) @ place.matrix @ np.diag([*shrink, 1.0])
    theirs = place.listing_points * grow
    if place.mirrored:
        last = listing.width - 1
        homography = np.array([[-1, 0, last], [0, 1, 0], [0, 0, 1.0]]) @ homography
        theirs[:, 0] = last - theirs[:, 0]
    points = np.concatenate([place.reference_points / shrink, theirs], axis=1)
    return Alignment(homography, points.astype(np.float32), place.mirrored)
