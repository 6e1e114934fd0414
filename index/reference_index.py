"""The genuine references: their vectors, the catalogue beside them, and a search for those nearest to a vector.

With up to EXACT_UP_TO references, a search compares all of them. A larger index is partitioned when it is saved: its
vectors stay on disk, and a search compares in full only those that a partition leads to. How often that decides as
comparing all of them does was measured (see `partition`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lookalike.errors import EncoderMismatchError, FeaturesError, IndexDamagedError, ReferenceIndexError
from lookalike.model.adapter import Adapter
from lookalike.model.encoder import EncoderSpec, Vectors
from lookalike.records import Match, Reference

from . import segment_files, segments, store
from .arranging import adapted, compacted, outgrown, seen_through, unadapted
from .catalogue import all_references, catalogue_of, references_at, rows_of, rows_with
from .features import NONE, Packed, Unpacked
from .partition import Agreement
from .searching import matches_in
from .state import State, exact_state, partitioned_state, with_rows, without_rows

if TYPE_CHECKING:
    from lookalike.model.features import LocalFeatures

EXACT_UP_TO = 50_000
"""An index of more references than this is partitioned when it is saved, unless it has a limit of its own."""

_MOST_SEGMENTS = 16


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
        self.exact_up_to = exact_up_to
        self._created = ""
        self._digest = ""
        self._unpacked = Unpacked()
        self._state = exact_state(spec, adapter, catalogue_of((), ()), np.empty((0, spec.width), np.float32), ())

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
            if manifest["version"] == segment_files.VERSION:
                whole = segment_files.read(folder, manifest, verify=verify)
                index._state = partitioned_state(spec, adapter, whole)
            else:
                rows = store.read_rows(folder, manifest)
                index._state = exact_state(spec, adapter, rows.catalogue, rows.vectors, rows.features, rows.unadapted)
            return index

        return store.read(folder, read)

    def save(self, folder: str | Path) -> None:
        """Make the folder hold this index, in one step that a crash can't split.

        An index that has outgrown exact search, or its partition, is compacted first. If the folder holds this
        partitioned index already, only what changed is written.
        """
        if outgrown(self._state, self.exact_up_to):
            self.compact()
        state = self._state
        if state.whole is None:
            default = self.exact_up_to == EXACT_UP_TO
            self._digest = store.write(
                Path(folder),
                spec=state.spec,
                catalogue=state.catalogue,
                vectors=state.vectors,
                features=state.features,
                unadapted=None if state.before is None else state.unadapted,
                adapter=state.adapter,
                more={} if default else {"exact_up_to": self.exact_up_to},
            )
            return
        whole = segments.joined(state.whole) if len(state.whole.segments) > _MOST_SEGMENTS else state.whole
        self._digest, whole = segment_files.write(
            Path(folder), whole, spec=state.spec, exact_up_to=self.exact_up_to, adapter=state.adapter
        )
        self._state = replace(state, whole=whole)

    def compact(self) -> None:
        """Put the index in one piece: partitioned for what it holds, or exact if that is little."""
        self._state = compacted(self._state, self.exact_up_to)

    def adapted(self, adapter: Adapter | None) -> ReferenceIndex:
        """The same references with their vectors adapted, instead of as they may be now; without an adapter, undone.

        Of a partitioned index, the part for similarity is measured again, and learnt again if it is not good enough;
        undoing leaves every bit as before. Raises EncoderMismatchError for an adapter of another encoder.
        """
        if adapter is None:
            return self._with(unadapted(self._state))
        self._require_adapter(adapter)
        return self._with(adapted(self._state, adapter))

    def seen_through(self, adapter: Adapter) -> ReferenceIndex:
        """The same references with their vectors adapted as they are read, to look some photos up.

        Nothing is learnt, and no more is held in memory: a search for similarity adapts all vectors, a block at a time,
        and is exact; one for look stays as it is. Raises EncoderMismatchError for an adapter of another encoder.
        """
        self._require_adapter(adapter)
        return self._with(seen_through(self._state, adapter))

    def _require_adapter(self, adapter: Adapter) -> None:
        if adapter.spec != self.spec.unadapted:
            raise EncoderMismatchError(
                f"the adapter is for {adapter.spec} but the index was built with {self.spec.unadapted}; fit one for "
                "this index with: lookalike adapt fit"
            )

    def _with(self, state: State) -> ReferenceIndex:
        index = ReferenceIndex(state.spec, exact_up_to=self.exact_up_to, adapter=state.adapter)
        index._created, index._digest, index._state = self._created, self._digest, state
        return index

    def __len__(self) -> int:
        return len(self._state)

    @property
    def spec(self) -> EncoderSpec:
        """The encoder of the vectors."""
        return self._state.spec

    @property
    def adapter(self) -> Adapter | None:
        """What its vectors were adapted with; None if they are as the encoder made them."""
        return self._state.adapter

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
        if spec != self.spec:
            raise EncoderMismatchError(
                f"the index was built with {self.spec} but the encoder is {spec}; load the index's encoder "
                "(--model, --weights), or build the index again with: lookalike build"
            )

    def require_source(self, spec: EncoderSpec) -> None:
        """Raise EncoderMismatchError unless vectors of the encoder `spec` can be added: its own, adapted or not."""
        if spec.unadapted != self.spec.unadapted or spec.adapted not in (None, self.spec.adapted):
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
        if vectors.shape != (len(references), self.spec.width) or len(hashes) != len(references):
            raise ValueError(
                f"got vectors of shape {vectors.shape} and {len(hashes)} hashes, "
                f"expected ({len(references)}, {self.spec.width}) and {len(references)}"
            )
        if len({reference.id for reference in references}) != len(references):
            raise ValueError("two of the references have the same id; give each its own")
        if references:
            self.add_rows(catalogue_of(references, hashes), vectors, features or [NONE] * len(references))

    def add_rows(self, fresh: pa.Table, vectors: Vectors, packed: Sequence[Packed]) -> None:
        """Add rows of a catalogue, each with another id, with their vectors and packed features; see `add`."""
        if not self.spec.are_unit(vectors):
            each = "each of their two parts" if self.spec.look_dim else "vectors"
            raise ValueError(f"{each} must have length 1; divide each row by its norm")
        self._state = with_rows(self._state, fresh, vectors, packed)

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
            self._state = without_rows(old, gone)
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
        return matches_in(self._state, vectors, top=top, brands=brands, products=products)


def _exact_up_to(folder: Path, manifest: Mapping[str, Any]) -> int:
    value = manifest.get("exact_up_to", EXACT_UP_TO)
    if type(value) is not int or value < 0:
        raise IndexDamagedError(f"exact_up_to of {folder} is {value!r}, not a whole number; build the index again")
    return value
