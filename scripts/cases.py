"""Group findings into cases: who sells how much of whose goods, the one most worth a look first.

`cases FINDINGS --out cases.parquet` joins sellers that share photographs of their own. With --index edited copies of
them are found, and the brand's photos told from sellers' own; without, only files that are the same, and of which the
findings say that no print of the brand's is in them. Value at stake is the sum of prices; a case's rank is that per
minute of review. `cases diff OLD NEW` says what is new since the last run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from lookalike.errors import TableError
from lookalike.scripts.cli import (
    DONE,
    SOME_ROWS_FAILED,
    Device,
    Private,
    Quiet,
    Scheme,
    Truncated,
    Weights,
    note,
    photo_reader,
    progress,
    run,
)

if TYPE_CHECKING:
    from PIL import Image

    from lookalike.cases.grouping import Case, Cases
    from lookalike.cases.shared_photos import SellerPhoto, SharedPhotos
    from lookalike.index.embedding import PhotoReader

_CALLS = "cases FINDINGS --out CASES, or cases diff OLD NEW"
_SHOWN = 10
_VERDICTS = ("flagged", "review")


def cases(
    what: Annotated[
        list[Path],
        typer.Argument(metavar="FINDINGS | diff OLD NEW", help="A findings table, or diff and two of cases."),
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Cases table to write: .csv, .parquet or .jsonl")] = None,
    report: Annotated[Path | None, typer.Option("--report", help="HTML page to write, to look at.")] = None,
    review: Annotated[bool, typer.Option("--review", help="Findings in review as well as flagged ones.")] = False,
    index: Annotated[Path | None, typer.Option("--index", help="The scan's index, to compare photos.")] = None,
    listings: Annotated[
        Path | None, typer.Option("--listings", help="The listings, for all their photos and columns to join on.")
    ] = None,
    join_on: Annotated[
        str, typer.Option("--join-on", help="Columns whose equal values join sellers, as phone,payout or title.")
    ] = "",
    most_sellers: Annotated[
        int, typer.Option("--most-sellers", help="A photo or value that more sellers have joins nobody.")
    ] = 20,
    rates: Annotated[Path | None, typer.Option("--rates", help="Table: currency, rate (of one unit).")] = None,
    currency: Annotated[str | None, typer.Option("--currency", help="The currency that --rates lead to.")] = None,
    previous: Annotated[
        Path | None, typer.Option("--previous", help="The last run's cases, whose ids are kept; by default OUT.")
    ] = None,
    history: Annotated[Path | None, typer.Option("--history", help="What was decided since the scan.")] = None,
    day: Annotated[str | None, typer.Option("--date", help="The day that --history is asked for; today.")] = None,
    case_minutes: Annotated[str, typer.Option("--case-minutes", help="Minutes to open a case.")] = "5",
    pair_minutes: Annotated[str, typer.Option("--pair-minutes", help="Minutes to look at a pair of photos.")] = "0.5",
    cache: Annotated[Path | None, typer.Option("--cache", help="File that keeps photos' vectors.")] = None,
    weights: Weights = None,
    device: Device = None,
    allow_scheme: Scheme = None,
    allow_private: Private = False,
    accept_truncated: Truncated = False,
    as_json: Annotated[bool, typer.Option("--json", help="For diff: as JSON.")] = False,
    quiet: Quiet = False,
) -> int:
    from lookalike.cases.grouping import Effort, Joining, build_cases
    from lookalike.cases.money import Rates
    from lookalike.cases.table import read_cases, write_cases
    from lookalike.tables.files import require_ending, require_readable

    if what[0] == Path("diff"):
        if len(what) != 3:
            raise TableError(f"came {len(what) - 1} tables of cases; needed: cases diff OLD NEW")
        return _diff(what[1], what[2], as_json=as_json)
    if len(what) != 1 or out is None:
        raise TableError(f"came {' '.join(map(str, what))} {'with' if out else 'without'} --out; needed: {_CALLS}")
    require_ending(out)
    if (rates is None) != (currency is None):
        raise TableError("--rates and --currency belong together: rates.csv says what one unit is in that currency")
    columns = tuple(name.strip() for name in join_on.split(",") if name.strip())
    joining = Joining(columns, most_sellers)
    effort = Effort(_minutes(case_minutes), _minutes(pair_minutes))
    converted = Rates.load(rates, currency) if rates is not None and currency is not None else None
    if previous is None and out.is_file():
        previous = out
        note(f"ids are kept of the cases in {out}, which is replaced", quiet=quiet)
    before = read_cases(previous) if previous is not None else []
    require_readable(what[0], required=("listing_id", "verdict"))
    reader = photo_reader(allow_scheme, private=allow_private, truncated=accept_truncated)
    verdicts = _VERDICTS if review else _VERDICTS[:1]

    def rows() -> Iterator[Mapping[str, Any]]:
        return _rows(what[0], history, day)

    _require_columns(what[0], listings, columns)
    keys = list(_keys(listings, columns)) if listings is not None else []
    shared = None
    if index is not None:
        photos = _photos(rows(), verdicts, listings)
        shared = _compare(photos, index, cache, weights, device, reader, quiet=quiet)
    found = build_cases(
        rows(),
        verdicts=verdicts,
        joining=joining,
        shared=shared.shared if shared is not None else None,
        keys=keys,
        rates=converted,
        effort=effort,
        previous=before,
    )
    write_cases(found.cases, out)
    _tell(found, out, index, quiet=quiet)
    if report is not None:
        from lookalike.cases.page import write_case_page

        shown = write_case_page(found, rows(), report, thumbnail=_thumbnails(reader), effort=effort, columns=columns)
        note(f"page with {shown:,} cases: {report}", quiet=quiet)
    return SOME_ROWS_FAILED if found.bad_prices or (shared is not None and shared.unread) else DONE


def _thumbnails(reader: PhotoReader) -> Callable[[str], Image.Image | None]:
    """Gives the picture of an image, or None where it can't be read any more."""
    from lookalike.errors import ImageReadError
    from lookalike.model.images import read_image

    def thumbnail(image: str) -> Image.Image | None:
        try:
            return read_image(image, limits=reader.limits, access=reader.access).image
        except ImageReadError:  # the page says that there is no picture
            return None

    return thumbnail


