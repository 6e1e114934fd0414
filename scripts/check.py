"""Judge single pictures, without a table.

Each picture counts as a listing of its own.

Examples:
lookalike check photo.jpg --index genuine.index
lookalike check a.jpg b.jpg --index genuine.index --json
"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from lookalike.records import Finding, Listing, shown_source
from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import (
    EncoderOptions,
    IndexFolder,
    Json,
    PhotoOptions,
    PolicyFile,
)
from lookalike.scripts.terminal import note, output, print_json

_SHORT = ("verdict", "similarity", "normalised", "look", "probability", "points", "threshold")
_NUMBERS = {
    "similarity": "similarity",
    "normalised_similarity": "normalised",
    "look": "look",
    "probability": "probability",
}


def check(
    images: Annotated[list[str], typer.Argument(help="Pictures: paths, or URLs with an allowed scheme.")],
    index: IndexFolder,
    *,
    policy: PolicyFile = None,
    encoder: EncoderOptions,
    photos: PhotoOptions,
    as_json: Json = False,
) -> int:
    from lookalike.detection.detector import Detector
    from lookalike.tables.findings import finding_row

    detector = Detector.open(index, policy=policy, reader=photos.reader(), **vars(encoder))
    findings = detector.check_many(Listing(id=shown_source(image), images=image) for image in images)
    if as_json:
        for finding in findings:
            print_json(finding_row(finding))
    else:
        output().print(_table(findings))
        for finding in findings:
            if finding.error:
                note(finding.error)
    return Exit.SOME_ROWS_FAILED if any(finding.error for finding in findings) else Exit.DONE


def _table(findings: list[Finding]) -> Table:
    numbers = {
        name: column
        for name, column in _NUMBERS.items()
        if name == "similarity" or any(getattr(finding, name) is not None for finding in findings)
    }
    columns = ("picture", "verdict", "kind", *numbers.values(), "points", "threshold", "brand", "product", "reference")
    table = Table(*columns, box=None)
    for finding in findings:
        first = finding.matches[0] if finding.matches else None
        verification = first.verification if first else None
        shown = [_number(getattr(finding, name)) for name in numbers]
        shown += ["" if verification is None else str(verification.inliers), _number(finding.threshold)]
        kind, reference = (finding.kind or "").replace("_", " "), first.reference.id if first else ""
        table.add_row(
            finding.listing.id, finding.verdict, kind, *shown, finding.brand or "", finding.product or "", reference
        )
    for column in table.columns:
        column.overflow = "fold"  # a name cut short is no use
        column.no_wrap = column.header in _SHORT
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
