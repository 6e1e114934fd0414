"""Record what sellers answer and what is decided.

A history is only ever added to. Each addition prints a seal; keep it somewhere else.

Examples:
lookalike history add h.jsonl --seller s9 --answer licence --who anna
lookalike history add h.jsonl --notice 1 --outcome accepted --who ben
lookalike history verify h.jsonl --seal SEAL
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lookalike.cases.history import History, HistoryEntry, add_entry, reason_of, verify_history
from lookalike.cases.statements import Answer, Outcome, Statement
from lookalike.errors import HistoryError
from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import Json, Quiet
from lookalike.scripts.outputs import FILE, require_outputs
from lookalike.scripts.terminal import counted, note, print_json, print_line

HistoryFile = Annotated[Path, typer.Argument(help="The history, a .jsonl file.")]


def add(
    file: Annotated[Path, typer.Argument(help="The history, a .jsonl file; created if it is missing.")],
    listing: Annotated[str | None, typer.Option("--listing", help="About the finding with this listing_id.")] = None,
    seller: Annotated[str | None, typer.Option("--seller", help="About all findings of this seller_id.")] = None,
    brand: Annotated[str | None, typer.Option("--brand", help="About this brand only.")] = None,
    territory: Annotated[str | None, typer.Option("--territory", help="About this territory only.")] = None,
    answer: Annotated[Answer | None, typer.Option("--answer", help="What the seller says.")] = None,
    outcome: Annotated[Outcome, typer.Option("--outcome", help="What became of it.")] = Outcome.OPEN,
    notice: Annotated[int | None, typer.Option("--notice", help="Number of the entry that this one decides.")] = None,
    who: Annotated[str, typer.Option("--who", help="Who says or decides it.")] = "",
    why: Annotated[str, typer.Option("--why", help="Why: a licence's number, the invoice, what was seen.")] = "",
    since: Annotated[str, typer.Option("--from", help="First day that it applies, YYYY-MM-DD; by default today.")] = "",
    until: Annotated[
        str | None, typer.Option("--until", help="Last day that it applies, YYYY-MM-DD; by default none.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Append an entry, and print the seal.

    Examples:
    lookalike history add h.jsonl --seller s9 --answer licence --who anna
    lookalike history add h.jsonl --notice 1 --outcome accepted --who ben
    """
    require_outputs({"FILE": (file, FILE)})
    if answer is None and notice is None:
        raise HistoryError("history add needs --answer, or --notice with the number of the entry to decide")
    said = Statement(who, why, answer or Answer.OTHER, outcome, listing, seller, brand, territory, since, until, notice)
    added = add_entry(file, said)
    entry = added.entry
    if as_json:
        print_json({**entry.to_json(), "seal": entry.hash})
    else:
        print_line(f"seal {entry.hash}")
    if added.torn is not None:
        note(f"the last line of {file} was unfinished, because a process was killed; it is now in {added.torn}")
    note(f"{file}: entry {entry.number}, {reason_of(entry)}", quiet=quiet)
    note("keep the seal somewhere else: it proves later that nothing was cut off", quiet=quiet)
    return Exit.DONE


def show(
    file: HistoryFile,
    listing: Annotated[str | None, typer.Option("--listing", help="Only entries about this listing_id.")] = None,
    seller: Annotated[str | None, typer.Option("--seller", help="Only entries about this seller_id.")] = None,
    as_json: Json = False,
) -> int:
    """Print the entries.

    Examples:
    lookalike history show h.jsonl --seller s9
    """
    for entry in History.load(file).entries:
        if listing not in (None, entry.said.listing) or seller not in (None, entry.said.seller):
            continue
        if as_json:
            print_json(entry.to_json())
        else:
            print_line(_described(entry))
    return Exit.DONE


def _described(entry: HistoryEntry) -> str:
    said = entry.said
    parts = {"listing": said.listing, "seller": said.seller, "brand": said.brand, "in": said.territory,
             "until": said.until}  # fmt: skip
    about = ", ".join(f"{name} {value}" for name, value in parts.items() if value is not None)
    decides = f", decides entry {said.notice}" if said.notice is not None else ""
    return f"{entry.number}  {about}{decides}: {reason_of(entry)}"


def verify(
    file: HistoryFile,
    seal: Annotated[str | None, typer.Option("--seal", help="Seal of an addition, which shows a cut-off end.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Name each entry that was changed, cut out or moved.

    Examples:
    lookalike history verify h.jsonl --seal SEAL
    """
    audit = verify_history(file, seal=seal)
    if as_json:
        print_json({**asdict(audit), "holds": not audit.disagreements}, indent=1)
    else:
        for disagreement in audit.disagreements:
            print_line(str(disagreement))
        holds = f"disagreements: {len(audit.disagreements):,}" if audit.disagreements else "all agrees"
        print_line(f"{file}: {counted(audit.entries, 'entry', 'entries')}, seal {audit.seal}; {holds}")
    if audit.since_seal:
        note(f"entries added after that seal: {audit.since_seal:,}", quiet=quiet)
    if seal is None:
        note("without --seal, it does not show whether the end was cut off", quiet=quiet)
    return Exit.SOME_ROWS_FAILED if audit.disagreements else Exit.DONE


VERBS = {"add": add, "show": show, "verify": verify}


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
