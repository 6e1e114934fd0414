"""Measure this machine, side by side in one run: pictures a second from files to an index, and queries a second.

The pipeline stands beside the script that everyone writes (PIL, open_clip's transform, one picture at a time; and the
same with a DataLoader), with the same model, and beside what is installed of other packages. Reading alone, the bare
forward, and the arithmetic and memory of the machine or GPU say what the limit is. --calibrate finds the fastest
arithmetic that moves no similarity, and has it used from then on. Give a folder of pictures, or 800 px ones are drawn.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

from lookalike.scripts.cli import DONE, Device, Quiet, Weights, note, run

_READING, _EMBEDDING = "reading and preparing alone", "bare forward"


def bench(
    folder: Annotated[Path | None, typer.Argument(help="Folder of pictures; by default some are drawn.")] = None,
    model: Annotated[
        str, typer.Option("--model", help="A preset, or an architecture, with random weights.")
    ] = "embedded",
    weights: Weights = None,
    device: Device = None,
    arithmetic: Annotated[
        str | None, typer.Option("--arithmetic", help="As torch-bf16; by default what calibration found, or torch-f32.")
    ] = None,
    pictures: Annotated[int, typer.Option("--pictures", min=1, help="How many pictures at most.")] = 256,
    vectors: Annotated[int, typer.Option("--vectors", min=0, help="How many vectors to search; 0 for none.")] = 20_000,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="How often each, in turns; medians count.")] = 3,
    calibrate: Annotated[bool, typer.Option("--calibrate", help="Find and keep the fastest arithmetic.")] = False,
    out: Annotated[Path | None, typer.Option("--json", help="File to write all figures to.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Picture to draw, .png or .svg")] = None,
    quiet: Quiet = False,
) -> int:
    if plot is not None:
        from lookalike.plots.style import require_matplotlib

        require_matplotlib()
    if calibrate:
        return _calibrate(model, weights, device, rounds, out)
    with tempfile.TemporaryDirectory() as scratch:
        files = _files(folder, pictures, Path(scratch))
        note(f"{len(files)} pictures, {rounds} rounds; load of the machine {os.getloadavg()[0]:.1f}", quiet=quiet)
        figures: dict[str, Any] = {
            "pictures": len(files),
            "rounds": rounds,
            "cores": os.cpu_count(),
            "load": os.getloadavg(),
            **_pipelines(files, _encoder(model, weights, device, arithmetic), rounds, Path(scratch), quiet=quiet),
            "search": _searches(vectors, rounds) if vectors else {},
        }
    _print(figures)
    if out is not None:
        out.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    if plot is not None:
        _draw(figures, plot)
    return DONE


def _calibrate(model: str, weights: Path | str | None, device: str | None, rounds: int, out: Path | None) -> int:
    from dataclasses import asdict

    from lookalike.model.calibration import BOUND, calibrate, keep
    from lookalike.model.clip import load_clip_encoder

    exact = load_clip_encoder(model, weights=weights, device=device, arithmetic="torch-f32")
    found = calibrate(_probes(), model=model, weights=weights, device=str(exact.device), rounds=rounds)
    _table(
        ("arithmetic", "batch", "pictures/s", "similarity moved", f"within {BOUND}"),
        [(c.arithmetic, c.batch, f"{c.rate:.0f}", f"{c.moved:.6f}", "yes" if c.within_bound else "no") for c in found],
    )
    if out is not None:
        out.write_text(json.dumps([asdict(each) for each in found], indent=1), encoding="utf-8")
    best = keep(found, exact.spec.weights_sha256, str(exact.device))
    where = "this machine" if exact.device.type == "cpu" else "its GPU"
    note(f"{exact.spec} computes with {best.arithmetic}, {best.batch} pictures at a time, on {where} from now on")
    return DONE


def _probes() -> list[Any]:
    """The sample's pictures, and each mirrored and cropped, so that near pairs are among them."""
    from PIL import Image, ImageOps

    import lookalike

    found = []
    for path in sorted((Path(lookalike.__file__).parent / "sample" / "images").glob("*.jpg")):
        image = Image.open(path).convert("RGB")
        found += [image, ImageOps.mirror(image), ImageOps.crop(image, image.width // 8)]
    return found


def _files(folder: Path | None, most: int, scratch: Path) -> list[Path]:
    from lookalike.errors import TableError
    from lookalike.scripts.benchmarks.speed import draw_jpeg

    if folder is not None:
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))[:most]
        if not found:
            raise TableError(f"{folder} holds no picture; needed a folder with .jpg, .png or .webp files")
        return found
    (scratch / "drawn").mkdir()
    for number in range(most):
        (scratch / "drawn" / f"{number:05}.jpg").write_bytes(draw_jpeg(800, number))
    return sorted((scratch / "drawn").iterdir())


