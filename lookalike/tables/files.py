"""Rows of CSV, Parquet and JSON Lines files, by the file's ending: streaming, and a bad row never lost."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.errors import TableError

if TYPE_CHECKING:
    import pyarrow as pa

ENDINGS = (".csv", ".parquet", ".jsonl")

_BATCH_ROWS = 1024
_LINE_BYTES = 1 << 20

Row = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """A row as it stands in the file: its values, or why it could not be parsed."""

    number: int
    values: Row
    error: str | None = None


def read_rows(path: Path, *, required: Sequence[str] = ()) -> Iterator[Line]:
    """All rows of a table, in order, in bounded memory. CSV values stay text, so that "007" stays "007".

    Raises TableError for a table that is missing, empty, of another format or without a required column.
    """
    if not path.is_file():
        raise TableError(f"there is no table {path}")
    reader = {".csv": _read_csv, ".parquet": _read_parquet, ".jsonl": _read_jsonl}.get(path.suffix.lower())
    if reader is None:
        raise TableError(f"{path} ends in {path.suffix or 'nothing'}, needed one of {', '.join(ENDINGS)}")
    empty = True
    for line in reader(path, required):
        empty = False
        yield line
    if empty:
        raise TableError(f"{path} has no rows; needed at least one")


def require_readable(path: Path, *, required: Sequence[str]) -> None:
    """Raise what reading the table's first row would raise, so that a wrong call fails before long work."""
    next(read_rows(path, required=required), None)


def row_day(line: Line, column: str, otherwise: date) -> date:
    """The day in that column of a row, or where it is empty the other one.

    Raises ValueError for what is no day like 2026-12-31.
    """
    value = line.values.get(column)
    if isinstance(value, datetime):
        return value.date()
    try:
        return value if isinstance(value, date) else date.fromisoformat(str(value).strip()) if value else otherwise
    except ValueError:
        raise ValueError(f"row {line.number} has {column} {str(value)[:40]!r}; needed a day like 2026-12-31") from None


class TableWriter:
    """Writes rows of one schema, batch by batch, in the format of the path's ending.

    Raises TableError for another ending.
    """

    def __init__(self, path: Path, schema: pa.Schema, *, ending: str | None = None) -> None:
        import pyarrow as pa
        import pyarrow.csv
        import pyarrow.parquet

        ending = ending or path.suffix.lower()
        require_ending(path, ending)
        self._schema = schema
        self._file = open(path, "wb")  # noqa: SIM115 - close() closes it
        self._writer: Any = None
        if ending == ".parquet":
            self._writer = pa.parquet.ParquetWriter(self._file, schema)
        elif ending == ".csv":
            self._writer = pa.csv.CSVWriter(self._file, schema)

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows."""
        import pyarrow as pa

        if self._writer is not None:
            self._writer.write_table(pa.Table.from_pylist(list(rows), schema=self._schema))
            return
        for row in rows:
            values = {name: row.get(name) for name in self._schema.names}
            self._file.write(json.dumps(values, ensure_ascii=False).encode() + b"\n")

    def write_table(self, table: pa.Table) -> None:
        """Append the rows of a table of this schema."""
        if self._writer is not None:
            self._writer.write_table(table)
        else:
            self.write(table.to_pylist())

    def close(self) -> None:
        """Finish the file; what was written is on disk after this."""
        if self._writer is not None:
            self._writer.close()
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()


def require_ending(path: Path, ending: str | None = None) -> None:
    """Raise TableError unless the path's ending is one that is written here."""
    ending = ending or path.suffix.lower()
    if ending not in ENDINGS:
        raise TableError(f"{path} ends in {ending or 'nothing'}, needed one of {', '.join(ENDINGS)}")


def _require(path: Path, columns: Iterable[str], required: Sequence[str]) -> None:
    columns = list(columns)
    missing = [name for name in required if name not in columns]
    if missing:
        raise TableError(
            f"{path} has no column {', '.join(missing)}; it has {', '.join(columns) or 'none'}, "
            f"needed {', '.join(required)}"
        )


def _read_csv(path: Path, required: Sequence[str]) -> Iterator[Line]:
    import pyarrow as pa
    import pyarrow.csv as pacsv

    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        names = next(csv.reader([file.readline(_LINE_BYTES)]), [])
    _require(path, names, required)
    refused: list[Line] = []

    def refuse(row: Any) -> str:
        text = f"has {row.actual_columns} values where the header names {row.expected_columns}"
        refused.append(Line(row.number or 0, {}, f"row {row.number}: {text}"))
        return "skip"

    try:
        reader = pacsv.open_csv(
            path,
            read_options=pacsv.ReadOptions(use_threads=False, block_size=1 << 22),
            parse_options=pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=refuse),
            # bytes, so that a value that is no UTF-8 spoils its row and not the table
            convert_options=pacsv.ConvertOptions(check_utf8=False, column_types=dict.fromkeys(names, pa.binary())),
        )
        number = 0
        for batch in reader:
            yield from refused
            refused.clear()
            for values in batch.to_pylist():
                number += 1
                yield _decoded(number, values)
        yield from refused
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return
        raise TableError(f"{path} is no readable CSV: {error}") from error


def _decoded(number: int, values: dict[str, bytes | None]) -> Line:
    try:
        return Line(number, {name: (v or b"").decode() for name, v in values.items()})
    except UnicodeDecodeError:
        kept = {name: (v or b"").decode(errors="replace") for name, v in values.items() if name.endswith("_id")}
        return Line(number, kept, f"row {number} is not UTF-8; save the table as UTF-8")


def _read_parquet(path: Path, required: Sequence[str]) -> Iterator[Line]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _require(path, file.schema_arrow.names, required)
            number = 0
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                for values in batch.to_pylist():
                    number += 1
                    yield Line(number, values)
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{path} is no readable Parquet file: {error}") from error


def _read_jsonl(path: Path, required: Sequence[str]) -> Iterator[Line]:
    """Line by line with the standard library: pyarrow gives up the whole block for one bad line."""
    with open(path, "rb") as file:
        number = 0
        while raw := file.readline(_LINE_BYTES):
            if not raw.strip():
                continue
            number += 1
            try:
                values = json.loads(raw)
            except (ValueError, RecursionError) as error:
                yield Line(number, {}, f"row {number} is no JSON ({error})")
                continue
            if not isinstance(values, dict):
                yield Line(number, {}, f"row {number} is no JSON object")
                continue
            if number == 1:
                _require(path, values, required)
            yield Line(number, values)
