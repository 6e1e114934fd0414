"""Train the embedded encoder: a small CLIP image tower that recognises pictures and products in other photos.

Reads photos from DATA (clothing/, produce/, logos/) and products from a folder that scripts/marketplace/render.py
--split train wrote (--market). One sender in eight, or file in eight without a sender, is held out for validation. It
minimises InfoNCE between two edited views of each subject (SimCLR, arXiv 2002.05709), plus SSCD's entropy regulariser,
which spreads the vectors so that one threshold means the same everywhere (arXiv 2202.10261).

Writes to OUT: checkpoint.pt (the same command resumes from it), log.csv, learning_curve.png, embedded.safetensors.
Needs the packages of the `train` extra and 3 GB of memory. Uses a GPU if there is one.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from lookalike.model.presets import PRESETS
from lookalike.model.towers import folded
from lookalike.plots.style import BLUE, new_figure
from lookalike.scripts.benchmarks.harness import one_line_errors
from lookalike.scripts.training.edits import Image, edit, random_edits
from lookalike.scripts.training.pictures import Album, Views, as_input, load_market, load_photos, on_ground, rgb
from lookalike.scripts.training.run import TrainingRun, export, normalise

SMALL_SHARE, SMALL_SIDE = 0.75, 96  # most of the time is spent on smaller views, at half the cost
Inputs = list[NDArray[np.uint8]]


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder that holds clothing/, produce/ and logos/")
    parser.add_argument("--market", type=Path, help="folder of the rendered marketplace's train split")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", default="imagenet", help="weights to start from: imagenet, random, or a safetensors "
                        "file such as scripts/training/embedded.safetensors")  # fmt: skip
    parser.add_argument("--architecture", default=PRESETS["embedded"].architecture, help="an open_clip model")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--batch", type=int, default=96, help="subjects a step; each gives two views")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--workers", type=int, default=1, help="processes that edit pictures")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    train(arguments)
    return 0


def train(arguments: argparse.Namespace) -> None:
    """Train until the minutes are spent, and write what `OUT` holds every hundred steps."""
    album = Album()
    held_out = [picture for pictures in load_photos(arguments.data, album).values() for picture in pictures]
    if arguments.market:
        load_market(arguments.market, album)
    print(f"{len(album.subjects)} subjects to train on, {len(album.rendered)} of them rendered; "
          f"{len(held_out)} photos to validate", flush=True)  # fmt: skip
    validation = validation_views(held_out)
    run = TrainingRun.start(arguments)
    views = Views(album, batch=arguments.batch, seed=arguments.seed, first=run.step)
    loader = DataLoader(
        views, batch_size=None, num_workers=arguments.workers, prefetch_factor=8 if arguments.workers else None
    )
    budget, mark, losses = arguments.minutes * 60, time.monotonic(), []
    for batch, subjects in loader:
        progress = run.spent / budget
        rate = arguments.lr * min(1.0, (run.step + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * min(1, progress)))
        inputs = batch.to(run.device).float()
        if progress < SMALL_SHARE:
            inputs = torch.nn.functional.interpolate(inputs, SMALL_SIDE, mode="area")
        losses.append(run.advance(inputs, subjects.to(run.device), rate))
        now = time.monotonic()
        run.spent, mark = run.spent + now - mark, now
        done = run.spent >= budget
        if run.step % 100 == 0 or done:
            recall = validate(folded(run.average.eval()), validation, run.device)
            log = arguments.out / "log.csv"
            _log(log, [run.step, round(run.spent), f"{np.mean(losses):.4f}", f"{recall:.4f}", f"{rate:.2e}"])
            _draw_curve(log, arguments.out / "learning_curve.png")
            losses.clear()
            run.save(arguments.out / "checkpoint.pt")
            export(run.average, arguments.out / "embedded.safetensors")
            mark = time.monotonic()
        if done:
            return


def validation_views(pictures: Sequence[Image], *, most: int = 500) -> tuple[Inputs, Inputs]:
    """Up to `most` of the pictures, and the same pictures after one to four edits."""
    chosen = pictures[:: max(1, len(pictures) // most)][:most]
    rng, others = np.random.default_rng(1), rgb(chosen)
    grounded = [on_ground(picture, rng) for picture in chosen]
    edited = [edit(picture, random_edits(rng), rng, others=others) for picture in grounded]
    return [as_input(picture) for picture in grounded], [as_input(picture) for picture in edited]


def validate(tower: torch.nn.Module, views: tuple[Inputs, Inputs], device: torch.device) -> float:
    """The share of edited pictures whose nearest vector is that of the original."""
    references, queries = (_embed(tower, inputs, device) for inputs in views)
    return float((np.argmax(queries @ references.T, axis=1) == np.arange(len(queries))).mean())


def _embed(tower: torch.nn.Module, inputs: Inputs, device: torch.device) -> NDArray[np.float32]:
    tower.eval()
    rows = []
    with torch.inference_mode():
        for start in range(0, len(inputs), 128):
            batch = torch.from_numpy(np.stack(inputs[start : start + 128])).to(device)
            rows.append(torch.nn.functional.normalize(tower(normalise(batch)), dim=1).cpu().numpy())
    return np.concatenate(rows)


def _log(path: Path, row: list[object]) -> None:
    fresh = not path.exists()
    with open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if fresh:
            writer.writerow(["step", "seconds", "loss", "validation_recall_at_1", "learning_rate"])
        writer.writerow(row)
    print(*row, flush=True)


def _draw_curve(log: Path, path: Path) -> None:
    """Plot loss and validation recall against minutes."""
    with open(log, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    minutes = [float(row["seconds"]) / 60 for row in rows]
    figure = new_figure(7, 6)
    axes = figure.subplots(2, 1, sharex=True)
    for axis, column, label in (
        (axes[0], "loss", "loss (InfoNCE + entropy term, nats)"),
        (axes[1], "validation_recall_at_1", "R@1, edited held-out photos"),
    ):
        axis.plot(minutes, [float(row[column]) for row in rows], color=BLUE)
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    axes[1].set_xlabel("minutes of training")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    raise SystemExit(main())
