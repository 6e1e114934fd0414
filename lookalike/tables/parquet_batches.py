"""Batches of a Parquet file that take little memory, whatever the file unpacks to.

A few kilobytes can stand for gigabytes: pages are compressed, a value that repeats is stored once, and so is the fact
that it repeats. So what a file says of its sizes is checked first, and the longest value of each dictionary is looked
up before anything is unpacked with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from lookalike.errors import TableError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_ROWS = 1024
_BATCH_BYTES = 1 << 26
_CHUNK_BYTES, _RATIO = 1 << 28, 200  # a column in a row group unpacks to at most one of these
_REPEATED_BYTES = 1 << 28  # the least that the values of a list column in a row group take
_ROWS_PER_BYTE = 100
_SHARED = 1 << 29  # a list column whose values could take more is read with each value once
VALUE_BYTES = 64
"""About what a value of Python takes besides its text."""


def read_batches(
    source: Path | BinaryIO, name: str, check: Callable[[list[str]], list[str]]
) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file in batches; a batch unpacks to some 64 MiB at most, unless one row does.

    `check` is given the names of the columns, and gives those to read. Strings in lists may come as dictionaries.
    Raises TableError, which calls the file `name`, for one that claims sizes which no honest table has, and
    pyarrow.ArrowException or OSError for one that isn't Parquet.
    """
    import pyarrow.parquet as pq

    with ExitStack() as stack:
        file = stack.enter_context(pq.ParquetFile(source))
        read = check(file.schema_arrow.names)
        metadata = file.metadata
        size = sum(_chunk_bytes(metadata.row_group(group)) for group in range(metadata.num_row_groups))
        if metadata.num_rows > _ROWS_PER_BYTE * (size + _ROWS):
            raise TableError(
                f"{name} claims {metadata.num_rows:,} rows in {size:,} bytes; no honest table is like that"
            )
        columns = [file.schema.column(place) for place in range(len(file.schema))]
        leaves = [place for place, column in enumerate(columns) if column.path.split(".")[0] in _heads(read)]
        text = [columns[place].path for place in leaves if columns[place].physical_type == "BYTE_ARRAY"]
        shared = stack.enter_context(pq.ParquetFile(source, read_dictionary=text, metadata=metadata))
        for group in range(metadata.num_row_groups):
            rows, sharing = _plan(shared, group, leaves, name)
            yield from (shared if sharing else file).iter_batches(rows, row_groups=[group], columns=read)


def _heads(names: list[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def _chunk_bytes(group: pq.RowGroupMetaData) -> int:
    return sum(group.column(place).total_compressed_size for place in range(group.num_columns))


def _plan(shared: pq.ParquetFile, group: int, leaves: list[int], name: str) -> tuple[int, bool]:
    """How many rows of a row group to read at once, and whether to read each value of a dictionary once."""
    metadata, row_bytes, sharing = shared.metadata.row_group(group), 0, False
    for place in leaves:
        column, chunk = shared.schema.column(place), metadata.column(place)
        if chunk.total_uncompressed_size > max(_CHUNK_BYTES, _RATIO * chunk.total_compressed_size):
            raise TableError(
                f"{name} unpacks {column.path} from {chunk.total_compressed_size:,} to "
                f"{chunk.total_uncompressed_size:,} bytes; no honest table is like that"
            )
        longest = _longest(shared, group, place)
        if not column.max_repetition_level:
            row_bytes += longest
        elif chunk.num_values * max(column.length, 8) > _REPEATED_BYTES:
            raise TableError(f"{name} has {chunk.num_values:,} values in lists of {column.path} in one row group; "
                             "write it with smaller row groups")  # fmt: skip
        else:
            sharing |= chunk.num_values * longest > _SHARED
    return max(1, min(_ROWS, _BATCH_BYTES // max(1, row_bytes))), sharing


def _longest(shared: pq.ParquetFile, group: int, place: int) -> int:
    """The most bytes that a value takes more than what is stored for it."""
    import pyarrow.compute as pc

    column, chunk = shared.schema.column(place), shared.metadata.row_group(group).column(place)
    if column.physical_type == "FIXED_LEN_BYTE_ARRAY":
        return int(column.length)
    if column.physical_type != "BYTE_ARRAY" or not chunk.has_dictionary_page:
        return 0
    most = int(chunk.total_uncompressed_size)
    if most * _ROWS <= _BATCH_BYTES:
        return most
    first = next(shared.iter_batches(1, row_groups=[group], columns=[column.path]), None)
    dictionary = None if first is None or not first.num_columns else _dictionary(first.column(0))
    if dictionary is None or not len(dictionary):
        return most
    return int(pc.max(pc.binary_length(dictionary)).as_py() or 0)


def _dictionary(column: pa.Array) -> pa.Array | None:
    import pyarrow as pa

    while not pa.types.is_dictionary(column.type):
        if pa.types.is_struct(column.type) and column.type.num_fields == 1:
            column = column.field(0)
        elif pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            column = column.values
        else:
            return None
    return column.dictionary


def unpacked_bytes(column: Any, *, each: int = VALUE_BYTES) -> int:
    """About how much memory the values of an Arrow array take, with `each` besides its text; by default as Python's."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_dictionary(kind):
        lengths = pc.binary_length(column.dictionary) if _is_bytes(kind.value_type) else None
        return each * len(column) + (0 if lengths is None else pc.sum(pc.take(lengths, column.indices)).as_py() or 0)
    if pa.types.is_map(kind):
        return each * len(column) + sum(unpacked_bytes(part, each=each) for part in (column.keys, column.items))
    if pa.types.is_nested(kind):
        parts = column.flatten()
        return each * len(column) + sum(
            unpacked_bytes(part, each=each) for part in (parts if isinstance(parts, list) else [parts])
        )
    return each * len(column) + (pc.sum(pc.binary_length(column)).as_py() or 0 if _is_bytes(kind) else 0)


def _is_bytes(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_string(kind)
                or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))  # fmt: skip
