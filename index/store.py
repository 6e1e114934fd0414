"""The index folder: plain files under a manifest that names and checksums them; nothing is pickled.

A change writes new files beside the old ones and then replaces the manifest, so that a crash at any
moment leaves the index as it was before or as it is after, and no reader sees a mixture. Data files are
named after their content; those that no manifest names any more are removed after the change.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from numpy.typing import DTypeLike, NDArray

from lookalike.disk import file_sha256, sync
from lookalike.errors import IndexDamagedError, IndexNotFoundError, ReferenceIndexError
from lookalike.model.encoder import EncoderSpec

from .features import NONE, Packed, read_features, write_features

FORMAT, VERSIONS = "lookalike-index", (1, 2)
"""Version 1 is one piece that is searched exactly; version 2 is partitioned, see `segments`."""
MANIFEST = "manifest.json"
BIG = 1 << 28
"""A file of vectors or features of more bytes is mapped, and its checksum is looked at when that is asked for."""

_DATA_NAME = re.compile(
    r"(catalogue-[0-9a-f]{16}\.parquet|(vectors|lists|codes|centroids|codebook|removed)-[0-9a-f]{16}\.npy"
    r"|features-[0-9a-f]{16}\.bin)"
)
_MANIFEST_BYTES = 1 << 20
_ROW_BYTES = 1 << 16  # a row of a catalogue that unpacks to more than this is somebody's bomb
_TRIES = 20

_Read = TypeVar("_Read")


@dataclass(frozen=True)
class Stored:
    """What an index folder holds: `vectors` float32 (count, dim), one catalogue row for each, and packed `features`."""

    catalogue: pa.Table
    vectors: NDArray[np.float32]
    features: list[Packed]


def write(
    folder: Path,
    *,
    spec: EncoderSpec,
    catalogue: pa.Table,
    vectors: NDArray[np.float32],
    features: Sequence[Packed] = (),
    more: Mapping[str, Any] | None = None,
) -> str:
    """Make the folder hold exactly this, in one step; gives the new manifest's digest (sha256, hexadecimal).

    `features` are one packed entry for each row of the catalogue; where all are empty no file is written for them.
    `more` goes into the manifest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = write_rows(folder, catalogue=catalogue, vectors=vectors, features=features)
    return replace_manifest(folder, manifest_head(1, spec, len(vectors)) | {"files": files} | dict(more or {}))


def write_rows(
    folder: Path, *, catalogue: pa.Table, vectors: NDArray[np.float32], features: Sequence[Packed]
) -> dict[str, dict[str, Any]]:
    """Write the files of n references; gives the manifest's entries of them."""
    files = {
        "catalogue": write_data(folder, "catalogue", ".parquet", lambda path: pq.write_table(catalogue, path)),
        "vectors": write_array(folder, "vectors", vectors),
    }
    if any(len(packed) for packed in features):
        files["features"] = write_data(folder, "features", ".bin", lambda path: write_features(features, path))
    return files


def manifest_head(version: int, spec: EncoderSpec, count: int) -> dict[str, Any]:
    """What every manifest begins with."""
    return {
        "format": FORMAT,
        "version": version,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "encoder": spec.to_json(),
        "dim": spec.dim,
        "count": count,
    }


def replace_manifest(folder: Path, manifest: dict[str, Any]) -> str:
    """Put this manifest in the place of the one that was there, then remove the files that it doesn't name.

    Gives its digest (sha256, hexadecimal).
    """
    text = _manifest_text(manifest)
    _replace(folder / MANIFEST, text.encode())
    _remove_unnamed(folder, data_names(manifest))
    return hashlib.sha256(text.encode()).hexdigest()


def data_names(manifest: Mapping[str, Any]) -> set[str]:
    """The names of all data files that a manifest of any version names."""
    holders = [manifest, manifest.get("partition", {}), manifest.get("removed", {}), *manifest.get("segments", ())]
    return {entry["name"] for holder in holders for entry in holder.get("files", {}).values()}


def read(folder: Path, read_data: Callable[[dict[str, Any], str], _Read]) -> _Read:
    """What `read_data` makes of the folder's manifest and its digest; again, if a writer came between.

    Raises IndexNotFoundError where there is no index, and IndexDamagedError for a format this version doesn't know
    and a file that is missing.
    """
    for _ in range(_TRIES):
        manifest, digest = read_manifest(folder)
        try:
            return read_data(manifest, digest)
        except FileNotFoundError as error:
            # a writer may have replaced the manifest, and removed the old files, since we read it
            if read_manifest(folder)[1] == digest:
                raise IndexDamagedError(
                    f"index {folder} lacks {Path(error.filename).name}, which its manifest names; build it again"
                ) from error
    raise ReferenceIndexError(f"index {folder} changed {_TRIES} times while it was being read; try again")


