"""The listings of a scan's state, in windows: their rows, and beside them the vectors of their photos.

A window is kept in two files. Rows are a Parquet file of `state_schema`. Vectors are plain little-endian float32, one
after the other, for each photo without an error in the order of the rows, its own before those of its parts. Both are
named after their content, and a window that didn't change keeps its files.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.disk import open_regular, write_named_by_content

from .state_rows import state_schema

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from lookalike.model.encoder import Vectors

MOST_LISTINGS, MOST_VECTORS = 8192, 32_768
"""A window is closed by whichever comes first."""

_MOST_BYTES = 1 << 30  # of a file of the state, packed and unpacked
_PLAIN = {"PLAIN", "RLE", "BIT_PACKED"}  # what these encode takes about the room that the file's metadata states
_NAME = re.compile(r"(rows|references)-[0-9a-f]{16}\.parquet|vectors-[0-9a-f]{16}\.f32")


@dataclass(frozen=True)
class File:
    """A file of the state: its name, its size in bytes and its sha256 in hexadecimal."""

    name: str
    size: int
    sha256: str

    @classmethod
    def of(cls, entry: Mapping[str, Any], *, most: int = _MOST_BYTES) -> File:
        """The file of a manifest's entry. Raises ValueError or TypeError for one that the state can't have."""
        file = cls(**entry)
        if type(file.size) is not int or not 0 <= file.size <= most or not _NAME.fullmatch(file.name):
            raise ValueError(f"{file.name!r} of {file.size!r} bytes is no file of a state")
        return file

    @classmethod
    def written(cls, folder: Path, stem: str, suffix: str, save: Callable[[Path], object]) -> File:
        """Let `save` write a file, which is on disk afterwards, named after its content."""
        path, sha256 = write_named_by_content(folder, stem, suffix, save)
        return cls(path.name, path.stat().st_size, sha256)

    def read(self, folder: Path) -> bytes:
        """The file's bytes. Raises ValueError for others than were written, and OSError for no regular file."""
        with open_regular(folder / self.name) as file:  # its size before memory is taken for it
            data = file.read() if os.fstat(file.fileno()).st_size == self.size else b""
        if len(data) != self.size or hashlib.sha256(data).hexdigest() != self.sha256:
            raise ValueError(f"{self.name} is not as it was written")
        return data


@dataclass(frozen=True)
class Window:
    """Listings of a state: `table`, one row each (see `state_schema`), and the vectors of their photos.

    `rows_file` and `vectors_file` are where they are on disk, None for what isn't.
    """

    table: pa.Table
    read_vectors: Callable[[], Vectors]
    rows_file: File | None = None
    vectors_file: File | None = None

    @cached_property
    def vectors(self) -> Vectors:
        """The vectors of all photos without an error, float32 (n, width), in the order of the rows."""
        return self.read_vectors()

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        """For each listing, how many vectors there are up to its last."""
        return np.cumsum(vectors_of_listings(self.table), dtype=np.int64)

    def take(self, rows: NDArray[np.int64]) -> Window:
        """The listings in these rows, in that order."""
        if len(rows) == len(self.table) and np.array_equal(rows, np.arange(len(rows))):
            return self
        ends = self._ends[rows]
        counts = ends - np.append(0, self._ends)[rows]
        first = np.repeat(ends - np.cumsum(counts), counts)
        vectors = self.vectors[first + np.arange(len(first))]
        return Window(self.table.take(rows), lambda: vectors)

    @classmethod
    def joined(cls, windows: Sequence[Window]) -> Window:
        """The listings of several windows, one after the other."""
        import pyarrow as pa

        if len(windows) == 1:
            return windows[0]
        vectors = np.concatenate([window.vectors for window in windows])
        return cls(pa.concat_tables([window.table for window in windows]), lambda: vectors)


