"""How an index is arranged for what it holds: searched exactly or through partitions, and adapted or not.

An adapter changes the vectors for similarity only. What stands for look stays as it is, to the bit, and so do the lists
into which the vectors were cut before; codes and the way to search are learnt and measured anew. What was before is
kept, so undoing learns nothing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lookalike.model.adapter import Adapter
from lookalike.model.encoder import EncoderSpec, Vectors

from . import segments
from .learning import learn_partition, moved_partition
from .nearest import Mapped, Pieces, Streamed
from .partition import LEASTS_ADAPTED, Coded, Partition
from .segments import Segment, Segments
from .state import State, columns_of, exact_state, partitioned_state

_LATER = 0.25  # a partition is learnt again once more than this share was added, or removed, after it was learnt


def outgrown(state: State, exact_up_to: int) -> bool:
    """Whether the index should be compacted: for exact search it has too many references, or its partition is old."""
    whole = state.whole
    if whole is None:
        return len(state) > exact_up_to and not state.arranged  # no partition was good enough a moment ago
    later = sum(map(len, whole.segments[1:]))
    dead = len(whole.removed)
    return len(state) <= exact_up_to // 2 or max(later, dead) > _LATER * whole.agreement.vectors


def compacted(state: State, exact_up_to: int) -> State:
    """The index in one piece: partitioned for what it holds, or exact if that is at most `exact_up_to`, or too odd.

    An adapted index is compacted as it was before, and adapted again.
    """
    if state.adapter is not None:
        return adapted(compacted(unadapted(state), exact_up_to), state.adapter)
    vectors, learnt = state.vectors, []
    for columns in columns_of(state.spec) if len(state) > exact_up_to else ():
        found = learn_partition(vectors, columns=columns)
        if found is None:
            break
        learnt.append(found)
    if len(learnt) < len(columns_of(state.spec)):
        return exact_state(state.spec, None, state.catalogue, vectors, state.features, arranged=True)
    partitions, coded = zip(*learnt, strict=True)
    segment = Segment(state.catalogue.combine_chunks(), vectors, coded, state.features)
    return partitioned_state(state.spec, None, Segments(partitions, (segment,), np.empty(0, np.int64)))


def unadapted(state: State) -> State:
    """The index without its adapter, to the bit as it was."""
    if state.adapter is None:
        return state
    spec = state.spec.unadapted
    if state.whole is None:
        return exact_state(spec, None, state.catalogue, state.unadapted, state.features)
    return partitioned_state(spec, None, segments.unadapted(state.whole), state.catalogue)


def adapted(state: State, adapter: Adapter) -> State:
    """The index with this adapter, instead of the one that it may have."""
    before = unadapted(state)
    spec, catalogue, whole = adapter.adapted_spec, before.catalogue, before.whole
    if whole is None:
        source = before.vectors
        return exact_state(
            spec, adapter, catalogue, adapter.map(source), before.features, source, arranged=before.arranged
        )
    mapped, alive = _mapped(whole, adapter), whole.alive
    living = mapped if alive.all() else mapped[alive]
    found = _adapted_partition(spec, living, whole)
    if found is None:
        return exact_state(spec, adapter, catalogue, living, before.features, before.vectors, arranged=True)
    return partitioned_state(spec, adapter, segments.adapted(whole, mapped, *found), catalogue)


def seen_through(state: State, adapter: Adapter) -> State:
    """The index with its vectors adapted as they are read; nothing is learnt, and searches for similarity are exact."""
    whole = state.whole
    source, alive = [state.unadapted], np.ones(len(state), bool)
    if whole is not None:
        source, alive = [piece.vectors for piece in segments.unadapted(whole).segments], whole.alive
    pieces, spec = Mapped(source, alive, adapter.map), adapter.adapted_spec
    heads = (Streamed(pieces, columns_of(spec)[0]), *state.heads[1:])
    before = Pieces(source, alive)
    return replace(state, spec=spec, adapter=adapter, heads=heads, whole=None, pieces=pieces, before=before)


def _mapped(whole: Segments, adapter: Adapter) -> Vectors:
    """The adapted vectors of all segments, those of removed rows too, float32 (stored, width)."""
    mapped = np.empty((sum(map(len, whole.segments)), adapter.spec.width), np.float32)
    end = 0
    for segment in whole.segments:
        start, end = end, end + len(segment)
        adapter.map(segment.vectors, out=mapped[start:end])
    return mapped


def _adapted_partition(spec: EncoderSpec, living: Vectors, whole: Segments) -> tuple[Partition, Coded] | None:
    """A partition for the similarity of the adapted vectors of the living rows, from the lists that they are in."""
    columns, number = columns_of(spec)[0], len(whole.partitions[0].centroids)
    lists = np.concatenate([segment.coded[0][0] for segment in whole.segments])[whole.alive]
    return moved_partition(living, lists, number, columns=columns, leasts=LEASTS_ADAPTED) or learn_partition(
        living, columns=columns, leasts=LEASTS_ADAPTED
    )
