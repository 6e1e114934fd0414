"""A fusion fitted to labelled photos, and how far down it is worth comparing point by point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lookalike.errors import TableError
from lookalike.policy.fusion import Fusion, fit_fusion
from lookalike.policy.terms import Reach

from .labels import LabelledMatches

REACH_CONFIRMED, REACH_OTHERS = 0.95, 0.5
"""A fusion reaches down to the similarity above which this share of the look-alikes that points confirm lie, but no
further than this share of the other photos: comparing costs some ten times as much as embedding."""


@dataclass(frozen=True)
class Fused:
    """A fusion fitted to labels (None: similarity alone), its reach, and the photos that it was not fitted to."""

    fusion: Fusion | None
    reach: Reach
    photos: tuple[LabelledMatches, ...]
    unrelated: tuple[LabelledMatches, ...]


def fuse(
    photos: Sequence[LabelledMatches],
    unrelated: Sequence[LabelledMatches] = (),
    *,
    similarity: bool = True,
    references: int = Reach().references,
    seed: int = 0,
) -> Fused:
    """Fit a fusion to half of the labelled photos, drawn by `seed`, and keep the other half for the thresholds.

    Without `similarity` it rests on matching points alone. Raises TableError for too few labels, and if none of the
    photos was compared point by point.
    """
    rng = np.random.default_rng(seed)
    fitted, left = _halves(photos, rng)
    strangers, others = _halves(unrelated, rng)
    reach = reach_of([*fitted, *strangers], references=references)
    seen = [within(photo, reach) for photo in (*fitted, *strangers)]
    fusion = fit_fusion(((photo.matches, photo.is_right) for photo in seen), similarity=similarity)
    return Fused(fusion, reach, *(tuple(within(photo, reach) for photo in half) for half in (left, others)))


def within(photo: LabelledMatches, reach: Reach) -> LabelledMatches:
    """The photo as a scan with that reach would have compared it, if it was compared at least as far as that."""
    values = sorted((match.compared_similarity for match in photo.matches), reverse=True)
    near = bool(values) and reach.similarity is not None and values[0] >= reach.similarity
    least = values[min(reach.references, len(values)) - 1] if near and reach.references else float("inf")
    return replace(photo, matches=tuple(
        match if match.compared_similarity >= least else replace(match, verification=None) for match in photo.matches
    ))  # fmt: skip


def _halves(
    photos: Sequence[LabelledMatches], rng: np.random.Generator
) -> tuple[list[LabelledMatches], list[LabelledMatches]]:
    order = rng.permutation(len(photos)).tolist()
    return [photos[at] for at in order[::2]], [photos[at] for at in order[1::2]]


def reach_of(photos: Sequence[LabelledMatches], *, references: int = Reach().references) -> Reach:
    """How far down comparing pays (see REACH_CONFIRMED). Raises TableError if no points agree in any photo."""
    nearest = [max(match.compared_similarity for match in photo.matches) for photo in photos if photo.matches]
    confirmed = [
        any(match.agrees and photo.is_right(match) for match in photo.matches) for photo in photos if photo.matches
    ]
    values, found = np.array(nearest), np.array(confirmed, bool)
    if not found.any():
        raise TableError(
            "none of the labelled look-alikes was confirmed point by point; build the index with local features, and "
            "with --findings give findings that reach down to them, or tune on similarity"
        )
    low = np.quantile(values[found], 1 - REACH_CONFIRMED)
    others = np.quantile(values[~found], 1 - REACH_OTHERS) if (~found).any() else -1.0
    return Reach(float(np.floor(1000 * max(low, others)) / 1000), references)
