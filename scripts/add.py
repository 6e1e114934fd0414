"""Add genuine photos to an index. A reference whose id is there already takes the old one's place.

With --harmless: photos that are alike to genuine ones and yet harmless (stock pictures, props, plain packaging). A
listing's photo that is nearer to one of them than to a genuine photo is left alone.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from lookalike.scripts.cli import (
    DONE,
    SOME_ROWS_FAILED,
    CacheFile,
    Device,
    Model,
    NoCache,
    Private,
    Quiet,
    Scheme,
    Truncated,
    Weights,
    photo_reader,
    progress,
    report_build,
    run,
    vector_cache,
)


def add(
    references: Annotated[Path, typer.Argument(help="Table with reference_id, image, product_id, brand.")],
    index: Annotated[Path, typer.Option("--index", help="Folder of the index.")],
    harmless: Annotated[
        bool,
        typer.Option("--harmless", help="Add photos (reference_id, image) that are alike and yet harmless instead."),
    ] = False,
    model: Model = None,
    features: Annotated[
        bool, typer.Option("--features/--no-features", help="Keep local features, to compare listings point by point.")
    ] = True,
    weights: Weights = None,
    device: Device = None,
    allow_scheme: Scheme = None,
    allow_private: Private = False,
    accept_truncated: Truncated = False,
    cache: CacheFile = None,
    no_cache: NoCache = False,
    quiet: Quiet = False,
) -> int:
    from lookalike.index.build import add_harmless, add_references, harmless_folder
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.model.encoder import load_encoder
    from lookalike.tables.files import require_readable
    from lookalike.tables.inputs import HARMLESS_COLUMNS, REFERENCE_COLUMNS, read_harmless, read_references

    require_readable(references, required=HARMLESS_COLUMNS if harmless else REFERENCE_COLUMNS)
    if harmless:
        change, read = add_harmless, read_harmless
    else:
        change, read = partial(add_references, features=features), read_references
    spec = ReferenceIndex.load(index).spec
    encoder = load_encoder(model or spec.name, weights=weights, device=device)
    with (
        progress("embedding references", quiet=quiet) as advance,
        vector_cache(cache, encoder, off=no_cache) as vectors,
    ):
        summary = change(
            read(references),
            index=index,
            encoder=encoder,
            reader=photo_reader(allow_scheme, private=allow_private, truncated=accept_truncated),
            progress=advance,
            cache=vectors,
        )
    report_build(summary, harmless_folder(index) if harmless else index, quiet=quiet)
    return SOME_ROWS_FAILED if summary.failed else DONE


def main(argv: list[str] | None = None) -> int:
    return run(add, argv)


if __name__ == "__main__":
    raise SystemExit(main())
