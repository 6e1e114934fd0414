"""Suit the encoder to your catalogue, by labels.

An adapter is a small map behind the encoder. It learns from labels which differences matter, and it needs no picture
of the index.

Examples:
lookalike adapt fit labels.csv --index genuine.index --out a.safetensors
lookalike adapt apply a.safetensors --index genuine.index
lookalike adapt undo --index genuine.index
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import CacheOptions, EncoderOptions, IndexFolder, PhotoOptions, Quiet
from lookalike.scripts.outputs import ADAPTER, require_outputs
from lookalike.scripts.terminal import counted, note, note_first, notes, print_table, progress

if TYPE_CHECKING:
    from lookalike.adapting.adapting import Adaptation
    from lookalike.adapting.judging import Gain

_METRICS = {
    "recall at 1": "recall_at_1",
    "µAP": "micro_average_precision",
    "recall at 90 % precision": "recall_at_precision_90",
}
_MANY = 10  # more labels than so many times those there are: nobody should count on that


def fit(
    labels: Annotated[
        Path, typer.Argument(help="A review's verdicts, or labels: image or listing_id, product_id, lookalike.")
    ],
    index: IndexFolder,
    out: Annotated[Path, typer.Option("--out", help="Adapter to write, such as adapter.safetensors.")],
    *,
    findings: Annotated[Path | None, typer.Option("--findings", help="Findings that LABELS are about.")] = None,
    encoder: EncoderOptions,
    photos: PhotoOptions,
    cache: CacheOptions,
    quiet: Quiet = False,
) -> int:
    """Fit an adapter to labels, and write it only if it is better with confidence.

    It is fitted to all labels, and judged on photos of products that it was not fitted to: five times it is fitted
    without a fifth of the products. It keeps these five maps, so that tune can set thresholds on the same labels of
    photos. Of a review's verdicts, those of triage help to fit, and those drawn at random say how good it is;
    thresholds then need a new draw. The exit status is 1 if no adapter was written.

    Examples:
    lookalike adapt fit labels.csv --index genuine.index --out a.safetensors
    lookalike adapt fit v.jsonl --findings f.csv --index i --out a.safetensors
    """
    from lookalike.adapting.adapting import adapt
    from lookalike.adapting.labelled import images_of_findings, images_of_photos
    from lookalike.detection.lookup import Lookup

    require_outputs(
        {"--out": (out, ADAPTER), "--cache": (cache.cache, None)},
        {"LABELS": labels, "--index": index, "--findings": findings, "--weights": encoder.weights},
    )
    images = images_of_photos(labels) if findings is None else images_of_findings(labels, findings)
    lookup = Lookup.open(index, reader=photos.reader(), **vars(encoder))
    with (
        progress("embedding labelled photos", total=lambda: len(images), quiet=quiet) as advance,
        cache.open(lookup.encoder) as vectors,
    ):
        found = adapt(images, lookup=lookup, cache=vectors, progress=advance)
    note_first(found.failed)
    if found.unknown:
        note(f"{counted(found.unknown, 'photo')} of products that aren't in the index: not used")
    if found.gain is not None and not quiet:
        _show(found.gain)
    if found.adapter is None:
        note(f"no adapter was written: {_refusal(found)}")
        return Exit.SOME_ROWS_FAILED
    found.adapter.save(out)
    note(
        f"wrote {out}, fitted to {counted(found.fitted, 'label')}; go on with: lookalike adapt apply {out} --index "
        f"{index}",
        quiet=quiet,
    )
    return Exit.SOME_ROWS_FAILED if found.failed else Exit.DONE


def apply(
    adapter: Annotated[Path, typer.Argument(metavar="ADAPTER", help="An adapter that fit wrote.")],
    index: IndexFolder,
    quiet: Quiet = False,
) -> int:
    """Map the vectors of an index with an adapter, without opening a picture.

    The vectors before stay in the index. Policies are for one encoder, so tune again, on the same labels of photos or
    on others.

    Examples:
    lookalike adapt apply a.safetensors --index genuine.index
    """
    from lookalike.index.build import adapt_index
    from lookalike.model.adapter import Adapter

    adapted = adapt_index(Adapter.load(adapter), index=index)
    note(
        f"{index}: {counted(len(adapted), 'reference')} of {adapted.spec}; set thresholds for it with: lookalike tune "
        f"LABELS --index {index} --on fused --out policy.toml",
        quiet=quiet,
    )
    return Exit.DONE


def undo(index: IndexFolder, quiet: Quiet = False) -> int:
    """Take the adapter away: the index is as it would be without it.

    Examples:
    lookalike adapt undo --index genuine.index
    """
    from lookalike.index.build import adapt_index

    undone = adapt_index(None, index=index)
    note(f"{index}: {counted(len(undone), 'reference')} of {undone.spec}", quiet=quiet)
    return Exit.DONE


VERBS = {"fit": fit, "apply": apply, "undo": undo}


def _show(gain: Gain) -> None:
    note(f"{counted(gain.photos, 'labelled photo')}, {counted(gain.products, 'product')}; each is judged by an adapter "
         "fitted without its product:")  # fmt: skip
    table = Table("", "without", "adapted", box=None, pad_edge=False)
    for name, of in _METRICS.items():
        table.add_row(name, f"{getattr(gain.before, of):.3f}", f"{getattr(gain.after, of):.3f}")
    print_table(table, notes())
    note(f"gain in µAP {gain.value:+.3f}, 95 % interval {gain.low:+.3f} to {gain.high:+.3f}")


def _refusal(found: Adaptation) -> str:
    from lookalike.adapting.folds import LEAST_PRODUCTS

    if found.gain is None:
        return (
            f"its {counted(found.fitted, 'label')} show {counted(found.products, 'product')} that a figure may rest "
            f"on, and it takes {LEAST_PRODUCTS}; label photos of more products"
        )
    needed = found.gain.more_needed
    if needed is None or needed > _MANY * found.gain.photos:
        return "it isn't better, and more labels like these are not expected to change that"
    about = round(needed, 1 - len(str(needed))) or 1
    return f"its gain isn't certain; it takes about {counted(about, 'more label')} like these"


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