def read_manifest(folder: Path) -> tuple[dict[str, Any], str]:
    """The checked manifest and its digest (sha256, hexadecimal); cheap, reads no data. Raises as `read`."""
    path = folder / MANIFEST
    if not path.is_file():
        unfinished = (
            " (a build began there; run the same build again to finish it)"
            if folder.is_dir() and any(folder.glob("building.sqlite*"))
            else ""
        )
        raise IndexNotFoundError(
            f"there is no index in {folder}{unfinished}; make one with: lookalike build REFERENCES --index {folder}"
        )
    if path.stat().st_size > _MANIFEST_BYTES:
        raise IndexDamagedError(f"{path} is larger than {_MANIFEST_BYTES} bytes, so it is no manifest; build again")
    raw = path.read_bytes()
    try:
        manifest = json.loads(raw)
        if manifest["format"] != FORMAT or manifest["version"] not in VERSIONS:
            raise IndexDamagedError(
                f"{path} is of format {manifest['format']} {manifest['version']}, needed {FORMAT} {VERSIONS[-1]} "
                "or older; "
                "build the index again, or use the version of lookalike that wrote it"
            )
        claimed = manifest.pop("checksum")
        # the text has one form only, so that a change of any byte of it shows
        intact = raw.decode() == _manifest_text(manifest) and _checksum(manifest) == claimed
    except (ValueError, KeyError, TypeError, RecursionError, AttributeError) as error:
        raise IndexDamagedError(f"{path} can't be read ({type(error).__name__}); build the index again") from error
    if not intact:
        raise IndexDamagedError(f"{path} is not as it was written (checksum differs); build the index again")
    return manifest, hashlib.sha256(raw).hexdigest()


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Hold the folder against other writers; raises ReferenceIndexError where another one is at work."""
    if folder.exists() and not folder.is_dir():
        raise ReferenceIndexError(f"{folder} is no folder, needed one to hold the index; name another with --index")
    folder.mkdir(parents=True, exist_ok=True)
    lock, held = folder / ".lock", False
    try:
        with FileLock(lock, timeout=0):
            held = True
            yield
    except Timeout as error:
        raise ReferenceIndexError(f"another process is changing the index {folder}; wait until it is done") from error
    finally:
        if held:
            _remove_if_unused(folder, lock)


def _remove_if_unused(folder: Path, lock: Path) -> None:
    if [path.name for path in folder.iterdir()] == [lock.name]:  # nothing came of it
        lock.unlink()
        folder.rmdir()


def read_spec(folder: Path, manifest: Mapping[str, Any]) -> EncoderSpec:
    """The encoder that a manifest names. Raises IndexDamagedError for one of another width than the index."""
    try:
        spec, dim = EncoderSpec.from_json(manifest["encoder"]), int(manifest["dim"])
    except (KeyError, TypeError, ValueError) as error:
        raise IndexDamagedError(f"the manifest of {folder} lacks something ({error}); build it again") from error
    if spec.dim != dim:
        raise IndexDamagedError(f"index {folder} is {dim} wide, but its encoder {spec.dim}; build it again")
    return spec


def read_rows(folder: Path, manifest: Mapping[str, Any]) -> Stored:
    """Read and check the files of a version 1 index.

    Raises IndexDamagedError for a file that is not what the manifest says, or vectors that are no unit vectors, and
    FileNotFoundError for one that is missing.
    """
    spec = read_spec(folder, manifest)
    try:
        count = int(manifest["count"])
        entries = {kind: dict(manifest["files"][kind]) for kind in ("catalogue", "vectors")}
        if "features" in manifest["files"]:
            entries["features"] = dict(manifest["files"]["features"])
        paths = {kind: folder / data_name(entry["name"]) for kind, entry in entries.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise IndexDamagedError(f"the manifest of {folder} lacks something ({error}); build it again") from error
    # a file that is open stays readable when a writer removes it
    with ExitStack() as stack:
        files = {kind: stack.enter_context(open(path, "rb")) for kind, path in paths.items()}
        for kind, file in files.items():
            check(file, entries[kind])
        rows, table = read_array(files["vectors"], "<f4", (count, spec.dim)), read_catalogue(files["catalogue"], count)
        require_unit_length(rows, files["vectors"].name)
        features = read_features(files["features"], count) if "features" in files else [NONE] * count
    return Stored(table, rows, features)


def data_name(name: object) -> str:
    """The name, if a data file may have it; raises ValueError for any other, so none leads out of the folder."""
    if not isinstance(name, str) or not _DATA_NAME.fullmatch(name):
        raise ValueError(f"a file may not be named {name!r}")
    return name


def check(file: BufferedReader, entry: Mapping[str, Any], *, content: bool = True) -> None:
    """Raise IndexDamagedError unless the file has its entry's size and, where `content` is to be read, checksum."""
    size = os.fstat(file.fileno()).st_size
    if size != entry.get("bytes") or (
        content and hashlib.file_digest(file, "sha256").hexdigest() != entry.get("sha256")
    ):
        raise IndexDamagedError(f"{file.name} is not as it was written (checksum differs); build the index again")
    file.seek(0)


