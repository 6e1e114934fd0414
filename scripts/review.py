"""Review findings in the browser, and keep the verdicts.

One finding a screen, by keys: both photos large, what matches and what differs, the numbers beside the thresholds. The
page is served on this machine alone, at an address that opens it once. Each verdict is on disk before the next finding
is shown. Verdicts are a file that is only ever added to; tune, monitor, stats, shortlist, cases and report read it.

--order triage shows what is nearest the threshold and most at stake first. --order teach shows one finding of each
product by turns, for lookalike adapt. --order audit shows a random draw; a promise rests on such draws alone. --order
renewal shows before it, promise by promise, the flags that a report of monitor says are lacking, drawn at random.
--order conflict shows findings about which people disagree.

Examples:
lookalike review findings.parquet --index i --verdicts v.jsonl --who anna
lookalike review f.csv --index i --verdicts v.jsonl --who ben --order audit
lookalike review f --index i --verdicts v --who b --order renewal --report m
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import IndexFolder, PhotoOptions, Quiet, TableOptions
from lookalike.scripts.outputs import FILE, require_outputs
from lookalike.scripts.terminal import counted, note, print_line
from lookalike.tables.verdicts import Mode


def review(
    findings: Annotated[Path, typer.Argument(help="Findings table.")],
    index: IndexFolder,
    verdicts: Annotated[Path, typer.Option("--verdicts", help="File of verdicts to add to, such as verdicts.jsonl.")],
    who: Annotated[str, typer.Option("--who", help="Who judges.")],
    *,
    order: Annotated[Mode, typer.Option("--order", help="What comes up first.")] = Mode.TRIAGE,
    size: Annotated[int, typer.Option("--size", min=1, help="For audit, renewal: how many findings to draw.")] = 300,
    seed: Annotated[int, typer.Option("--seed", min=0, help="For audit, renewal: another seed, another draw.")] = 0,
    report: Annotated[
        Path | None, typer.Option("--report", help="For renewal: what `lookalike monitor --json` wrote.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", help="The findings' policy; by default the one for the encoder.")
    ] = None,
    listings: Annotated[Path | None, typer.Option("--listings", help="Listings, for all of their photos.")] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; by default a free one.")] = 0,
    table: TableOptions,
    photos: PhotoOptions,
    quiet: Quiet = False,
) -> int:
    from lookalike.review.opening import open_review
    from lookalike.review.server import serve

    if (report is not None) != (order is Mode.RENEWAL):
        raise typer.BadParameter(
            "--order renewal and --report go together: the report says which promises lack how many flags"
        )
    require_outputs(
        {"--verdicts": (verdicts, FILE)},
        {"FINDINGS": findings, "--index": index, "--report": report, "--policy": policy, "--listings": listings},
    )
    with open_review(
        findings,
        verdicts,
        who,
        index=index,
        mode=order,
        size=size,
        seed=seed,
        report=report,
        policy=policy,
        listings=listings,
        layout=table.layout,
        reader=photos.reader(),
    ) as opened:
        session = opened.session
        for renewal in session.renewals:
            drawn, lack = len(renewal.places), renewal.lack
            short = f" of the {lack.flags:,} that it lacks, all outside other draws" if drawn < lack.flags else ""
            note(f"{lack.name}: {counted(drawn, 'flag')} drawn{short}", quiet=quiet)
        note(f"{len(session.queue):,} of {counted(session.total, 'finding')} wait for a verdict", quiet=quiet)
        if session.carried:
            note(f"of those judged already, {session.carried:,} were drawn only now", quiet=quiet)
        note("open this address in a browser on this machine; it works once. End with Ctrl-C.", quiet=quiet)
        serve(opened.application(), port=port, opened=print_line)
    note(f"verdicts are in {verdicts}", quiet=quiet)
    return Exit.DONE


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
