"""What a scan leaves for the next one: each listing's finding, its photos' vectors, and the references it knew."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from lookalike.disk import LOCK, file_sha256, held, open_regular, read_regular, write_named_by_content, written
from lookalike.errors import ScanStateError

from .basis import Basis
from .state_rows import state_schema

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT, VERSION = "lookalike-scan-state", 1
MANIFEST = "state.json"
_MANIFEST_BYTES = 16 << 20


@dataclass(frozen=True)
class ScanState:
    """The state of a scan: `listings`, one row each (see `state_schema`), and a digest of each reference by id.

    `seconds` is how long one photo took, from its file to its verification, in the last run that looked at any.
    """

    basis: Basis
    listings: pa.Table
    references: Mapping[str, str]
    seconds: float = field(compare=False)

    @classmethod
    def load(cls, folder: str | Path) -> ScanState | None:
        """The state in that folder, or None if there is none yet. Raises ScanStateError for one that is damaged."""
        import pyarrow as pa

        folder = Path(folder)
        if not (folder / MANIFEST).exists():
            return None
        try:
            manifest = json.loads(read_regular(folder / MANIFEST, most=_MANIFEST_BYTES))
            if (manifest["format"], manifest["version"]) != (FORMAT, VERSION):
                raise ScanStateError(
                    f"{folder} holds {manifest['format']} {manifest['version']}, expected {FORMAT} {VERSION}; "
                    "remove it to look at everything again"
                )
            listings, references = (_read(folder, manifest["files"][kind]) for kind in ("listings", "references"))
            digests = zip(references["reference_id"].to_pylist(), references["digest"].to_pylist(), strict=True)
            state = cls(
                Basis(**manifest["basis"]), listings.cast(state_schema()), dict(digests), float(manifest["seconds"])
            )
            _require_sound(state)
            return state
        except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError,
                pa.ArrowException) as error:  # fmt: skip
            raise ScanStateError(
                f"the state of a scan in {folder} can't be read ({error}); remove it to look at everything again"
            ) from error

    def save(self, folder: str | Path, *, locked: bool = False) -> None:
        """Make the folder hold this state, in one step that a crash can't split.

        Waits for another process that is writing it, unless the caller holds the folder already (see `writing_state`).
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        references = pa.table({"reference_id": list(self.references), "digest": list(self.references.values())})
        # another scan would remove these files before the manifest names them
        with nullcontext() if locked else FileLock(folder / LOCK):
            files = {}
            for kind, table in (("listings", self.listings), ("references", references)):
                save = partial(pq.write_table, table, compression="zstd")
                path, sha256 = write_named_by_content(folder, kind, ".parquet", save)
                files[kind] = {"name": path.name, "sha256": sha256}
            manifest = {"format": FORMAT, "version": VERSION, "basis": vars(self.basis), "seconds": self.seconds}
            with written(folder / MANIFEST) as temporary:
                temporary.write_text(json.dumps({**manifest, "files": files}), encoding="utf-8")
            _remove_unnamed(folder, {entry["name"] for entry in files.values()})


def writing_state(folder: Path) -> AbstractContextManager[None]:
    """Keep other scans from using the state in that folder; raises ScanStateError while another process does."""
    return held(folder, ScanStateError(
        f"another process is scanning with the state in {folder}; wait until it is done, or choose another --since"
    ))  # fmt: skip


def _read(folder: Path, entry: Mapping[str, str]) -> pa.Table:
    import pyarrow.parquet as pq

    path = folder / Path(entry["name"]).name
    if file_sha256(path) != entry["sha256"]:
        raise ValueError(f"{path.name} is not as it was written")
    with open_regular(path) as file:
        return pq.read_table(file)


def _require_sound(state: ScanState) -> None:
    """Raise ValueError, KeyError, TypeError or AttributeError for values that no scan writes."""
    import pyarrow.compute as pc

    if not (math.isfinite(state.seconds) and state.seconds >= 0):
        raise ValueError(f"{state.seconds} seconds")
    if not all(isinstance(text, str) for text in (state.basis.reading, state.basis.index)):
        raise TypeError("its basis is not text")
    if not (state.basis.encoder.keys() and state.basis.tables is not None):
        raise ValueError("its basis names no encoder")
    if not all(isinstance(text, str) for pair in state.references.items() for text in pair):
        raise TypeError("a reference has no digest")
    if any(state.listings[name].null_count for name in ("listing_id", "images", "photos", "verdict")):
        raise ValueError("a listing lacks its id, its photos or its verdict")
    photos = pc.list_flatten(state.listings["photos"])
    vectors = pc.struct_field(photos, "vector").drop_null()
    if len(vectors) and not pc.all(pc.equal(pc.binary_length(vectors), 4 * int(state.basis.encoder["dim"]))).as_py():
        raise ValueError("a vector has another length than the encoder's")
    if pc.any(pc.is_null(pc.struct_field(photos, "matches"))).as_py():
        raise ValueError("a photo has no matches")


def _remove_unnamed(folder: Path, named: set[str]) -> None:
    """Remove tables that the manifest doesn't name, and what a killed process left half written."""
    for path in (*folder.glob("*-*.parquet"), *folder.glob("*.tmp")):
        if path.name not in named:
            path.unlink(missing_ok=True)
