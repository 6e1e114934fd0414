"""Which references of an index changed since the last scan, and which listings that may concern."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from lookalike.index.reference_index import ReferenceIndex

    from .windows import Window

_TOGETHER = 1024  # new references compared at a time
_NEAR = 1e-5
"""Similarities of the same two vectors differ by less than this, whatever else is computed with them."""


def reference_digests(index: ReferenceIndex) -> pa.Table:
    """For each reference of an index its `reference_id` and, as `digest`, one of its row, which names its picture."""
    import pyarrow as pa

    digests: list[pa.Array] = []
    for batch in index.catalogue.to_batches(max_chunksize=_TOGETHER):
        rows = [json.dumps(row, sort_keys=True, default=str).encode() for row in batch.to_pylist()]
        digests.append(pa.array([hashlib.sha256(row).hexdigest()[:32] for row in rows], pa.string()))
    names = index.catalogue["reference_id"].cast(pa.string())
    return pa.table({"reference_id": names, "digest": pa.chunked_array(digests, pa.string())})


@dataclass(frozen=True)
class ChangedReferences:
    """How an index differs from an earlier one: ids that are `gone`, and `vectors` (n, dim) of new references.

    A reference that was changed counts as both.
    """

    gone: pa.Array
    vectors: NDArray[np.float32]

    @classmethod
    def since(cls, before: pa.Table, after: pa.Table, index: ReferenceIndex) -> ChangedReferences:
        """What changed from the digests `before` to those `after`, which are the index's (see `reference_digests`)."""
        gone = before["reference_id"].filter(_changed(before, after))
        return cls(gone.combine_chunks(), index.vectors_at(np.flatnonzero(_changed(after, before)).tolist()))

    def may_concern(self, window: Window) -> NDArray[np.bool_]:
        """For each listing of a window, bool (n,), whether its photos may match other references than before.

        They may if they matched a reference that is gone, or if a new one is at least as near as the last that matched.
        """
        import pyarrow.compute as pc

        photos = window.table["photos"].combine_chunks()
        owner = np.asarray(pc.list_parent_indices(photos))
        flat = pc.list_flatten(photos)
        concerned = np.zeros(len(window.table), bool)
        if len(self.vectors):
            read = np.asarray(pc.is_null(pc.struct_field(flat, "error")), bool)
            least = np.asarray(pc.struct_field(flat, "least"), np.float32)[read]
            concerned[owner[read][self._nearest(window.vectors) >= least - _NEAR]] = True
        if len(self.gone):
            matches = pc.struct_field(flat, "matches")
            lost = np.asarray(pc.is_in(pc.list_flatten(matches), value_set=self.gone))
            concerned[owner[np.asarray(pc.list_parent_indices(matches))[lost]]] = True
        return concerned

    def _nearest(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """For each vector, the similarity of the new reference nearest to it."""
        nearest = np.full(len(vectors), -2.0, np.float32)
        for start in range(0, len(self.vectors), _TOGETHER):
            np.maximum(nearest, (vectors @ self.vectors[start : start + _TOGETHER].T).max(axis=1), out=nearest)
        return nearest


def _changed(these: pa.Table, others: pa.Table) -> NDArray[np.bool_]:
    """For each of these references, whether the others lack it, or have another digest."""
    import pyarrow.compute as pc

    there = pc.index_in(these["reference_id"], value_set=others["reference_id"])
    same = pc.equal(these["digest"], others["digest"].take(there))
    return ~np.asarray(pc.fill_null(same, False), bool)