def read_catalogue(file: BinaryIO, count: int) -> pa.Table:
    """The catalogue in an open file, of `count` rows; raises IndexDamagedError for anything else."""
    try:
        with pq.ParquetFile(file) as parquet:
            metadata = parquet.metadata
            unpacked = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
            if metadata.num_rows != count or unpacked > _ROW_BYTES * (count + 16):
                raise IndexDamagedError(
                    f"{file.name} has {metadata.num_rows} rows, {unpacked} bytes; needed {count} rows"
                )
            table = parquet.read()
    except (pa.ArrowException, OSError) as error:
        raise IndexDamagedError(f"{file.name} is no readable catalogue ({error}); build the index again") from error
    missing = {"reference_id", "product_id", "brand", "image", "sha256"} - set(table.column_names)
    if missing:
        raise IndexDamagedError(f"{file.name} lacks the columns {', '.join(sorted(missing))}; build the index again")
    return table


def read_array(file: BufferedReader, dtype: DTypeLike, shape: tuple[int, ...], *, mapped: bool = False) -> NDArray[Any]:
    """The array in an open .npy file, in memory or `mapped`; raises IndexDamagedError unless it is of this kind.

    What the file's header claims is held against `shape` before any memory is asked for.
    """
    try:
        version = np.lib.format.read_magic(file)
        claimed = np.lib.format.read_array_header_1_0(file) if version == (1, 0) else None
    except (ValueError, OSError, SyntaxError, TypeError, RecursionError) as error:
        raise IndexDamagedError(f"{file.name} is no readable array ({error}); build the index again") from error
    start, wanted = file.tell(), np.dtype(dtype)
    if claimed != (shape, False, wanted):
        raise IndexDamagedError(f"{file.name} is {claimed}, needed {wanted} {shape}; build the index again")
    if os.fstat(file.fileno()).st_size != start + wanted.itemsize * math.prod(shape):
        raise IndexDamagedError(f"{file.name} is not as long as {shape} needs; build the index again")
    if mapped:
        return np.asarray(np.memmap(file, wanted, "r", start, shape))
    return np.fromfile(file, wanted).reshape(shape)


def require_unit_length(vectors: NDArray[np.float32], name: str) -> None:
    """Raise IndexDamagedError, naming the file, unless every row has length 1."""
    if not np.all(np.abs(np.linalg.norm(vectors, axis=1) - 1) < 1e-3):
        raise IndexDamagedError(f"{name} holds rows that are not of length 1; build the index again")


def write_array(folder: Path, kind: str, array: NDArray[Any]) -> dict[str, Any]:
    """Write an array, little-endian; gives the manifest's entry of its file."""
    return write_data(folder, kind, ".npy", lambda path: _save_array(array, path))


def write_data(folder: Path, kind: str, suffix: str, save: Callable[[Path], None]) -> dict[str, Any]:
    """Have a file saved, on disk for certain and named after its content; gives the manifest's entry of it."""
    temporary = folder / f"{kind}.tmp"
    save(temporary)
    sync(temporary)
    sha256 = file_sha256(temporary)
    final = folder / f"{kind}-{sha256[:16]}{suffix}"
    temporary.replace(final)
    return {"name": final.name, "bytes": final.stat().st_size, "sha256": sha256}


def _save_array(array: NDArray[Any], path: Path) -> None:
    with open(path, "wb") as file:
        np.save(file, np.ascontiguousarray(array, array.dtype.newbyteorder("<")), allow_pickle=False)


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(data)
    sync(temporary)
    sync(path.parent)  # the data files' names must be on disk before a manifest names them
    temporary.replace(path)
    sync(path.parent)


def _remove_unnamed(folder: Path, named: set[str]) -> None:
    for path in folder.iterdir():
        if _DATA_NAME.fullmatch(path.name) and path.name not in named:
            path.unlink(missing_ok=True)


def _manifest_text(manifest: dict[str, Any]) -> str:
    return json.dumps({**manifest, "checksum": _checksum(manifest)}, indent=1, ensure_ascii=False) + "\n"


def _checksum(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
