"""Findings kept in parts until all are there, so that an interrupted scan resumes where it stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.disk import clear, held, open_regular, read_regular, written
from lookalike.errors import TableError
from lookalike.tables.files import writing_table
from lookalike.tables.findings import finding_schema

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_BASIS = "scan.json"
_MOST_BASIS = 16 << 20


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


@contextmanager
def writing_findings(out: Path) -> Iterator[Path]:
    """Keep other processes from writing the findings table `out`, and give the folder for its parts.

    Raises TableError while another process writes the table.
    """
    partial = out.with_name(out.name + ".partial")
    busy = TableError(f"another process is writing {out}; wait until it is done, or choose another --out")
    with held(partial, busy):
        yield partial


def begin_parts(partial: Path, basis: str) -> int:
    """Prepare the folder of parts, and give the number of rows that it holds already.

    Parts that rest on another `basis` are removed.
    """
    path = partial / _BASIS
    if path.is_file() and _basis_of(partial) == basis.encode():
        return sum(map(_rows_in, parts_of(partial)))
    partial.mkdir(parents=True, exist_ok=True)
    clear(partial)
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


def join_parts(partial: Path, out: Path, *, basis: str, count: int, resumed: int) -> ScanSummary:
    """Join the parts to the findings table `out`, which appears whole or not at all.

    Raises TableError unless the folder holds exactly `count` parts of that `basis`: somebody changed it meanwhile.
    """
    expected = [part_path(partial, number) for number in range(count)]
    if parts_of(partial) != expected or _basis_of(partial) != basis.encode():
        raise TableError(f"the parts in {partial} were changed during the scan; remove that folder and scan again")
    verdicts: Counter[str] = Counter()
    errors = 0
    with writing_table(out, finding_schema()) as writer:
        for part in expected:
            with _opened(part) as file:
                table = file.read()
            verdicts.update(table["verdict"].to_pylist())
            errors += table.num_rows - table["error"].null_count
            writer.write_table(table)
    return ScanSummary(verdicts.total(), dict(verdicts), errors, resumed)


def _basis_of(partial: Path) -> bytes:
    return read_regular(partial / _BASIS, most=_MOST_BASIS)


def _rows_in(path: Path) -> int:
    with _opened(path) as file:
        return int(file.metadata.num_rows)


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """A part, to be read. Raises TableError if it is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_regular(path) as file, pq.ParquetFile(file) as parquet:
            yield parquet
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{path} can't be read ({error}); remove {path.parent} to scan everything again") from error
