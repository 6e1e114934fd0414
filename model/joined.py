"""Several encoders as one: two that err on other pictures find together what each of them misses."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .encoder import EncoderSpec, Vectors
from .onnx import OnnxEncoder, encoded, unit
from .resize import fitted


class JoinedEncoder:
    """Encodes with several ONNX encoders. Its similarity is the mean of theirs, as is its look, where they have one.

    A picture is prepared once, as the first encoder wants it. The others, whose sides are whole fractions of the
    first's, get it shrunk by taking means. Raises ValueError for other sides.
    """

    def __init__(self, encoders: Sequence[OnnxEncoder], *, name: str) -> None:
        first, specs = encoders[0].spec, [encoder.spec for encoder in encoders]
        height, width = first.preprocessing.size
        for spec in specs:
            h, w = spec.preprocessing.size
            if height % h or width % w:
                raise ValueError(
                    f"{spec} takes {h} x {w} pixels, no whole fraction of the {height} x {width} of {first}"
                )
        self._encoders = tuple(encoders)
        self._spec = EncoderSpec(
            name=name,
            architecture="+".join(spec.architecture for spec in specs),
            weights_sha256=hashlib.sha256(" ".join(spec.weights_sha256 for spec in specs).encode()).hexdigest(),
            dim=sum(spec.dim for spec in specs),
            preprocessing=first.preprocessing,
            arithmetic=first.arithmetic,
            look_dim=sum(spec.look_dim for spec in specs),
        )

    @property
    def spec(self) -> EncoderSpec:
        """Which encoder this is. Its `weights_sha256` is that of the others' in a row."""
        return self._spec

    @property
    def device(self) -> str:
        """Where it computes."""
        return "cpu"

    @property
    def weights_bytes(self) -> int:
        """The size of all files."""
        return sum(encoder.weights_bytes for encoder in self._encoders)

    def in_threads(self, most: int) -> JoinedEncoder:
        """The same encoder, computing on at most so many cores for one call of `embed`."""
        other = copy.copy(self)
        other._encoders = tuple(encoder.in_threads(most) for encoder in self._encoders)
        return other

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """Turn one RGB picture into input, uint8 (height, width, 3)."""
        return np.asarray(fitted(image, self._spec.preprocessing))

    def embed(self, inputs: Sequence[NDArray[np.uint8]]) -> Vectors:
        """Turn the results of `prepare` into vectors: float32 (n, width), each part of length 1, in the same order.

        Raises EncoderError if a graph fails, or gives what is no vector.
        """
        found = [
            encoder.spec.parts(encoder.embed([_shrunk(each, encoder.spec.preprocessing.size) for each in inputs]))
            for encoder in self._encoders
        ]
        heads = [[parts[at] for parts in found if len(parts) > at] for at in (0, 1)]
        return np.concatenate([unit(np.concatenate(parts, axis=1)) for parts in heads if parts], axis=1)

    def encode(self, images: Sequence[Image.Image]) -> Vectors:
        """Turn RGB pictures into vectors, as `embed` gives them, in the same order."""
        return encoded(self, images)


def _shrunk(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Means of blocks of uint8 (height, width, 3); halves are rounded to even."""
    (height, width), (h, w) = pixels.shape[:2], size
    if (height, width) == size:
        return pixels
    blocks = pixels.reshape(h, height // h, w, width // w, 3).mean(axis=(1, 3), dtype=np.float32)
    return np.asarray(np.rint(blocks), np.uint8)
