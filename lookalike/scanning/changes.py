"""Scans that look only at what changed since the last one: new or changed listings, or new references."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.detection.detector import Detector
from lookalike.detection.lookup import Seen
from lookalike.detection.verification import Verifier
from lookalike.errors import ScanStateError
from lookalike.records import Listing
from lookalike.tables.arrow import arrow_table
from lookalike.tables.files import require_ending, writing_table
from lookalike.tables.findings import finding_schema

from .basis import Basis
from .changed_listings import rows_by_signature, signature
from .changed_references import ChangedReferences, reference_digests
from .parts import writing_findings
from .state import ScanState, writing_state
from .state_rows import embedded_listing, state_row, state_schema

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from lookalike.index.embedding import EmbeddedPhoto
    from lookalike.index.vector_cache import VectorCache

_WINDOW = 4096


@dataclass(frozen=True)
class RescanSummary:
    """What a scan of changes did: the number of listings, of each verdict and with an error, and how it judged them.

    `kept` findings were taken over, `judged` listings were judged again by their stored vectors, and the photos of
    `looked_at` listings were read. `photos` counts the photos that were not read, and `spared` is how many seconds
    reading, embedding and looking them up would have taken, as measured when that was done. `opened` counts photos that
    were opened again for a point-by-point comparison.
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
    """Judge every listing and write `out` as `scan_listings` does, but look only at those that are new or changed.

    `since` is the folder with the state of the last scan; it is made if there is none, and holds the state of this scan
    afterwards. A listing is unchanged if its row is, and its photos are local files of the same size and time of
    change. If policy, index or harmless photos changed, unchanged listings are judged again by their stored vectors.
    A scan of changes does not resume after an interruption, but embeds nothing twice if there is a `cache`, and
    compares no pair twice. Raises ScanStateError for a damaged state, or one that rests on rights or sellers if the
    detector has none, and as `rescan_references` while another process writes.
    """
    from lookalike.index.blobs import BlobCache

    since, out, basis = Path(since), Path(out), Basis.of(detector)
    require_ending(out)
    with writing_state(since), writing_findings(out), BlobCache(since / "verified.sqlite", optional=True) as verified:
        state = _last_state(since, basis)
        if state is not None and not state.basis.embeds_like(basis):
            state = None  # none of its vectors can be used
        run = _Run(detector, Verifier(detector.index, detector.reader, verified), state, basis, cache)
        remaining, tables = iter(listings), []
        while window := list(islice(remaining, _WINDOW)):
            tables.append(run.judge(window))
            if progress is not None:
                progress(len(window))
        return run.finish(tables, since, out)


def rescan_references(
    *, detector: Detector, since: str | Path, out: str | Path, progress: Callable[[int], None] | None = None
) -> RescanSummary:
    """Bring a scan's findings up to date with the detector's index, as a new scan of the same listings would.

    References that are new in the index are compared with the listings' vectors in the folder `since`; findings that
    rest on removed references are withdrawn. A photo is opened only if it comes into reach of a reference that it was
    not compared with point by point. Writes `out` and the folder's state. Raises ScanStateError if there is no state,
    its scan used another encoder, other limits on pictures, or rights or sellers that the detector lacks, or another
    process uses the folder, and TableError while another process writes `out`.
    """
    from lookalike.index.blobs import BlobCache

    since, out, basis = Path(since), Path(out), Basis.of(detector)
    require_ending(out)
    _known_state(since, basis)  # before anything is written
    with writing_state(since), writing_findings(out), BlobCache(since / "verified.sqlite", optional=True) as verified:
        state = _known_state(since, basis)
        run = _Run(detector, Verifier(detector.index, detector.reader, verified), state, basis, None)
        changed = ChangedReferences.since(state.references, detector.index)
        everything = state.basis.judging != basis.judging
        tables = []
        for start in range(0, state.listings.num_rows, _WINDOW):
            table = state.listings.slice(start, _WINDOW)
            due = np.ones(len(table), bool) if everything else changed.may_concern(table)
            tables.append(run.judge_again(table, due))
            if progress is not None:
                progress(len(table))
        return run.finish(tables, since, out)


def _last_state(since: Path, basis: Basis) -> ScanState | None:
    """The state of the last scan. Raises ScanStateError if it took rights into account that this one would forget."""
    state = ScanState.load(since)
    forgotten = frozenset() if state is None else state.basis.tables - basis.tables
    if forgotten:
        options = " ".join(f"--{name}" for name in sorted(forgotten))
        raise ScanStateError(f"the findings of the scan in {since} rest on tables that are not given; add {options}")
    return state


