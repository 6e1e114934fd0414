"""The findings table: a finding as a row of it, and back. The one place that knows its columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.errors import TableError
from lookalike.records import NAMELESS, Finding, Listing, Match, Reference, Verdict, Verification

from .files import TableWriter, read_rows

if TYPE_CHECKING:
    import pyarrow as pa

Row = Mapping[str, Any]
_PART_ROWS = 1024
FINDING_COLUMNS = ("listing_id", "verdict", "policy", "encoder")
"""What a table must have to be one of findings."""


_NUMBERS = ("similarity", "normalised_similarity", "probability", "threshold", "price", "inliers", "coverage")


_TRUTH = {"true": True, "false": False}


def finding_row(finding: Finding) -> dict[str, Any]:
    """A finding as a row of the findings table."""
    listing = finding.listing
    decided = (finding.brand, finding.product)
    match = next((m for m in finding.matches if (m.reference.brand, m.reference.product) == decided), None)
    best: Reference | None = match.reference if match else None
    verification = match.verification if match else None
    return {
        "listing_id": listing.id,
        "verdict": str(finding.verdict),
        "kind": finding.kind,
        "brand": finding.brand,
        "product_id": finding.product,
        "reference_id": best.id if best else None,
        "similarity": finding.similarity,
        "normalised_similarity": finding.normalised_similarity,
        "probability": finding.probability,
        "threshold": finding.threshold,
        "inliers": verification.inliers if verification else None,
        "coverage": verification.coverage if verification else None,
        "mirrored": verification.mirrored if verification else None,
        "image": finding.image or (str(listing.images[0]) if listing.images else None),
        "reference_image": str(best.image) if best else None,
        "seller_id": listing.seller,
        "territory": listing.territory,
        "price": listing.price,
        "currency": listing.currency,
        "title": listing.title,
        "url": listing.url,
        "policy": finding.policy,
        "encoder": finding.encoder,
        "error": finding.error,
        "hint": finding.hint,
        "suppressed_by": finding.suppressed_by,
        "image_sha256": finding.image_sha256,
        "similarity_verdict": None if finding.similarity_verdict is None else str(finding.similarity_verdict),
        "rights": finding.rights,
        "rights_basis": finding.rights_basis,
        "scanned_at": finding.scanned_at,
        "candidates": _candidates_text(finding),
    }


def _candidates_text(finding: Finding) -> str | None:
    """All that a finding's matches say, as JSON, so that another policy can judge them without embedding anything.

    The sha256 of a photo's bytes stands only where the photo is another than the finding's.
    """
    kept = [
        {
            "reference_id": match.reference.id,
            "product_id": match.reference.product,
            "brand": match.reference.brand,
            "reference_image": str(match.reference.image),
            "image": match.image,
            "similarity": match.similarity,
            "normalised_similarity": match.normalised_similarity,
            "margin": match.margin,
            "probability": match.probability,
            "kind": match.kind,
            "verdict": match.verdict,
            "threshold": match.threshold,
            "image_sha256": match.image_sha256 if match.image != finding.image else None,
            "suppressed_by": match.suppressed_by,
            "verification": vars(match.verification) if match.verification else None,
        }
        for match in finding.matches
    ]
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":")) if kept else None


def finding_schema() -> pa.Schema:
    """The findings table's columns and types; every value but listing_id, verdict, policy and encoder may be null."""
    import pyarrow as pa

    types = {
        "similarity": pa.float32(),
        "normalised_similarity": pa.float32(),
        "probability": pa.float64(),
        "threshold": pa.float64(),
        "price": pa.float64(),
        "inliers": pa.int32(),
        "coverage": pa.float32(),
        "mirrored": pa.bool_(),
    }
    example = finding_row(Finding(Listing("", ()), Verdict.CLEAR, "", ""))
    return pa.schema([(name, types.get(name, pa.string())) for name in example])


