"""Options that several commands share, and what they open."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lookalike.errors import TableError
from lookalike.scripts.command import Options
from lookalike.scripts.terminal import MOST_SHOWN, errors, note

if TYPE_CHECKING:
    from lookalike.index.embedding import PhotoReader
    from lookalike.index.vector_cache import VectorCache
    from lookalike.model.encoder import Encoder
    from lookalike.rights.rights import Rights
    from lookalike.scanning.cluster import Cluster
    from lookalike.scanning.tables import DetectorSettings

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

Weights = Annotated[str | None, typer.Option("--weights", help="Local checkpoint of the encoder.")]
Device = Annotated[str | None, typer.Option("--device", help="cpu, cuda or cuda:N; by default a GPU if there is one.")]
NoFeatures = Annotated[
    bool, typer.Option("--no-features", help="Keep no local features; listings can't be compared point by point.")
]
ExactUpTo = Annotated[
    int | None,
    typer.Option("--exact-up-to", min=0, help="Partition an index of more references than this (default 50,000)."),
]
PolicyFile = Annotated[Path | None, typer.Option("--policy", help="Policy; by default the one for the encoder.")]
HistoryDay = Annotated[
    datetime | None,
    typer.Option("--date", formats=["%Y-%m-%d"], help="Day to apply --history for, YYYY-MM-DD; by default today."),
]


@dataclass(frozen=True)
class PhotoOptions(Options):
    """Which photos may be read: local ones, and remote ones with the schemes named on the command line."""

    allow_scheme: Annotated[
        list[str] | None,
        typer.Option("--allow-scheme", help="Read remote pictures with this scheme, such as https. Repeatable."),
    ] = None
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Also read remote pictures from private and loopback addresses.")
    ] = False
    accept_truncated: Annotated[bool, typer.Option("--accept-truncated", help="Accept JPEGs whose end is missing.")] = (
        False
    )

    def reader(self) -> PhotoReader:
        """What reads them."""
        from lookalike.index.embedding import PhotoReader
        from lookalike.model.images import ImageLimits
        from lookalike.model.sources import Access

        access = Access(schemes=frozenset(self.allow_scheme or ()), private=self.allow_private)
        return PhotoReader(access=access, limits=ImageLimits(truncated=self.accept_truncated))


@dataclass(frozen=True)
class EncoderOptions(Options):
    """The encoder, by default the one that the index was built with."""

    model: Annotated[str | None, typer.Option("--model", help="Encoder; by default the index's own.")] = None
    weights: Weights = None
    device: Device = None


@dataclass(frozen=True)
class NewEncoderOptions(EncoderOptions):
    """The encoder of a new index."""

    model: Annotated[
        str, typer.Option("--model", help="Encoder: a preset or ARCHITECTURE/TAG; see: lookalike models.")
    ] = "embedded"


@dataclass(frozen=True)
class CacheOptions(Options):
    """Where vectors are kept between runs."""

    cache: Annotated[
        Path | None, typer.Option("--cache", help="File that keeps vectors between runs; by default your own.")
    ] = None
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Don't use or keep vectors of other runs.")] = False

    @property
    def path(self) -> Path | None:
        """The file, None with --no-cache."""
        from lookalike.index.vector_cache import default_cache

        return None if self.no_cache else (self.cache or default_cache()).absolute()

    @contextmanager
    def open(self, encoder: Encoder) -> Iterator[VectorCache | None]:
        """The vectors of this encoder in that file, None with --no-cache."""
        from lookalike.index.vector_cache import VectorCache

        if self.path is None:
            yield None
            return
        with VectorCache(self.path, encoder.spec, optional=True) as cache:
            yield cache


@dataclass(frozen=True)
class EngineOptions(Options):
    """Where the work is done."""

    engine: Annotated[
        Literal["local", "ray"], typer.Option("--engine", help="Work in this process, or on workers of a Ray cluster.")
    ] = "local"
    address: Annotated[
        str | None, typer.Option("--address", help="Ray cluster, as host:port; by default one is started here.")
    ] = None
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Number of Ray workers; by default one per CPU.")
    ] = None

    def cluster(self, device: str | None) -> Cluster | None:
        """The Ray cluster to work on, None for the local engine. With cuda, each worker gets a GPU."""
        if self.engine == "local":
            if self.address is not None or self.workers is not None:
                raise typer.BadParameter("--address and --workers need --engine ray")
            return None
        from lookalike.scanning.cluster import Cluster

        return Cluster(self.address, self.workers, gpus=1.0 if (device or "").startswith("cuda") else 0.0)


@dataclass(frozen=True)
class RightsOptions(Options):
    """The tables of rights and sellers, and the day that counts."""

    rights: Annotated[
        Path | None, typer.Option("--rights", help="Rights table; without a right, a match is unprotected.")
    ] = None
    sellers: Annotated[Path | None, typer.Option("--sellers", help="Table of authorised sellers.")] = None
    regions: Annotated[
        Path | None, typer.Option("--regions", help="Regions and their territories; by default the built-in table.")
    ] = None
    day: Annotated[
        datetime | None,
        typer.Option("--date", formats=["%Y-%m-%d"], help="Day whose rights count, YYYY-MM-DD; by default today."),
    ] = None

    @property
    def tables(self) -> dict[str, Path | None]:
        """The tables by the names of their options."""
        return {"--rights": self.rights, "--sellers": self.sellers, "--regions": self.regions}

    @property
    def on(self) -> date | None:
        """The day that --date names."""
        return self.day.date() if self.day else None

    def load(self, *, quiet: bool = False) -> Rights | None:
        """The rights and sellers, if any were named. Prints which rows can't be used."""
        from lookalike.rights.rights import Rights

        if self.rights is None and self.sellers is None:
            if self.regions is not None:
                raise TableError("--regions needs --rights or --sellers")
            return None
        loaded = Rights.load(rights=self.rights, sellers=self.sellers, regions=self.regions)
        for row in loaded.bad_rows:
            errors.print(f"{self.rights}: {row.error}", markup=False)
        if loaded.unusable:
            note(f"{self.rights}: could not use {loaded.unusable:,} rows; no claim rests on them", quiet=quiet)
        return loaded


def detector_settings(
    index: Path, policy: Path | None, rights: RightsOptions, encoder: EncoderOptions, reader: PhotoReader
) -> DetectorSettings:
    """What a scan judges with."""
    from lookalike.scanning.tables import DetectorSettings

    return DetectorSettings(
        index,
        policy=policy,
        reader=reader,
        rights=rights.rights,
        sellers=rights.sellers,
        regions=rights.regions,
        day=rights.on,
        **vars(encoder),
    )


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


def note_unknown_brands(rights: Rights, brands: Iterable[str], *, quiet: bool = False) -> None:
    """Print the brands that the rights table doesn't name: missing rights, or another spelling."""
    unknown = rights.unknown_brands(brands)
    if unknown:
        shown = ", ".join(unknown[:MOST_SHOWN]) + (", …" if len(unknown) > MOST_SHOWN else "")
        note(f"the rights table names none of these {len(unknown):,} brands, spelt like this: {shown}", quiet=quiet)
