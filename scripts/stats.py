"""Count findings, verdicts and errors for the public.

Prints counts, shares upheld, errors with their interval, and times to decide. People's verdicts (--verdicts:
listing_id, lookalike, optional product_id and date) say which flags were right. A history says what sellers answered
and what became of it. docs/cases.md says which figures the EU's Digital Services Act asks for.

Examples:
lookalike stats findings.parquet --verdicts labels.csv
lookalike stats findings.parquet --verdicts l.csv --history h.jsonl --json
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import HistoryOptions, Json, Quiet, Verdicts
from lookalike.scripts.terminal import counted, note, note_contradicted, output, print_json, print_table

if TYPE_CHECKING:
    from lookalike.binomial import Share
    from lookalike.cases.transparency import Figures, Stats, Times

_SHOWN = 12


def stats(
    findings: Annotated[Path, typer.Argument(help="Findings table.")],
    *,
    verdicts: Verdicts = None,
    decided: HistoryOptions,
    by: Annotated[
        str, typer.Option("--by", help="Columns to count by: brand, territory, kind, seller_id.")
    ] = "brand,territory,kind",
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    from lookalike.cases.transparency import count_table
    from lookalike.tables.labels import contradicted
    from lookalike.tables.reviews import read_reviews

    read = read_reviews(verdicts) if verdicts is not None else None
    figures = count_table(
        findings,
        reviews=read.reviews if read is not None else (),
        history=decided.load(),
        day=decided.on,
        by=[name.strip() for name in by.split(",") if name.strip()],
    )
    if as_json:
        print_json(figures.to_json(), indent=1)
    else:
        _print(figures)
    if verdicts is None:
        note("without --verdicts, nothing is known about errors", quiet=quiet)
    if read is not None:
        note_contradicted(contradicted(read.reviews))
        for line in read.remarks():
            note(line, quiet=quiet)
    for count, what in ((figures.unknown, "verdicts"), (figures.elsewhere, "notices")):
        if count:
            note(f"{what} about none of these findings: {count:,}", quiet=quiet)
    return Exit.DONE


def _print(figures: Stats) -> None:
    console = output()
    whole = figures.all
    period = f"{figures.first or 'at an unknown time'} to {figures.last or '?'}"
    console.print(f"{counted(whole.findings, 'finding')}, {period}")
    named = ", ".join(f"{count:,} {verdict}" for verdict, count in whole.verdicts.items())
    console.print(f"{named}; {whole.flagged:,} flagged by the scan, {whole.withdrawn:,} of them withdrawn since")
    reviewed = f"upheld {_share(whole.upheld)}, wrong {_share(whole.errors)}"
    console.print(f"reviewed {counted(whole.reviewed, 'flag')}: {reviewed}")
    console.print(f"from finding to verdict {_times(whole.days_to_verdict)}")
    outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in whole.outcomes.items())
    console.print(
        f"answers: {sum(whole.notices.values()):,} ({outcomes}); decided after {_times(whole.days_to_decision)}"
    )
    for column, groups in figures.by.items():
        table = Table(column, "findings", "flagged", "reviewed", "wrong (95 %)", "answers", box=None, pad_edge=False)
        for name, each in sorted(groups.items(), key=_most_flagged)[:_SHOWN]:
            table.add_row(name or "not known", f"{each.findings:,}", f"{each.flagged:,}", f"{each.reviewed:,}",
                          _share(each.errors), f"{sum(each.notices.values()):,}")  # fmt: skip
        print_table(table, console)
        if len(groups) > _SHOWN:
            console.print(f"… and {len(groups) - _SHOWN:,} more; all with --json")


def _most_flagged(group: tuple[str, Figures]) -> tuple[int, str]:
    return -group[1].flagged, group[0]


def _share(share: Share) -> str:
    if not share.total:
        return "not known"
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})"


def _times(times: Times) -> str:
    if times.median is None:
        return "not known"
    return f"{times.median:g} days ({times.lower_quartile:g} to {times.upper_quartile:g} for half of {times.count:,})"


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
