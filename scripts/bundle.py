"""Put the evidence into a folder or ZIP, or verify one.

For each finding, a bundle holds the photos, a picture of what matches and differs, the numbers, the policy and a
statement to read, under a chain of hashes. The last hash, the seal, is printed; keep it somewhere else.

Examples:
lookalike bundle findings.parquet --index genuine.index --out evidence.zip
lookalike bundle f.csv --index i --out case --cases cases.csv --case C1
lookalike bundle verify evidence.zip --index genuine.index --seal SEAL
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.errors import BundleError
from lookalike.records import Verdict
from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import (
    EncoderOptions,
    IndexFolder,
    Json,
    PhotoOptions,
    Quiet,
)
from lookalike.scripts.outputs import FILE, FOLDER, require_outputs
from lookalike.scripts.terminal import counted, note, print_json, print_line, progress

if TYPE_CHECKING:
    from lookalike.evidence.audit import Audit
    from lookalike.evidence.bundle import BundleSummary


def write(
    findings: Annotated[Path, typer.Argument(help="Findings table.")],
    index: IndexFolder,
    out: Annotated[Path, typer.Option("--out", help="Folder or .zip file to write; it must not exist.")],
    *,
    verdict: Annotated[
        list[Verdict] | None, typer.Option("--verdict", help="Findings to include; by default flagged. Repeatable.")
    ] = None,
    listing: Annotated[list[str] | None, typer.Option("--listing", help="Only this listing_id. Repeatable.")] = None,
    cases: Annotated[Path | None, typer.Option("--cases", help="Cases table, for --case.")] = None,
    case: Annotated[str | None, typer.Option("--case", help="Only the listings of this case.")] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", help="The findings' policy; by default the one for the encoder.")
    ] = None,
    photos: PhotoOptions,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Write a bundle of findings. This verb may be left out.

    Examples:
    lookalike bundle write findings.parquet --index genuine.index --out case.zip
    lookalike bundle write f.csv --index i --out case --listing L1
    """
    from lookalike.evidence.archive import require_free
    from lookalike.evidence.bundle import select_findings, write_bundle
    from lookalike.evidence.explain import draw_finding
    from lookalike.index.build import load_harmless
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.tables.findings import read_findings

    require_outputs(
        {"--out": (out, FILE if out.suffix[1:2].isalpha() else FOLDER)},
        {"FINDINGS": findings, "--index": index, "--cases": cases, "--policy": policy},
    )
    if (cases is None) != (case is None):
        raise BundleError("--cases TABLE and --case ID need each other; give both")
    if cases is not None and case is not None:
        listing = [*(listing or []), *_listings_of(cases, case)]
    require_free(out)
    verdicts = [str(name) for name in verdict or [Verdict.FLAGGED]]
    rows = select_findings(read_findings(findings), verdicts=verdicts, listings=listing or [])
    with progress("bundling findings", total=len(rows), quiet=quiet) as advance:
        loaded = ReferenceIndex.load(index)
        made = write_bundle(
            rows,
            out,
            index=loaded,
            harmless=load_harmless(index, adapter=loaded.adapter),
            policy=policy,
            reader=photos.reader(),
            picture=draw_finding,
            progress=advance,
        )
    return _report_made(made, out, as_json=as_json, quiet=quiet)


def _report_made(made: BundleSummary, out: Path, *, as_json: bool, quiet: bool) -> Exit:
    """Print the seal of a bundle and what it contains, and return the exit status."""
    if as_json:
        print_json(asdict(made))
    else:
        print_line(f"seal {made.seal}")
    troubles = [
        f"{count:,} {what}"
        for count, what in (
            (made.unreadable, "with a photo that can't be read any more"),
            (made.changed, "with a photo that has changed"),
            (made.unproven, "with a photo whose sha256 nobody recorded"),
        )
        if count
    ]
    note("; ".join([f"{out}: {counted(made.findings, 'finding')}, {made.bytes:,} bytes", *troubles]), quiet=quiet)
    note("keep the seal elsewhere: it proves later that the bundle is this one", quiet=quiet)
    return Exit.SOME_ROWS_FAILED if made.unreadable or made.changed else Exit.DONE


def _listings_of(cases: Path, case: str) -> tuple[str, ...]:
    """The listings of a case, or of the one that it was merged into."""
    from lookalike.cases.table import read_cases

    for each in read_cases(cases):
        if case == each.id or case in each.merged:
            return each.listings
    raise BundleError(f"{cases} has no case {case}, nor one that it was merged into")


def verify(
    bundle: Annotated[Path, typer.Argument(help="Folder or .zip file of the bundle.")],
    *,
    index: Annotated[
        Path | None, typer.Option("--index", help="Index, to compute the similarities again and check the references.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", help="Policy to judge by; by default the bundle's own.")
    ] = None,
    seal: Annotated[str | None, typer.Option("--seal", help="Seal that was printed when the bundle was made.")] = None,
    encoder: EncoderOptions,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Check all hashes, derive the verdicts again, and with --index or --model compute the similarities again.

    Examples:
    lookalike bundle verify evidence.zip
    lookalike bundle verify evidence.zip --index genuine.index --seal SEAL
    """
    from lookalike.evidence.audit import verify_bundle

    audit = verify_bundle(bundle, index=index, policy=policy, seal=seal, **vars(encoder))
    computed = any(given is not None for given in (index, encoder.model, encoder.weights))
    return _report(bundle, audit, computed=computed, as_json=as_json, quiet=quiet)


def _report(path: Path, audit: Audit, *, computed: bool, as_json: bool, quiet: bool) -> Exit:
    """Print what a check of a bundle found, and return the exit status."""
    from lookalike.evidence.recomputation import TOLERANCE

    sound = not audit.disagreements
    if as_json:
        print_json(asdict(audit) | {"holds": sound, "tolerance": TOLERANCE}, indent=1)
        return Exit.DONE if sound else Exit.SOME_ROWS_FAILED
    for disagreement in audit.disagreements:
        print_line(str(disagreement))
    parts = (
        f"{counted(audit.findings, 'finding')}, {counted(audit.files, 'file')}, seal {audit.seal}",
        f"{counted(audit.judged, 'verdict')} derived again",
        f"{counted(audit.computed, 'similarity', 'similarities')} computed again (within {TOLERANCE:g})"
        if computed
        else "no similarities computed again; for that, give --index or --model",
        f"{counted(audit.pages, 'page')} written again and compared"
        if audit.pages
        else "no page was compared, for another version of lookalike wrote them",
    )
    print_line("; ".join(parts))
    if audit.incomplete:
        note(
            f"the bundle itself says that a photo of {counted(audit.incomplete, 'finding')} is missing or has changed",
            quiet=quiet,
        )
    if sound and not audit.sealed:
        print_line("only consistency was checked; with --seal, also whether this is the bundle that was made")
    print_line(f"{path}: {'everything agrees' if sound else counted(len(audit.disagreements), 'disagreement')}")
    return Exit.DONE if sound else Exit.SOME_ROWS_FAILED


VERBS = {"write": write, "verify": verify}
DEFAULT = "write"


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
