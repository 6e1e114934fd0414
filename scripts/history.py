"""Record what sellers answer and what is decided of it, so that nothing is lost and a change shows.

`history add FILE --seller S --answer licence --who NAME --why TEXT` appends an entry and prints the seal; `--notice N
--outcome accepted` decides the answer of entry N. `history show FILE` prints the entries, `history verify FILE` names
each that was changed, cut out or moved; with --seal, noted at an addition, also what was cut off at the end.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lookalike.cases.history import Answer, History, Outcome, Statement, add_entry, reason_of, verify_history
from lookalike.errors import HistoryError
from lookalike.scripts.cli import DONE, SOME_ROWS_FAILED, Quiet, note, run


def history(
    action: Annotated[str, typer.Argument(help="add, show or verify")],
    file: Annotated[Path, typer.Argument(help="The history, in .jsonl; add begins it.")],
    listing: Annotated[str | None, typer.Option("--listing", help="About the finding of this listing_id.")] = None,
    seller: Annotated[str | None, typer.Option("--seller", help="About all findings of this seller_id.")] = None,
    brand: Annotated[str | None, typer.Option("--brand", help="About this brand only.")] = None,
    territory: Annotated[str | None, typer.Option("--territory", help="About this territory only.")] = None,
    answer: Annotated[Answer | None, typer.Option("--answer", help="What the seller says.")] = None,
    outcome: Annotated[Outcome, typer.Option("--outcome", help="What becomes of it.")] = Outcome.OPEN,
    notice: Annotated[int | None, typer.Option("--notice", help="The entry that this one decides.")] = None,
    who: Annotated[str, typer.Option("--who", help="Who says or decides it.")] = "",
    why: Annotated[str, typer.Option("--why", help="Why: the licence's number, the invoice, what was seen.")] = "",
    since: Annotated[str, typer.Option("--from", help="Holds from this day on; by default today.")] = "",
    until: Annotated[str | None, typer.Option("--until", help="Its last day; by default it has none.")] = None,
    seal: Annotated[str | None, typer.Option("--seal", help="For verify: the seal noted at an addition.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    quiet: Quiet = False,
) -> int:
    if action == "add":
        if answer is None and notice is None:
            raise HistoryError("history add needs --answer, or --notice with the number of the entry that it decides")
        said = Statement(
            who, why, answer or Answer.OTHER, outcome, listing, seller, brand, territory, since, until, notice
        )
        return _add(file, said, as_json=as_json, quiet=quiet)
    if action == "show":
        return _show(file, listing=listing, seller=seller, as_json=as_json)
    if action == "verify":
        return _verify(file, seal, as_json=as_json, quiet=quiet)
    raise HistoryError(f"there is no history {action}; choose add, show or verify")


def _add(file: Path, said: Statement, *, as_json: bool, quiet: bool) -> int:
    added = add_entry(file, said)
    entry = added.entry
    if as_json:
        print(json.dumps({**entry.to_json(), "seal": entry.hash}))
    else:
        print(f"seal {entry.hash}")
    if added.torn is not None:
        note(
            f"the last line of {file} was unfinished, for a process was killed; what there was of it is in {added.torn}"
        )
    note(f"{file}: entry {entry.number}, {reason_of(entry)}", quiet=quiet)
    note("keep the seal elsewhere: it proves later that nothing was cut off", quiet=quiet)
    return DONE


def _show(file: Path, *, listing: str | None, seller: str | None, as_json: bool) -> int:
    for entry in History.load(file).entries:
        said = entry.said
        if listing not in (None, said.listing) or seller not in (None, said.seller):
            continue
        if as_json:
            print(json.dumps(entry.to_json()))
            continue
        parts = {"listing": said.listing, "seller": said.seller, "brand": said.brand, "in": said.territory}
        about = [f"{name} {value}" for name, value in {**parts, "until": said.until}.items() if value is not None]
        decides = f", decides entry {said.notice}" if said.notice is not None else ""
        print(_printable(f"{entry.number}  {', '.join(about)}{decides}: {reason_of(entry)}"))
    return DONE


def _printable(text: str) -> str:
    """Text of strangers as one line that does nothing to a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _verify(file: Path, seal: str | None, *, as_json: bool, quiet: bool) -> int:
    audit = verify_history(file, seal=seal)
    if as_json:
        print(json.dumps({**asdict(audit), "holds": not audit.disagreements}, indent=1))
    else:
        for disagreement in audit.disagreements:
            print(disagreement)
        holds = "all agrees" if not audit.disagreements else f"{len(audit.disagreements):,} things don't agree"
        print(f"{file}: {audit.entries:,} entries, seal {audit.seal}; {holds}")
    if audit.since_seal:
        note(f"{audit.since_seal:,} were added after the seal given", quiet=quiet)
    if seal is None:
        note("without --seal nothing tells whether the end was cut off", quiet=quiet)
    return SOME_ROWS_FAILED if audit.disagreements else DONE


def main(argv: list[str] | None = None) -> int:
    return run(history, argv)


if __name__ == "__main__":
    raise SystemExit(main())
