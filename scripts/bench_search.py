"""How fast `lookalike bench` finds the nearest of clustered vectors: this index, brute force, usearch, hnswlib."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.encoder import EncoderSpec, Preprocessing
from lookalike.records import Reference
from lookalike.scripts.timing import Spread, in_turns

_QUERIES = 512

Search = Callable[[NDArray[np.float32]], NDArray[np.int64]]


def measure_searches(count: int, *, rounds: int) -> dict[str, dict[str, float]]:
    """Queries a second of each engine among `count` vectors, and how often it finds the nearest (`nearest`, 0 to 1)."""
    rows = clustered(count + _QUERIES, 512, seed=0)
    vectors, queries = rows[:count], rows[count:]
    exact = np.argmax(queries @ vectors.T, axis=1)
    found: dict[str, NDArray[np.int64]] = {}

    def rate(job: tuple[str, Search]) -> float:
        name, search = job
        start = time.perf_counter()
        found[name] = search(queries)
        return len(queries) / (time.perf_counter() - start)

    engines = searches(vectors)
    rates = in_turns({name: (name, search) for name, search in engines.items()}, rounds=rounds, measure=rate)
    return {
        name: {**asdict(Spread.of(each)), "nearest": float((found[name] == exact).mean())}
        for name, each in rates.items()
    }


def clustered(count: int, dim: int, *, seed: int, near: float = 0.6) -> NDArray[np.float32]:
    """Unit vectors, float32 (count, dim), in clusters of about twenty."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(1, count // 20), dim))
    rows = near * centres[rng.integers(len(centres), size=count)] + (1 - near) * rng.normal(size=(count, dim))
    unit: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def searches(vectors: NDArray[np.float32]) -> dict[str, Search]:
    """For each installed engine, a function from queries (n, dim) to the row of the nearest vector, int64 (n,)."""
    found: dict[str, Search] = {"lookalike": _ours(vectors), "numpy": lambda q: np.argmax(q @ vectors.T, axis=1)}
    if find_spec("usearch") is not None:
        found["usearch"] = _usearch(vectors)
    if find_spec("hnswlib") is not None:
        found["hnswlib"] = _hnswlib(vectors)
    return found


def _ours(vectors: NDArray[np.float32]) -> Search:
    dim = vectors.shape[1]
    index = ReferenceIndex(
        EncoderSpec("bench", "bench", "", dim, Preprocessing((1, 1), (0.0,), (1.0,), "box", "squash"))
    )
    names = [str(row) for row in range(len(vectors))]
    index.add([Reference(name, name, "", name) for name in names], vectors, hashes=names)

    def search(queries: NDArray[np.float32]) -> NDArray[np.int64]:
        return np.array([int(matches[0].reference.id) for matches in index.search(queries, top=1)], np.int64)

    return search


def _usearch(vectors: NDArray[np.float32]) -> Search:
    from usearch.index import Index

    index: Any = Index(ndim=vectors.shape[1], metric="ip")
    index.add(np.arange(len(vectors)), vectors)
    return lambda queries: np.asarray(index.search(queries, 1).keys, np.int64).ravel()


def _hnswlib(vectors: NDArray[np.float32]) -> Search:
    import hnswlib

    index: Any = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), ef_construction=200, M=16)
    index.add_items(vectors)
    index.set_ef(64)
    return lambda queries: np.asarray(index.knn_query(queries, k=1)[0], np.int64).ravel()
