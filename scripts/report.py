"""Write an HTML report of a findings table.

It shows photo beside photo, with the evidence one click away. With --history or --verdicts, findings that a person
decided about are left out.

Examples:
lookalike report findings.parquet --out report.html
lookalike report today.csv --out report.html --most 200 --evidence 200
lookalike report f.csv --out report.html --history history.jsonl
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import (
    EVIDENCE,
    DecisionOptions,
    Evidence,
    PhotoOptions,
    Quiet,
)
from lookalike.scripts.outputs import PAGE, require_outputs
from lookalike.scripts.terminal import counted, note, progress

if TYPE_CHECKING:
    from lookalike.cases.history import Decisions
    from lookalike.index.embedding import PhotoReader

_MOST = 2000


def report(
    findings: Annotated[Path, typer.Argument(help="Findings table, complete or a shortlist.")],
    out: Annotated[Path, typer.Option("--out", help="HTML file to write.")],
    *,
    most: Annotated[int, typer.Option("--most", min=1, help="Show up to this many findings, the strongest.")] = _MOST,
    evidence: Evidence = EVIDENCE,
    decided: DecisionOptions,
    photos: PhotoOptions,
    quiet: Quiet = False,
) -> int:
    require_outputs({"--out": (out, PAGE)}, {"FINDINGS": findings, **decided.tables})
    write_page(
        findings, out, reader=photos.reader(), evidence=evidence, quiet=quiet, most=most, decisions=decided.decisions()
    )
    return Exit.DONE


def write_page(
    findings: Path,
    out: Path,
    *,
    reader: PhotoReader,
    evidence: int,
    quiet: bool,
    most: int = _MOST,
    decisions: Decisions | None = None,
) -> None:
    """Write the report of a findings table, with thumbnails and the evidence of what a person has to decide.

    With `decisions`, findings have the verdicts that those give, and the settled ones are left out.
    """
    from lookalike.cases.history import Undecided
    from lookalike.evidence.explain import evidence_of
    from lookalike.evidence.photos import MOVED, photo_of
    from lookalike.scanning.report import write_report
    from lookalike.tables.findings import read_last_findings

    rows = read_last_findings(findings)
    undecided = None if decisions is None else Undecided(rows, decisions)
    with progress("composing evidence", quiet=quiet) as advance:
        summary = write_report(
            rows if undecided is None else undecided,
            out,
            thumbnail=photo_of(reader),
            most=most,
            evidence=evidence_of(reader),
            most_evidence=evidence,
            progress=advance,
        )
    more = f", {summary.left_out:,} weaker ones left out" if summary.left_out else ""
    shown = f"report with {counted(summary.shown, 'finding')}{more}, {summary.evidence:,} with evidence: {out}"
    note(shown, quiet=quiet)
    if summary.without_genuine:
        missing = f"the genuine photos of {counted(summary.without_genuine, 'finding')} can't be read any more"
        note(f"{missing} (first: {summary.first_without}); {MOVED}; then scan again", quiet=quiet)
    if undecided is not None:
        note(f"{counted(undecided.left_out, 'finding')} left out, decided by a person", quiet=quiet)


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
