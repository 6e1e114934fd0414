"""What an encoder is: pictures in, unit vectors out, and a spec that says exactly which one it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes the encoder's input, in open_clip's terms.

    `size` is (height, width) in pixels; `mean` and `std` are per channel, of values 0 to 1; `resize_mode`
    is "shortest" (then cropped in the middle), "longest" (then padded with `fill_color`) or "squash". With
    `reducing_gap`, Pillow's term, a larger picture is first shrunk by a whole number, to at least so many times `size`.
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    resize_mode: str
    fill_color: int = 0
    reducing_gap: float | None = None


ARITHMETICS = ("torch-f32", "torch-bf16", "torch-bf16-compiled", "openvino-f32", "openvino-bf16")
"""What an encoder can compute with: engine, precision, and whether torch compiles it, which takes a minute and a
compiler. The first is what the others are held against (see `calibration`)."""


@dataclass(frozen=True)
class EncoderSpec:
    """Names an encoder so that an index can tell whether a query's vectors belong to it.

    Two specs are equal when architecture, weights (by the sha256 of their file), preprocessing and `dim`
    are. Two things don't count: `name`, what it was asked for as, and `arithmetic`, one of `ARITHMETICS`, with which
    the vectors were computed: one that is chosen by calibration moves no similarity by more than 0.002.

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

    def __str__(self) -> str:
        return f"{self.name}@{self.weights_sha256[:8]}"

    def to_json(self) -> dict[str, Any]:
        """The spec as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> EncoderSpec:
        """The spec that `to_json` gave. Raises KeyError, TypeError or ValueError for anything else."""
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
        )


class Encoder(Protocol):
    """Anything that turns pictures into unit vectors. All methods may be called from several threads."""

    @property
    def spec(self) -> EncoderSpec:
        """Which encoder it is."""

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """One RGB picture as input: uint8 (height, width, 3). Needs no batch, so it may run beside `embed`."""

    def embed(self, inputs: Sequence[NDArray[np.uint8]]) -> Vectors:
        """What `prepare` gave, to vectors: float32 (n, dim), rows of length 1, in the order given."""

    def encode(self, images: Sequence[Image.Image]) -> Vectors:
        """RGB pictures to vectors: float32 (n, dim), rows of length 1, in the order given."""


def load_encoder(
    model: str = "embedded",
    *,
    weights: str | Path | None = None,
    device: str | None = None,
    arithmetic: str | None = None,
) -> Encoder:
    """Load a preset (see `presets`), or any open_clip model as "ARCHITECTURE/TAG", or an architecture with `weights`.

    `device` is "cpu" or "cuda"; by default a GPU where there is one. Public weights are fetched once and
    kept in the Hugging Face cache; `weights` is a local safetensors file, or a torch checkpoint, which
    is read without unpickling code. `arithmetic` is one of `ARITHMETICS`; by default that which `calibration` found
    fastest for these weights on this machine, else torch's in float32. The encoder's spec names it.

    Raises UnknownModelError for a name that nothing answers to, WeightsError where weights are missing, can't be
    fetched or are of another architecture, EncoderError for an arithmetic that can't be had there, and
    MissingExtraError for OpenVINO where it is not installed.
    """
    from .clip import load_clip_encoder  # open_clip takes seconds and 700 MB to import

    return load_clip_encoder(model, weights=weights, device=device, arithmetic=arithmetic)
