"""Listings of any number to a findings table, in bounded memory; an interrupted scan goes on where it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, nullcontext
from dataclasses import asdict
from datetime import date
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.detection.detector import Detector
from lookalike.records import Finding, Listing
from lookalike.tables.files import require_ending
from lookalike.tables.findings import finding_row, finding_schema

from .parts import ScanSummary, begin_parts, join_parts, part_path, parts_of, write_part

if TYPE_CHECKING:
    from lookalike.index.vector_cache import VectorCache


_PART_ROWS = 1024


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
        number = len(parts_of(partial))
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
