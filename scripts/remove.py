"""Remove references from an index, by id, product or brand.

A product belongs to a brand: if several brands have that product_id, name the brand, too. With --brand and --product,
only those products of those brands are removed.

Examples:
lookalike remove --index genuine.index --product p17
lookalike remove --index genuine.index --brand Chovolme --product p17
lookalike remove --index genuine.index --brand Chovolme --brand Zembossa
"""

from __future__ import annotations

from typing import Annotated

import typer

from lookalike.errors import TableError
from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import IndexFolder, Quiet
from lookalike.scripts.terminal import counted, note


def remove(
    index: IndexFolder,
    reference: Annotated[list[str] | None, typer.Option("--reference", help="A reference_id. Repeatable.")] = None,
    product: Annotated[list[str] | None, typer.Option("--product", help="A product_id. Repeatable.")] = None,
    brand: Annotated[list[str] | None, typer.Option("--brand", help="A brand. Repeatable.")] = None,
    harmless: Annotated[bool, typer.Option("--harmless", help="Remove from the harmless photos instead.")] = False,
    quiet: Quiet = False,
) -> int:
    from lookalike.index.build import harmless_folder, remove_references

    if not (reference or product or brand):
        raise TableError("nothing to remove; give --reference, --product or --brand")
    folder = harmless_folder(index) if harmless else index
    removed = remove_references(index=folder, references=reference or (), products=product or (), brands=brand or ())
    if not removed:
        raise TableError(f"{folder} holds none of these references; see: lookalike info {index}")
    note(f"removed {counted(removed, 'reference')} from {folder}", quiet=quiet)
    return Exit.DONE


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
