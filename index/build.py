"""Tables of genuine photos to an index on disk. A build that was killed resumes when it is run again."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from lookalike.errors import IndexDamagedError, IndexNotFoundError, ReferenceIndexError, TableError
from lookalike.model.adapter import Adapter, unadapted
from lookalike.model.encoder import Encoder
from lookalike.model.features import is_packed
from lookalike.records import BadRow, ImageSource, Reference

from . import store
from .catalogue import MOST_COLUMNS, OWN_COLUMNS, catalogue_of, further_columns, joined
from .embedding import EmbeddedPhoto, PhotoReader, Vector, embed_photos
from .features import NONE, FeatureJournal, FeatureSpool, Packed
from .reference_index import EXACT_UP_TO, ReferenceIndex
from .vector_cache import VectorCache

Embed = Callable[[Iterator[ImageSource]], Iterator[tuple[EmbeddedPhoto, Packed]]]
"""Gives the vector and the packed local features of each photo, in order."""

_JOURNAL = "building.sqlite"
_FEATURES = "building.sqlite-features"
_PACKED = "building.packed"
_PIECE = 1024


@dataclass(frozen=True)
class BuildSummary:
    """What a build did: `references` are in the index, and `failed` rows could not be used.

    The vectors of `embedded` pictures were computed, those of `reused` ones were known.
    """

    references: int
    embedded: int
    reused: int
    failed: tuple[BadRow, ...]


def build_index(
    references: Iterable[Reference | BadRow],
    *,
    index: str | Path,
    encoder: Encoder,
    reader: PhotoReader | None = None,
    progress: Callable[[int], None] | None = None,
    features: bool = True,
    exact_up_to: int = EXACT_UP_TO,
    cache: VectorCache | None = None,
    embed: Embed | None = None,
) -> BuildSummary:
    """Make the folder `index` hold exactly these references; an index that it holds already is replaced at the end.

    Vectors are kept in a journal, or in `cache`, as they are made, and taken over from an index with the same encoder.
    So a build that was killed, run again, embeds only what is missing. With `features`, the photos' local features are
    stored as well, so that listings can be compared with them point by point. An index of more than `exact_up_to`
    references is partitioned (see `ReferenceIndex`). `embed`, if given, embeds the photos instead of this process. The
    index isn't adapted, even if the encoder or the index before is (see `adapt_index`).
    `progress` is called with 1 for each reference done. Raises TableError if no reference could be read, and
    ReferenceIndexError while another process changes the index.
    """
    folder = Path(index)
    with store.writing(folder):
        encoder = unadapted(encoder)
        known = _Known.of(_sound_index(folder), encoder)
        target = ReferenceIndex(encoder.spec, exact_up_to=exact_up_to)
        if embed is not None:
            return _update(target, references, folder, embed, progress)
        with _embedding(folder, encoder, reader, known, features, cache) as here:
            return _update(target, references, folder, here, progress)


def add_references(
    references: Iterable[Reference | BadRow],
    *,
    index: str | Path,
    encoder: Encoder,
    reader: PhotoReader | None = None,
    progress: Callable[[int], None] | None = None,
    features: bool = True,
    cache: VectorCache | None = None,
) -> BuildSummary:
    """Add references to the index in that folder; a reference replaces the one that has its id.

    Resumes, and uses `features` and `cache`, as `build_index` does. Raises EncoderMismatchError for another encoder.
    """
    folder = Path(index)
    store.read_manifest(folder)  # before locking, so that a mistyped folder isn't created
    with store.writing(folder):
        current = ReferenceIndex.load(folder)
        current.require_source(encoder.spec)
        encoder = unadapted(encoder)
        known = _Known.of(current, encoder)
        with _embedding(folder, encoder, reader, known, features, cache) as here:
            return _update(current, references, folder, here, progress)


def remove_references(
    *,
    index: str | Path,
    references: Iterable[str] = (),
    products: Iterable[str] = (),
    brands: Iterable[str] = (),
) -> int:
    """Remove references from the index in that folder, as `ReferenceIndex.remove` does; give how many there were."""
    folder = Path(index)
    store.read_manifest(folder)
    with store.writing(folder):
        current = ReferenceIndex.load(folder)
        removed = current.remove(references=references, products=products, brands=brands)
        if removed:
            current.save(folder)
        return removed


def compact_index(*, index: str | Path, exact_up_to: int | None = None) -> ReferenceIndex:
    """Put the index in that folder in one piece, arranged for what it holds now, and give it.

    With `exact_up_to`, the index is partitioned if it has more references than that, now and after later changes. This
    takes as long as building it from known vectors. Raises what loading an index raises.
    """
    folder = Path(index)
    store.read_manifest(folder)
    with store.writing(folder):
        current = ReferenceIndex.load(folder, verify=True)
        if exact_up_to is not None:
            current.exact_up_to = exact_up_to
        current.compact()
        current.save(folder)
        return current


def adapt_index(adapter: Adapter | None, *, index: str | Path) -> ReferenceIndex:
    """Adapt the index in that folder, in one step that a crash can't split, and give it; without an adapter, undo that.

    No picture is opened: vectors are mapped, and those before stay in the index. Raises what loading an index raises,
    EncoderMismatchError for an adapter of another encoder, and ReferenceIndexError while another process changes it.
    """
    folder = Path(index)
    store.read_manifest(folder)
    with store.writing(folder):
        current = ReferenceIndex.load(folder)
        if current.adapter is None and adapter is None:
            raise ReferenceIndexError(f"the index {folder} is not adapted, so there is nothing to undo")
        adapted = current.adapted(adapter)
        adapted.save(folder)
        return adapted


def harmless_folder(index: str | Path) -> Path:
    """Where an index folder keeps its harmless photos, as an index of their own that is changed like any other.

    Harmless photos resemble genuine ones, but that means nothing: stock pictures, props, plain packaging.
    """
    return Path(index) / "harmless"


def load_harmless(index: str | Path, *, adapter: Adapter | None = None) -> ReferenceIndex | None:
    """The harmless photos of the index in that folder, None if it never had any. Raises as loading an index.

    They are stored as the encoder makes them; `adapter` is the index's, if it has one.
    """
    folder = harmless_folder(index)
    if not (folder / store.MANIFEST).is_file():
        return None
    harmless = ReferenceIndex.load(folder)
    return harmless if adapter is None else harmless.adapted(adapter)


def add_harmless(
    photos: Iterable[Reference | BadRow],
    *,
    index: str | Path,
    encoder: Encoder,
    reader: PhotoReader | None = None,
    progress: Callable[[int], None] | None = None,
    cache: VectorCache | None = None,
) -> BuildSummary:
    """Add photos to the harmless ones of an index, as `add_references` adds references."""
    ReferenceIndex.load(index).require_source(encoder.spec)
    encoder, folder = unadapted(encoder), harmless_folder(index)
    change = add_references if (folder / store.MANIFEST).is_file() else build_index
    return change(photos, index=folder, encoder=encoder, reader=reader, progress=progress, features=False, cache=cache)


@contextmanager
def _embedding(
    folder: Path,
    encoder: Encoder,
    reader: PhotoReader | None,
    known: _Known,
    features: bool,
    cache: VectorCache | None,
) -> Iterator[Embed]:
    """What embeds photos in this process for an index in that folder."""
    with ExitStack() as stack:
        vectors = cache or stack.enter_context(VectorCache(folder / _JOURNAL, encoder.spec))
        journal = stack.enter_context(closing(FeatureJournal(folder / _FEATURES, known.features))) if features else None
        yield partial(
            embed_references,
            encoder=encoder,
            reader=reader or PhotoReader(),
            cache=vectors,
            known=known.vector,
            journal=journal,
        )


def embed_references(
    sources: Iterable[ImageSource],
    *,
    encoder: Encoder,
    reader: PhotoReader,
    cache: VectorCache | None = None,
    known: Callable[[str], Vector | None] | None = None,
    journal: FeatureJournal | None = None,
) -> Iterator[tuple[EmbeddedPhoto, Packed]]:
    """What `embed_photos` gives for genuine photos, and their packed local features (none without a `journal`)."""
    photos = embed_photos(sources, encoder=encoder, reader=reader, cache=cache, known=known, onlooker=journal)
    for photo in photos:
        if journal is None or photo.vector is None or photo.sha256 is None:
            yield photo, NONE
        else:
            yield photo, journal[photo.sha256]


def _update(
    target: ReferenceIndex,
    references: Iterable[Reference | BadRow],
    folder: Path,
    embed: Embed,
    progress: Callable[[int], None] | None,
) -> BuildSummary:
    usable = _Usable(references, target.catalogue.column_names)
    embedded = 0
    with closing(_Rows(folder / _PACKED)) as added:
        for photo, packed in embed(usable.images()):
            reference = usable.pending.popleft()
            embedded += photo.fresh
            if photo.vector is None or photo.sha256 is None:
                usable.failed.append(BadRow(reference.id, photo.error or "the picture could not be read"))
            else:
                added.append(reference, photo.vector, photo.sha256, packed)
            if progress is not None:
                progress(1)
        count = len(added)
        if count:
            target.add_rows(added.catalogue(), added.vectors(), added.packed.rows())
    if not count:
        _remove_unfinished(folder)
        first = f"; the first: {usable.failed[0].error}" if usable.failed else ""
        raise TableError(
            f"none of the {len(usable.failed)} references could be used{first}; nothing was written to {folder}"
        )
    target.save(folder)
    _remove_unfinished(folder)
    return BuildSummary(len(target), embedded, count - embedded, tuple(usable.failed))


def _remove_unfinished(folder: Path) -> None:
    """Remove what a build keeps until it is done: journals, and the parts of a build on Ray."""
    for path in folder.glob(store.UNFINISHED):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


class _Rows:
    """Rows for an index while it is built: a catalogue and vectors in pieces, and features in a file."""

    def __init__(self, packed: Path) -> None:
        self.packed = FeatureSpool(packed)
        self._references: list[Reference] = []
        self._hashes: list[str] = []
        self._vectors: list[Vector] = []
        self._pieces: list[tuple[pa.Table, Vector]] = []

    def append(self, reference: Reference, vector: Vector, sha256: str, packed: Packed) -> None:
        """Keep the next row."""
        self._references.append(reference)
        self._hashes.append(sha256)
        self._vectors.append(vector)
        self.packed.append(packed)
        if len(self._references) == _PIECE:
            self._finish_piece()

    def _finish_piece(self) -> None:
        if self._references:
            self._pieces.append((catalogue_of(self._references, self._hashes), np.stack(self._vectors)))
            self._references, self._hashes, self._vectors = [], [], []

    def __len__(self) -> int:
        return sum(len(vectors) for _, vectors in self._pieces) + len(self._references)

    def catalogue(self) -> pa.Table:
        """The rows' catalogue."""
        self._finish_piece()
        return joined(table for table, _ in self._pieces).combine_chunks()

    def vectors(self) -> Vector:
        """The rows' vectors, float32 (n, width)."""
        self._finish_piece()
        return np.concatenate([vectors for _, vectors in self._pieces])

    def close(self) -> None:
        """Close the file of features."""
        self.packed.close()


