"""Measures how fast each arithmetic is for a CLIP model, and how far it moves similarities."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .calibration import Calibration
from .clip import ClipEncoder
from .clip_loading import load_clip
from .encoder import ARITHMETICS, Vectors

BATCHES, GPU_BATCHES = (1, 4, 8, 16, 32), (8, 16, 32, 64)
_TIMED, _TIMED_ON_GPU = 64, 1024  # pictures: those used for the bound, repeated


def calibrate(
    pictures: Iterable[Image.Image],
    *,
    model: str,
    weights: str | Path | None = None,
    device: str = "cpu",
    rounds: int = 3,
) -> list[Calibration]:
    """Measure a CLIP model with each arithmetic on these RGB pictures, in turn; give the results, fastest first.

    Nothing is kept; that is what `calibration.keep` is for. On a CPU, compiling with torch is left out: it takes a
    minute in each process and gains nothing.
    """
    names = [name for name in ARITHMETICS if device != "cpu" or not name.endswith("-compiled")]
    encoders = {name: load_clip(model, weights=weights, device=device, arithmetic=name) for name in names}
    reference = load_clip(model, weights=weights, device="cpu", arithmetic=ARITHMETICS[0])
    inputs = [reference.prepare(picture) for picture in pictures]
    exact = reference.embed(inputs)
    moved = {name: _moved(encoder.embed(inputs), exact) for name, encoder in encoders.items()}
    batches, count = (BATCHES, _TIMED) if device == "cpu" else (GPU_BATCHES, _TIMED_ON_GPU)
    timed = list(islice(cycle(inputs), count))
    seconds = _rounds(encoders, timed, batches, rounds)
    found = []
    for name in names:
        best = min(batches, key=lambda batch: seconds[name, batch])
        found.append(Calibration(name, best, len(timed) / seconds[name, best], moved[name]))
    return sorted(found, key=lambda each: -each.rate)


def _rounds(
    encoders: Mapping[str, ClipEncoder], inputs: Sequence[NDArray[np.uint8]], batches: Sequence[int], rounds: int
) -> dict[tuple[str, int], float]:
    """The median time in seconds of each encoder with each batch size, after a round of one batch to warm up."""
    seconds: dict[tuple[str, int], list[float]] = {}
    for turn in range(rounds + 1):
        for name, encoder in encoders.items():
            for batch in batches:
                taken = _seconds(encoder, inputs if turn else inputs[:batch], batch)
                if turn:
                    seconds.setdefault((name, batch), []).append(taken)
    return {key: median(times) for key, times in seconds.items()}


def _seconds(encoder: ClipEncoder, inputs: Sequence[NDArray[np.uint8]], batch: int) -> float:
    start = time.perf_counter()
    encoder.in_batches(batch).embed(inputs)
    return time.perf_counter() - start


def _moved(vectors: Vectors, exact: Vectors) -> float:
    expected = exact @ exact.T
    return float(max(np.abs(vectors @ vectors.T - expected).max(), np.abs(vectors @ exact.T - expected).max()))
