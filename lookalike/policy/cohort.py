"""Similarities that mean the same for every photo, normalised by a cohort of background photos.

Some photos are similar to everything (a plain shoe on white), others to nothing. Normalisation measures how similar a
photo is to background listings and subtracts that, so that one threshold suits every photo.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.disk import written
from lookalike.errors import PolicyError

METHODS = ("subtract", "s-norm")
_ROWS = 4096
_SPREAD = 1e-3  # the least: a cohort of equal photos has none

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Level:
    """Each vector's similarity to its nearest cohort photos: `mean` and `spread` (standard deviation), float32 (n,)."""

    mean: NDArray[np.float32]
    spread: NDArray[np.float32]

    def of(self, rows: Sequence[int] | NDArray[np.intp]) -> Level:
        """The levels of the given rows (m,), repeated if a row is."""
        return Level(self.mean[np.asarray(rows, np.intp)], self.spread[np.asarray(rows, np.intp)])


@dataclass(frozen=True)
class Cohort:
    """Vectors of background photos, float32 (n, dim) with rows of length 1, and how they normalise a similarity.

    `subtract` subtracts `share` times the photo's mean similarity to its `nearest` cohort photos. The ranking of
    references stays the same (SSCD, arXiv 2202.10261, section 4.3). `s-norm` is adaptive symmetric normalisation: the
    mean of two standard scores of the similarity, one among the photo's `nearest` cohort photos and one among the
    reference's (Matějka et al., "Analysis of Score Normalization in Multilingual Speaker Recognition", 2017).

    The defaults did best for the embedded encoder on held-out photos (`scripts/benchmarks/promise.py`); s-norm did best
    there with 200 nearest photos. Raises PolicyError for another method and for numbers out of range.
    """

    vectors: Vectors
    method: str = "subtract"
    nearest: int = 2
    share: float = 0.5

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise PolicyError(f"the cohort's method is {self.method[:40]!r}, expected {' or '.join(METHODS)}")
        count = len(self.vectors)
        if not (2 <= self.nearest <= count and 0 <= self.share <= 2):
            raise PolicyError(f"the cohort of {count} photos has nearest {self.nearest} and share {self.share}, "
                              f"expected 2 <= nearest <= {count} and 0 <= share <= 2")  # fmt: skip

    def level(self, vectors: Vectors) -> Level:
        """How similar the cohort is to each of the vectors (n, dim).

        >>> east = np.array([[1, 0]], np.float32)
        >>> Cohort(np.array([[1, 0], [0.6, 0.8]], np.float32), nearest=2).level(east).mean
        array([0.8], dtype=float32)
        """
        means, spreads = [], []
        for start in range(0, len(vectors), _ROWS):
            similarity = vectors[start : start + _ROWS] @ self.vectors.T
            nearest = np.partition(similarity, -self.nearest, axis=1)[:, -self.nearest :]
            means.append(nearest.mean(axis=1))
            spreads.append(nearest.std(axis=1))
        empty = np.empty(0, np.float32)
        return Level(np.concatenate([empty, *means]), np.concatenate([empty, *spreads]))

    def normalise(
        self, similarity: NDArray[np.float32], photo: Level, reference: Level | None = None
    ) -> NDArray[np.float32]:
        """The normalised similarities of pairs (n,), given the levels of their photos and, for s-norm, references."""
        if self.method == "subtract":
            return similarity - np.float32(self.share) * photo.mean
        assert reference is not None, "s-norm needs the references' levels"
        scores = [(similarity - level.mean) / np.maximum(level.spread, _SPREAD) for level in (photo, reference)]
        return np.asarray(0.5 * (scores[0] + scores[1]), np.float32)

    @property
    def sha256(self) -> str:
        """The sha256 of the file that `save` writes."""
        return hashlib.sha256(self._bytes()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """The entries of a policy's [cohort] table except the file."""
        return {"method": self.method, "nearest": self.nearest, "share": self.share, "count": len(self.vectors),
                "sha256": self.sha256}  # fmt: skip

    def save(self, path: Path) -> None:
        """Write the vectors as a .npy file, which appears whole or not at all."""
        with written(path) as temporary:
            temporary.write_bytes(self._bytes())

    def _bytes(self) -> bytes:
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(self.vectors, "<f4"), allow_pickle=False)
        return buffer.getvalue()
