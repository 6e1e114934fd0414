"""Small ONNX files: the mean colour of a picture, times a matrix."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

MATRIX: NDArray[np.float32] = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)


def save_onnx(
    path: Path,
    *,
    takes_bytes: bool = True,
    channels_last: bool = True,
    batch: str | int = "n",
    sides: tuple[str | int, str | int] = ("height", "width"),
    matrix: NDArray[np.float32] = MATRIX,
    outputs: int = 1,
    described: Mapping[str, Any] | str | None = None,
    metadata: str | None = None,
    external: str | None = None,
) -> Path:
    """Write a file whose vectors are mean colours times `matrix`, and with `described` its JSON file beside it."""
    shape = [batch, *sides, 3] if channels_last else [batch, 3, *sides]
    kind = TensorProto.UINT8 if takes_bytes else TensorProto.FLOAT
    tensor = numpy_helper.from_array(matrix, "matrix")
    if external is not None:
        onnx.external_data_helper.set_external_data(tensor, external, 0, matrix.nbytes)
        tensor.ClearField("raw_data")
    nodes = [
        helper.make_node("Cast", ["image"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["values"], ["mean"], axes=[1, 2] if channels_last else [2, 3], keepdims=0),
        helper.make_node("MatMul", ["mean", "matrix"], ["vector"]),
        *(helper.make_node("Identity", ["vector"], [f"vector{at}"]) for at in range(1, outputs)),
    ]
    names = ["vector", *(f"vector{at}" for at in range(1, outputs))]
    graph = helper.make_graph(
        nodes,
        "mean-colour",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, matrix.shape[1]]) for name in names],
        [tensor],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if metadata is not None:
        helper.set_model_props(model, {"lookalike": metadata})
    path.write_bytes(model.SerializeToString())
    if described is not None:
        text = described if isinstance(described, str) else json.dumps(described)
        path.with_suffix(".json").write_text(text)
    return path
