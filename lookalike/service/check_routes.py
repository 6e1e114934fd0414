"""POST /v1/check: one listing, as JSON or as a form with files; /v1/check:batch: many, JSON Lines back."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from fastapi import APIRouter, Depends

from lookalike.records import Listing, Match, photo_name

from .checking import Checked
from .problems import Problem, responses
from .schemas import FindingOut, ListingIn, MatchOut, PhotoIn, PhotoOut, VersionsOut
from .services import Services, require, services

router = APIRouter(prefix="/v1", tags=["check"], dependencies=[Depends(require("check"))])


@router.post("/check", responses=responses(), operation_id="check")
async def check(given: ListingIn, with_: Annotated[Services, Depends(services)]) -> FindingOut:
    """Judge one listing."""
    listing = listing_of(given, most=with_.settings.photos_per_listing)
    with with_.checks.place():
        return finding_out(await with_.checks.check(listing, with_.holder.borrow()))


def listing_of(given: ListingIn, *, most: int) -> Listing:
    """The listing as the library takes it. Raises a Problem, 422, for too many photos or what is no base64."""
    if len(given.photos) > most:
        raise Problem(422, "too_many_photos", f"listing {given.id[:60]} has {len(given.photos)} photos, "
                      f"of which up to {most} are looked at; leave some out")  # fmt: skip
    images = [_image(photo, at) for at, photo in enumerate(given.photos)]
    return Listing(given.id, images, given.seller, given.territory, given.price, given.currency, given.title, given.url)


def _image(photo: PhotoIn, at: int) -> str | bytes:
    if photo.url is not None:
        return photo.url
    try:
        return base64.b64decode(photo.base64 or "", validate=True)
    except binascii.Error:
        raise Problem(422, "base64", f"photo {at} is not base64; encode its bytes by RFC 4648, 4") from None


def finding_out(checked: Checked) -> FindingOut:
    """The answer; never a photo's bytes."""
    finding, candidates = checked.finding, [match_out(match) for match in checked.finding.matches]
    photos = [
        PhotoOut(
            name=photo_name(image, read.sha256),
            sha256=read.sha256,
            reason=read.reason,
            error=read.error,
            hint=read.hint,
        )
        for image, read in zip(finding.listing.images, checked.reads, strict=True)
    ]
    return FindingOut.model_validate({
        "finding": checked.id,
        "listing": finding.listing.id,
        "verdict": str(finding.verdict),
        "kind": finding.kind,
        "match": candidates[0] if candidates else None,
        "candidates": candidates,
        "photos": photos,
        "error": finding.error,
        "hint": finding.hint,
        "rights": None if finding.rights is None else [dict(each) for each in finding.rights],
        "scanned_at": finding.scanned_at,
        "versions": VersionsOut(**vars(checked.serving.versions)),
        "milliseconds": {stage: round(1000 * value, 1) for stage, value in checked.seconds.items()},
    })  # fmt: skip


def match_out(match: Match) -> MatchOut:
    """A match as it is answered."""
    compared = match.verification
    return MatchOut(
        reference=match.reference.id,
        product=match.reference.product,
        brand=match.reference.brand,
        verdict=None if match.verdict is None else str(match.verdict),
        kind=match.kind,
        similarity=match.similarity,
        look=match.look,
        probability=match.probability,
        threshold=match.threshold,
        flag_threshold=match.flag_threshold,
        points=None if compared is None else compared.inliers,
        coverage=None if compared is None else compared.coverage,
        mirrored=None if compared is None else compared.mirrored,
        photo=match.image,
        photo_sha256=match.image_sha256,
        region=match.region,
        suppressed_by=match.suppressed_by,
    )
