"""Show, compare or take over policies.

Examples:
lookalike policy show shipped
lookalike policy diff old.toml new.toml --findings findings.parquet
lookalike policy bind policy.toml --index genuine.index --out new.toml
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from lookalike.records import Verdict
from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import IndexFolder, Json, Quiet
from lookalike.scripts.outputs import POLICY, require_outputs
from lookalike.scripts.terminal import note, output, print_json, print_table

if TYPE_CHECKING:
    from lookalike.detection.replay import PolicyDiff

_SHOWN = 12

PolicyArgument = Annotated[
    Path, typer.Argument(metavar="POLICY", help="A policy.toml; or shipped, the one for the built-in encoder.")
]


def show(policy: PolicyArgument) -> int:
    """Print a policy: its promise, its thresholds by brand and territory, and what they rest on.

    Examples:
    lookalike policy show policy.toml
    lookalike policy show shipped
    """
    from lookalike.policy.shipped import open_policy

    loaded, console = open_policy(policy), output()
    console.print(f"{loaded}, {'valid until ' + str(loaded.expires) if loaded.expires else 'without an expiry date'}")
    if loaded.promise is not None:
        console.print(f"promised: {loaded.promise}")
    columns = ("brand", "territory", "kind", "flag", "review", "rests on", "flags", "wrong", "more needed")
    table = Table(*columns, box=None, pad_edge=False)
    places = [(place, kind) for place in (loaded.scope(), *loaded.scopes) for kind in (None, *place.kinds.own)]
    for place, kind in places:
        scope = place.of(kind)
        flag = "withdrawn" if scope.withdrawn else "none" if scope.flag is None else f"{scope.flag:.3f}"
        named = kind or ("other kinds" if place.kinds.own else "")
        cells = [scope.brand or "all others", scope.territory or "", named, flag, f"{scope.review:.3f}"]
        if (evidence := scope.evidence) is not None:
            cells += [evidence.of, f"{evidence.flags:,}", f"{evidence.errors:,}", evidence.missing]
        table.add_row(*cells)
    print_table(table, console)
    return Exit.DONE


def diff(
    before: Annotated[Path, typer.Argument(help="The policy in use; shipped is the one for the findings' encoder.")],
    after: Annotated[Path, typer.Argument(help="The policy to change to.")],
    findings: Annotated[Path, typer.Option("--findings", help="Findings to judge again; nothing is embedded.")],
    sellers: Annotated[
        Path | None, typer.Option("--sellers", help="Authorised sellers, to count how many would be flagged.")
    ] = None,
    made_by: Annotated[
        Path | None, typer.Option("--made-by", help="Policy that made the findings, if neither of the two nor shipped.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Count what another policy would change in findings.

    Examples:
    lookalike policy diff old.toml new.toml --findings findings.parquet
    lookalike policy diff shipped new.toml --findings findings.parquet
    """
    from lookalike.detection.protection import count_authorised
    from lookalike.detection.replay import compare_policies
    from lookalike.policy.shipped import open_policy
    from lookalike.rights.rights import Rights
    from lookalike.tables.findings import encoder_of, read_findings

    used = partial(open_policy, encoder=encoder_of(findings))
    old, new, maker = used(before), used(after), None if made_by is None else used(made_by)
    allowed = Rights.load(sellers=sellers) if sellers is not None else None
    authorised = partial(count_authorised, rights=allowed, claims=new.claims) if allowed is not None else None
    changed = compare_policies(read_findings(findings), old, new, made_by=maker, authorised=authorised)
    if as_json:
        values = asdict(changed) | {"moved": [[*pair, count] for pair, count in sorted(changed.moved.items())]}
        print_json(values, indent=2)
    else:
        _print_diff(changed, with_sellers=sellers is not None)
    return Exit.DONE


def _print_diff(diff: PolicyDiff, *, with_sellers: bool) -> None:
    console = output()
    gained, lost = sum(diff.gained.values()), sum(diff.lost.values())
    of = f", {diff.authorised:,} of them of authorised sellers" if with_sellers else ""
    console.print(f"{diff.before} to {diff.after}: +{gained:,} flagged{of}; -{lost:,} no longer flagged")
    table = Table("verdict", "before", "after", box=None, pad_edge=False)
    for verdict in Verdict:
        counts = diff.total(verdict, after=False), diff.total(verdict, after=True)
        if any(counts):
            table.add_row(str(verdict), *(f"{count:,}" for count in counts))
    print_table(table, console)
    brands = sorted({*diff.gained, *diff.lost}, key=lambda b: -(diff.gained.get(b, 0) + diff.lost.get(b, 0)))
    if brands:
        table = Table("brand", "newly flagged", "no longer", box=None, pad_edge=False)
        for brand in brands[:_SHOWN]:
            table.add_row(brand, f"+{diff.gained.get(brand, 0):,}", f"-{diff.lost.get(brand, 0):,}")
        print_table(table, console)


def bind(
    policy: PolicyArgument,
    index: IndexFolder,
    out: Annotated[Path, typer.Option("--out", help="The policy to write.")],
    quiet: Quiet = False,
) -> int:
    """Take a policy over to an index that has changed since the policy was tuned.

    Examples:
    lookalike policy bind policy.toml --index genuine.index --out new.toml
    """
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.policy.binding import bind_policy
    from lookalike.policy.shipped import open_policy

    require_outputs({"--out": (out, POLICY)}, {"POLICY": policy, "--index": index})
    loaded = ReferenceIndex.load(index)
    bind_policy(
        open_policy(policy, encoder=str(loaded.spec)),
        weights_sha256=loaded.spec.weights_sha256,
        index_digest=loaded.digest,
    ).save(out)
    note(f"{out} is bound to the index {loaded.digest[:8]}; its promise was made on the old one", quiet=quiet)
    return Exit.DONE


VERBS = {"show": show, "diff": diff, "bind": bind}


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
