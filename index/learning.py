"""How to cut and code the vectors of an index: learnt from them, and measured against exact search."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.model.encoder import Vectors

from .comparison import blocks, nearest_of_all, similarities_at, threads_up_to
from .partition import LEAST_THRESHOLD, MOST_CANDIDATES, Agreement, Coded, Lists, Partition, encoded, untrained

LEAST = 256
"""Fewer vectors than this can't be cut into lists and coded."""

WANTED_AGREEMENT = 0.999

_LITTLE = 1 << 22  # for fewer numbers than this, one thread learns fastest
_PER_LIST = 64  # vectors per list that k-means learns from
_PART = 4  # numbers that one four-bit code stands for, at least
_CODES = 16
_CHOOSING, _CONFIRMING = 2048, 4096
_SAME = 1e-5  # two ways to sum a product of float32 vectors of length 1 differ by less than this
_CANDIDATE_COST = 16  # comparing a candidate in full takes as long as scanning this many codes


def learn_partition(
    vectors: Vectors, *, columns: slice = slice(None), leasts: Sequence[float] = (LEAST_THRESHOLD,), seed: int = 0
) -> tuple[Partition, Coded] | None:
    """Learn a partition for `columns` of `vectors`, float32 (n, dim) of length 1; give it with their lists and codes.

    `vectors` may be memory-mapped; only a bounded part is in memory at a time. The way to search is the cheapest with
    which each of 2,048 probes finds its nearest reference. It is then measured on 4,096 other probes; if fewer than
    WANTED_AGREEMENT of them agree, the next cheapest way is tried. Agreement is about thresholds from the first of
    `leasts` up, or from the next one if no way is good enough. Gives None if none is good enough for the last, or if n
    is below LEAST. The same seed, vectors and machine give the same bits.
    """
    if len(vectors) < LEAST:
        return None
    with _threads_for(vectors):
        return _Learning(vectors, columns, leasts, seed).learnt()


def moved_partition(
    vectors: Vectors,
    lists: NDArray[np.int32],
    number: int,
    *,
    columns: slice = slice(None),
    leasts: Sequence[float] = (LEAST_THRESHOLD,),
    seed: int = 0,
) -> tuple[Partition, Coded] | None:
    """As `learn_partition` does, for vectors that were mapped after they had been cut into these `number` lists.

    What is near mostly stays near, so each vector stays in its list, `lists` (n,), and the lists' centroids are those
    of the mapped vectors. Codes are learnt anew, and so is the way to search, which is measured as always.
    """
    if len(vectors) < LEAST:
        return None
    with _threads_for(vectors):
        return _Learning(vectors, columns, leasts, seed).moved(lists, number)


class _Learning:
    """One partition of `columns` of `whole`, learnt with one sequence of random numbers."""

    def __init__(self, whole: Vectors, columns: slice, leasts: Sequence[float], seed: int) -> None:
        self._whole, self._columns, self._leasts, self._seed = whole, columns, leasts, seed
        self._vectors = whole[:, columns]
        self._rng = np.random.default_rng(seed)

    def learnt(self) -> tuple[Partition, Coded] | None:
        """Lists, codes and the way to search, learnt from nothing."""
        import faiss

        count, dim = self._vectors.shape
        number = max(1, round(2 * count**0.5))
        sample = self._sample(number)
        index = untrained(np.empty((0, dim), np.float32), _parts(dim), number)
        index.cp.seed, index.cp.min_points_per_centroid = self._seed + 1, 1
        faiss.Clustering(dim, number, index.cp).train(sample, index.quantizer)
        self._train_codes(index, sample)
        return self._measured(index, encoded(index, self._vectors))

    def moved(self, lists: NDArray[np.int32], number: int) -> tuple[Partition, Coded] | None:
        """Codes and the way to search for given lists."""
        index = untrained(self._centroids(lists, number), _parts(self._vectors.shape[1]))
        self._train_codes(index, self._sample(number))
        return self._measured(index, encoded(index, self._vectors, lists))

    def _sample(self, number: int) -> Vectors:
        count = len(self._vectors)
        some = self._rng.choice(count, min(count, _PER_LIST * number), replace=False)
        return np.ascontiguousarray(self._vectors[np.sort(some)])

    def _centroids(self, lists: NDArray[np.int32], number: int) -> Vectors:
        """The mean direction of the vectors of each list; that of all for an empty one."""
        order = np.argsort(lists, kind="stable")
        ends = np.searchsorted(lists[order], np.arange(1, number))
        sums = np.stack([self._vectors[rows].sum(axis=0, dtype=np.float64) for rows in np.split(order, ends)])
        sums[~sums.any(axis=1)] = sums.sum(axis=0)
        return _unit(sums)

    def _train_codes(self, index: Any, sample: Vectors) -> None:
        index.pq.cp.seed, index.pq.cp.min_points_per_centroid = self._seed + 1, 1
        with threads_up_to(1):
            index.train(sample)  # only the codebook is left to learn

    def _measured(self, index: Any, coded: Coded) -> tuple[Partition, Coded] | None:
        """The partition of lists and codes that are learnt, with the cheapest way to search that is good enough."""
        import faiss

        count, dim = self._vectors.shape
        number, parts = index.nlist, index.pq.M
        centroids = np.asarray(index.quantizer.reconstruct_n(0, number), np.float32).reshape(number, dim)
        codebook = faiss.vector_to_array(index.pq.centroids).reshape(parts, _CODES, -1).astype(np.float32)
        partition = Partition(centroids, codebook, 1, 1, Agreement(0, 0, count, 0.0))
        searched = partition.lists_of(*coded)
        lowest = self._leasts[0]
        choosing = Probes(self._whole, min(_CHOOSING, 4 * count), self._rng, self._columns, lowest)
        confirming = Probes(self._whole, min(_CONFIRMING, 8 * count), self._rng, self._columns, lowest)
        for least in self._leasts:
            choosing.least = confirming.least = least
            for nprobe, candidates in _good_enough(searched, choosing, number, count):
                agreement = confirming.measure(searched, nprobe, candidates)
                if agreement.share >= WANTED_AGREEMENT:
                    return replace(partition, nprobe=nprobe, candidates=candidates, agreement=agreement), coded
        return None


