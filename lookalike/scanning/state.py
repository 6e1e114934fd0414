"""What a scan leaves for the next one: each listing's finding, its photos' vectors, and the references it knew.

The state is read and written a window at a time, so that its size is bounded by the disk and not by memory. New windows
are written beside the old ones; then the manifest that names them is replaced. So a crash at any moment leaves the
state as it was before or as it is after.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from lookalike.disk import held, read_regular, written
from lookalike.errors import ScanStateError

from .basis import Basis
from .windows import File, Stored, Window, require_bounded

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT, VERSION = "lookalike-scan-state", 3
MANIFEST = "state.json"

_MANIFEST_BYTES = 64 << 20
_READ_TOGETHER = 2  # windows kept in memory: listings that moved a little lie in two
_SPLIT_BYTES = 256 << 20
_REFERENCES_BYTES = 1 << 36
_KINDS = ("rows_file", "vectors_file")
_PATTERNS = ("rows*.parquet", "references*.parquet", "vectors*.f32", "*.tmp")

_Read = TypeVar("_Read")


@dataclass(frozen=True)
class ScanState:
    """The state of a scan, in `folder`: its windows of listings, and a digest of each reference by id.

    `references` has the columns of `reference_digests`. `seconds` is how long one photo took, from its file to its
    verification, in the last run that looked at any.
    """

    folder: Path
    basis: Basis
    references: pa.Table
    seconds: float
    windows: tuple[Stored, ...]

    @classmethod
    def load(cls, folder: str | Path) -> ScanState | None:
        """The state in that folder, or None if there is none yet.

        Raises ScanStateError for one that is damaged, or of another version. Its windows are checked when they are
        read.
        """
        folder = Path(folder)
        if not (folder / MANIFEST).exists():
            return None

        def read() -> ScanState:
            manifest = json.loads(read_regular(folder / MANIFEST, most=_MANIFEST_BYTES))
            if (manifest["format"], manifest["version"]) != (FORMAT, VERSION):
                raise ScanStateError(
                    f"{folder} holds {manifest['format']} {manifest['version']}, expected {FORMAT} {VERSION}; "
                    f"remove it, and make it again with: lookalike scan --since {folder}"
                )
            basis, seconds = Basis(**manifest["basis"]), float(manifest["seconds"])
            _require_sound(basis, seconds)
            references = _references(File.of(manifest["references"], most=_REFERENCES_BYTES), folder)
            return cls(folder, basis, references, seconds, tuple(map(Stored.of, manifest["windows"])))

        return _sound(folder, read)

    def __len__(self) -> int:
        return sum(window.listings for window in self.windows)

    def window(self, number: int) -> Window:
        """One of the windows; the last few are kept in memory. Raises ScanStateError if it is damaged."""
        return self._cached(number)

    def rows(self, *columns: str) -> Iterator[pa.Table]:
        """These columns of each window. Raises ScanStateError if one is damaged."""
        for window in self.windows:
            yield _sound(self.folder, partial(window.rows, self.folder, list(columns)))

    @cached_property
    def _cached(self) -> Callable[[int], Window]:
        return lru_cache(_READ_TOGETHER)(self._read)

    def _read(self, number: int) -> Window:
        read = partial(self.windows[number].read, self.folder, self.basis.dims)
        window = _sound(self.folder, read)
        return replace(window, read_vectors=partial(_sound, self.folder, window.read_vectors))


@contextmanager
def writing_state(folder: Path) -> Iterator[StateWriter]:
    """Give what writes the state in that folder; without its `finish`, the state stays as it was.

    Raises ScanStateError while another process uses the state.
    """
    with _held(folder):
        _remove_unnamed(folder)  # what a killed process left
        try:
            yield StateWriter(folder)
        finally:
            _remove_unnamed(folder)


class StateWriter:
    """Writes a state window by window, in bounded memory; `writing_state` opens it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._windows: list[Stored] = []

    def add(self, window: Window) -> None:
        """Append a window; what of it is on disk in the folder is not written again."""
        count = len(window.table)
        if window.rows_file is None and window.table.nbytes > _SPLIT_BYTES and count > 1:
            for half in np.array_split(np.arange(count), 2):
                self.add(window.take(half))
        elif count:
            self._windows.append(Stored.written(self._folder, window))

    def finish(self, basis: Basis, references: pa.Table, seconds: float) -> None:
        """Make the folder hold the windows that were added, in one step that a crash can't split."""
        import pyarrow.parquet as pq

        save = partial(pq.write_table, references, compression="zstd", use_dictionary=False)
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "basis": vars(basis),
            "seconds": seconds,
            "references": asdict(File.written(self._folder, "references", ".parquet", save)),
            "windows": [asdict(window) for window in self._windows],
        }
        with written(self._folder / MANIFEST) as temporary:
            temporary.write_text(json.dumps(manifest), encoding="utf-8")


def _held(folder: Path) -> AbstractContextManager[None]:
    return held(folder, ScanStateError(
        f"another process is scanning with the state in {folder}; wait until it is done, or choose another --since"
    ))  # fmt: skip


def _sound(folder: Path, read: Callable[[], _Read]) -> _Read:
    """What `read` gives. Raises ScanStateError for what no scan writes."""
    import pyarrow as pa

    try:
        return read()
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, MemoryError,
            pa.ArrowException) as error:  # fmt: skip
        raise ScanStateError(
            f"the state of a scan in {folder} can't be read ({error}); remove it, and make it again with: "
            f"lookalike scan --since {folder}"
        ) from error


def _require_sound(basis: Basis, seconds: float) -> None:
    """Raise ValueError, KeyError, TypeError or AttributeError for values that no scan writes."""
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"{seconds} seconds")
    if not all(isinstance(text, str) for text in (basis.reading, basis.index)):
        raise TypeError("its basis is not text")
    if not (basis.encoder.keys() and basis.tables is not None):
        raise ValueError("its basis names no encoder")
    _ = basis.dims


def _references(file: File, folder: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(pa.BufferReader(file.read(folder))) as parquet:
        require_bounded(parquet.metadata, file.name, most=_REFERENCES_BYTES)
        table = parquet.read(["reference_id", "digest"])
    if any(column.null_count or not pa.types.is_string(column.type) for column in table.columns):
        raise ValueError("a reference has no digest")
    return table


def _remove_unnamed(folder: Path) -> None:
    """Remove files that the manifest doesn't name, and what a killed process left half written."""
    named = {MANIFEST, *_named(folder)}
    for path in (path for pattern in _PATTERNS for path in folder.glob(pattern)):
        if path.name not in named:
            path.unlink(missing_ok=True)


def _named(folder: Path) -> Iterator[str]:
    """The files that the manifest names; all that are there if it can't be read."""
    try:
        manifest = json.loads(read_regular(folder / MANIFEST, most=_MANIFEST_BYTES))
        files = [manifest["references"], *(w[kind] for w in manifest["windows"] for kind in _KINDS)]
        yield from [str(file["name"]) for file in files]
    except FileNotFoundError:
        return
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        yield from [path.name for path in folder.iterdir() if not path.name.endswith(".tmp")]
