"""Listings as the library takes them, and findings as the API answers them."""

from __future__ import annotations

import base64
import binascii
from decimal import Decimal

from lookalike.records import Listing, Match, photo_name

from .checking import Checked
from .problems import Problem
from .schemas import FindingOut, ListingIn, MatchOut, Offer, Photo, PhotoAt, PhotoOut, VersionsOut


def listing_of(given: ListingIn, *, most: int) -> Listing:
    """The listing as the library takes it. Raises a Problem, 422, for too many photos or what is no base64."""
    return offered(given, [photo_of(photo, f"photos.{at}") for at, photo in enumerate(given.photos)], most=most)


def offered(given: Offer, images: list[str | bytes], *, most: int) -> Listing:
    """The listing with these photos. Raises a Problem, 422, for too many."""
    if len(images) > most:
        raise Problem(422, "too_many_photos", f"there are {len(images)} photos, of which up to {most} are looked at; "
                      "leave some out")  # fmt: skip
    price = None if given.price is None else Decimal(given.price)
    return Listing(given.id, images, given.seller, given.territory, price, given.currency, given.title, given.url)


def photo_of(photo: Photo, where: str) -> str | bytes:
    """The address or the bytes of a photo. Raises a Problem, 422, for what is no base64."""
    if isinstance(photo, PhotoAt):
        return photo.url
    try:
        return base64.b64decode(photo.base64, validate=True)
    except (binascii.Error, ValueError):
        raise Problem(422, "base64", f"{where} is not base64; encode the file's bytes by RFC 4648, 4") from None


def finding_out(checked: Checked) -> FindingOut:
    """The answer; never a photo's bytes."""
    finding, candidates = checked.finding, [match_out(match) for match in checked.finding.matches]
    photos = [
        PhotoOut(name=photo_name(image, read.sha256), sha256=read.sha256, reason=read.reason, error=read.error,
                 hint=read.hint)
        for image, read in zip(finding.listing.images, checked.reads, strict=True)
    ]  # fmt: skip
    decided = (finding.brand, finding.product)
    return FindingOut.model_validate({
        "finding": checked.id,
        "listing": finding.listing.id,
        "verdict": finding.verdict,
        "kind": finding.kind,
        "match": next((each for each in candidates if (each.brand, each.product) == decided), None),
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
        verdict=match.verdict,
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
