"""Apply new rights, new sellers or another policy to stored findings, without embedding, and tell what changed and why.

A right that lapsed withdraws flags, a new one raises them. The result is what a scan with the same tables on that day
would write. Without --rights none is asked for, without --sellers none is authorised.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookalike.scripts.cli import (
    DONE,
    SOME_ROWS_FAILED,
    Day,
    Quiet,
    RegionsTable,
    RightsTable,
    SellersTable,
    load_rights,
    note,
    note_unknown_brands,
    progress,
    run,
)


def recheck(
    findings: Annotated[Path, typer.Argument(help="Findings table of a scan.")],
    out: Annotated[Path, typer.Option("--out", help="Findings table to write: .csv, .parquet or .jsonl")],
    policy: Annotated[
        Path | None,
        typer.Option("--policy", help="The policy to judge by; by default the shipped one, if it was that."),
    ] = None,
    rights: RightsTable = None,
    sellers: SellersTable = None,
    regions: RegionsTable = None,
    day: Day = None,
    changes: Annotated[
        Path | None, typer.Option("--changes", help="Table of what changed; by default OUT with .changes in its name.")
    ] = None,
    quiet: Quiet = False,
) -> int:
    from lookalike.policy.policy import Policy
    from lookalike.scanning.recheck import policy_of, recheck

    used = Policy.load(policy) if policy is not None else policy_of(findings)
    asked = load_rights(rights, sellers, regions, quiet=quiet)
    told = changes or out.with_name(f"{out.stem}.changes{out.suffix}")
    with progress("rechecking findings", quiet=quiet) as advance:
        done = recheck(
            findings, out, policy=used, rights=asked, day=day.date() if day else None, changes=told, progress=advance
        )
    for (before, after), count in sorted(done.moved.items()):
        if before != after:
            note(f"{count:,} {after} that were {before}", quiet=quiet)
    note(
        f"{done.findings:,} findings, {done.changed:,} changed ({done.regrounded:,} in their grounds only); "
        f"findings in {out}, what changed in {told}",
        quiet=quiet,
    )
    if asked is not None:
        note_unknown_brands(asked, done.brands, quiet=quiet)
    failed = done.errors or (asked is not None and asked.unusable)
    return SOME_ROWS_FAILED if failed else DONE


def main(argv: list[str] | None = None) -> int:
    return run(recheck, argv)


if __name__ == "__main__":
    raise SystemExit(main())
