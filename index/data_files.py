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
import pyarrow.parquet as pq
from numpy.typing import DTypeLike, NDArray

from lookalike.disk import write_named_by_content
from lookalike.errors import IndexDamagedError

BIG = 1 << 28
"""A file of vectors or features with more bytes is mapped, and its checksum is only verified on request."""

_CATALOGUE = frozenset({"reference_id", "product_id", "brand", "image", "sha256"})
_KINDS = "catalogue|vectors|lists|codes|centroids|codebook|removed|features"
_NAME = re.compile(
    r"(catalogue-[0-9a-f]{16}\.parquet|(vectors|lists|codes|centroids|codebook|removed)-[0-9a-f]{16}\.npy"
    r"|features-[0-9a-f]{16}\.bin)"
)
_TEMPORARY_NAME = re.compile(rf"({_KINDS}|manifest)\..*\.tmp")
_NO_HEADER = (ValueError, OSError, SyntaxError, TypeError, LookupError, ArithmeticError, MemoryError,
              RecursionError, tokenize.TokenError)  # fmt: skip
"""What NumPy raises for bytes that aren't a header: it parses them as Python."""
_ROW_BYTES = 1 << 16  # a catalogue that unpacks to more than this per row was made to exhaust the memory


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


def read_catalogue(file: BinaryIO, count: int) -> pa.Table:
    """The catalogue in an open file; raises IndexDamagedError unless it is one of `count` rows."""
    try:
        with pq.ParquetFile(file) as parquet:
            metadata = parquet.metadata
            unpacked = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
            if metadata.num_rows != count or unpacked > _ROW_BYTES * (count + 16):
                raise IndexDamagedError(
                    f"{file.name} has {metadata.num_rows} rows of {unpacked} bytes, expected {count} rows; "
                    "build the index again"
                )
            table = parquet.read()
    except (pa.ArrowException, OSError) as error:
        raise IndexDamagedError(f"{file.name} can't be read as a catalogue ({error}); build the index again") from error
    missing = _CATALOGUE - set(table.column_names)
    if missing:
        raise IndexDamagedError(f"{file.name} lacks the columns {', '.join(sorted(missing))}; build the index again")
    for name in sorted(_CATALOGUE):
        column = table.column(name) if table.column_names.count(name) == 1 else None
        if column is None or column.null_count or not _is_text(column.type):
            raise IndexDamagedError(f"{file.name} has no text for every row in {name}; build the index again")
    return table


def _is_text(kind: pa.DataType) -> bool:
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


def require_unit_length(vectors: NDArray[np.float32], name: str) -> None:
    """Raise IndexDamagedError, with the file's name, unless every row has length 1."""
    if not np.all(np.abs(np.linalg.norm(vectors, axis=1) - 1) < 1e-3):
        raise IndexDamagedError(f"{name} holds rows that are not of length 1; build the index again")
