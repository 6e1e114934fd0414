"""Scans that look only at what changed since the last one: at new listings, or at new references."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import date
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.detection.detector import Detector, Seen
from lookalike.detection.verification import Verifier
from lookalike.errors import ScanStateError
from lookalike.records import Finding, Listing
from lookalike.tables.files import TableWriter, require_ending
from lookalike.tables.findings import finding_row, finding_schema

from .state import Basis, ScanState, state_schema

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from lookalike.index.embedding import EmbeddedPhoto
    from lookalike.index.vector_cache import VectorCache

_WINDOW = 4096
_NEAR = 1e-5
"""Similarities of the same vectors differ by less, whatever they are computed together with."""


@dataclass(frozen=True)
class RescanSummary:
    """What a scan of changes did: listings per verdict and with an error, and how many it had to do what for.

    `kept` findings were taken over, `judged` listings looked up by the vectors that were there, `looked_at` ones read.
    `photos` is how many were not read, `spared` the seconds that reading, embedding and looking them up would have
    taken, as measured when they were. `opened` counts those opened again to be compared by points.
    """

    listings: int
    verdicts: Mapping[str, int]
    errors: int
    kept: int
    judged: int
    looked_at: int
    photos: int
    opened: int
    spared: float


def scan_changes(
    listings: Iterable[Listing],
    *,
    detector: Detector,
    since: str | Path,
    out: str | Path,
    progress: Callable[[int], None] | None = None,
    cache: VectorCache | None = None,
) -> RescanSummary:
    """Judge every listing and write `out` as `scan_listings` does, but look only at those new or changed `since`.

    `since` is a folder with the state of the last scan, made where there is none, and of this one afterwards. A listing
    is unchanged if its row is, and its photos are local files of the same size and time of change. Where policy, index
    or harmless photos are others, unchanged listings are looked up again by their vectors, and not read. Not resumed
    after a kill, but vectors in `cache` and comparisons by points are there. Raises ScanStateError for a damaged state.
    """
    from lookalike.index.blobs import BlobCache

    require_ending(Path(out))
    state, basis = ScanState.load(since), _basis(detector)
    if state is not None and (state.basis.encoder, state.basis.reading) != (basis.encoder, basis.reading):
        state = None  # no vector of it is of use
    with closing(BlobCache(Path(since) / "verified.sqlite")) as verified:
        work = _Work(detector, Verifier(detector.index, detector.reader, verified), state, basis, cache)
        remaining, tables = iter(listings), []
        while window := list(islice(remaining, _WINDOW)):
            tables.append(work.window(window))
            if progress is not None:
                progress(len(window))
    return work.finish(tables, Path(since), Path(out))


def rescan_references(
    *, detector: Detector, since: str | Path, out: str | Path, progress: Callable[[int], None] | None = None
) -> RescanSummary:
    """Bring a scan's findings up to date with the detector's index: what a new scan of the same listings would find.

    References new in the index are held against the listings' vectors in the folder `since`; findings that rest on
    removed ones are withdrawn. No photo is opened, unless it comes into reach of a reference that it was not compared
    with by points. Writes `out` and the folder's state. Raises ScanStateError where there is no state, or one of
    another encoder or of other bounds on pictures.
    """
    from lookalike.index.blobs import BlobCache

    require_ending(Path(out))
    state, basis = ScanState.load(since), _basis(detector)
    if state is None:
        raise ScanStateError(f"there is no state of a scan in {since}; make one with: lookalike scan --since {since}")
    if (state.basis.encoder, state.basis.reading) != (basis.encoder, basis.reading):
        raise ScanStateError(
            f"the scan in {since} was made with another encoder, or other bounds on pictures; scan again"
        )
    with closing(BlobCache(Path(since) / "verified.sqlite")) as verified:
        work = _Work(detector, Verifier(detector.index, detector.reader, verified), state, basis, None)
        changed = _Changed.of(detector, state)
        everything = state.basis.judging != basis.judging
        tables = []
        for start in range(0, state.listings.num_rows, _WINDOW):
            table = state.listings.slice(start, _WINDOW)
            due = np.ones(len(table), bool) if everything else changed.touched(table)
            tables.append(work.again(table, due))
            if progress is not None:
                progress(len(table))
    return work.finish(tables, Path(since), Path(out))


def state_of(detector: Detector, known: Sequence[tuple[Listing, Sequence[EmbeddedPhoto]]]) -> ScanState:
    """The state that a scan leaves, made of photos that were embedded elsewhere: no picture is opened."""
    import pyarrow as pa

    work = _Work(detector, Verifier(detector.index, detector.reader), None, _basis(detector), None)
    start = time.perf_counter()
    rows = work.rows(list(detector.see_again(known)), [None] * len(known))
    seconds = (time.perf_counter() - start) / max(1, sum(len(photos) for _, photos in known))
    table = pa.Table.from_pylist(rows, schema=state_schema())
    return ScanState(_basis(detector), table, _digests(detector), seconds)


class _Work:
    """A run: what it makes of listings, and what it counts."""

    def __init__(
        self,
        detector: Detector,
        verifier: Verifier,
        state: ScanState | None,
        basis: Basis,
        cache: VectorCache | None,
    ) -> None:
        self._detector, self._verifier, self._cache = detector, verifier, cache
        self._state, self._basis = state, basis
        self._rows = {} if state is None else _by_signature(state.listings)
        self._same = state is not None and state.basis == basis
        self._kept = self._judged = self._looked_at = self._unread = self._read = 0
        self._seconds = 0.0

    def window(self, listings: Sequence[Listing]) -> pa.Table:
        """The state's rows of these listings."""
        import pyarrow as pa

        signatures = [_signature(listing) for listing in listings]
        rows = [
            self._rows.get((listing.id, signature), -1) if signature else -1
            for listing, signature in zip(listings, signatures, strict=True)
        ]
        known = [row for row in rows if row >= 0]
        new = [at for at, row in enumerate(rows) if row < 0]
        start = time.perf_counter()
        seen = self._detector.see([listings[at] for at in new], cache=self._cache, verifier=self._verifier)
        looked = self.rows(list(seen), [signatures[at] for at in new])
        if new:
            self._seconds += time.perf_counter() - start
        self._looked_at += len(new)
        self._read += sum(len(row["photos"]) for row in looked)
        fresh = pa.Table.from_pylist(looked, schema=state_schema())
        if self._state is None or not known:
            return fresh
        old = self._state.listings.take(known)
        old = self.again(old, np.full(len(old), not self._same))
        order = np.empty(len(rows), np.int64)
        order[[at for at, row in enumerate(rows) if row >= 0]] = np.arange(len(known))
        order[new] = len(known) + np.arange(len(new))
        return pa.concat_tables([old, fresh]).take(order) if new else old

    def again(self, table: pa.Table, due: NDArray[np.bool_]) -> pa.Table:
        """Rows of the state, those that are `due` judged again by their vectors."""
        import pyarrow as pa
        import pyarrow.compute as pc

        self._unread += pc.sum(pc.list_value_length(table["photos"])).as_py() or 0
        self._kept += int((~due).sum())
        self._judged += int(due.sum())
        if not due.any():
            return table
        stored = table.filter(pa.array(due)).to_pylist()
        seen = self._detector.see_again([_known(row) for row in stored], verifier=self._verifier)
        judged = self.rows(list(seen), [row["signature"] for row in stored])
        together = pa.concat_tables([table, pa.Table.from_pylist(judged, schema=table.schema)])
        order = np.arange(len(table))
        order[due] = len(table) + np.arange(len(judged))
        return together.take(order)

    def finish(self, tables: list[pa.Table], since: Path, out: Path) -> RescanSummary:
        """Write the findings and the state."""
        import pyarrow as pa
        import pyarrow.compute as pc

        table = pa.concat_tables(tables or [state_schema().empty_table()])
        before = self._state.seconds if self._state is not None else 0.0
        state = ScanState(
            self._basis, table, _digests(self._detector), self._seconds / self._read if self._read else before
        )
        temporary = out.with_name(out.name + ".tmp")
        writer = TableWriter(temporary, finding_schema(), ending=out.suffix.lower())
        writer.write_table(table.select(finding_schema().names))
        writer.close()
        temporary.replace(out)
        state.save(since)
        verdicts = Counter(table["verdict"].to_pylist())
        errors = table.num_rows - pc.sum(pc.is_null(table["error"])).as_py() if table.num_rows else 0
        opened = len(self._verifier.opened)
        return RescanSummary(table.num_rows, dict(verdicts), errors, self._kept, self._judged, self._looked_at,
                             self._unread, opened, self._unread * (before or state.seconds))  # fmt: skip

    def rows(self, seen: Sequence[Seen], signatures: Sequence[str | None]) -> list[dict[str, Any]]:
        """The state's rows of listings."""
        judged = zip(seen, self._detector.findings(seen), signatures, strict=True)
        return [self._row(each, finding, signature) for each, finding, signature in judged]

    def _row(self, seen: Seen, finding: Finding, signature: str | None) -> dict[str, Any]:
        pairs = list(zip(seen.embedded, seen.photos, strict=True))
        troubled = any(embedded.error or photo.hint != embedded.hint for embedded, photo in pairs)
        return {
            **finding_row(finding),
            "signature": None if troubled else signature,  # what failed is tried again
            "images": [str(image) for image in seen.listing.images],
            "photos": [
                {
                    "sha256": embedded.sha256,
                    "vector": None if embedded.vector is None else embedded.vector.astype("<f4").tobytes(),
                    "hint": embedded.hint,
                    "error": embedded.error,
                    "matches": [match.reference.id for match in photo.matches],
                    "least": min((m.similarity for m in photo.matches), default=-2.0)
                    if len(photo.matches) >= self._detector.looked_at
                    else -2.0,
                }
                for embedded, photo in pairs
            ],
        }