class _Usable:
    """Rows to embed, `pending` in order until their vector is there, and rows that `failed`.

    `names` are the columns that the index has already. A row whose further columns the index can't keep fails before
    its photo is read.
    """

    def __init__(self, rows: Iterable[Reference | BadRow], names: Iterable[str]) -> None:
        self._rows = rows
        self._names = set(names)
        self.pending: deque[Reference] = deque()
        self.failed: list[BadRow] = []

    def images(self) -> Iterator[ImageSource]:
        seen: set[str] = set()
        for row in self._rows:
            if isinstance(row, BadRow):
                self.failed.append(row)
            elif row.id in seen:
                self.failed.append(
                    BadRow(row.id, f"reference_id {row.id!r} is already used in an earlier row; it must be unique")
                )
            else:
                seen.add(row.id)
                try:
                    self.pending.append(self._with_text(row))
                except TableError as error:
                    self.failed.append(BadRow(row.id, str(error)))
                else:
                    yield row.image

    def _with_text(self, reference: Reference) -> Reference:
        """The reference with its further columns as the index keeps them. Raises TableError if it can't."""
        more = further_columns(reference)
        names = self._names | more.keys()
        if len(names) > MOST_COLUMNS + len(OWN_COLUMNS):
            new = next(name for name in more if name not in self._names)
            raise TableError(f"has a column {new[:40]!r}, but the index has {MOST_COLUMNS} further ones already; "
                             "leave some out")  # fmt: skip
        self._names = names
        return replace(reference, more=more)


@dataclass(frozen=True)
class _Known:
    """Vectors and packed features that an index already holds, by the sha256 of their picture."""

    index: ReferenceIndex | None
    rows: dict[str, int]
    features: dict[str, Packed]

    @classmethod
    def of(cls, index: ReferenceIndex | None, encoder: Encoder) -> _Known:
        """What an index holds; only the features if it was built with another encoder."""
        if index is None:
            return cls(None, {}, {})
        hashes = index.catalogue["sha256"].to_pylist()
        packed = {sha256: each for sha256, each in zip(hashes, index.packed_features, strict=True) if is_packed(each)}
        same = index.spec.unadapted == encoder.spec
        return cls(index, dict(zip(hashes, range(len(hashes)), strict=True)) if same else {}, packed)

    def vector(self, sha256: str) -> Vector | None:
        """The vector of the picture with that hash, or None. Reads nothing else."""
        row = self.rows.get(sha256)
        return None if row is None or self.index is None else self.index.unadapted_vectors_at([row])[0]


def _sound_index(folder: Path) -> ReferenceIndex | None:
    try:
        return ReferenceIndex.load(folder)
    except (IndexNotFoundError, IndexDamagedError):  # a damaged index is what a build is run to replace
        return None
