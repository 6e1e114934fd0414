"""Write an HTML report of a findings table.

It shows photo beside photo, with the evidence one click away.

Examples:
lookalike report findings.parquet --out report.html
lookalike report today.csv --out report.html --most 200 --evidence 200
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import (
    EVIDENCE,
    Evidence,
    PhotoOptions,
    Quiet,
    require_apart,
)
from lookalike.scripts.terminal import note, progress

if TYPE_CHECKING:
    from lookalike.index.embedding import PhotoReader

_MOST = 2000


def report(
    findings: Annotated[Path, typer.Argument(help="Findings table, complete or a shortlist.")],
    out: Annotated[Path, typer.Option("--out", help="HTML file to write.")],
    *,
    most: Annotated[int, typer.Option("--most", min=1, help="Show up to this many findings, the strongest.")] = _MOST,
    evidence: Evidence = EVIDENCE,
    photos: PhotoOptions,
    quiet: Quiet = False,
) -> int:
    require_apart({"--out": out}, {"FINDINGS": findings})
    write_page(findings, out, reader=photos.reader(), evidence=evidence, quiet=quiet, most=most)
    return Exit.DONE


def write_page(
    findings: Path, out: Path, *, reader: PhotoReader, evidence: int, quiet: bool, most: int = _MOST
) -> None:
    """Write the report of a findings table, with thumbnails and the evidence of the strongest findings."""
    from lookalike.evidence.explain import evidence_of
    from lookalike.evidence.photos import photo_of
    from lookalike.scanning.report import write_report
    from lookalike.tables.findings import read_findings

    with progress("composing evidence", quiet=quiet) as advance:
        summary = write_report(
            read_findings(findings),
            out,
            thumbnail=photo_of(reader),
            most=most,
            evidence=evidence_of(reader),
            most_evidence=evidence,
            progress=advance,
        )
    more = f", {summary.left_out:,} weaker ones left out" if summary.left_out else ""
    note(f"report with {summary.shown:,} findings{more}, {summary.evidence:,} with evidence: {out}", quiet=quiet)


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
