"""The console command: one sub-command for each file in scripts/, errors as one line, exit status as documented.

Exit status: 0 done, 1 done but some rows failed, 2 the call was wrong, 130 interrupted.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import sqlite3
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from lookalike.errors import ExpiredPolicyWarning, LookalikeError

if TYPE_CHECKING:
    from lookalike.index.build import BuildSummary
    from lookalike.index.embedding import PhotoReader
    from lookalike.index.vector_cache import VectorCache
    from lookalike.model.encoder import Encoder
    from lookalike.rights.rights import Rights
    from lookalike.scanning.changes import RescanSummary
    from lookalike.scanning.cluster import Cluster

COMMANDS = (
    "demo",
    "build",
    "add",
    "remove",
    "compact",
    "info",
    "scan",
    "recheck",
    "rescan",
    "check",
    "explain",
    "tune",
    "policy",
    "evaluate",
    "monitor",
    "shortlist",
    "report",
    "bundle",
    "cases",
    "history",
    "stats",
    "models",
    "bench",
)

DONE, SOME_ROWS_FAILED, WRONG_CALL, INTERRUPTED = 0, 1, 2, 130

_M_ARENA_MAX = -8  # malloc.h
_PLAIN_LINE_SECONDS = 10.0
_FAILED_SHOWN = 20

Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, no summary; errors are shown all the same.")]
Scheme = Annotated[
    list[str] | None,
    typer.Option("--allow-scheme", help="Read remote pictures of this scheme, for example https. Repeatable."),
]
Private = Annotated[
    bool, typer.Option("--allow-private", help="Read remote pictures from private and loopback addresses, too.")
]
Truncated = Annotated[bool, typer.Option("--accept-truncated", help="Accept JPEGs whose end is missing.")]
EVIDENCE = 100
Evidence = Annotated[
    int,
    typer.Option(
        "--evidence", min=0, help="Show in the report what agrees and differs for so many findings, the strongest."
    ),
]
Device = Annotated[str | None, typer.Option("--device", help="cpu, cuda or cuda:N; by default a GPU if there is one.")]
ExactUpTo = Annotated[
    int | None,
    typer.Option(
        "--exact-up-to", min=0,
        help="Partition an index of more references than this (by default 50,000); see docs/scale.md.",
    ),
]  # fmt: skip
CacheFile = Annotated[
    Path | None, typer.Option("--cache", help="File of vectors kept from run to run; by default the user's own.")
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Take no vector from other runs, and keep none for them.")]
EngineName = Annotated[
    Literal["local", "ray"],
    typer.Option("--engine", help="ray: on workers of a Ray cluster, or several on this machine."),
]
Address = Annotated[
    str | None, typer.Option("--address", help="The Ray cluster, as host:port; by default one is started here.")
]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Ray's workers; by default one for each CPU there is.")
]
PolicyFile = Annotated[Path | None, typer.Option("--policy", help="Thresholds; by default the encoder's own.")]
Model = Annotated[str | None, typer.Option("--model", help="The encoder; by default the index's own.")]
Weights = Annotated[str | None, typer.Option("--weights", help="A local checkpoint: safetensors, or torch weights.")]

RightsTable = Annotated[
    Path | None, typer.Option("--rights", help="Rights table; a match that none could carry is unprotected.")
]
SellersTable = Annotated[Path | None, typer.Option("--sellers", help="Table of sellers that may sell a brand.")]
RegionsTable = Annotated[
    Path | None, typer.Option("--regions", help="Regions and their members; by default the table shipped.")
]
Day = Annotated[
    datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="The day that counts; by default today.")
]

_UsageError: Any = typer.BadParameter.__base__  # Typer's own framework has changed, this class of it has not

errors = Console(stderr=True, highlight=False, soft_wrap=True)


def main(argv: list[str] | None = None) -> int:
    """Run `lookalike` with these arguments (by default the command line's); gives the exit status."""
    app = typer.Typer(
        help="Finds look-alike listings: genuine photos go into an index, listings are looked up in it.",
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for name in COMMANDS:
        module = importlib.import_module(f"lookalike.scripts.{name}")
        app.command(name, help=_help(module.__doc__))(_guarded(getattr(module, name)))
    return _run(app, argv or sys.argv[1:] or ["--help"], "lookalike")


def run(command: Callable[..., int], argv: list[str] | None = None) -> int:
    """Run one command alone, as `python scripts/NAME.py` does."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    module = sys.modules[command.__module__]
    app.command(help=_help(module.__doc__))(_guarded(command))
    return _run(app, argv, command.__name__)


def note(message: str, *, quiet: bool = False) -> None:
    """A line for the person at the terminal, on stderr."""
    if not quiet:
        errors.print(message, markup=False)


@contextmanager
def progress(what: str, *, total: int | None = None, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, a plain line now and then elsewhere, nothing with `quiet`; all on stderr."""
    if quiet:
        yield lambda _: None
        return
    if not errors.is_terminal:
        yield _plain_lines(what, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)


def _plain_lines(what: str, total: int | None) -> Callable[[int], None]:
    done, said = 0, time.monotonic()

    def advance(count: int) -> None:
        nonlocal done, said
        done += count
        if time.monotonic() - said >= _PLAIN_LINE_SECONDS:
            said = time.monotonic()
            note(f"{what}: {done:,}" + (f" of {total:,}" if total else ""))

    return advance


def _one_line(message: Warning | str, category: type[Warning], *_: object) -> None:
    """A warning of the library as one line on stderr; other warnings are for developers."""
    if issubclass(category, ExpiredPolicyWarning):
        errors.print(f"warning: {message}", markup=False)


def _share_one_arena() -> None:
    """Have all threads allocate from one arena: glibc's eight a core keep some 80 MB that nobody uses any more."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def _run(app: typer.Typer, argv: list[str] | None, name: str) -> int:
    _share_one_arena()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", ExpiredPolicyWarning)
            warnings.showwarning = _one_line  # type: ignore[assignment]
            status = app(argv, prog_name=name, standalone_mode=False)
    except _UsageError as error:
        path = error.ctx.command_path if error.ctx else name
        errors.print(f"{error.format_message().rstrip('.')}; see {path} --help", markup=False)
        return WRONG_CALL
    except typer.Abort:
        return INTERRUPTED
    return status if isinstance(status, int) else DONE


def _guarded(command: Callable[..., int]) -> Callable[..., None]:
    """The command with errors as one line, ending with its exit status."""

    @wraps(command)
    def guarded(*arguments: Any, **options: Any) -> None:
        try:
            status = command(*arguments, **options)
        except BrokenPipeError:
            # the reader of our output has gone; keep Python from complaining about it at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = DONE
        except (LookalikeError, OSError, sqlite3.OperationalError) as error:
            # of the last two: no room on the disk, no permission, a folder where a file was named
            errors.print(str(error), markup=False)
            status = WRONG_CALL
        except KeyboardInterrupt:
            errors.print("interrupted; the same command goes on where it was", markup=False)
            status = INTERRUPTED
        raise typer.Exit(status)

    return guarded


def _help(doc: str | None) -> str:
    return (doc or "").strip()


def photo_reader(
    allow_scheme: list[str] | None = None, *, private: bool = False, truncated: bool = False
) -> PhotoReader:
    """What a command may read: local files, and remote ones of the schemes named on the command line."""
    from lookalike.index.embedding import PhotoReader
    from lookalike.model.images import ImageLimits
    from lookalike.model.sources import Access

    access = Access(schemes=frozenset(allow_scheme or ()), private=private)
    return PhotoReader(access=access, limits=ImageLimits(truncated=truncated))


@contextmanager
def vector_cache(path: Path | None, encoder: Encoder, *, off: bool) -> Iterator[VectorCache | None]:
    """The vectors kept from run to run in that file, by default the user's own; None with `off`."""
    from lookalike.index.vector_cache import VectorCache, default_cache

    if off:
        yield None
        return
    with VectorCache(path or default_cache(), encoder.spec) as cache:
        yield cache


def fingerprint(table: Path) -> str:
    """Names a table as it is now, so that an interrupted run of another is not gone on with."""
    status = table.stat()
    return f"{table.absolute()} {status.st_size} {status.st_mtime_ns}"


def cluster(engine: str, address: str | None, workers: int | None, device: str | None) -> Cluster | None:
    """The Ray cluster that a command is to work on, None for the local engine; a GPU for each worker with cuda."""
    if engine == "local":
        if address is not None or workers is not None:
            raise typer.BadParameter("--address and --workers are for --engine ray")
        return None
    from lookalike.scanning.cluster import Cluster

    return Cluster(address, workers, gpus=1.0 if (device or "").startswith("cuda") else 0.0)


def cache_path(path: Path | None, *, off: bool) -> Path | None:
    """Where each machine of a cluster keeps vectors from run to run; None with `off`."""
    from lookalike.index.vector_cache import default_cache

    return None if off else (path or default_cache()).absolute()


def report_build(summary: BuildSummary, index: Path, *, quiet: bool) -> None:
    """Say what a build did, and name the rows it could not use."""
    for row in summary.failed[:_FAILED_SHOWN]:
        errors.print(f"{row.row}: {row.error}", markup=False)
    if len(summary.failed) > _FAILED_SHOWN:
        errors.print(f"… and {len(summary.failed) - _FAILED_SHOWN:,} more", markup=False)
    note(
        f"{index}: {summary.references:,} references; embedded {summary.embedded:,} pictures, "
        f"knew {summary.reused:,}, could not use {len(summary.failed):,} rows",
        quiet=quiet,
    )


def load_rights(
    rights: Path | None, sellers: Path | None, regions: Path | None, *, quiet: bool = False
) -> Rights | None:
    """The tables of rights and sellers named on the command line, if any; says which rows can't be used."""
    from lookalike.errors import TableError
    from lookalike.rights.rights import Rights

    if rights is None and sellers is None:
        if regions is not None:
            raise TableError(f"came --regions {regions} without --rights or --sellers; give one of them, too")
        return None
    loaded = Rights.load(rights=rights, sellers=sellers, regions=regions)
    for row in loaded.bad_rows:
        errors.print(f"{rights}: {row.error}", markup=False)
    if loaded.unusable:
        note(f"{rights}: could not use {loaded.unusable:,} rows; no claim rests on them", quiet=quiet)
    return loaded


def note_unknown_brands(rights: Rights, brands: Iterable[str], *, quiet: bool = False) -> None:
    """Say which brands the rights table has nothing of: rights missing, or a name spelt otherwise."""
    unknown = rights.unknown_brands(brands)
    if unknown:
        shown = ", ".join(unknown[:_FAILED_SHOWN]) + (", …" if len(unknown) > _FAILED_SHOWN else "")
        note(f"the rights table has nothing of {len(unknown):,} brands, spelt as here: {shown}", quiet=quiet)


def report_rescan(
    summary: RescanSummary, out: Path, *, report: Path | None, reader: PhotoReader, quiet: bool, evidence: int
) -> int:
    """Say what a scan of changes did and spared, write its page if asked for; gives the exit status."""
    verdicts = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(summary.verdicts.items()))
    note(
        f"{summary.listings:,} listings: {verdicts}; {summary.errors:,} with an error; findings in {out}\n"
        f"looked at {summary.looked_at:,}, judged {summary.judged:,} again by vectors, kept {summary.kept:,} as they "
        f"were; {summary.photos:,} pictures not read, which would have taken about {summary.spared:,.0f} s; "
        f"{summary.opened:,} opened to compare points",
        quiet=quiet,
    )
    if report is not None:
        write_html_report(out, report, reader=reader, quiet=quiet, evidence=evidence)
    return SOME_ROWS_FAILED if summary.errors else DONE


def write_html_report(
    findings: Path, report: Path, *, reader: PhotoReader, quiet: bool, evidence: int = EVIDENCE, most: int = 2000
) -> None:
    """Write the page of a findings table, with thumbnails, and with what agrees and differs for the strongest.

    A photo that can't be read any more gives no picture; the page says so.
    """
    from PIL import Image

    from lookalike.errors import ImageReadError
    from lookalike.evidence.explain import explain_finding
    from lookalike.model.images import read_image
    from lookalike.scanning.report import write_report
    from lookalike.tables.findings import read_findings

    def photo(image: str | None) -> Image.Image | None:
        try:
            return None if image is None else read_image(image, limits=reader.limits, access=reader.access).image
        except ImageReadError:  # the finding's own row says what is wrong with the picture
            return None

    def explained(row: Mapping[str, Any]) -> Image.Image | None:
        listing, reference = photo(row.get("image")), photo(row.get("reference_image"))
        return explain_finding(row, reference, listing).picture if reference and listing else None

    with progress("composing evidence", quiet=quiet) as advance:
        summary = write_report(
            read_findings(findings),
            report,
            thumbnail=photo,
            most=most,
            evidence=explained,
            most_evidence=evidence,
            progress=advance,
        )
    more = f", {summary.left_out:,} weaker ones left out" if summary.left_out else ""
    note(f"report with {summary.shown:,} findings{more}, {summary.evidence:,} with evidence: {report}", quiet=quiet)
