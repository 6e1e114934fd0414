"""Check every file of an index, and print what it holds.

Examples:
lookalike info genuine.index
lookalike info genuine.index --json
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import Json
from lookalike.scripts.terminal import counted, output, print_json

if TYPE_CHECKING:
    from lookalike.index.description import IndexDescription

_SHOWN = 12


def info(index: Annotated[Path, typer.Argument(help="Folder of the index.")], as_json: Json = False) -> int:
    from lookalike.index.description import describe_index

    described = describe_index(index)
    if as_json:
        print_json(described.to_json(), indent=2)
    else:
        output().print(_table(described))
    return Exit.DONE


def _table(index: IndexDescription) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_row("references", f"{index.references:,} of {counted(index.products, 'product')}")
    brands = list(index.brands.items())
    table.add_row("brands", _shown([f"{brand} ({count})" for brand, count in brands]))
    if index.harmless:
        table.add_row("harmless", f"{counted(len(index.harmless), 'photo')}: {_shown(index.harmless)}")
    table.add_row(
        "local features",
        f"{counted(index.with_features, 'reference')} can be compared point by point"
        if index.with_features
        else "none; build the index again to have them",
    )
    table.add_row("columns", ", ".join(index.columns))
    table.add_row("search", "exact: every reference is compared" if index.agreement is None else str(index.agreement))
    spec = index.encoder
    dimensions = f"{spec.dim} dimensions" + (f" and {spec.look_dim} for look" if spec.look_dim else "")
    table.add_row("encoder", f"{spec}, {spec.architecture}, {dimensions}, computed by {spec.arithmetic}")
    table.add_row("created", index.created)
    table.add_row("digest", index.digest[:16])
    table.add_row("on disk", f"{index.bytes / 1e6:.1f} MB")
    return table


def _shown(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
