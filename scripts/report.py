"""Write the HTML page of a findings table: what was found, photo beside photo, with the evidence on a click."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookalike.scripts.cli import (
    DONE,
    EVIDENCE,
    Evidence,
    Private,
    Quiet,
    Scheme,
    Truncated,
    photo_reader,
    run,
    write_html_report,
)


def report(
    findings: Annotated[Path, typer.Argument(help="Findings table, whole or shortlisted.")],
    out: Annotated[Path, typer.Option("--out", help="HTML page to write.")],
    most: Annotated[int, typer.Option("--most", min=1, help="At most so many findings, the strongest.")] = 2000,
    evidence: Evidence = EVIDENCE,
    allow_scheme: Scheme = None,
    allow_private: Private = False,
    accept_truncated: Truncated = False,
    quiet: Quiet = False,
) -> int:
    reader = photo_reader(allow_scheme, private=allow_private, truncated=accept_truncated)
    write_html_report(findings, out, reader=reader, quiet=quiet, evidence=evidence, most=most)
    return DONE


def main(argv: list[str] | None = None) -> int:
    return run(report, argv)


if __name__ == "__main__":
    raise SystemExit(main())
