"""An adapter: a linear map, with an offset, that suits an encoder's finished vectors to one catalogue.

It is fitted in `lookalike.adapting` and stored as one safetensors file, which holds no code. Only the part of a vector
that stands for `similarity` is mapped; the one for `look` stays as it is. Beside the map there are some that were
fitted to fewer labels, so that each label can be looked up by a map that has not seen it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.disk import read_regular, written
from lookalike.errors import EncoderError, EncoderMismatchError

from .encoder import Encoder, EncoderSpec, Vectors, in_threads

FORMAT, VERSION = "lookalike-adapter", 2
_MOST_BYTES = 400 << 20  # six maps of 4,096 by 4,096 numbers, and what they were fitted on
_MOST_FOLDS = 100
_DIGEST_BYTES = 8  # of one label, as a policy's `tuned_on` has them
_MOST = 1e6  # a larger number could make a vector infinite
_BLOCK = 1 << 14


@dataclass(frozen=True, eq=False)
class Fold:
    """An adapter's map as it is fitted without some labels, nor any other of the same products or photos.

    `matrix` and `offset` are as in `Adapter`. `left_out` holds digests of those labelled listings and photos, as a
    policy's `tuned_on` does.
    """

    matrix: NDArray[np.float32]
    offset: NDArray[np.float32]
    left_out: str


@dataclass(frozen=True, eq=False)
class Adapter:
    """Maps the similarity part x of a vector to the direction of matrix · (x − offset).

    `matrix` is float32 (dim, dim), `offset` float32 (dim,). `spec` is the encoder that it is for, without adapter. Each
    label that it was fitted to is left out by one of `folds`; without folds, it was fitted to none. `figures` are plain
    JSON values: what the fit was measured to gain.
    """

    spec: EncoderSpec
    matrix: NDArray[np.float32]
    offset: NDArray[np.float32]
    folds: tuple[Fold, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def fitted_on(self) -> str:
        """Digests of the labelled listings and photos that it was fitted to, in base64."""
        return base64.b64encode(b"".join(base64.b64decode(fold.left_out) for fold in self.folds)).decode()

    @cached_property
    def sha256(self) -> str:
        """The sha256 of its file, in hexadecimal."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @property
    def adapted_spec(self) -> EncoderSpec:
        """The spec of the encoder with this adapter."""
        return self.spec.with_adapter(self.sha256)

    def map(self, vectors: Vectors, *, out: Vectors | None = None) -> Vectors:
        """The adapted vectors, float32 (n, width), of those that the encoder made; `vectors` may be memory-mapped.

        They are written into `out`, if given. A vector that is the offset has no direction, and stays as it is.
        """
        mapped = np.empty(vectors.shape, np.float32) if out is None else out
        dim = self.spec.dim
        for start in range(0, len(vectors), _BLOCK):
            block = np.asarray(vectors[start : start + _BLOCK], np.float32)
            similarity = (block[:, :dim] - self.offset) @ self.matrix.T
            length = np.linalg.norm(similarity, axis=1, keepdims=True)
            lost = ~(length > np.finfo(np.float32).tiny)
            rows = mapped[start : start + _BLOCK]
            rows[:, :dim] = np.where(lost, block[:, :dim], similarity / np.where(lost, 1, length))
            rows[:, dim:] = block[:, dim:]
        return mapped

    def to_bytes(self) -> bytes:
        """Its file: a safetensors file of its map and those of its folds, with the rest as JSON in the metadata."""
        from safetensors.numpy import save

        said = {
            "format": FORMAT,
            "version": VERSION,
            "encoder": self.spec.to_json(),
            "left_out": [fold.left_out for fold in self.folds],
            "figures": dict(self.figures),
        }
        dim = self.spec.dim
        arrays = {
            "matrix": self.matrix,
            "offset": self.offset,
            "fold_matrices": np.array([fold.matrix for fold in self.folds], np.float32).reshape(-1, dim, dim),
            "fold_offsets": np.array([fold.offset for fold in self.folds], np.float32).reshape(-1, dim),
        }
        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        return bytes(save(contiguous, metadata={"lookalike": json.dumps(said, sort_keys=True)}))

    def save(self, path: str | Path) -> None:
        """Write the file, whole or not at all."""
        with written(Path(path)) as temporary:
            temporary.write_bytes(self.to_bytes())

    @classmethod
    def load(cls, path: str | Path) -> Adapter:
        """Read an adapter's file. Raises EncoderError for what is none, or was made by another version."""
        try:
            return cls.from_bytes(read_regular(Path(path), most=_MOST_BYTES))
        except OSError as error:
            raise EncoderError(f"the adapter {path} can't be read: {error.strerror or error}") from error
        except EncoderError as error:
            raise EncoderError(f"{path} is no adapter ({error}); make one with: lookalike adapt fit") from error

    @classmethod
    def from_bytes(cls, data: bytes) -> Adapter:
        """The adapter of a file's bytes. Raises EncoderError for what is none."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            arrays = load(data)
            said = json.loads(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["lookalike"])
            if (said["format"], said["version"]) != (FORMAT, VERSION):
                raise ValueError(f"its format is {str(said['format'])[:40]} {str(said['version'])[:10]}")
            spec, figures = EncoderSpec.from_json(said["encoder"]), dict(said["figures"])
            if spec.adapted is not None:
                raise ValueError("it is for an adapted encoder")
            left_out = [_digests(each) for each in said["left_out"]]
            shapes = _shapes(spec.dim, len(left_out))
            matrix, offset, *of_folds = (_checked(name, arrays[name], shape) for name, shape in shapes.items())
        except (SafetensorError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise EncoderError(str(error)) from error
        return cls(spec, matrix, offset, tuple(map(Fold, *of_folds, left_out)), figures)


def _shapes(dim: int, folds: int) -> dict[str, tuple[int, ...]]:
    """The shape of each array of a file."""
    if folds == 1 or folds > _MOST_FOLDS:
        raise ValueError(f"it has {folds} folds, expected none or 2 to {_MOST_FOLDS}")
    return {
        "matrix": (dim, dim),
        "offset": (dim,),
        "fold_matrices": (folds, dim, dim),
        "fold_offsets": (folds, dim),
    }


def _checked(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float32]:
    if array.shape != shape or array.dtype != np.float32 or not np.all(np.abs(array) < _MOST):
        raise ValueError(f"its {name} is not float32 {shape} of finite numbers")
    return array


def _digests(text: object) -> str:
    """Digests of labels in base64. Raises ValueError for anything else."""
    if not isinstance(text, str) or len(base64.b64decode(text, validate=True)) % _DIGEST_BYTES:
        raise ValueError("it doesn't say which labels its folds leave out")
    return text


class AdaptedEncoder:
    """An encoder with an adapter behind it. Raises EncoderMismatchError for an adapter of another encoder."""

    def __init__(self, encoder: Encoder, adapter: Adapter) -> None:
        if encoder.spec != adapter.spec:
            raise EncoderMismatchError(
                f"the adapter is for {adapter.spec}, but the encoder is {encoder.spec}; load that encoder (--model, "
                "--weights), or fit an adapter for this one with: lookalike adapt fit"
            )
        self.encoder, self.adapter = encoder, adapter
        self._spec = encoder.spec.with_adapter(adapter.sha256)

    @property
    def spec(self) -> EncoderSpec:
        """Which encoder this is."""
        return self._spec

    def in_threads(self, most: int) -> AdaptedEncoder:
        """The same encoder, computing on at most so many cores for one call of `embed`, if it can be told."""
        return AdaptedEncoder(in_threads(self.encoder, most), self.adapter)

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """Turn one RGB picture into input, uint8 (height, width, 3)."""
        return self.encoder.prepare(image)

    def embed(self, inputs: Sequence[NDArray[np.uint8]]) -> Vectors:
        """Turn the results of `prepare` into vectors: float32 (n, width), in the same order."""
        return self.adapter.map(self.encoder.embed(inputs))

    def encode(self, images: Sequence[Image.Image]) -> Vectors:
        """Turn RGB pictures into vectors, as `embed` gives them, in the same order."""
        return self.adapter.map(self.encoder.encode(images))


def unadapted(encoder: Encoder) -> Encoder:
    """The encoder without its adapter, if it has one."""
    return encoder.encoder if isinstance(encoder, AdaptedEncoder) else encoder
