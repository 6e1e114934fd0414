"""The index folder: plain files, and a manifest that names and checksums them.

A change writes new files beside the old ones and then replaces the manifest. So a crash at any moment leaves the index
as it was before or as it is after, and no reader sees a mixture. Data files that the manifest doesn't name any more are
removed after the change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lookalike.disk import held, make_folder, open_regular, read_regular, require_local, written
from lookalike.errors import (
    EncoderError,
    IndexBusyError,
    IndexDamagedError,
    IndexNotFoundError,
    ReferenceIndexError,
    TableError,
)
from lookalike.model.adapter import Adapter
from lookalike.model.encoder import EncoderSpec

from .data_files import (
    check,
    data_name,
    read_array,
    read_catalogue,
    remove_unnamed,
    require_unit_length,
    write_array,
    write_data,
)
from .features import NONE, Packed, read_features, write_features

FORMAT, VERSIONS = "lookalike-index", (1, 2)
"""Version 1 is one piece that is searched exactly; version 2 is partitioned (see `segments`)."""
MANIFEST = "manifest.json"
UNFINISHED = "building.*"
"""The files and folders that a build keeps until it is done, so that it resumes."""

_MANIFEST_BYTES = 1 << 20
_TRIES = 20
_ABSURD = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, MemoryError, pa.ArrowException, OSError)
"""What reading raises for a manifest or file that can't be right, or that isn't a regular file."""

_Read = TypeVar("_Read")


@dataclass(frozen=True)
class Stored:
    """An index as stored: `vectors`, float32 (count, width), each with a row of the catalogue and packed `features`.

    In an adapted index, `unadapted` are the vectors before they were, float32 (count, width).
    """

    catalogue: pa.Table
    vectors: NDArray[np.float32]
    features: list[Packed]
    unadapted: NDArray[np.float32] | None = None


def write(
    folder: Path,
    *,
    spec: EncoderSpec,
    catalogue: pa.Table,
    vectors: NDArray[np.float32],
    features: Sequence[Packed] = (),
    unadapted: NDArray[np.float32] | None = None,
    adapter: Adapter | None = None,
    more: Mapping[str, Any] | None = None,
) -> str:
    """Make the folder hold exactly this, in one step; give the digest of what it holds (see `digest_of`).

    `features` has one packed entry for each row of the catalogue; no file is written for them if all are empty. An
    adapted index has an `adapter`, and `unadapted` vectors beside its own. `more` goes into the manifest.
    """
    make_folder(folder)
    files = write_rows(folder, catalogue=catalogue, vectors=vectors, features=features, unadapted=unadapted)
    manifest = manifest_head(1, spec, len(vectors)) | {"files": files} | adapter_entry(folder, adapter)
    return replace_manifest(folder, manifest | dict(more or {}))


def adapter_entry(folder: Path, adapter: Adapter | None) -> dict[str, Any]:
    """Write an index's adapter, if it has one, and give what its manifest says of it."""
    if adapter is None:
        return {}
    data = adapter.to_bytes()
    return {
        "adapter": {
            "files": {"adapter": write_data(folder, "adapter", ".safetensors", lambda path: path.write_bytes(data))}
        }
    }


def read_adapter(folder: Path, manifest: Mapping[str, Any], spec: EncoderSpec) -> Adapter | None:
    """The adapter of an index, None for one that isn't adapted.

    Raises IndexDamagedError for another one than `spec`, the index's encoder, names, and FileNotFoundError if it is
    missing.
    """
    if spec.adapted is None:
        return None
    try:
        entry = manifest["adapter"]["files"]["adapter"]
        with open_regular(folder / data_name(entry["name"])) as file:
            check(file, entry)
            adapter = Adapter.from_bytes(file.read())
    except (LookupError, TypeError, ValueError, EncoderError) as error:
        raise unusable(folder, error) from error
    if adapter.adapted_spec != spec:
        raise IndexDamagedError(
            f"the adapter of {folder} is not the one that its manifest names; build the index again"
        )
    return adapter


