"""A toy encoder without weights: the mean colours of a 3 by 3 grid, made a unit vector. Fast and predictable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.model.adapter import Adapter
from lookalike.model.encoder import EncoderSpec, Preprocessing

_PREPROCESSING = Preprocessing((3, 3), (0.0,) * 3, (1.0,) * 3, "box", "squash")


class ToyEncoder:
    """Counts the pictures it embeds, so that tests can tell what was embedded again.

    With `look`, it has a second head that sees which colours there are, but not where.
    """

    def __init__(self, weights: str = "0" * 64, *, look: bool = False) -> None:
        self._spec = EncoderSpec("toy", "toy", weights, 28, _PREPROCESSING, look_dim=28 if look else 0)
        self.embedded = 0

    @property
    def spec(self) -> EncoderSpec:
        return self._spec

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        return np.asarray(image.resize((3, 3), Image.Resampling.BOX))

    def embed(self, inputs: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        self.embedded += len(inputs)
        cells = np.stack([np.float32(values.transpose(2, 0, 1)).reshape(3, 9) / 127.5 - 1 for values in inputs])
        seen = _units(cells)
        if not self._spec.look_dim:
            return seen
        # the colours by themselves, beside what sorted numbers of any picture have in common
        return np.hstack([seen, _units(np.sort(cells, axis=2) - np.linspace(-0.8, 0.8, 9, dtype=np.float32))])

    def encode(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        return self.embed([self.prepare(image) for image in images])


def _units(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    rows = np.hstack([cells.reshape(len(cells), -1), np.full((len(cells), 1), 0.1)])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def shuffled(path: Path, target: Path, *, seed: int = 1) -> Path:
    """Save a picture of the same colours as one of `save_pictures`, in other places."""
    cells = np.asarray(Image.open(path).resize((3, 3), Image.Resampling.NEAREST)).reshape(9, 3)
    moved = np.random.default_rng(seed).permutation(cells).reshape(3, 3, 3)
    Image.fromarray(moved).resize((30, 30), Image.Resampling.NEAREST).save(target)
    return target


def unit_vectors(count: int, dim: int = 28, *, seed: int = 0) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(count, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def clustered(count: int, dim: int = 32, *, seed: int = 0) -> NDArray[np.float32]:
    """Photos of products: each cluster of them of a cosine of about 0.9."""
    rng = np.random.default_rng(seed)
    centres = unit_vectors(count // 6, dim, seed=seed)[rng.integers(0, count // 6, count)]
    rows = centres + 0.35 * unit_vectors(count, dim, seed=seed + 1)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def near(vectors: NDArray[np.float32], count: int, *, seed: int = 5) -> NDArray[np.float32]:
    """Some of these vectors, each moved more or less far."""
    rng = np.random.default_rng(seed)
    rows = vectors[rng.integers(0, len(vectors), count)]
    rows = rows + rng.uniform(0, 1.2, (count, 1)) * unit_vectors(count, vectors.shape[1], seed=seed)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def save_pictures(folder: Path, count: int, *, seed: int = 0) -> list[Path]:
    """Pictures of random 3 by 3 colours, each unlike the others."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    paths = []
    for number in range(count):
        cells = rng.integers(0, 256, (3, 3, 3), np.uint8)
        path = folder / f"{seed}-{number}.png"
        Image.fromarray(cells).resize((30, 30), Image.Resampling.NEAREST).save(path)
        paths.append(path)
    return paths


def drawn_adapter(spec: EncoderSpec, *, seed: int = 3) -> Adapter:
    """An adapter that leaves nothing where it was."""
    rng = np.random.default_rng(seed)
    matrix = np.eye(spec.dim) + rng.normal(size=(spec.dim, spec.dim)) / spec.dim**0.5
    return Adapter(spec, matrix.astype(np.float32), rng.normal(size=spec.dim).astype(np.float32) / 10)