def read_findings(path: str | Path) -> Iterator[dict[str, Any]]:
    """The rows of a findings table; empty text is None, numbers are numbers whatever the format.

    Raises TableError for a table that is missing, empty, or not one of findings.
    """
    for line in read_rows(Path(path), required=FINDING_COLUMNS):
        if line.error:
            raise TableError(f"{path}: {line.error}")
        row = {name: None if value == "" else value for name, value in line.values.items()}
        try:
            for name in _NUMBERS:
                value = row.get(name)
                row[name] = None if value is None else float(value)
            row["inliers"] = None if row["inliers"] is None else int(row["inliers"])
            name, value = "mirrored", row.get("mirrored")
            row[name] = None if value is None else _TRUTH[str(value).lower()]
        except KeyError:
            raise TableError(
                f"{path}: row {line.number} has mirrored {str(value)[:40]!r}; needed true or false"
            ) from None
        except (TypeError, ValueError) as error:
            raise TableError(f"{path}: row {line.number} has {name} {str(value)[:40]!r}; needed a number") from error
        yield row


def write_findings(rows: Iterable[Mapping[str, Any]], path: str | Path) -> None:
    """Write rows of a findings table, in one step. Raises TableError for another ending."""
    path = Path(path)
    temporary = path.with_name(path.name + ".tmp")
    writer = TableWriter(temporary, finding_schema(), ending=path.suffix.lower())
    remaining = iter(rows)
    while part := list(islice(remaining, _PART_ROWS)):
        writer.write(part)
    writer.close()
    temporary.replace(path)


def said_by_similarity(row: Row) -> str:
    """The verdict of a row before rights and sellers were asked for."""
    return str(row.get("similarity_verdict") or row["verdict"])


def stored(row: Row) -> tuple[Finding, list[Match]]:
    """The finding of a row, and what its photos are alike to."""
    listing = Listing(
        id=str(row["listing_id"]),
        images=(),
        seller=row.get("seller_id"),
        territory=row.get("territory"),
        price=row.get("price"),
        currency=row.get("currency"),
        title=row.get("title"),
        url=row.get("url"),
    )
    finding = Finding(
        listing,
        Verdict(said_by_similarity(row)),
        str(row["policy"]),
        str(row["encoder"]),
        image=row.get("image"),
        error=row.get("error"),
        hint=row.get("hint"),
        image_sha256=row.get("image_sha256"),
        scanned_at=row.get("scanned_at"),
    )
    return finding, [] if finding.verdict is Verdict.UNREADABLE else matches_of(row)


def matches_of(row: Row) -> list[Match]:
    """What the photos of a finding's row are alike to. Raises TableError for candidates that can't be read."""
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
            raise TypeError(f"{type(entries).__name__} is no list")
        return [
            Match(
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
                verification=from_json(entry["verification"]) if entry.get("verification") else None,
                suppressed_by=entry["suppressed_by"],
                image_sha256=_sha256(row, entry),
                probability=_number(entry.get("probability")),
                verdict=Verdict(entry["verdict"]) if entry.get("verdict") else None,
                threshold=_number(entry.get("threshold")),
            )
            for entry in entries
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TableError(
            f"the candidates of listing {row['listing_id']} can't be read ({type(error).__name__}); scan again"
        ) from error


def match_of(row: Row) -> Match:
    """The one of a row's matches that decided. Raises TableError as `matches_of` does, and where it is none of them."""
    for match in matches_of(row):
        if (match.reference.brand, match.reference.product) == (row["brand"], row["product_id"]):
            return match
    raise TableError(f"the candidates of listing {row['listing_id']} lack what it is alike to; scan again")


def _sha256(row: Row, entry: Row) -> str | None:
    """That of the candidate's photo, which the row has where it is the finding's own; of nameless photos none."""
    own = row.get("image_sha256") if entry["image"] == row.get("image") else entry.get("image_sha256")
    return None if own is None or entry["image"] == NAMELESS else str(own)


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))


def from_json(values: dict[str, object]) -> Verification:
    """A verification from what `asdict` and JSON made of it. Raises TypeError, ValueError or KeyError for another."""
    inliers, coverage, mirrored, kind, outline = (
        values[name] for name in ("inliers", "coverage", "mirrored", "kind", "outline")
    )
    if not isinstance(inliers, int) or not isinstance(coverage, int | float) or not isinstance(outline, list):
        raise TypeError("a verification has a number of inliers, a coverage and an outline")
    return Verification(
        inliers, float(coverage), bool(mirrored), str(kind), tuple((float(x), float(y)) for x, y in outline)
    )
