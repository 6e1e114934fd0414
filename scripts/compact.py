"""Arrange an index anew, in one piece, after many changes; a large one is measured anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookalike.scripts.cli import DONE, ExactUpTo, Quiet, errors, run


def compact(
    index: Annotated[Path, typer.Argument(help="Folder of the index.")],
    exact_up_to: ExactUpTo = None,
    quiet: Quiet = False,
) -> int:
    from lookalike.index.build import compact_index

    arranged = compact_index(index=index, exact_up_to=exact_up_to)
    if not quiet:
        how = "each search compares every one" if arranged.agreement is None else str(arranged.agreement)
        errors.print(f"{len(arranged):,} references; {how}", markup=False)
    return DONE


def main(argv: list[str] | None = None) -> int:
    return run(compact, argv)


if __name__ == "__main__":
    raise SystemExit(main())
