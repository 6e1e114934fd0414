"""Judge every listing of a table against an index and write one finding for each."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.scripts.cli import (
    DONE,
    EVIDENCE,
    SOME_ROWS_FAILED,
    Address,
    CacheFile,
    Day,
    Device,
    EngineName,
    Evidence,
    Model,
    NoCache,
    PolicyFile,
    Private,
    Quiet,
    RegionsTable,
    RightsTable,
    Scheme,
    SellersTable,
    Truncated,
    Weights,
    Workers,
    cache_path,
    cluster,
    fingerprint,
    load_rights,
    note,
    note_unknown_brands,
    photo_reader,
    progress,
    report_rescan,
    run,
    vector_cache,
    write_html_report,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from lookalike.detection.detector import Detector
    from lookalike.index.embedding import PhotoReader
    from lookalike.rights.rights import Rights
    from lookalike.scanning.parts import ScanSummary


def scan(
    listings: Annotated[Path, typer.Argument(help="Table with listing_id and image, one row a photo.")],
    index: Annotated[Path, typer.Option("--index", help="Folder of the index.")],
    out: Annotated[Path, typer.Option("--out", help="Findings table to write: .csv, .parquet or .jsonl")],
    policy: PolicyFile = None,
    rights: RightsTable = None,
    sellers: SellersTable = None,
    regions: RegionsTable = None,
    day: Day = None,
    report: Annotated[Path | None, typer.Option("--report", help="HTML page to write, to look at.")] = None,
    evidence: Evidence = EVIDENCE,
    since: Annotated[
        Path | None,
        typer.Option(help="Folder with the state of the last scan, made if need be: look only at what changed since."),
    ] = None,
    model: Model = None,
    weights: Weights = None,
    device: Device = None,
    allow_scheme: Scheme = None,
    allow_private: Private = False,
    accept_truncated: Truncated = False,
    cache: CacheFile = None,
    no_cache: NoCache = False,
    engine: EngineName = "local",
    address: Address = None,
    workers: Workers = None,
    quiet: Quiet = False,
) -> int:
    from lookalike.detection.detector import Detector
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.scanning.changes import scan_changes
    from lookalike.scanning.scan import scan_listings
    from lookalike.tables.files import require_ending, require_readable
    from lookalike.tables.inputs import LISTING_COLUMNS, read_listings

    require_ending(out)
    require_readable(listings, required=LISTING_COLUMNS)
    reader = photo_reader(allow_scheme, private=allow_private, truncated=accept_truncated)
    asked = load_rights(rights, sellers, regions, quiet=quiet)
    opening = partial(
        Detector.open,
        index.absolute(),
        policy=policy and policy.absolute(),
        model=model,
        weights=weights,
        device=device,
        reader=reader,
        day=day.date() if day else None,
    )
    on = cluster(engine, address, workers, device)
    if on is not None:
        if since is not None:
            raise typer.BadParameter("--since needs --engine local")
        from lookalike.scanning.ray import scan_on_ray

        with progress("scanning listings", quiet=quiet) as advance:
            found = scan_on_ray(
                read_listings(listings),
                open_detector=partial(
                    _open, opening, *(path and path.absolute() for path in (rights, sellers, regions))
                ),
                out=out,
                cluster=on,
                fingerprint=fingerprint(listings),
                progress=advance,
                cache=cache_path(cache, off=no_cache),
            )
        brands = ReferenceIndex.load(index).catalogue["brand"] if asked is not None else None
        return _tell(found, out, report, reader, evidence, asked, brands, quiet=quiet)
    detector = opening(rights=asked)
    with (
        progress("scanning listings", quiet=quiet) as advance,
        vector_cache(cache, detector.encoder, off=no_cache) as vectors,
    ):
        if since is not None:
            return report_rescan(
                scan_changes(
                    read_listings(listings), detector=detector, since=since, out=out, progress=advance, cache=vectors
                ),
                out,
                report=report,
                reader=reader,
                quiet=quiet,
                evidence=evidence,
            )
        summary = scan_listings(
            read_listings(listings),
            detector=detector,
            out=out,
            fingerprint=fingerprint(listings),
            progress=advance,
            cache=vectors,
        )
    brands = detector.index.catalogue["brand"]
    return _tell(summary, out, report, reader, evidence, asked, brands, quiet=quiet)


def _open(opening: Callable[..., Detector], *tables: Path | None) -> Detector:
    """A detector with the rights of these tables, which each worker reads for itself."""
    return opening(rights=load_rights(*tables, quiet=True))


def _tell(
    summary: ScanSummary,
    out: Path,
    report: Path | None,
    reader: PhotoReader,
    evidence: int,
    rights: Rights | None,
    brands: pa.ChunkedArray | None,
    *,
    quiet: bool,
) -> int:
    """Say what a scan found, and write its page if asked for; gives the exit status."""
    verdicts = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(summary.verdicts.items()))
    note(
        f"{summary.listings:,} listings: {verdicts}; {summary.errors:,} with an error; findings in {out}",
        quiet=quiet,
    )
    if rights is not None and brands is not None:
        note_unknown_brands(rights, brands.unique().to_pylist(), quiet=quiet)
    if report is not None:
        write_html_report(out, report, reader=reader, evidence=evidence, quiet=quiet)
    failed = summary.errors or (rights is not None and rights.unusable)
    return SOME_ROWS_FAILED if failed else DONE


def main(argv: list[str] | None = None) -> int:
    return run(scan, argv)


if __name__ == "__main__":
    raise SystemExit(main())
