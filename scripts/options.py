"""Options that several commands share, and what they open."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lookalike.errors import TableError
from lookalike.scripts.terminal import MOST_SHOWN, errors, note

if TYPE_CHECKING:
    from lookalike.index.embedding import PhotoReader
    from lookalike.index.vector_cache import VectorCache
    from lookalike.model.encoder import Encoder
    from lookalike.rights.rights import Rights
    from lookalike.scanning.cluster import Cluster

Quiet = Annotated[bool, typer.Option("--quiet", help="Print no progress and no summary, only errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
IndexFolder = Annotated[Path, typer.Option("--index", help="Folder of the index.")]
FindingsOut = Annotated[Path, typer.Option("--out", help="Findings table to write: .csv, .parquet or .jsonl.")]
ReportOut = Annotated[Path | None, typer.Option("--report", help="Also write an HTML report to this file.")]
EVIDENCE = 100
Evidence = Annotated[
    int,
    typer.Option("--evidence", min=0, help="How many findings of the report show what matches and what differs."),
]

Scheme = Annotated[
    list[str] | None,
    typer.Option("--allow-scheme", help="Read remote pictures with this scheme, such as https. Repeatable."),
]
Private = Annotated[
    bool, typer.Option("--allow-private", help="Also read remote pictures from private and loopback addresses.")
]
Truncated = Annotated[bool, typer.Option("--accept-truncated", help="Accept JPEGs whose end is missing.")]

Model = Annotated[str | None, typer.Option("--model", help="Encoder; by default the index's own.")]
NewModel = Annotated[str, typer.Option("--model", help="Encoder: a preset or ARCHITECTURE/TAG; see: lookalike models.")]
Weights = Annotated[str | None, typer.Option("--weights", help="Local checkpoint of the encoder.")]
Device = Annotated[str | None, typer.Option("--device", help="cpu, cuda or cuda:N; by default a GPU if there is one.")]
NoFeatures = Annotated[
    bool, typer.Option("--no-features", help="Keep no local features; listings can't be compared point by point.")
]
ExactUpTo = Annotated[
    int | None,
    typer.Option("--exact-up-to", min=0, help="Partition an index of more references than this (default 50,000)."),
]
CacheFile = Annotated[
    Path | None, typer.Option("--cache", help="File that keeps vectors between runs; by default your own.")
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Don't use or keep vectors of other runs.")]

EngineName = Annotated[
    Literal["local", "ray"], typer.Option("--engine", help="Work in this process, or on workers of a Ray cluster.")
]
Address = Annotated[
    str | None, typer.Option("--address", help="Ray cluster, as host:port; by default one is started here.")
]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Number of Ray workers; by default one per CPU.")]

PolicyFile = Annotated[Path | None, typer.Option("--policy", help="Policy; by default the one for the encoder.")]
RightsTable = Annotated[
    Path | None, typer.Option("--rights", help="Rights table; without a right, a match is unprotected.")
]
SellersTable = Annotated[Path | None, typer.Option("--sellers", help="Table of authorised sellers.")]
RegionsTable = Annotated[
    Path | None, typer.Option("--regions", help="Regions and their territories; by default the built-in table.")
]
Day = Annotated[
    datetime | None,
    typer.Option("--date", formats=["%Y-%m-%d"], help="Day whose rights count, YYYY-MM-DD; by default today."),
]

HistoryDay = Annotated[
    datetime | None,
    typer.Option("--date", formats=["%Y-%m-%d"], help="Day to apply --history for, YYYY-MM-DD; by default today."),
]


def require_apart(outputs: Mapping[str, Path | None], inputs: Mapping[str, str | Path | None] | None = None) -> None:
    """Refuse to write over what is read, or two results to one path. Both are by the name that the user knows.

    Raises TableError; paths that differ only in spelling, or are links to each other, count as the same.
    """
    read = [(name, Path(path)) for name, path in (inputs or {}).items() if path is not None]
    written: list[tuple[str, Path]] = []
    for name, path in outputs.items():
        if path is None:
            continue
        for other, taken in (*read, *written):
            if _is_same(path, taken):
                raise TableError(f"{path} is both {other} and {name}; give two different paths")
        written.append((name, path))


def _is_same(one: Path, other: Path) -> bool:
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    return one.exists() and other.exists() and one.samefile(other)


def photo_reader(
    allow_scheme: list[str] | None = None, *, private: bool = False, truncated: bool = False
) -> PhotoReader:
    """What a command may read: local files, and remote ones with the schemes named on the command line."""
    from lookalike.index.embedding import PhotoReader
    from lookalike.model.images import ImageLimits
    from lookalike.model.sources import Access

    access = Access(schemes=frozenset(allow_scheme or ()), private=private)
    return PhotoReader(access=access, limits=ImageLimits(truncated=truncated))


@contextmanager
def vector_cache(path: Path | None, encoder: Encoder, *, off: bool) -> Iterator[VectorCache | None]:
    """The vectors kept between runs in that file, by default the user's own; None with `off`."""
    from lookalike.index.vector_cache import VectorCache

    where = cache_path(path, off=off)
    if where is None:
        yield None
        return
    with VectorCache(where, encoder.spec, optional=True) as cache:
        yield cache


def cache_path(path: Path | None, *, off: bool) -> Path | None:
    """The file that keeps vectors between runs; None with `off`."""
    from lookalike.index.vector_cache import default_cache

    return None if off else (path or default_cache()).absolute()


def cluster(engine: str, address: str | None, workers: int | None, device: str | None) -> Cluster | None:
    """The Ray cluster to work on, None for the local engine. With cuda, each worker gets a GPU."""
    if engine == "local":
        if address is not None or workers is not None:
            raise typer.BadParameter("--address and --workers need --engine ray")
        return None
    from lookalike.scanning.cluster import Cluster

    return Cluster(address, workers, gpus=1.0 if (device or "").startswith("cuda") else 0.0)


def load_rights(
    rights: Path | None, sellers: Path | None, regions: Path | None, *, quiet: bool = False
) -> Rights | None:
    """The rights and sellers named on the command line, if any. Prints which rows can't be used."""
    from lookalike.rights.rights import Rights

    if rights is None and sellers is None:
        if regions is not None:
            raise TableError("--regions needs --rights or --sellers")
        return None
    loaded = Rights.load(rights=rights, sellers=sellers, regions=regions)
    for row in loaded.bad_rows:
        errors.print(f"{rights}: {row.error}", markup=False)
    if loaded.unusable:
        note(f"{rights}: could not use {loaded.unusable:,} rows; no claim rests on them", quiet=quiet)
    return loaded


def note_unknown_brands(rights: Rights, brands: Iterable[str], *, quiet: bool = False) -> None:
    """Print the brands that the rights table doesn't name: missing rights, or another spelling."""
    unknown = rights.unknown_brands(brands)
    if unknown:
        shown = ", ".join(unknown[:MOST_SHOWN]) + (", …" if len(unknown) > MOST_SHOWN else "")
        note(f"the rights table names none of these {len(unknown):,} brands, spelt like this: {shown}", quiet=quiet)
