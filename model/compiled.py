"""An image tower compiled by OpenVINO, which comes closer to a CPU's limit than torch's eager layers do."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lookalike.errors import MissingExtraError


class CompiledTower:
    """A tower for float32 inputs (n, 3, height, width) that computes in `precision`, "f32" or "bf16".

    It can be called from several threads; `streams` of them compute at once, on one core each. Each batch size is
    compiled when it is first used, which takes seconds. Raises MissingExtraError if OpenVINO is not installed.
    """

    def __init__(self, tower: torch.nn.Module, size: tuple[int, int], *, precision: str, streams: int) -> None:
        try:
            import openvino
        except ImportError as error:
            raise MissingExtraError("openvino", "openvino") from error
        self._settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": streams,
        }
        self._core = openvino.Core()
        self._size = size
        # a batch of two: torch.export takes a size of one for a constant
        exported = torch.export.export(
            tower, (torch.zeros(2, 3, *size),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)
        )
        self._model = openvino.convert_model(exported)
        self._lock = threading.Lock()
        self._networks: dict[int, Any] = {}
        self._this_thread = threading.local()

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """The features of a batch: float32 (n, dim), rows of any length."""
        requests: dict[int, Any] = vars(self._this_thread).setdefault("requests", {})
        if len(inputs) not in requests:
            requests[len(inputs)] = self._network(len(inputs)).create_infer_request()
        request = requests[len(inputs)]
        request.infer({0: inputs}, share_inputs=True)
        return np.array(request.get_output_tensor(0).data, np.float32)

    def _network(self, count: int) -> Any:
        with self._lock:
            if count not in self._networks:
                model = self._model.clone()
                model.reshape([count, 3, *self._size])
                self._networks[count] = self._core.compile_model(model, "CPU", self._settings)
            return self._networks[count]
