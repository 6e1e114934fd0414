"""Vectors cut into lists and coded compactly, so that a search visits few lists and compares few vectors in full.

An inverted file over k-means centroids (Sivic and Zisserman, 2003). What remains of a vector without its centroid is
coded by a product quantiser with four bits per part (Jégou, Douze and Schmid, "Product quantization for nearest
neighbor search", 2011), in a layout for table lookups by SIMD shuffles (André, Kermarrec and Le Scouarnec, "Cache
locality is not enough", 2015); FAISS implements all of it. The codes only choose candidates, whose similarities are
computed from the vectors themselves. How far a search looks is not set by hand but measured (see `learning`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lookalike.binomial import Share
from lookalike.model.encoder import Vectors

from .comparison import blocks

if TYPE_CHECKING:
    import faiss

LEAST_THRESHOLD, LEASTS_ADAPTED = 0.5, (0.25, 0.35, 0.5)
"""Agreement is measured for every threshold from the first one up. An adapter makes similarities lower, and thresholds
with them: where vectors are adapted, from the first of the others that is possible. The more vectors there are, the
nearer even the nearest unrelated one is, and below that no few lists decide as all would."""

MOST_CANDIDATES = 4096

Coded = tuple[NDArray[np.int32], NDArray[np.uint8]]
"""The list, int32 (n,), and the code, uint8 (n, code_bytes), of each of n vectors."""


@dataclass(frozen=True)
class Agreement:
    """For how many probes a search decided as an exact one does, at any threshold from `least` up.

    A probe is a vector of the index that was moved in a random direction or towards another vector, or that was left
    out and looked up among the others. It agrees if its nearest reference was found, or is less similar than
    `least`. `nearest_five` is the share of the five nearest references that was found, and `vectors` is the
    number of vectors that were searched.
    """

    agreeing: int
    probes: int
    vectors: int
    nearest_five: float
    least: float = LEAST_THRESHOLD

    @property
    def share(self) -> float:
        """The share of probes that agree, 0 to 1."""
        return self.agreeing / self.probes

    @property
    def interval(self) -> tuple[float, float]:
        """The share's exact 95 % interval (see `Share`).

        >>> tuple(round(end, 5) for end in Agreement(4096, 4096, 1_000_000, 1.0).interval)
        (0.9991, 1.0)
        """
        share = Share.of(self.agreeing, self.probes)
        return share.low, share.high

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON values."""
        low, high = self.interval
        values = asdict(self)
        return values | {"share": self.share, "low": low, "high": high, "least_threshold": values.pop("least")}

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.share:.2%} of {self.probes:,} probes decided as by exact search "
            f"(95 % interval {low:.2%} to {high:.2%}; thresholds of {self.least} and more; "
            f"measured on {self.vectors:,} references)"
        )


@dataclass(frozen=True)
class Partition:
    """How vectors are cut into lists and coded, and how far a search has to look.

    `centroids` is float32 (lists, dim), `codebook` float32 (parts, 16, dim / parts). A search looks into the `nprobe`
    nearest lists and compares the `candidates` best vectors there in full.
    """

    centroids: NDArray[np.float32]
    codebook: NDArray[np.float32]
    nprobe: int
    candidates: int
    agreement: Agreement

    @property
    def code_bytes(self) -> int:
        """The number of bytes of one vector's code."""
        return (len(self.codebook) + 1) // 2

    def encode(self, vectors: Vectors) -> Coded:
        """The list and the code of each of `vectors`, float32 (n, dim)."""
        import faiss

        index = untrained(self.centroids, len(self.codebook))
        faiss.copy_array_to_vector(self.codebook.ravel(), index.pq.centroids)
        index.is_trained = True
        return encoded(index, vectors)

    def lists_of(self, lists: NDArray[np.int32], codes: NDArray[np.uint8]) -> Lists:
        """The lists to search; row i of the answers is the vector with the list `lists[i]` and the code `codes[i]`."""
        return Lists(self, lists, codes)


class Lists:
    """Inverted lists of codes in memory. Several threads may search them at once."""

    def __init__(self, partition: Partition, lists: NDArray[np.int32], codes: NDArray[np.uint8]) -> None:
        import faiss

        index = untrained(partition.centroids, len(partition.codebook))
        faiss.copy_array_to_vector(partition.codebook.ravel(), index.pq.centroids)
        index.is_trained = True
        order = np.argsort(lists, kind="stable").astype(np.int64)
        ends = np.searchsorted(lists[order], np.arange(len(partition.centroids) + 1))
        for number, (start, end) in enumerate(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)):
            if end > start:
                rows = order[start:end]
                entries = np.ascontiguousarray(codes[rows])
                index.invlists.add_entries(number, len(rows), faiss.swig_ptr(rows), faiss.swig_ptr(entries))
        index.ntotal = len(order)
        self._index: Any = faiss.IndexIVFPQFastScan(index)
        empty: Any = faiss.ArrayInvertedLists(index.nlist, index.code_size)
        empty.this.disown()
        index.replace_invlists(empty, True)  # its centroids are still needed, but its lists are in memory twice by now
        self._from = index
        self._partition = partition

    def candidates(self, vectors: Vectors, *, width: int, nprobe: int) -> NDArray[np.int64]:
        """Rows, int64 (n, width), that may be nearest to each of `vectors`, padded with −1."""
        import faiss

        nprobe = min(nprobe, len(self._partition.centroids))
        parameters = faiss.SearchParametersIVF(nprobe=nprobe)  # type: ignore[call-arg]
        rows: NDArray[np.int64] = self._index.search(vectors, width, params=parameters)[1]
        return rows


def encoded(index: faiss.IndexIVFPQ, vectors: Vectors, lists: NDArray[np.int32] | None = None) -> Coded:
    """The lists and codes that an index, once it has learnt them, gives to `vectors`, float32 (n, dim).

    Each comes into the list of the nearest centroid, unless `lists` says which.
    """
    import faiss

    given = lists
    lists = np.empty(len(vectors), np.int32) if given is None else given
    codes = np.empty((len(vectors), index.code_size), np.uint8)
    for rows, block in blocks(vectors):
        if given is None:
            lists[rows] = index.quantizer.search(block, 1)[1][:, 0]
        nearest = lists[rows].astype(np.int64)
        pointers = [faiss.swig_ptr(array) for array in (block, nearest, codes[rows[0] : rows[-1] + 1])]
        index.encode_vectors(len(block), *pointers)
    return lists, codes


def untrained(centroids: NDArray[np.float32], parts: int, number: int | None = None) -> Any:
    """A FAISS index with these centroids, float32 (lists, dim), or none yet of a `number`, that has to learn codes."""
    import faiss

    quantizer = faiss.IndexFlatIP(centroids.shape[1])
    quantizer.add(centroids)
    return faiss.IndexIVFPQ(quantizer, quantizer.d, number or len(centroids), parts, 4, faiss.METRIC_INNER_PRODUCT)
