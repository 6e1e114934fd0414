"""Bring a scan's findings up to date with an index whose references changed, without reading the listings again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookalike.scripts.cli import (
    EVIDENCE,
    Device,
    Evidence,
    Model,
    PolicyFile,
    Private,
    Quiet,
    Scheme,
    Truncated,
    Weights,
    photo_reader,
    progress,
    report_rescan,
    run,
)


def rescan(
    since: Annotated[Path, typer.Option(help="Folder with the state of the scan, as scan --since left it.")],
    index: Annotated[Path, typer.Option("--index", help="Folder of the index as it is now.")],
    out: Annotated[Path, typer.Option("--out", help="Findings table to write: .csv, .parquet or .jsonl")],
    new_references: Annotated[  # noqa: ARG001
        bool, typer.Option("--new-references", help="What changed: the references. There is no other kind yet.")
    ] = True,
    policy: PolicyFile = None,
    report: Annotated[Path | None, typer.Option("--report", help="HTML page to write, to look at.")] = None,
    evidence: Evidence = EVIDENCE,
    model: Model = None,
    weights: Weights = None,
    device: Device = None,
    allow_scheme: Scheme = None,
    allow_private: Private = False,
    accept_truncated: Truncated = False,
    quiet: Quiet = False,
) -> int:
    from lookalike.detection.detector import Detector
    from lookalike.scanning.changes import rescan_references

    reader = photo_reader(allow_scheme, private=allow_private, truncated=accept_truncated)
    detector = Detector.open(index, policy=policy, model=model, weights=weights, device=device, reader=reader)
    with progress("holding new references against listings", quiet=quiet) as advance:
        summary = rescan_references(detector=detector, since=since, out=out, progress=advance)
    return report_rescan(summary, out, report=report, reader=reader, quiet=quiet, evidence=evidence)


def main(argv: list[str] | None = None) -> int:
    return run(rescan, argv)


if __name__ == "__main__":
    raise SystemExit(main())
