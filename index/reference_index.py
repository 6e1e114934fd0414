"""The genuine references: their vectors, their catalogue beside them, and which are nearest to a vector.

Up to EXACT_UP_TO references a search compares every one. A saved index of more is partitioned: its vectors stay on
disk, a search compares in full those that a partition leads to, and says how far that was measured to agree with
comparing every one (see `partition`).
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
from PIL import Image

from lookalike.errors import EncoderMismatchError, FeaturesError, IndexDamagedError, TableError
from lookalike.model.encoder import EncoderSpec, Vectors
from lookalike.records import ImageSource, Match, Reference

from . import segments, store
from .features import NONE, Packed, unpack
from .nearest import Exact, Partitioned
from .partition import Agreement, learn_partition
from .segments import Segment, Segments

if TYPE_CHECKING:
    from lookalike.model.features import LocalFeatures

EXACT_UP_TO = 50_000
"""An index of more references than this is partitioned when it is saved, unless it says otherwise."""

_MOST_SEGMENTS = 16
_LATER = 0.25  # a partition is learnt again when more than this share came after it was learnt
_COLUMNS = ("reference_id", "image", "product_id", "brand", "sha256")


@dataclass(frozen=True)
class _State:
    """One state of the index, never changed, so that searches go on undisturbed beside a change."""

    catalogue: pa.Table
    nearest: Exact | Partitioned
    product: NDArray[np.int32]
    features: Sequence[Packed]
    whole: Segments | None = None

    @cached_property
    def products(self) -> int:
        """How many products there are."""
        return int(self.product.max()) + 1 if len(self.product) else 0

    @cached_property
    def has_features(self) -> bool:
        """Whether any reference has local features."""
        return any(len(packed) for packed in self.features)

    @cached_property
    def row(self) -> dict[str, int]:
        """Where each reference stands, by its id."""
        names = self.catalogue["reference_id"].to_pylist()
        return dict(zip(names, range(len(names)), strict=True))


class ReferenceIndex:
    """Nearest-neighbour search, by cosine, over the vectors of genuine reference photos.

    With up to `exact_up_to` references it is exact; a larger index, once saved, is partitioned, and `agreement` says
    how far it was measured to decide as an exact search does. Reading may go on in several threads while one thread
    changes the index.

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
        empty = pa.table({name: pa.array([], pa.string()) for name in _COLUMNS})
        self._state = _state(empty, np.empty((0, spec.dim), np.float32), ())

    @classmethod
    def load(cls, folder: str | Path, *, verify: bool = False) -> ReferenceIndex:
        """Read an index folder, with its checksums.

        Of vectors and features of a partitioned index in files above `store.BIG` bytes, which are mapped and not read,
        only the size is looked at, unless `verify` asks for all. Raises IndexNotFoundError where there is no index and
        IndexDamagedError where a file is not as written.
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

        An index that has outgrown exact search, or its partition, is arranged anew first, as `compact` does. Of a
        partitioned index that the folder holds already, only what has changed is written.
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
        """Arrange the index anew, in one piece: partitioned for what it holds now, or exact if that is little."""
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
        """The encoder that the vectors are of."""
        return self._spec

    @property
    def digest(self) -> str:
        """The sha256 of the manifest last read or written, in hexadecimal; empty before that."""
        return self._digest

    @property
    def created(self) -> str:
        """When the folder read was written, in ISO 8601; empty for an index that was not read."""
        return self._created

    @property
    def catalogue(self) -> pa.Table:
        """One row a reference: its table's columns, and `sha256` of its picture."""
        return self._state.catalogue

    @property
    def vectors(self) -> Vectors:
        """All vectors, float32 (n, dim), in the catalogue's order; a copy."""
        return self._state.nearest.vectors.copy()

    def vectors_at(self, rows: Sequence[int]) -> Vectors:
        """The vectors of these rows of the catalogue, float32 (n, dim); of a partitioned index only they are read."""
        return self._state.nearest.vectors_at(np.asarray(rows, np.int64))

    @property
    def agreement(self) -> Agreement | None:
        """How far searches were measured to decide as exact ones do; None where they are exact."""
        whole = self._state.whole
        return whole.partition.agreement if whole is not None else None

    @property
    def references(self) -> Iterator[Reference]:
        """All references, in order."""
        catalogue = self._state.catalogue
        return (_reference(catalogue, row) for row in range(catalogue.num_rows))

    @property
    def packed_features(self) -> Sequence[Packed]:
        """All references' packed local features, in the catalogue's order; empty where a reference has none."""
        return self._state.features

    @property
    def has_features(self) -> bool:
        """Whether any reference has local features, so that listings can be compared with it point by point."""
        return self._state.has_features

    def features(self, reference: str) -> LocalFeatures | None:
        """The local features of the reference with that id; None where it has none, or there is no such reference.

        Raises IndexDamagedError for features that are not as they were written.
        """
        state = self._state
        row = state.row.get(reference)
        try:
            return None if row is None else unpack(state.features, row)
        except FeaturesError as error:
            raise IndexDamagedError(f"of reference {reference!r}: {error}; build the index again") from error

    def image_sha256(self, reference: str) -> str | None:
        """The sha256 of the picture of the reference with that id; None where there is no such reference."""
        state = self._state
        row = state.row.get(reference)
        return None if row is None else state.catalogue["sha256"][row].as_py()

    def require(self, spec: EncoderSpec) -> None:
        """Raise EncoderMismatchError unless `spec` is the encoder that this index was built with."""
        if spec != self._spec:
            raise EncoderMismatchError(
                f"the index was built with {self._spec} but the encoder is {spec}; load that encoder "
                f"(--model, --weights), or build the index again"
            )

    def add(
        self,
        references: Sequence[Reference],
        vectors: Vectors,
        *,
        hashes: Sequence[str],
        features: Sequence[Packed] | None = None,
    ) -> None:
        """Add references with their vectors, float32 (n, dim) of length 1, and their pictures' sha256.

        `features` are their pictures' local features as `LocalFeatures.to_bytes` packs them, empty where there are
        none; without them, these references are never compared point by point. A reference whose id is there already
        takes the old one's place. Raises ValueError for vectors of another shape or length, and TableError when further
        columns don't fit those of the catalogue.
        """
        vectors = np.ascontiguousarray(vectors, np.float32)
        if vectors.shape != (len(references), self._spec.dim) or len(hashes) != len(references):
            raise ValueError(
                f"came {vectors.shape} vectors and {len(hashes)} hashes, "
                f"needed ({len(references)}, {self._spec.dim}) and {len(references)}"
            )
        if not np.all(np.abs(np.linalg.norm(vectors, axis=1) - 1) < 1e-3):
            raise ValueError("vectors must have length 1; divide each row by its norm")
        if len({reference.id for reference in references}) != len(references):
            raise ValueError("two of the references have the same id; give each its own")
        rows = [_row(r, sha256) for r, sha256 in zip(references, hashes, strict=True)]
        if not rows:
            return
        old = self._state
        kept = ~_holds(old.catalogue, "reference_id", [r.id for r in references])
        fresh = _table(rows)
        table = _joined(old.catalogue.filter(pa.array(kept)), fresh)
        packed = list(features) if features is not None else [NONE] * len(rows)
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
        """Remove the references with one of these ids, of these products or of these brands; gives how many."""
        old = self._state
        gone = np.zeros(len(self), bool)
        for column, values in (("reference_id", references), ("product_id", products), ("brand", brands)):
            gone |= _holds(old.catalogue, column, values)
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
        """For each row of `vectors`, float32 (n, dim) of length 1: the best reference of each of the `top` products.

        Matches come best first. `brands` and `products` restrict the search to those; None restricts nothing.
        A product is one product_id of one brand. Raises ValueError for vectors of another shape.
        """
        vectors = np.ascontiguousarray(vectors, np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self._spec.dim:
            raise ValueError(f"came vectors of shape {vectors.shape}, needed (n, {self._spec.dim})")
        if top < 1:
            raise ValueError(f"top is {top}, needed 1 or more")
        state = self._state
        rows = _allowed(state.catalogue, brands=brands, products=products)
        similarity, found = _best_of_each_product(state, vectors, top, rows)
        reference = _references(state.catalogue, np.unique(found[found >= 0]))
        return [
            tuple(Match(reference[row], value) for row, value in zip(best, values, strict=True) if row >= 0)
            for best, values in zip(found.tolist(), similarity.tolist(), strict=True)
        ]


def _best_of_each_product(
    state: _State, vectors: Vectors, top: int, rows: NDArray[np.int64] | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Similarity and row, (n, up to top), of the best reference of each of the `top` nearest products; −1 fills up.

    What is searched are references, not products, so the search is widened for those queries whose nearest references
    belong to too few products.
    """
    reachable = len(state.product) if rows is None else len(rows)
    wanted = min(top, state.products if rows is None else len(np.unique(state.product[rows])))
    found = np.full((len(vectors), wanted), -1, np.int64)
    similarity = np.full((len(vectors), wanted), -np.inf, np.float32)
    pending = np.arange(len(vectors))
    width = min(reachable, max(16, 4 * top))
    while len(pending) and width:
        values, nearest = state.nearest.search(vectors[pending], width, rows)
        query, place, rank = _first_of_each(np.where(nearest < 0, -1, state.product[nearest]), wanted)
        found[pending[query], rank] = nearest[query, place]
        similarity[pending[query], rank] = values[query, place]
        if width == reachable:
            break
        pending, width = pending[found[pending, -1] < 0], min(reachable, width * 8)
    return similarity, found


def _first_of_each(
    values: NDArray[np.int32], most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Row, column and rank of where each value but −1 is first met in its row, for the first `most` of each row.

    >>> [places.tolist() for places in _first_of_each(np.array([[7, 7, 5, -1], [2, 9, 2, 4]], np.int32), 2)]
    [[0, 0, 1, 1], [0, 2, 0, 1], [0, 1, 0, 1]]
    """
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, 1)
    new = np.ones(values.shape, bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = np.empty_like(new)
    np.put_along_axis(first, order, new, 1)
    first &= values >= 0
    rank = np.cumsum(first, axis=1) - 1
    row, column = np.nonzero(first & (rank < most))
    return row, column, rank[row, column]


def _state(catalogue: pa.Table, vectors: Vectors, features: Sequence[Packed]) -> _State:
    catalogue = catalogue.combine_chunks()
    return _State(catalogue, Exact(vectors), _product_codes(catalogue), features)


def _partitioned(whole: Segments, catalogue: pa.Table | None = None) -> _State:
    """The state of a partitioned index; `catalogue` is that of the living rows, where it is known already."""
    alive = whole.alive
    if catalogue is None:
        table = pa.concat_tables([segment.catalogue for segment in whole.segments], promote_options="permissive")
        catalogue = table if alive.all() else table.filter(pa.array(alive))
    catalogue = catalogue.combine_chunks()  # rows are taken from one chunk much faster
    nearest = Partitioned(
        whole.partition,
        [segment.vectors for segment in whole.segments],
        [segment.lists for segment in whole.segments],
        [segment.codes for segment in whole.segments],
        alive,
    )
    features = [packed for segment in whole.segments for packed in segment.features]
    return _State(catalogue, nearest, _product_codes(catalogue), _chosen(features, alive), whole)


def _exact_up_to(folder: Path, manifest: Mapping[str, Any]) -> int:
    value = manifest.get("exact_up_to", EXACT_UP_TO)
    if type(value) is not int or value < 0:
        raise IndexDamagedError(f"exact_up_to of {folder} is {value!r}, needed a whole number; build the index again")
    return value


def _product_codes(catalogue: pa.Table) -> NDArray[np.int32]:
    """A number for each row, equal where the product is, from 0 up without a gap."""
    key = pc.binary_join_element_wise(catalogue["brand"], catalogue["product_id"], "\0")
    codes = key.combine_chunks().dictionary_encode().indices if len(key) else pa.array([], pa.int32())
    return np.asarray(codes, np.int32)


def _chosen(features: Sequence[Packed], kept: NDArray[np.bool_]) -> list[Packed]:
    return [features[row] for row in np.flatnonzero(kept).tolist()]


def _allowed(
    catalogue: pa.Table, *, brands: Iterable[str] | None, products: Iterable[str] | None
) -> NDArray[np.int64] | None:
    if brands is None and products is None:
        return None
    allowed = np.ones(catalogue.num_rows, bool)
    for column, values in (("brand", brands), ("product_id", products)):
        if values is not None:
            allowed &= _holds(catalogue, column, values)
    return np.flatnonzero(allowed)


def _holds(catalogue: pa.Table, column: str, values: Iterable[str]) -> NDArray[np.bool_]:
    """Which rows of the catalogue have one of `values` in a column of text."""
    found = pc.is_in(catalogue[column].cast(pa.string()), value_set=pa.array(list(values), pa.string()))
    return np.asarray(found, bool)


def _row(reference: Reference, sha256: str) -> dict[str, Any]:
    clash = set(reference.more) & set(_COLUMNS)
    if clash:
        raise TableError(f"reference {reference.id!r} has further columns of reserved names: {', '.join(clash)}")
    return {
        "reference_id": reference.id,
        "image": _image_name(reference.image, sha256),
        "product_id": reference.product,
        "brand": reference.brand,
        "sha256": sha256,
        **reference.more,
    }


def _image_name(image: ImageSource, sha256: str) -> str:
    """A path or URL as it is; a picture given as bytes or pixels is named by its hash."""
    is_pixels = isinstance(image, bytes | Image.Image | np.ndarray)
    return f"sha256:{sha256}" if is_pixels else str(image)


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    try:
        names = list(dict.fromkeys(name for row in rows for name in row))
        return pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})
    except (pa.ArrowException, TypeError) as error:
        raise TableError(f"the references' further columns can't be kept: {error}") from error


def _joined(table: pa.Table, fresh: pa.Table) -> pa.Table:
    try:
        return pa.concat_tables([table, fresh], promote_options="permissive")
    except pa.ArrowException as error:
        raise TableError(f"the references' further columns don't fit those of the index: {error}") from error


def _references(catalogue: pa.Table, rows: NDArray[np.int64]) -> dict[int, Reference]:
    """The references in these rows, by row."""
    table = catalogue.take(pa.array(rows))
    columns = {name: table[name].to_pylist() for name in table.column_names if name != "sha256"}
    own = [columns.pop(name) for name in ("reference_id", "product_id", "brand", "image")]
    further = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
    more = further if columns else ({} for _ in range(len(rows)))
    return {row: Reference(*values) for row, *values in zip(rows.tolist(), *own, more, strict=True)}


def _reference(catalogue: pa.Table, row: int) -> Reference:
    return _references(catalogue, np.array([row]))[row]
