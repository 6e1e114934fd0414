"""Vectors to measure search on: drawn in clusters, or real ones repeated with noise, and queries near them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.model.encoder import EncoderSpec, Vectors

_BLOCK = 1 << 16


def unit(vectors: NDArray[Any]) -> Vectors:
    """The rows with length 1, float32 (n, dim)."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def unit_parts(rows: NDArray[Any], spec: EncoderSpec) -> Vectors:
    """Rows, (n, width), with each of their parts scaled to length 1, as the encoder makes them."""
    return np.hstack([unit(part) for part in spec.parts(np.asarray(rows, np.float32))])


def drawn_vectors(count: int, dim: int, rng: np.random.Generator) -> Iterator[Vectors]:
    """Blocks of unit vectors in clusters within clusters: kinds of goods, products of a kind, photos of a product."""
    kinds = unit(rng.standard_normal((max(8, count // 500), dim), dtype=np.float32))
    products = max(16, count // 8)
    around = unit(rng.standard_normal((products, dim), dtype=np.float32))
    centres = unit(kinds[rng.integers(0, len(kinds), products)] + 0.9 * around)
    for start in range(0, count, _BLOCK):
        rows = min(_BLOCK, count - start)
        around = unit(rng.standard_normal((rows, dim), dtype=np.float32))
        yield unit(centres[rng.integers(0, products, rows)] + 0.6 * around)


def repeated_vectors(real: Vectors, count: int, rng: np.random.Generator) -> Iterator[Vectors]:
    """Blocks of the real vectors, first unchanged, then again and again with noise, at a similarity of 0.75 to 0.98."""
    for start in range(0, count, len(real)):
        block = real[: count - start]
        yield block if start == 0 else _moved(block, rng.uniform(0.75, 0.98, (len(block), 1)), rng)


def queries_near(vectors: Vectors, count: int, rng: np.random.Generator) -> Vectors:
    """Queries (count, dim): half are vectors moved to a similarity of 0.5 to 1, half lie between two vectors."""
    own, other = (np.asarray(vectors[rng.integers(0, len(vectors), count)]) for _ in range(2))
    moved = _moved(own, rng.uniform(0.5, 1, (count, 1)), rng)
    share = rng.uniform(0, 0.5, (count, 1)).astype(np.float32)
    return np.where(np.arange(count)[:, None] % 2, moved, unit((1 - share) * own + share * other))


def _moved(vectors: Vectors, similarity: NDArray[np.float64], rng: np.random.Generator) -> Vectors:
    noise = rng.standard_normal(vectors.shape, dtype=np.float32)
    noise = unit(noise - np.sum(noise * vectors, axis=1, keepdims=True) * vectors)
    return unit(similarity * vectors + np.sqrt(1 - similarity**2) * noise)


def mapped_vectors(blocks: Iterator[Vectors], path: Path, shape: tuple[int, int]) -> Vectors:
    """Write the blocks to a .npy file and map it, so that the vectors themselves take no memory of the process."""
    mapped = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    place = 0
    for block in blocks:
        mapped[place : place + len(block)] = block
        place += len(block)
    return np.asarray(mapped)