def _encoder(model: str, weights: Path | str | None, device: str | None, arithmetic: str | None) -> Any:
    from lookalike.model.clip import load_clip_encoder, untrained_encoder
    from lookalike.model.presets import PRESETS

    if model in PRESETS or weights is not None or "/" in model:
        return load_clip_encoder(model, weights=weights, device=device, arithmetic=arithmetic)
    return untrained_encoder(model, device=device, arithmetic=arithmetic)


def _pipelines(files: Sequence[Path], encoder: Any, rounds: int, scratch: Path, *, quiet: bool) -> dict[str, Any]:
    from lookalike.model.images import read_image
    from lookalike.scripts.bench_rivals import PeakMemory, read_and_prepare, rivals

    inputs = [encoder.prepare(read_image(path).image) for path in files[:64]]
    if encoder.device.type == "cuda":
        inputs = [*inputs] * 16  # 64 are done before a GPU is warm
    rates: dict[str, list[float]] = {}
    cores: dict[str, list[float]] = {}
    memory: dict[str, int] = {}
    ways = rivals(encoder, workers=os.cpu_count() or 1)
    for turn in range(rounds + 1):
        some = files if turn else files[:32]  # the first round warms up
        for way in ways:
            with tempfile.TemporaryDirectory(dir=scratch) as folder, PeakMemory() as peak:
                before = _core_seconds()
                taken = _time(partial(way.run, some, Path(folder)))
                busy = _core_seconds() - before
            if turn:
                rates.setdefault(way.name, []).append(len(some) / taken)
                cores.setdefault(way.name, []).append(1000 * busy / len(some))
                memory[way.name] = max(memory.get(way.name, 0), peak.bytes)
                note(f"{way.name}: {len(some) / taken:.1f} pictures/s", quiet=quiet)
        reading = _time(partial(read_and_prepare, some, encoder))
        embedding = _time(partial(encoder.embed, inputs))
        if turn:
            rates.setdefault(_READING, []).append(len(some) / reading)
            rates.setdefault(_EMBEDDING, []).append(len(inputs) / embedding)
    limits = _limits(encoder)
    flops = _flops(encoder)
    return {
        "encoder": str(encoder.spec),
        "arithmetic": encoder.spec.arithmetic,
        "device": str(encoder.device),
        "rates": {name: _summary(each) for name, each in rates.items()},
        "core_ms": {name: _summary(each) for name, each in cores.items()},
        "same_model": {way.name: way.same_model for way in ways},
        "peak_bytes": memory,
        "gflop_per_picture": flops / 1e9,
        **limits,
        "limit": limits["peak_gflops"] * 1e9 / flops,
        "waits_for": min((_READING, _EMBEDDING), key=lambda name: median(rates[name])),
    }


