"""Group findings into cases by who sells the goods.

The most urgent cases come first. Sellers who share photographs of their own are joined. With --index, photos are
compared, so edited copies are found and the brand's photos join nobody. Without it, only identical files join sellers,
if their findings show no print of the brand's. The value at stake is the sum of prices, and cases are ranked by value
per minute of review.

Examples:
lookalike cases findings.parquet --index genuine.index --out cases.parquet
lookalike cases findings.parquet --out cases.parquet --report cases.html
lookalike cases diff last-week.parquet cases.parquet
"""

from __future__ import annotations

from contextlib import nullcontext
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from lookalike.errors import TableError
from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import (
    DecisionOptions,
    EncoderOptions,
    Json,
    PhotoOptions,
    Quiet,
    ReportOut,
    TableOptions,
)
from lookalike.scripts.outputs import PAGE, TABLE, require_outputs
from lookalike.scripts.terminal import counted, note, output, print_json, print_table, progress

if TYPE_CHECKING:
    from lookalike.cases.building import FoundCases
    from lookalike.cases.case import Case
    from lookalike.cases.diff import CaseDiff
    from lookalike.cases.shared_photos import SharedPhotos

_SHOWN = 10
_VERDICTS = ("flagged", "review")


def find(
    findings: Annotated[Path, typer.Argument(help="Findings table.")],
    out: Annotated[Path, typer.Option("--out", help="Cases table to write: .csv, .parquet or .jsonl.")],
    *,
    report: ReportOut = None,
    review: Annotated[bool, typer.Option("--review", help="Include findings in review.")] = False,
    index: Annotated[Path | None, typer.Option("--index", help="The scan's index, to compare photos.")] = None,
    listings: Annotated[
        Path | None, typer.Option("--listings", help="Listings, for all their photos and columns to join on.")
    ] = None,
    join_on: Annotated[
        str, typer.Option("--join-on", help="Columns whose equal values join sellers, such as phone,payout.")
    ] = "",
    most_sellers: Annotated[
        int, typer.Option("--most-sellers", help="A photo or value of more sellers than this joins nobody.")
    ] = 20,
    rates: Annotated[Path | None, typer.Option("--rates", help="Table of currency and rate (of one unit).")] = None,
    currency: Annotated[str | None, typer.Option("--currency", help="Currency that --rates convert to.")] = None,
    previous: Annotated[
        Path | None, typer.Option("--previous", help="Last run's cases, whose ids are kept; by default OUT.")
    ] = None,
    table: TableOptions,
    decided: DecisionOptions,
    case_minutes: Annotated[str, typer.Option("--case-minutes", help="Minutes to open a case.")] = "5",
    pair_minutes: Annotated[str, typer.Option("--pair-minutes", help="Minutes to look at a pair of photos.")] = "0.5",
    cache: Annotated[Path | None, typer.Option("--cache", help="File that keeps photos' vectors.")] = None,
    encoder: EncoderOptions,
    photos: PhotoOptions,
    quiet: Quiet = False,
) -> int:
    """Find the cases of a findings table. This verb may be left out.

    Examples:
    lookalike cases find findings.parquet --index i --out cases.parquet
    lookalike cases find f.csv --out c.csv --listings l.csv --join-on phone
    """
    from lookalike.cases.building import find_cases
    from lookalike.cases.case import Effort
    from lookalike.cases.grouping import Joining
    from lookalike.cases.money import Rates
    from lookalike.detection.lookup import Lookup
    from lookalike.index.vector_cache import VectorCache

    require_outputs(
        {"--out": (out, TABLE), "--report": (report, PAGE), "--cache": (cache, None)},
        {"FINDINGS": findings, "--index": index, "--listings": listings, "--rates": rates,
         **decided.tables, "--weights": encoder.weights},
    )  # fmt: skip
    require_outputs({"--report": (report, PAGE), "--cache": (cache, None)}, {"--previous": previous})
    if (rates is None) != (currency is None):
        raise TableError("--rates and --currency belong together: rates.csv says what one unit is in that currency")
    joining = Joining(tuple(name.strip() for name in join_on.split(",") if name.strip()), most_sellers)
    effort = Effort(_minutes(case_minutes), _minutes(pair_minutes))
    converted = Rates.load(rates, currency) if rates is not None and currency is not None else None
    decisions = decided.decisions()
    reader = photos.reader()
    lookup = Lookup.open(index, reader=reader, **vars(encoder)) if index is not None else None
    kept = (
        VectorCache(cache, lookup.encoder.spec, optional=True)
        if cache is not None and lookup is not None
        else nullcontext()
    )
    with kept as vectors, progress("comparing photos", quiet=quiet or lookup is None) as step:
        found = find_cases(
            findings,
            out,
            verdicts=_VERDICTS if review else _VERDICTS[:1],
            listings=listings,
            lookup=lookup,
            cache=vectors,
            joining=joining,
            rates=converted,
            effort=effort,
            previous=previous,
            decisions=decisions,
            page=report,
            reader=reader,
            progress=step,
            layout=table.layout,
        )
    if not quiet:
        _summarise(found, out, report)
    return Exit.DONE if found.complete else Exit.SOME_ROWS_FAILED


