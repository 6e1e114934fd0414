"""Rows of CSV, Parquet and JSON Lines files, in and out, by the file's ending: streaming, and no bad row is lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from lookalike.disk import written
from lookalike.errors import TableError

from .arrow import arrow_table, with_text_amounts
from .csv_rows import read_csv, read_tsv
from .formulas import harmless_table, values_as_written
from .json_rows import read_jsonl
from .lines import Line, Wanted
from .parquet_rows import read_parquet
from .xlsx_rows import read_xlsx

if TYPE_CHECKING:
    import pyarrow as pa

ENDINGS = (".csv", ".parquet", ".jsonl")
_WORKBOOKS = (".xls", ".ods")
_EXACT = (".parquet", ".jsonl")


def read_rows(
    path: Path,
    *,
    required: Sequence[str | Sequence[str]] = (),
    columns: Collection[str] | None = None,
    own: bool = False,
) -> Iterator[Line]:
    """All rows of a table, in order, in bounded memory. CSV values stay text, so that "007" stays "007".

    With `columns`, only those and the required ones are read; a required one may be given as several names, of which
    the table must have one. With `own`, the table is one that this library wrote, or made from one, so that an
    apostrophe before a formula in CSV is not part of the text (see `formulas`). A row that can't be used keeps its
    place, and its value of the first required column. Raises TableError for a table that is missing, empty, of another
    format, without a required column or with two columns of one name, and where a CSV file doesn't tell where its rows
    end.
    """
    if not path.is_file():
        raise TableError(f"there is no table {path}")
    readers: dict[str, Callable[[Path, Wanted], Iterator[Line]]] = {
        ".csv": read_csv,
        ".tsv": read_tsv,
        ".txt": read_tsv,
        ".parquet": read_parquet,
        ".jsonl": read_jsonl,
        ".xlsx": read_xlsx,
    }
    ending = path.suffix.lower()
    if ending in _WORKBOOKS:
        raise TableError(f"{path} is a workbook of another kind; save it as .xlsx, or its sheet as CSV UTF-8")
    choices = tuple((name,) if isinstance(name, str) else tuple(name) for name in required)
    wanted = Wanted(choices, None if columns is None else frozenset(columns))
    empty = True
    for line in readers[ending if ending in readers else require_ending(path)](path, wanted):
        empty = False
        yield replace(line, values=values_as_written(line.values)) if own and ending not in _EXACT else line
    if empty:
        raise TableError(f"{path} has no rows, expected at least one")


def require_readable(path: Path, *, required: Sequence[str]) -> None:
    """Raise what reading the table's first row raises, so that a wrong call fails before long work."""
    next(read_rows(path, required=required, columns=()), None)


def table_fingerprint(path: Path, layout: object = "") -> str:
    """Names a table, its present content and its layout, so that only the same run resumes."""
    status = path.stat()
    return f"{path.absolute()} {status.st_size} {status.st_mtime_ns} {layout}".rstrip()


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

    Text in CSV that a spreadsheet would run as a formula gets an apostrophe (see `formulas`). Raises TableError for
    another ending.

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
                yield TableWriter(schema, file, writer, harmless=ending == ".csv")


class TableWriter:
    """Writes rows of one schema, batch by batch; `writing_table` opens it."""

    def __init__(self, schema: pa.Schema, file: BinaryIO, writer: Any = None, *, harmless: bool = False) -> None:
        self._schema, self._file, self._writer, self._harmless = schema, file, writer, harmless

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows; a value that a row lacks is null."""
        if self._writer is not None:
            self.write_table(arrow_table(rows, self._schema))
            return
        for row in map(with_text_amounts, rows):
            values = {name: row.get(name) for name in self._schema.names}
            self._file.write(json.dumps(values, ensure_ascii=False).encode() + b"\n")

    def write_table(self, table: pa.Table) -> None:
        """Append the rows of a table of this schema."""
        if self._writer is not None:
            self._writer.write_table(harmless_table(table) if self._harmless else table)
        else:
            self.write(table.to_pylist())


def require_ending(path: Path) -> str:
    """The path's ending, in lower case; raises TableError unless it is that of a table's format."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise TableError(f"{path} ends in {ending or 'nothing'}; use .csv, .parquet or .jsonl")
    return ending