def _minutes(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise TableError(f"came {text!r} minutes; needed a number like 0.5") from None


def _rows(findings: Path, history: Path | None, day: str | None) -> Iterator[Mapping[str, Any]]:
    from lookalike.cases.history import History, apply_history
    from lookalike.tables.findings import read_findings

    found = read_findings(findings)
    if history is None:
        return found
    try:
        wanted = date.fromisoformat(day) if day else date.today()
    except ValueError:
        raise TableError(f"came --date {day}; needed a day like 2026-11-24") from None
    return apply_history(found, History.load(history), wanted)


def _require_columns(findings: Path, listings: Path | None, columns: Iterable[str]) -> None:
    """Raise TableError for a column to join on that neither table has."""
    from lookalike.tables.files import read_rows

    there: set[str] = set()
    for table in (findings, listings):
        if table is not None:
            there |= next(iter(read_rows(table))).values.keys()
    if missing := [name for name in columns if name not in there]:
        tables = f"{findings} nor {listings}" if listings is not None else f"{findings}, and there are no --listings"
        raise TableError(f"column {', '.join(missing)} to join on is in neither {tables}")


def _keys(listings: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    """What the listings table has in the columns to join on, by seller."""
    from lookalike.tables.files import read_rows

    for line in read_rows(listings, required=("listing_id",)):
        seller = line.values.get("seller_id")
        for column in columns:
            if seller not in (None, "") and line.values.get(column) not in (None, ""):
                yield str(seller), column, str(line.values[column])


def _photos(rows: Iterable[Mapping[str, Any]], verdicts: tuple[str, ...], listings: Path | None) -> list[SellerPhoto]:
    """The photos that decided; with the listings table, all photos of the same listings."""
    from lookalike.cases.shared_photos import SellerPhoto
    from lookalike.cases.totals import seller_of, seller_photos
    from lookalike.tables.inputs import read_listings

    sellers: dict[str, str] = {}

    def kept() -> Iterator[Mapping[str, Any]]:
        for row in rows:
            if row["verdict"] in verdicts:
                sellers[str(row["listing_id"])] = seller_of(row)
                yield row

    photos = list(seller_photos(kept(), verdicts=verdicts))
    if listings is not None:
        known = {(photo.seller, photo.image) for photo in photos}
        photos += [
            SellerPhoto(sellers[listing.id], str(image))
            for listing in read_listings(listings)
            if listing.id in sellers
            for image in listing.images
            if (sellers[listing.id], str(image)) not in known
        ]
    return photos


def _compare(
    photos: list[SellerPhoto],
    index: Path,
    cache: Path | None,
    weights: str | None,
    device: str | None,
    reader: PhotoReader,
    *,
    quiet: bool,
) -> SharedPhotos:
    from contextlib import nullcontext

    from lookalike.cases.shared_photos import find_shared
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.index.vector_cache import VectorCache
    from lookalike.model.encoder import load_encoder

    loaded = ReferenceIndex.load(index)
    encoder = load_encoder(loaded.spec.name, weights=weights, device=device)
    loaded.require(encoder.spec)
    kept = VectorCache(cache, encoder.spec) if cache is not None else nullcontext()
    with (
        kept as vectors,
        progress("comparing photos", total=len({photo.image for photo in photos}), quiet=quiet) as step,
    ):
        found = find_shared(photos, index=loaded, encoder=encoder, reader=reader, cache=vectors, progress=step)
    unread = f", {found.unread:,} can't be read any more" if found.unread else ""
    unproven = f", of {found.unproven:,} no reference can be read to tell" if found.unproven else ""
    note(
        f"{found.photos:,} photos: {len(found.shared):,} of sellers' own that several show; of those near each other "
        f"{found.brands:,} are the brand's{unproven}{unread}",
        quiet=quiet,
    )
    return found


def _tell(found: Cases, out: Path, index: Path | None, *, quiet: bool) -> None:
    from lookalike.cases.page import remarks

    joined = sum(len(case.sellers) > 1 for case in found.cases)
    merged = sum(len(case.merged) for case in found.cases)
    note(
        f"{found.findings:,} findings in {len(found.cases):,} cases, {joined:,} of several sellers, ranked by "
        f"{found.ranked_by} per minute of review; cases in {out}"
        + (f"; {merged:,} older ones merged" if merged else ""),
        quiet=quiet,
    )
    if index is None:
        note("without --index photos join sellers only where files are the same and show no print of the brand's",
             quiet=quiet)  # fmt: skip
    for line in remarks(found):
        note(line, quiet=quiet)


def _diff(old: Path, new: Path, *, as_json: bool) -> int:
    from lookalike.cases.money import plain_decimal
    from lookalike.cases.table import compare_cases, read_cases

    diff = compare_cases(read_cases(old), read_cases(new))
    if as_json:
        print(json.dumps({
            "new": [case.id for case in diff.new],
            "gone": [case.id for case in diff.gone],
            "merged": dict(diff.merged),
            "unchanged": diff.unchanged,
            "changed": [{**vars(change), "sums": [{name: plain_decimal(value) for name, value in sums.items()}
                                                  for sums in change.sums]} for change in diff.changed],
        }))  # fmt: skip
        return DONE
    console = Console(highlight=False, markup=False)
    console.print(f"{len(diff.new):,} new, {len(diff.gone):,} gone, {len(diff.merged):,} merged, "
                  f"{len(diff.changed):,} changed, {diff.unchanged:,} as they were")  # fmt: skip
    for title, listed in (("new", diff.new), ("gone", diff.gone)):
        _print_cases(console, title, listed)
    for before, into in sorted(diff.merged.items())[:_SHOWN]:
        console.print(f"{before} is part of {into} now")
    if diff.changed:
        table = Table("changed", "listings", "sellers", "sums", box=None, pad_edge=False)
        for change in diff.changed[:_SHOWN]:
            sums = [", ".join(f"{plain_decimal(value)} {name}".rstrip() for name, value in each.items()) or "none"
                    for each in change.sums]  # fmt: skip
            table.add_row(
                change.id,
                f"+{len(change.listings_added):,} -{len(change.listings_gone):,}",
                f"+{len(change.sellers_added):,} -{len(change.sellers_gone):,}",
                sums[1] if sums[0] == sums[1] else " → ".join(sums),
            )
        console.print(table)
    return DONE


def _print_cases(console: Console, title: str, listed: tuple[Case, ...]) -> None:
    if not listed:
        return
    table = Table(title, "sellers", "listings", "value", box=None, pad_edge=False)
    for case in listed[:_SHOWN]:
        value = "" if case.value is None else f"{case.value:,.2f} {case.value_currency}"
        table.add_row(case.id, f"{len(case.sellers):,}", f"{len(case.listings):,}", value)
    console.print(table)
    if len(listed) > _SHOWN:
        console.print(f"… and {len(listed) - _SHOWN:,} more")


def main(argv: list[str] | None = None) -> int:
    return run(cases, argv)


if __name__ == "__main__":
    raise SystemExit(main())
