"""Pairs of near vectors among many, to find photos that several sellers show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lookalike.model.encoder import Vectors

if TYPE_CHECKING:
    import faiss

EXACT = 50_000
"""Up to this many vectors, all pairs are compared; more are sorted into cells, and only near cells are compared."""

_BLOCK = 4096
_PROBED = 16
_TRAINED_ON = 48  # vectors per cell, within the range that FAISS's k-means wants


def near_pairs(
    vectors: Vectors, *, threshold: float, most: int = 16, exact: int = EXACT
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Pairs of rows of `vectors`, float32 (n, dim) of length 1, whose similarity is at least `threshold`.

    Gives rows int64 (m, 2), each pair once with the smaller row first, and similarities float32 (m,), the highest
    first. Only the `most` nearest of each vector are considered, so that a million copies of one picture don't make a
    million million pairs. More than `exact` vectors are searched with FAISS's inverted file (Jégou et al., PAMI 2011,
    without quantisation), which misses a few pairs. Raises ValueError for a threshold that no cosine has, or for `most`
    below 1.
    """
    if not -1 <= threshold <= 1 or most < 1:
        raise ValueError(f"threshold is {threshold} and most is {most}; expected -1 to 1, and 1 or more")
    vectors = np.ascontiguousarray(vectors, np.float32)
    if len(vectors) < 2:
        return np.zeros((0, 2), np.int64), np.zeros(0, np.float32)
    index = _index(vectors, exact)
    rows, similarities = [], []
    for start in range(0, len(vectors), _BLOCK):
        found, nearest = index.search(vectors[start : start + _BLOCK], min(most + 1, len(vectors)))
        query, column = np.nonzero((found >= threshold) & (nearest >= 0))
        left, right = query + start, nearest[query, column]
        other = left != right
        rows.append(np.sort(np.stack([left, right], axis=1)[other], axis=1))
        similarities.append(found[query, column][other])
    pairs, first = np.unique(np.concatenate(rows).astype(np.int64), axis=0, return_index=True)
    values = np.concatenate(similarities)[first]
    order = np.argsort(-values, kind="stable")
    return pairs[order], values[order]


def _index(vectors: Vectors, exact: int) -> faiss.Index:
    import faiss

    count, dim = vectors.shape
    flat = faiss.IndexFlatIP(dim)
    if count <= exact:
        flat.add(vectors)
        return flat
    cells = int(4 * np.sqrt(count))
    index = faiss.IndexIVFFlat(flat, dim, cells, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed = 0
    chosen = np.random.default_rng(0).choice(count, min(count, _TRAINED_ON * cells), replace=False)
    index.train(vectors[chosen])
    index.add(vectors)
    index.nprobe = _PROBED
    return index
