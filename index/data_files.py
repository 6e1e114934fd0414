"""The data files of an index folder: named after their content, written whole, and checked before use.

A file may come from a stranger: nothing in it is unpickled, and what its header claims is compared with what the
manifest says before any memory is taken.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import tokenize
from collections.abc import Callable, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

from lookalike.disk import write_named_by_content
from lookalike.errors import IndexDamagedError, TableError
from lookalike.model.encoder import EncoderSpec
from lookalike.tables.parquet_batches import VALUE_BYTES, read_batches, unpacked_bytes

from .catalogue import further_text, most_bytes

BIG = 1 << 28
"""A file of vectors or features with more bytes is mapped, and its checksum is only verified on request."""

_CATALOGUE = frozenset({"reference_id", "product_id", "brand", "image", "sha256"})
_KINDS = "catalogue|vectors|lists|codes|centroids|codebook|removed|features|adapter"
_NAME = re.compile(
    r"(catalogue-[0-9a-f]{16}\.parquet|(vectors|lists|codes|centroids|codebook|removed)-[0-9a-f]{16}\.npy"
    r"|features-[0-9a-f]{16}\.bin|adapter-[0-9a-f]{16}\.safetensors)"
)
_TEMPORARY_NAME = re.compile(rf"({_KINDS}|manifest)\..*\.tmp")
_TEXT_BYTES = 5  # an offset, and whether there is a value
_NO_HEADER = (ValueError, OSError, SyntaxError, TypeError, LookupError, ArithmeticError, MemoryError,
              RecursionError, tokenize.TokenError)  # fmt: skip
"""What NumPy raises for bytes that aren't a header: it parses them as Python."""


def data_name(name: object) -> str:
    """The name, if a data file may have it; raises ValueError for any other, so that none leads out of the folder."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"a file may not be named {name!r}")
    return name


def write_data(folder: Path, kind: str, suffix: str, save: Callable[[Path], object]) -> dict[str, Any]:
    """Let `save` write a file that is named after its content, and give the manifest's entry for it.

    The file and its name are on disk afterwards, so that a manifest may name it.
    """
    path, sha256 = write_named_by_content(folder, kind, suffix, save)
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256}


def write_array(folder: Path, kind: str, array: NDArray[Any]) -> dict[str, Any]:
    """Write an array, little-endian, and give the manifest's entry for its file."""
    return write_data(folder, kind, ".npy", lambda path: _save_array(array, path))


def _save_array(array: NDArray[Any], path: Path) -> None:
    with open(path, "wb") as file:
        np.save(file, np.ascontiguousarray(array, array.dtype.newbyteorder("<")), allow_pickle=False)


def remove_unnamed(folder: Path, named: set[str]) -> None:
    """Remove data files other than those `named`, and what a killed process left half written."""
    for path in folder.iterdir():
        if (_NAME.fullmatch(path.name) and path.name not in named) or _TEMPORARY_NAME.fullmatch(path.name):
            path.unlink(missing_ok=True)


def check(file: BufferedReader, entry: Mapping[str, Any], *, content: bool = True) -> None:
    """Raise IndexDamagedError unless a file has the size and, with `content`, the checksum that its entry states."""
    size = os.fstat(file.fileno()).st_size
    if size != entry.get("bytes") or (
        content and hashlib.file_digest(file, "sha256").hexdigest() != entry.get("sha256")
    ):
        raise IndexDamagedError(f"{file.name} is not as it was written (checksum differs); build the index again")
    file.seek(0)


def read_catalogue(file: BinaryIO, count: int, width: int) -> pa.Table:
    """The catalogue in an open file, all columns as text.

    Raises IndexDamagedError unless it is one of `count` rows, and small enough for vectors of `width` numbers.
    """
    try:
        table = _text_table(file, count, most_bytes(count, width))
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError, TableError) as error:
        raise IndexDamagedError(f"{file.name} can't be read as a catalogue ({error}); build the index again") from error
    missing = _CATALOGUE - set(table.column_names)
    if missing:
        raise IndexDamagedError(f"{file.name} lacks the columns {', '.join(sorted(missing))}; build the index again")
    for name in sorted(_CATALOGUE):
        column = table.column(name) if table.column_names.count(name) == 1 else None
        if column is None or column.null_count:
            raise IndexDamagedError(f"{file.name} has no text for every row in {name}; build the index again")
    return table


def _text_table(file: BinaryIO, count: int, most: int) -> pa.Table:
    names: list[str] = []

    def all_of(found: list[str]) -> list[str]:
        if len(set(found)) < len(found):
            raise ValueError("two columns have one name")
        names.extend(found)
        return found

    batches: list[pa.RecordBatch] = []
    rows = taken = 0
    for batch in read_batches(file, file.name, all_of):
        rows += batch.num_rows
        taken += sum(
            unpacked_bytes(column, each=_TEXT_BYTES if _is_text(column.type) else VALUE_BYTES)
            for column in batch.columns
        )
        if rows > count or taken > most:
            raise ValueError(f"it has more than {count:,} rows, or more than {most:,} bytes")
        batches.append(pa.RecordBatch.from_arrays(list(map(_text, names, batch.columns)), names))
    if rows != count:
        raise ValueError(f"it has {rows:,} rows, expected {count:,}")
    return pa.Table.from_batches(batches, pa.schema([(name, pa.string()) for name in names]))


def _text(name: str, column: pa.Array) -> pa.Array:
    """The column as text; older versions kept further columns in the types that their tables had."""
    if _is_text(column.type):
        return column.cast(pa.string())
    if name in _CATALOGUE:
        raise ValueError(f"there is no text for every row in {name}")
    return pa.array(map(further_text, column.to_pylist()), pa.string())


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def read_array(file: BufferedReader, dtype: DTypeLike, shape: tuple[int, ...], *, mapped: bool = False) -> NDArray[Any]:
    """The array in an open .npy file, in memory or `mapped`; raises IndexDamagedError for another type or shape."""
    try:
        version = np.lib.format.read_magic(file)
        claimed = np.lib.format.read_array_header_1_0(file) if version == (1, 0) else None
    except _NO_HEADER as error:
        raise IndexDamagedError(f"{file.name} can't be read as an array ({error}); build the index again") from error
    start, wanted = file.tell(), np.dtype(dtype)
    if claimed != (shape, False, wanted):
        raise IndexDamagedError(f"{file.name} is {claimed}, expected {wanted} {shape}; build the index again")
    if os.fstat(file.fileno()).st_size != start + wanted.itemsize * math.prod(shape):
        raise IndexDamagedError(f"{file.name} has another length than {shape} takes; build the index again")
    if mapped:
        return np.asarray(np.memmap(file, wanted, "r", start, shape))
    return np.fromfile(file, wanted).reshape(shape)


def require_unit_length(vectors: NDArray[np.float32], spec: EncoderSpec, name: str) -> None:
    """Raise IndexDamagedError, with the file's name, unless each part of every row has length 1."""
    if not spec.are_unit(vectors):
        raise IndexDamagedError(f"{name} holds rows that are not of length 1; build the index again")
