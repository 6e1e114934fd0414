"""Build an index of genuine photos from a references table.

If it is interrupted, run it again to resume.

Examples:
lookalike build references.csv --index genuine.index
lookalike build references.csv --index genuine.index --allow-scheme https
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import (
    CacheOptions,
    EngineOptions,
    ExactUpTo,
    NewEncoderOptions,
    NoFeatures,
    PhotoOptions,
    Quiet,
    TableOptions,
)
from lookalike.scripts.outputs import FOLDER, require_outputs
from lookalike.scripts.terminal import counted, note, note_first, progress

if TYPE_CHECKING:
    from lookalike.index.build import BuildSummary


def build(
    references: Annotated[Path, typer.Argument(help="Table with reference_id, image, product_id, brand.")],
    index: Annotated[Path, typer.Option("--index", help="Folder to write; an index there is replaced.")],
    *,
    table: TableOptions,
    encoder: NewEncoderOptions,
    no_features: NoFeatures = False,
    photos: PhotoOptions,
    exact_up_to: ExactUpTo = None,
    cache: CacheOptions,
    engine: EngineOptions,
    quiet: Quiet = False,
) -> int:
    from lookalike.model.loading import load_encoder
    from lookalike.scanning.tables import build_from_table
    from lookalike.tables.inputs import count_references

    require_outputs(
        {"--index": (index, FOLDER), "--cache": (cache.cache, None)},
        {"REFERENCES": references, "--weights": encoder.weights},
    )
    on = engine.cluster(encoder.device)
    total = partial(count_references, references, table.layout)
    with progress("embedding references", total=total, quiet=quiet) as advance:
        summary = build_from_table(
            references,
            index=index,
            open_encoder=partial(load_encoder, **vars(encoder)),
            reader=photos.reader(),
            features=not no_features,
            exact_up_to=exact_up_to,
            cache=cache.path,
            cluster=on,
            progress=advance,
            layout=table.layout,
        )
    print_build(summary, index, quiet=quiet)
    return Exit.SOME_ROWS_FAILED if summary.failed else Exit.DONE


def print_build(summary: BuildSummary, index: Path, *, quiet: bool) -> None:
    """Print what a build did, and the rows that it could not use."""
    note_first([f"{row.row}: {row.error}" for row in summary.failed])
    note(
        f"{index}: {counted(summary.references, 'reference')}; embedded {counted(summary.embedded, 'picture')}, "
        f"knew {summary.reused:,}, could not use {counted(len(summary.failed), 'row')}",
        quiet=quiet,
    )


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
