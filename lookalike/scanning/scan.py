"""Any number of listings to a findings table, in bounded memory; an interrupted scan resumes where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.detection.detector import Detector
from lookalike.disk import clear
from lookalike.records import Finding, Listing
from lookalike.tables.files import require_ending
from lookalike.tables.findings import finding_row, finding_schema

from .basis import Basis
from .parts import ScanSummary, begin_parts, join_parts, part_path, parts_of, write_part, writing_findings
from .verified_pairs import pairs_beside

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
    and no pair is compared twice. What was compared is kept beside `cache`, for later scans as well. `progress` is
    called with the number of listings done since the last call. Raises TableError for another ending, and while another
    process writes the same table.
    """
    out, basis = Path(out), f"listings {fingerprint}\n{Basis.of(detector)}"
    require_ending(out)
    with writing_findings(out) as partial:
        done = begin_parts(partial, basis)
        number = _write_parts(partial, listings, done=done, detector=detector, progress=progress, cache=cache)
        summary = join_parts(partial, out, basis=basis, count=number, resumed=done)
        clear(partial)
    return summary


def _write_parts(
    partial: Path,
    listings: Iterable[Listing],
    *,
    done: int,
    detector: Detector,
    progress: Callable[[int], None] | None,
    cache: VectorCache | None,
) -> int:
    """Judge the listings after those `done`, write their findings in parts, and give how many parts there are."""
    from lookalike.index.vector_cache import VectorCache

    remaining = iter(listings)
    skipped = sum(1 for _ in islice(remaining, done))
    if progress is not None and skipped:
        progress(skipped)
    with (
        nullcontext(cache)
        if cache
        else VectorCache(partial / "vectors.sqlite", detector.encoder.spec, optional=True) as vectors,
        pairs_beside(vectors.path) as verified,
    ):
        findings = _counted(detector.stream(remaining, cache=vectors, verified=verified), progress)
        number = len(parts_of(partial))
        while part := list(islice(findings, _PART_ROWS)):
            write_part(part_path(partial, number), [finding_row(finding) for finding in part], finding_schema())
            number += 1
    return number


def _counted(findings: Iterator[Finding], progress: Callable[[int], None] | None) -> Iterator[Finding]:
    for finding in findings:
        if progress is not None:
            progress(1)
        yield finding
