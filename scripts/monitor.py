"""Watch whether a policy still keeps its promise.

It also watches whether similarities have drifted, and whether one reference is flooded with hits, and says of which
brands how many more flags must be judged, by an audit, until the promise is shown anew. Verdicts on listings that the
policy was tuned on are left out. The exit status is 0 if nothing was raised, and 1 if something was, or if
there was not one verdict to test a promise by.

Examples:
lookalike monitor findings.parquet labels.csv --policy policy.toml
lookalike monitor f.csv labels.csv --policy p.toml --before last-week.csv
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import Json, Quiet
from lookalike.scripts.outputs import POLICY, require_outputs
from lookalike.scripts.terminal import note, note_contradicted, output, print_json, print_table

if TYPE_CHECKING:
    from lookalike.thresholds.monitor import MonitorReport
    from lookalike.thresholds.promises import PromiseCheck


def monitor(
    findings: Annotated[Path, typer.Argument(help="Findings that the verdicts are about.")],
    labels: Annotated[
        Path,
        typer.Argument(help="A review's verdicts, or a table: listing_id, lookalike, if known product_id, date."),
    ],
    policy: Annotated[Path, typer.Option("--policy", help="Policy to watch.")],
    before: Annotated[
        Path | None, typer.Option("--before", help="Earlier findings, to compare drift and floods with.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="If a promise is broken, write the policy without those flags.")
    ] = None,
    alpha: Annotated[float, typer.Option("--alpha", help="Chance of a false alarm.", min=1e-9, max=0.5)] = 0.05,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    from lookalike.policy.shipped import open_policy
    from lookalike.tables.findings import encoder_of, read_findings
    from lookalike.tables.labels import contradicted
    from lookalike.tables.reviews import read_reviews
    from lookalike.thresholds.monitor import monitor_policy, withdraw_broken
    from lookalike.thresholds.observed import OBSERVED

    require_outputs(
        {"--out": (out, POLICY)}, {"FINDINGS": findings, "LABELS": labels, "--policy": policy, "--before": before}
    )
    loaded = open_policy(policy, encoder=encoder_of(findings))
    read = read_reviews(labels, promise=True, renewals=True)
    report = monitor_policy(
        read_findings(findings, columns=OBSERVED),
        read.reviews,
        loaded,
        before=None if before is None else read_findings(before, columns=OBSERVED),
        alpha=alpha,
    )
    if as_json:
        print_json(said(report), indent=2)
    else:
        _show(report)
    for line in filter(None, (_unused(report), *read.remarks())):
        note(line, quiet=quiet)
    note_contradicted(contradicted(read.reviews))
    if report.untested:
        note(f"there is no verdict on a flag of {report.policy}, so it isn't known whether its promise is kept")
    if not report.promises:
        note(
            f"the policy {policy} promises no precision, so there is nothing to test; see: lookalike tune", quiet=quiet
        )
    if out is not None and report.broken:
        withdraw_broken(loaded, report).save(out)
        note(f"wrote {out}, which sends those flags to review", quiet=quiet)
    return Exit.SOME_ROWS_FAILED if report.raised or report.untested else Exit.DONE


def said(report: MonitorReport) -> dict[str, Any]:
    """The report as JSON says it: counts in place of the single reviewed flags."""
    values = {**asdict(report), "raised": report.raised, "untested": report.untested}
    values["reviews"]["flags"] = len(report.reviews.flags)
    return values


def _show(report: MonitorReport) -> None:
    console = output(soft_wrap=True)
    if report.promises:
        table = Table("promise for", "promised", "reviewed", "wrong", "p", "", "to show it anew", box=None)
        for check in report.promises:
            counts = (f"{100 * check.promised:.3g} %", f"{check.reviewed:,}", f"{check.wrong:,}", f"{check.p:.2g}")
            more = f"{check.needed:,} more" if check.needed else "shown"
            table.add_row(_where(check), *counts, _state(check), more)
        print_table(table, console)
    for check in report.broken:
        console.print(f"{_where(check)}: {check.reason(report.day)}")
    if report.drift is not None:
        drift = report.drift
        console.print(
            f"{drift.column}: {'drifted' if drift.raised else 'no large drift'}; median {drift.median_before:.3f} -> "
            f"{drift.median_now:.3f}, stability index {drift.index:.2f}, KS {drift.ks:.3f} (p {drift.p:.2g})",
        )
    for flood in report.floods:
        console.print(
            f"reference {flood.reference_id}: {flood.per_thousand:,.1f} hits per 1,000 listings ({flood.hits:,}), "
            f"before {flood.per_thousand_before:,.1f} ({flood.hits_before:,})",
        )


def _state(check: PromiseCheck) -> str:
    if not check.tested:
        return "not tested"
    return "broken" if check.broken else "not shown to be broken"


def _where(check: PromiseCheck) -> str:
    return " ".join(part for part in (check.brand, check.territory, check.kind) if part) or "all"


def _unused(report: MonitorReport) -> str:
    reviews = report.reviews
    counts = {
        f"on listings that {report.policy} was tuned on": reviews.tuned_on,
        f"on findings of another policy than {report.policy}": reviews.other_policy,
        "on findings that were not flagged": reviews.not_flagged,
        "on another product than was found": reviews.other_product,
        "on another photo than was found": reviews.other_photo,
        "on listings without a finding": reviews.unknown,
    }
    unused = ", ".join(f"{count:,} {why}" for why, count in counts.items() if count)
    return f"verdicts left out: {unused}" if unused else ""


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
