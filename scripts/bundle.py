"""Put the evidence for findings into a folder or ZIP to hand over, or verify such a bundle.

`bundle FINDINGS --index DIR --out DIR|ZIP` holds, for each finding, the photos, a picture of what agrees and differs in
them, the numbers, the policy and a statement to read, under a chain of hashes; its last hash, the seal, is printed.
`bundle verify BUNDLE` computes all hashes again, judges by the bundle's policy and, with --index or --model, computes
each similarity again from the photos.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.errors import BundleError
from lookalike.records import Verdict
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

    from lookalike.index.embedding import PhotoReader

_CALLS = "bundle FINDINGS --index DIR --out DIR|ZIP, or bundle verify BUNDLE"


def bundle(
    what: Annotated[
        list[Path], typer.Argument(metavar="FINDINGS | verify BUNDLE", help="A findings table, or verify and a bundle.")
    ],
    index: Annotated[Path | None, typer.Option("--index", help="Folder of the index; to verify optional.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder, or file in .zip, to write; must be new.")] = None,
    verdict: Annotated[
        list[Verdict] | None,
        typer.Option("--verdict", help="Findings of this verdict, by default flagged. Repeatable."),
    ] = None,
    listing: Annotated[list[str] | None, typer.Option("--listing", help="Only of this listing_id. Repeatable.")] = None,
    cases: Annotated[Path | None, typer.Option("--cases", help="Table of cases, for --case.")] = None,
    case: Annotated[str | None, typer.Option("--case", help="Only of this case: its listings.")] = None,
    policy: Annotated[
        Path | None,
        typer.Option("--policy", help="The findings' policy; by default the encoder's, or the bundle's own."),
    ] = None,
    seal: Annotated[str | None, typer.Option("--seal", help="To verify: the seal printed when it was made.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="To verify: the encoder, to compute again without an index.")
    ] = None,
    weights: Weights = None,
    device: Device = None,
    allow_scheme: Scheme = None,
    allow_private: Private = False,
    accept_truncated: Truncated = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    quiet: Quiet = False,
) -> int:
    verifying = what[0] == Path("verify")
    if len(what) != 1 + verifying:
        raise BundleError(f"came {' '.join(map(str, what))}; needed: {_CALLS}")
    if verifying:
        making = {"--out": out, "--verdict": verdict, "--listing": listing, "--allow-scheme": allow_scheme,
                  "--cases": cases, "--case": case}  # fmt: skip
        _refuse({**making, "--allow-private": allow_private, "--accept-truncated": accept_truncated}, "bundle verify")
        return _verify(what[1], index, policy, model, weights, device, seal, as_json=as_json, quiet=quiet)
    _refuse({"--seal": seal, "--model": model, "--weights": weights, "--device": device}, "making a bundle")
    if index is None or out is None:
        raise BundleError(f"a bundle needs --index DIR and --out DIR|ZIP; needed: {_CALLS}")
    reader = photo_reader(allow_scheme, private=allow_private, truncated=accept_truncated)
    if (cases is None) != (case is None):
        raise BundleError("--cases TABLE and --case ID belong together")
    if cases is not None and case is not None:
        listing = [*(listing or []), *_listings_of(cases, case)]
    verdicts = [str(name) for name in verdict or [Verdict.FLAGGED]]
    return _make(what[0], index, out, verdicts, listing or [], policy, reader, as_json=as_json, quiet=quiet)


def _listings_of(cases: Path, case: str) -> tuple[str, ...]:
    """The listings of a case, or of the one that it was merged into."""
    from lookalike.cases.table import read_cases

    for each in read_cases(cases):
        if case == each.id or case in each.merged:
            return each.listings
    raise BundleError(f"{cases} has no case {case}, and none that it was merged into")


def _refuse(options: Mapping[str, object], call: str) -> None:
    if given := [name for name, value in options.items() if value]:
        raise BundleError(f"{call} takes no {', '.join(given)}; needed: {_CALLS}")


def _make(
    findings: Path,
    index: Path,
    out: Path,
    verdicts: list[str],
    listings: list[str],
    policy: Path | None,
    reader: PhotoReader,
    *,
    as_json: bool,
    quiet: bool,
) -> int:
    from lookalike.evidence.archive import require_free
    from lookalike.evidence.bundle import select_findings, write_bundle
    from lookalike.index.build import load_harmless
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.tables.findings import read_findings

    require_free(out)
    rows = select_findings(read_findings(findings), verdicts=verdicts, listings=listings)
    loaded, harmless = ReferenceIndex.load(index), load_harmless(index)
    with progress("bundling findings", total=len(rows), quiet=quiet) as advance:
        made = write_bundle(
            rows, out, index=loaded, harmless=harmless, policy=policy, reader=reader, picture=_draw, progress=advance
        )
    if as_json:
        print(json.dumps(asdict(made)))
    else:
        print(f"seal {made.seal}")
    troubles = [
        f"of {count:,} a photo {what}"
        for count, what in (
            (made.unreadable, "can't be read any more"),
            (made.changed, "was changed since"),
            (made.unproven, "is not known to be the one scanned"),
        )
        if count
    ]
    note("; ".join([f"{out}: {made.findings:,} findings, {made.bytes:,} bytes", *troubles]), quiet=quiet)
    note("keep the seal elsewhere: it proves later that the bundle is this one", quiet=quiet)
    return SOME_ROWS_FAILED if made.unreadable or made.changed else DONE


def _draw(row: Mapping[str, Any], reference: Image.Image, listing: Image.Image) -> Image.Image:
    """Both photos of a finding, what agrees and what differs."""
    from lookalike.evidence.explain import explain_finding

    return explain_finding(row, reference, listing).picture


def _verify(
    path: Path,
    index: Path | None,
    policy: Path | None,
    model: str | None,
    weights: str | None,
    device: str | None,
    seal: str | None,
    *,
    as_json: bool,
    quiet: bool,
) -> int:
    from lookalike.evidence.audit import audit_bundle
    from lookalike.evidence.recomputation import TOLERANCE
    from lookalike.index.build import load_harmless
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.model.encoder import load_encoder
    from lookalike.policy.policy import Policy

    loaded = ReferenceIndex.load(index) if index is not None else None
    judge = Policy.load(policy) if policy is not None else None
    encoder = None
    if model is not None or weights is not None or loaded is not None:
        name = model or (loaded.spec.name if loaded is not None else "embedded")
        encoder = load_encoder(name, weights=weights, device=device)
        if loaded is not None:
            loaded.require(encoder.spec)
    harmless = load_harmless(index) if index is not None else None
    audit = audit_bundle(path, encoder=encoder, index=loaded, harmless=harmless, policy=judge, seal=seal)
    if as_json:
        print(json.dumps(asdict(audit) | {"holds": not audit.disagreements, "tolerance": TOLERANCE}, indent=1))
    else:
        for disagreement in audit.disagreements:
            print(disagreement)
        computed = f"similarity of {audit.computed:,} computed again (within {TOLERANCE:g})"
        parts = (
            f"{audit.findings:,} findings, {audit.files:,} files, seal {audit.seal}",
            f"verdict of {audit.judged:,} derived again",
            computed if encoder is not None else "no similarity computed again, for want of --index or --model",
        )
        print("; ".join(parts))
        if audit.incomplete:
            note(f"of {audit.incomplete:,} the bundle says itself that a photo is missing or another", quiet=quiet)
        holds = "all agrees" if not audit.disagreements else f"{len(audit.disagreements):,} things don't agree"
        print(f"{path}: {holds}")
    return SOME_ROWS_FAILED if audit.disagreements else DONE


def main(argv: list[str] | None = None) -> int:
    return run(bundle, argv)


if __name__ == "__main__":
    raise SystemExit(main())
