"""What the index benchmark compares: exact search, this library's index, HNSW, usearch and hnswlib, used alike."""

from __future__ import annotations

import gc
import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import MissingExtraError
from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.encoder import EncoderSpec, Preprocessing, Vectors
from lookalike.records import Reference

Answer = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Similarities and rows, both (n, k) or, of the nearest alone, (n,); row −1 where nothing was found."""

TOP = 5
_PER_PRODUCT, _BRANDS = 4, 50
_LINKS, _BUILDING, _LOOKING = 16, 64, 64  # of each graph: links of a node, and how widely it builds and searches


@dataclass(frozen=True)
class Contestant:
    """A kind of index: `build` makes one of vectors (n, dim), `search` finds the `TOP` nearest of queries (n, dim).

    `save` and `open` write and read it at a path; `open` is also given dim. `build` raises MissingExtraError where the
    package is not installed.
    """

    name: str
    build: Callable[[Vectors], Any]
    search: Callable[[Any, Vectors], Any]
    save: Callable[[Any, str], object]
    open: Callable[[str, int], Any]


def memory_when_open(contestant: Contestant, path: str, dim: int) -> dict[str, float]:
    """Bytes of anonymous memory that opening the index and one search take in this process, and seconds to open it.

    A tiny index is built, saved and opened before, so that imports don't count.
    """
    with tempfile.TemporaryDirectory() as folder:
        tiny = f"{folder}/tiny"
        contestant.save(contestant.build(np.eye(8, dtype=np.float32)), tiny)
        contestant.search(contestant.open(tiny, 8), np.eye(1, 8, dtype=np.float32))
    before, start = _anonymous(), time.perf_counter()
    index = contestant.open(path, dim)
    seconds = time.perf_counter() - start
    contestant.search(index, np.eye(1, dim, dtype=np.float32))
    return {"anonymous": _anonymous() - before, "seconds": seconds}


def _anonymous() -> int:
    gc.collect()
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def reference(row: int, *, fresh: bool = False) -> Reference:
    """The reference that stands for a row; its id is the row after a letter, another letter for `fresh` ones."""
    product = row // _PER_PRODUCT
    name = f"n{row}" if fresh else f"r{row}"
    return Reference(name, f"p{product}", f"brand {product % _BRANDS}", f"photos/{name}.jpg")


def nearest_of(index: ReferenceIndex, queries: Vectors) -> Answer:
    """The nearest reference of each query, as similarity and row, both (n,)."""
    matches = [found[0] for found in index.search(queries, top=1)]
    rows = np.array([int(match.reference.id[1:]) for match in matches], np.int64)
    return np.array([match.similarity for match in matches], np.float32), rows


def _ours(vectors: Vectors) -> ReferenceIndex:
    looks = Preprocessing((1, 1), (0.0,) * 3, (1.0,) * 3, "bicubic", "squash")
    index = ReferenceIndex(EncoderSpec("benchmark", "benchmark", "0" * 64, vectors.shape[1], looks))
    hashes = [hashlib.sha256(str(row).encode()).hexdigest() for row in range(len(vectors))]
    index.add([reference(row) for row in range(len(vectors))], np.asarray(vectors), hashes=hashes)
    return index


def _flat(vectors: Vectors) -> Any:
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors))
    return index


def _hnsw(vectors: Vectors) -> Any:
    import faiss

    index = faiss.IndexHNSWFlat(vectors.shape[1], _LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction, index.hnsw.efSearch = _BUILDING, _LOOKING
    index.add(np.ascontiguousarray(vectors))
    return index


def _save_faiss(index: Any, path: str) -> None:
    import faiss

    faiss.write_index(index, path)


def _open_faiss(path: str, _: int) -> Any:
    import faiss

    return faiss.read_index(path)


def _usearch(vectors: Vectors) -> Any:
    try:
        from usearch.index import Index
    except ImportError as error:
        raise MissingExtraError("usearch", "benchmark") from error
    index = Index(ndim=vectors.shape[1], metric="ip", dtype="f16", connectivity=_LINKS, expansion_add=_BUILDING,
                  expansion_search=_LOOKING)  # fmt: skip
    index.add(np.arange(len(vectors)), np.asarray(vectors), threads=os.cpu_count() or 1)
    return index


def _search_usearch(index: Any, queries: Vectors) -> Answer:
    found = index.search(queries, TOP, threads=os.cpu_count() or 1)
    return np.atleast_2d(1 - found.distances), np.atleast_2d(found.keys).astype(np.int64)


def _open_usearch(path: str, _: int) -> Any:
    from usearch.index import Index

    return Index.restore(path)


def _hnswlib(vectors: Vectors) -> Any:
    try:
        import hnswlib
    except ImportError as error:
        raise MissingExtraError("hnswlib", "benchmark") from error
    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), M=_LINKS, ef_construction=_BUILDING, random_seed=1)
    index.add_items(vectors, num_threads=os.cpu_count() or 1)
    index.set_ef(_LOOKING)
    return index


def _search_hnswlib(index: Any, queries: Vectors) -> Answer:
    rows, distances = index.knn_query(queries, k=TOP, num_threads=os.cpu_count() or 1)
    return 1 - distances, rows.astype(np.int64)


def _open_hnswlib(path: str, dim: int) -> Any:
    import hnswlib

    index = hnswlib.Index(space="ip", dim=dim)
    index.load_index(path)
    index.set_ef(_LOOKING)
    return index


EXACT = Contestant("Flat (FAISS)", _flat, lambda index, queries: index.search(queries, TOP), _save_faiss, _open_faiss)
OURS = Contestant(
    "lookalike", _ours, lambda index, queries: index.search(queries, top=TOP), ReferenceIndex.save,
    lambda path, _: ReferenceIndex.load(path),
)  # fmt: skip
OTHERS = (
    Contestant("HNSW (FAISS)", _hnsw, EXACT.search, _save_faiss, _open_faiss),
    Contestant("usearch", _usearch, _search_usearch, lambda index, path: index.save(path), _open_usearch),
    Contestant(
        "hnswlib", _hnswlib, _search_hnswlib, lambda index, path: index.save_index(path), _open_hnswlib
    ),
)  # fmt: skip
CONTESTANTS = {each.name: each for each in (EXACT, OURS, *OTHERS)}
