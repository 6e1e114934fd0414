"""Measure what 8-bit integers would gain and cost: the embedded encoder's rate and similarities, side by side.

NNCF quantises the encoder's tower after training, with the range of each activation taken from the sample's pictures.
OpenVINO runs it in turns with float32 and bfloat16. The pictures in FOLDER, which the quantiser has not seen, show how
far similarities move, and how often another picture becomes the nearest. `lookalike bench --calibrate` rejects
arithmetic that moves a similarity by more than 0.002; this shows how far int8 is from that.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms import Normalize

import lookalike
from lookalike.errors import MissingExtraError
from lookalike.model.clip import ClipEncoder
from lookalike.model.encoder import Vectors
from lookalike.model.images import read_image
from lookalike.model.loading import load_encoder
from lookalike.scripts.bench_pictures import pictures_below
from lookalike.scripts.benchmarks.harness import one_line_errors
from lookalike.scripts.benchmarks.vectors import unit
from lookalike.scripts.timing import Spread, in_turns, load, seconds_of, show_table

Inputs = NDArray[np.float32]
"""(n, 3, height, width)"""

_BATCH = 8


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of pictures to compare similarities on")
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args(argv)
    encoder = load_encoder("embedded", device="cpu", arithmetic="torch-f32")
    sample = _inputs(encoder, pictures_below(Path(lookalike.__file__).parent / "sample" / "images"))
    inputs = _inputs(encoder, pictures_below(arguments.folder, most=arguments.pictures))
    tower, int8 = _towers(encoder, sample)
    ways = {"float32": _Way(tower, "f32"), "bfloat16": _Way(tower, "bf16"), "int8": _Way(int8, "f32")}
    jobs = {name: partial(way, inputs) for name, way in ways.items()}
    turns = in_turns(jobs, rounds=arguments.rounds, measure=seconds_of)
    _show({name: way(inputs) for name, way in ways.items()}, turns)
    return 0


def _towers(encoder: ClipEncoder, sample: Inputs) -> tuple[Any, Any]:
    """The encoder's tower for OpenVINO, and the same quantised. Raises MissingExtraError without the packages."""
    os.environ["NNCF_CI"] = "1"  # keeps NNCF from reporting its use to its makers
    try:
        import nncf
        import openvino
    except ImportError as error:
        raise MissingExtraError("NNCF", "benchmark") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns that it is deprecated, and that sizes are constant
        tower = openvino.convert_model(encoder.tower, example_input=torch.zeros(2, *sample.shape[1:]))
    seen = [sample[start : start + _BATCH] for start in range(0, len(sample), _BATCH)]
    int8 = nncf.quantize(
        tower.clone(),
        nncf.Dataset(seen),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(seen),
        fast_bias_correction=False,
    )
    return tower, int8


class _Way:
    """A compiled tower; each core computes a batch."""

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
        """Unit vectors, float32 (n, dim)."""
        found: dict[int, Vectors] = {}

        def keep(request: Any, start: int) -> None:
            found[start] = np.array(request.get_output_tensor(0).data)

        self._queue.set_callback(keep)
        for start in range(0, len(inputs), _BATCH):
            self._queue.start_async({0: inputs[start : start + _BATCH]}, start)
        self._queue.wait_all()
        return unit(np.concatenate([found[start] for start in sorted(found)]))


def _show(vectors: dict[str, Vectors], seconds: dict[str, list[float]]) -> None:
    exact = vectors["float32"] @ vectors["float32"].T
    np.fill_diagonal(exact, -1)
    lines = []
    for name, rows in vectors.items():
        similarity = rows @ rows.T
        np.fill_diagonal(similarity, -1)
        moved, others = np.abs(similarity - exact), similarity.argmax(axis=1) != exact.argmax(axis=1)
        rate = Spread.of(len(rows) / each for each in seconds[name])
        lines.append((name, *rate.cells(".0f"), f"{moved.max():.6f}", f"{moved.mean():.6f}", f"{others.mean():.1%}"))
    show_table(
        ("", "pictures/s", "least", "most", "a similarity moves by up to", "on average", "another is nearest"), lines
    )
    print(f"{len(exact)} pictures; load of the machine {load():.1f}")


def _inputs(encoder: ClipEncoder, files: Sequence[Path]) -> Inputs:
    """What the tower gets for these pictures."""
    pixels = torch.from_numpy(np.stack([encoder.prepare(read_image(path).image) for path in files]))
    scale = Normalize(encoder.spec.preprocessing.mean, encoder.spec.preprocessing.std)
    values: Inputs = scale(pixels.permute(0, 3, 1, 2).float() / 255).contiguous().numpy()
    return values


if __name__ == "__main__":
    raise SystemExit(main())
