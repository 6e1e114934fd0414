"""Judge every listing of a table, with a finding for each.

Run the same command again to resume an interrupted scan. With --since, only listings that changed are looked at.

Examples:
lookalike scan listings.csv --index genuine.index --out findings.parquet
lookalike scan listings.csv --index i --out f.csv --report report.html
lookalike scan listings.csv --index i --out f.csv --since state
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import (
    EVIDENCE,
    CacheOptions,
    EncoderOptions,
    EngineOptions,
    Evidence,
    FindingsOut,
    IndexFolder,
    PhotoOptions,
    PolicyFile,
    Quiet,
    ReportOut,
    RightsOptions,
    TableOptions,
    detector_settings,
    note_unknown_brands,
)
from lookalike.scripts.outputs import FOLDER, PAGE, TABLE, require_outputs
from lookalike.scripts.report import write_page
from lookalike.scripts.terminal import counted, note, progress

if TYPE_CHECKING:
    from lookalike.scanning.parts import ScanSummary
    from lookalike.scanning.run import RescanSummary


def scan(
    listings: Annotated[Path, typer.Argument(help="Table with listing_id and image, one or more photos a row.")],
    index: IndexFolder,
    out: FindingsOut,
    *,
    policy: PolicyFile = None,
    rights: RightsOptions,
    report: ReportOut = None,
    evidence: Evidence = EVIDENCE,
    since: Annotated[
        Path | None, typer.Option("--since", help="Folder with the last scan's state: look only at what changed.")
    ] = None,
    table: TableOptions,
    encoder: EncoderOptions,
    photos: PhotoOptions,
    cache: CacheOptions,
    engine: EngineOptions,
    quiet: Quiet = False,
) -> int:
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.scanning.tables import scan_changed_table, scan_table
    from lookalike.tables.inputs import count_listings

    on = engine.cluster(encoder.device)
    if on is not None and since is not None:
        raise typer.BadParameter("--since needs --engine local")
    require_outputs(
        {"--out": (out, TABLE), "--report": (report, PAGE), "--since": (since, FOLDER), "--cache": (cache.cache, None)},
        {"LISTINGS": listings, "--index": index, "--policy": policy, "--weights": encoder.weights, **rights.tables},
    )
    reader, layout = photos.reader(), table.layout
    asked = rights.load(quiet=quiet)
    settings = detector_settings(index, policy, rights, encoder, reader)
    total = partial(count_listings, listings, layout)
    with progress("scanning listings", total=total, quiet=quiet) as advance:
        if since is not None:
            changed = scan_changed_table(
                listings, out, settings=settings, since=since, rights=asked, cache=cache.path, progress=advance,
                layout=layout,
            )  # fmt: skip
        else:
            summary = scan_table(
                listings, out, settings=settings, rights=asked, cluster=on, cache=cache.path, progress=advance,
                layout=layout,
            )  # fmt: skip
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
    note(
        f"{counted(summary.listings, 'listing')}: {verdicts}; {summary.errors:,} with an error; findings in {out}",
        quiet=quiet,
    )
    return Exit.SOME_ROWS_FAILED if summary.errors else Exit.DONE


def print_changes(summary: RescanSummary, out: Path, *, quiet: bool) -> Exit:
    """Print what a scan of changes found, did and saved, and return the exit status."""
    status = _print(summary, out, quiet=quiet)
    note(
        f"looked at {summary.looked_at:,}, judged {summary.judged:,} again by their vectors, kept {summary.kept:,}; "
        f"{counted(summary.photos, 'picture')} not read, which saved about {summary.spared:,.0f} s; "
        f"{summary.opened:,} opened to compare points",
        quiet=quiet,
    )
    return status


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
