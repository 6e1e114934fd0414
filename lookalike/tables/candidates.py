"""A finding's matches in the findings table: its column `candidates`, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from lookalike.errors import TableError
from lookalike.records import NAMELESS, Finding, Match, Reference, Verdict, Verification, photo_name, region_of

from .cells import json_text

Row = Mapping[str, Any]


def candidates_text(finding: Finding) -> str | None:
    """All of a finding's matches as JSON, so that another policy can judge them without embedding anything."""
    kept = [
        {
            "reference_id": match.reference.id,
            "product_id": match.reference.product,
            "brand": match.reference.brand,
            "reference_image": photo_name(match.reference.image),
            "image": match.image,
            "similarity": match.similarity,
            "normalised_similarity": match.normalised_similarity,
            "margin": match.margin,
            "probability": match.probability,
            "kind": match.kind,
            "verdict": match.verdict,
            "threshold": match.threshold,
            "flag_threshold": match.flag_threshold,
            "image_sha256": match.image_sha256,
            "suppressed_by": match.suppressed_by,
            "look": match.look,
            "look_margin": match.look_margin,
            "region": match.region,
            "verification": vars(match.verification) if match.verification else None,
        }
        for match in finding.matches
    ]
    return json_text(kept) if kept else None


def matches_of(row: Row) -> list[Match]:
    """The matches of a row's photos. Raises TableError for candidates that can't be read."""
    text = row.get("candidates")
    if text is None:
        if row.get("similarity") is not None:
            raise TableError(
                f"the finding of listing {row['listing_id']} has no candidates; scan again with this version"
            )
        return []
    try:
        entries = json.loads(text)
        if not isinstance(entries, list):
            raise TypeError(f"{type(entries).__name__} is not a list")
        return [_match(row, entry) for entry in entries]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TableError(
            f"the candidates of listing {row['listing_id']} can't be read ({type(error).__name__}); scan again"
        ) from error


def _match(row: Row, entry: Row) -> Match:
    return Match(
        reference=Reference(
            id=str(entry["reference_id"]),
            product=str(entry["product_id"]),
            brand=str(entry["brand"]),
            image=str(entry["reference_image"]),
        ),
        similarity=float(entry["similarity"]),
        normalised_similarity=_number(entry["normalised_similarity"]),
        image=entry["image"],
        margin=_number(entry.get("margin")),
        verification=Verification.from_dict(entry["verification"]) if entry.get("verification") else None,
        suppressed_by=entry["suppressed_by"],
        image_sha256=_sha256(row, entry),
        probability=_number(entry.get("probability")),
        verdict=Verdict(entry["verdict"]) if entry.get("verdict") else None,
        threshold=_number(entry.get("threshold")),
        flag_threshold=_number(entry.get("flag_threshold")),
        look=_number(entry.get("look")),
        look_margin=_number(entry.get("look_margin")),
        region=None if entry.get("region") is None else region_of(entry["region"]),
    )


def match_of(row: Row) -> Match:
    """The match of a row that decided. Raises TableError as `matches_of` does, and if that match is missing."""
    match = deciding_match(matches_of(row), row["brand"], row["product_id"])
    if match is None:
        raise TableError(f"the candidates of listing {row['listing_id']} lack the product that decided; scan again")
    return match


def kind_of(row: Row) -> str | None:
    """The kind of the match of a row that decided, also if the finding is clear; None if the row doesn't tell."""
    if row.get("candidates") is None:
        return row.get("kind")
    match = deciding_match(matches_of(row), row["brand"], row["product_id"])
    return None if match is None else match.kind


def region_in(row: Row) -> tuple[float, float, float, float] | None:
    """The part of its photo by which a row was decided (see `Match.region`); None for the whole, or if unknown."""
    if row.get("candidates") is None:
        return None
    try:
        match = deciding_match(matches_of(row), row.get("brand"), row.get("product_id"))
    except TableError:
        return None
    return None if match is None else match.region


def deciding_match(matches: Iterable[Match], brand: str | None, product: str | None) -> Match | None:
    """The match with that product of that brand, if there is one."""
    return next((m for m in matches if (m.reference.brand, m.reference.product) == (brand, product)), None)


def _sha256(row: Row, entry: Row) -> str | None:
    """The sha256 of a candidate's photo; where older tables lack it, the row's own if it is the row's photo."""
    same = entry["image"] == row.get("image") != NAMELESS
    own = entry.get("image_sha256") or (row.get("image_sha256") if same else None)
    return None if own is None else str(own)


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))
