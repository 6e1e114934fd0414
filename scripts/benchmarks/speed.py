"""Measure pictures a second on one core, from the bytes of a JPEG to a vector: embedded encoder beside other models.

Draws 800 px photos, encodes them as JPEG, and passes them through the library's own reader and each encoder, in turns,
several times; prints the median, the spread and the ratio to the slowest. Models other than presets that ship run
with random weights: speed does not depend on them.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from statistics import median

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from lookalike.index.embedding import PhotoReader, embed_photos
from lookalike.model.encoder import Encoder, load_encoder
from lookalike.model.images import decode_image
from lookalike.scripts.training.edits import texture


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="open_clip architectures to compare (default ViT-B-32)")
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--side", type=int, default=800, help="width and height of the JPEGs in pixels (default 800)")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args(argv)
    import cv2
    import torch

    from lookalike.model.clip import untrained_encoder

    files = [draw_jpeg(arguments.side, seed) for seed in range(arguments.pictures)]
    encoders: dict[str, Encoder] = {"embedded": load_encoder("embedded", device="cpu")}
    for model in arguments.model or ["ViT-B-32"]:
        encoders[model] = untrained_encoder(model, device="cpu")
    jobs = {name: _pipeline(encoder, files) for name, encoder in encoders.items()}
    jobs["reading alone"] = lambda: [decode_image(data) for data in files]
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    for turn in range(arguments.rounds + 1):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            if turn:  # the first warms up
                seconds[name].append(time.perf_counter() - start)
    torch.set_num_threads(threads[0])
    cv2.setNumThreads(threads[1])
    table = Table("", "images/s", "least", "most", "ms each", "times the slowest", box=None)
    slowest = max(median(times) for times in seconds.values())
    for name, times in seconds.items():
        rates = [arguments.pictures / t for t in (median(times), max(times), min(times))]
        cells = [f"{rate:.1f}" for rate in rates]
        table.add_row(name, *cells, f"{1000 / rates[0]:.2f}", f"{slowest / median(times):.1f}")
    Console(highlight=False).print(table)
    return 0


def _pipeline(encoder: Encoder, files: list[bytes]) -> Callable[[], object]:
    """Read, prepare and embed, as build and scan do, with one worker."""
    reader = PhotoReader(workers=1)
    return lambda: list(embed_photos(files, encoder=encoder, reader=reader))


def draw_jpeg(side: int, seed: int) -> bytes:
    """A JPEG file of a coloured, grainy picture."""
    rng = np.random.default_rng(seed)
    pixels = texture(side, side, rng)
    grain = rng.normal(0, 4, pixels.shape)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


if __name__ == "__main__":
    raise SystemExit(main())
