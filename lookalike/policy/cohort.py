"""One similarity for all: what a photo has in common with any background photo says nothing about look-alikes.

Some photos are near to everything (a plain shoe on white), others to nothing. Normalisation measures how near a photo
is to a cohort of background listings and takes that off, so that one threshold means the same for every photo.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import PolicyError

METHODS = ("subtract", "s-norm")
_ROWS = 4096
_SPREAD = 1e-3  # a cohort of equal photos has none
_LARGEST = 1 << 28

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Level:
    """How near each of n vectors is to its nearest cohort photos: `mean` and `spread` (standard deviation), (n,)."""

    mean: NDArray[np.float32]
    spread: NDArray[np.float32]

    def of(self, rows: Sequence[int] | NDArray[np.intp]) -> Level:
        """The level of those rows (m,), each as often as it is named."""
        return Level(self.mean[np.asarray(rows, np.intp)], self.spread[np.asarray(rows, np.intp)])


@dataclass(frozen=True)
class Cohort:
    """Vectors float32 (n, dim) of background photos, rows of length 1, and how a similarity is set against them.

    `subtract`: the similarity less `share` of the photo's mean similarity to its `nearest` cohort photos, which leaves
    the ranking of references as it is (SSCD, arXiv 2202.10261, section 4.3). `s-norm`: adaptive symmetric
    normalisation, the mean of the similarity's standard scores among the photo's and among the reference's `nearest`
    cohort photos (Matějka et al., "Analysis of Score Normalization in Multilingual Speaker Recognition", 2017).

    The defaults are what did best for the embedded encoder on held-out photos (`scripts/benchmarks/promise.py`); s-norm
    needs more of them, 200 there. Raises PolicyError for another method, and for numbers out of range.
    """

    vectors: Vectors
    method: str = "subtract"
    nearest: int = 2
    share: float = 0.5

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise PolicyError(f"a cohort can't be used by {self.method!r}; choose {' or '.join(METHODS)}")
        count = len(self.vectors)
        if not (2 <= self.nearest <= count and 0 <= self.share <= 2):
            raise PolicyError(f"a cohort of {count} with nearest {self.nearest} and share {self.share}; "
                              f"needed 2 <= nearest <= {count} and 0 <= share <= 2")  # fmt: skip

    def level(self, vectors: Vectors) -> Level:
        """How near vectors (n, dim) are to the cohort.

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
        """The digest of the file that `save` writes."""
        return hashlib.sha256(self._bytes()).hexdigest()

    def said(self) -> dict[str, Any]:
        """What a policy says of the cohort."""
        return {"method": self.method, "nearest": self.nearest, "share": self.share, "count": len(self.vectors),
                "sha256": self.sha256}  # fmt: skip

    def save(self, path: Path) -> None:
        """Write the vectors as a .npy file, in one step."""
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_bytes(self._bytes())
        temporary.replace(path)

    def _bytes(self) -> bytes:
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(self.vectors, "<f4"), allow_pickle=False)
        return buffer.getvalue()


def load_cohort(said: Mapping[str, Any], *, folder: Path | None, source: str) -> Cohort:
    """The cohort that a policy names. Raises PolicyError where it is missing, damaged or not the one meant."""
    name = said.get("file")
    if folder is None or not isinstance(name, str) or Path(name).name != name:
        raise PolicyError(f"the policy {source} names the cohort {name!r}; needed the name of a file beside the policy")
    path = folder / name
    try:
        if path.stat().st_size > _LARGEST:
            raise PolicyError(f"the cohort {path} is larger than {_LARGEST >> 20} MiB; use fewer background photos")
        data = path.read_bytes()
        vectors = np.load(io.BytesIO(data), allow_pickle=False)
    except (OSError, ValueError) as error:
        raise PolicyError(f"the cohort {path} of the policy {source} can't be read: {error}") from error
    if hashlib.sha256(data).hexdigest() != said.get("sha256"):
        raise PolicyError(f"the cohort {path} is not the one that the policy {source} was tuned with; tune again")
    if (
        vectors.ndim != 2
        or vectors.dtype != np.float32
        or not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    ):
        raise PolicyError(f"the cohort {path} is {vectors.dtype} {vectors.shape}; needed float32 rows of length 1")
    nearest, share = said.get("nearest", 2), said.get("share", 0.5)
    if type(nearest) is not int or not isinstance(share, int | float):
        raise PolicyError(f"the policy {source} has nearest = {nearest!r} and share = {share!r}; needed numbers")
    return Cohort(vectors, str(said.get("method")), nearest, float(share))
