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

from lookalike.policy.numbers import numbers_of
from lookalike.records import Finding, Listing, shown_source
from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import (
    EncoderOptions,
    IndexFolder,
    Json,
    PhotoOptions,
    PolicyFile,
)
from lookalike.scripts.terminal import note, output, print_json, print_table
from lookalike.tables.findings import finding_row


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

    detector = Detector.open(index, policy=policy, reader=photos.reader(), **vars(encoder))
    findings = detector.check_many(Listing(id=shown_source(image), images=image) for image in images)
    if as_json:
        for finding in findings:
            print_json(finding_row(finding))
    else:
        print_table(_table(findings), output())
        for finding in findings:
            if finding.error:
                note(finding.error)
    return Exit.SOME_ROWS_FAILED if any(finding.error for finding in findings) else Exit.DONE


def _table(findings: list[Finding]) -> Table:
    """A row for each finding: first the number that its verdict rests on, and the thresholds for that."""
    numbers = [numbers_of(finding_row(finding)) for finding in findings]
    names = list(dict.fromkeys(number.name for known in numbers for number in known))
    decided = [name for name in names if any(known and known[0].name == name for known in numbers)]
    bands = ("review", "flag")
    columns = ["picture", "verdict", "kind", *decided, *(f"{band} from" for band in bands)]
    columns += [*(name for name in names if name not in decided), "points", "brand", "product", "reference"]
    table = Table(*columns, box=None)
    for finding, known in zip(findings, numbers, strict=True):
        match = finding.matches[0] if finding.matches else None
        points = match.verification.inliers if match and match.verification else ""
        shown = {
            "picture": finding.listing.id,
            "verdict": str(finding.verdict),
            "kind": (finding.kind or "").replace("_", " "),
            "points": str(points),
            "brand": finding.brand or "",
            "product": finding.product or "",
            "reference": match.reference.id if match else "",
            **{number.name: number.shown for number in known},
            **{f"{band} from": f"{value:.3f}" for number in known for band, value in number.thresholds.items()},
        }
        table.add_row(*(shown.get(column, "") for column in columns))
    return table


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
