"""List the findings that are worth a look.

These are the strongest, or a list with few false ones. With --false-share and --labels (as for tune --findings), on
average at most that share of the list are no look-alikes, if the labels are of listings from the same stream
(conformal selection). With --history or --verdicts, findings that a person decided about are left out.

Examples:
lookalike shortlist findings.parquet --most 200 --out today.csv
lookalike shortlist f.csv --false-share 0.1 --labels l.csv --out today.csv
lookalike shortlist f.csv --most 200 --history history.jsonl --out today.csv
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import DecisionOptions, FindingsOut, Quiet
from lookalike.scripts.outputs import TABLE, require_outputs
from lookalike.scripts.terminal import counted, note, note_contradicted


def shortlist(
    findings: Annotated[Path, typer.Argument(help="Findings table.")],
    out: FindingsOut,
    *,
    most: Annotated[int | None, typer.Option("--most", min=1, help="List up to this many, the strongest.")] = None,
    false_share: Annotated[
        float | None,
        typer.Option("--false-share", help="Share of the list that may be no look-alikes, on average."),
    ] = None,
    labels: Annotated[Path | None, typer.Option("--labels", help="For --false-share: labels of findings.")] = None,
    labelled: Annotated[
        Path | None, typer.Option("--labelled", help="Findings that the labels are about; by default FINDINGS.")
    ] = None,
    decided: DecisionOptions,
    quiet: Quiet = False,
) -> int:
    from lookalike.tables.findings import write_findings
    from lookalike.thresholds.shortlist import shortlist_findings

    inputs = {"FINDINGS": findings, "--labels": labels, "--labelled": labelled, **decided.tables}
    require_outputs({"--out": (out, TABLE)}, inputs)
    known = decided.decisions()
    chosen = shortlist_findings(
        findings,
        most=most,
        false_share=false_share,
        labels=labels,
        labelled=labelled,
        settled=known.settle if known is not None else None,
    )
    write_findings(chosen.rows, out)
    listed = f"{len(chosen.rows):,} of {counted(chosen.considered, 'finding')} listed in {out}, strongest first"
    note(listed, quiet=quiet)
    note_contradicted(chosen.contradicted)
    if known is not None:
        note(f"{counted(chosen.settled, 'finding')} left out, decided by {decided.named}", quiet=quiet)
    return Exit.DONE


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
