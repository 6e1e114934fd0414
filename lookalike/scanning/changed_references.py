"""Which references of an index changed since the last scan, and which listings that may concern."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .windows import Window, vectors_of_photos

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from lookalike.index.reference_index import ReferenceIndex

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
    """How an index differs from an earlier one: ids that are `gone`, and `vectors` (n, width) of new references.

    `heads` are the columns for similarity and, if the encoder has a second head, those for look, with the name of what
    a photo's row says of the least. A reference that was changed counts as both.
    """

    gone: pa.Array
    vectors: NDArray[np.float32]
    heads: tuple[tuple[str, slice], ...]

    @classmethod
    def since(cls, before: pa.Table, after: pa.Table, index: ReferenceIndex) -> ChangedReferences:
        """What changed from the digests `before` to those `after`, which are the index's (see `reference_digests`)."""
        gone = before["reference_id"].filter(_changed(before, after))
        vectors = index.vectors_at(np.flatnonzero(_changed(after, before)).tolist())
        dim = index.spec.dim
        heads = (("least", slice(0, dim)), *((("least_look", slice(dim, None)),) if index.spec.look_dim else ()))
        return cls(gone.combine_chunks(), vectors, heads)

    def may_concern(self, window: Window) -> NDArray[np.bool_]:
        """For each listing of a window, bool (n,), whether its photos may match other references than before.

        They may if they matched a reference that is gone, or if a new one is at least as near as the last that matched,
        by similarity or by look.
        """
        import pyarrow.compute as pc

        photos = window.table["photos"].combine_chunks()
        owner = np.asarray(pc.list_parent_indices(photos))
        flat = pc.list_flatten(photos)
        concerned = np.zeros(len(window.table), bool)
        if len(self.vectors):
            photo = np.repeat(np.arange(len(flat)), vectors_of_photos(flat))  # that each vector belongs to
            for name, columns in self.heads:
                least = np.asarray(pc.struct_field(flat, name), np.float32)[photo]
                concerned[owner[photo][self._nearest(window.vectors, columns) >= least - _NEAR]] = True
        if len(self.gone):
            matches = pc.struct_field(flat, "matches")
            lost = np.asarray(pc.is_in(pc.list_flatten(matches), value_set=self.gone))
            concerned[owner[np.asarray(pc.list_parent_indices(matches))[lost]]] = True
        return concerned

    def _nearest(self, vectors: NDArray[np.float32], columns: slice) -> NDArray[np.float32]:
        """For each vector, the cosine of these columns with those of the new reference nearest to it."""
        nearest = np.full(len(vectors), -2.0, np.float32)
        mine, theirs = vectors[:, columns], self.vectors[:, columns]
        for start in range(0, len(theirs), _TOGETHER):
            np.maximum(nearest, (mine @ theirs[start : start + _TOGETHER].T).max(axis=1), out=nearest)
        return nearest


def _changed(these: pa.Table, others: pa.Table) -> NDArray[np.bool_]:
    """For each of these references, whether the others lack it, or have another digest."""
    import pyarrow.compute as pc

    there = pc.index_in(these["reference_id"], value_set=others["reference_id"])
    same = pc.equal(these["digest"], others["digest"].take(there))
    return ~np.asarray(pc.fill_null(same, False), bool)