def write_rows(
    folder: Path,
    *,
    catalogue: pa.Table,
    vectors: NDArray[np.float32],
    features: Sequence[Packed],
    unadapted: NDArray[np.float32] | None = None,
    known: Mapping[str, dict[str, Any]] | None = None,
) -> dict[str, dict[str, Any]]:
    """Write the files of n references, except those with `known` entries, and give the manifest's entries for them.

    Raises TableError, before any manifest names it, for a catalogue that couldn't be read again.
    """

    def save(path: Path) -> None:
        pq.write_table(catalogue, path)
        with open_regular(path) as file:
            try:
                read_catalogue(file, *vectors.shape)
            except IndexDamagedError as error:
                raise TableError(f"the further columns of the references can't be kept in {folder} "
                                 f"({error.__cause__}); leave them out") from error  # fmt: skip

    files = dict(known or {})
    if "catalogue" not in files:
        files["catalogue"] = write_data(folder, "catalogue", ".parquet", save)
    if "vectors" not in files:
        files["vectors"] = write_array(folder, "vectors", vectors)
    if "unadapted" not in files and unadapted is not None:
        files["unadapted"] = write_array(folder, "vectors", unadapted)
    if "features" not in files and any(len(packed) for packed in features):
        files["features"] = write_data(folder, "features", ".bin", lambda path: write_features(features, path))
    return files


def manifest_head(version: int, spec: EncoderSpec, count: int) -> dict[str, Any]:
    """What every manifest begins with."""
    return {
        "format": FORMAT,
        "version": version,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "encoder": spec.to_json(),
        "dim": spec.width,
        "count": count,
    }


def replace_manifest(folder: Path, manifest: dict[str, Any]) -> str:
    """Replace the folder's manifest, then remove the files that the new one doesn't name; give its digest."""
    text = _manifest_text(manifest)
    with written(folder / MANIFEST) as temporary:
        temporary.write_bytes(text.encode())
    remove_unnamed(folder, data_names(manifest))
    return digest_of(manifest)


def digest_of(manifest: Mapping[str, Any]) -> str:
    """The sha256, in hexadecimal, of all that a manifest says except when it was written.

    Its files are named after their content, so two builds of the same references have the same digest.
    """
    return _checksum({name: value for name, value in manifest.items() if name != "created"})


def data_names(manifest: Mapping[str, Any]) -> set[str]:
    """The names of all data files that a manifest of any version names."""
    return {entry["name"] for entry in data_entries(manifest)}


