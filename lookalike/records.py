"""The values that travel through the library: what was given, what was found, what was decided."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import date, time
from decimal import Decimal
from enum import Enum, StrEnum
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

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
    """One genuine photo. `more` holds any further columns of its table, carried along untouched."""

    id: str
    product: str
    brand: str
    image: ImageSource
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, init=False)
class Listing:
    """One offer: its photos and, where known, who sells it, where, and for how much.

    `images` takes one picture or several, and holds a tuple. `territory` is an ISO 3166 code, `currency` an ISO 4217
    code. `error` says why the listing's row could not be used; such a listing has no images. Raises TypeError for
    images that are no pictures, and for a price that isn't a Decimal: a float can't hold most prices exactly.

    >>> Listing(id="L1", images="front.jpg", territory="DE", price=Decimal("19.99")).images
    ('front.jpg',)
    """

    id: str
    images: tuple[ImageSource, ...]
    seller: str | None
    territory: str | None
    price: Decimal | None
    currency: str | None
    title: str | None
    url: str | None
    error: str | None

    def __init__(
        self,
        id: str,
        images: ImageSource | Sequence[ImageSource],
        seller: str | None = None,
        territory: str | None = None,
        price: Decimal | None = None,
        currency: str | None = None,
        title: str | None = None,
        url: str | None = None,
        error: str | None = None,
    ) -> None:
        if price is not None and not isinstance(price, Decimal):
            raise TypeError(f"the price of listing {id!r} is not a Decimal; write Decimal('{price}')")
        # frozen, so that attributes can't be assigned one by one
        self.__dict__.update(id=id, images=_pictures(id, images), seller=seller, territory=territory, price=price,
                             currency=currency, title=title, url=url, error=error)  # fmt: skip


def _pictures(listing: str, images: ImageSource | Sequence[ImageSource]) -> tuple[ImageSource, ...]:
    """One picture or several as a tuple; an array of two or three dimensions is one picture."""
    if isinstance(images, str | Path | bytes) or getattr(images, "ndim", 0) in (2, 3):
        return (cast("ImageSource", images),)
    if isinstance(images, Iterable):
        return tuple(images)
    if hasattr(images, "getbands"):  # of PIL, which needn't be loaded for a listing of paths
        return (images,)
    raise TypeError(f"the images of listing {listing!r} are {type(images).__name__}, expected pictures or their paths")


@dataclass(frozen=True)
class BadRow:
    """A row of a table that could not be used: its id, or where it stands, and why."""

    row: str
    error: str


@dataclass(frozen=True)
class Verification:
    """What a point-by-point comparison of listing and reference photo found.

    `inliers` is a count, 0 if no points agree; `coverage` is the share (0 to 1) of the reference that was found again,
    `outline` the corners of the reference in the listing photo as (x, y) in 0 to 1 of its width and height.
    """

    inliers: int
    coverage: float
    mirrored: bool
    kind: str
    outline: tuple[tuple[float, float], ...]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Verification:
        """A verification from JSON values. Raises TypeError, ValueError or KeyError for values that are not one's."""
        inliers, coverage, outline = values["inliers"], values["coverage"], values["outline"]
        if not isinstance(inliers, int) or not isinstance(coverage, int | float) or not isinstance(outline, list):
            raise TypeError("a verification has a number of inliers, a coverage and an outline")
        corners = tuple((float(x), float(y)) for x, y in outline)
        return cls(inliers, float(coverage), bool(values["mirrored"]), str(values["kind"]), corners)