def _minutes(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise TableError(f"{text!r} is not a number of minutes; write it like 0.5") from None


def _summarise(found: FoundCases, out: Path, report: Path | None) -> None:
    cases = found.cases
    if found.photos is not None:
        _summarise_photos(found.photos)
    joined = sum(len(case.sellers) > 1 for case in cases.cases)
    merged = sum(len(case.merged) for case in cases.cases)
    note(
        f"{counted(cases.findings, 'finding')} in {counted(len(cases.cases), 'case')}, {joined:,} of several sellers, "
        f"ranked by {cases.ranked_by} per minute of review; cases in {out}"
        + (f"; {counted(merged, 'older one')} merged" if merged else "")
    )
    if found.previous is not None:
        note(f"cases keep the ids that they had in {found.previous}")
    if found.photos is None:
        note("without --index, only identical files that show no print of the brand's join sellers")
    for line in cases.remarks():
        note(line)
    if found.shown is not None:
        note(f"page with {counted(found.shown, 'case')}: {report}")


def _summarise_photos(photos: SharedPhotos) -> None:
    unproven = f", {photos.unproven:,} may be, for no reference could be read to check" if photos.unproven else ""
    unread = f"; {photos.unread:,} can't be read any more" if photos.unread else ""
    brands = f"{photos.brands:,} {'is' if photos.brands == 1 else 'are'} the brand's"
    shared = f"{len(photos.shared):,} of sellers' own that several show"
    note(f"{counted(photos.photos, 'photo')}: {shared}; of those near each other {brands}{unproven}{unread}")


def diff(
    old: Annotated[Path, typer.Argument(help="Cases of an earlier run.")],
    new: Annotated[Path, typer.Argument(help="Cases of this run.")],
    as_json: Json = False,
) -> int:
    """Say what is new, gone, merged or changed between two cases tables.

    Examples:
    lookalike cases diff last-week.parquet cases.parquet
    """
    from lookalike.cases.diff import compare_cases
    from lookalike.cases.table import read_cases

    changed = compare_cases(read_cases(old), read_cases(new))
    if as_json:
        print_json(changed.to_json())
    else:
        _print_diff(changed)
    return Exit.DONE


def _print_diff(diff: CaseDiff) -> None:
    console = output()
    console.print(f"{len(diff.new):,} new, {len(diff.gone):,} gone, {len(diff.merged):,} merged, "
                  f"{len(diff.changed):,} changed, {diff.unchanged:,} unchanged")  # fmt: skip
    for title, listed in (("new", diff.new), ("gone", diff.gone)):
        _print_cases(console, title, listed)
    for before, into in sorted(diff.merged.items())[:_SHOWN]:
        console.print(f"{before} is now part of {into}")
    if not diff.changed:
        return
    table = Table("changed", "listings", "sellers", "sums", box=None, pad_edge=False)
    for change in diff.changed[:_SHOWN]:
        sums = [", ".join(f"{value} {name}".rstrip() for name, value in each.items()) or "none"
                for each in change.to_json()["sums"]]  # fmt: skip
        table.add_row(
            change.id,
            f"+{len(change.listings_added):,} -{len(change.listings_gone):,}",
            f"+{len(change.sellers_added):,} -{len(change.sellers_gone):,}",
            sums[1] if sums[0] == sums[1] else " → ".join(sums),
        )
    print_table(table, console)


def _print_cases(console: Console, title: str, listed: tuple[Case, ...]) -> None:
    if not listed:
        return
    table = Table(title, "sellers", "listings", "value", box=None, pad_edge=False)
    for case in listed[:_SHOWN]:
        value = "" if case.value is None else f"{case.value:,.2f} {case.value_currency}"
        table.add_row(case.id, f"{len(case.sellers):,}", f"{len(case.listings):,}", value)
    print_table(table, console)
    if len(listed) > _SHOWN:
        console.print(f"… and {len(listed) - _SHOWN:,} more")


VERBS = {"find": find, "diff": diff}
DEFAULT = "find"


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
