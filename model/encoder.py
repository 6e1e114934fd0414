"""What an encoder is: it turns pictures into unit vectors, and its spec says exactly which encoder it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes the encoder's input, in open_clip's terms.

    `size` is (height, width) in pixels. `mean` and `std` are per channel, for values from 0 to 1. `resize_mode` is
    "shortest" (then cropped at the centre), "longest" (then padded with `fill_color`) or "squash". With a
    `reducing_gap` (Pillow's term), a larger picture is first shrunk by whole factors, to at least `reducing_gap` times
    `size`.
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    resize_mode: str
    fill_color: int = 0
    reducing_gap: float | None = None


ARITHMETICS = ("torch-f32", "torch-bf16", "torch-bf16-compiled")
"""What a CLIP tower can compute with: the engine, the precision, and whether torch compiles the model, which takes a
minute and a C++ compiler. The first is the reference for the others (see `calibration`)."""


@dataclass(frozen=True)
class EncoderSpec:
    """Identifies an encoder, so that an index can tell whether a vector comes from the same one.

    Two specs are equal if their architecture, weights (the sha256 of the file), preprocessing, `dim` and `look_dim` are
    equal. Two fields don't count: `name`, which the encoder was loaded by, and `arithmetic`, one of `ARITHMETICS` or
    "onnxruntime". An arithmetic chosen by calibration changes no similarity by more than 0.002.

    An encoder with a second head has a `look_dim`. Its rows have `width` numbers: the first `dim` are the unit vector
    for `similarity`, the others the unit vector for `look`.

    >>> preprocessing = Preprocessing((8, 8), (0.5,) * 3, (0.5,) * 3, "bicubic", "squash")
    >>> spec = EncoderSpec("toy", "toy", "ab" * 32, 4, preprocessing)
    >>> print(spec)
    toy@abababab
    >>> EncoderSpec.from_json(spec.to_json()) == spec
    True
    """

    name: str = field(compare=False)
    architecture: str
    weights_sha256: str
    dim: int
    preprocessing: Preprocessing
    arithmetic: str = field(default=ARITHMETICS[0], compare=False)
    look_dim: int = 0

    @property
    def width(self) -> int:
        """How many numbers a vector has: those for `similarity`, then those for `look`."""
        return self.dim + self.look_dim

    def parts(self, vectors: Vectors) -> tuple[Vectors, ...]:
        """The columns of vectors, float32 (n, width), for `similarity`, and those for `look` if there is a second head.

        >>> spec = EncoderSpec("toy", "toy", "", 2, Preprocessing((1, 1), (0.0,), (1.0,), "box", "squash"), look_dim=1)
        >>> [part.tolist() for part in spec.parts(np.array([[0, 1, 1]], np.float32))]
        [[[0.0, 1.0]], [[1.0]]]
        """
        return (vectors[:, : self.dim], vectors[:, self.dim :])[: 2 if self.look_dim else 1]

    def are_unit(self, vectors: Vectors) -> bool:
        """Whether each part of each row, of float32 (n, width), has length 1."""
        return all(bool(np.all(np.abs(np.linalg.norm(part, axis=1) - 1) < 1e-3)) for part in self.parts(vectors))

    def __str__(self) -> str:
        return f"{self.name}@{self.weights_sha256[:8]}"

    def to_json(self) -> dict[str, Any]:
        """The spec as plain JSON values; without `look_dim` if there is no second head."""
        values = asdict(self)
        if not self.look_dim:  # so that digests and cache keys of such encoders stay as they were
            del values["look_dim"]
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> EncoderSpec:
        """The spec that `to_json` returned. Raises KeyError, TypeError or ValueError for other values."""
        given = values["preprocessing"]
        height, width = (int(v) for v in given["size"])
        preprocessing = Preprocessing(
            size=(height, width),
            mean=tuple(float(v) for v in given["mean"]),
            std=tuple(float(v) for v in given["std"]),
            interpolation=str(given["interpolation"]),
            resize_mode=str(given["resize_mode"]),
            fill_color=int(given["fill_color"]),
            reducing_gap=None if given.get("reducing_gap") is None else float(given["reducing_gap"]),
        )
        return cls(
            name=str(values["name"]),
            architecture=str(values["architecture"]),
            weights_sha256=str(values["weights_sha256"]),
            dim=int(values["dim"]),
            preprocessing=preprocessing,
            arithmetic=str(values.get("arithmetic", ARITHMETICS[0])),
            look_dim=int(values.get("look_dim", 0)),
        )


class Encoder(Protocol):
    """Anything that turns pictures into unit vectors. All methods can be called from several threads."""

    @property
    def spec(self) -> EncoderSpec:
        """Which encoder this is."""

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """Turn one RGB picture into input, uint8 (height, width, 3). It can run while `embed` computes."""

    def embed(self, inputs: Sequence[NDArray[np.uint8]]) -> Vectors:
        """Turn the results of `prepare` into vectors: float32 (n, width), in the same order.

        The first `dim` numbers of a row have length 1, and so have the rest, if there are any (see `EncoderSpec`).
        """

    def encode(self, images: Sequence[Image.Image]) -> Vectors:
        """Turn RGB pictures into vectors, as `embed` gives them, in the same order."""


@runtime_checkable
class Threaded(Encoder, Protocol):
    """An encoder that can be told how many cores to use."""

    def in_threads(self, most: int) -> Encoder:
        """The same encoder, computing on at most so many cores for one call of `embed`."""