def _core_seconds() -> float:
    """What this process and the children that it has waited for have computed, on all cores together."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _time(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _limits(encoder: Any) -> dict[str, Any]:
    """What can be done at best where it computes: matrix products of its precision in GFLOP/s, copies in GB/s."""
    import torch

    gpu, half = encoder.device.type == "cuda", "bf16" in encoder.spec.arithmetic
    wait = torch.cuda.synchronize if gpu else int
    side, size = (8192, 1 << 30) if gpu else (2048, 1 << 27)
    a = torch.rand(side, side, device=encoder.device, dtype=torch.bfloat16 if half else torch.float32)
    block, other = (torch.ones(size, dtype=torch.uint8, device=encoder.device) for _ in range(2))
    product = min(_time(lambda: (a @ a, wait())) for _ in range(5))
    copy = min(_time(lambda: (other.copy_(block), wait())) for _ in range(5))
    return {
        "precision": "bfloat16" if half else "float32",
        "peak_gflops": 2 * side**3 / product / 1e9,
        "copy_gbytes": 2 * size / copy / 1e9,
    }


def _flops(encoder: Any) -> float:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # the counter does not see what is fused
    try:
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            encoder.tower(torch.zeros(1, 3, *encoder.spec.preprocessing.size, device=encoder.device))
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return float(counter.get_total_flops())


def _searches(count: int, rounds: int) -> dict[str, dict[str, float]]:
    import numpy as np

    from lookalike.scripts.bench_search import clustered, searches

    rows = clustered(count + 512, 512, seed=0)
    vectors, queries = rows[:count], rows[count:]
    exact = np.argmax(queries @ vectors.T, axis=1)
    rates: dict[str, list[float]] = {}
    agreed: dict[str, float] = {}
    engines = searches(vectors)
    for _ in range(rounds):
        for name, search in engines.items():
            start = time.perf_counter()
            found = search(queries)
            rates.setdefault(name, []).append(len(queries) / (time.perf_counter() - start))
            agreed[name] = float((found == exact).mean())
    return {name: {**_summary(each), "nearest": agreed[name]} for name, each in rates.items()}


def _summary(rates: Sequence[float]) -> dict[str, float]:
    return {"median": median(rates), "least": min(rates), "most": max(rates)}


def _print(figures: dict[str, Any]) -> None:
    ours = figures["rates"]["lookalike"]["median"]
    rows = []
    for name, rate in figures["rates"].items():
        peak, cores = figures["peak_bytes"].get(name), figures["core_ms"].get(name)
        other = "" if figures["same_model"].get(name, True) else " (no vectors)"
        rows.append(
            (name + other, f"{rate['median']:.1f}", f"{rate['least']:.1f}", f"{rate['most']:.1f}",
             f"{ours / rate['median']:.2f}", "" if cores is None else f"{cores['median']:.1f}",
             "" if peak is None else f"{peak / 1e6:.0f}")
        )  # fmt: skip
    limit = figures["limit"]
    rows.append((f"limit of {figures['precision']} products", f"{limit:.1f}", "", "", f"{ours / limit:.2f}", "", ""))
    _table(
        ("files to index, pictures/s", "median", "least", "most", "lookalike is × that", "core ms each", "peak MB"),
        rows,
    )
    share, peak = figures["rates"][_EMBEDDING]["median"] / limit, figures["peak_gflops"]
    print(
        f"{figures['encoder']}, {figures['arithmetic']} on {figures['device']}, "
        f"{figures['gflop_per_picture']:.2f} GFLOP a picture; at best {peak:,.0f} GFLOP/s in {figures['precision']}, "
        f"of which the encoder alone reaches {share:.0%}, and {figures['copy_gbytes']:,.1f} GB/s copied; "
        f"the slower of its two halves is: {figures['waits_for']}"
    )
    searched = [
        (name, f"{r['median']:.0f}", f"{r['least']:.0f}", f"{r['most']:.0f}", f"{r['nearest']:.3f}")
        for name, r in figures["search"].items()
    ]
    if searched:
        _table(("search, queries/s", "median", "least", "most", "nearest found"), searched)


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*head, box=None)
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    Console(highlight=False, width=120).print(table)


def _draw(figures: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    panes = figure.subplots(1, 2 if figures["search"] else 1, squeeze=False)
    _bars(panes[0][0], figures["rates"], f"files to index with {figures['encoder']}, pictures/s")
    panes[0][0].axvline(figures["limit"], color="0.3", linestyle="--", linewidth=1)
    panes[0][0].set_xlabel("dashed: what products of matrices allow at most", fontsize=8)
    if figures["search"]:
        _bars(panes[0][1], figures["search"], "search, queries/s")
    figure.savefig(path, dpi=150)


def _bars(pane: Any, rates: dict[str, dict[str, float]], title: str) -> None:
    names = list(rates)[::-1]
    medians = [rates[name]["median"] for name in names]
    spread = [
        [m - rates[name]["least"] for m, name in zip(medians, names, strict=True)],
        [rates[name]["most"] - m for m, name in zip(medians, names, strict=True)],
    ]
    colours = ["#c0392b" if name == "lookalike" else "#9aa5b1" for name in names]
    pane.barh(names, medians, xerr=spread, color=colours, ecolor="0.3", capsize=2)
    for at, value in enumerate(medians):
        pane.annotate(f"{value:,.0f}", (value, at), xytext=(4, 6), textcoords="offset points", fontsize=8)
    pane.set_title(title, fontsize=10)
    pane.spines[["top", "right"]].set_visible(False)


def main(argv: list[str] | None = None) -> int:
    return run(bench, argv)


if __name__ == "__main__":
    raise SystemExit(main())
