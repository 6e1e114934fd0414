"""Scans that look only at what changed since the last one: new or changed listings, or new references."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lookalike.detection.detector import Detector
from lookalike.detection.verification import Verifier
from lookalike.errors import ScanStateError
from lookalike.records import Listing
from lookalike.tables.files import require_ending

from .basis import Basis
from .changed_references import ChangedReferences
from .parts import writing_findings
from .run import RescanSummary, Run
from .state import ScanState, StateWriter, writing_state
from .windows import MOST_LISTINGS, MOST_VECTORS, Window

if TYPE_CHECKING:
    from lookalike.index.embedding import EmbeddedPhoto
    from lookalike.index.vector_cache import VectorCache


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
    since, out, basis = Path(since), Path(out), Basis.of(detector)
    require_ending(out)
    with _writing(since, out, detector) as (writer, verifier):
        state = _last_state(since, basis)
        if state is not None and not state.basis.embeds_like(basis):
            state = None  # none of its vectors can be used
        run = Run(detector, verifier, state, basis, cache)
        parts = detector.lookup.reach.parts
        return run.write(map(run.judge, _windows(listings, parts)), writer, out, progress)


def rescan_references(
    *, detector: Detector, since: str | Path, out: str | Path, progress: Callable[[int], None] | None = None
) -> RescanSummary:
    """Bring a scan's findings up to date with the detector's index, as a new scan of the same listings would.

    References that are new in the index are compared with the listings' vectors in the folder `since`; findings that
    rest on removed references are withdrawn. A photo is opened only if it comes into reach of a reference that it was
    not compared with point by point. Writes `out` and the folder's state. Raises ScanStateError if there is no state,
    its scan used another encoder, other limits on pictures, other parts of them, or rights or sellers that the detector
    lacks, or another process uses the folder, and TableError while another process writes `out`.
    """
    since, out, basis = Path(since), Path(out), Basis.of(detector)
    require_ending(out)
    _known_state(since, basis)  # before anything is written
    with _writing(since, out, detector) as (writer, verifier):
        state = _known_state(since, basis)
        run = Run(detector, verifier, state, basis, None)
        changed = ChangedReferences.since(state.references, run.references, detector.index)
        everything = state.basis.judging != basis.judging

        def judged() -> Iterator[Window]:
            for window in map(state.window, range(len(state.windows))):
                due = np.ones(len(window.table), bool) if everything else changed.may_concern(window)
                yield run.judge_again(window, due)

        return run.write(judged(), writer, out, progress)


@contextmanager
def _writing(since: Path, out: Path, detector: Detector) -> Iterator[tuple[StateWriter, Verifier]]:
    """Keep others from writing the state and the findings, and give what writes the state and compares photos."""
    from lookalike.index.blobs import BlobCache

    with (
        writing_state(since) as writer,
        writing_findings(out),
        BlobCache(since / "verified.sqlite", optional=True) as verified,
    ):
        yield writer, Verifier(detector.index, detector.reader, verified)


def _windows(listings: Iterable[Listing], parts: int) -> Iterator[list[Listing]]:
    """The listings, of whose photos up to `parts` parts are looked up, in windows of no more than the state's."""
    window: list[Listing] = []
    vectors = 0
    for listing in listings:
        needed = (1 + parts) * len(listing.images)
        if window and (len(window) >= MOST_LISTINGS or vectors + needed > MOST_VECTORS):
            yield window
            window, vectors = [], 0
        window.append(listing)
        vectors += needed
    if window:
        yield window


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
        raise ScanStateError(
            f"the scan in {since} used another encoder, other limits on pictures or other parts of them; scan again"
        )
    return state


def save_state_of(
    detector: Detector, known: Sequence[tuple[Listing, Sequence[EmbeddedPhoto]]], folder: str | Path
) -> None:
    """Make the folder hold the state that a scan leaves of listings whose photos are embedded already.

    No picture is opened.
    """
    basis = Basis.of(detector)
    run = Run(detector, Verifier(detector.index, detector.reader), None, basis, None)
    photos = sum(len(embedded) for _, embedded in known)
    start = time.perf_counter()
    with writing_state(Path(folder)) as writer:
        for first in range(0, len(known), MOST_LISTINGS):
            part = known[first : first + MOST_LISTINGS]
            writer.add(run.window(detector.lookup.see_again(part), [None] * len(part)))
        writer.finish(basis, run.references, (time.perf_counter() - start) / max(1, photos))
