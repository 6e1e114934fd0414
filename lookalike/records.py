"""The values that travel through the library: what was given, what was found, what was decided."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from datetime import date, time
from decimal import Decimal
from enum import Enum, StrEnum
from numbers import Integral, Real
from pathlib import Path
from typing import Any, cast

from .given import Given, picture, pictures, shown
from .given import ImageSource as ImageSource

NAMELESS = "(given as pixels)"
"""The name of a photo that was given neither as a path nor as an address, if its content hash isn't known."""

HIDDEN_USER = "***"
"""What stands for the name and password in an address that is shown."""

_USER = re.compile(r"(?<=://)(?:[^/?#\\\s]*@|[^/?#\\@\[\s]*:(?!\d*(?:[/?#\\\s]|$)).{0,300}@)")


def shown_source(source: str) -> str:
    """A path or address as it may be shown and kept: without the name and password of a user.

    >>> shown_source("https://anna:secret@example.com/a.jpg"), shown_source("photos/a@2x.jpg")
    ('https://***@example.com/a.jpg', 'photos/a@2x.jpg')
    """
    return _USER.sub(f"{HIDDEN_USER}@", source)


def is_named(image: ImageSource) -> bool:
    """Whether a photo was given as a path or an address, not as bytes, pixels or an address that holds the bytes."""
    return isinstance(image, str | Path) and str(image)[:5].lower() != "data:"


def photo_name(image: ImageSource, sha256: str | None = None) -> str:
    """How findings, catalogues and messages name a photo: its path or address, without a user's password.

    A photo that was given as bytes, pixels or a data address is named by its content hash.

    >>> photo_name("a.jpg"), photo_name(b"the bytes of a file", "9f86d0")
    ('a.jpg', 'sha256:9f86d0')
    """
    if is_named(image):
        return shown_source(str(image))
    if sha256 is None and isinstance(image, bytes):
        sha256 = hashlib.sha256(image).hexdigest()
    return NAMELESS if sha256 is None else f"sha256:{sha256}"


class _Shown:
    """Shows its fields as a dataclass does, but no photo's bytes or pixels."""

    def __repr__(self) -> str:
        values = ", ".join(f"{each.name}={shown(getattr(self, each.name))}" for each in fields(cast("Any", self)))
        return f"{type(self).__name__}({values})"


def _require_text(value: object, name: str) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} is {shown(value)[:60]}, {type(value).__name__}; expected text, a str")


@dataclass(frozen=True, repr=False)
class Reference(_Shown):
    """One genuine photo. `more` holds any further columns of its table, carried along untouched.

    `image` takes what an image of a `Listing` can be. Raises TypeError for an id, product or brand that isn't text, and
    as a listing does for an image that is no picture.
    """

    id: str
    product: str
    brand: str
    image: ImageSource
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("id", "product", "brand"):
            _require_text(getattr(self, name), f"the {name} of a reference")
        object.__setattr__(self, "image", picture(self.image, f"reference {self.id!r}"))

    @classmethod
    def checked(cls, id: str, product: str, brand: str, image: ImageSource, more: Mapping[str, Any]) -> Reference:
        """A reference of values that were checked before. Made a thousand times a second, it isn't checked again."""
        reference = object.__new__(cls)
        reference.__dict__.update(id=id, product=product, brand=brand, image=image, more=more)
        return reference