def data_entries(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a manifest of any version says of each of its data files: name, bytes and sha256."""
    parts = (
        manifest.get(name, {}) for name in ("partition", "look_partition", "unadapted_partition", "removed", "adapter")
    )
    holders = [manifest, *parts, *manifest.get("segments", ())]
    return [entry for holder in holders for entry in holder.get("files", {}).values()]


def read(folder: Path, read_data: Callable[[dict[str, Any], str], _Read]) -> _Read:
    """What `read_data` makes of the folder's manifest and its digest; tried again if a writer came between.

    Raises IndexNotFoundError if there is no index, and IndexDamagedError for an unknown format or a missing file.
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
        except _ABSURD as error:
            raise unusable(folder, error) from error
    raise ReferenceIndexError(f"index {folder} changed {_TRIES} times while it was being read; try again")


def read_manifest(folder: Path) -> tuple[dict[str, Any], str]:
    """The checked manifest and its digest (see `digest_of`). Reads no data, so it is cheap. Raises as `read`."""
    require_local(folder)
    path = folder / MANIFEST
    if not path.is_file():
        raise IndexNotFoundError(
            f"there is no index in {folder}{_unfinished(folder)}; make one with: "
            f"lookalike build REFERENCES --index {folder}"
        )
    if path.stat().st_size > _MANIFEST_BYTES:
        raise IndexDamagedError(f"{path} is larger than {_MANIFEST_BYTES} bytes, so it is not a manifest; build again")
    raw = read_regular(path, most=_MANIFEST_BYTES)
    try:
        manifest = json.loads(raw)
        if manifest["format"] != FORMAT or manifest["version"] not in VERSIONS:
            raise IndexDamagedError(
                f"{path} has the format {manifest['format']} {manifest['version']}, expected {FORMAT} {VERSIONS[-1]} "
                "or older; build the index again, or use the version of lookalike that wrote it"
            )
        claimed = manifest.pop("checksum")
        # there is only one text for each manifest, so that a change of any byte shows
        intact = raw.decode() == _manifest_text(manifest) and _checksum(manifest) == claimed
    except (ValueError, KeyError, TypeError, RecursionError, AttributeError) as error:
        raise IndexDamagedError(f"{path} can't be read ({type(error).__name__}); build the index again") from error
    if not intact:
        raise IndexDamagedError(f"{path} is not as it was written (checksum differs); build the index again")
    return manifest, digest_of(manifest)


def _unfinished(folder: Path) -> str:
    if folder.is_dir() and any(folder.glob(UNFINISHED)):
        return " (a build began there; run the same build again to finish it)"
    return ""


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Keep other writers out of the folder; raises IndexBusyError while another one is at work."""
    require_local(folder)
    if folder.exists() and not folder.is_dir():
        raise ReferenceIndexError(f"{folder} is not a folder, so it can't hold an index; use another --index")
    busy = IndexBusyError(f"another process is changing the index {folder}; wait until it is done")
    with held(folder, busy):
        yield


def read_spec(folder: Path, manifest: Mapping[str, Any]) -> EncoderSpec:
    """The encoder that a manifest names. Raises IndexDamagedError if its vectors have another dimension."""
    try:
        spec, width = EncoderSpec.from_json(manifest["encoder"]), int(manifest["dim"])
    except (KeyError, TypeError, ValueError) as error:
        raise unusable(folder, error) from error
    if spec.width != width or spec.dim < 1 or spec.look_dim < 0:
        raise IndexDamagedError(
            f"index {folder} has vectors of {width} dimensions, but its encoder makes {spec.width}; build it again"
        )
    return spec


def read_rows(folder: Path, manifest: Mapping[str, Any]) -> Stored:
    """Read and check the files of a version 1 index.

    Raises IndexDamagedError for a file that is not what the manifest says or holds vectors that don't have length 1,
    and FileNotFoundError for one that is missing.
    """
    spec = read_spec(folder, manifest)
    try:
        count = int(manifest["count"])
        entries = {kind: dict(manifest["files"][kind]) for kind in ("catalogue", "vectors")}
        if "features" in manifest["files"]:
            entries["features"] = dict(manifest["files"]["features"])
        if spec.adapted is not None:
            entries["unadapted"] = dict(manifest["files"]["unadapted"])
        paths = {kind: folder / data_name(entry["name"]) for kind, entry in entries.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise unusable(folder, error) from error
    # a file that is open stays readable when a writer removes it
    with ExitStack() as stack:
        files = {kind: stack.enter_context(open_regular(path)) for kind, path in paths.items()}
        for kind, file in files.items():
            check(file, entries[kind])
        rows = read_array(files["vectors"], "<f4", (count, spec.width))
        table = read_catalogue(files["catalogue"], count, spec.width)
        require_unit_length(rows, spec, files["vectors"].name)
        features = read_features(files["features"], count) if "features" in files else [NONE] * count
        before = None
        if "unadapted" in files:
            before = read_array(files["unadapted"], "<f4", (count, spec.width))
            require_unit_length(before, spec, files["unadapted"].name)
    return Stored(table, rows, features, before)


def unusable(folder: Path, error: Exception) -> IndexDamagedError:
    """The error for a manifest that can't be right."""
    return IndexDamagedError(f"the manifest of {folder} is incomplete or wrong ({error}); build the index again")


def _manifest_text(manifest: dict[str, Any]) -> str:
    return json.dumps({**manifest, "checksum": _checksum(manifest)}, indent=1, ensure_ascii=False) + "\n"


def _checksum(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
