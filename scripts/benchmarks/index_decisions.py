"""How often an index decides as exact search does: as built, after changes, and with vectors in half precision."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.index.comparison import similarities_at
from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.encoder import Vectors
from lookalike.scripts.benchmarks.contestants import Answer, nearest_of, reference
from lookalike.scripts.benchmarks.vectors import queries_near
from lookalike.scripts.timing import seconds_of

_THRESHOLDS = np.round(np.arange(0.5, 1.0, 0.05), 2)
_SAME = 1e-5
_PROBES, _CHANGED = 1000, 1000


def agreement(found: Answer, truth: Answer) -> dict[str, Any]:
    """The share of equal decisions, at every threshold from 0.5 to 0.95, and of nearest references that were found.

    Both answers are of the nearest alone, (n,).
    """
    near, exact = found[0], truth[0]
    clear = np.abs(exact[:, None] - _THRESHOLDS) > _SAME  # closer to a threshold, exact sums differ among themselves
    same = ((near[:, None] >= _THRESHOLDS) == (exact[:, None] >= _THRESHOLDS)) | ~clear
    nearest = (found[1] == truth[1]) | (np.abs(near - exact) <= _SAME)
    return {
        "decisions": float(same.mean()), "nearest": float(nearest.mean()), "probes": len(near),
        "misses": int((~nearest).sum()),
    }  # fmt: skip


def measure_changes(folder: Path, flat: Any, vectors: Vectors, probes: Vectors) -> dict[str, Any]:
    """Seconds to add and to remove 1,000 references, with opening and saving, and the agreement afterwards.

    The index in the folder stays changed; `flat` is exact search over the vectors it held before.
    """
    rng = np.random.default_rng(1)
    count = min(_CHANGED, len(vectors) // 10)
    fresh = queries_near(vectors, count, rng)
    gone = rng.choice(len(vectors), count, replace=False)

    def add() -> None:
        index = ReferenceIndex.load(folder)
        index.add([reference(row, fresh=True) for row in range(count)], fresh, hashes=["f" * 64] * count)
        index.save(folder)

    def remove() -> None:
        index = ReferenceIndex.load(folder)
        index.remove(references=[f"r{row}" for row in gone.tolist()])
        index.save(folder)

    seconds = {"add_s": seconds_of(add), "remove_s": seconds_of(remove)}
    some = probes[:_PROBES]
    similarity, rows = flat.search(some, 50)
    similarity[np.isin(rows, gone)] = -1
    truth = np.maximum(similarity.max(axis=1), (some @ fresh.T).max(axis=1))
    values, found = nearest_of(ReferenceIndex.load(folder), some)
    return {**seconds, "after_changes": agreement((values, found), (truth, np.full_like(found, -1)))}


def measure_half(flat: Any, vectors: Vectors, probes: Vectors) -> dict[str, Any]:
    """What vectors in half precision would cost: error of similarities, agreement, seconds to compare candidates.

    numpy takes the half-precision rows and widens them, since FAISS has no function that compares named rows of them.
    """
    some = probes[:_PROBES]
    similarity, rows = flat.search(some, min(64, len(vectors)))
    halves = np.asarray(vectors, np.float16)
    rounded = np.empty_like(similarity)

    def compare() -> None:
        for at, (near, query) in enumerate(zip(rows, some, strict=True)):
            rounded[at] = halves[near].astype(np.float32) @ query

    seconds = {"full_s": seconds_of(partial(similarities_at, some, vectors, rows)), "half_s": seconds_of(compare)}
    best = rounded.max(axis=1), rows[np.arange(len(some)), rounded.argmax(axis=1)]
    most_off = float(np.abs(rounded - similarity).max())
    return {"most_off": most_off, **seconds, **agreement(best, (similarity[:, 0], rows[:, 0]))}
