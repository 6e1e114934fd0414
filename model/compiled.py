"""An image tower compiled by OpenVINO: near a CPU's arithmetic limit where torch's eager layers are not."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lookalike.errors import MissingExtraError


class CompiledTower:
    """A tower for inputs of float32 (n, 3, height, width), computing in `precision`, "f32" or "bf16".

    May be called from several threads; `streams` of them compute at once, on one core each. Each batch size that comes
    is compiled once, which takes seconds. Raises MissingExtraError where OpenVINO is not installed.
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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer's, of sizes that are constant here
            self._model = openvino.convert_model(tower, example_input=torch.zeros(2, 3, *size))
        self._lock = threading.Lock()
        self._networks: dict[int, Any] = {}
        self._this_thread = threading.local()

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features, float32 (n, dim), of any length."""
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
