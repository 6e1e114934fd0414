"""What a scan leaves for the next one: each listing's finding, its photos' vectors, and what they were looked up in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.disk import file_sha256, sync
from lookalike.errors import ScanStateError
from lookalike.tables.findings import finding_schema

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT, VERSION = "lookalike-scan-state", 1
MANIFEST = "state.json"


@dataclass(frozen=True)
class Basis:
    """What findings rest on besides the listings; equal bases give equal findings.

    `encoder` and `reading` say how a picture becomes its vector, `judging` what is made of its matches, `index` is the
    digest of the index's manifest.
    """

    encoder: Mapping[str, Any]
    reading: str
    judging: str
    index: str


@dataclass(frozen=True)
class ScanState:
    """The state of a scan: `listings` as `state_schema` says, one row each, and the digest of each reference's row.

    `seconds` is what looking at one photo took, from its file to its verification, in the run that looked at any.
    """

    basis: Basis
    listings: pa.Table
    references: Mapping[str, str]
    seconds: float = field(compare=False)

    @classmethod
    def load(cls, folder: str | Path) -> ScanState | None:
        """The state in that folder, None where there is none yet. Raises ScanStateError for one that is damaged."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder = Path(folder)
        if not (folder / MANIFEST).exists():
            return None
        try:
            manifest = json.loads((folder / MANIFEST).read_bytes())
            if (manifest["format"], manifest["version"]) != (FORMAT, VERSION):
                raise ScanStateError(
                    f"{folder} holds {manifest['format']} {manifest['version']}, needed {FORMAT} {VERSION}; "
                    "remove it, and everything is looked at again"
                )
            tables = {}
            for kind in ("listings", "references"):
                path = folder / Path(manifest["files"][kind]["name"]).name
                if file_sha256(path) != manifest["files"][kind]["sha256"]:
                    raise ValueError(f"{path.name} is not as it was written")
                tables[kind] = pq.read_table(path)
            names = tables["references"]["reference_id"].to_pylist()
            references = dict(zip(names, tables["references"]["digest"].to_pylist(), strict=True))
            listings = tables["listings"].cast(state_schema())
            return cls(Basis(**manifest["basis"]), listings, references, float(manifest["seconds"]))
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise ScanStateError(
                f"the state of a scan in {folder} can't be read ({error}); remove it, and everything is looked at again"
            ) from error

    def save(self, folder: str | Path) -> None:
        """Make the folder hold this state, in one step that a crash can't split."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        references = pa.table({"reference_id": list(self.references), "digest": list(self.references.values())})
        files = {}
        for kind, table in (("listings", self.listings), ("references", references)):
            temporary = folder / f"{kind}.tmp"
            pq.write_table(table, temporary, compression="zstd")
            sha256 = file_sha256(temporary)
            sync(temporary)
            temporary.replace(folder / f"{kind}-{sha256[:16]}.parquet")
            files[kind] = {"name": f"{kind}-{sha256[:16]}.parquet", "sha256": sha256}
        manifest = {"format": FORMAT, "version": VERSION, "basis": vars(self.basis), "seconds": self.seconds}
        temporary = folder / f"{MANIFEST}.tmp"
        temporary.write_text(json.dumps({**manifest, "files": files}), encoding="utf-8")
        sync(temporary)
        sync(folder)  # the files' names must be on disk before a manifest names them
        temporary.replace(folder / MANIFEST)
        sync(folder)
        for path in folder.glob("*-*.parquet"):
            if path.name not in {entry["name"] for entry in files.values()}:
                path.unlink(missing_ok=True)


def state_schema() -> pa.Schema:
    """The columns of the findings table, and what a listing can be judged by again without its pictures.

    `signature` says what the listing and its files were, null where that can't be told without reading them. For each
    photo: `vector` as little-endian float32, null for one that could not be read; `matches`, the ids of the references
    that it is alike to; and `least`, the similarity that another reference must have to be among them.
    """
    import pyarrow as pa

    photo = [
        ("sha256", pa.string()),
        ("vector", pa.binary()),
        ("hint", pa.string()),
        ("error", pa.string()),
        ("matches", pa.list_(pa.string())),
        ("least", pa.float32()),
    ]
    more = [("signature", pa.string()), ("images", pa.list_(pa.string())), ("photos", pa.list_(pa.struct(photo)))]
    schema = finding_schema()
    for name, kind in more:
        schema = schema.append(pa.field(name, kind))
    return schema
