"""Options that several commands share, and what they open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lookalike.errors import TableError
from lookalike.scripts.command import Options
from lookalike.scripts.terminal import MOST_SHOWN, counted, errors, note

if TYPE_CHECKING:
    from lookalike.cases.history import Decisions, History
    from lookalike.index.embedding import PhotoReader
    from lookalike.index.vector_cache import VectorCache
    from lookalike.model.encoder import Encoder
    from lookalike.rights.rights import Rights
    from lookalike.scanning.cluster import Cluster
    from lookalike.scanning.tables import DetectorSettings
    from lookalike.tables.layout import Layout

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

Weights = Annotated[str | None, typer.Option("--weights", help="Local checkpoint, or ONNX file, of the encoder.")]
Device = Annotated[str | None, typer.Option("--device", help="cpu, cuda or cuda:N; by default a GPU if there is one.")]
NoFeatures = Annotated[
    bool, typer.Option("--no-features", help="Keep no local features; listings can't be compared point by point.")
]
ExactUpTo = Annotated[
    int | None,
    typer.Option("--exact-up-to", min=0, help="Partition an index of more references than this (default 50,000)."),
]
PolicyFile = Annotated[
    Path | None, typer.Option("--policy", help="Policy file; by default the one that ships for the encoder.")
]
Verdicts = Annotated[
    Path | None, typer.Option("--verdicts", help="People's verdicts: those of a review, or a table of labels.")
]


def _reading(name: str, **settings: Any) -> Any:
    """An option that says how photos are read; the help shows them together."""
    return typer.Option(name, rich_help_panel="How photos are read", **settings)


@dataclass(frozen=True)
class PhotoOptions(Options):
    """Which photos may be read: local ones, and remote ones with the schemes named on the command line."""

    allow_scheme: Annotated[
        list[str] | None,
        _reading("--allow-scheme", help="Read remote pictures with this scheme, such as https. Repeatable."),
    ] = None
    allow_private: Annotated[
        bool,
        _reading("--allow-private", help="Also read remote pictures from private and loopback addresses."),
    ] = False
    photos_under: Annotated[
        list[Path] | None,
        _reading("--photos-under", help="Read local pictures only in this folder and those below. Repeatable."),
    ] = None
    header: Annotated[
        list[str] | None,
        _reading("--header", help="Send NAME:VALUE with requests for remote pictures. Repeatable."),
    ] = None
    header_host: Annotated[
        list[str] | None,
        _reading("--header-host", help="Send --header to this host only; by default to all. Repeatable."),
    ] = None
    user_agent: Annotated[
        str | None,
        _reading("--user-agent", help="User agent for remote pictures (default lookalike/VERSION)."),
    ] = None
    timeout: Annotated[
        float,
        _reading("--timeout", min=0.1, max=1e6, help="Seconds that reading a remote picture can take."),
    ] = 15.0
    retries: Annotated[
        int,
        _reading("--retries", min=0, help="How often to ask a busy server again for a picture."),
    ] = 2
    max_redirects: Annotated[
        int,
        _reading("--max-redirects", min=0, help="How many redirects lead to a picture at most."),
    ] = 3
    max_bytes: Annotated[int, _reading("--max-bytes", min=1, help="Bytes of a picture's file at most.")] = 64 * 2**20
    max_megapixels: Annotated[
        float,
        _reading("--max-megapixels", min=0, max=1e6, help="Million pixels of a picture at most."),
    ] = 128.0
    max_side_ratio: Annotated[
        float,
        _reading("--max-side-ratio", min=1, max=1e6, help="How many times a picture's one side is the other at most."),
    ] = 40.0
    max_memory: Annotated[
        int,
        _reading("--max-memory", min=1, max=2**20, help="MB of memory for all pictures that are decoded at once."),
    ] = 1024
    accept_truncated: Annotated[bool, _reading("--accept-truncated", help="Accept JPEGs whose end is missing.")] = False

    def reader(self) -> PhotoReader:
        """What reads them. Raises typer.BadParameter for a header that can't be sent."""
        from lookalike.index.embedding import PhotoReader
        from lookalike.model.images import ImageLimits
        from lookalike.model.sources import Access

        try:
            access = Access(
                schemes=frozenset(self.allow_scheme or ()),
                private=self.allow_private,
                max_bytes=self.max_bytes,
                timeout=self.timeout,
                max_redirects=self.max_redirects,
                roots=self.photos_under or None,
                retries=self.retries,
                headers=[_header(text) for text in self.header or ()],
                header_hosts=frozenset(self.header_host) if self.header_host else None,
                user_agent=self.user_agent,
            )
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        limits = ImageLimits(
            max_pixels=int(self.max_megapixels * 1e6),
            max_side_ratio=self.max_side_ratio,
            truncated=self.accept_truncated,
            max_memory=self.max_memory * 2**20,
        )
        return PhotoReader(access=access, limits=limits)


