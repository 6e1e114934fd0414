"""Remove references from an index, by id, by product or by brand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookalike.errors import TableError
from lookalike.scripts.cli import DONE, Quiet, note, run


def remove(
    index: Annotated[Path, typer.Option("--index", help="Folder of the index.")],
    reference: Annotated[list[str] | None, typer.Option("--reference", help="A reference_id. Repeatable.")] = None,
    product: Annotated[list[str] | None, typer.Option("--product", help="A product_id. Repeatable.")] = None,
    brand: Annotated[list[str] | None, typer.Option("--brand", help="A brand. Repeatable.")] = None,
    harmless: Annotated[bool, typer.Option("--harmless", help="Remove from the harmless photos instead.")] = False,
    quiet: Quiet = False,
) -> int:
    from lookalike.index.build import harmless_folder, remove_references

    if not (reference or product or brand):
        raise TableError("nothing to remove was named; give --reference, --product or --brand")
    folder = harmless_folder(index) if harmless else index
    removed = remove_references(index=folder, references=reference or (), products=product or (), brands=brand or ())
    if not removed:
        raise TableError(f"no reference in {folder} is one of those; see: lookalike info {index}")
    note(f"removed {removed:,} references from {folder}", quiet=quiet)
    return DONE


def main(argv: list[str] | None = None) -> int:
    return run(remove, argv)


if __name__ == "__main__":
    raise SystemExit(main())
