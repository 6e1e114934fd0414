"""What a scan leaves for the next one: each listing's finding, its photos' vectors, and the references it knew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from lookalike.disk import file_sha256, write_named_by_content, written
from lookalike.errors import ScanStateError

from .basis import Basis
from .state_rows import state_schema

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT, VERSION = "lookalike-scan-state", 1
MANIFEST = "state.json"


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
            manifest = json.loads((folder / MANIFEST).read_bytes())
            if (manifest["format"], manifest["version"]) != (FORMAT, VERSION):
                raise ScanStateError(
                    f"{folder} holds {manifest['format']} {manifest['version']}, expected {FORMAT} {VERSION}; "
                    "remove it to look at everything again"
                )
            listings, references = (_read(folder, manifest["files"][kind]) for kind in ("listings", "references"))
            digests = zip(references["reference_id"].to_pylist(), references["digest"].to_pylist(), strict=True)
            basis, seconds = Basis(**manifest["basis"]), float(manifest["seconds"])
            return cls(basis, listings.cast(state_schema()), dict(digests), seconds)
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise ScanStateError(
                f"the state of a scan in {folder} can't be read ({error}); remove it to look at everything again"
            ) from error

    def save(self, folder: str | Path) -> None:
        """Make the folder hold this state, in one step that a crash can't split."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        references = pa.table({"reference_id": list(self.references), "digest": list(self.references.values())})
        with FileLock(folder / ".lock"):  # another scan would remove these files before the manifest names them
            files = {}
            for kind, table in (("listings", self.listings), ("references", references)):
                save = partial(pq.write_table, table, compression="zstd")
                path, sha256 = write_named_by_content(folder, kind, ".parquet", save)
                files[kind] = {"name": path.name, "sha256": sha256}
            manifest = {"format": FORMAT, "version": VERSION, "basis": vars(self.basis), "seconds": self.seconds}
            with written(folder / MANIFEST) as temporary:
                temporary.write_text(json.dumps({**manifest, "files": files}), encoding="utf-8")
            _remove_unnamed(folder, {entry["name"] for entry in files.values()})


def _read(folder: Path, entry: Mapping[str, str]) -> pa.Table:
    import pyarrow.parquet as pq

    path = folder / Path(entry["name"]).name
    if file_sha256(path) != entry["sha256"]:
        raise ValueError(f"{path.name} is not as it was written")
    with pq.ParquetFile(path) as file:
        return file.read()


def _remove_unnamed(folder: Path, named: set[str]) -> None:
    """Remove tables that the manifest doesn't name, and what a killed process left half written."""
    for path in (*folder.glob("*-*.parquet"), *folder.glob("*.tmp")):
        if path.name not in named:
            path.unlink(missing_ok=True)
