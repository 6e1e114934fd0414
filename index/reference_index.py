"""The genuine references: their vectors in FAISS, their catalogue beside it. The one door to FAISS."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
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

from . import store
from .features import NONE, Packed, unpack

if TYPE_CHECKING:
    import faiss

    from lookalike.model.features import LocalFeatures

_COLUMNS = ("reference_id", "image", "product_id", "brand", "sha256")


@dataclass(frozen=True)
class _State:
    """One state of the index, never changed, so that searches go on undisturbed beside a change."""

    catalogue: pa.Table
    flat: faiss.IndexFlatIP
    product: NDArray[np.int32]
    features: Sequence[Packed]

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
    """Exact nearest-neighbour search, by cosine, over the vectors of genuine reference photos.

    Reading may go on in several threads while one thread changes the index.

    >>> from lookalike.model.encoder import EncoderSpec, Preprocessing
    >>> spec = EncoderSpec("toy", "toy", "0" * 64, 2, Preprocessing((1, 1), (0.0,), (1.0,), "bicubic", "squash"))
    >>> index = ReferenceIndex(spec)
    >>> east, north = Reference("r1", "p1", "Brand", "1.jpg"), Reference("r2", "p2", "Brand", "2.jpg")
    >>> index.add([east, north], np.array([[1, 0], [0, 1]], np.float32), hashes=["a", "b"])
    >>> [match.reference.id for match in index.search(np.array([[0.6, 0.8]], np.float32), top=1)[0]]
    ['r2']
    """

    def __init__(self, spec: EncoderSpec) -> None:
        self._spec = spec
        self._created = ""
        self._digest = ""
        empty = pa.table({name: pa.array([], pa.string()) for name in _COLUMNS})
        self._state = _state(empty, np.empty((0, spec.dim), np.float32), ())

    @classmethod
    def load(cls, folder: str | Path) -> ReferenceIndex:
        """Read an index folder, with all its checksums.

        Raises IndexNotFoundError where there is none and IndexDamagedError where a file is not as written.
        """
        stored = store.read(Path(folder))
        index = cls(stored.spec)
        index._created, index._digest = stored.created, stored.digest
        index._state = _state(stored.catalogue, stored.vectors, stored.features)
        return index

    def save(self, folder: str | Path) -> None:
        """Make the folder hold this index, in one step that a crash can't split."""
        state = self._state
        self._digest = store.write(
            Path(folder),
            spec=self._spec,
            catalogue=state.catalogue,
            vectors=_vectors(state.flat),
            features=state.features,
        )

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
        return _vectors(self._state.flat)

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
        kept = ~np.isin(_strings(old.catalogue, "reference_id"), np.array([r.id for r in references]))
        table = _joined(old.catalogue.filter(pa.array(kept)), rows)
        packed = [*_chosen(old.features, kept), *(features if features is not None else [NONE] * len(rows))]
        self._state = _state(table, np.concatenate([_vectors(old.flat)[kept], vectors]), packed)

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
            gone |= np.isin(_strings(old.catalogue, column), np.array(list(values), str))
        if gone.any():
            table, packed = old.catalogue.filter(pa.array(~gone)), _chosen(old.features, ~gone)
            self._state = _state(table, _vectors(old.flat)[~gone], packed)
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
        return [
            tuple(Match(_reference(state.catalogue, row), similarity) for row, similarity in best)
            for best in _best_of_each_product(state, vectors, top, rows)
        ]


def _best_of_each_product(
    state: _State, vectors: Vectors, top: int, rows: NDArray[np.int64] | None
) -> list[list[tuple[int, float]]]:
    """For each query (row, similarity) of the best reference of each of the `top` nearest products.

    FAISS ranks references, not products, so the search is widened for those queries whose nearest
    references belong to too few products.
    """
    reachable = len(state.product) if rows is None else len(rows)
    found: list[list[tuple[int, float]]] = [[] for _ in range(len(vectors))]
    pending = np.arange(len(vectors))
    width = min(reachable, max(16, 4 * top))
    while len(pending) and width:
        similarities, nearest = _search(state.flat, vectors[pending], width, rows)
        unfinished = []
        for query, values, neighbours in zip(pending.tolist(), similarities, nearest, strict=True):
            _, first = np.unique(state.product[neighbours], return_index=True)
            first.sort()
            found[query] = [(int(neighbours[i]), float(values[i])) for i in first[:top]]
            if len(first) < top:
                unfinished.append(query)
        if width == reachable:
            break
        pending, width = np.array(unfinished, np.int64), min(reachable, width * 8)
    return found


def _search(
    flat: faiss.IndexFlatIP, vectors: Vectors, width: int, rows: NDArray[np.int64] | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    import faiss

    # the selector must live as long as the parameters that point to it
    selector = None if rows is None else faiss.IDSelectorBatch(rows)
    parameters = None if selector is None else faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
    similarities, nearest = flat.search(vectors, width, params=parameters)
    return similarities, nearest


def _state(catalogue: pa.Table, vectors: Vectors, features: Sequence[Packed]) -> _State:
    import faiss

    flat = faiss.IndexFlatIP(vectors.shape[1])
    if len(vectors):
        flat.add(vectors)
    catalogue = catalogue.combine_chunks()
    key = pc.binary_join_element_wise(catalogue["brand"], catalogue["product_id"], "\0")
    codes = key.combine_chunks().dictionary_encode().indices if len(key) else pa.array([], pa.int32())
    return _State(catalogue, flat, np.asarray(codes, np.int32), features)


def _chosen(features: Sequence[Packed], kept: NDArray[np.bool_]) -> list[Packed]:
    return [features[row] for row in np.flatnonzero(kept).tolist()]


def _vectors(flat: faiss.IndexFlatIP) -> Vectors:
    return np.asarray(flat.reconstruct_n(0, flat.ntotal), np.float32).reshape(flat.ntotal, flat.d)


def _allowed(
    catalogue: pa.Table, *, brands: Iterable[str] | None, products: Iterable[str] | None
) -> NDArray[np.int64] | None:
    if brands is None and products is None:
        return None
    allowed = np.ones(catalogue.num_rows, bool)
    for column, values in (("brand", brands), ("product_id", products)):
        if values is not None:
            allowed &= np.isin(_strings(catalogue, column), np.array(list(values), str))
    return np.flatnonzero(allowed)


def _strings(catalogue: pa.Table, column: str) -> NDArray[np.str_]:
    return np.array(catalogue[column].to_pylist(), str)


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


def _joined(table: pa.Table, rows: list[dict[str, Any]]) -> pa.Table:
    try:
        names = list(dict.fromkeys(name for row in rows for name in row))
        fresh = pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})
        return pa.concat_tables([table, fresh], promote_options="permissive")
    except (pa.ArrowException, TypeError) as error:
        raise TableError(f"the references' further columns don't fit those of the index: {error}") from error


def _reference(catalogue: pa.Table, row: int) -> Reference:
    values = {name: catalogue[name][row].as_py() for name in catalogue.column_names if name != "sha256"}
    return Reference(
        id=values.pop("reference_id"),
        product=values.pop("product_id"),
        brand=values.pop("brand"),
        image=values.pop("image"),
        more=values,
    )
