"""Why a listing's photo resembles a genuine one: the points that match, and a picture that shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from lookalike.errors import ImageReadError
from lookalike.model.features import local_features, reference_features
from lookalike.model.images import read_image
from lookalike.model.local import Alignment as FoundAlignment
from lookalike.model.local import verify_and_align
from lookalike.policy.numbers import in_words
from lookalike.records import Finding, Listing, Match, Verification, shown_source
from lookalike.tables.candidates import region_in
from lookalike.tables.findings import finding_row
from lookalike.tables.names import COLUMN, NameReading, name_in

from .alignment import Alignment
from .pair_picture import compose_pair
from .photos import MOVED, photo_of

if TYPE_CHECKING:
    from lookalike.detection.detector import Detector
    from lookalike.index.embedding import PhotoReader

    from .label_names import NameReader

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Explanation:
    """The result of comparing two photos point by point, None if no points match, and the picture of it.

    `name` is what the labels say, None if it was not read.
    """

    verification: Verification | None
    picture: Image.Image
    name: NameReading | None = None


@dataclass(frozen=True)
class ExplainedPhoto:
    """What was found for a photo, the genuine photo that it resembles most, and how the two compare."""

    finding: Finding
    match: Match
    explanation: Explanation


def explain_pair(
    reference: Image.Image,
    listing: Image.Image,
    *,
    numbers: str = "",
    region: tuple[float, float, float, float] | None = None,
    caption: str = "",
    name: NameReading | None = None,
    names: NameReader | None = None,
    brand: str = "",
) -> Explanation:
    """Compare a listing's photo with a genuine one, both RGB, and draw what matches and what differs.

    The picture's first lines are `caption` and `numbers`, one line of text each. The `region` of a match is boxed (see
    `Match`). `name` is what the labels were found to say; if it is None, `names` reads it, looking for the `brand`.
    """
    verification, alignment = align(reference, listing)
    if name is None and names is not None:
        name = names.compare(reference, listing, alignment, brand=brand, region=region)
    picture = compose_pair(
        reference,
        listing,
        alignment,
        numbers=numbers,
        region=region,
        inliers=verification.inliers if verification else None,
        caption=caption,
        name=name.in_words if name else "",
    )
    return Explanation(verification, picture, name)


def align(reference: Image.Image, listing: Image.Image) -> tuple[Verification | None, Alignment | None]:
    """Compare a listing's photo with a genuine one, both RGB, point by point; None and None if no points match."""
    genuine, listed = reference_features(reference), local_features(listing)
    found = verify_and_align(genuine, listed)
    if found is None:
        return None, None
    verification, place = found
    return verification, _in_photos(place, reference, genuine.size, listing, listed.size)


def explain_photo(photo: str, *, detector: Detector, names: NameReader | None = None) -> ExplainedPhoto:
    """Look up a listing's photo, and compare it with the genuine photo that it resembles most.

    `names` also reads what the two labels say. Raises ImageReadError if either photo can't be read, or if the index has
    nothing to compare with; if it is the genuine one that can't be read, the message says how to mend that.
    """
    name = shown_source(photo)
    finding = detector.check(Listing(id=name, images=(photo,)))
    if finding.error or not finding.matches:
        raise ImageReadError(finding.error or f"the index has nothing to compare {name} with", source=name)
    match, reader = finding.matches[0], detector.reader
    shown = read_image(photo, limits=reader.limits, access=reader.access).image
    try:
        genuine = read_image(match.reference.image, limits=reader.limits, access=reader.access).image
    except ImageReadError as error:
        what = f"the genuine photo of {match.reference.id} can't be shown: {error}; {MOVED}"
        raise ImageReadError(what, source=error.source, reason=error.reason) from error
    explanation = explain_pair(
        genuine,
        shown,
        numbers=in_words(finding_row(finding)),
        region=match.region,
        caption=f"{finding.verdict}: resembles {match.reference.brand} {match.reference.product}",
        names=names,
        brand=match.reference.brand,
    )
    return ExplainedPhoto(finding, match, explanation)


def draw_finding(row: Row, reference: Image.Image, listing: Image.Image) -> Image.Image:
    """The picture for a row of a findings table, from its two photos, both RGB."""
    numbers, name = in_words(row), name_in(row.get(COLUMN))
    return explain_pair(reference, listing, numbers=numbers, region=region_in(row), name=name).picture


def evidence_of(reader: PhotoReader) -> Callable[[Row], Image.Image | None]:
    """A function that gives the picture for a row of a findings table, None if a photo can't be read any more."""
    photo = photo_of(reader)

    def evidence(row: Row) -> Image.Image | None:
        listing, reference = photo(row.get("image")), photo(row.get("reference_image"))
        return draw_finding(row, reference, listing) if reference and listing else None

    return evidence


def _in_photos(
    place: FoundAlignment,
    reference: Image.Image,
    reference_size: tuple[int, int],
    listing: Image.Image,
    listing_size: tuple[int, int],
) -> Alignment:
    """The alignment in pixels of the two photos, instead of those at which features were found."""
    grow = np.array(listing.size) / listing_size
    shrink = np.array(reference_size) / reference.size
    homography = np.diag([*grow, 1.0]) @ place.matrix @ np.diag([*shrink, 1.0])
    listing_points = place.listing_points * grow
    if place.mirrored:
        last = listing.width - 1
        homography = np.array([[-1, 0, last], [0, 1, 0], [0, 0, 1.0]]) @ homography
        listing_points[:, 0] = last - listing_points[:, 0]
    points = np.concatenate([place.reference_points / shrink, listing_points], axis=1)
    return Alignment(homography, points.astype(np.float32), place.mirrored)
