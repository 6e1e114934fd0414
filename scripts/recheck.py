"""Apply new rights, sellers or another policy to findings.

A second table lists what changed and why. Nothing is embedded. A right that lapsed withdraws flags, and a new one
raises them. The result is what a scan with the same tables on that day would write. Without --rights and --sellers,
findings rest on similarity alone.

Examples:
lookalike recheck findings.parquet --rights rights.csv --out now.parquet
lookalike recheck findings.parquet --policy policy.toml --out now.parquet
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import (
    FindingsOut,
    Quiet,
    RightsOptions,
    note_unknown_brands,
)
from lookalike.scripts.outputs import TABLE, require_outputs
from lookalike.scripts.terminal import counted, note, progress


def recheck(
    findings: Annotated[Path, typer.Argument(help="Findings table of a scan.")],
    out: FindingsOut,
    *,
    policy: Annotated[
        Path | None, typer.Option("--policy", help="Policy to judge by; by default the built-in one, if it was used.")
    ] = None,
    rights: RightsOptions,
    changes: Annotated[
        Path | None, typer.Option("--changes", help="Table of what changed; by default OUT with .changes in its name.")
    ] = None,
    quiet: Quiet = False,
) -> int:
    from lookalike.policy.shipped import open_policy
    from lookalike.scanning.recheck import policy_of, recheck
    from lookalike.tables.findings import count_findings, encoder_of

    changed = changes or out.with_name(f"{out.stem}.changes{out.suffix}")
    require_outputs(
        {"--out": (out, TABLE), "--changes": (changed, TABLE)},
        {"FINDINGS": findings, "--policy": policy, **rights.tables},
    )
    used = open_policy(policy, encoder=encoder_of(findings)) if policy is not None else policy_of(findings)
    asked = rights.load(quiet=quiet)
    total = partial(count_findings, findings)
    with progress("rechecking findings", total=total, quiet=quiet) as advance:
        done = recheck(findings, out, policy=used, rights=asked, day=rights.on, changes=changed, progress=advance)
    for (before, after), count in sorted(done.moved.items()):
        if before != after:
            note(f"{count:,} from {before} to {after}", quiet=quiet)
    note(
        f"{counted(done.findings, 'finding')}, {done.changed:,} changed ({done.regrounded:,} only in their grounds); "
        f"findings in {out}, changes in {changed}",
        quiet=quiet,
    )
    if asked is not None:
        note_unknown_brands(asked, done.brands, quiet=quiet)
    failed = done.errors or (asked is not None and asked.unusable)
    return Exit.SOME_ROWS_FAILED if failed else Exit.DONE


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
