"""Details of two photos that look alike, of the listing photo and of its mirror image at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .features import MIRRORED, LocalFeatures

NEAR = 0.012
"""Features this close, as a share of the longer side, show the same detail."""

# chosen in trials on rendered validation photos; a ratio of 0.80 finds up to 3 % fewer copies and photos
_RATIO = 0.85
_MOST_MATCHES = 400
_LENGTH = 512.0**2  # of a descriptor, squared

Pairs = NDArray[np.int64]


def match(reference: LocalFeatures, listing: LocalFeatures) -> tuple[Pairs, Pairs]:
    """Pairs (reference feature, listing feature), int64 (n, 2), the clearest first; and those of the mirrored listing.

    Each listing feature looks for its nearest in the reference, so that several copies in one photo don't compete. It
    must beat the second nearest, somewhere else in the reference, so that repeated patterns match nothing.
    """
    if len(reference) < 3 or len(listing) < 3:
        return np.zeros((0, 2), np.int64), np.zeros((0, 2), np.int64)
    ours, theirs = _halves(listing), _halves(reference)
    # a descriptor's product with another is half the sum of these, and with a mirrored one half their difference
    even, odd = ours[0] @ theirs[0].T, ours[1] @ theirs[1].T
    places = reference.points / np.float32(NEAR * max(reference.size))
    straight = _clearest(even + odd, places)
    return straight, _clearest(np.subtract(even, odd, out=even), places)


def _halves(features: LocalFeatures) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What mirroring leaves of the descriptors, and what it negates: float32 (n, 64) each (see `mirrored`)."""
    upper = features.descriptors[:, :64].astype(np.float32)
    lower = features.descriptors[:, MIRRORED[:64]].astype(np.float32)
    return upper + lower, upper - lower


def _clearest(alike: NDArray[np.float32], places: NDArray[np.float32]) -> Pairs:
    """The pairs whose product, half of `alike` (listing, reference), beats that of other places. Changes `alike`."""
    rows = np.arange(len(alike))
    nearest = alike.argmax(axis=1)
    best = alike[rows, nearest]
    alike[rows, nearest] = 0
    second = alike.argmax(axis=1)
    value = alike[rows, second]
    x, y = places.T
    beside = np.flatnonzero((np.abs(x[nearest] - x[second]) < 1) & (np.abs(y[nearest] - y[second]) < 1))
    around = nearest[beside, None]
    same = (np.abs(x[around] - x) < 1) & (np.abs(y[around] - y) < 1)
    value[beside] = np.where(same, 0, alike[beside]).max(axis=1)
    ratio = np.sqrt(np.maximum(2 - best / _LENGTH, 0) / np.maximum(2 - value / _LENGTH, 1e-6))
    kept = np.flatnonzero(ratio < _RATIO)
    kept = kept[np.argsort(ratio[kept], kind="stable")][:_MOST_MATCHES]
    return np.stack([nearest[kept], rows[kept]], axis=1)
