"""Vectors cut into lists and coded small, so that a search looks into a few lists and compares few vectors in full.

An inverted file over k-means centroids (Sivic and Zisserman, 2003) whose vectors are coded, as what is left when their
centroid is taken away, by a product quantiser of four bits a part (Jégou, Douze and Schmid, "Product quantization for
nearest neighbor search", 2011), in the layout that SIMD shuffles look up (André, Kermarrec and Le Scouarnec, "Cache
locality is not enough", 2015); all as FAISS has them. The codes only choose candidates: similarities are those of the
vectors themselves. How far a search looks is not set by hand but found by measuring (see `learn_partition`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lookalike.model.encoder import Vectors

if TYPE_CHECKING:
    import faiss

LEAST = 256
"""Fewer vectors than this can't be cut into lists and coded."""

WANTED_AGREEMENT = 0.999
LEAST_THRESHOLD = 0.5
"""Agreement is measured for every threshold from here up."""

MOST_CANDIDATES = 4096

Coded = tuple[NDArray[np.int32], NDArray[np.uint8]]
"""The list, int32 (n,), and the code, uint8 (n, code_bytes), of each of n vectors."""

_LITTLE = 1 << 22  # numbers of vectors that one thread learns from soonest
_BLOCK = 1 << 16  # vectors taken into memory at a time
_PER_LIST = 64  # vectors a list that k-means learns from
_PART = 4  # numbers that one four-bit code stands for, at least
_CODES = 16
_CHOOSING, _CONFIRMING = 2048, 4096
_SAME = 1e-5  # two ways to sum a product of float32 vectors of length 1 differ by less
_CANDIDATE_COST = 16  # comparing a candidate in full takes as long as scanning this many codes


@dataclass(frozen=True)
class Agreement:
    """Of how many probes a search decided as an exact one does, whatever the threshold from LEAST_THRESHOLD up.

    A probe is a vector of the index moved in a random direction, or towards another vector of it, or left out and
    looked up among the others. It agrees if the nearest reference was found, or is nearer than LEAST_THRESHOLD to
    nothing; `nearest_five` is the share found of the five nearest references. `vectors` is how many were searched.
    """

    agreeing: int
    probes: int
    vectors: int
    nearest_five: float

    @property
    def share(self) -> float:
        """The share of probes that agree, 0 to 1."""
        return self.agreeing / self.probes

    @property
    def interval(self) -> tuple[float, float]:
        """The share's exact 95 % interval (Clopper and Pearson, Biometrika 26, 1934).

        >>> tuple(round(end, 5) for end in Agreement(4096, 4096, 1_000_000, 1.0).interval)
        (0.9991, 1.0)
        """
        from scipy.special import betaincinv

        missed = self.probes - self.agreeing
        low = betaincinv(self.agreeing, missed + 1, 0.025) if self.agreeing else 0.0
        high = betaincinv(self.agreeing + 1, missed, 0.975) if missed else 1.0
        return float(low), float(high)

    def to_json(self) -> dict[str, Any]:
        """All of it, for JSON."""
        low, high = self.interval
        return asdict(self) | {"share": self.share, "low": low, "high": high, "least_threshold": LEAST_THRESHOLD}

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.share:.2%} of {self.probes:,} probes decided as by exact search "
            f"(95 % interval {low:.2%} to {high:.2%}; thresholds of {LEAST_THRESHOLD} and more; "
            f"measured on {self.vectors:,} references)"
        )


@dataclass(frozen=True)
class Partition:
    """What was learnt to cut and code vectors, and how far a search has to look.

    `centroids` float32 (lists, dim); `codebook` float32 (parts, 16, dim / parts). A search looks into the `nprobe`
    nearest lists and compares the `candidates` best of them in full.
    """

    centroids: NDArray[np.float32]
    codebook: NDArray[np.float32]
    nprobe: int
    candidates: int
    agreement: Agreement

    @property
    def code_bytes(self) -> int:
        """Bytes of one vector's code."""
        return (len(self.codebook) + 1) // 2

    def encode(self, vectors: Vectors) -> Coded:
        """The list, int32 (n,), and the code, uint8 (n, code_bytes), of each of `vectors`, float32 (n, dim)."""
        import faiss

        index = _untrained(self.centroids, len(self.codebook))
        faiss.copy_array_to_vector(self.codebook.ravel(), index.pq.centroids)
        index.is_trained = True
        return _encoded(index, vectors)

    def lists_of(self, lists: NDArray[np.int32], codes: NDArray[np.uint8]) -> Lists:
        """The lists to search: row i of the answers is the vector whose list is `lists[i]`, and code `codes[i]`."""
        return Lists(self, lists, codes)


