"""The map itself: it weakens the directions in which photos of one product differ, and those that all photos share.

Labelled photos show two things: how a listing's photo differs from its product's genuine one, which should not count,
and along which directions any photos vary, which say little because all of them do. The map divides by the root of the
mean of both covariances. The first is within-class covariance normalisation (Hatch, Kajarekar and Stolcke, Interspeech
2006), the second whitening. Both are drawn towards a multiple of the identity, as by Ledoit and Wolf ("A
well-conditioned estimator for large-dimensional covariance matrices", 2004), the more so the fewer labels there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lookalike.model.encoder import Vectors

_PRIOR, _PRIOR_LABELS = 1.0, 300.0
"""The identity's weight, and for how many labels it counts besides; chosen on rendered goods that no figure is of.

With half as much and with twice as much, recall there differed by 0.003 at most.
"""
_BLOCK = 1024


@dataclass(frozen=True, eq=False)
class LabelledVectors:
    """n labelled photos and m references of a catalogue, as parts of vectors for similarity, float32 (n or m, dim).

    `right` holds for each photo the numbers of the products that it shows or imitates, none for one that should be left
    alone; `product` int (m,) is each reference's. `counted` bool (n,) says which photos figures may rest on.
    """

    photos: Vectors
    right: tuple[frozenset[int], ...]
    counted: NDArray[np.bool_]
    references: Vectors
    product: NDArray[np.int64]

    @property
    def related(self) -> NDArray[np.bool_]:
        """Which photos have a right product (n,)."""
        return np.array([bool(each) for each in self.right], bool)

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """What each photo stays with (n,): photos of one product, and equal ones, directly or by way of others.

        The numbers are the same whatever the order of the photos.
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        equal = np.unique(self.photos, axis=0, return_inverse=True)[1].reshape(-1)
        links = [(product, at) for at, right in enumerate(self.right) for product in right]
        product, at = np.array(links, np.int64).reshape(-1, 2).T
        products = int(product.max(initial=-1)) + 1
        size = products + int(equal.max(initial=-1)) + 1
        together = coo_array((np.ones(len(at), bool), (product, products + equal[at])), (size, size))
        number = connected_components(together, directed=False)[1][products + equal]
        return np.unique(number, return_inverse=True)[1].astype(np.int64)

    def partners(self) -> NDArray[np.int64]:
        """The row of the most similar reference of a right product (n,), −1 where there is none."""
        rows = np.full(len(self.photos), -1, np.int64)
        of: dict[int, NDArray[np.intp]] = {}
        for at, right in enumerate(self.right):
            own = [of.setdefault(each, np.flatnonzero(self.product == each)) for each in right]
            among = np.concatenate(own) if own else np.empty(0, np.intp)
            if len(among):
                rows[at] = among[int(np.argmax(self.references[among] @ self.photos[at]))]
        return rows


@dataclass(frozen=True, eq=False)
class LinearMap:
    """Maps x to the direction of matrix · (x − offset): `matrix` float32 (dim, dim), `offset` float32 (dim,)."""

    matrix: NDArray[np.float32]
    offset: NDArray[np.float32]

    def __call__(self, vectors: Vectors) -> Vectors:
        """The mapped vectors, float32 (n, dim) of length 1."""
        mapped = (vectors - self.offset) @ self.matrix.T
        return np.asarray(mapped / np.linalg.norm(mapped, axis=1, keepdims=True), np.float32)


def fit_map(labelled: LabelledVectors, partners: NDArray[np.int64], rows: NDArray[np.intp]) -> LinearMap:
    """The map that these rows of the labelled photos ask for; `partners` are theirs (see `LabelledVectors`)."""
    photos = labelled.photos[rows].astype(np.float64)
    own = partners[rows]
    count, dim = photos.shape
    offset = photos.mean(axis=0)
    covariance = _scaled(np.cov(photos, rowvar=False, bias=True).reshape(dim, dim))
    paired = own >= 0
    if paired.any():
        apart = photos[paired] - labelled.references[own[paired]]
        covariance = _scaled(covariance + _scaled(apart.T @ apart))
    covariance += (_PRIOR + _PRIOR_LABELS / count) * np.eye(dim)
    values, directions = np.linalg.eigh(covariance)
    matrix = (directions / np.sqrt(values)) @ directions.T
    return LinearMap(matrix.astype(np.float32), offset.astype(np.float32))


def answers(
    labelled: LabelledVectors, rows: NDArray[np.intp], mapped: LinearMap | None = None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The similarity of each of these photos to its nearest reference (rows,), and whether that is right."""
    photos, references = labelled.photos[rows], labelled.references
    if mapped is not None:
        photos, references = mapped(photos), mapped(references)
    similarity, right = np.empty(len(rows)), np.empty(len(rows), bool)
    for start in range(0, len(rows), _BLOCK):
        block = photos[start : start + _BLOCK] @ references.T
        best = block.argmax(axis=1)
        similarity[start : start + _BLOCK] = block[np.arange(len(block)), best]
        for at, product in enumerate(labelled.product[best].tolist(), start):
            right[at] = product in labelled.right[rows[at]]
    return similarity, right


def _scaled(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The covariance with a mean eigenvalue of 1; one of nothing stays as it is."""
    mean = np.trace(covariance) / len(covariance)
    return covariance / mean if mean > 0 else covariance
