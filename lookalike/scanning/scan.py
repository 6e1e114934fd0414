"""Any number of listings to a findings table, in bounded memory; an interrupted scan resumes where it stopped."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.detection.detector import Detector
from lookalike.records import Finding, Listing
from lookalike.tables.files import require_ending
from lookalike.tables.findings import finding_row, finding_schema

from .basis import Basis
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

    Findings are kept in parts in the folder `out`.partial; `out` appears, or is replaced, once all are there. After an
    interruption, the same call skips the listings that are done if `fingerprint` (which identifies the listings),
    index, policy and encoder are the same. No picture is embedded twice in a scan, or at all if `cache` has its vector,
    and no pair is compared twice. `progress` is called with the number of listings done since the last call.
    Raises TableError for another ending.
    """
    from lookalike.index.blobs import BlobCache
    from lookalike.index.vector_cache import VectorCache

    out = Path(out)
    require_ending(out)
    partial = out.with_name(out.name + ".partial")
    done = begin_parts(partial, f"listings {fingerprint}\n{Basis.of(detector)}")
    remaining = iter(listings)
    skipped = sum(1 for _ in islice(remaining, done))
    if progress is not None and skipped:
        progress(skipped)
    with (
        nullcontext(cache) if cache else VectorCache(partial / "vectors.sqlite", detector.encoder.spec) as vectors,
        BlobCache(partial / "verified.sqlite") as verified,
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