def _threads_for(vectors: Vectors) -> AbstractContextManager[None]:
    return threads_up_to(1) if vectors.size < _LITTLE else nullcontext()


class Probes:
    """Vectors to look up, made from `columns` of the index's own, and what exact search finds for them.

    Those that are made alike to a vector are so by `least` or more; whether they agree is asked for thresholds from the
    attribute `least` up, which may be set higher.
    """

    def __init__(
        self,
        whole: Vectors,
        count: int,
        rng: np.random.Generator,
        columns: slice = slice(None),
        least: float = LEAST_THRESHOLD,
    ) -> None:
        self._whole, self._columns, self.least = whole, columns, least
        vectors = whole[:, columns]
        own = rng.choice(len(vectors), count, replace=count > len(vectors))
        kind = np.arange(count) % 3
        start = np.asarray(vectors[own])
        other = np.asarray(vectors[rng.integers(0, len(vectors), count)])
        noise = rng.standard_normal(start.shape, dtype=np.float32)
        noise = _unit(noise - np.sum(noise * start, axis=1, keepdims=True) * start)
        alike = rng.uniform(least, 1, (count, 1)).astype(np.float32)
        share = rng.uniform(0, 0.5, (count, 1)).astype(np.float32)
        moved, mixed = alike * start + np.sqrt(1 - alike**2) * noise, (1 - share) * start + share * other
        self.queries = _unit(np.choose(kind[:, None], [moved, mixed, start]))
        self._left_out = np.where(kind == 2, own, -1)
        rows = nearest_of_all(self.queries, blocks(vectors), 6)
        similarity = similarities_at(self.queries, whole, rows, columns=columns)
        self.similarity, self.rows = self._without(self._left_out, similarity, rows)
        self._missed_last = np.zeros(count, bool)

    def measure(self, lists: Lists, nprobe: int, candidates: int) -> Agreement:
        """How often the candidates from `lists`, compared in full, agree with exact search."""
        similarity = self._searched(lists, nprobe, candidates, np.arange(len(self.queries)))
        missed = self._missed(similarity, np.arange(len(self.queries)))
        width = min(5, similarity.shape[1], len(self._whole) - 1)
        five = similarity[:, :width] >= self.similarity[:, width - 1, None] - _SAME
        count = len(self.queries)
        return Agreement(count - int(missed.sum()), count, len(self._whole), float(five.mean()), self.least)

    def all_agree(self, lists: Lists, nprobe: int, candidates: int) -> bool:
        """Whether each of them agrees. Those that missed last time are looked up first, and mostly settle it."""
        for some in (np.flatnonzero(self._missed_last), np.flatnonzero(~self._missed_last)):
            missed = some[self._missed(self._searched(lists, nprobe, candidates, some), some)]
            if len(missed):
                self._missed_last = np.isin(np.arange(len(self.queries)), missed)
                return False
        return True

    def _searched(self, lists: Lists, nprobe: int, candidates: int, some: NDArray[np.int64]) -> NDArray[np.float32]:
        queries = self.queries[some]
        found = lists.candidates(queries, width=candidates, nprobe=nprobe)
        similarity = similarities_at(queries, self._whole, found, columns=self._columns)
        return self._without(self._left_out[some], similarity, found)[0]

    def _missed(self, similarity: NDArray[np.float32], some: NDArray[np.int64]) -> NDArray[np.bool_]:
        best = self.similarity[some, 0]
        return np.asarray((similarity[:, 0] < best - _SAME) & (best >= self.least))

    @staticmethod
    def _without(
        left_out: NDArray[np.int64], similarity: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The same, best first, with the vector that was left out last."""
        similarity = np.where(rows == left_out[:, None], -np.inf, similarity)
        similarity = np.where(rows < 0, -np.inf, similarity).astype(np.float32)
        order = np.argsort(-similarity, axis=1, kind="stable")
        return np.take_along_axis(similarity, order, 1), np.take_along_axis(rows, order, 1)


def _good_enough(lists: Lists, probes: Probes, number: int, count: int) -> list[tuple[int, int]]:
    """Ways to search, as (nprobe, candidates), with which all probes agree; the cheapest first."""
    doubling = [2**power for power in range(number.bit_length()) if 2**power < number] + [number]
    most = min(count, MOST_CANDIDATES)
    widths = [width for width in (32, 64, 128, 256, 512, 1024, 2048, MOST_CANDIDATES) if width < most] + [most]
    good: list[tuple[int, int]] = []
    enough = number + 1  # lists with which a narrower search did, so that a wider one does
    for width in widths:
        for nprobe in doubling:
            if nprobe >= enough or probes.all_agree(lists, nprobe, width):
                enough = nprobe
                wider = [n for n in doubling if n >= nprobe]
                good += [(n, width) for n in wider[:3]]
                break
        if len(good) >= 6:
            break
    return sorted(good, key=lambda way: way[0] * count / number + way[1] * _CANDIDATE_COST)


def _parts(dim: int) -> int:
    """How many parts a vector of `dim` numbers is coded in: equal ones, as short as possible from four numbers up."""
    return dim // next(length for length in range(min(_PART, dim), dim + 1) if dim % length == 0)


def _unit(vectors: NDArray[np.float32]) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
