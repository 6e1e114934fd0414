"""An encoder in an ONNX file: it computes with ONNX Runtime, on the CPU."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.cores import Threads, available_cores, renew_in_children
from lookalike.errors import EncoderError

from .encoder import Encoder, EncoderSpec, Vectors
from .onnx_file import OnnxFile, open_onnx, run
from .resize import fitted

_BATCH = 8  # what eight pictures leave between two layers stays in the caches
_TOGETHER = 64  # pictures prepared at a time


class OnnxEncoder:
    """Encodes with an ONNX file, one batch on each core. See `open_onnx` for the files that it takes, and for errors.

    Both parts of each vector are given length 1 here, so the graph need not do it.
    """

    def __init__(self, path: Path, *, name: str, description: Mapping[str, Any] | None = None) -> None:
        file, session = open_onnx(path, name=name, description=description)
        self._spec, self._shared = file.spec, _Shared(file, session)
        self._batch = 1 if file.graph.one_at_a_time else _BATCH
        self._threads: int | None = None

    @property
    def spec(self) -> EncoderSpec:
        """Which encoder this is."""
        return self._spec

    @property
    def device(self) -> str:
        """Where it computes."""
        return "cpu"

    @property
    def file(self) -> OnnxFile:
        """The file it computes with."""
        return self._shared.file

    @property
    def weights_bytes(self) -> int:
        """The size of the file."""
        return self.file.weights_bytes

    def in_batches(self, size: int) -> OnnxEncoder:
        """The same encoder, computing on `size` pictures at a time."""
        other = copy.copy(self)
        other._batch = 1 if self.file.graph.one_at_a_time else size
        return other

    def in_threads(self, most: int) -> OnnxEncoder:
        """The same encoder, computing on at most so many cores for one call of `embed`."""
        other = copy.copy(self)
        other._threads = most if self._threads is None else min(most, self._threads)
        return other

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """Turn one RGB picture into input, uint8 (height, width, 3)."""
        return np.asarray(fitted(image, self._spec.preprocessing))

    def embed(self, inputs: Sequence[NDArray[np.uint8]]) -> Vectors:
        """Turn the results of `prepare` into vectors: float32 (n, width), each part of length 1, in the same order.

        Raises EncoderError if the graph fails, or gives what is no vector.
        """
        size = self._batch
        if self._threads is not None:  # even a few pictures go to as many cores as were asked for
            size = max(1, min(size, -(-len(inputs) // self._threads)))
        batches = [inputs[start : start + size] for start in range(0, len(inputs), size)]
        vectors: Iterable[Vectors] = map(self._embed, batches)
        if len(batches) > 1 and (cores := self._threads or available_cores()) > 1:
            vectors = _apart.map(self._embed, batches, most=cores)
        return np.concatenate([np.empty((0, self._spec.width), np.float32), *vectors])

    def encode(self, images: Sequence[Image.Image]) -> Vectors:
        """Turn RGB pictures into vectors, as `embed` gives them, in the same order."""
        return encoded(self, images)

    def _embed(self, inputs: Sequence[NDArray[np.uint8]]) -> Vectors:
        try:
            found = run(self._shared.session(), self.file.graph, self._spec.preprocessing, np.stack(inputs))
        except EncoderError:
            raise
        except Exception as error:  # onnxruntime has a class of its own for each of a dozen causes
            raise EncoderError(f"{self._spec} failed on {len(inputs)} pictures: {error}") from error
        if found.shape != (len(inputs), self._spec.width) or not np.isfinite(found).all():
            raise EncoderError(
                f"{self._spec} gave {found.shape} or numbers that aren't finite for {len(inputs)} pictures"
            )
        return np.concatenate([unit(part) for part in np.split(found, [self._spec.dim], axis=1)], axis=1)


class _Shared:
    """The session that copies of an encoder share. A forked child opens its own, since another thread may be in it."""

    def __init__(self, file: OnnxFile, session: Any) -> None:
        self.file, self._session, self._abandoned = file, session, list[Any]()
        self._lock = threading.Lock()
        renew_in_children(self)

    def renew(self) -> None:
        self._abandoned.append(self._session)  # to close it could wait for a thread that isn't there
        self._session, self._lock = None, threading.Lock()

    def session(self) -> Any:
        with self._lock:
            if self._session is None:
                self._session = self.file.open_again()
            return self._session


def encoded(encoder: Encoder, images: Sequence[Image.Image]) -> Vectors:
    """The vectors of RGB pictures, float32 (n, width), with 64 of them prepared at a time."""
    parts = [images[start : start + _TOGETHER] for start in range(0, len(images), _TOGETHER)]
    vectors = [encoder.embed([encoder.prepare(image) for image in part]) for part in parts]
    return np.concatenate([np.empty((0, encoder.spec.width), np.float32), *vectors])


def unit(rows: Vectors) -> Vectors:
    """The rows, float32 (n, dim), each of length 1; rows of zeros stay."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-12)))


_apart = Threads("lookalike-embed")
