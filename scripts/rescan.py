"""Update findings after the references of an index changed.

The listings are not read again; their vectors are in the state that scan --since left. If that scan took rights or
sellers into account, give their tables again.

Examples:
lookalike rescan --since state --index genuine.index --out findings.parquet
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import (
    EVIDENCE,
    EncoderOptions,
    Evidence,
    FindingsOut,
    IndexFolder,
    PhotoOptions,
    PolicyFile,
    Quiet,
    ReportOut,
    RightsOptions,
    detector_settings,
)
from lookalike.scripts.outputs import FOLDER, PAGE, TABLE, require_outputs
from lookalike.scripts.report import write_page
from lookalike.scripts.scan import print_changes
from lookalike.scripts.terminal import progress


def rescan(
    since: Annotated[Path, typer.Option("--since", help="Folder with the scan's state, as scan --since left it.")],
    index: IndexFolder,
    out: FindingsOut,
    *,
    policy: PolicyFile = None,
    rights: RightsOptions,
    report: ReportOut = None,
    evidence: Evidence = EVIDENCE,
    encoder: EncoderOptions,
    photos: PhotoOptions,
    quiet: Quiet = False,
) -> int:
    from lookalike.scanning.changes import rescan_references

    require_outputs(
        {"--out": (out, TABLE), "--report": (report, PAGE), "--since": (since, FOLDER)},
        {"--index": index, "--policy": policy, "--weights": encoder.weights, **rights.tables},
    )
    reader = photos.reader()
    asked = rights.load(quiet=quiet)
    settings = detector_settings(index, policy, rights, encoder, reader)
    with progress("comparing listings with the changed references", quiet=quiet) as advance:
        summary = rescan_references(detector=settings.open(asked), since=since, out=out, progress=advance)
    status = print_changes(summary, out, quiet=quiet)
    if report is not None:
        write_page(out, report, reader=reader, evidence=evidence, quiet=quiet)
    return Exit.SOME_ROWS_FAILED if asked is not None and asked.unusable else status


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
