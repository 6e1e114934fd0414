"""Judge every listing of a table, and write a finding for each.

Run the same command again to resume an interrupted scan. With --since, only listings that changed are looked at.

Examples:
lookalike scan listings.csv --index genuine.index --out findings.parquet
lookalike scan listings.csv --index i --out f.csv --report report.html
lookalike scan listings.csv --index i --out f.csv --since state
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import (
    EVIDENCE,
    Address,
    CacheFile,
    Day,
    Device,
    EngineName,
    Evidence,
    FindingsOut,
    IndexFolder,
    Model,
    NoCache,
    PolicyFile,
    Private,
    Quiet,
    RegionsTable,
    ReportOut,
    RightsTable,
    Scheme,
    SellersTable,
    Truncated,
    Weights,
    Workers,
    cache_path,
    cluster,
    load_rights,
    note_unknown_brands,
    photo_reader,
    require_apart,
)
from lookalike.scripts.report import write_page
from lookalike.scripts.terminal import note, progress

if TYPE_CHECKING:
    from lookalike.scanning.changes import RescanSummary
    from lookalike.scanning.parts import ScanSummary


def scan(
    listings: Annotated[Path, typer.Argument(help="Table with listing_id and image, one or more photos a row.")],
    index: IndexFolder,
    out: FindingsOut,
    policy: PolicyFile = None,
    rights: RightsTable = None,
    sellers: SellersTable = None,
    regions: RegionsTable = None,
    day: Day = None,
    report: ReportOut = None,
    evidence: Evidence = EVIDENCE,
    since: Annotated[
        Path | None, typer.Option("--since", help="Folder with the last scan's state: look only at what changed.")
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
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.scanning.tables import DetectorSettings, scan_changed_table, scan_table

    on = cluster(engine, address, workers, device)
    if on is not None and since is not None:
        raise typer.BadParameter("--since needs --engine local")
    require_apart(
        {"--out": out, "--report": report, "--since": since, "--cache": cache},
        {"LISTINGS": listings, "--index": index, "--policy": policy, "--rights": rights, "--sellers": sellers,
         "--regions": regions, "--weights": weights},
    )  # fmt: skip
    reader = photo_reader(allow_scheme, private=allow_private, truncated=accept_truncated)
    asked = load_rights(rights, sellers, regions, quiet=quiet)
    settings = DetectorSettings(
        index,
        policy=policy,
        model=model,
        weights=weights,
        device=device,
        reader=reader,
        rights=rights,
        sellers=sellers,
        regions=regions,
        day=day.date() if day else None,
    )
    kept = cache_path(cache, off=no_cache)
    with progress("scanning listings", quiet=quiet) as advance:
        if since is not None:
            changed = scan_changed_table(
                listings, out, settings=settings, since=since, rights=asked, cache=kept, progress=advance
            )
        else:
            summary = scan_table(
                listings, out, settings=settings, rights=asked, cluster=on, cache=kept, progress=advance
            )
    status = print_changes(changed, out, quiet=quiet) if since is not None else _print(summary, out, quiet=quiet)
    if report is not None:
        write_page(out, report, reader=reader, evidence=evidence, quiet=quiet)
    if asked is not None:
        note_unknown_brands(asked, ReferenceIndex.load(index).catalogue["brand"].unique().to_pylist(), quiet=quiet)
        status = Exit.SOME_ROWS_FAILED if asked.unusable else status
    return status


def _print(summary: ScanSummary | RescanSummary, out: Path, *, quiet: bool) -> Exit:
    """Print what a scan found, and return the exit status."""
    verdicts = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(summary.verdicts.items()))
    note(f"{summary.listings:,} listings: {verdicts}; {summary.errors:,} with an error; findings in {out}", quiet=quiet)
    return Exit.SOME_ROWS_FAILED if summary.errors else Exit.DONE


def print_changes(summary: RescanSummary, out: Path, *, quiet: bool) -> Exit:
    """Print what a scan of changes found, did and saved, and return the exit status."""
    status = _print(summary, out, quiet=quiet)
    note(
        f"looked at {summary.looked_at:,}, judged {summary.judged:,} again by their vectors, kept {summary.kept:,}; "
        f"{summary.photos:,} pictures not read, which saved about {summary.spared:,.0f} s; "
        f"{summary.opened:,} opened to compare points",
        quiet=quiet,
    )
    return status


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
