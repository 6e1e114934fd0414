"""The index folder: plain files under a manifest that names and checksums them; nothing is pickled.

A change writes new files beside the old ones and then replaces the manifest, so that a crash at any
moment leaves the index as it was before or as it is after, and no reader sees a mixture. Data files are
named after their content; those that no manifest names any more are removed after the change.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from lookalike.errors import IndexDamagedError, IndexNotFoundError, ReferenceIndexError
from lookalike.model.encoder import EncoderSpec

from .features import NONE, Packed, read_features, write_features

FORMAT, VERSION = "lookalike-index", 1
MANIFEST = "manifest.json"

_DATA_NAME = re.compile(r"(catalogue-[0-9a-f]{16}\.parquet|vectors-[0-9a-f]{16}\.npy|features-[0-9a-f]{16}\.bin)")
_MANIFEST_BYTES = 1 << 20
_ROW_BYTES = 1 << 16  # a row of a catalogue that unpacks to more than this is somebody's bomb
_TRIES = 20


@dataclass(frozen=True)
class Stored:
    """What an index folder holds: `vectors` float32 (count, dim), one catalogue row for each, and packed `features`."""

    spec: EncoderSpec
    catalogue: pa.Table
    vectors: NDArray[np.float32]
    features: list[Packed]
    created: str
    digest: str


def write(
    folder: Path,
    *,
    spec: EncoderSpec,
    catalogue: pa.Table,
    vectors: NDArray[np.float32],
    features: Sequence[Packed] = (),
) -> str:
    """Make the folder hold exactly this, in one step; gives the new manifest's digest (sha256, hexadecimal).

    `features` are one packed entry for each row of the catalogue; where all are empty no file is written for them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "catalogue": _write_data(folder, "catalogue", ".parquet", lambda path: pq.write_table(catalogue, path)),
        "vectors": _write_data(folder, "vectors", ".npy", lambda path: _save_vectors(vectors, path)),
    }
    if any(len(packed) for packed in features):
        files["features"] = _write_data(folder, "features", ".bin", lambda path: write_features(features, path))
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "encoder": spec.to_json(),
        "dim": spec.dim,
        "count": len(vectors),
        "files": files,
    }
    text = _manifest_text(manifest)
    _replace(folder / MANIFEST, text.encode())
    _remove_unnamed(folder, {entry["name"] for entry in files.values()})
    return hashlib.sha256(text.encode()).hexdigest()


def read(folder: Path) -> Stored:
    """Read and check the whole index.

    Raises IndexNotFoundError where there is none, and IndexDamagedError for a format this version
    doesn't know, a file that is missing or not what the manifest says, or vectors that are no unit vectors.
    """
    for _ in range(_TRIES):
        manifest, digest = read_manifest(folder)
        try:
            return _read_data(folder, manifest, digest)
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
            if folder.is_dir() and any(folder.glob("building.sqlite"))
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
        if manifest["format"] != FORMAT or manifest["version"] != VERSION:
            raise IndexDamagedError(
                f"{path} is of format {manifest['format']} {manifest['version']}, needed {FORMAT} {VERSION}; "
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


def _read_data(folder: Path, manifest: dict[str, Any], digest: str) -> Stored:
    try:
        spec = EncoderSpec.from_json(manifest["encoder"])
        count, dim = int(manifest["count"]), int(manifest["dim"])
        entries = {kind: dict(manifest["files"][kind]) for kind in ("catalogue", "vectors")}
        if "features" in manifest["files"]:
            entries["features"] = dict(manifest["files"]["features"])
        paths = {kind: folder / _data_name(entry["name"]) for kind, entry in entries.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise IndexDamagedError(f"the manifest of {folder} lacks something ({error}); build it again") from error
    if spec.dim != dim:
        raise IndexDamagedError(f"index {folder} is {dim} wide, but its encoder {spec.dim}; build it again")
    # a file that is open stays readable when a writer removes it
    with ExitStack() as stack:
        files = {kind: stack.enter_context(open(path, "rb")) for kind, path in paths.items()}
        for kind, file in files.items():
            _check(file, entries[kind])
        rows, table = _read_vectors(files["vectors"], (count, dim)), _read_catalogue(files["catalogue"], count)
        features = read_features(files["features"], count) if "features" in files else [NONE] * count
    return Stored(spec, table, rows, features, str(manifest["created"]), digest)


def _data_name(name: object) -> str:
    if not isinstance(name, str) or not _DATA_NAME.fullmatch(name):
        raise ValueError(f"a file may not be named {name!r}")
    return name


def _check(file: BufferedReader, entry: dict[str, Any]) -> None:
    size = os.fstat(file.fileno()).st_size
    if size != entry.get("bytes") or hashlib.file_digest(file, "sha256").hexdigest() != entry.get("sha256"):
        raise IndexDamagedError(f"{file.name} is not as it was written (checksum differs); build the index again")
    file.seek(0)


def _read_catalogue(file: BinaryIO, count: int) -> pa.Table:
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


def _read_vectors(file: BinaryIO, shape: tuple[int, int]) -> NDArray[np.float32]:
    # a header may claim any shape, so that of the manifest is held against the file's size first
    if os.fstat(file.fileno()).st_size < 4 * shape[0] * shape[1]:
        raise IndexDamagedError(f"{file.name} is too short for {shape[0]} vectors; build the index again")
    try:
        vectors = np.load(file, allow_pickle=False)
    except (ValueError, OSError, MemoryError) as error:
        raise IndexDamagedError(f"{file.name} is no readable array ({error}); build the index again") from error
    if vectors.shape != shape or vectors.dtype != np.float32:
        raise IndexDamagedError(f"{file.name} is {vectors.dtype} {vectors.shape}, needed float32 {shape}; build again")
    lengths = np.linalg.norm(vectors, axis=1)
    if not np.all(np.abs(lengths - 1) < 1e-3):
        raise IndexDamagedError(f"{file.name} holds rows that are not of length 1; build the index again")
    return np.asarray(vectors)


def _write_data(folder: Path, kind: str, suffix: str, save: Callable[[Path], None]) -> dict[str, Any]:
    temporary = folder / f"{kind}.tmp"
    save(temporary)
    _sync(temporary)
    sha256 = _sha256(temporary)
    final = folder / f"{kind}-{sha256[:16]}{suffix}"
    temporary.replace(final)
    return {"name": final.name, "bytes": final.stat().st_size, "sha256": sha256}


def _save_vectors(vectors: NDArray[np.float32], path: Path) -> None:
    with open(path, "wb") as file:
        np.save(file, np.ascontiguousarray(vectors, "<f4"), allow_pickle=False)


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(data)
    _sync(temporary)
    _sync(path.parent)  # the data files' names must be on disk before a manifest names them
    temporary.replace(path)
    _sync(path.parent)


def _remove_unnamed(folder: Path, named: set[str]) -> None:
    for path in folder.iterdir():
        if _DATA_NAME.fullmatch(path.name) and path.name not in named:
            path.unlink(missing_ok=True)


def _manifest_text(manifest: dict[str, Any]) -> str:
    return json.dumps({**manifest, "checksum": _checksum(manifest)}, indent=1, ensure_ascii=False) + "\n"


def _checksum(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
