"""One scan of changes: listings to rows of the state, by the last state as far as that is possible."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.detection.detector import Detector
from lookalike.detection.lookup import Seen
from lookalike.detection.verification import Verifier
from lookalike.records import Listing
from lookalike.tables.arrow import arrow_table
from lookalike.tables.files import writing_table
from lookalike.tables.findings import finding_schema

from .basis import Basis
from .changed_listings import KnownListings, signature
from .changed_references import reference_digests
from .state import ScanState, StateWriter
from .state_rows import embedded_listing, state_row, state_schema, vectors_of
from .verified_pairs import VerifiedPairs
from .windows import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.index.vector_cache import VectorCache

_TOGETHER = 1024  # listings judged at a time, whose matches are in memory as objects


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


class Run:
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
        self.references = reference_digests(detector.index)
        self._same = state is not None and state.basis == basis
        self._kept = self._judged = self._looked_at = self._unread = self._read = 0
        self._seconds = 0.0

    @cached_property
    def _known(self) -> KnownListings:
        return KnownListings(self._state)

    def judge(self, listings: Sequence[Listing]) -> Window:
        """The window of listings: from the last state if they are unchanged, otherwise by looking at them."""
        signatures = [signature(listing) for listing in listings]
        rows = self._known.rows(signatures)
        known, new = np.flatnonzero(rows >= 0), np.flatnonzero(rows < 0)
        old = self._taken(rows[known])
        found = [self.judge_again(old, np.full(len(known), not self._same))] if len(known) else []
        if len(new):
            found.append(self._look_at([listings[at] for at in new.tolist()], [signatures[at] for at in new.tolist()]))
        return Window.joined(found).take(np.argsort(np.concatenate([known, new])))

    def _taken(self, rows: NDArray[np.int64]) -> Window:
        """The listings in these rows of the last state, counted through all its windows."""
        if self._state is None or not len(rows):
            return Window(state_schema().empty_table(), lambda: np.empty((0, 0), np.float32))
        starts = np.append(0, np.cumsum([window.listings for window in self._state.windows]))
        place = np.searchsorted(starts, rows, side="right") - 1
        order = np.argsort(place, kind="stable")  # so that each window is read once
        parts = [
            self._state.window(number).take((rows - starts[number])[place == number])
            for number in np.unique(place).tolist()
        ]
        return Window.joined(parts).take(np.argsort(order))

    def _look_at(self, listings: Sequence[Listing], signatures: Sequence[str | None]) -> Window:
        start = time.perf_counter()
        seen = self._detector.lookup.see(listings, cache=self._cache, verifier=self._verifier)
        window = self.window(seen, signatures)
        self._looked_at += len(listings)
        self._read += len(window.table["photos"].combine_chunks().flatten())
        self._seconds += time.perf_counter() - start
        return window

    def judge_again(self, window: Window, due: NDArray[np.bool_]) -> Window:
        """A window of the state, with those listings that are `due` judged again by their vectors."""
        import pyarrow as pa
        import pyarrow.compute as pc

        table = window.table
        self._unread += pc.sum(pc.list_value_length(table["photos"])).as_py() or 0
        self._kept += int((~due).sum())
        self._judged += int(due.sum())
        if not due.any():
            return window
        part = window.take(np.flatnonzero(due))
        judged = self.window(self._seen_again(part), part.table["signature"].to_pylist())
        order = np.arange(len(table))
        order[due] = len(table) + np.arange(len(judged.table))
        return replace(window, table=pa.concat_tables([table, judged.table]).take(order), rows_file=None)

    def _seen_again(self, window: Window) -> Iterator[Seen]:
        """The listings of a window, looked up by their vectors."""
        vectors = iter(window.vectors)
        for start in range(0, len(window.table), _TOGETHER):
            stored = window.table.slice(start, _TOGETHER).to_pylist()
            known = [embedded_listing(row, vectors) for row in stored]
            yield from self._detector.lookup.see_again(known, verifier=self._verifier)

    def window(self, seen: Iterable[Seen], signatures: Sequence[str | None]) -> Window:
        """The rows and vectors of listings by the matches of their photos."""
        import pyarrow as pa

        looked_at, remaining, signed = self._detector.lookup.looked_at, iter(seen), iter(signatures)
        tables: list[pa.Table] = []
        spec = self._detector.encoder.spec
        vectors = [np.empty((0, spec.width), np.float32)]
        while part := list(islice(remaining, _TOGETHER)):
            rows: list[dict[str, Any]] = [
                state_row(each, finding, signature=next(signed), looked_at=looked_at, has_look=spec.look_dim > 0)
                for each, finding in zip(part, self._detector.findings(part), strict=True)
            ]
            tables.append(arrow_table(rows, state_schema()))
            vectors += [np.stack(own) for own in map(vectors_of, part) if own]
        together = np.concatenate(vectors)
        return Window(pa.concat_tables(tables), lambda: together)

    def write(
        self, windows: Iterable[Window], writer: StateWriter, out: Path, progress: Callable[[int], None] | None
    ) -> RescanSummary:
        """Write the findings of windows as they come, then the state."""
        verdicts: Counter[str] = Counter()
        errors = 0
        pairs = VerifiedPairs(self._verifier)
        with writing_table(out, finding_schema()) as findings:
            for window in windows:
                table = window.table
                findings.write_table(table.select(finding_schema().names))
                writer.add(window)
                pairs.note(table)
                verdicts.update(table["verdict"].to_pylist())
                errors += len(table) - table["error"].null_count
                if progress is not None:
                    progress(len(table))
        before = self._state.seconds if self._state is not None else 0.0
        seconds = self._seconds / self._read if self._read else before
        writer.finish(self._basis, self.references, seconds)
        pairs.keep_noted()
        return RescanSummary(
            verdicts.total(),
            verdicts=dict(verdicts),
            errors=errors,
            kept=self._kept,
            judged=self._judged,
            looked_at=self._looked_at,
            photos=self._unread,
            opened=len(self._verifier.opened),
            spared=self._unread * (before or seconds),
        )
