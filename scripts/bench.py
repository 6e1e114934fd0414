"""Measure the speed of this machine, beside other ways.

Measures pictures per second from files to an index, and queries per second. All ways run in turns on the same pictures
and with the same model: this pipeline; a script with PIL and open_clip's transform that takes one picture at a time;
the same with a DataLoader; and other packages that are installed. Reading alone, the bare forward pass, and the best
that the machine or GPU can do show where the limit is. --calibrate finds the fastest arithmetic of a CLIP model that
moves no similarity, and keeps it for later runs. Without a folder of pictures, 800 px ones are drawn.

Examples:
lookalike bench --model fast --device cuda --calibrate
lookalike bench pictures --json speed.json --plot speed.png
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from lookalike.errors import EncoderError
from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import Device, Quiet, Weights
from lookalike.scripts.outputs import FIGURE, FILE, require_outputs
from lookalike.scripts.terminal import note


def bench(
    folder: Annotated[Path | None, typer.Argument(help="Folder of pictures; by default some are drawn.")] = None,
    model: Annotated[
        str, typer.Option("--model", help="A preset, or an architecture, with random weights.")
    ] = "embedded",
    weights: Weights = None,
    device: Device = None,
    arithmetic: Annotated[
        str | None, typer.Option("--arithmetic", help="For example torch-bf16; by default the calibrated one.")
    ] = None,
    pictures: Annotated[int, typer.Option("--pictures", min=1, help="Use up to this many pictures.")] = 256,
    vectors: Annotated[int, typer.Option("--vectors", min=0, help="Search this many vectors; 0 for none.")] = 20_000,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Measure each this often, in turns.")] = 3,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Find and keep a CLIP model's fastest arithmetic.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the figures, .png or .svg.")] = None,
    quiet: Quiet = False,
) -> int:
    from lookalike.scripts.bench_report import draw, show, write_json

    require_outputs({"--json": (out, FILE), "--plot": (plot, FIGURE)}, {"FOLDER": folder, "--weights": weights})
    if plot is not None:
        from lookalike.plots.style import require_matplotlib

        require_matplotlib()
    if calibrate:
        return _calibrate(model, weights, device, rounds, out)
    with tempfile.TemporaryDirectory() as scratch:
        files = _files(folder, pictures, Path(scratch) / "drawn")
        encoder = _encoder(model, weights, device, arithmetic)
        figures = _measure(files, encoder, vectors, rounds, Path(scratch), quiet=quiet)
    show(figures)
    if out is not None:
        write_json(figures, out)
    if plot is not None:
        draw(figures, plot)
    return Exit.DONE


def _files(folder: Path | None, most: int, drawn: Path) -> list[Path]:
    from lookalike.scripts.bench_pictures import draw_pictures, pictures_below

    return draw_pictures(drawn, most) if folder is None else pictures_below(folder, most=most)


def _measure(
    files: list[Path], encoder: Any, vectors: int, rounds: int, scratch: Path, *, quiet: bool
) -> dict[str, Any]:
    from lookalike.scripts.bench_pipeline import measure_pipelines
    from lookalike.scripts.bench_search import measure_searches
    from lookalike.scripts.timing import load

    note(f"{len(files)} pictures, {rounds} rounds; load of the machine {load():.1f}", quiet=quiet)
    return {
        "pictures": len(files),
        "rounds": rounds,
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        **measure_pipelines(files, encoder, rounds=rounds, scratch=scratch, quiet=quiet),
        "search": measure_searches(vectors, rounds=rounds) if vectors else {},
    }


def _encoder(model: str, weights: Path | str | None, device: str | None, arithmetic: str | None) -> Any:
    from lookalike.model.loading import load_encoder
    from lookalike.model.presets import PRESETS

    if model in PRESETS or weights is not None or "/" in model:
        return load_encoder(model, weights=weights, device=device, arithmetic=arithmetic)
    from lookalike.model.clip_loading import untrained_encoder

    return untrained_encoder(model, device=device, arithmetic=arithmetic)


def _calibrate(model: str, weights: Path | str | None, device: str | None, rounds: int, out: Path | None) -> int:
    from dataclasses import asdict

    from lookalike.model.calibration import BOUND, keep
    from lookalike.model.clip_loading import load_clip
    from lookalike.model.measurement import calibrate
    from lookalike.model.presets import PRESETS
    from lookalike.scripts.bench_report import write_json
    from lookalike.scripts.timing import show_table

    if model in PRESETS and PRESETS[model].files and weights is None:
        raise EncoderError(f"{model} is computed by onnxruntime, which leaves nothing to choose; name a CLIP model")
    exact = load_clip(model, weights=weights, device=device, arithmetic="torch-f32")
    found = calibrate(_probes(), model=model, weights=weights, device=str(exact.device), rounds=rounds)
    show_table(
        ("arithmetic", "batch", "pictures/s", "similarity moved", f"within {BOUND}"),
        [(c.arithmetic, c.batch, f"{c.rate:.0f}", f"{c.moved:.6f}", "yes" if c.within_bound else "no") for c in found],
    )
    if out is not None:
        write_json([asdict(each) for each in found], out)
    best = keep(found, exact.spec.weights_sha256, str(exact.device))
    where = "this machine" if exact.device.type == "cpu" else "its GPU"
    note(f"from now on {exact.spec} uses {best.arithmetic}, {best.batch} pictures at a time, on {where}")
    return Exit.DONE


def _probes() -> list[Any]:
    """The sample's pictures, each also mirrored and cropped, so that there are pairs of near pictures."""
    from PIL import Image, ImageOps

    import lookalike

    found = []
    for path in sorted((Path(lookalike.__file__).parent / "sample" / "images").glob("*.jpg")):
        image = Image.open(path).convert("RGB")
        found += [image, ImageOps.mirror(image), ImageOps.crop(image, image.width // 8)]
    return found


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