@dataclass(frozen=True)
class Stored:
    """A window on disk: how many listings and vectors there are, and the files that hold them."""

    listings: int
    vectors: int
    rows_file: File
    vectors_file: File

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Stored:
        """The window of a manifest's entry. Raises ValueError, TypeError or KeyError for one that can't be."""
        listings, vectors = entry["listings"], entry["vectors"]
        if type(listings) is not int or not 0 < listings <= MOST_LISTINGS or type(vectors) is not int or vectors < 0:
            raise ValueError(f"a window of {listings!r} listings and {vectors!r} vectors")
        return cls(listings, vectors, File.of(entry["rows_file"]), File.of(entry["vectors_file"]))

    @classmethod
    def written(cls, folder: Path, window: Window) -> Stored:
        """Write what of the window isn't on disk in the folder."""
        import pyarrow.parquet as pq

        vectors = window.vectors_file or File.written(
            folder, "vectors", ".f32", lambda path: np.ascontiguousarray(window.vectors, "<f4").tofile(path)
        )
        rows = window.rows_file or File.written(
            folder, "rows", ".parquet", partial(pq.write_table, window.table, compression="zstd", use_dictionary=False)
        )
        return cls(len(window.table), int(vectors_of_listings(window.table).sum()), rows, vectors)

    def read(self, folder: Path, dims: Sequence[int]) -> Window:
        """The window, whose vectors have parts of `dims` numbers; they are read once they are asked for.

        Raises ValueError, OSError or pa.ArrowException for files that no scan wrote.
        """
        table = self.rows(folder, state_schema().names)
        if any(table[name].null_count for name in ("listing_id", "images", "photos", "verdict", "policy", "encoder")):
            raise ValueError(f"{self.rows_file.name} lacks a listing's id, its photos or its verdict")
        _require_matches(table, self.rows_file.name)
        if int(vectors_of_listings(table).sum()) != self.vectors:
            raise ValueError(f"{self.rows_file.name} is not of photos with {self.vectors} vectors")
        return Window(table, partial(self._vectors, folder, dims), self.rows_file, self.vectors_file)

    def rows(self, folder: Path, columns: list[str]) -> pa.Table:
        """These columns of the rows."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema([state_schema().field(name) for name in columns])
        with pq.ParquetFile(pa.BufferReader(self.rows_file.read(folder))) as file:
            if file.metadata.num_rows != self.listings:
                raise ValueError(f"{self.rows_file.name} has {file.metadata.num_rows} rows, expected {self.listings}")
            require_bounded(file.metadata, self.rows_file.name)
            return file.read(columns).select(columns).cast(schema)

    def _vectors(self, folder: Path, dims: Sequence[int]) -> Vectors:
        width = sum(dims)
        if self.vectors_file.size != 4 * width * self.vectors:
            raise ValueError(f"{self.vectors_file.name} is not of {self.vectors} vectors of {width} numbers")
        vectors = np.frombuffer(self.vectors_file.read(folder), "<f4").reshape(self.vectors, width)
        parts = np.split(vectors, np.cumsum(dims)[:-1], axis=1)
        if not all(np.all(np.abs(np.linalg.norm(part, axis=1) - 1) < 1e-3) for part in parts):
            raise ValueError(f"{self.vectors_file.name} holds vectors that don't have length 1")
        return vectors


def vectors_of_listings(table: pa.Table) -> NDArray[np.int64]:
    """How many vectors the photos of each listing have together, int64 (listings,)."""
    import pyarrow.compute as pc

    photos = table["photos"].combine_chunks()
    owner = np.asarray(pc.list_parent_indices(photos), np.int64)
    counts = vectors_of_photos(pc.list_flatten(photos))
    return np.bincount(owner, weights=counts, minlength=len(table)).astype(np.int64)


def vectors_of_photos(photos: pa.Array) -> NDArray[np.int64]:
    """How many vectors each photo of a state's rows has, int64 (n,): its own and those of its parts, if it was read."""
    import pyarrow.compute as pc

    read = np.asarray(pc.is_null(pc.struct_field(photos, "error")), bool)
    parts = np.asarray(pc.fill_null(pc.list_value_length(pc.struct_field(photos, "regions")), 0), np.int64)
    return np.where(read, 1 + parts, 0)


def _require_matches(table: pa.Table, name: str) -> None:
    import pyarrow.compute as pc

    photos, images = pc.list_flatten(table["photos"]), pc.list_flatten(table["images"])
    lists, regions = pc.struct_field(photos, "matches"), pc.struct_field(photos, "regions")
    if photos.null_count or images.null_count or lists.null_count or pc.list_flatten(lists).null_count:
        raise ValueError(f"{name} has a photo without matches")
    corners = pc.list_flatten(regions)
    if regions.null_count or corners.null_count or pc.list_flatten(corners).null_count:
        raise ValueError(f"{name} has a part of a photo without a place")
    if not pc.all(pc.equal(pc.list_value_length(table["photos"]), pc.list_value_length(table["images"]))).as_py():
        raise ValueError(f"{name} has a listing with more or fewer photos than images")


def require_bounded(metadata: Any, name: str, *, most: int = _MOST_BYTES) -> None:
    """Raise ValueError for a Parquet file, with that metadata, that unpacks to more than `most` bytes."""
    unpacked = 0
    for group in range(metadata.num_row_groups):
        columns = (metadata.row_group(group).column(at) for at in range(metadata.num_columns))
        for column in columns:
            if not _PLAIN.issuperset(column.encodings):
                raise ValueError(f"{name} is packed in another way than a scan packs it")
            unpacked += max(column.total_uncompressed_size, column.num_values)
    if unpacked > most:
        raise ValueError(f"{name} unpacks to {unpacked} bytes, more than {most}")