class Lists:
    """Inverted lists of codes in memory. Searching is safe from several threads."""

    def __init__(self, partition: Partition, lists: NDArray[np.int32], codes: NDArray[np.uint8]) -> None:
        import faiss

        index = _untrained(partition.centroids, len(partition.codebook))
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
        index.replace_invlists(empty, True)  # it lives on for its centroids, but its lists are there twice now
        self._from = index
        self._partition = partition

    def candidates(self, vectors: Vectors, *, width: int, nprobe: int) -> NDArray[np.int64]:
        """Rows (n, width) that may be nearest to each of `vectors`; −1 fills up where there are fewer."""
        import faiss

        nprobe = min(nprobe, len(self._partition.centroids))
        parameters = faiss.SearchParametersIVF(nprobe=nprobe)  # type: ignore[call-arg]
        rows: NDArray[np.int64] = self._index.search(vectors, width, params=parameters)[1]
        return rows


def learn_partition(vectors: Vectors, *, seed: int = 0) -> tuple[Partition, Coded] | None:
    """Learn lists and codes for `vectors`, float32 (n, dim) of length 1; gives them with all vectors' lists and codes.

    `vectors` may be memory-mapped: a bounded part of it is in memory at a time. Of all ways to look, the cheapest is
    taken with which none of 2,048 probes misses the nearest reference, and then measured on 4,096 other probes; if
    these agree to less than WANTED_AGREEMENT, the next one is. None if none is good enough, or n below LEAST. The same
    seed, vectors and machine give the same bits.
    """
    if len(vectors) < LEAST:
        return None
    with threads_up_to(1) if vectors.size < _LITTLE else nullcontext():
        return _learnt(vectors, seed)


def _learnt(vectors: Vectors, seed: int) -> tuple[Partition, Coded] | None:
    import faiss

    rng = np.random.default_rng(seed)
    count, dim = vectors.shape
    number = max(1, round(2 * count**0.5))
    sample = np.ascontiguousarray(vectors[np.sort(rng.choice(count, min(count, _PER_LIST * number), replace=False))])
    index = faiss.IndexIVFPQ(faiss.IndexFlatIP(dim), dim, number, _parts(dim), 4, faiss.METRIC_INNER_PRODUCT)
    for clustering in (index.cp, index.pq.cp):
        clustering.seed, clustering.min_points_per_centroid = seed + 1, 1
    faiss.Clustering(dim, number, index.cp).train(sample, index.quantizer)
    with threads_up_to(1):
        index.train(sample)  # what is left to learn is the codebook
    lists, codes = _encoded(index, vectors)
    centroids = np.asarray(index.quantizer.reconstruct_n(0, number), np.float32).reshape(number, dim)
    codebook = faiss.vector_to_array(index.pq.centroids).reshape(_parts(dim), _CODES, -1).astype(np.float32)
    partition = Partition(centroids, codebook, 1, 1, Agreement(0, 0, count, 0.0))
    searched = partition.lists_of(lists, codes)
    choosing = Probes(vectors, min(_CHOOSING, 4 * count), rng)
    confirming = Probes(vectors, min(_CONFIRMING, 8 * count), rng)
    for nprobe, candidates in _good_enough(searched, choosing, number, count):
        agreement = confirming.measure(searched, nprobe, candidates)
        if agreement.share >= WANTED_AGREEMENT:
            return replace(partition, nprobe=nprobe, candidates=candidates, agreement=agreement), (lists, codes)
    return None


