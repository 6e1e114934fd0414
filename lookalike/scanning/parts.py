"""Findings kept in parts until all are there, so that an interrupted scan resumes where it stopped."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.disk import written
from lookalike.tables.files import writing_table
from lookalike.tables.findings import finding_schema

if TYPE_CHECKING:
    import pyarrow as pa

_BASIS = "scan.json"


@dataclass(frozen=True)
class ScanSummary:
    """What a scan found: the number of listings, of each verdict, and of listings with an error.

    A listing has an error if its row or one of its photos couldn't be used. `resumed` findings came from an earlier
    run that was interrupted.
    """

    listings: int
    verdicts: Mapping[str, int]
    errors: int
    resumed: int


def begin_parts(partial: Path, basis: str) -> int:
    """Prepare the folder of parts, and give the number of rows that it holds already.

    Parts that rest on another `basis` are removed.
    """
    import pyarrow.parquet as pq

    path = partial / _BASIS
    if path.is_file() and path.read_text(encoding="utf-8") == basis:
        return sum(pq.read_metadata(part).num_rows for part in parts_of(partial))
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    with written(path) as temporary:
        temporary.write_text(basis, encoding="utf-8")
    return 0


def parts_of(partial: Path) -> list[Path]:
    """The parts in the folder, in order."""
    return sorted(partial.glob("part-*.parquet"))


def part_path(partial: Path, number: int) -> Path:
    """The path of the part with that number."""
    return partial / f"part-{number:06}.parquet"


def write_part(path: Path, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> None:
    """Write a part; it appears whole or not at all, even if several processes write it."""
    with writing_table(path, schema) as writer:
        writer.write(rows)


def join_parts(partial: Path, out: Path, *, resumed: int) -> ScanSummary:
    """Join the parts to the findings table `out`, which appears whole or not at all."""
    import pyarrow.parquet as pq

    verdicts: Counter[str] = Counter()
    errors = 0
    with writing_table(out, finding_schema()) as writer:
        for part in parts_of(partial):
            with pq.ParquetFile(part) as file:
                table = file.read()
            verdicts.update(table["verdict"].to_pylist())
            errors += table.num_rows - table["error"].null_count
            writer.write_table(table)
    return ScanSummary(verdicts.total(), dict(verdicts), errors, resumed)
