"""Build an index of genuine photos from a references table. Killed and run again, it goes on where it was."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from lookalike.scripts.cli import (
    DONE,
    SOME_ROWS_FAILED,
    Address,
    CacheFile,
    Device,
    EngineName,
    ExactUpTo,
    NoCache,
    Private,
    Quiet,
    Scheme,
    Truncated,
    Weights,
    Workers,
    cache_path,
    cluster,
    fingerprint,
    photo_reader,
    progress,
    report_build,
    run,
    vector_cache,
)


def build(
    references: Annotated[Path, typer.Argument(help="Table with reference_id, image, product_id, brand.")],
    index: Annotated[Path, typer.Option("--index", help="Folder to write; an index there is replaced.")],
    model: Annotated[
        str, typer.Option("--model", help="A preset, or ARCHITECTURE/TAG; see: lookalike models")
    ] = "embedded",
    features: Annotated[
        bool, typer.Option("--features/--no-features", help="Keep local features, to compare listings point by point.")
    ] = True,
    weights: Weights = None,
    device: Device = None,
    allow_scheme: Scheme = None,
    allow_private: Private = False,
    accept_truncated: Truncated = False,
    exact_up_to: ExactUpTo = None,
    cache: CacheFile = None,
    no_cache: NoCache = False,
    engine: EngineName = "local",
    address: Address = None,
    workers: Workers = None,
    quiet: Quiet = False,
) -> int:
    from lookalike.index.build import build_index
    from lookalike.index.reference_index import EXACT_UP_TO
    from lookalike.model.encoder import load_encoder
    from lookalike.tables.files import require_readable
    from lookalike.tables.inputs import REFERENCE_COLUMNS, read_references

    require_readable(references, required=REFERENCE_COLUMNS)
    reader = photo_reader(allow_scheme, private=allow_private, truncated=accept_truncated)
    on = cluster(engine, address, workers, device)
    if on is not None:
        from lookalike.scanning.ray import build_on_ray

        with progress("embedding references", quiet=quiet) as advance:
            summary = build_on_ray(
                read_references(references),
                index=index,
                open_encoder=partial(load_encoder, model, weights=weights, device=device),
                reader=reader,
                cluster=on,
                fingerprint=fingerprint(references),
                progress=advance,
                features=features,
                cache=cache_path(cache, off=no_cache),
            )
        report_build(summary, index, quiet=quiet)
        return SOME_ROWS_FAILED if summary.failed else DONE
    encoder = load_encoder(model, weights=weights, device=device)
    with (
        progress("embedding references", quiet=quiet) as advance,
        vector_cache(cache, encoder, off=no_cache) as vectors,
    ):
        summary = build_index(
            read_references(references),
            index=index,
            encoder=encoder,
            reader=reader,
            progress=advance,
            features=features,
            exact_up_to=EXACT_UP_TO if exact_up_to is None else exact_up_to,
            cache=vectors,
        )
    report_build(summary, index, quiet=quiet)
    return SOME_ROWS_FAILED if summary.failed else DONE


def main(argv: list[str] | None = None) -> int:
    return run(build, argv)


if __name__ == "__main__":
    raise SystemExit(main())
