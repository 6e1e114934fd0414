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
from lookalike.model.encoder import EncoderSpec, Vectors
from lookalike.records import Match, Reference

from . import segments, store
from .catalogue import all_references, catalogue_of, joined, product_codes, references_at, rows_of, rows_with
from .features import NONE, Packed, unpack
from .learning import learn_partition
from .nearest import Exact, Partitioned, best_of_each_product
from .partition import Agreement
from .segments import Segment, Segments

if TYPE_CHECKING:
    from lookalike.model.features import LocalFeatures

EXACT_UP_TO = 50_000
"""An index of more references than this is partitioned when it is saved, unless it has a limit of its own."""

_MOST_SEGMENTS = 16
_LATER = 0.25  # a partition is learnt again once more than this share was added, or removed, after it was learnt


@dataclass(frozen=True)
class _State:
    """One state of the index; it never changes, so that a change doesn't disturb searches."""

    catalogue: pa.Table
    nearest: Exact | Partitioned
    product: NDArray[np.int32]
    features: Sequence[Packed]
    whole: Segments | None = None

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
    says how often it was measured to decide as an exact search does. Several threads may read the index while one
    changes it.

    >>> from lookalike.model.encoder import EncoderSpec, Preprocessing
    >>> spec = EncoderSpec("toy", "toy", "0" * 64, 2, Preprocessing((1, 1), (0.0,), (1.0,), "bicubic", "squash"))
    >>> index = ReferenceIndex(spec)
    >>> east, north = Reference("r1", "p1", "Brand", "1.jpg"), Reference("r2", "p2", "Brand", "2.jpg")
    >>> index.add([east, north], np.array([[1, 0], [0, 1]], np.float32), hashes=["a", "b"])
    >>> [match.reference.id for match in index.search(np.array([[0.6, 0.8]], np.float32), top=1)[0]]
    ['r2']
    """

    def __init__(self, spec: EncoderSpec, *, exact_up_to: int = EXACT_UP_TO) -> None:
        self._spec = spec
        self.exact_up_to = exact_up_to
        self._created = ""
        self._digest = ""
        self._state = _state(catalogue_of((), ()), np.empty((0, spec.dim), np.float32), ())

    @classmethod
    def load(cls, folder: str | Path, *, verify: bool = False) -> ReferenceIndex:
        """Read an index folder, and verify its checksums.

        Files of vectors and features in a partitioned index with more than `data_files.BIG` bytes are mapped; only
        their size is verified, unless `verify` asks for everything. Raises IndexNotFoundError if there is no index, and
        IndexDamagedError if a file is not as it was written.
        """
        folder = Path(folder)

        def read(manifest: dict[str, Any], digest: str) -> ReferenceIndex:
            index = cls(store.read_spec(folder, manifest), exact_up_to=_exact_up_to(folder, manifest))
            index._created, index._digest = str(manifest.get("created", "")), digest
            if manifest["version"] == segments.VERSION:
                index._state = _partitioned(segments.read(folder, manifest, verify=verify))
            else:
                stored = store.read_rows(folder, manifest)
                index._state = _state(stored.catalogue, stored.vectors, stored.features)
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
                vectors=state.nearest.vectors,
                features=state.features,
                more={} if default else {"exact_up_to": self.exact_up_to},
            )
            return
        whole = segments.joined(state.whole) if len(state.whole.segments) > _MOST_SEGMENTS else state.whole
        self._digest, whole = segments.write(Path(folder), whole, spec=self._spec, exact_up_to=self.exact_up_to)
        self._state = replace(state, whole=whole)

    def compact(self) -> None:
        """Put the index in one piece: partitioned for what it holds, or exact if that is little."""
        state = self._state
        vectors = state.nearest.vectors
        learnt = learn_partition(vectors) if len(self) > self.exact_up_to else None
        if learnt is None:
            self._state = _state(state.catalogue, vectors, state.features)
            return
        partition, (lists, codes) = learnt
        whole = Segment(state.catalogue.combine_chunks(), vectors, lists, codes, state.features)
        self._state = _partitioned(Segments(partition, (whole,), np.empty(0, np.int64)))

    def _outgrown(self) -> bool:
        whole = self._state.whole
        if whole is None:
            return len(self) > self.exact_up_to
        later = sum(map(len, whole.segments[1:]))
        dead = len(whole.removed)
        return len(self) <= self.exact_up_to // 2 or max(later, dead) > _LATER * whole.partition.agreement.vectors

    def __len__(self) -> int:
        return len(self._state.product)

    @property
    def spec(self) -> EncoderSpec:
        """The encoder of the vectors."""
        return self._spec

    @property
    def digest(self) -> str:
        """The sha256, in hexadecimal, of encoder, catalogue, vectors and features; empty before they are on disk."""
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
        """All vectors, float32 (n, dim), in the catalogue's order; a copy."""
        return self._state.nearest.vectors.copy()

    def vectors_at(self, rows: Sequence[int]) -> Vectors:
        """The vectors of these rows of the catalogue, float32 (n, dim); a partitioned index reads only them."""
        return self._state.nearest.vectors_at(np.asarray(rows, np.int64))

    @property
    def agreement(self) -> Agreement | None:
        """How often searches were measured to decide as exact ones do; None if they are exact."""
        whole = self._state.whole
        return whole.partition.agreement if whole is not None else None

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
            return None if row is None else unpack(state.features, row)
        except FeaturesError as error:
            raise IndexDamagedError(
                f"the features of reference {reference!r} can't be read: {error}; build the index again"
            ) from error

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
                "(--model, --weights), or build the index again"
            )

    def add(
        self,
        references: Sequence[Reference],
        vectors: Vectors,
        *,
        hashes: Sequence[str],
        features: Sequence[Packed] | None = None,
    ) -> None:
        """Add references with their vectors, float32 (n, dim) of length 1, and the sha256 of their pictures.

        `features` holds the local features of their pictures as `LocalFeatures.to_bytes` packs them, empty for a
        reference without any; such a reference is never compared point by point. A reference replaces the one that has
        its id. Raises ValueError for vectors of another shape or length, and TableError for further columns that can't
        be kept (see `further_columns`).
        """
        vectors = np.ascontiguousarray(vectors, np.float32)
        if vectors.shape != (len(references), self._spec.dim) or len(hashes) != len(references):
            raise ValueError(
                f"got vectors of shape {vectors.shape} and {len(hashes)} hashes, "
                f"expected ({len(references)}, {self._spec.dim}) and {len(references)}"
            )
        if len({reference.id for reference in references}) != len(references):
            raise ValueError("two of the references have the same id; give each its own")
        if references:
            self.add_rows(catalogue_of(references, hashes), vectors, features or [NONE] * len(references))

    def add_rows(self, fresh: pa.Table, vectors: Vectors, packed: Sequence[Packed]) -> None:
        """Add rows of a catalogue, each with another id, with their vectors and packed features; see `add`."""
        if not np.all(np.abs(np.linalg.norm(vectors, axis=1) - 1) < 1e-3):
            raise ValueError("vectors must have length 1; divide each row by its norm")
        old = self._state
        kept = ~rows_with(old.catalogue, "reference_id", fresh["reference_id"])
        table = joined([old.catalogue.filter(pa.array(kept)), fresh])
        if old.whole is None:
            there = old.nearest.vectors if kept.all() else old.nearest.vectors[kept]
            vectors = np.concatenate([there, vectors])
            self._state = _state(table, vectors, [*_chosen(old.features, kept), *packed])
            return
        segment = Segment(fresh, vectors, *old.whole.partition.encode(vectors), packed)
        self._state = _partitioned(segments.added(segments.without(old.whole, ~kept), segment), table)

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
                self._state = _state(table, old.nearest.vectors[~gone], _chosen(old.features, ~gone))
            else:
                self._state = _partitioned(segments.without(old.whole, gone), table)
        return int(gone.sum())

    def search(
        self,
        vectors: Vectors,
        *,
        top: int = 5,
        brands: Iterable[str] | None = None,
        products: Iterable[str] | None = None,
    ) -> list[tuple[Match, ...]]:
        """The best reference of each of the `top` products nearest to each of `vectors`, float32 (n, dim) of length 1.

        Matches come best first. `brands` and `products` restrict the search; None doesn't. A product is a product_id
        of one brand. Raises ValueError for vectors of another shape.
        """
        vectors = np.ascontiguousarray(vectors, np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self._spec.dim:
            raise ValueError(f"got vectors of shape {vectors.shape}, expected (n, {self._spec.dim})")
        if top < 1:
            raise ValueError(f"top is {top}, expected 1 or more")
        state = self._state
        rows = rows_of(state.catalogue, brands=brands, products=products)
        similarity, found = best_of_each_product(
            state.nearest, state.product, vectors, products=state.products, top=top, rows=rows
        )
        similarity = similarity.clip(-1, 1)  # products of float32 vectors of length 1 may exceed it a little
        reference = references_at(state.catalogue, np.unique(found[found >= 0]))
        return [
            tuple(Match(reference[row], value) for row, value in zip(best, values, strict=True) if row >= 0)
            for best, values in zip(found.tolist(), similarity.tolist(), strict=True)
        ]


def _state(catalogue: pa.Table, vectors: Vectors, features: Sequence[Packed]) -> _State:
    catalogue = catalogue.combine_chunks()
    return _State(catalogue, Exact(vectors), product_codes(catalogue), features)


def _partitioned(whole: Segments, catalogue: pa.Table | None = None) -> _State:
    """The state of a partitioned index; `catalogue` is that of the living rows, if it is known already."""
    alive = whole.alive
    if catalogue is None:
        table = joined(segment.catalogue for segment in whole.segments)
        catalogue = table if alive.all() else table.filter(pa.array(alive))
    catalogue = catalogue.combine_chunks()  # taking rows from one chunk is much faster
    nearest = Partitioned(
        whole.partition,
        [segment.vectors for segment in whole.segments],
        [segment.lists for segment in whole.segments],
        [segment.codes for segment in whole.segments],
        alive,
    )
    features = [packed for segment in whole.segments for packed in segment.features]
    return _State(catalogue, nearest, product_codes(catalogue), _chosen(features, alive), whole)


def _exact_up_to(folder: Path, manifest: Mapping[str, Any]) -> int:
    value = manifest.get("exact_up_to", EXACT_UP_TO)
    if type(value) is not int or value < 0:
        raise IndexDamagedError(f"exact_up_to of {folder} is {value!r}, not a whole number; build the index again")
    return value


def _chosen(features: Sequence[Packed], kept: NDArray[np.bool_]) -> list[Packed]:
    return [features[row] for row in np.flatnonzero(kept).tolist()]
