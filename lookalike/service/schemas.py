"""What the API takes and gives, as its documentation says it. Photos come in; none goes out."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lookalike.tables.gathering import MOST_PHOTOS

_Id = Annotated[str, Field(min_length=1, max_length=500)]
_Text = Annotated[str, Field(max_length=2000)]


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PhotoIn(_Given):
    """A photo: its address, or its bytes in base64."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"oneOf": [{"required": ["url"]}, {"required": ["base64"]}]}
    )

    url: Annotated[str, Field(min_length=1, max_length=8000)] | None = None
    base64: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one(self) -> PhotoIn:
        if (self.url is None) == (self.base64 is None):
            raise ValueError("give either url or base64")
        return self


class OfferIn(_Given):
    """What is known of a listing besides its photos."""

    id: _Id
    seller: _Text | None = None
    territory: Annotated[str, Field(max_length=20)] | None = None
    price: Annotated[Decimal, Field(max_digits=30, decimal_places=10)] | None = None
    currency: Annotated[str, Field(max_length=20)] | None = None
    title: _Text | None = None
    url: Annotated[str, Field(max_length=8000)] | None = None


class ListingIn(OfferIn):
    """A listing to check."""

    photos: Annotated[list[PhotoIn], Field(min_length=1, max_length=MOST_PHOTOS)]


class MatchOut(BaseModel):
    """A product that a photo of the listing resembles. `region` is left, top, right, bottom in 0 to 1 of the photo."""

    reference: str
    product: str
    brand: str
    verdict: str | None
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
    """What the answer was made with: digests of the index and its harmless photos, labels of policy and encoder."""

    index: str
    harmless: str | None
    policy: str
    encoder: str


class FindingOut(BaseModel):
    """The decision about a listing: `match` decided, `candidates` are all products that were found, it included."""

    finding: str
    listing: str
    verdict: Literal["flagged", "review", "clear", "authorised", "unprotected", "unreadable"]
    kind: str | None
    match: MatchOut | None
    candidates: list[MatchOut]
    photos: list[PhotoOut]
    error: str | None
    hint: str | None
    rights: list[dict[str, Any]] | None
    scanned_at: datetime
    versions: VersionsOut
    milliseconds: dict[str, float]
