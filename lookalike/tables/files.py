"""Rows of CSV, Parquet and JSON Lines files, in and out, by the file's ending: streaming, and no bad row is lost."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from lookalike.disk import written
from lookalike.errors import TableError

from .amounts import WrittenFloat
from .arrow import arrow_table, with_text_amounts

if TYPE_CHECKING:
    import pyarrow as pa

ENDINGS = (".csv", ".parquet", ".jsonl")

_BATCH_ROWS = 1024
_LINE_BYTES = 1 << 20

Row = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """A row of a file: its values, or why it could not be parsed."""

    number: int
    values: Row
    error: str | None = None


def read_rows(path: Path, *, required: Sequence[str] = ()) -> Iterator[Line]:
    """All rows of a table, in order, in bounded memory. CSV values stay text, so that "007" stays "007".

    Raises TableError for a table that is missing, empty, of another format or without a required column.
    """
    if not path.is_file():
        raise TableError(f"there is no table {path}")
    readers: dict[str, Callable[[Path, Sequence[str]], Iterator[Line]]] = {
        ".csv": _read_csv,
        ".parquet": _read_parquet,
        ".jsonl": _read_jsonl,
    }
    empty = True
    for line in readers[require_ending(path)](path, required):
        empty = False
        yield line
    if empty:
        raise TableError(f"{path} has no rows, expected at least one")


def require_readable(path: Path, *, required: Sequence[str]) -> None:
    """Raise what reading the table's first row raises, so that a wrong call fails before long work."""
    next(read_rows(path, required=required), None)


def table_fingerprint(path: Path) -> str:
    """Names a table and its present content by path, size and time of change, so that only the same run resumes."""
    status = path.stat()
    return f"{path.absolute()} {status.st_size} {status.st_mtime_ns}"


def row_day(line: Line, column: str, otherwise: date) -> date:
    """The date in a column of a row, or `otherwise` if it is empty. Raises ValueError for text that is not a date."""
    value = line.values.get(column)
    if isinstance(value, datetime):
        return value.date()
    try:
        return value if isinstance(value, date) else date.fromisoformat(str(value).strip()) if value else otherwise
    except ValueError:
        raise ValueError(
            f"row {line.number} has {column} {str(value)[:40]!r}, which is not a date; use YYYY-MM-DD"
        ) from None


@contextmanager
def writing_table(path: Path, schema: pa.Schema) -> Iterator[TableWriter]:
    """Open a table to write, in the format of the path's ending; it appears at the end, whole or not at all.

    Raises TableError for another ending.

    >>> import tempfile
    >>> import pyarrow as pa
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "prices.jsonl"
    ...     with writing_table(path, pa.schema([("id", pa.string()), ("price", pa.int64())])) as writer:
    ...         writer.write([{"id": "007", "price": 1}])
    ...     path.read_text()
    '{"id": "007", "price": 1}\\n'
    """
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    ending = require_ending(path)
    with written(path) as temporary, open(temporary, "wb") as file:
        if ending == ".jsonl":
            yield TableWriter(schema, file)
        else:
            open_writer = pa.parquet.ParquetWriter if ending == ".parquet" else pa.csv.CSVWriter
            with open_writer(file, schema) as writer:
                yield TableWriter(schema, file, writer)


class TableWriter:
    """Writes rows of one schema, batch by batch; `writing_table` opens it."""

    def __init__(self, schema: pa.Schema, file: BinaryIO, writer: Any = None) -> None:
        self._schema, self._file, self._writer = schema, file, writer

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows; a value that a row lacks is null."""
        if self._writer is not None:
            self._writer.write_table(arrow_table(rows, self._schema))
            return
        for row in map(with_text_amounts, rows):
            values = {name: row.get(name) for name in self._schema.names}
            self._file.write(json.dumps(values, ensure_ascii=False).encode() + b"\n")

    def write_table(self, table: pa.Table) -> None:
        """Append the rows of a table of this schema."""
        if self._writer is not None:
            self._writer.write_table(table)
        else:
            self.write(table.to_pylist())


def require_ending(path: Path) -> str:
    """The path's ending, in lower case; raises TableError unless it is that of a table's format."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise TableError(f"{path} ends in {ending or 'nothing'}; use .csv, .parquet or .jsonl")
    return ending


def _require(path: Path, columns: Iterable[str], required: Sequence[str]) -> None:
    columns = list(columns)
    missing = [name for name in required if name not in columns]
    if missing:
        raise TableError(f"{path} has no column {', '.join(missing)}; its columns are: {', '.join(columns) or 'none'}")


def _read_csv(path: Path, required: Sequence[str]) -> Iterator[Line]:
    import pyarrow as pa
    import pyarrow.csv as pacsv

    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        names = next(csv.reader([file.readline(_LINE_BYTES)]), [])
    _require(path, names, required)
    refused: list[Line] = []

    def refuse(row: Any) -> str:
        text = f"has {row.actual_columns} values, but the header names {row.expected_columns} columns"
        refused.append(Line(row.number or 0, {}, f"row {row.number}: {text}"))
        return "skip"

    try:
        reader = pacsv.open_csv(
            path,
            read_options=pacsv.ReadOptions(use_threads=False, block_size=1 << 22),
            parse_options=pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=refuse),
            # bytes, so that a value that isn't UTF-8 spoils its row and not the table
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
        raise TableError(f"{path} can't be read as CSV: {error}") from error


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
                for values in _rows(batch):
                    number += 1
                    yield Line(number, values)
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{path} can't be read as Parquet: {error}") from error


def _rows(batch: pa.RecordBatch) -> list[Row]:
    """The rows of a batch; a number of 32 bits keeps its text, which is shorter than that of the same float in 64."""
    import pyarrow as pa

    rows: list[Row] = batch.to_pylist()
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_float32(column.type):
            for row, text in zip(rows, column.cast(pa.string()).to_pylist(), strict=True):
                row[name] = None if text is None else WrittenFloat(text, row[name])
    return rows


def _read_jsonl(path: Path, required: Sequence[str]) -> Iterator[Line]:
    """Line by line with the standard library, because pyarrow gives up a whole block for one bad line."""
    with open(path, "rb") as file:
        number = 0
        while raw := file.readline(_LINE_BYTES):
            if not raw.strip():
                continue
            number += 1
            try:
                values = json.loads(raw, parse_float=WrittenFloat)
            except (ValueError, RecursionError) as error:
                yield Line(number, {}, f"row {number} is not JSON ({error})")
                continue
            if not isinstance(values, dict):
                yield Line(number, {}, f"row {number} is not a JSON object")
                continue
            if number == 1:
                _require(path, values, required)
            yield Line(number, values)
