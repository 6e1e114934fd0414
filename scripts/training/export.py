"""Turn trained weights of the embedded encoder into the ONNX file that ships.

WEIGHTS holds an image tower of the open_clip configuration lookalike-embedded, as train_encoder.py writes it, and
--middle and --look what train_middle.py and train_look.py add to it. OUT takes pictures as bytes, (n, height,
width, 3), and scales their colours itself. It keeps its weights in 16 bits, as WEIGHTS does, and computes in 32. Its
description, which lookalike reads, is in its metadata.

Needs the packages of the `train` extra.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import load_file

from lookalike.disk import written
from lookalike.errors import WeightsError
from lookalike.model.onnx_file import METADATA
from lookalike.model.presets import PRESETS
from lookalike.model.towers import image_tower
from lookalike.model.transforms import trained_preprocessing
from lookalike.scripts.benchmarks.harness import one_line_errors
from lookalike.scripts.training.branches import Branches

_OPSET = 17
_STORED_IN_16_BITS = 64  # numbers; smaller constants stay as they are


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, metavar="WEIGHTS", help="safetensors of the image tower")
    parser.add_argument("out", type=Path, metavar="OUT", help="ONNX file to write")
    parser.add_argument("--middle", type=Path, help="safetensors of what the middle layers add to the similarity")
    parser.add_argument("--look", type=Path, help="safetensors of the branch that tells the look")
    arguments = parser.parse_args(argv)
    added = {name: load_file(path) for name in ("middle", "look") if (path := getattr(arguments, name)) is not None}
    branches = Branches(tower_of(arguments.weights), **added)
    export(branches, arguments.out, look_dim=branches.look_dim)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.1f} MB")
    return 0


def tower_of(weights: Path) -> torch.nn.Module:
    """The embedded architecture's image tower with these weights, of as many numbers as they make."""
    state = {name.removeprefix("visual."): value.float() for name, value in load_file(weights).items()}
    tower: torch.nn.Module = image_tower(PRESETS["embedded"].architecture)
    trunk: Any = tower.trunk
    trunk.reset_classifier(len(state["trunk.classifier.weight"]), "avg")
    tower.load_state_dict(state, strict=True)
    return tower.eval()


def export(tower: torch.nn.Module, out: Path, *, look_dim: int = 0) -> None:
    """Write a tower of the embedded architecture as ONNX. Raises WeightsError unless `look_dim` leaves numbers over."""
    import onnx

    preprocessing = trained_preprocessing(PRESETS["embedded"].architecture, None, tower)
    height, width = preprocessing.size
    model = _Scaled(tower, preprocessing.mean, preprocessing.std).eval()
    pictures = torch.zeros(2, height, width, 3, dtype=torch.uint8)
    with torch.inference_mode():
        given = model(pictures).shape[1]
    if not 0 <= look_dim < given:
        raise WeightsError(f"the tower gives {given} numbers, so a look of {look_dim} leaves none; give less")
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        # the exporter that is to replace this one doesn't keep batch statistics apart
        warnings.simplefilter("ignore", DeprecationWarning)
        plain = Path(folder) / "plain.onnx"
        torch.onnx.export(
            model,
            (pictures,),
            str(plain),
            input_names=["image"],
            output_names=["vector"],
            dynamic_axes={"image": {0: "n"}, "vector": {0: "n"}},
            opset_version=_OPSET,
            dynamo=False,
            # batch statistics stay apart from the weights, which folded ones would have to be rounded again
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
        )
        graph = onnx.load(str(plain))
    _store_in_16_bits(graph)
    described = {
        "architecture": PRESETS["embedded"].architecture,
        "size": [height, width],
        "interpolation": preprocessing.interpolation,
        "resize_mode": preprocessing.resize_mode,
        "reducing_gap": preprocessing.reducing_gap,
        "look_dim": look_dim,
    }
    onnx.helper.set_model_props(graph, {METADATA: json.dumps(described)})
    graph.doc_string, graph.producer_name, graph.producer_version = "", "lookalike", ""
    onnx.checker.check_model(graph)
    with written(out) as temporary:
        temporary.write_bytes(graph.SerializeToString(deterministic=True))


class _Scaled(torch.nn.Module):
    """A tower that takes bytes, channels last, and scales them itself."""

    def __init__(self, tower: torch.nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.tower = tower
        mean_, std_ = torch.tensor(mean, dtype=torch.float64), torch.tensor(std, dtype=torch.float64)
        self.scale = torch.nn.Buffer((1 / (255 * std_)).float().view(1, 3, 1, 1))
        self.shift = torch.nn.Buffer((-mean_ / std_).float().view(1, 3, 1, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.tower(image.permute(0, 3, 1, 2).float() * self.scale + self.shift)
        return found


def _store_in_16_bits(model: Any) -> None:
    """Keep weights that 16 bits hold without loss in 16 bits; the graph begins by widening them again."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    widened = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < _STORED_IN_16_BITS:
            continue
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue
        name = f"{tensor.name}.16"
        widened.append(helper.make_node("Cast", [name], [tensor.name], to=TensorProto.FLOAT))
        tensor.CopyFrom(numpy_helper.from_array(half, name))
    nodes = [*widened, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


if __name__ == "__main__":
    raise SystemExit(main())