def _known_state(since: Path, basis: Basis) -> ScanState:
    state = _last_state(since, basis)
    if state is None:
        raise ScanStateError(f"there is no state of a scan in {since}; make one with: lookalike scan --since {since}")
    if not state.basis.embeds_like(basis):
        raise ScanStateError(f"the scan in {since} used another encoder or other limits on pictures; scan again")
    return state


def state_of(detector: Detector, known: Sequence[tuple[Listing, Sequence[EmbeddedPhoto]]]) -> ScanState:
    """The state that a scan of listings leaves whose photos are embedded already; no picture is opened."""
    basis = Basis.of(detector)
    run = _Run(detector, Verifier(detector.index, detector.reader), None, basis, None)
    start = time.perf_counter()
    table = run.table(list(detector.lookup.see_again(known)), [None] * len(known))
    seconds = (time.perf_counter() - start) / max(1, sum(len(photos) for _, photos in known))
    return ScanState(basis, table, reference_digests(detector.index), seconds)


class _Run:
    """One scan of changes: it turns listings into rows of the state, and counts what it did for that."""

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
        self._rows = {} if state is None else rows_by_signature(state.listings)
        self._same = state is not None and state.basis == basis
        self._kept = self._judged = self._looked_at = self._unread = self._read = 0
        self._seconds = 0.0

    def judge(self, listings: Sequence[Listing]) -> pa.Table:
        """The rows of listings: from the last state if they are unchanged, otherwise by looking at them."""
        import pyarrow as pa

        signatures = [signature(listing) for listing in listings]
        rows = np.array([
            self._rows.get((listing.id, each), -1) if each is not None else -1
            for listing, each in zip(listings, signatures, strict=True)
        ], np.int64)  # fmt: skip
        known, new = np.flatnonzero(rows >= 0), np.flatnonzero(rows < 0)
        fresh = self._look_at([listings[at] for at in new.tolist()], [signatures[at] for at in new.tolist()])
        if self._state is None or not len(known):
            return fresh
        old = self._state.listings.take(rows[known])
        old = self.judge_again(old, np.full(len(old), not self._same))
        order = np.empty(len(rows), np.int64)
        order[known], order[new] = np.arange(len(known)), len(known) + np.arange(len(new))
        return pa.concat_tables([old, fresh]).take(order)

    def _look_at(self, listings: Sequence[Listing], signatures: Sequence[str | None]) -> pa.Table:
        start = time.perf_counter()
        seen = list(self._detector.lookup.see(listings, cache=self._cache, verifier=self._verifier))
        table = self.table(seen, signatures)
        self._looked_at += len(listings)
        self._read += sum(len(each.photos) for each in seen)
        if listings:
            self._seconds += time.perf_counter() - start
        return table

    def judge_again(self, table: pa.Table, due: NDArray[np.bool_]) -> pa.Table:
        """Rows of the state, with those that are `due` judged again by their vectors."""
        import pyarrow as pa
        import pyarrow.compute as pc

        self._unread += pc.sum(pc.list_value_length(table["photos"])).as_py() or 0
        self._kept += int((~due).sum())
        self._judged += int(due.sum())
        if not due.any():
            return table
        stored = table.filter(pa.array(due)).to_pylist()
        seen = self._detector.lookup.see_again(list(map(embedded_listing, stored)), verifier=self._verifier)
        judged = self.table(list(seen), [row["signature"] for row in stored])
        order = np.arange(len(table))
        order[due] = len(table) + np.arange(len(judged))
        return pa.concat_tables([table, judged]).take(order)

    def table(self, seen: Sequence[Seen], signatures: Sequence[str | None]) -> pa.Table:
        """The rows of listings by the matches of their photos."""
        looked_at = self._detector.lookup.looked_at
        judged = zip(seen, self._detector.findings(seen), signatures, strict=True)
        rows: list[dict[str, Any]] = [
            state_row(each, finding, signature=digest, looked_at=looked_at) for each, finding, digest in judged
        ]
        return arrow_table(rows, state_schema())

    def finish(self, tables: Sequence[pa.Table], since: Path, out: Path) -> RescanSummary:
        """Write the findings, then the state."""
        import pyarrow as pa

        table = pa.concat_tables(tables or [state_schema().empty_table()])
        before = self._state.seconds if self._state is not None else 0.0
        seconds = self._seconds / self._read if self._read else before
        with writing_table(out, finding_schema()) as writer:
            writer.write_table(table.select(finding_schema().names))
        ScanState(self._basis, table, reference_digests(self._detector.index), seconds).save(since, locked=True)
        return RescanSummary(
            table.num_rows,
            verdicts=dict(Counter(table["verdict"].to_pylist())),
            errors=table.num_rows - table["error"].null_count,
            kept=self._kept,
            judged=self._judged,
            looked_at=self._looked_at,
            photos=self._unread,
            opened=len(self._verifier.opened),
            spared=self._unread * (before or seconds),
        )
