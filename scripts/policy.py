"""Look at policies: what going from one to another would do to findings, and what one says.

`diff A B --findings F` judges stored findings again under both, without embedding anything. `show POLICY` prints its
thresholds. `bind POLICY --index DIR --out FILE` takes a policy over to an index that has changed since it was tuned.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lookalike.errors import PolicyError
from lookalike.scripts.cli import DONE, Quiet, note, run

_SHOWN = 12


def policy(
    action: Annotated[str, typer.Argument(help="diff, show or bind")],
    policies: Annotated[list[Path], typer.Argument(help="The policy; for diff two of them, before and after.")],
    findings: Annotated[Path | None, typer.Option("--findings", help="For diff: findings to judge again.")] = None,
    sellers: Annotated[
        Path | None, typer.Option("--sellers", help="For diff: table of authorised sellers, to count their flags.")
    ] = None,
    index: Annotated[Path | None, typer.Option("--index", help="For bind: folder of the index.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="For bind: the policy to write.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    quiet: Quiet = False,
) -> int:
    if action == "diff":
        if len(policies) != 2 or findings is None:
            raise PolicyError(f"came {len(policies)} policies; needed: policy diff BEFORE AFTER --findings FINDINGS")
        return _diff(policies[0], policies[1], findings, sellers, as_json=as_json)
    if len(policies) != 1:
        raise PolicyError(f"came {len(policies)} policies; policy {action} takes one")
    if action == "show":
        return _show(policies[0])
    if action == "bind":
        if index is None or out is None:
            raise PolicyError("policy bind needs --index DIR and --out FILE")
        return _bind(policies[0], index, out, quiet=quiet)
    raise PolicyError(f"there is no policy {action}; choose diff, show or bind")


def _diff(before: Path, after: Path, findings: Path, sellers: Path | None, *, as_json: bool) -> int:
    from lookalike.detection.protection import protect
    from lookalike.detection.replay import compare_policies
    from lookalike.policy.policy import Policy
    from lookalike.records import Finding, Verdict
    from lookalike.rights.rights import Rights
    from lookalike.tables.findings import read_findings

    old, new = Policy.load(before), Policy.load(after)
    allowed = Rights.load(sellers=sellers) if sellers is not None else None

    def authorised(flagged: Sequence[Finding]) -> int:
        assert allowed is not None, "asked for with sellers only"
        return sum(f.verdict is Verdict.AUTHORISED for f in protect(flagged, allowed, claims=new.claims))

    diff = compare_policies(read_findings(findings), old, new, authorised=authorised if allowed else None)
    if as_json:
        values = asdict(diff) | {"moved": [[*pair, count] for pair, count in sorted(diff.moved.items())]}
        print(json.dumps(values, indent=2, ensure_ascii=False))
        return DONE
    console = Console(highlight=False, markup=False)
    gained, lost = sum(diff.gained.values()), sum(diff.lost.values())
    of = f", {diff.authorised:,} of them of authorised sellers" if allowed is not None else ""
    console.print(f"{diff.before} to {diff.after}: +{gained:,} flagged{of}; -{lost:,} flagged no longer")
    table = Table("verdict", "before", "after", box=None, pad_edge=False)
    for verdict in Verdict:
        counts = diff.total(verdict, after=False), diff.total(verdict, after=True)
        if any(counts):
            table.add_row(str(verdict), *(f"{count:,}" for count in counts))
    console.print(table)
    brands = sorted({*diff.gained, *diff.lost}, key=lambda b: -(diff.gained.get(b, 0) + diff.lost.get(b, 0)))
    if brands:
        table = Table("brand", "newly flagged", "no longer", box=None, pad_edge=False)
        for brand in brands[:_SHOWN]:
            table.add_row(brand, f"+{diff.gained.get(brand, 0):,}", f"-{diff.lost.get(brand, 0):,}")
        console.print(table)
    return DONE


def _show(path: Path) -> int:
    from lookalike.policy.policy import Policy

    loaded = Policy.load(path)
    console = Console(highlight=False, markup=False)
    console.print(f"{loaded}, {'good until ' + str(loaded.expires) if loaded.expires else 'of no expiry'}")
    if loaded.promise is not None:
        console.print(f"promised: {loaded.promise}")
    table = Table(
        "brand", "territory", "flag", "review", "rests on", "flags", "wrong", "more needed", box=None, pad_edge=False
    )
    for scope in (loaded.scope(), *loaded.scopes):
        evidence = scope.evidence
        rest = (
            [evidence.of, f"{evidence.flags:,}", f"{evidence.errors:,}", str(evidence.more_needed or "")]
            if evidence
            else []
        )
        flag = "withdrawn" if scope.withdrawn else "none" if scope.flag is None else f"{scope.flag:.3f}"
        table.add_row(scope.brand or "all others", scope.territory or "", flag, f"{scope.review:.3f}", *rest)
    console.print(table)
    return DONE


def _bind(path: Path, index: Path, out: Path, *, quiet: bool) -> int:
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.policy.policy import Policy

    loaded, other = Policy.load(path), ReferenceIndex.load(index)
    if loaded.weights_sha256 not in (None, other.spec.weights_sha256):
        raise PolicyError(
            f"policy {loaded.name} is for other weights than the encoder of {index}, {other.spec}; tune again"
        )
    old = (loaded.index_digest or "unknown")[:8]
    about = [loaded.about, f"Taken over on {date.today()} from the index {old}: the promise was made there."]
    replace(loaded, index_digest=other.digest, about="\n".join(filter(None, about))).save(out)
    note(f"{out} is for the index {other.digest[:8]} now; its promise was made on the old one", quiet=quiet)
    return DONE


def main(argv: list[str] | None = None) -> int:
    return run(policy, argv)


if __name__ == "__main__":
    raise SystemExit(main())