def _by_signature(table: pa.Table) -> dict[tuple[str, str], int]:
    """The row of each listing that can be told to be unchanged."""
    keys = zip(table["listing_id"].to_pylist(), table["signature"].to_pylist(), strict=True)
    return {(name, signature): row for row, (name, signature) in enumerate(keys) if signature is not None}


@dataclass(frozen=True)
class _Changed:
    """How the index differs from that of a state: ids `gone`, and the `vectors` (n, dim) of references that came."""

    gone: frozenset[str]
    vectors: NDArray[np.float32]

    @classmethod
    def of(cls, detector: Detector, state: ScanState) -> _Changed:
        now = _digests(detector)
        gone = frozenset(name for name, digest in state.references.items() if now.get(name) != digest)
        came = np.array([state.references.get(name) != digest for name, digest in now.items()], bool)
        return cls(gone, detector.index.vectors[came])

    def touched(self, table: pa.Table) -> NDArray[np.bool_]:
        """For each row of a state's listings, whether what its photos are alike to may be other references now."""
        import pyarrow.compute as pc

        photos = table["photos"].combine_chunks()
        owner = np.asarray(pc.list_parent_indices(photos))
        flat = pc.list_flatten(photos)
        readable = np.asarray(pc.is_valid(pc.struct_field(flat, "vector")))
        vectors = _vectors(pc.struct_field(flat, "vector").drop_null(), self.vectors.shape[1])
        touched = np.zeros(len(table), bool)
        if len(self.vectors) and len(vectors):
            nearest = np.full(len(vectors), -2.0, np.float32)
            for start in range(0, len(self.vectors), _WINDOW):
                np.maximum(nearest, (vectors @ self.vectors[start : start + _WINDOW].T).max(axis=1), out=nearest)
            least = np.asarray(pc.struct_field(flat, "least"))[readable]
            touched[owner[readable][nearest >= least - _NEAR]] = True
        if self.gone:
            matches = pc.struct_field(flat, "matches")
            lost = np.isin(np.asarray(pc.list_flatten(matches)), np.array(list(self.gone)))
            touched[owner[np.asarray(pc.list_parent_indices(matches))[lost]]] = True
        return touched


