"""Set a policy's thresholds from labels, to keep a promise.

LABELS name photos (image, product_id, lookalike), which are embedded and looked up in the index. With --findings they
name listings of a scan (listing_id, lookalike, and if known product_id and date), and nothing is embedded.

Brands with enough labels get their own thresholds. The others borrow, and the output says how many labels they lack.
Thresholds are set on what the policy in use judges by, which is the one that made the findings, or for photos the one
that ships. --on chooses the similarity instead, or a probability from matching points ("verification") or from both
("fused"), which is fitted to half of the labels while the thresholds are set on the other half. In an adapted index,
photos that the adapter was fitted to are looked up by a map that was not; findings of them are left out.

Examples:
lookalike tune labels.csv --index genuine.index --out policy.toml
lookalike tune labels.csv --index i --findings f.csv --out policy.toml
lookalike tune --index i --unrelated l.csv --false-flags 0.01 --out p.toml
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from lookalike.errors import TableError
from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import (
    EncoderOptions,
    IndexFolder,
    PhotoOptions,
    Quiet,
    TableOptions,
)
from lookalike.scripts.outputs import POLICY, require_outputs
from lookalike.scripts.terminal import counted, note, note_contradicted, note_first, notes, print_table, progress

if TYPE_CHECKING:
    from lookalike.policy.policy import Policy
    from lookalike.policy.terms import Scope
    from lookalike.tables.layout import Layout
    from lookalike.thresholds.tuned import Tuned

_SHOWN = 15


def tune(
    index: IndexFolder,
    out: Annotated[Path, typer.Option("--out", help="Policy to write, such as policy.toml.")],
    labels: Annotated[
        Path | None, typer.Argument(help="A review's verdicts, or labels: image or listing_id, product_id, lookalike.")
    ] = None,
    *,
    precision: Annotated[
        float | None, typer.Option("--precision", help="Promise this share of right flags (default 0.95).")
    ] = None,
    false_flags: Annotated[
        float | None, typer.Option("--false-flags", help="Promise to flag at most this share of unrelated listings.")
    ] = None,
    confidence: Annotated[float, typer.Option("--confidence", help="Confidence of each promise.")] = 0.95,
    findings: Annotated[Path | None, typer.Option("--findings", help="Findings that LABELS are about.")] = None,
    unrelated: Annotated[
        Path | None,
        typer.Option("--unrelated", help="Listings believed unrelated; with --findings, findings of them."),
    ] = None,
    cohort: Annotated[
        Path | None, typer.Option("--cohort", help="Listings whose photos similarities are normalised against.")
    ] = None,
    method: Annotated[
        Literal["subtract", "s-norm"], typer.Option("--method", help="How to normalise against the cohort.")
    ] = "subtract",
    nearest: Annotated[
        int | None, typer.Option("--nearest", help="How many of the nearest cohort photos count (default 2).")
    ] = None,
    on: Annotated[
        Literal["similarity", "verification", "fused"] | None,
        typer.Option("--on", help="What thresholds are set on; by default what the policy in use judges by."),
    ] = None,
    fusion: Annotated[
        Path | None, typer.Option("--fusion", help="Policy to take the probability from, instead of fitting it.")
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option("--policy", help="Policy in use, which made the --findings; by default the one that ships."),
    ] = None,
    review_budget: Annotated[
        float | None, typer.Option("--review-budget", help="Share of listings that people have time to review.")
    ] = None,
    review_precision: Annotated[
        float, typer.Option("--review-precision", help="Without a budget, review down to this share of right ones.")
    ] = 0.25,
    days: Annotated[int, typer.Option("--days", help="Days until the policy expires.")] = 90,
    table: TableOptions,
    encoder: EncoderOptions,
    photos: PhotoOptions,
    quiet: Quiet = False,
) -> int:
    from lookalike.detection.lookup import Lookup
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.policy.shipped import open_policy
    from lookalike.thresholds.tuned import Background, Goal, tune_on_findings, tune_on_photos

    require_outputs(
        {"--out": (out, POLICY)},
        {"LABELS": labels, "--index": index, "--findings": findings, "--unrelated": unrelated, "--cohort": cohort,
         "--fusion": fusion, "--policy": policy, "--weights": encoder.weights},
    )  # fmt: skip
    if findings is not None and cohort is not None:
        raise TableError("--cohort embeds photos, and --findings embeds none; give only one of them")
    goal = Goal(
        precision=precision,
        false_flags=false_flags,
        confidence=confidence,
        review_share=review_budget,
        review_precision=review_precision,
        on=on,
        fusion=open_policy(fusion) if fusion is not None else None,
        days=days,
    )
    used = open_policy(policy) if policy is not None else None
    if findings is not None:
        tuned = tune_on_findings(
            labels,
            findings,
            index=ReferenceIndex.load(index),
            goal=goal,
            unrelated=unrelated,
            policy=used,
            name=out.stem,
        )
    else:
        lookup = Lookup.open(index, reader=photos.reader(), **vars(encoder))
        background = Background(cohort, method, nearest) if cohort is not None else None
        total = partial(_count_photos, labels, [each for each in (unrelated, cohort) if each], table.layout)
        with progress("embedding photos", total=total, quiet=quiet) as advance:
            tuned = tune_on_photos(
                labels,
                lookup=lookup,
                goal=goal,
                unrelated=unrelated,
                background=background,
                policy=used,
                name=out.stem,
                progress=advance,
                layout=table.layout,
            )
    tuned.policy.save(out)
    note_first(tuned.failed, _SHOWN)
    for line in (*tuned.labels.remarks, *(tuned.unrelated.remarks if tuned.unrelated is not None else ())):
        note(line, quiet=quiet)
    if tuned.labels.unknown:
        note(f"{counted(tuned.labels.unknown, 'labelled listing')} without a finding: not used")
    if tuned.labels.other:
        note(f"{counted(tuned.labels.other, 'label')} only on another product or photo than the finding's: not used")
    note_contradicted(tuned.labels.contradicted)
    if not quiet:
        _show(tuned.policy, out)
        _show_flags(tuned)
    return Exit.SOME_ROWS_FAILED if tuned.failed else Exit.DONE


def _count_photos(labels: Path | None, listings: Sequence[Path], layout: Layout) -> int:
    from lookalike.tables.labels import read_labels
    from lookalike.thresholds.photos import listed_images

    return (len(read_labels(labels)) if labels else 0) + sum(len(listed_images(each, layout)) for each in listings)


def _show(policy: Policy, out: Path) -> None:
    console = notes()
    console.print(f"{policy}: {policy.promise}")
    columns = ("", "kind", "flag", "review", "rests on", "labels", "flags", "wrong", "more needed")
    table = Table(*columns, box=None, pad_edge=False)
    own = policy.scope()
    scopes = [own, *sorted(policy.scopes, key=lambda scope: -(scope.evidence.labels if scope.evidence else 0))]
    for scope in scopes[: _SHOWN + 1]:
        for kind in (*scope.kinds.own, None):
            table.add_row(*_cells(scope.of(kind), kind or ("other kinds" if scope.kinds.own else "")))
    print_table(table, console)
    if len(scopes) > _SHOWN + 1:
        console.print(f"… and {len(scopes) - _SHOWN - 1:,} more in {out}")
    without = sum(not _flags(scope) for scope in policy.scopes)
    if not _flags(own):
        lacking = [scope.of(kind).evidence for scope in (own,) for kind in (None, *own.kinds.own)]
        flags = min((each.more_needed for each in lacking if each), default=0)
        unrelated = min((each.unrelated_needed for each in lacking if each), default=0)
        needed = [counted(flags, "more labelled flag") + ", all of them right"] if flags else []
        needed += (
            [counted(unrelated, "more listing") + " known or believed to be unrelated (--unrelated)"]
            if unrelated
            else []
        )
        console.print(
            f"no promise is possible yet: it takes about {' and '.join(needed)}; until then nothing is flagged"
        )
    elif without:
        console.print(f"{counted(without, 'scope')} of brands and territories without any flag")


def _show_flags(tuned: Tuned) -> None:
    """What becomes of the labelled listings, and what the choice of --on loses."""
    total = counted(len(tuned.labels.photos), "labelled listing")
    said = [f"{each.flagged:,} by {each.policy} ({each.right:,} of these flags right)" for each in tuned.flags]
    note(f"of {total}, flagged are: {'; '.join(said)}" if tuned.labels.photos else "")
    if tuned.kept is not None:
        more = "its probability isn't used. With it, which leaving out --on and --fusion keeps"
        note(f"{tuned.flags[0].policy} judges by a probability; {more}, {tuned.kept.flagged:,} would be flagged "
             f"({tuned.kept.right:,} right)")  # fmt: skip


def _flags(scope: Scope) -> bool:
    """Whether it flags findings of any kind."""
    return any(scope.of(kind).flag is not None for kind in (None, *scope.kinds.own))


def _cells(scope: Scope, kind: str) -> list[str]:
    evidence = scope.evidence
    assert evidence is not None, "tuned scopes say what they rest on"
    place = " ".join(filter(None, [scope.brand or ("all others" if not scope.territory else None), scope.territory]))
    flag = "none" if scope.flag is None else f"{scope.flag:.3f}"
    counts = [f"{count:,}" for count in (evidence.labels, evidence.flags, evidence.errors)]
    return [place, kind, flag, f"{scope.review:.3f}", evidence.of, *counts, evidence.missing]


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
