"""Judge every listing of a table against an index and write one finding for each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookalike.scripts.cli import (
    DONE,
    EVIDENCE,
    SOME_ROWS_FAILED,
    CacheFile,
    Day,
    Device,
    Evidence,
    NoCache,
    Private,
    Quiet,
    RegionsTable,
    RightsTable,
    Scheme,
    SellersTable,
    Truncated,
    Weights,
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


def scan(
    listings: Annotated[Path, typer.Argument(help="Table with listing_id and image, one row a photo.")],
    index: Annotated[Path, typer.Option("--index", help="Folder of the index.")],
    out: Annotated[Path, typer.Option("--out", help="Findings table to write: .csv, .parquet or .jsonl")],
    policy: Annotated[Path | None, typer.Option("--policy", help="Thresholds; by default the encoder's own.")] = None,
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
    model: Annotated[str | None, typer.Option("--model", help="The encoder; by default the index's own.")] = None,
    weights: Weights = None,
    device: Device = None,
    allow_scheme: Scheme = None,
    allow_private: Private = False,
    accept_truncated: Truncated = False,
    cache: CacheFile = None,
    no_cache: NoCache = False,
    quiet: Quiet = False,
) -> int:
    from lookalike.detector import Detector
    from lookalike.rescan import scan_changes
    from lookalike.rows import require_ending, require_readable
    from lookalike.scan import scan_listings
    from lookalike.tables import LISTING_COLUMNS, read_listings

    require_ending(out)
    require_readable(listings, required=LISTING_COLUMNS)
    reader = photo_reader(allow_scheme, private=allow_private, truncated=accept_truncated)
    asked = load_rights(rights, sellers, regions, quiet=quiet)
    detector = Detector.open(
        index, policy=policy, model=model, weights=weights, device=device, reader=reader, rights=asked,
        day=day.date() if day else None,
    )  # fmt: skip
    status = listings.stat()
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
            fingerprint=f"{listings.absolute()} {status.st_size} {status.st_mtime_ns}",
            progress=advance,
            cache=vectors,
        )
    verdicts = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(summary.verdicts.items()))
    note(
        f"{summary.listings:,} listings: {verdicts}; {summary.errors:,} with an error; findings in {out}",
        quiet=quiet,
    )
    if asked is not None:
        note_unknown_brands(asked, detector.index.catalogue["brand"].unique().to_pylist(), quiet=quiet)
    if report is not None:
        write_html_report(out, report, reader=reader, evidence=evidence, quiet=quiet)
    failed = summary.errors or (asked is not None and asked.unusable)
    return SOME_ROWS_FAILED if failed else DONE


def main(argv: list[str] | None = None) -> int:
    return run(scan, argv)


if __name__ == "__main__":
    raise SystemExit(main())