def _vectors(packed: pa.Array, dim: int) -> NDArray[np.float32]:
    joined = b"".join(packed.to_pylist())
    return np.frombuffer(joined, "<f4").reshape(len(packed), dim)


def _known(row: Mapping[str, Any]) -> tuple[Listing, list[EmbeddedPhoto]]:
    """The listing of a row of the state, and its photos' vectors."""
    from lookalike.index.embedding import EmbeddedPhoto

    listing = Listing(
        id=row["listing_id"],
        images=tuple(row["images"]),
        seller=row["seller_id"],
        territory=row["territory"],
        price=row["price"],
        currency=row["currency"],
        title=row["title"],
        url=row["url"],
        error=row["error"] if not row["images"] else None,
    )
    photos = [
        EmbeddedPhoto(
            photo["sha256"],
            None if photo["vector"] is None else np.frombuffer(photo["vector"], "<f4"),
            hint=photo["hint"],
            error=photo["error"],
        )
        for photo in row["photos"]
    ]
    return listing, photos


def _basis(detector: Detector) -> Basis:
    reader = detector.reader
    access = {**asdict(reader.access), "schemes": sorted(reader.access.schemes)}
    judging = {
        "policy": str(detector.policy),
        "top": detector.top,
        "harmless": detector.harmless.digest if detector.harmless is not None else None,
        "rights": None if detector.rights is None else f"{detector.day or date.today()} {detector.rights.label}",
        "compared": detector.index.has_features,
    }
    encoder = json.loads(json.dumps(detector.encoder.spec.to_json()))
    reading = json.dumps({"limits": str(reader.limits), "access": access}, sort_keys=True)
    return Basis(encoder, reading, json.dumps(judging, sort_keys=True), detector.index.digest)


def _digests(detector: Detector) -> dict[str, str]:
    """For each reference of the index a digest of its row and of the encoder's vector of its picture."""
    rows: Iterator[dict[str, Any]] = iter(detector.index.catalogue.to_pylist())
    return {
        row["reference_id"]: hashlib.sha256(json.dumps(row, sort_keys=True, default=str).encode()).hexdigest()[:32]
        for row in rows
    }


def _signature(listing: Listing) -> str | None:
    """What a listing and its photos' files are; None where a photo is no local file, or isn't there."""
    files = []
    for image in listing.images:
        if not isinstance(image, str | Path) or "://" in str(image):
            return None
        try:
            status = Path(image).stat()
        except (OSError, ValueError):
            return None
        files.append((str(image), status.st_size, status.st_mtime_ns))
    said = {**vars(listing), "images": files}
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()
