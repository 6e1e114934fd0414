"""The genuine references: their vectors, the catalogue beside them, and a search for those nearest to a vector.

With up to EXACT_UP_TO references, a search compares all of them. A larger index is partitioned when it is saved: its
vectors stay on disk, and a search compares in full only those that a partition leads to. How often that decides as
comparing all of them does was measured (see `partition`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lookalike.errors import EncoderMismatchError, FeaturesError, IndexDamagedError, ReferenceIndexError
from lookalike.model.adapter import Adapter
from lookalike.model.encoder import EncoderSpec, Vectors
from lookalike.records import Match, Reference

from . import segments, store
from .catalogue import all_references, catalogue_of, joined, product_codes, references_at, rows_of, rows_with
from .features import NONE, Packed, Unpacked
from .learning import learn_partition
from .nearest import Exact, Mapped, Partitioned, Pieces, Streamed, best_of_each_product, united
from .partition import LEAST_ADAPTED, LEAST_THRESHOLD, Agreement, Coded, Partition
from .segments import Segment, Segments

if TYPE_CHECKING:
    from lookalike.model.features import LocalFeatures

EXACT_UP_TO = 50_000
"""An index of more references than this is partitioned when it is saved, unless it has a limit of its own."""

_MOST_SEGMENTS = 16
_LATER = 0.25  # a partition is learnt again once more than this share was added, or removed, after it was learnt


@dataclass(frozen=True)
class _State:
    """One state of the index; it never changes, so that a change doesn't disturb searches.

    `heads` search for `similarity` and, if the encoder has a second head, for `look`. In an adapted index, the vectors
    before they were adapted are in `before`, whole or in pieces.
    """

    catalogue: pa.Table
    heads: tuple[Exact | Streamed, ...]
    product: NDArray[np.int32]
    features: Sequence[Packed]
    whole: Segments | None = None
    pieces: Pieces | None = None
    before: Vectors | Pieces | None = None

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


class ReferenceIndex:
    """Nearest-neighbour search, by cosine, over the vectors of genuine reference photos.

    With up to `exact_up_to` references it is exact. A larger index is partitioned when it is saved, and `agreement`
    says how often it was measured to decide as an exact search does. Of an encoder with a second head, both parts of
    the vectors are searched. Several threads may read the index while one changes it.

    >>> from lookalike.model.encoder import EncoderSpec, Preprocessing
    >>> spec = EncoderSpec("toy", "toy", "0" * 64, 2, Preprocessing((1, 1), (0.0,), (1.0,), "bicubic", "squash"))
    >>> index = ReferenceIndex(spec)
    >>> east, north = Reference("r1", "p1", "Brand", "1.jpg"), Reference("r2", "p2", "Brand", "2.jpg")
    >>> index.add([east, north], np.array([[1, 0], [0, 1]], np.float32), hashes=["a", "b"])
    >>> [match.reference.id for match in index.search(np.array([[0.6, 0.8]], np.float32), top=1)[0]]
    ['r2']
    """

    def __init__(self, spec: EncoderSpec, *, exact_up_to: int = EXACT_UP_TO, adapter: Adapter | None = None) -> None:
        if spec != (adapter.adapted_spec if adapter else spec.unadapted):
            raise ValueError(f"{spec} is not the encoder of the adapter; give the adapter, or the encoder without it")
        self._spec = spec
        self._adapter = adapter
        self.exact_up_to = exact_up_to
        self._created = ""
        self._digest = ""
        self._unpacked = Unpacked()
        self._state = _state(spec, catalogue_of((), ()), np.empty((0, spec.width), np.float32), ())

    @classmethod
    def load(cls, folder: str | Path, *, verify: bool = False) -> ReferenceIndex:
        """Read an index folder, and verify its checksums.

        Files of vectors and features in a partitioned index with more than `data_files.BIG` bytes are mapped; only
        their size is verified, unless `verify` asks for everything. Raises IndexNotFoundError if there is no index, and
        IndexDamagedError if a file is not as it was written.
        """
        folder = Path(folder)

        def read(manifest: dict[str, Any], digest: str) -> ReferenceIndex:
            spec = store.read_spec(folder, manifest)
            adapter = store.read_adapter(folder, manifest, spec)
            index = cls(spec, exact_up_to=_exact_up_to(folder, manifest), adapter=adapter)
            index._created, index._digest = str(manifest.get("created", "")), digest
            if manifest["version"] == segments.VERSION:
                index._state = _partitioned(index.spec, segments.read(folder, manifest, verify=verify))
            else:
                stored = store.read_rows(folder, manifest)
                index._state = _state(index.spec, stored.catalogue, stored.vectors, stored.features, stored.unadapted)
            return index

        return store.read(folder, read)

    def save(self, folder: str | Path) -> None:
        """Make the folder hold this index, in one step that a crash can't split.

        An index that has outgrown exact search, or its partition, is compacted first. If the folder holds this
        partitioned index already, only what changed is written.
        """
        if self._outgrown():
            self.compact()
        state = self._state
        if state.whole is None:
            default = self.exact_up_to == EXACT_UP_TO
            self._digest = store.write(
                Path(folder),
                spec=self._spec,
                catalogue=state.catalogue,
                vectors=state.vectors,
                features=state.features,
                unadapted=None if state.before is None else state.unadapted,
                adapter=self._adapter,
                more={} if default else {"exact_up_to": self.exact_up_to},
            )
            return
        whole = segments.joined(state.whole) if len(state.whole.segments) > _MOST_SEGMENTS else state.whole
        self._digest, whole = segments.write(
            Path(folder), whole, spec=self._spec, exact_up_to=self.exact_up_to, adapter=self._adapter
        )
        self._state = replace(state, whole=whole)

    def compact(self) -> None:
        """Put the index in one piece: partitioned for what it holds, or exact if that is little."""
        state = self._state
        vectors = state.vectors
        before = None if state.before is None else state.unadapted
        learnt: list[tuple[Partition, Coded]] = []
        for columns in _columns(self._spec) if len(self) > self.exact_up_to else ():
            found = learn_partition(vectors, columns=columns, least=_least(self._spec, columns))
            if found is None:
                break
            learnt.append(found)
        if len(learnt) < len(_columns(self._spec)):
            self._state = _state(self._spec, state.catalogue, vectors, state.features, before)
            return
        partitions, coded = zip(*learnt, strict=True)
        whole = Segment(state.catalogue.combine_chunks(), vectors, coded, state.features, unadapted=before)
        self._state = _partitioned(self._spec, Segments(partitions, (whole,), np.empty(0, np.int64)))

    def adapted(self, adapter: Adapter | None) -> ReferenceIndex:
        """The same references with their vectors adapted, instead of as they may be now; without an adapter, undone.

        A partitioned index is partitioned again where it is searched for similarity. Raises EncoderMismatchError for an
        adapter of another encoder.
        """
        spec = self._spec.unadapted
        _require_adapter(adapter, spec)
        index = ReferenceIndex(
            spec if adapter is None else adapter.adapted_spec, exact_up_to=self.exact_up_to, adapter=adapter
        )
        index._created, index._digest = self._created, self._digest
        whole = self._state.whole
        if whole is not None and (len(whole.segments) > 1 or len(whole.removed)):
            self.compact()
        state = self._state
        source = state.unadapted
        vectors = source if adapter is None else adapter.map(source)
        before = None if adapter is None else source
        learnt = None
        if state.whole is not None:
            similarity = _columns(spec)[0]
            learnt = learn_partition(vectors, columns=similarity, least=_least(index.spec, similarity))
        if state.whole is None or learnt is None:
            index._state = _state(index.spec, state.catalogue, vectors, state.features, before)
            return index
        partition, coded = learnt
        segment = segments.adapted(state.whole.segments[0], vectors, coded, unadapted=before)
        partitions = (partition, *state.whole.partitions[1:])
        index._state = _partitioned(index.spec, Segments(partitions, (segment,), np.empty(0, np.int64)))
        return index

    def seen_through(self, adapter: Adapter) -> ReferenceIndex:
        """The same references with their vectors adapted as they are read, to look some photos up.

        Nothing is learnt, and no more is held in memory: a search for similarity adapts all vectors, a block at a time,
        and is exact; one for look stays as it is. Raises EncoderMismatchError for an adapter of another encoder.
        """
        _require_adapter(adapter, self._spec)
        index = ReferenceIndex(adapter.adapted_spec, exact_up_to=self.exact_up_to, adapter=adapter)
        index._created, index._digest = self._created, self._digest
        state = self._state
        whole = state.whole
        if whole is None:
            source, alive = [state.unadapted], np.ones(len(self), bool)
        else:
            source = [each.vectors if each.unadapted is None else each.unadapted for each in whole.segments]
            alive = whole.alive
        pieces = Mapped(source, alive, adapter.map)
        heads = (Streamed(pieces, _columns(self._spec)[0]), *state.heads[1:])
        before = Pieces(source, alive)
        index._state = replace(state, heads=heads, whole=None, pieces=pieces, before=before)
        return index

    def _outgrown(self) -> bool:
        whole = self._state.whole
        if whole is None:
            return len(self) > self.exact_up_to
        later = sum(map(len, whole.segments[1:]))
        dead = len(whole.removed)
        return len(self) <= self.exact_up_to // 2 or max(later, dead) > _LATER * whole.agreement.vectors

    def __len__(self) -> int:
        return len(self._state.product)

    @property
    def spec(self) -> EncoderSpec:
        """The encoder of the vectors."""
        return self._spec

    @property
    def adapter(self) -> Adapter | None:
        """What its vectors were adapted with; None if they are as the encoder made them."""
        return self._adapter

    @property
    def digest(self) -> str:
        """The sha256, in hexadecimal, of encoder, catalogue, vectors and features; empty before they are on disk.

        That of an index adapted in memory is still that of what it was adapted from.
        """
        return self._digest

    @property
    def created(self) -> str:
        """When the folder was written, in ISO 8601; empty for an index that was not read from one."""
        return self._created

    @property
    def catalogue(self) -> pa.Table:
        """One row per reference: the columns of its table, and the `sha256` of its picture."""
        return self._state.catalogue

    @property
    def vectors(self) -> Vectors:
        """All vectors, float32 (n, width), in the catalogue's order; a copy."""
        return self._state.vectors.copy()

    def vectors_at(self, rows: Sequence[int]) -> Vectors:
        """The vectors of these rows of the catalogue, float32 (n, width); a partitioned index reads only them."""
        return self._state.vectors_at(np.asarray(rows, np.int64))

    @property
    def unadapted_vectors(self) -> Vectors:
        """All vectors as the encoder without adapter made them, float32 (n, width); a copy."""
        return self._state.unadapted.copy()

    def unadapted_vectors_at(self, rows: Sequence[int]) -> Vectors:
        """Those of these rows, float32 (n, width); a partitioned index reads only them."""
        return self._state.unadapted_at(np.asarray(rows, np.int64))

    @property
    def agreement(self) -> Agreement | None:
        """How often searches were measured to decide as exact ones do; None if they are exact.

        Searches for similarity and for look were measured apart; this is the one that agrees less often.
        """
        whole = self._state.whole
        return whole.agreement if whole is not None else None

    @property
    def references(self) -> Iterator[Reference]:
        """All references, in order."""
        return all_references(self._state.catalogue)

    @property
    def products(self) -> set[tuple[str, str]]:
        """The brand and the product_id of every product."""
        columns = (self._state.catalogue[name].to_pylist() for name in ("brand", "product_id"))
        return set(zip(*columns, strict=True))

    @property
    def packed_features(self) -> Sequence[Packed]:
        """The packed local features of all references, in the catalogue's order; empty if a reference has none."""
        return self._state.features

    @property
    def has_features(self) -> bool:
        """Whether any reference has local features, so that photos can be compared with it point by point."""
        return self._state.has_features

    def features(self, reference: str) -> LocalFeatures | None:
        """The local features of the reference with that id; None if it has none, or there is no such reference.

        Raises IndexDamagedError for features that are not as they were written.
        """
        state = self._state
        row = state.row.get(reference)
        try:
            return None if row is None else self._unpacked.of(state.features[row])
        except FeaturesError as error:
            raise IndexDamagedError(
                f"the features of reference {reference!r} can't be read: {error}; build the index again"
            ) from error

    def reference(self, name: str) -> Reference | None:
        """The reference with that id; None if there is none."""
        state = self._state
        row = state.row.get(name)
        return None if row is None else references_at(state.catalogue, np.array([row]))[row]

    def image_sha256(self, reference: str) -> str | None:
        """The sha256 of the picture of the reference with that id; None if there is no such reference."""
        state = self._state
        row = state.row.get(reference)
        return None if row is None else state.catalogue["sha256"][row].as_py()

    def require(self, spec: EncoderSpec) -> None:
        """Raise EncoderMismatchError unless this index was built with the encoder `spec`."""
        if spec != self._spec:
            raise EncoderMismatchError(
                f"the index was built with {self._spec} but the encoder is {spec}; load the index's encoder "
                "(--model, --weights), or build the index again with: lookalike build"
            )

    def require_source(self, spec: EncoderSpec) -> None:
        """Raise EncoderMismatchError unless vectors of the encoder `spec` can be added: its own, adapted or not."""
        if spec.unadapted != self._spec.unadapted or spec.adapted not in (None, self._spec.adapted):
            self.require(spec)

    def add(
        self,
        references: Sequence[Reference],
        vectors: Vectors,
        *,
        hashes: Sequence[str],
        features: Sequence[Packed] | None = None,
    ) -> None:
        """Add references with their vectors, float32 (n, width) as the encoder makes them, and their pictures' sha256.

        An adapted index takes vectors of the encoder without adapter, and adapts them itself.

        `features` holds the local features of their pictures as `LocalFeatures.to_bytes` packs them, empty for a
        reference without any; such a reference is never compared point by point. A reference replaces the one that has
        its id. Raises ValueError for vectors of another shape or length, and TableError for further columns that can't
        be kept (see `further_columns`).
        """
        vectors = np.ascontiguousarray(vectors, np.float32)
        if vectors.shape != (len(references), self._spec.width) or len(hashes) != len(references):
            raise ValueError(
                f"got vectors of shape {vectors.shape} and {len(hashes)} hashes, "
                f"expected ({len(references)}, {self._spec.width}) and {len(references)}"
            )
        if len({reference.id for reference in references}) != len(references):
            raise ValueError("two of the references have the same id; give each its own")
        if references:
            self.add_rows(catalogue_of(references, hashes), vectors, features or [NONE] * len(references))

    def add_rows(self, fresh: pa.Table, vectors: Vectors, packed: Sequence[Packed]) -> None:
        """Add rows of a catalogue, each with another id, with their vectors and packed features; see `add`."""
        if not self._spec.are_unit(vectors):
            each = "each of their two parts" if self._spec.look_dim else "vectors"
            raise ValueError(f"{each} must have length 1; divide each row by its norm")
        old = self._state
        before = None if self._adapter is None else vectors
        vectors = vectors if self._adapter is None else self._adapter.map(vectors)
        kept = ~rows_with(old.catalogue, "reference_id", fresh["reference_id"])
        table = joined([old.catalogue.filter(pa.array(kept)), fresh])
        if old.whole is None:
            vectors = np.concatenate([_kept(old.vectors, kept), vectors])
            before = None if before is None else np.concatenate([_kept(old.unadapted, kept), before])
            self._state = _state(self._spec, table, vectors, [*_chosen(old.features, kept), *packed], before)
            return
        parts = zip(old.whole.partitions, self._spec.parts(vectors), strict=True)
        coded = tuple(partition.encode(part) for partition, part in parts)
        segment = Segment(fresh, vectors, coded, packed, unadapted=before)
        whole = segments.added(segments.without(old.whole, ~kept), segment)
        self._state = _partitioned(self._spec, whole, table)

    def remove(
        self,
        *,
        references: Iterable[str] = (),
        products: Iterable[str] = (),
        brands: Iterable[str] = (),
    ) -> int:
        """Remove the references with these ids, and those of these products or brands; give how many there were.

        With products and brands, only those products of those brands are removed. Raises ReferenceIndexError for a
        product_id without a brand that several brands have.
        """
        old, products, brands = self._state, list(products), list(brands)
        gone = rows_with(old.catalogue, "reference_id", references)
        if products or brands:
            gone[rows_of(old.catalogue, brands=brands or None, products=products or None)] = True
        for product in products if not brands else ():
            own = sorted(set(old.catalogue.filter(pc.field("product_id") == product)["brand"].to_pylist()))
            if len(own) > 1:
                raise ReferenceIndexError(
                    f"product {product!r} is one of {', '.join(own)}; name the brand, too: --brand {own[0]} "
                    f"--product {product}"
                )
        if gone.any():
            table = old.catalogue.filter(pa.array(~gone))
            if old.whole is None:
                before = None if old.before is None else old.unadapted[~gone]
                self._state = _state(self._spec, table, old.vectors[~gone], _chosen(old.features, ~gone), before)
            else:
                self._state = _partitioned(self._spec, segments.without(old.whole, gone), table)
        return int(gone.sum())

    def search(
        self,
        vectors: Vectors,
        *,
        top: int = 5,
        brands: Iterable[str] | None = None,
        products: Iterable[str] | None = None,
    ) -> list[tuple[Match, ...]]:
        """The best reference of each of the `top` products nearest to each of `vectors`, float32 (n, width).

        Matches come by similarity, the most similar first. If the encoder has a second head, they are those of the
        `top` nearest products by similarity and of the `top` nearest by look, so there may be twice as many; of a
        product found both ways by two references, the one with the greater sum of both. `brands` and `products`
        restrict the search; None doesn't. A product is a product_id of one brand. Raises ValueError for vectors of
        another shape.
        """
        vectors = np.asarray(vectors, np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self._spec.width:
            raise ValueError(f"got vectors of shape {vectors.shape}, expected (n, {self._spec.width})")
        if top < 1:
            raise ValueError(f"top is {top}, expected 1 or more")
        state = self._state
        rows = rows_of(state.catalogue, brands=brands, products=products)
        parts = [np.ascontiguousarray(part) for part in self._spec.parts(vectors)]
        nearest = [
            best_of_each_product(head, state.product, part, products=state.products, top=top, rows=rows)
            for head, part in zip(state.heads, parts, strict=True)
        ]
        look: Sequence[Sequence[float | None]]
        if len(nearest) == 1:
            (similarity, found), look = nearest[0], [[None] * nearest[0][1].shape[1]] * len(vectors)
        else:
            similarity, looks, found = united(state.heads, parts, nearest, state.product)
            look = looks.clip(-1, 1).tolist()
        similarity = similarity.clip(-1, 1)  # products of float32 vectors of length 1 may exceed it a little
        reference = references_at(state.catalogue, np.unique(found[found >= 0]))
        return [
            tuple(
                Match.found(reference[row], value, own)
                for row, value, own in zip(best, values, looked, strict=True)
                if row >= 0
            )
            for best, values, looked in zip(found.tolist(), similarity.tolist(), look, strict=True)
        ]


def _require_adapter(adapter: Adapter | None, spec: EncoderSpec) -> None:
    if adapter is not None and adapter.spec != spec.unadapted:
        raise EncoderMismatchError(
            f"the adapter is for {adapter.spec} but the index was built with {spec.unadapted}; fit one for this index "
            "with: lookalike adapt fit"
        )


def _columns(spec: EncoderSpec) -> list[slice]:
    """Which columns of vectors stand for `similarity` and, if there is a second head, for `look`."""
    return [slice(0, spec.dim), *([slice(spec.dim, spec.width)] if spec.look_dim else [])]


def _least(spec: EncoderSpec, columns: slice) -> float:
    """The least threshold that a search in these columns is measured for; only those for `similarity` are adapted."""
    return LEAST_ADAPTED if spec.adapted is not None and columns.start == 0 else LEAST_THRESHOLD


def _state(
    spec: EncoderSpec,
    catalogue: pa.Table,
    vectors: Vectors,
    features: Sequence[Packed],
    before: Vectors | None = None,
) -> _State:
    catalogue = catalogue.combine_chunks()
    heads = tuple(map(Exact, spec.parts(vectors)))
    return _State(catalogue, heads, product_codes(catalogue), features, before=before)


def _partitioned(spec: EncoderSpec, whole: Segments, catalogue: pa.Table | None = None) -> _State:
    """The state of a partitioned index; `catalogue` is that of the living rows, if it is known already."""
    alive = whole.alive
    if catalogue is None:
        table = joined(segment.catalogue for segment in whole.segments)
        catalogue = table if alive.all() else table.filter(pa.array(alive))
    catalogue = catalogue.combine_chunks()  # taking rows from one chunk is much faster
    pieces = Pieces([segment.vectors for segment in whole.segments], alive)
    heads = tuple(
        Partitioned(partition, pieces, [segment.coded[at] for segment in whole.segments], columns)
        for at, (partition, columns) in enumerate(zip(whole.partitions, _columns(spec), strict=True))
    )
    features = [packed for segment in whole.segments for packed in segment.features]
    unadapted = [segment.unadapted for segment in whole.segments if segment.unadapted is not None]
    before = Pieces(unadapted, alive) if unadapted else None
    return _State(catalogue, heads, product_codes(catalogue), _chosen(features, alive), whole, pieces, before)


def _exact_up_to(folder: Path, manifest: Mapping[str, Any]) -> int:
    value = manifest.get("exact_up_to", EXACT_UP_TO)
    if type(value) is not int or value < 0:
        raise IndexDamagedError(f"exact_up_to of {folder} is {value!r}, not a whole number; build the index again")
    return value


def _kept(vectors: Vectors, kept: NDArray[np.bool_]) -> Vectors:
    return vectors if kept.all() else vectors[kept]


def _chosen(features: Sequence[Packed], kept: NDArray[np.bool_]) -> list[Packed]:
    return [features[row] for row in np.flatnonzero(kept).tolist()]
