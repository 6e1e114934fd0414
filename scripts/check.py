"""Judge pictures one by one, without a table: each is taken as a listing of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lookalike.records import Finding, Listing
from lookalike.scripts.cli import (
    DONE,
    SOME_ROWS_FAILED,
    Device,
    Model,
    PolicyFile,
    Private,
    Scheme,
    Truncated,
    Weights,
    note,
    photo_reader,
    run,
)

_SHORT = ("verdict", "similarity", "normalised", "probability", "points", "threshold")
_NUMBERS = {"similarity": "similarity", "normalised_similarity": "normalised", "probability": "probability"}


def check(
    images: Annotated[list[str], typer.Argument(help="Pictures: paths, or URLs of an allowed scheme.")],
    index: Annotated[Path, typer.Option("--index", help="Folder of the index.")],
    policy: PolicyFile = None,
    model: Model = None,
    weights: Weights = None,
    device: Device = None,
    allow_scheme: Scheme = None,
    allow_private: Private = False,
    accept_truncated: Truncated = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a picture.")] = False,
) -> int:
    from lookalike.detection.detector import Detector
    from lookalike.tables.findings import finding_row

    reader = photo_reader(allow_scheme, private=allow_private, truncated=accept_truncated)
    detector = Detector.open(index, policy=policy, model=model, weights=weights, device=device, reader=reader)
    findings = detector.check_many(Listing(id=image, images=(image,)) for image in images)
    if as_json:
        for finding in findings:
            print(json.dumps(finding_row(finding), ensure_ascii=False))
    else:
        Console(highlight=False, markup=False).print(_table(findings))
        for finding in findings:
            if finding.error:
                note(finding.error)
    return SOME_ROWS_FAILED if any(finding.error for finding in findings) else DONE


def _table(findings: list[Finding]) -> Table:
    told = {
        name: column
        for name, column in _NUMBERS.items()
        if name == "similarity" or any(getattr(finding, name) is not None for finding in findings)
    }
    table = Table("picture", "verdict", "kind", *told.values(), "points", "threshold", "brand", "product", "reference",
                  box=None)  # fmt: skip
    for finding in findings:
        reference = str(finding.matches[0].reference.id) if finding.matches else ""
        verification = finding.matches[0].verification if finding.matches else None
        shown = [_number(getattr(finding, name)) for name in told]
        shown += ["" if verification is None else str(verification.inliers), _number(finding.threshold)]
        brand, product, kind = finding.brand or "", finding.product or "", (finding.kind or "").replace("_", " ")
        table.add_row(finding.listing.id, finding.verdict, kind, *shown, brand, product, reference)
    for column in table.columns:
        column.overflow = "fold"  # a name cut short is no use
        column.no_wrap = column.header in _SHORT
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def main(argv: list[str] | None = None) -> int:
    return run(check, argv)


if __name__ == "__main__":
    raise SystemExit(main())
