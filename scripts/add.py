"""Add genuine photos to an index.

A reference with an id that is there already replaces the old one. With --harmless, add photos that resemble genuine
ones and yet are harmless: stock pictures, props, plain packaging. A listing's photo that is closer to one of them than
to a genuine photo is left alone.

Examples:
lookalike add more.csv --index genuine.index
lookalike add stock-photos.csv --index genuine.index --harmless
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from lookalike.scripts.build import print_build
from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import (
    CacheOptions,
    EncoderOptions,
    IndexFolder,
    NoFeatures,
    PhotoOptions,
    Quiet,
    TableOptions,
)
from lookalike.scripts.outputs import FOLDER, require_outputs
from lookalike.scripts.terminal import progress


def add(
    references: Annotated[Path, typer.Argument(help="Table with reference_id, image, product_id, brand.")],
    index: IndexFolder,
    *,
    harmless: Annotated[
        bool, typer.Option("--harmless", help="Add harmless photos (reference_id, image) instead.")
    ] = False,
    table: TableOptions,
    encoder: EncoderOptions,
    no_features: NoFeatures = False,
    photos: PhotoOptions,
    cache: CacheOptions,
    quiet: Quiet = False,
) -> int:
    from lookalike.index.build import add_harmless, add_references, harmless_folder
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.model.loading import load_encoder
    from lookalike.tables.inputs import count_references, read_harmless, read_references, require_references

    require_outputs(
        {"--index": (index, FOLDER), "--cache": (cache.cache, None)},
        {"REFERENCES": references, "--weights": encoder.weights},
    )
    layout = table.layout
    require_references(references, layout, harmless=harmless)
    if harmless:
        change, read = add_harmless, read_harmless
    else:
        change, read = partial(add_references, features=not no_features), read_references
    asked = {**vars(encoder), "model": encoder.model or ReferenceIndex.load(index).spec.name}
    loaded = load_encoder(**asked)
    total = partial(count_references, references, layout, harmless=harmless)
    with (
        progress("embedding references", total=total, quiet=quiet) as advance,
        cache.open(loaded) as vectors,
    ):
        summary = change(
            read(references, columns=layout.columns, feed=layout.feed),
            index=index,
            encoder=loaded,
            reader=photos.reader(),
            progress=advance,
            cache=vectors,
        )
    print_build(summary, harmless_folder(index) if harmless else index, quiet=quiet)
    return Exit.SOME_ROWS_FAILED if summary.failed else Exit.DONE


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
