"""One state of an index, how it is made, and the same with rows more or less."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lookalike.model.adapter import Adapter
from lookalike.model.encoder import EncoderSpec, Vectors

from . import segments
from .catalogue import joined, product_codes, rows_with
from .features import Packed
from .nearest import Exact, Partitioned, Pieces, Streamed
from .segments import Segment, Segments, Unadapted


@dataclass(frozen=True)
class State:
    """One state of the index; it never changes, so that a change doesn't disturb searches.

    `spec` is the encoder of the vectors, with the `adapter` if there is one. `heads` search for `similarity` and, if
    the encoder has a second head, for `look`. In an adapted index, the vectors before they were adapted are in
    `before`, whole or in pieces. `arranged` says that exact search is what is left, however many references there are.
    """

    spec: EncoderSpec
    adapter: Adapter | None
    catalogue: pa.Table
    heads: tuple[Exact | Streamed, ...]
    product: NDArray[np.int32]
    features: Sequence[Packed]
    whole: Segments | None = None
    pieces: Pieces | None = None
    before: Vectors | Pieces | None = None
    arranged: bool = False

    def __len__(self) -> int:
        return len(self.product)

    @property
    def unadapted(self) -> Vectors:
        """All vectors as the encoder without adapter made them, float32 (n, width)."""
        if isinstance(self.before, Pieces):
            return self.before.vectors
        return self.vectors if self.before is None else self.before

    def unadapted_at(self, rows: NDArray[np.int64]) -> Vectors:
        """Those of these rows, float32 (n, width); only they are read."""
        if self.before is None:
            return self.vectors_at(rows)
        return self.before.vectors_at(rows) if isinstance(self.before, Pieces) else self.before[rows]

    @property
    def vectors(self) -> Vectors:
        """All vectors, float32 (n, width)."""
        if self.pieces is not None:
            return self.pieces.vectors
        parts = [head.vectors for head in self.heads if isinstance(head, Exact)]
        return parts[0] if len(parts) == 1 else np.hstack(parts)

    def vectors_at(self, rows: NDArray[np.int64]) -> Vectors:
        """The vectors of these rows, float32 (n, width); only they are read."""
        if self.pieces is not None:
            return self.pieces.vectors_at(rows)
        return np.hstack([head.vectors[rows] for head in self.heads if isinstance(head, Exact)])

    @cached_property
    def products(self) -> int:
        """The number of products."""
        return int(self.product.max()) + 1 if len(self.product) else 0

    @cached_property
    def has_features(self) -> bool:
        """Whether any reference has local features."""
        return any(len(packed) for packed in self.features)

    @cached_property
    def row(self) -> dict[str, int]:
        """Each reference's row, by its id."""
        names = self.catalogue["reference_id"].to_pylist()
        return dict(zip(names, range(len(names)), strict=True))


def columns_of(spec: EncoderSpec) -> list[slice]:
    """Which columns of vectors stand for `similarity` and, if there is a second head, for `look`."""
    return [slice(0, spec.dim), *([slice(spec.dim, spec.width)] if spec.look_dim else [])]


def exact_state(
    spec: EncoderSpec,
    adapter: Adapter | None,
    catalogue: pa.Table,
    vectors: Vectors,
    features: Sequence[Packed],
    before: Vectors | None = None,
    *,
    arranged: bool = False,
) -> State:
    """The state of an index whose searches compare with all vectors, float32 (n, width)."""
    catalogue = catalogue.combine_chunks()
    heads = tuple(map(Exact, spec.parts(vectors)))
    return State(spec, adapter, catalogue, heads, product_codes(catalogue), features, before=before, arranged=arranged)


def partitioned_state(
    spec: EncoderSpec, adapter: Adapter | None, whole: Segments, catalogue: pa.Table | None = None
) -> State:
    """The state of a partitioned index; `catalogue` is that of the living rows, if it is known already."""
    alive = whole.alive
    if catalogue is None:
        table = joined(segment.catalogue for segment in whole.segments)
        catalogue = table if alive.all() else table.filter(pa.array(alive))
    catalogue = catalogue.combine_chunks()  # taking rows from one chunk is much faster
    pieces = Pieces([segment.vectors for segment in whole.segments], alive)
    heads = tuple(
        Partitioned(partition, pieces, [segment.coded[at] for segment in whole.segments], columns)
        for at, (partition, columns) in enumerate(zip(whole.partitions, columns_of(spec), strict=True))
    )
    features = [packed for segment in whole.segments for packed in segment.features]
    unadapted = [segment.unadapted.vectors for segment in whole.segments if segment.unadapted is not None]
    before = Pieces(unadapted, alive) if unadapted else None
    product, features = product_codes(catalogue), _chosen(features, alive)
    return State(spec, adapter, catalogue, heads, product, features, whole, pieces, before)


def with_rows(old: State, fresh: pa.Table, vectors: Vectors, packed: Sequence[Packed]) -> State:
    """The state with more rows of a catalogue in place of those with their ids; `vectors` are not adapted yet."""
    before = None if old.adapter is None else vectors
    vectors = vectors if old.adapter is None else old.adapter.map(vectors)
    kept = ~rows_with(old.catalogue, "reference_id", fresh["reference_id"])
    table = joined([old.catalogue.filter(pa.array(kept)), fresh])
    if old.whole is None:
        vectors = np.concatenate([_kept(old.vectors, kept), vectors])
        before = None if before is None else np.concatenate([_kept(old.unadapted, kept), before])
        return exact_state(old.spec, old.adapter, table, vectors, [*_chosen(old.features, kept), *packed], before)
    parts = old.spec.parts(vectors)
    coded = tuple(partition.encode(part) for partition, part in zip(old.whole.partitions, parts, strict=True))
    unadapted = None
    if before is not None and old.whole.unadapted is not None:
        unadapted = Unadapted(before, old.whole.unadapted.encode(old.spec.parts(before)[0]))
    segment = Segment(fresh, vectors, coded, packed, unadapted=unadapted)
    whole = segments.added(segments.without(old.whole, ~kept), segment)
    return partitioned_state(old.spec, old.adapter, whole, table)


def without_rows(old: State, gone: NDArray[np.bool_]) -> State:
    """The state without the rows for which `gone`, bool (n,), is true."""
    table = old.catalogue.filter(pa.array(~gone))
    if old.whole is not None:
        return partitioned_state(old.spec, old.adapter, segments.without(old.whole, gone), table)
    before = None if old.before is None else old.unadapted[~gone]
    return exact_state(old.spec, old.adapter, table, old.vectors[~gone], _chosen(old.features, ~gone), before)


def _kept(vectors: Vectors, kept: NDArray[np.bool_]) -> Vectors:
    return vectors if kept.all() else vectors[kept]


def _chosen(features: Sequence[Packed], kept: NDArray[np.bool_]) -> list[Packed]:
    return [features[row] for row in np.flatnonzero(kept).tolist()]
