"""Listings of any number to a findings table, in bounded memory; an interrupted scan goes on where it was."""

from __future__ import annotations

import json
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from datetime import date
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .detector import Detector
from .errors import TableError
from .records import Finding, Listing, Reference, Verdict
from .rows import TableWriter, read_rows, require_ending

if TYPE_CHECKING:
    import pyarrow as pa

    from lookalike.index.vector_cache import VectorCache

FINDING_COLUMNS = ("listing_id", "verdict", "policy", "encoder")
"""What a table must have to be one of findings."""

_PART_ROWS = 1024
_STATE = "scan.json"
_NUMBERS = ("similarity", "normalised_similarity", "probability", "threshold", "price", "inliers", "coverage")
_TRUTH = {"true": True, "false": False}


@dataclass(frozen=True)
class ScanSummary:
    """What a scan found: listings per verdict, and how many carry an error (a photo unread, a bad row)."""

    listings: int
    verdicts: Mapping[str, int]
    errors: int
    resumed: int


def scan_listings(
    listings: Iterable[Listing],
    *,
    detector: Detector,
    out: str | Path,
    fingerprint: str = "",
    progress: Callable[[int], None] | None = None,
    cache: VectorCache | None = None,
) -> ScanSummary:
    """Judge every listing and write one row for each to the table `out` (.csv, .parquet or .jsonl).

    Findings are kept in parts in the folder `out`.partial until all are there; `out` itself appears, or is
    replaced, at the end. The same call after a kill skips the listings whose findings are there, provided
    `fingerprint` (which names the listings), index, policy and encoder are the same. No picture is
    embedded twice in a scan, or at all if `cache` has its vector, and no pair compared twice. `progress` is told of
    listings done. Raises TableError for another ending.
    """
    from lookalike.index.blobs import BlobCache
    from lookalike.index.vector_cache import VectorCache

    out = Path(out)
    require_ending(out)
    partial = out.with_name(out.name + ".partial")
    done = begin_parts(partial, scan_basis(detector, fingerprint))
    remaining = iter(listings)
    skipped = sum(1 for _ in islice(remaining, done))
    if progress is not None and skipped:
        progress(skipped)
    with (
        nullcontext(cache) if cache else VectorCache(partial / "vectors.sqlite", detector.encoder.spec) as vectors,
        closing(BlobCache(partial / "verified.sqlite")) as verified,
    ):
        findings = _counted(detector.stream(remaining, cache=vectors, verified=verified), progress)
        number = len(_parts(partial))
        while part := list(islice(findings, _PART_ROWS)):
            write_part(part_path(partial, number), [finding_row(finding) for finding in part], finding_schema())
            number += 1
    summary = join_parts(partial, out, resumed=skipped)
    shutil.rmtree(partial)
    return summary


def _counted(findings: Iterator[Finding], progress: Callable[[int], None] | None) -> Iterator[Finding]:
    for finding in findings:
        if progress is not None:
            progress(1)
        yield finding


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


def scan_basis(detector: Detector, fingerprint: str) -> str:
    """What a scan's findings rest on, as text; one that is interrupted goes on only where this is the same."""
    values = {
        "listings": fingerprint,
        "index": detector.index.digest,
        "harmless": detector.harmless.digest if detector.harmless is not None else None,
        "encoder": detector.encoder.spec.to_json(),
        "policy": str(detector.policy),
        "top": detector.top,
        "rights": None if detector.rights is None else f"{detector.day or date.today()} {detector.rights.label}",
        "limits": str(detector.reader.limits),
        "access": {**asdict(detector.reader.access), "schemes": sorted(detector.reader.access.schemes)},
    }
    return json.dumps(values, sort_keys=True)


def begin_parts(partial: Path, basis: str) -> int:
    """Make the folder of parts ready; gives how many rows of work on this very basis are there already."""
    import pyarrow.parquet as pq

    path = partial / _STATE
    if path.is_file() and path.read_text(encoding="utf-8") == basis:
        return sum(pq.read_metadata(part).num_rows for part in _parts(partial))
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(basis, encoding="utf-8")
    temporary.replace(path)
    return 0


def _parts(partial: Path) -> list[Path]:
    return sorted(partial.glob("part-*.parquet"))


def part_path(partial: Path, number: int) -> Path:
    """Where the part of that number is kept."""
    return partial / f"part-{number:06}.parquet"


def write_part(path: Path, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> None:
    """Write a part in one step, whoever else may be writing it, too."""
    temporary = path.with_suffix(f".{uuid.uuid4().hex}.tmp")
    writer = TableWriter(temporary, schema, ending=".parquet")
    writer.write(rows)
    writer.close()
    temporary.replace(path)


def join_parts(partial: Path, out: Path, *, resumed: int) -> ScanSummary:
    """Make the findings table of its parts, in one step; `resumed` of the findings were there before this run."""
    import pyarrow.parquet as pq

    verdicts: Counter[str] = Counter()
    errors = 0
    temporary = partial / "findings.tmp"
    writer = TableWriter(temporary, finding_schema(), ending=out.suffix.lower())
    for part in _parts(partial):
        with pq.ParquetFile(part) as file:
            rows = file.read().to_pylist()
        verdicts.update(row["verdict"] for row in rows)
        errors += sum(row["error"] is not None for row in rows)
        writer.write(rows)
    writer.close()
    temporary.replace(out)
    return ScanSummary(verdicts.total(), dict(verdicts), errors, resumed)
