"""Measure what integers of 8 bits would win and cost: rate and similarities of the embedded encoder, side by side.

The encoder's tower is quantised by NNCF (post-training: the range of each activation is that of the sample's pictures)
and run by OpenVINO beside float32 and bfloat16, in turns, several times. How far similarities move, and how often
another picture becomes the nearest, is counted on the pictures of FOLDER, which the quantiser has not seen. What moves
a similarity by more than 0.002 can't be chosen by `lookalike bench --calibrate`; this says how far int8 is from that.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torchvision.transforms import Normalize

import lookalike
from lookalike.errors import MissingExtraError
from lookalike.model.clip import ClipEncoder, load_clip_encoder
from lookalike.model.encoder import Vectors
from lookalike.model.images import read_image

Inputs = NDArray[np.float32]
"""(n, 3, height, width)"""

_BATCH = 8


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of pictures to compare similarities on")
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args(argv)
    os.environ["NNCF_CI"] = "1"  # keeps it from reporting its use to its makers
    try:
        import nncf
        import openvino
    except ImportError as error:
        raise MissingExtraError("NNCF", "benchmark") from error
    encoder = load_clip_encoder("embedded", weights=None, device="cpu", arithmetic="torch-f32")
    sample = _inputs(encoder, sorted((Path(lookalike.__file__).parent / "sample" / "images").glob("*.jpg")))
    endings = {".jpg", ".jpeg", ".png", ".webp"}
    found = sorted(p for p in arguments.folder.rglob("*") if p.suffix.lower() in endings)
    inputs = _inputs(encoder, found[: arguments.pictures])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's, of its own deprecation and of sizes that are constant here
        tower = openvino.convert_model(encoder.tower, example_input=torch.zeros(2, *sample.shape[1:]))
    seen = [sample[start : start + _BATCH] for start in range(0, len(sample), _BATCH)]
    int8 = nncf.quantize(
        tower.clone(),
        nncf.Dataset(seen),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(seen),
        fast_bias_correction=False,
    )
    ways = {"float32": _Way(tower, "f32"), "bfloat16": _Way(tower, "bf16"), "int8": _Way(int8, "f32")}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way(inputs)
            seconds[name].append(time.perf_counter() - start)
    _show({name: way(inputs) for name, way in ways.items()}, seconds)
    return 0


class _Way:
    """A compiled tower: each core computes a batch."""

    def __init__(self, model: Any, precision: str) -> None:
        import openvino

        cores = torch.get_num_threads()
        settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "NUM_STREAMS": cores,
            "INFERENCE_NUM_THREADS": cores,
        }
        self._queue = openvino.AsyncInferQueue(openvino.Core().compile_model(model, "CPU", settings), cores)

    def __call__(self, inputs: Inputs) -> Vectors:
        """Vectors of length 1, float32 (n, dim)."""
        found: dict[int, Vectors] = {}

        def keep(request: Any, start: int) -> None:
            found[start] = np.array(request.get_output_tensor(0).data)

        self._queue.set_callback(keep)
        for start in range(0, len(inputs), _BATCH):
            self._queue.start_async({0: inputs[start : start + _BATCH]}, start)
        self._queue.wait_all()
        vectors = np.concatenate([found[start] for start in sorted(found)])
        unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit


def _show(vectors: dict[str, Vectors], seconds: dict[str, list[float]]) -> None:
    exact = vectors["float32"] @ vectors["float32"].T
    np.fill_diagonal(exact, -1)
    table = Table(
        "", "pictures/s", "least", "most", "a similarity moves by up to", "on average", "another is nearest", box=None
    )
    for name, rows in vectors.items():
        similarity = rows @ rows.T
        np.fill_diagonal(similarity, -1)
        moved, others = np.abs(similarity - exact), similarity.argmax(axis=1) != exact.argmax(axis=1)
        rates = [len(rows) / each for each in (median(seconds[name]), max(seconds[name]), min(seconds[name]))]
        cells = [f"{rate:.0f}" for rate in rates]
        table.add_row(name, *cells, f"{moved.max():.6f}", f"{moved.mean():.6f}", f"{others.mean():.1%}")
    console = Console(highlight=False, width=120)
    console.print(table)
    console.print(f"{len(exact)} pictures, load of the machine {os.getloadavg()[0]:.1f}")


def _inputs(encoder: ClipEncoder, files: Sequence[Path]) -> Inputs:
    """What the tower is given of these pictures."""
    pixels = torch.from_numpy(np.stack([encoder.prepare(read_image(path).image) for path in files]))
    scale = Normalize(encoder.spec.preprocessing.mean, encoder.spec.preprocessing.std)
    values: Inputs = scale(pixels.permute(0, 3, 1, 2).float() / 255).contiguous().numpy()
    return values


if __name__ == "__main__":
    raise SystemExit(main())
