"""Update findings after the references of an index changed.

The listings are not read again; their vectors are in the state that scan --since left.

Examples:
lookalike rescan --since state --index genuine.index --out findings.parquet
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookalike.scripts.command import run
from lookalike.scripts.options import (
    EVIDENCE,
    Device,
    Evidence,
    FindingsOut,
    IndexFolder,
    Model,
    PolicyFile,
    Private,
    Quiet,
    ReportOut,
    Scheme,
    Truncated,
    Weights,
    photo_reader,
)
from lookalike.scripts.scan import print_changes
from lookalike.scripts.terminal import progress


def rescan(
    since: Annotated[Path, typer.Option("--since", help="Folder with the scan's state, as scan --since left it.")],
    index: IndexFolder,
    out: FindingsOut,
    policy: PolicyFile = None,
    report: ReportOut = None,
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
    with progress("comparing listings with the changed references", quiet=quiet) as advance:
        summary = rescan_references(detector=detector, since=since, out=out, progress=advance)
    return print_changes(summary, out, report=report, reader=reader, quiet=quiet, evidence=evidence)


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