@dataclass(frozen=True, init=False, repr=False)
class Listing(_Shown):
    """One offer: its photos and, where known, who sells it, where, and for how much.

    `images` takes one picture or several, and holds a tuple. A picture is a path, an address, the bytes of a file, a
    file open in binary mode (it is read at once), a PIL image, or an array (height, width[, 1, 3 or 4]). `territory` is
    an ISO 3166 code, `currency` an ISO 4217 code. `error` says why the listing's row could not be used; such a listing
    has no images. Raises TypeError for an id that isn't text, for images that are no pictures, and for a price that
    isn't a Decimal, since a float can't hold most prices exactly; ValueError for an open file of more than 64 MiB.

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
        images: Given | Iterable[Given],
        seller: str | None = None,
        territory: str | None = None,
        price: Decimal | None = None,
        currency: str | None = None,
        title: str | None = None,
        url: str | None = None,
        error: str | None = None,
    ) -> None:
        _require_text(id, "the id of a listing")
        if price is not None and not isinstance(price, Decimal):
            raise TypeError(f"the price of listing {id!r} is not a Decimal; write Decimal('{price}')")
        # frozen, so that attributes can't be assigned one by one
        photos = pictures(images, f"listing {id!r}")
        self.__dict__.update(id=id, images=photos, seller=seller, territory=territory, price=price,
                             currency=currency, title=title, url=url, error=error)  # fmt: skip


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


KINDS = ("copied_photo", "same_print", "lookalike")
"""The kinds of likeness, the strongest first."""


@dataclass(frozen=True)
class Match:
    """A reference that a photo resembles. `similarity` is the cosine, −1 to 1, higher is more alike.

    `similarity` asks whether both show the same photo or print, `look` whether they have the same trade dress. `look`
    is a cosine as well, None if the encoder has no second head. `region` is (left, top, right, bottom), in 0 to 1 of
    the listing photo's width and height, if only that part of the photo matched.

    `verification` is None for a pair that was not compared point by point. A policy with a cohort compares its
    thresholds with `normalised_similarity` (see `Cohort`), one with a fusion with `probability` (see `Fusion`).
    `margin` is how much more similar the photo is to this product than to any other, `look_margin` how much greater its
    look is. `image` names the listing's photo,
    `image_sha256` is that of its bytes. `suppressed_by` names a harmless photo that is closer than the reference.
    `verdict` is what the policy says about this match alone, `threshold` the one that decided, and `flag_threshold` the
    one from which such a match is flagged, None if none is.
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
    look: float | None = None
    region: tuple[float, float, float, float] | None = None
    look_margin: float | None = None
    flag_threshold: float | None = None

    @classmethod
    def found(cls, reference: Reference, similarity: float, look: float | None) -> Match:
        """A match of which no more is known yet. Made a thousand times a second, it is made the quick way."""
        match = object.__new__(cls)
        match.__dict__.update(_UNKNOWN, reference=reference, similarity=similarity, look=look)
        return match

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
        verification, region = values["verification"], values.get("region")
        return cls(**{
            **values,
            "region": None if region is None else region_of(region),
            "reference": Reference(**values["reference"]),
            "verification": None if verification is None else Verification.from_dict(verification),
            "verdict": _verdict(values["verdict"]),
        })  # fmt: skip


_UNKNOWN = {each.name: each.default for each in fields(Match) if each.default is not MISSING}


@dataclass(frozen=True)
class Finding:
    """The decision about one listing, with all that is needed to audit it a year later.

    `matches` holds one match per product that its photos resemble, the one that decided first; `image` is the photo
    that decided, and `look` that of its match. The verdict rests on `threshold`, which is compared with `probability`
    if there is one, else with `normalised_similarity` if there is one, else with `similarity`; `flag_threshold` is the
    one from which such a finding is flagged, None if none is. `suppressed_by` names a
    harmless photo that is closer than the genuine one. `error` reports photos that could not be read, `hint` photos
    that were only compared in part. `image_sha256` is that of the deciding photo's bytes, `images_sha256` those of all
    the listing's photos in their order, None for one that could not be read. `scanned_at` is the time of the decision,
    in UTC by ISO 8601; findings that differ only in that time are equal.

    If rights or sellers were asked for, `rights` are the rights that could carry a claim, the rule that authorises the
    seller, or what is missing (see `lookalike.rights.grounds`); `rights_basis` names the day and the tables; and
    `similarity_verdict` is what the policy said about the deciding match before.
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
    images_sha256: tuple[str | None, ...] = ()
    similarity_verdict: Verdict | None = None
    rights: tuple[Mapping[str, Any], ...] | None = None
    rights_basis: Mapping[str, str] | None = None
    scanned_at: str | None = field(default=None, compare=False)
    look: float | None = None
    flag_threshold: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The finding as values that JSON can hold, whatever its photos and references carry.

        Decimals, dates and paths become text, numbers that are not finite become None. Photos appear by path or
        address only; one that was given as bytes, pixels or a data address is named by its content hash.

        >>> finding = Finding(Listing("L1", "front.jpg"), Verdict.CLEAR, "default@1f0c", "embedded@3b9a")
        >>> Finding.from_dict(finding.to_dict()) == finding
        True
        """
        values = cast("dict[str, Any]", _plain(self))
        hashes = self.images_sha256 or (None,) * len(self.listing.images)
        values["listing"]["images"] = list(map(photo_name, self.listing.images, hashes))
        return values

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
            "images_sha256": tuple(values.get("images_sha256", ())),
            "similarity_verdict": _verdict(values["similarity_verdict"]),
            "rights": None if values["rights"] is None else tuple(map(dict, values["rights"])),
            "rights_basis": None if values["rights_basis"] is None else dict(values["rights_basis"]),
        })  # fmt: skip


def region_of(corners: object) -> tuple[float, float, float, float]:
    """The region of a match from JSON values. Raises TypeError or ValueError for anything but a part of a photo."""
    if not isinstance(corners, Sequence) or isinstance(corners, str):
        raise TypeError("a region has four numbers")
    left, top, right, bottom = map(float, corners)
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ValueError(f"a region goes from {left}, {top} to {right}, {bottom}, expected a part of 0 to 1")
    return left, top, right, bottom


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
    if name == "image" and value is not None:
        return photo_name(value)
    return list(map(photo_name, value)) if name == "images" else _plain(value)
