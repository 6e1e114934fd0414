"""Labelled vectors drawn at random: products, photos of them that differ in one direction more or less, strangers."""

from __future__ import annotations

import numpy as np

from lookalike.adapting.fitting import LabelledVectors
from lookalike.model.encoder import Vectors


def drawn_labels(
    products: int, *, dim: int = 16, photos: int = 2, nuisance: float = 0.0, noise: float = 0.5, seed: int = 0
) -> LabelledVectors:
    """One reference and some photos of each product, and as many photos of other products.

    Photos differ by `noise` in all directions, and by `nuisance` in the first one.
    """
    rng = np.random.default_rng(seed)
    every = rng.normal(size=(2 * products, dim))
    shown = np.repeat(np.arange(2 * products), photos)
    moved = every[shown] + noise * rng.normal(size=(len(shown), dim))
    moved[:, 0] += nuisance * rng.normal(size=len(shown)) * np.sqrt(dim)
    right = tuple(frozenset({each} if each < products else ()) for each in shown.tolist())
    return LabelledVectors(
        _unit(moved), right, np.ones(len(shown), bool), _unit(every[:products]), np.arange(products, dtype=np.int64)
    )


def _unit(rows: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Vectors:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
