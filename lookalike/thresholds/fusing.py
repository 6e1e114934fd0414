"""A fusion fitted to labelled photos, and which photos have to be compared point by point for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lookalike.detection.verification import as_compared
from lookalike.errors import TableError
from lookalike.policy.fusion import Fusion, fit_fusion
from lookalike.policy.terms import Reach

from .labels import LabelledMatches


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
    parts: int = 0,
    seed: int = 0,
) -> Fused:
    """Fit a fusion to half of the labelled photos, drawn by `seed`, and keep the other half for the thresholds.

    `parts` is how many parts of each photo were looked up as well.
    Without `similarity` it rests on matching points alone. Raises TableError for too few labels, and if none of the
    photos was compared point by point.
    """
    rng = np.random.default_rng(seed)
    fitted, left = _halves(photos, rng)
    strangers, others = _halves(unrelated, rng)
    reach = reach_of([*fitted, *strangers], references=references, parts=parts)
    seen = [within(photo, reach) for photo in (*fitted, *strangers)]
    fusion = fit_fusion(((photo.matches, photo.is_right) for photo in seen), similarity=similarity)
    return Fused(fusion, reach, *(tuple(within(photo, reach) for photo in half) for half in (left, others)))


def within(photo: LabelledMatches, reach: Reach) -> LabelledMatches:
    """The photo as a scan with that reach would have compared it, if it was compared at least as far as that."""
    return replace(photo, matches=as_compared(photo.matches, reach))


def _halves(
    photos: Sequence[LabelledMatches], rng: np.random.Generator
) -> tuple[list[LabelledMatches], list[LabelledMatches]]:
    order = rng.permutation(len(photos)).tolist()
    return [photos[at] for at in order[::2]], [photos[at] for at in order[1::2]]


def reach_of(photos: Sequence[LabelledMatches], *, references: int = Reach().references, parts: int = 0) -> Reach:
    """The reach of a fusion fitted to these photos, of which `parts` were looked up as well: what was compared of them.

    If all were, that is any photo, whatever its similarity. Findings of a policy that compares fewer can't tell what
    points say further down. Raises TableError if no points agree in any look-alike.
    """
    if not any(match.agrees and photo.is_right(match) for photo in photos for match in photo.matches):
        raise TableError(
            "none of the labelled look-alikes was confirmed point by point; build the index with local features, and "
            "with --findings give findings that reach down to them, or tune on similarity"
        )
    unseen = [
        max(match.compared_similarity for match in photo.matches)
        for photo in photos
        if photo.matches and not any(match.verification for match in photo.matches)
    ]
    least = (math.floor(1000 * max(unseen)) + 1) / 1000 if unseen else None
    return Reach(least, references, parts=parts)
