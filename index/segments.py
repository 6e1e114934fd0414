"""A partitioned index as values: pieces that never change, and a list of their rows that are gone.

Adding makes another piece, removing another list of rows that are gone. `segment_files` writes and reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lookalike.model.encoder import Vectors

from . import catalogue
from .features import Packed
from .partition import Agreement, Coded, Partition

HEADS = (("partition", "lists", "codes"), ("look_partition", "look_lists", "look_codes"))
"""For `similarity`, and for `look` if the encoder has a second head: where the manifest has the partition, and where
each segment has its lists and codes."""
UNADAPTED = ("unadapted_partition", "unadapted_lists", "unadapted_codes")
"""The same of an adapted index, for `similarity` before it was adapted."""

_ADAPTED = {"vectors": "unadapted", **dict(zip(HEADS[0][1:], UNADAPTED[1:], strict=True))}
"""A segment's files that an adapter changes, and how those before are named."""


@dataclass(frozen=True)
class Unadapted:
    """What an adapted segment was before: its vectors, float32 (n, width), and its lists and codes for similarity."""

    vectors: Vectors
    coded: Coded


@dataclass(frozen=True)
class Segment:
    """References that were written together.

    `vectors` is float32 (n, width), memory-mapped if it was read; `coded` has the lists and codes of each of the
    partitions; `features` has one packed entry per row. `files` holds the manifest's entries for those of its files
    that are on disk.
    """

    catalogue: pa.Table
    vectors: Vectors
    coded: tuple[Coded, ...]
    features: Sequence[Packed]
    files: Mapping[str, Any] = field(default_factory=dict)
    unadapted: Unadapted | None = None

    def __len__(self) -> int:
        return len(self.vectors)


@dataclass(frozen=True)
class Segments:
    """A whole partitioned index, with a partition for `similarity` and, if the encoder has a second head, for `look`.

    `removed`, int64, holds the rows that are gone, counted through all segments. In an adapted index, `unadapted` is
    the partition for `similarity` before, so that undoing learns nothing.
    """

    partitions: tuple[Partition, ...]
    segments: tuple[Segment, ...]
    removed: NDArray[np.int64]
    unadapted: Partition | None = None

    def __len__(self) -> int:
        return sum(map(len, self.segments)) - len(self.removed)

    @property
    def alive(self) -> NDArray[np.bool_]:
        """For each row, counted through all segments, whether it still exists."""
        alive = np.ones(sum(map(len, self.segments)), bool)
        alive[self.removed] = False
        return alive

    @property
    def agreement(self) -> Agreement:
        """How often a search was measured to decide as an exact one does; of two searches, the worse one."""
        return min((partition.agreement for partition in self.partitions), key=lambda agreement: agreement.share)


def added(whole: Segments, segment: Segment) -> Segments:
    """The index with one more segment."""
    return replace(whole, segments=(*whole.segments, segment))


def without(whole: Segments, gone: NDArray[np.bool_]) -> Segments:
    """The index without the living rows for which `gone`, bool (living,), is true."""
    fresh = np.flatnonzero(whole.alive)[gone]
    return replace(whole, removed=np.union1d(whole.removed, fresh).astype(np.int64)) if len(fresh) else whole


def joined(whole: Segments) -> Segments:
    """The index with the living rows of all segments but the first in one new segment, in memory."""
    first, *others = whole.segments
    alive = whole.alive
    ends = np.cumsum([len(segment) for segment in whole.segments])
    kept = np.split(alive[len(first) :], ends[1:-1] - len(first))

    def of_all(arrays: Iterable[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate([array[k] for array, k in zip(arrays, kept, strict=True)])

    def coded_of_all(coded: Sequence[Coded]) -> Coded:
        return of_all(lists for lists, _ in coded), of_all(codes for _, codes in coded)

    before = [segment.unadapted for segment in others if segment.unadapted is not None]
    one = Segment(
        catalogue.joined(s.catalogue.filter(pa.array(k)) for s, k in zip(others, kept, strict=True)),
        of_all(s.vectors for s in others),
        tuple(coded_of_all([s.coded[head] for s in others]) for head in range(len(whole.partitions))),
        [s.features[row] for s, k in zip(others, kept, strict=True) for row in np.flatnonzero(k).tolist()],
        unadapted=Unadapted(of_all(b.vectors for b in before), coded_of_all([b.coded for b in before]))
        if before
        else None,
    )
    removed = whole.removed[whole.removed < len(first)]
    return replace(whole, segments=(first, one) if len(one) else (first,), removed=removed)


def adapted(whole: Segments, vectors: Vectors, partition: Partition, coded: Coded) -> Segments:
    """The index with all vectors adapted, float32 (stored, width), and another partition for similarity.

    `coded` has the lists and codes of the living rows. All else stays, on disk as well; what was before, too.
    """
    alive = whole.alive
    every = [np.zeros((len(alive), *array.shape[1:]), array.dtype) for array in coded]
    for array, living in zip(every, coded, strict=True):
        array[alive] = living
    lists, codes = every
    fresh, end = [], 0
    for segment in whole.segments:
        rows, end = slice(end, end + len(segment)), end + len(segment)
        others = {kind: entry for kind, entry in segment.files.items() if kind not in _ADAPTED}
        before = {_ADAPTED[kind]: entry for kind, entry in segment.files.items() if kind in _ADAPTED}
        fresh.append(replace(
            segment, vectors=vectors[rows], coded=((lists[rows], codes[rows]), *segment.coded[1:]),
            files=others | before, unadapted=Unadapted(segment.vectors, segment.coded[0]),
        ))  # fmt: skip
    partitions = (partition, *whole.partitions[1:])
    return replace(whole, partitions=partitions, segments=tuple(fresh), unadapted=whole.partitions[0])


def unadapted(whole: Segments) -> Segments:
    """An adapted index as it was before, with what was added later and without what was removed."""
    if whole.unadapted is None:
        return whole
    names = {before: kind for kind, before in _ADAPTED.items()}
    fresh = []
    for segment in whole.segments:
        assert segment.unadapted is not None
        files = {names.get(kind, kind): entry for kind, entry in segment.files.items() if kind not in _ADAPTED}
        coded = (segment.unadapted.coded, *segment.coded[1:])
        fresh.append(replace(segment, vectors=segment.unadapted.vectors, coded=coded, files=files, unadapted=None))
    partitions = (whole.unadapted, *whole.partitions[1:])
    return replace(whole, partitions=partitions, segments=tuple(fresh), unadapted=None)