def similarities_at(queries: Vectors, vectors: Vectors, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Similarity (n, width) of each of `queries`, (n, dim), to the rows of `vectors` named in `rows`, (n, width).

    Only these rows of `vectors` are read, so it may be memory-mapped. A row of −1 has the similarity −∞.
    """
    import faiss

    found = np.empty(rows.shape, np.float32)
    queries, rows = np.ascontiguousarray(queries, np.float32), np.ascontiguousarray(rows, np.int64)
    pointers = [faiss.swig_ptr(array) for array in (found, queries, vectors, rows)]
    faiss.fvec_inner_products_by_idx(*pointers, queries.shape[1], *rows.shape)  # type: ignore[attr-defined]
    return found


def nearest_of_all(
    queries: Vectors, blocks: Iterator[tuple[NDArray[np.int64], Vectors]], width: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Exact search: similarities and rows, both (n, width), best first, over blocks of rows and their vectors.

    Where there are fewer rows than `width`, −∞ and −1 fill up.
    """
    import faiss

    best = np.full((len(queries), width), -np.inf, np.float32)
    rows = np.full((len(queries), width), -1, np.int64)
    for numbers, block in blocks:
        similarities, places = faiss.knn(queries, block, min(width, len(block)), faiss.METRIC_INNER_PRODUCT)
        values = np.concatenate([best, similarities], axis=1)
        names = np.concatenate([rows, numbers[places]], axis=1)
        order = np.argsort(-values, axis=1, kind="stable")[:, :width]
        best, rows = np.take_along_axis(values, order, 1), np.take_along_axis(names, order, 1)
    return best, rows


@contextmanager
def threads_up_to(most: int) -> Iterator[None]:
    """Let FAISS use at most so many threads: for little work, others would only be waited for.

    OpenMP keeps the number for each calling thread, so other callers don't notice.
    """
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(min(before, most))
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


class Probes:
    """Vectors to look up, of the index's own, and what exact search finds for them."""

    def __init__(self, vectors: Vectors, count: int, rng: np.random.Generator) -> None:
        self._vectors = vectors
        own = rng.choice(len(vectors), count, replace=count > len(vectors))
        kind = np.arange(count) % 3
        start = np.asarray(vectors[own])
        other = np.asarray(vectors[rng.integers(0, len(vectors), count)])
        noise = rng.standard_normal(start.shape, dtype=np.float32)
        noise = _unit(noise - np.sum(noise * start, axis=1, keepdims=True) * start)
        alike = rng.uniform(LEAST_THRESHOLD, 1, (count, 1)).astype(np.float32)
        share = rng.uniform(0, 0.5, (count, 1)).astype(np.float32)
        moved, mixed = alike * start + np.sqrt(1 - alike**2) * noise, (1 - share) * start + share * other
        self.queries = _unit(np.choose(kind[:, None], [moved, mixed, start]))
        self._left_out = np.where(kind == 2, own, -1)
        self.similarity, self.rows = self._without_itself(*nearest_of_all(self.queries, _blocks(vectors), 6))

    def measure(self, lists: Lists, nprobe: int, candidates: int) -> Agreement:
        """How far candidates from `lists`, compared in full, agree with exact search."""
        found = lists.candidates(self.queries, width=candidates, nprobe=nprobe)
        similarity, _ = self._without_itself(similarities_at(self.queries, self._vectors, found), found)
        width = min(5, similarity.shape[1], len(self._vectors) - 1)
        missed = (similarity[:, 0] < self.similarity[:, 0] - _SAME) & (self.similarity[:, 0] >= LEAST_THRESHOLD)
        five = similarity[:, :width] >= self.similarity[:, width - 1, None] - _SAME
        count = len(self.queries)
        return Agreement(count - int(missed.sum()), count, len(self._vectors), float(five.mean()))

    def _without_itself(
        self, similarity: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The same, best first, the vector that was left out being last."""
        similarity = np.where(rows == self._left_out[:, None], -np.inf, similarity)
        similarity = np.where(rows < 0, -np.inf, similarity).astype(np.float32)
        order = np.argsort(-similarity, axis=1, kind="stable")
        return np.take_along_axis(similarity, order, 1), np.take_along_axis(rows, order, 1)


def _good_enough(lists: Lists, probes: Probes, number: int, count: int) -> list[tuple[int, int]]:
    """Ways to look, (nprobe, candidates), with which all probes agree; the cheapest first."""
    doubling = [2**power for power in range(number.bit_length()) if 2**power < number] + [number]
    most = min(count, MOST_CANDIDATES)
    widths = [width for width in (32, 64, 128, 256, 512, 1024, 2048, MOST_CANDIDATES) if width < most] + [most]
    good = []
    for width in widths:
        for nprobe in doubling:
            if probes.measure(lists, nprobe, width).agreeing == len(probes.queries):
                wider = [n for n in doubling if n >= nprobe]
                good += [(n, width) for n in wider[:3]]
                break
        if len(good) >= 6:
            break
    return sorted(good, key=lambda way: way[0] * count / number + way[1] * _CANDIDATE_COST)


def _untrained(centroids: NDArray[np.float32], parts: int) -> Any:
    import faiss

    quantizer = faiss.IndexFlatIP(centroids.shape[1])
    quantizer.add(centroids)
    return faiss.IndexIVFPQ(quantizer, quantizer.d, len(centroids), parts, 4, faiss.METRIC_INNER_PRODUCT)


def _encoded(index: faiss.IndexIVFPQ, vectors: Vectors) -> Coded:
    import faiss

    lists = np.empty(len(vectors), np.int32)
    codes = np.empty((len(vectors), index.code_size), np.uint8)
    for rows, block in _blocks(vectors):
        nearest = np.ascontiguousarray(index.quantizer.search(block, 1)[1][:, 0])
        pointers = [faiss.swig_ptr(array) for array in (block, nearest, codes[rows[0] : rows[-1] + 1])]
        index.encode_vectors(len(block), *pointers)
        lists[rows] = nearest
    return lists, codes


def _blocks(vectors: Vectors) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
    for start in range(0, len(vectors), _BLOCK):
        block = np.ascontiguousarray(vectors[start : start + _BLOCK], np.float32)
        yield np.arange(start, start + len(block)), block


def _parts(dim: int) -> int:
    """How many parts a vector of `dim` numbers is coded in: each as short as divides it, but four numbers at least."""
    return dim // next(length for length in range(min(_PART, dim), dim + 1) if dim % length == 0)


def _unit(vectors: NDArray[np.float32]) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
