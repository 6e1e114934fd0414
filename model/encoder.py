"""What an encoder is: it turns pictures into unit vectors, and its spec says exactly which encoder it is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
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
class Adapted:
    """What an adapted encoder is made of: the sha256 of the weights, and that of the adapter's file, in hexadecimal."""

    weights_sha256: str
    adapter_sha256: str

    @property
    def sha256(self) -> str:
        """What stands for both: the sha256 of the two, in a row."""
        return hashlib.sha256(f"{self.weights_sha256} {self.adapter_sha256}".encode()).hexdigest()


@dataclass(frozen=True)
class EncoderSpec:
    """Identifies an encoder, so that an index can tell whether a vector comes from the same one.

    Two specs are equal if their architecture, weights (the sha256 of the file), preprocessing, `dim` and `look_dim` are
    equal. Two fields don't count: `name`, which the encoder was loaded by, and `arithmetic`, one of `ARITHMETICS` or
    "onnxruntime". An arithmetic chosen by calibration changes no similarity by more than 0.002.

    An encoder with a second head has a `look_dim`. Its rows have `width` numbers: the first `dim` are the unit vector
    for `similarity`, the others the unit vector for `look`.

    Of an encoder with an adapter (see `adapter.AdaptedEncoder`), `adapted` says what it is made of, and
    `weights_sha256` stands for weights and adapter together. So what is bound to the weights is bound to the adapter.

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
    adapted: Adapted | None = None

    @property
    def unadapted(self) -> EncoderSpec:
        """The encoder without its adapter, if it has one."""
        if self.adapted is None:
            return self
        return replace(self, weights_sha256=self.adapted.weights_sha256, adapted=None)

    def with_adapter(self, adapter_sha256: str) -> EncoderSpec:
        """The encoder with the adapter whose file has this sha256, in place of the one that it may have.

        As text it ends, like any other, with the first digits of its `weights_sha256`.

        >>> preprocessing = Preprocessing((8, 8), (0.5,) * 3, (0.5,) * 3, "bicubic", "squash")
        >>> print(EncoderSpec("toy", "toy", "ab" * 32, 4, preprocessing).with_adapter("cd" * 32))
        toy@abababab+adapter@ad4788d0
        """
        adapted = Adapted(self.unadapted.weights_sha256, adapter_sha256)
        return replace(self, weights_sha256=adapted.sha256, adapted=adapted)

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
        if self.adapted is not None:
            return f"{self.unadapted}+adapter@{self.weights_sha256[:8]}"
        return f"{self.name}@{self.weights_sha256[:8]}"

    def to_json(self) -> dict[str, Any]:
        """The spec as plain JSON values; without `look_dim` and `adapted` if there is no second head or no adapter."""
        values = asdict(self)
        for name in ("look_dim", "adapted"):  # so that digests and cache keys of such encoders stay as they were
            if not values[name]:
                del values[name]
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> EncoderSpec:
        """The spec that `to_json` returned. Raises KeyError, TypeError or ValueError for other values."""
        made_of = values.get("adapted")
        adapted = None if made_of is None else Adapted(str(made_of["weights_sha256"]), str(made_of["adapter_sha256"]))
        if adapted is not None and adapted.sha256 != values["weights_sha256"]:
            raise ValueError("weights_sha256 does not stand for these weights and this adapter")
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
            adapted=adapted,
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


def in_threads(encoder: Encoder, most: int) -> Encoder:
    """The same encoder, computing on at most so many cores for one call of `embed`, if it can be told."""
    return encoder.in_threads(most) if isinstance(encoder, Threaded) else encoder
