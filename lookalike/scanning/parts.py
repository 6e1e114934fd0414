"""Findings kept in parts until all are there, so that an interrupted scan goes on where it was."""

from __future__ import annotations

import shutil
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.tables.files import TableWriter
from lookalike.tables.findings import finding_schema

if TYPE_CHECKING:
    import pyarrow as pa

_STATE = "scan.json"


@dataclass(frozen=True)
class ScanSummary:
    """What a scan found: listings per verdict, and how many carry an error (a photo unread, a bad row)."""

    listings: int
    verdicts: Mapping[str, int]
    errors: int
    resumed: int


def begin_parts(partial: Path, basis: str) -> int:
    """Make the folder of parts ready; gives how many rows of work on this very basis are there already."""
    import pyarrow.parquet as pq

    path = partial / _STATE
    if path.is_file() and path.read_text(encoding="utf-8") == basis:
        return sum(pq.read_metadata(part).num_rows for part in parts_of(partial))
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(basis, encoding="utf-8")
    temporary.replace(path)
    return 0


def parts_of(partial: Path) -> list[Path]:
    """The parts that are there, in order."""
    return sorted(partial.glob("part-*.parquet"))


def part_path(partial: Path, number: int) -> Path:
    """Where the part of that number is kept."""
    return partial / f"part-{number:06}.parquet"


def write_part(path: Path, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> None:
    """Write a part in one step, whoever else may be writing it, too."""
    temporary = path.with_suffix(f".{uuid.uuid4().hex}.tmp")
    writer = TableWriter(temporary, schema, ending=".parquet")
    writer.write(rows)
    writer.close()
    temporary.replace(path)


def join_parts(partial: Path, out: Path, *, resumed: int) -> ScanSummary:
    """Make the findings table of its parts, in one step; `resumed` of the findings were there before this run."""
    import pyarrow.parquet as pq

    verdicts: Counter[str] = Counter()
    errors = 0
    temporary = partial / "findings.tmp"
    writer = TableWriter(temporary, finding_schema(), ending=out.suffix.lower())
    for part in parts_of(partial):
        with pq.ParquetFile(part) as file:
            rows = file.read().to_pylist()
        verdicts.update(row["verdict"] for row in rows)
        errors += sum(row["error"] is not None for row in rows)
        writer.write(rows)
    writer.close()
    temporary.replace(out)
    return ScanSummary(verdicts.total(), dict(verdicts), errors, resumed)
