"""The values that travel through the library: what was given, what was found, what was decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

ImageSource: TypeAlias = "str | Path | bytes | Image.Image | NDArray[np.generic]"
"""A picture: a path or URL, the bytes of a file, a PIL image, or an array (height, width[, 1, 3 or 4])."""


NAMELESS = "(given as pixels)"
"""The name of every photo that was given neither as a path nor as an address."""


@dataclass(frozen=True)
class Reference:
    """One genuine photo. `more` holds whatever further columns its table had, carried back untouched."""

    id: str
    product: str
    brand: str
    image: ImageSource
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Listing:
    """One offer: its photos and, where known, who sells it, where, and for how much.

    `territory` is an ISO 3166 code, `currency` an ISO 4217 code. `error` says why the listing's row
    could not be used; such a listing has no images.

    >>> Listing(id="L1", images=["front.jpg"], territory="DE").territory
    'DE'
    """

    id: str
    images: tuple[ImageSource, ...]
    seller: str | None = None
    territory: str | None = None
    price: float | None = None
    currency: str | None = None
    title: str | None = None
    url: str | None = None
    error: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.images, str | Path | bytes):
            raise TypeError(f"images of listing {self.id!r} must be a sequence of pictures, not a single one")
        object.__setattr__(self, "images", tuple(self.images))


@dataclass(frozen=True)
class BadRow:
    """A row of a table that could not be used: its id, or where it stands, and why."""

    row: str
    error: str


@dataclass(frozen=True)
class Verification:
    """What a point-by-point comparison of listing and reference photo found.

    `inliers` is a count, 0 where nothing agrees; `coverage` the share (0 to 1) of the reference that was found again,
    `outline` the corners of the reference in the listing photo as (x, y) in 0 to 1 of its width and height.
    """

    inliers: int
    coverage: float
    mirrored: bool
    kind: str
    outline: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Match:
    """A reference that a photo is alike to. `similarity` is the cosine, −1 to 1, higher is more alike.

    `verification` is None for a pair that was not compared point by point. `normalised_similarity` is what a policy
    with a cohort holds its thresholds against (see `Cohort`), `probability` what one with a fusion does (see `Fusion`).
    `margin` is how much more alike the photo is to this product than to any other. `image` names the listing's photo,
    `image_sha256` is that of its bytes. `suppressed_by` names the harmless photo that it is more alike to than to the
    reference. `verdict` is what the policy says of this match by itself, `threshold` the one that this rests on.
    """

    reference: Reference
    similarity: float
    verification: Verification | None = None
    normalised_similarity: float | None = None
    image: str | None = None
    suppressed_by: str | None = None
    image_sha256: str | None = None
    margin: float | None = None
    probability: float | None = None
    verdict: Verdict | None = None
    threshold: float | None = None

    @property
    def compared_similarity(self) -> float:
        """The normalised similarity where there is one, else the similarity."""
        return self.similarity if self.normalised_similarity is None else self.normalised_similarity

    @property
    def strength(self) -> float:
        """What thresholds are held against: the probability where there is one, else the compared similarity."""
        return self.compared_similarity if self.probability is None else self.probability

    @property
    def kind(self) -> str:
        """copied_photo, same_print, or (alike as a whole, and no more is known) lookalike."""
        return self.verification.kind if self.verification is not None and self.agrees else "lookalike"

    @property
    def agrees(self) -> bool:
        """Whether the pair was compared point by point, and points agree."""
        return self.verification is not None and self.verification.inliers > 0


def strength_of(row: Mapping[str, Any]) -> float | None:
    """What thresholds are held against, of a row of the findings table: as `Match.strength`; None where there is none.

    >>> strength_of({"similarity": 0.9, "probability": 0.7}), strength_of({"similarity": 0.9})
    (0.7, 0.9)
    """
    for name in ("probability", "normalised_similarity"):
        value: float | None = row.get(name)
        if value is not None:
            return value
    return row.get("similarity")


class Verdict(StrEnum):
    """What was decided about a listing. None of them says that goods are counterfeit: a person decides that."""

    FLAGGED = "flagged"
    REVIEW = "review"
    CLEAR = "clear"
    AUTHORISED = "authorised"
    UNPROTECTED = "unprotected"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Finding:
    """The decision about one listing, with all that is needed to audit it a year later.

    `matches` is what its photos are alike to, one per product, the one that decided first; `image` is the photo that
    decided. `threshold` is the one that the verdict rests on, held against `probability` where there is one, else
    against `normalised_similarity` where there is that, else against `similarity`. `suppressed_by` names the harmless
    photo that it is more alike to than to the genuine one. `error` tells of photos that could not be read, `hint` of
    photos that were compared in part only. `image_sha256` is that of the deciding photo's bytes, `scanned_at` when it
    was judged, in UTC by ISO 8601; findings that differ only in that time are equal.

    Where rights or sellers were asked for, `rights` names the rights that could carry a claim, the rule by which the
    seller is authorised, or what is missing; `rights_basis` the day and the tables that this rests on; and
    `similarity_verdict` is what the policy said of the deciding match before.
    """

    listing: Listing
    verdict: Verdict
    policy: str
    encoder: str
    kind: str | None = None
    product: str | None = None
    brand: str | None = None
    similarity: float | None = None
    normalised_similarity: float | None = None
    probability: float | None = None
    threshold: float | None = None
    suppressed_by: str | None = None
    matches: tuple[Match, ...] = ()
    image: str | None = None
    error: str | None = None
    hint: str | None = None
    image_sha256: str | None = None
    similarity_verdict: Verdict | None = None
    rights: str | None = None
    rights_basis: str | None = None
    scanned_at: str | None = field(default=None, compare=False)
