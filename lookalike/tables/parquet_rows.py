"""Rows of Parquet files: only the columns that are needed, and a value that Python can't hold spoils its row alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.errors import TableError

from .amounts import WrittenFloat
from .lines import MOST_BYTES, Line, Row, Wanted
from .parquet_batches import read_batches, unpacked_bytes

if TYPE_CHECKING:
    import pyarrow as pa

_SHOWN_BYTES = 1 << 12


def read_parquet(path: Path, wanted: Wanted) -> Iterator[Line]:
    """The rows of a Parquet file. Raises TableError for a file that can't be read as Parquet."""
    import pyarrow as pa

    def columns(names: list[str]) -> list[str]:
        wanted.check(path, names)
        return [name for name in names if wanted.reads(name)]

    number = 0
    try:
        for batch in read_batches(path, str(path), columns):
            for part in _parts(batch):
                large = part.num_rows == 1 and sum(map(unpacked_bytes, part.columns)) > MOST_BYTES
                for row, spoilt in _rows(_smallest(part) if large else part):
                    number += 1
                    trouble = (
                        f"is longer than {MOST_BYTES:,} bytes; shorten it" if large else "; ".join(spoilt.values())
                    )
                    good = {name: value for name, value in row.items() if name not in spoilt}
                    yield wanted.refused(number, good, trouble) if trouble else Line(number, row)
    except (pa.ArrowException, OSError, MemoryError) as error:
        raise TableError(f"{path} can't be read as Parquet: {error}") from error


def _parts(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch in parts that don't take much memory as values of Python, unless one row does."""
    if batch.num_rows < 2 or sum(map(unpacked_bytes, batch.columns)) <= MOST_BYTES:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _parts(batch.slice(0, half))
    yield from _parts(batch.slice(half))


def _smallest(row: pa.RecordBatch) -> pa.RecordBatch:
    """The columns of a row whose values are not long, its id among them."""
    return row.select([place for place, each in enumerate(row.columns) if unpacked_bytes(each) <= _SHOWN_BYTES])


def _rows(batch: pa.RecordBatch) -> Iterator[tuple[Row, dict[str, str]]]:
    """The rows of a batch, and for each what is wrong in which column."""
    columns = {name: _values(column) for name, column in zip(batch.schema.names, batch.columns, strict=True)}
    for place in range(batch.num_rows):
        row = {name: values[place] for name, (values, _) in columns.items()}
        yield (
            row,
            {
                name: f"has a {name} that can't be read ({faults[place]})"
                for name, (_, faults) in columns.items()
                if place in faults
            },
        )


def _values(column: pa.Array) -> tuple[list[Any], dict[int, str]]:
    """The values of a column, None for one that can't be read, and why by its place."""
    try:
        return _plain(column), {}
    except (ValueError, OverflowError):
        pass  # one of them: they are read one by one
    values: list[Any] = []
    faults = {}
    for place in range(len(column)):
        try:
            values += _one(column.slice(place, 1))
        except (ValueError, OverflowError) as error:
            values.append(None)
            faults[place] = str(error)
    return values, faults


def _plain(column: pa.Array) -> list[Any]:
    """The values of a column; a number of 32 bits keeps its text, which is shorter than that of the same in 64."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz))
    if pa.types.is_dictionary(column.type):  # each value once, however often it comes
        codes = column.indices.dictionary_encode()
        words = column.dictionary.take(codes.dictionary).to_pylist()
        return [None if code is None else words[code] for code in codes.indices.to_pylist()]
    values: list[Any] = column.to_pylist()
    if not pa.types.is_float32(column.type):
        return values
    texts = column.cast(pa.string()).to_pylist()
    return [None if text is None else WrittenFloat(text, value) for text, value in zip(texts, values, strict=True)]


def _one(column: pa.Array) -> list[Any]:
    """The only value of a column; a time that Python's can't hold, such as a nanosecond, as text."""
    import pyarrow as pa

    try:
        return _plain(column)
    except (ValueError, OverflowError):
        if not pa.types.is_temporal(column.type):
            raise
        texts: list[Any] = column.cast(pa.string()).to_pylist()
        return texts
