"""What the API takes and gives for a check, as its documentation says it. Photos come in; none goes out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from lookalike.records import Verdict
from lookalike.tables.gathering import MOST_PHOTOS

from .problems import ProblemBody

MOST_LISTINGS = 100
"""How many listings a batch may have."""

Id = Annotated[str, Field(min_length=1, max_length=500)]
_Text = Annotated[str, Field(max_length=2000)]
_Code = Annotated[str, Field(max_length=20)]
_Address = Annotated[str, Field(min_length=1, max_length=8000)]
_Price = Annotated[str, Field(pattern=r"^[0-9]{1,18}(\.[0-9]{1,10})?$", description="Exact, as text.")]


class Given(BaseModel):
    """What comes in: no further entries than these."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PhotoAt(Given):
    """A photo by its address."""

    url: _Address


class PhotoBytes(Given):
    """A photo as the bytes of its file, in base64 (RFC 4648, 4)."""

    base64: Annotated[str, Field(min_length=1, json_schema_extra={"format": "byte"})]


Photo = PhotoAt | PhotoBytes


class Offer(Given):
    """What is known of a listing besides its photos."""

    id: Id
    seller: _Text | None = None
    territory: _Code | None = None
    price: _Price | None = None
    currency: _Code | None = None
    title: _Text | None = None
    url: Annotated[str, Field(max_length=8000)] | None = None


class ListingIn(Offer):
    """A listing to check."""

    photos: Annotated[list[Photo], Field(min_length=1, max_length=MOST_PHOTOS)]


class Batch(Given):
    """Listings to check."""

    listings: Annotated[list[ListingIn], Field(min_length=1, max_length=MOST_LISTINGS)]


class MatchOut(BaseModel):
    """A product that a photo of the listing resembles.

    `region` is left, top, right and bottom of the part that matched, in 0 to 1 of the photo, null for the whole photo.
    `points` is how many points agree, null if the two weren't compared point by point.
    """

    reference: str
    product: str
    brand: str
    verdict: Verdict | None
    kind: str
    similarity: float
    look: float | None
    probability: float | None
    threshold: float | None
    flag_threshold: float | None
    points: int | None
    coverage: float | None
    mirrored: bool | None
    photo: str | None
    photo_sha256: str | None
    region: tuple[float, float, float, float] | None
    suppressed_by: str | None


class PhotoOut(BaseModel):
    """A photo of the listing; `reason` is a short, stable word for why it could not be looked at."""

    name: str
    sha256: str | None
    reason: str | None
    error: str | None
    hint: str | None


class VersionsOut(BaseModel):
    """What the answer was made with: digests of the index and its harmless photos, labels of policy and encoder.

    `rights` has the start of the sha256 of each table of rights and sellers.
    """

    index: str
    harmless: str | None
    policy: str
    encoder: str
    rights: dict[str, str] | None = None


class FindingOut(BaseModel):
    """The decision about a listing. `match` decided; `candidates` are all products that were found, it included."""

    finding: str
    listing: str
    verdict: Verdict
    kind: str | None
    match: MatchOut | None
    candidates: list[MatchOut]
    photos: list[PhotoOut]
    error: str | None
    hint: str | None
    rights: list[dict[str, Any]] | None
    scanned_at: datetime | None
    versions: VersionsOut
    milliseconds: dict[str, float]


class BatchLine(BaseModel):
    """The answer about one listing of a batch: its `finding` with status 200, or the `problem` with another."""

    listing: str
    status: int
    finding: FindingOut | None = None
    problem: ProblemBody | None = None
