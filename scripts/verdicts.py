"""Count, merge and compare people's verdicts.

A file of verdicts is what `lookalike review` adds to.

Examples:
lookalike verdicts show verdicts.jsonl
lookalike verdicts merge anna.jsonl ben.jsonl --out both.jsonl
lookalike verdicts agreement both.jsonl
lookalike verdicts drafts v.jsonl --findings f.csv --sellers s.csv
lookalike verdicts verify verdicts.jsonl --seal SEAL
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from lookalike.chain import plain
from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import Json, Quiet
from lookalike.scripts.outputs import FILE, TABLE, require_outputs
from lookalike.scripts.terminal import counted, note, output, print_json, print_line, print_table

VerdictFile = Annotated[Path, typer.Argument(help="File of verdicts.")]
_SHOWN = 20


def show(file: VerdictFile, as_json: Json = False) -> int:
    """Count what people say, and print the seal.

    Examples:
    lookalike verdicts show verdicts.jsonl
    """
    from lookalike.entries import START
    from lookalike.tables.reviews import standing
    from lookalike.tables.verdicts import verdict_file

    entries = verdict_file(file).entries()
    stands = standing(entries)
    seal = entries[-1].hash if entries else START
    decided = [each.decides for each in stands if each.decides is not None]
    counts = Counter((said.mode, said.verdict) for said in decided)
    conflicts = sum(each.conflicts for each in stands)
    if as_json:
        said = [{"mode": mode, "verdict": verdict, "findings": count} for (mode, verdict), count in counts.items()]
        print_json({"entries": len(entries), "findings": len(stands), "said": said, "conflicts": conflicts,
                    "seal": seal})  # fmt: skip
        return Exit.DONE
    console = output()
    console.print(f"{counted(len(stands), 'finding')} judged, {counted(conflicts, 'conflict')} open")
    table = Table("order", "verdict", "findings", box=None, pad_edge=False)
    for (mode, verdict), count in sorted(counts.items()):
        table.add_row(str(mode), verdict.in_words, f"{count:,}")
    print_table(table, console)
    print_line(f"seal {seal}")
    return Exit.DONE


def merge(
    files: Annotated[list[Path], typer.Argument(help="Files of verdicts.")],
    out: Annotated[Path, typer.Option("--out", help="File of verdicts to add them to.")],
    quiet: Quiet = False,
) -> int:
    """Add the verdicts of several files to one; what it has already is not added again.

    Examples:
    lookalike verdicts merge anna.jsonl ben.jsonl --out both.jsonl
    """
    from lookalike.review.agreement import merge_verdicts

    for file in files:
        require_outputs({"--out": (out, FILE)}, {"FILES": file})
    added, before = merge_verdicts(files, out)
    note(f"{counted(added, 'verdict')} added to {out}, {before:,} were there", quiet=quiet)
    return Exit.DONE


def agreement(file: VerdictFile, as_json: Json = False) -> int:
    """Say how far people agree, beyond chance (Cohen's kappa), and about which findings they don't.

    Examples:
    lookalike verdicts agreement both.jsonl
    """
    from lookalike.review.agreement import agreement_in

    found, conflicts = agreement_in(file)
    if as_json:
        pairs = [
            {"one": each.one, "other": each.other, "both": each.both, "same": each.same, "kappa": each.kappa,
             "conflicts": each.conflicts}
            for each in found
        ]  # fmt: skip
        print_json({"people": pairs, "open": [each.verdicts[0].said.listing for each in conflicts]}, indent=1)
        return Exit.DONE
    console = output()
    if not found:
        console.print("no finding was judged by two people")
    table = Table("", "judged by both", "alike", "kappa", "conflicts", box=None, pad_edge=False)
    for each in found:
        kappa = "not known" if each.kappa is None else f"{each.kappa:.2f}"
        people = f"{plain(each.one)} and {plain(each.other)}"
        table.add_row(people, f"{each.both:,}", f"{each.same:,}", kappa, f"{each.conflicts:,}")
    if found:
        print_table(table, console)
    for stands in conflicts[:_SHOWN]:
        said = ", ".join(f"{plain(entry.said.who)}: {entry.said.verdict.in_words}" for entry in stands.verdicts)
        console.print(f"open: {stands.verdicts[0].said.about} ({said})")
    if len(conflicts) > _SHOWN:
        console.print(f"… and {len(conflicts) - _SHOWN:,} more; all with --json")
    return Exit.DONE


def drafts(
    file: VerdictFile,
    findings: Annotated[Path, typer.Option("--findings", help="Findings that the verdicts are about.")],
    *,
    harmless: Annotated[
        Path | None, typer.Option("--harmless", help="Table of harmless photos to write, for add --harmless.")
    ] = None,
    sellers: Annotated[
        Path | None, typer.Option("--sellers", help="Table of authorised sellers to write, for scan --sellers.")
    ] = None,
    quiet: Quiet = False,
) -> int:
    """Write tables of the photos called harmless and of the sellers called authorised; check them before use.

    Examples:
    lookalike verdicts drafts v.jsonl --findings f.csv --sellers s.csv
    """
    from lookalike.review.drafts import write_drafts

    require_outputs(
        {"--harmless": (harmless, TABLE), "--sellers": (sellers, TABLE)}, {"FILE": file, "--findings": findings}
    )
    drafted = write_drafts(file, findings, harmless=harmless, sellers=sellers)
    note(f"{counted(drafted.harmless, 'harmless photo')}, {counted(drafted.sellers, 'authorised seller')}", quiet=quiet)
    if drafted.unusable:
        note(f"{counted(drafted.unusable, 'verdict')} left out: the finding has no photo, or no seller or brand")
    return Exit.SOME_ROWS_FAILED if drafted.unusable else Exit.DONE


def verify(
    file: VerdictFile,
    seal: Annotated[str | None, typer.Option("--seal", help="Seal noted earlier, which shows a cut-off end.")] = None,
    as_json: Json = False,
) -> int:
    """Name each verdict, or status of a case, that was changed, cut out or moved.

    Examples:
    lookalike verdicts verify verdicts.jsonl --seal SEAL
    """
    from lookalike.review.sellers import STATUSES, status_file
    from lookalike.tables.verdicts import verdict_file

    audit = (status_file(file) if file.name.endswith(STATUSES) else verdict_file(file)).audit(seal)
    if as_json:
        print_json({**asdict(audit), "holds": not audit.disagreements}, indent=1)
        return Exit.SOME_ROWS_FAILED if audit.disagreements else Exit.DONE
    for each in audit.disagreements:
        print_line(str(each))
    holds = "not as it was written" if audit.disagreements else "as it was written"
    print_line(f"{holds}: {counted(audit.entries, 'entry', 'entries')}, seal {audit.seal}")
    return Exit.SOME_ROWS_FAILED if audit.disagreements else Exit.DONE


VERBS = {"show": show, "merge": merge, "agreement": agreement, "drafts": drafts, "verify": verify}


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
