"""Say which encoder finds more on your photos, and its cost.

LABELS has image, product_id and lookalike, one row per photo and product, as for `lookalike evaluate`; the genuine
photos come from --references. Every encoder looks up all photos by similarity alone, without comparing point by point.
Brackets hold 95 % bootstrap intervals by product. ms is the time from a decoded picture to its vector on one core.

Examples:
lookalike compare-encoders labels.csv --references references.csv
lookalike compare-encoders l.csv --references r.csv --models a.onnx,b.onnx
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.errors import TableError
from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import Device, Json, PhotoOptions, Quiet
from lookalike.scripts.terminal import counted, note, print_json, progress

if TYPE_CHECKING:
    from lookalike.model.encoder import Encoder
    from lookalike.thresholds.encoders import EncoderFigures
    from lookalike.thresholds.metrics import Retrieval

_METRICS = {
    "R@1": "recall_at_1",
    "µAP": "micro_average_precision",
    "recall at P 90 %": "recall_at_precision_90",
}


def compare_encoders(
    labels: Annotated[Path, typer.Argument(help="Table with image, product_id, lookalike (true or false).")],
    *,
    references: Annotated[Path, typer.Option("--references", help="Table of genuine photos, as for build.")],
    models: Annotated[
        str, typer.Option("--models", help="Presets, ARCHITECTURE/TAG or ONNX files, with commas between.")
    ] = "embedded,copies",
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Bootstrap rounds for the intervals.")] = 200,
    device: Device = None,
    photos: PhotoOptions,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    from lookalike.tables.inputs import read_references
    from lookalike.tables.labels import read_labelled_photos
    from lookalike.thresholds.encoders import compare_encoders as compare

    names = [name for name in models.split(",") if name]
    if not names or len(set(names)) < len(names):
        raise TableError(f"--models is {models!r}, expected different names with commas between")
    labelled, genuine = read_labelled_photos(labels), list(read_references(references))
    with progress("embedding", total=len(names) * (len(labelled) + len(genuine)), quiet=quiet) as advance:
        found = compare(
            labelled,
            genuine,
            [_opened(name, device) for name in names],
            reader=photos.reader(),
            rounds=rounds,
            progress=advance,
        )
    for failure in found[0].failed:
        note(failure)
    if as_json:
        print_json([each.to_json() for each in found], indent=2)
    else:
        _show(found)
    return Exit.SOME_ROWS_FAILED if found[0].failed else Exit.DONE


def _opened(name: str, device: str | None) -> Callable[[], Encoder]:
    """Opens a model by its name. The device is for those that can use it: an ONNX file computes on the CPU."""
    from lookalike.model.loading import load_encoder
    from lookalike.model.presets import PRESETS

    if name.endswith(".onnx"):
        return partial(load_encoder, weights=name)
    on_cpu = name in PRESETS and bool(PRESETS[name].files)
    return partial(load_encoder, name, device=None if on_cpu else device)


def _show(found: list[EncoderFigures]) -> None:
    from lookalike.scripts.timing import show_table

    first = found[0].found
    show_table(
        ("encoder", *_METRICS, "ms", "MB", "bytes a vector"),
        [
            (
                each.encoder,
                *(_figure(each.found, each.low, each.high, name) for name in _METRICS.values()),
                f"{each.milliseconds:.1f}",
                f"{each.weights_bytes / 1e6:.1f}",
                f"{each.vector_bytes:,}",
            )
            for each in found
        ],
        caption=f"{counted(first.positives, 'photo')} of products, {first.queries - first.positives:,} unrelated",
    )


def _figure(value: Retrieval, low: Retrieval, high: Retrieval, name: str) -> str:
    return f"{getattr(value, name):.3f} ({getattr(low, name):.2f}–{getattr(high, name):.2f})"


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
