"""Measure how well an index finds the products that labelled photos show: R@1, µAP, recall at 90 % precision, FNIR."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from lookalike.errors import ReferenceIndexError, TableError
from lookalike.scripts.cli import (
    DONE,
    SOME_ROWS_FAILED,
    Device,
    Private,
    Quiet,
    Scheme,
    Truncated,
    Weights,
    note,
    photo_reader,
    progress,
    run,
)


def evaluate(
    labels: Annotated[Path, typer.Argument(help="Table with image, product_id, lookalike (true or false).")],
    index: Annotated[Path, typer.Option("--index", help="Folder of the index.")],
    model: Annotated[str | None, typer.Option("--model", help="The encoder; by default the index's own.")] = None,
    weights: Weights = None,
    device: Device = None,
    allow_scheme: Scheme = None,
    allow_private: Private = False,
    accept_truncated: Truncated = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    quiet: Quiet = False,
) -> int:
    from lookalike.evaluation import evaluate_retrieval
    from lookalike.index.embedding import embed_photos
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.model.encoder import load_encoder
    from lookalike.tables import read_labels

    right = read_labels(labels)
    if not any(right.values()):
        raise TableError(f"{labels} has no row with a product_id and lookalike true; needed at least one to be found")
    loaded = ReferenceIndex.load(index)
    if not len(loaded):
        raise ReferenceIndexError(f"the index {index} holds no references any more; add some with: lookalike add")
    encoder = load_encoder(model or loaded.spec.name, weights=weights, device=device)
    loaded.require(encoder.spec)
    vectors, kept = [], []
    with progress("embedding labelled photos", total=len(right), quiet=quiet) as advance:
        photos = embed_photos(
            right, encoder=encoder, reader=photo_reader(allow_scheme, private=allow_private, truncated=accept_truncated)
        )
        for image, photo in zip(right, photos, strict=True):
            advance(1)
            if photo.vector is None:
                note(str(photo.error))
            else:
                vectors.append(photo.vector)
                kept.append(image)
    if not any(right[image] for image in kept):
        raise TableError(f"none of the photos of {labels} that have a product could be read")
    best = [matches[0] for matches in loaded.search(np.stack(vectors), top=1)]
    result = evaluate_retrieval(
        [match.similarity for match in best],
        [match.reference.product in right[image] for match, image in zip(best, kept, strict=True)],
        related=[bool(right[image]) for image in kept],
    )
    if as_json:
        values = {name: None if math.isnan(value) else value for name, value in asdict(result).items()}
        print(json.dumps(values, indent=2))
    else:
        table = Table("photos", "with a match", "R@1", "µAP", "recall at 90 % precision", "FNIR at FPIR 1 %", box=None)
        figures = (
            result.recall_at_1,
            result.micro_average_precision,
            result.recall_at_precision_90,
            result.fnir_at_fpir_1,
        )
        table.add_row(str(result.queries), str(result.positives), *(f"{figure:.3f}" for figure in figures))
        Console(highlight=False).print(table)
    return DONE if len(kept) == len(right) else SOME_ROWS_FAILED


def main(argv: list[str] | None = None) -> int:
    return run(evaluate, argv)


if __name__ == "__main__":
    raise SystemExit(main())