def _header(text: str) -> tuple[str, str]:
    """The name and the value of a header, from NAME:VALUE."""
    name, colon, value = text.partition(":")
    if not colon:
        raise typer.BadParameter(f"--header {name[:20]!r} has no colon; give NAME:VALUE")
    return name.strip(), value.strip()


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
        Path | None,
        typer.Option("--cache", help="File that keeps vectors, and comparisons beside it, for the next run."),
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
class TableOptions(Options):
    """What the table of references or listings calls its columns."""

    columns: Annotated[
        list[str] | None,
        typer.Option("--columns", help="What the table calls our columns, such as image=photo. Repeatable."),
    ] = None
    feed: Annotated[
        Literal["google-merchant", "shopify", "woocommerce"] | None,
        typer.Option("--feed", help="Read the table as this kind of shop exports it."),
    ] = None

    @property
    def layout(self) -> Layout:
        """The layout of the table. A column that is named twice may have either name; all images count."""
        from lookalike.tables.layout import Layout

        named: dict[str, list[str]] = {}
        for pair in (pair for value in self.columns or () for pair in value.split(",")):
            ours, equals, theirs = (part.strip() for part in pair.partition("="))
            if not (ours and equals and theirs):
                raise typer.BadParameter(f"--columns has {pair!r}; write OURS=THEIRS, such as listing_id=sku")
            named.setdefault(ours, []).append(theirs)
        return Layout(named or None, self.feed)


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
            note(f"{self.rights}: could not use {counted(loaded.unusable, 'row')}; no claim rests on them", quiet=quiet)
        return loaded


@dataclass(frozen=True)
class HistoryOptions(Options):
    """What was decided since the scan."""

    history: Annotated[
        Path | None, typer.Option("--history", help="What sellers answered, and what was decided since the scan.")
    ] = None
    day: Annotated[
        datetime | None,
        typer.Option("--date", formats=["%Y-%m-%d"], help="Day to apply --history for, YYYY-MM-DD; by default today."),
    ] = None

    @property
    def on(self) -> date:
        """The day that counts."""
        return self.day.date() if self.day else date.today()

    def load(self) -> History | None:
        """The history, if one was named."""
        from lookalike.cases.history import History

        return None if self.history is None else History.load(self.history)


@dataclass(frozen=True)
class DecisionOptions(HistoryOptions):
    """What was decided since the scan, by an answer or by a person's verdict."""

    verdicts: Verdicts = None

    @property
    def tables(self) -> dict[str, Path | None]:
        """The files by the names of their options."""
        return {"--history": self.history, "--verdicts": self.verdicts}

    @property
    def named(self) -> str:
        """The files that were named."""
        return " and ".join(str(path) for path in self.tables.values() if path is not None)

    def decisions(self) -> Decisions | None:
        """What the history says on that day, and what people say, if either was named."""
        from lookalike.cases.history import Decisions, History
        from lookalike.tables.reviews import read_reviews

        if self.history is None and self.verdicts is None:
            return None
        reviews = () if self.verdicts is None else read_reviews(self.verdicts).reviews
        return Decisions(self.load() or History(), self.on, reviews)


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


def note_unknown_brands(rights: Rights, brands: Iterable[str], *, quiet: bool = False) -> None:
    """Print the brands that the rights table doesn't name: missing rights, or another spelling."""
    unknown = rights.unknown_brands(brands)
    if unknown:
        shown = ", ".join(unknown[:MOST_SHOWN]) + (", …" if len(unknown) > MOST_SHOWN else "")
        note(f"the rights table names none of {counted(len(unknown), 'brand')}, spelt like this: {shown}", quiet=quiet)
