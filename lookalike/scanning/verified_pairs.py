"""The comparisons that are kept: beside the vectors for any scan, and in a scan's state those it still refers to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lookalike.detection.verification import Verifier, compared_pair
from lookalike.tables.cells import id_digest

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    from lookalike.index.blobs import BlobCache

MOST_BYTES = 4 << 30
"""The size that the file beside the vectors grows to: some eight million comparisons."""


def pairs_beside(vectors: Path) -> BlobCache:
    """The file that keeps what scans compared, so that none compares a pair again; `vectors` keeps their vectors."""
    from lookalike.index.blobs import BlobCache

    return BlobCache(vectors.with_name(f"{vectors.stem}.pairs.sqlite"), optional=True, most_bytes=MOST_BYTES)


class VerifiedPairs:
    """Removes from the verifier's cache what the state doesn't refer to any more; eight bytes a photo in memory.

    Only what was there before the run needs a look, so that a first scan pays nothing.
    """

    def __init__(self, verifier: Verifier) -> None:
        self._index = verifier.index
        self._cache = verifier.cache if verifier.cache is not None and not verifier.cache.empty else None
        self._photos: list[NDArray[np.uint64]] = []

    def note(self, table: pa.Table) -> None:
        """Note the photos of these rows of the new state (see `state_schema`)."""
        import pyarrow.compute as pc

        if self._cache is not None:
            names = pc.struct_field(pc.list_flatten(table["photos"]), "sha256").drop_null()
            self._photos.append(_digests(names.to_pylist()))

    def keep_noted(self) -> None:
        """Remove the comparisons of photos that were not noted, and with references that the index doesn't hold."""
        if self._cache is None:
            return
        photos = np.unique(np.concatenate([np.empty(0, np.uint64), *self._photos]))
        batches = self._index.catalogue["sha256"].chunks
        references = np.unique(np.concatenate([np.empty(0, np.uint64), *(_digests(b.to_pylist()) for b in batches)]))

        def wanted(keys: Sequence[str]) -> NDArray[np.bool_]:
            pairs = [compared_pair(key) for key in keys]
            photo, reference = (_digests(names) for names in zip(*pairs, strict=True))
            return np.isin(photo, photos) & np.isin(reference, references)

        self._cache.keep_only(wanted)


def _digests(names: Iterable[str]) -> NDArray[np.uint64]:
    """Eight bytes for each name; if two share them, a comparison is kept that nobody needs."""
    return np.frombuffer(b"".join(map(id_digest, names)), np.uint64)
