"""Rewrite an index in one piece after many changes.

The search of a large index is measured again.

Examples:
lookalike compact genuine.index
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import ExactUpTo, Quiet
from lookalike.scripts.terminal import counted, note


def compact(
    index: Annotated[Path, typer.Argument(help="Folder of the index.")],
    exact_up_to: ExactUpTo = None,
    quiet: Quiet = False,
) -> int:
    from lookalike.index.build import compact_index

    compacted = compact_index(index=index, exact_up_to=exact_up_to)
    how = "every search compares all of them" if compacted.agreement is None else str(compacted.agreement)
    note(f"{counted(len(compacted), 'reference')}; {how}", quiet=quiet)
    return Exit.DONE


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