class Verdict(StrEnum):
    """What was decided about a listing. None of them says that goods are counterfeit: a person decides that."""

    FLAGGED = "flagged"
    REVIEW = "review"
    CLEAR = "clear"
    AUTHORISED = "authorised"
    UNPROTECTED = "unprotected"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Match:
    """A reference that a photo resembles. `similarity` is the cosine, −1 to 1, higher is more alike.

    `verification` is None for a pair that was not compared point by point. A policy with a cohort compares its
    thresholds with `normalised_similarity` (see `Cohort`), one with a fusion with `probability` (see `Fusion`).
    `margin` is how much more similar the photo is to this product than to any other. `image` names the listing's photo,
    `image_sha256` is that of its bytes. `suppressed_by` names a harmless photo that is closer than the reference.
    `verdict` is what the policy says about this match alone, `threshold` the one that decided.
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
        """The normalised similarity if there is one, else the similarity."""
        return self.similarity if self.normalised_similarity is None else self.normalised_similarity

    @property
    def strength(self) -> float:
        """What thresholds are compared with: the probability if there is one, else the compared similarity."""
        return self.compared_similarity if self.probability is None else self.probability

    @property
    def kind(self) -> str:
        """copied_photo, same_print, or (alike as a whole, and no more is known) lookalike."""
        return self.verification.kind if self.verification is not None and self.agrees else "lookalike"

    @property
    def agrees(self) -> bool:
        """Whether the pair was compared point by point, and points agree."""
        return self.verification is not None and self.verification.inliers > 0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Match:
        """A match from JSON values; raises as `Finding.from_dict` does."""
        verification = values["verification"]
        return cls(**{
            **values,
            "reference": Reference(**values["reference"]),
            "verification": None if verification is None else Verification.from_dict(verification),
            "verdict": _verdict(values["verdict"]),
        })  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """The decision about one listing, with all that is needed to audit it a year later.

    `matches` holds one match per product that its photos resemble, the one that decided first; `image` is the photo
    that decided. The verdict rests on `threshold`, which is compared with `probability` if there is one, else with
    `normalised_similarity` if there is one, else with `similarity`. `suppressed_by` names a harmless photo that is
    closer than the genuine one. `error` reports photos that could not be read, `hint` photos that were only compared in
    part. `image_sha256` is that of the deciding photo's bytes, `scanned_at` the time of the decision, in UTC by
    ISO 8601; findings that differ only in that time are equal.

    If rights or sellers were asked for, `rights` names the rights that could carry a claim, the rule that authorises
    the seller, or what is missing; `rights_basis` names the day and the tables; and `similarity_verdict` is what the
    policy said about the deciding match before.
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

    def to_dict(self) -> dict[str, Any]:
        """The finding as values that JSON can hold, whatever its photos and references carry.

        Decimals, dates and paths become text, numbers that are not finite become None. Photos appear by path or
        address only: one that was given as bytes, pixels or a data address is called "(given as pixels)".

        >>> finding = Finding(Listing("L1", "front.jpg"), Verdict.CLEAR, "default@1f0c", "embedded@3b9a")
        >>> Finding.from_dict(finding.to_dict()) == finding
        True
        """
        return cast("dict[str, Any]", _plain(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Finding:
        """The finding that `to_dict` gave these values for, equal to it if its photos have names.

        Raises KeyError, TypeError, ValueError or ArithmeticError for other values.
        """
        listing = values["listing"]
        price = listing["price"]
        return cls(**{
            **values,
            "listing": Listing(**{**listing, "price": None if price is None else Decimal(price)}),
            "verdict": Verdict(values["verdict"]),
            "matches": tuple(Match.from_dict(match) for match in values["matches"]),
            "similarity_verdict": _verdict(values["similarity_verdict"]),
        })  # fmt: skip


def _verdict(value: str | None) -> Verdict | None:
    return None if value is None else Verdict(value)


def _plain(value: object) -> object:
    """A value as JSON can hold it."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, date | time):
        return value.isoformat()
    if is_dataclass(value):
        return {each.name: _plain_field(each.name, getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if isinstance(value, bytes | bytearray | memoryview) or getattr(value, "ndim", 0) > 1:
        return None  # a column may hold a photo
    if hasattr(value, "tolist"):  # of numpy: a row of numbers, or a truth value
        return _plain(value.tolist())
    return str(value)


def _plain_field(name: str, value: Any) -> object:
    if name == "image":
        return _image_name(value)
    return [_image_name(image) for image in value] if name == "images" else _plain(value)


def _image_name(image: ImageSource | None) -> str | None:
    named = isinstance(image, str | Path) and not str(image).lower().startswith("data:")
    return None if image is None else str(image) if named else NAMELESS
