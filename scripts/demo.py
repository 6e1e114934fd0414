"""Do the main job on the embedded sample.

Indexes its genuine photos, scans its listings, prints the strongest findings and writes a report.

Examples:
lookalike demo
lookalike demo --out somewhere
"""

from __future__ import annotations

import csv
from collections import Counter
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from lookalike.policy.fusion import probability_text
from lookalike.records import Verdict
from lookalike.scripts.build import print_build
from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import Evidence, PhotoOptions
from lookalike.scripts.outputs import FOLDER, require_outputs
from lookalike.scripts.report import write_page
from lookalike.scripts.terminal import note, output, print_table, progress
from lookalike.tables.findings import FindingRow, strength_of

_SHOWN = (("flagged", 6), ("review", 4), ("clear", 3))


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the index, the findings and the report.")] = Path(
        "lookalike-demo"
    ),
    evidence: Evidence = 24,
) -> int:
    from lookalike.detection.detector import Detector
    from lookalike.index.build import build_index
    from lookalike.model.loading import load_encoder
    from lookalike.scanning.scan import scan_listings
    from lookalike.tables.findings import read_findings
    from lookalike.tables.inputs import count_listings, count_references, read_listings, read_references

    require_outputs({"--out": (out, FOLDER)})
    out.mkdir(parents=True, exist_ok=True)
    index, findings, report = out / "genuine.index", out / "findings.parquet", out / "report.html"
    with as_file(files("lookalike") / "sample") as sample:
        total = partial(count_references, sample / "references.csv")
        with progress("embedding genuine photos", total=total) as advance:
            built = build_index(
                read_references(sample / "references.csv"),
                index=index,
                encoder=load_encoder(),
                progress=advance,
            )
        print_build(built, index, quiet=False)
        with progress("scanning listings", total=partial(count_listings, sample / "listings.csv")) as advance:
            scan_listings(
                read_listings(sample / "listings.csv"),
                detector=Detector.open(index),
                out=findings,
                progress=advance,
            )
        rows = list(read_findings(findings))
        with open(sample / "listings.csv", encoding="utf-8", newline="") as file:
            truth = {row["listing_id"]: row["truth"] for row in csv.DictReader(file)}
        console = output()
        print_table(_examples(rows, truth), console)
        print_table(_counts(rows, truth), console)
        write_page(findings, report, reader=PhotoOptions().reader(), evidence=evidence, quiet=False)
    note(f"Open the report: {report.absolute().as_uri()}")
    return Exit.DONE


def _examples(rows: list[FindingRow], truth: dict[str, str]) -> Table:
    columns = ("listing", "verdict", "kind", "prob.", "similarity", "points", "alike to", "in truth")
    table = Table(*columns, title="Strongest findings", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for verdict, most in _SHOWN:
        chosen = [row for row in rows if row["verdict"] == verdict]
        chosen.sort(key=lambda row: -float(str(strength_of(row))))
        for row in chosen[:most]:
            listing = str(row["listing_id"])
            kind = str(row["kind"] or "").replace("_", " ")
            probability = probability_text(float(str(row["probability"])))
            numbers = (probability, _number(row["similarity"]), _number(row["inliers"]))
            table.add_row(listing, verdict, kind, *numbers, str(row["product_id"]), truth[listing])
    held = {verdict: sorted({_number(row["threshold"]) for row in rows if row["verdict"] == verdict})
            for verdict in ("flagged", "review")}  # fmt: skip
    bands = ", ".join(f"{verdict} from {' or '.join(from_)} on" for verdict, from_ in held.items() if from_)
    table.caption = f"by the probability: {bands}"
    return table


def _number(value: object) -> str:
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def _counts(rows: list[FindingRow], truth: dict[str, str]) -> Table:
    """How the verdicts fall on what the listings are in truth, which the detector is not told."""
    counts = Counter((truth[str(row["listing_id"])], row["verdict"]) for row in rows)
    verdicts = [Verdict.FLAGGED, Verdict.REVIEW, Verdict.CLEAR]
    table = Table("in truth", *verdicts, title="All listings", box=SIMPLE_HEAD)
    for kind in ("edited", "photo", "imitation", "variant", "unrelated"):
        table.add_row(kind, *(str(counts[kind, str(verdict)]) for verdict in verdicts))
    return table


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
