"""List the findings that are worth a look: the strongest, as many as there is time for, or with few false ones.

With --false-share and LABELS (as `tune --findings` takes them): conformal selection, so that on average at most that
share of the list is no look-alike, provided the labels are of listings from the same stream.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from lookalike.errors import TableError
from lookalike.scripts.cli import DONE, Quiet, note, run


def shortlist(
    findings: Annotated[Path, typer.Argument(help="Findings table.")],
    out: Annotated[Path, typer.Option("--out", help="Findings table to write: .csv, .parquet or .jsonl")],
    most: Annotated[int | None, typer.Option("--most", help="At most so many, the strongest.")] = None,
    false_share: Annotated[
        float | None, typer.Option("--false-share", help="At most this share of the list no look-alikes, on average.")
    ] = None,
    labels: Annotated[Path | None, typer.Option("--labels", help="For --false-share: labels of findings.")] = None,
    labelled: Annotated[
        Path | None, typer.Option("--labelled", help="The findings that LABELS are about; by default FINDINGS.")
    ] = None,
    quiet: Quiet = False,
) -> int:
    from lookalike.records import strength_of
    from lookalike.tables.files import require_ending
    from lookalike.tables.findings import read_findings, write_findings
    from lookalike.thresholds.guarantees import shortlist as choose
    from lookalike.thresholds.labels import labels_of_findings

    require_ending(out)
    if most is None and false_share is None:
        raise TableError("nothing limits the list; give --most K, or --false-share SHARE with --labels LABELS")
    if (false_share is None) != (labels is None) or (false_share is not None and not 0 < false_share < 1):
        raise TableError(
            f"came --false-share {false_share} and --labels {labels}; needed both, the share between 0 and 1"
        )
    rows = [row for row in read_findings(findings) if row["similarity"] is not None and not row.get("suppressed_by")]
    strength = np.array([strength_of(row) for row in rows], float)
    chosen = np.ones(len(rows), bool)
    if labels is not None and false_share is not None:
        known = labels_of_findings(labels, labelled or findings).pairs
        chosen = choose(strength, labelled=known.similarity, lookalike=known.lookalike, false_share=false_share)
    order = [int(at) for at in np.argsort(-strength, kind="stable") if chosen[at]][:most]
    write_findings([rows[at] for at in order], out)
    note(f"{len(order):,} of {len(rows):,} findings listed in {out}, strongest first", quiet=quiet)
    return DONE


def main(argv: list[str] | None = None) -> int:
    return run(shortlist, argv)


if __name__ == "__main__":
    raise SystemExit(main())
