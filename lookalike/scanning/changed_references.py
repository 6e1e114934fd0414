"""Which references of an index changed since the last scan, and which listings that may concern."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from lookalike.index.reference_index import ReferenceIndex

_TOGETHER = 4096  # new references compared at a time
_NEAR = 1e-5
"""Similarities of the same two vectors differ by less than this, whatever else is computed with them."""


def reference_digests(index: ReferenceIndex) -> dict[str, str]:
    """For each reference of an index, by id, a digest of its row, which names the content of its picture."""
    return {
        row["reference_id"]: hashlib.sha256(json.dumps(row, sort_keys=True, default=str).encode()).hexdigest()[:32]
        for row in index.catalogue.to_pylist()
    }


@dataclass(frozen=True)
class ChangedReferences:
    """How an index differs from an earlier one: ids that are `gone`, and `vectors` (n, dim) of new references.

    A reference that was changed counts as both.
    """

    gone: frozenset[str]
    vectors: NDArray[np.float32]

    @classmethod
    def since(cls, before: Mapping[str, str], index: ReferenceIndex) -> ChangedReferences:
        """What changed since the index had these digests (see `reference_digests`)."""
        after = reference_digests(index)
        gone = frozenset(name for name, digest in before.items() if after.get(name) != digest)
        fresh = np.array([before.get(name) != digest for name, digest in after.items()], bool)
        return cls(gone, index.vectors[fresh])

    def may_concern(self, table: pa.Table) -> NDArray[np.bool_]:
        """For each listing in a scan's state, bool (n,), whether its photos may match other references than before.

        They may if they matched a reference that is gone, or if a new one is at least as near as the last that matched.
        """
        import pyarrow.compute as pc

        photos = table["photos"].combine_chunks()
        owner = np.asarray(pc.list_parent_indices(photos))
        flat = pc.list_flatten(photos)
        concerned = np.zeros(len(table), bool)
        concerned[owner[self._near(flat)]] = True
        if self.gone:
            matches = pc.struct_field(flat, "matches")
            lost = np.isin(np.asarray(pc.list_flatten(matches)), np.array(list(self.gone)))
            concerned[owner[np.asarray(pc.list_parent_indices(matches))[lost]]] = True
        return concerned

    def _near(self, photos: pa.StructArray) -> NDArray[np.bool_]:
        """For each photo whether a new reference is near enough to be among its matches."""
        import pyarrow.compute as pc

        near = np.zeros(len(photos), bool)
        packed = pc.struct_field(photos, "vector")
        readable = np.asarray(pc.is_valid(packed))
        if not len(self.vectors) or not readable.any():
            return near
        joined = b"".join(packed.drop_null().to_pylist())
        vectors = np.frombuffer(joined, "<f4").reshape(-1, self.vectors.shape[1])
        nearest = np.full(len(vectors), -2.0, np.float32)
        for start in range(0, len(self.vectors), _TOGETHER):
            np.maximum(nearest, (vectors @ self.vectors[start : start + _TOGETHER].T).max(axis=1), out=nearest)
        near[readable] = nearest >= np.asarray(pc.struct_field(photos, "least"))[readable] - _NEAR
        return near
