"""Set the thresholds of a policy from labels, with a promise: of what is flagged at least so much is right.

LABELS name photos (image, product_id, lookalike), which are embedded and looked up in the index; or, with --findings,
listings of a scan (listing_id, lookalike; optional product_id, date), and then nothing is embedded. Brands with labels
enough get thresholds of their own; the others borrow, and are listed with what is missing. Thresholds are on the
similarity; with --on verification or --on fused on a probability from the points that agree, or from both, which is
fitted to half of the labels while the thresholds are set on the other half (or taken from a policy with --fusion).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from lookalike.errors import PolicyError, TableError
from lookalike.scripts.cli import (
    DONE,
    SOME_ROWS_FAILED,
    Device,
    Model,
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
    from collections.abc import Sequence

    from lookalike.policy.cohort import Cohort
    from lookalike.policy.policy import Policy, Scope
    from lookalike.thresholds.labels import Fused, LabelledMatches, Lookup

_SHOWN = 15
_ON = ("similarity", "verification", "fused")


def tune(
    index: Annotated[Path, typer.Option("--index", help="Folder of the index.")],
    out: Annotated[Path, typer.Option("--out", help="The policy to write, for example policy.toml")],
    labels: Annotated[
        Path | None, typer.Argument(help="Table of labels: image or listing_id, product_id, lookalike.")
    ] = None,
    precision: Annotated[
        float | None, typer.Option("--precision", help="Promise that this share of what is flagged is right (0.95).")
    ] = None,
    false_flags: Annotated[
        float | None,
        typer.Option("--false-flags", help="Promise that at most this share of unrelated ones is flagged."),
    ] = None,
    confidence: Annotated[float, typer.Option("--confidence", help="How sure each promise is to be.")] = 0.95,
    findings: Annotated[Path | None, typer.Option("--findings", help="The findings that LABELS are about.")] = None,
    unrelated: Annotated[
        Path | None, typer.Option("--unrelated", help="Listings believed unrelated; with --findings, findings of them.")
    ] = None,
    cohort: Annotated[
        Path | None, typer.Option("--cohort", help="Listings table of background photos to normalise against.")
    ] = None,
    method: Annotated[str, typer.Option("--method", help="How to normalise: subtract or s-norm.")] = "subtract",
    nearest: Annotated[
        int | None, typer.Option("--nearest", help="Against so many of the nearest background photos (2).")
    ] = None,
    on: Annotated[
        str, typer.Option("--on", help="Set thresholds on: similarity, verification or fused.")
    ] = "similarity",
    fusion: Annotated[
        Path | None, typer.Option("--fusion", help="Take the fused probability from this policy instead of fitting it.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", help="With --findings that are normalised: the policy they were made by.")
    ] = None,
    review_budget: Annotated[
        float | None, typer.Option("--review-budget", help="Share of listings that people have time to look at.")
    ] = None,
    review_precision: Annotated[
        float, typer.Option("--review-precision", help="Without a budget: review as far down as this share is right.")
    ] = 0.25,
    days: Annotated[int, typer.Option("--days", help="For how many days the policy is good.")] = 90,
    model: Model = None,
    weights: Weights = None,
    device: Device = None,
    allow_scheme: Scheme = None,
    allow_private: Private = False,
    accept_truncated: Truncated = False,
    quiet: Quiet = False,
) -> int:
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.model.encoder import load_encoder
    from lookalike.policy.policy import Policy, Promise, Reach
    from lookalike.thresholds.labels import (
        Labels,
        Lookup,
        brand_categories,
        labels_of_findings,
        pairs_of,
        unrelated_findings,
    )
    from lookalike.thresholds.tuning import tune as tune_policy

    if precision is None and false_flags is None:
        precision = 0.95
    _require_shares(precision=precision, false_flags=false_flags, confidence=confidence, review_budget=review_budget,
                    review_precision=review_precision)  # fmt: skip
    if out.suffix.lower() != ".toml":
        raise PolicyError(f"the policy {out} ends in {out.suffix or 'nothing'}, needed .toml")
    if labels is None and (unrelated is None or false_flags is None):
        raise TableError("without LABELS only a cap can be promised; give --false-flags SHARE and --unrelated TABLE")
    if findings is not None and cohort is not None:
        raise TableError("--cohort needs photos to embed, and --findings embeds none; give one of them")
    if on not in _ON:
        raise PolicyError(f"--on is {on!r}; needed one of {', '.join(_ON)}")
    fused = on != "similarity" or fusion is not None
    loaded = ReferenceIndex.load(index)
    used: Cohort | None = None
    known, strangers = Labels(), None
    if findings is not None:
        used = Policy.load(policy).cohort if policy is not None else None
        known = labels_of_findings(labels, findings, candidates=fused) if labels is not None else known
        strangers = unrelated_findings(unrelated, candidates=fused) if unrelated is not None else None
    else:
        encoder = load_encoder(model or loaded.spec.name, weights=weights, device=device)
        loaded.require(encoder.spec)
        reader = photo_reader(allow_scheme, private=allow_private, truncated=accept_truncated)
        with progress("embedding photos", quiet=quiet) as advance:
            lookup = Lookup(loaded, encoder, reader, advance, Reach(-1.0) if fused else Reach(references=0))
            used = _cohort(lookup, cohort, method, nearest) if cohort is not None else None
            known = lookup.labels(labels, cohort=used) if labels is not None else known
            strangers = lookup.unrelated(unrelated, cohort=used) if unrelated is not None else None
    failed = known.failed + (strangers.failed if strangers else ())
    basis = _basis(known.photos, strangers.photos if strangers else (), on=on, fusion=fusion)
    tuned = tune_policy(
        pairs_of(basis.photos, basis.fusion),
        promise=Promise(
            confidence,
            precision,
            false_flags,
            search_agreeing=loaded.agreement.agreeing if loaded.agreement else None,
            search_probes=loaded.agreement.probes if loaded.agreement else None,
        ),
        name=out.stem,
        unrelated=pairs_of(basis.unrelated, basis.fusion) if strangers else None,
        categories=brand_categories(loaded),
        brands=sorted(set(loaded.catalogue["brand"].to_pylist())),
        review_share=review_budget,
        review_precision=review_precision,
        cohort=used,
        fusion=basis.fusion,
        reach=basis.reach,
    )
    tuned = replace(
        tuned,
        weights_sha256=loaded.spec.weights_sha256,
        index_digest=loaded.digest,
        expires=date.today() + timedelta(days=days),
    )
    tuned.save(out)
    for line in failed[:_SHOWN]:
        note(line)
    if known.unknown or known.other:
        note(f"{known.unknown:,} labels are of no finding, {known.other:,} deny another product than the finding's")
    if not quiet:
        _show(tuned, out)
    return SOME_ROWS_FAILED if failed else DONE


def _require_shares(**shares: float | None) -> None:
    for name, value in shares.items():
        if value is not None and not 0 < value < 1:
            raise PolicyError(f"--{name.replace('_', '-')} is {value}; needed a share between 0 and 1, like 0.95")


def _basis(
    photos: Sequence[LabelledMatches], unrelated: Sequence[LabelledMatches], *, on: str, fusion: Path | None
) -> Fused:
    """What thresholds are set on: similarity, a fusion fitted to half of the labels, or one taken over."""
    from lookalike.policy.policy import Policy, Reach
    from lookalike.thresholds.labels import Fused, fuse, within

    if fusion is not None:
        other = Policy.load(fusion)
        if other.fusion is None:
            raise PolicyError(f"policy {fusion} has no [fusion] to take over; leave --fusion out to fit one")
        near = [tuple(within(photo, other.reach) for photo in group) for group in (photos, unrelated)]
        return Fused(other.fusion, other.reach, *near)
    if on == "similarity":
        return Fused(None, Reach(), tuple(photos), tuple(unrelated))
    return fuse(photos, unrelated, similarity=on == "fused")


def _cohort(lookup: Lookup, listings: Path, method: str, nearest: int | None) -> Cohort:
    from lookalike.policy.cohort import Cohort
    from lookalike.tables.inputs import read_listings

    vectors, failed = lookup.embed(str(image) for listing in read_listings(listings) for image in listing.images)
    for line in failed[:_SHOWN]:
        note(line)
    return Cohort(vectors, method, nearest) if nearest is not None else Cohort(vectors, method)


def _show(policy: Policy, out: Path) -> None:
    console = Console(highlight=False, markup=False, stderr=True)
    console.print(f"{policy}: {policy.promise}")
    table = Table("", "flag", "review", "rests on", "labels", "flags", "wrong", "more needed", box=None, pad_edge=False)
    own = policy.scope()
    scopes = [own, *sorted(policy.scopes, key=lambda scope: -(scope.evidence.labels if scope.evidence else 0))]
    for scope in scopes[: _SHOWN + 1]:
        table.add_row(*_cells(scope))
    console.print(table)
    if len(scopes) > _SHOWN + 1:
        console.print(f"… and {len(scopes) - _SHOWN - 1:,} more in {out}")
    without = sum(scope.flag is None for scope in policy.scopes)
    if own.flag is None:
        needed = own.evidence.more_needed if own.evidence else 0
        console.print(
            f"no promise is possible yet: about {needed:,} more labelled flags are needed, all of them right; "
            "until then nothing is flagged"
        )
    elif without:
        console.print(f"{without:,} brands flag nothing")


def _cells(scope: Scope) -> list[str]:
    evidence = scope.evidence
    assert evidence is not None, "tuned scopes say what they rest on"
    place = " ".join(filter(None, [scope.brand or ("all others" if not scope.territory else None), scope.territory]))
    flag = "none" if scope.flag is None else f"{scope.flag:.3f}"
    needed = f"{evidence.more_needed:,}" if evidence.more_needed else ""
    counts = [f"{count:,}" for count in (evidence.labels, evidence.flags, evidence.errors)]
    return [place, flag, f"{scope.review:.3f}", evidence.of, *counts, needed]


def main(argv: list[str] | None = None) -> int:
    return run(tune, argv)


if __name__ == "__main__":
    raise SystemExit(main())
