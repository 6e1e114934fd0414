"""Verification point by point: whether a listing photo shows the reference's picture or a print of it, and where.

Each pair of matching details votes for a similarity transform (fast spatial matching, Philbin et al., CVPR 2007), which
finds a small print in a crowded photo. A homography is then fitted to the pairs that follow the strongest vote, with
MAGSAC++ (Barath et al., CVPR 2020). Only points that agree with it in place, scale and direction count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import cv2
import numpy as np
from numpy.typing import NDArray

from lookalike.records import Verification

from .appearance import Agreement, classify, compare
from .features import VERSION as FEATURES_VERSION
from .features import LocalFeatures
from .homographies import Matrix, Points, coverage_of, is_sound, is_spread, outline_of, project
from .matching import NEAR, match

VERSION = f"{FEATURES_VERSION}.1"
"""Verifications of another version are computed again. Raise it with any change to what is found or to its kind."""

LEAST_INLIERS = 8
"""How many points must agree if the pictures don't decide.

None of 3,498 pairs of clothing or produce photos with clothing photos from other senders has this many, or is verified
at all, nor of 2,160 with rendered packshots, nor of 1,000 clothing photos with storefront photos. Photos taken in the
same room do: they show the same floor.
"""

LEAST_SUPPORTED, SUPPORT = 5, 0.8
"""Fewer points are enough, down to this number, if the pictures also agree over this share of the part they span.

Among rendered validation photos, about 5 % of copies and of other photos of a product have 5 to 7 points. In 95 % of
cases, other photos agree over 0.77 of the part or more.
"""

_MOST_VOTERS = 150  # of up to 400 pairs, the clearest
_MIRRORED = 0.8  # something symmetric fits both ways about equally well, and is rarely mirrored
_COS_45 = float(np.sqrt(0.5))
_MOST_INSTANCES, _MOST_FAILURES = 4, 2
_LOOSE = 0.08  # of the print in the listing: how far a similarity transform can miss what a homography will fit
_INLIER = 0.0075  # of the longer side: the tolerance of the homography
_MOST_OCTAVES, _MOST_DEGREES = 0.6, 30.0


@dataclass(frozen=True)
class Alignment:
    """One place in a listing photo that shows a reference's picture or a part of it.

    `matrix`, float64 (3, 3), maps pixels of the reference's features to pixels of the listing's (H in Hartley and
    Zisserman). If `mirrored`, the place shows the mirror image. Row i of `reference_points` and row i of
    `listing_points`, both float32 (inliers, 2), are the same detail. `coverage` is the share of the reference that was
    found, 0 to 1. `outline` holds the corners of the place as shares of the listing photo's sides.
    """

    matrix: Matrix
    mirrored: bool
    reference_points: Points
    listing_points: Points
    coverage: float
    outline: tuple[tuple[float, float], ...]

    @property
    def inliers(self) -> int:
        """The number of details that agree in place, scale and direction."""
        return len(self.reference_points)


def verify(reference: LocalFeatures, listing: LocalFeatures) -> Verification | None:
    """Compare a listing photo with a reference photo; None if no print of the reference is found in it.

    `kind` needs both pictures. If one was not kept it is "same_print", because points alone show no more.
    """
    found = verify_and_align(reference, listing)
    return found[0] if found else None


def verify_and_align(reference: LocalFeatures, listing: LocalFeatures) -> tuple[Verification, Alignment] | None:
    """What `verify` returns, and the place in the listing photo that it is based on."""
    for found in _candidates(reference, listing):
        agreement = compare(reference, listing, found.matrix, found.reference_points)
        if _counts(found, agreement):
            kind = classify(agreement)
            return Verification(found.inliers, found.coverage, found.mirrored, kind, found.outline), found
    return None


def _counts(found: Alignment, agreement: Agreement | None) -> bool:
    supported = agreement is not None and agreement.part >= SUPPORT
    return found.inliers >= (LEAST_SUPPORTED if supported else LEAST_INLIERS)


def find_instances(
    reference: LocalFeatures, listing: LocalFeatures, *, most: int = _MOST_INSTANCES, least: int = LEAST_INLIERS
) -> list[Alignment]:
    """The places where the photo shows the reference's print, up to `most`, the one with the most inliers first.

    Mirrored places rank as if they had a fifth fewer inliers. After each place, its points are removed and the rest is
    searched again.
    """
    upright, flipped = match(reference, listing)
    straight = list(islice(_instances(reference, listing, upright, least), most))
    turned = [_unmirror(each, listing) for each in islice(_turned(reference, listing, flipped, least), most)]
    return sorted(straight + turned, key=_strength, reverse=True)[:most]


def _candidates(reference: LocalFeatures, listing: LocalFeatures) -> Iterator[Alignment]:
    """The best place of the photo and that of its mirror image, the stronger first, then further ones.

    A place is only looked for when it is asked for, and the mirror image only if it could be the stronger.
    """
    upright, flipped = match(reference, listing)
    straight = _instances(reference, listing, upright, LEAST_SUPPORTED)
    first = next(straight, None)
    if first is not None and _strength(first) >= _MIRRORED * len(flipped):
        yield first
        first = next(straight, None)
    turned = _turned(reference, listing, flipped, LEAST_SUPPORTED)
    found = next(turned, None)
    best = [each for each in (first, found and _unmirror(found, listing)) if each is not None]
    yield from sorted(best, key=_strength, reverse=True)


def _strength(found: Alignment) -> float:
    return found.inliers * (_MIRRORED if found.mirrored else 1.0)


def _turned(
    reference: LocalFeatures, listing: LocalFeatures, pairs: NDArray[np.int64], least: int
) -> Iterator[Alignment]:
    """The places in the mirror image of the listing photo, in its pixels."""
    if len(pairs) >= least:
        yield from _instances(reference, listing.mirrored, pairs, least)


def _instances(
    reference: LocalFeatures, listing: LocalFeatures, pairs: NDArray[np.int64], least: int
) -> Iterator[Alignment]:
    failures = 0
    while len(pairs) >= least and failures < _MOST_FAILURES:
        followers = _densest_vote(reference, listing, pairs)
        if followers.sum() < least:
            return
        alignment, used = _align(reference, listing, pairs[followers], least)
        if alignment is not None:
            yield alignment
            pairs = pairs[~np.isin(pairs[:, 1], used)]
        else:
            failures += 1
            pairs = pairs[~followers]


def _densest_vote(reference: LocalFeatures, listing: LocalFeatures, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which pairs follow the transform with the most followers, among those that the clearest pairs vote for: (n,)."""
    pairs_by_point = np.argsort(pairs[:, 0], kind="stable")
    left, right = pairs.T
    zoom = listing.scales[right] / reference.scales[left]
    octaves = np.log2(zoom)
    turn = np.radians(listing.angles[right] - reference.angles[left])
    across, down = zoom * np.cos(turn), zoom * np.sin(turn)
    x, y = reference.points[left].T
    to_x, to_y = listing.points[right].T
    rest_x, rest_y = to_x - across * x + down * y, to_y - down * x - across * y
    voter = slice(None, _MOST_VOTERS)
    a, b, c, d, z, t = (each[voter, None] for each in (across, down, rest_x, rest_y, octaves, turn))
    # row i: by how much the transform that pair i votes for misses the listing point of each pair
    misses = np.square(a * x - b * y + (c - to_x)) + np.square(b * x + a * y + (d - to_y))
    near = misses < np.square(_LOOSE * max(reference.size) * zoom[voter, None] + 0.01 * max(listing.size))
    near &= np.abs(octaves - z) < 1
    near &= np.cos(turn - t) > _COS_45
    # several pairs with one reference point count once, or a repeated pattern would win
    starts = np.flatnonzero(np.diff(left[pairs_by_point], prepend=-1))
    votes = np.logical_or.reduceat(near[:, pairs_by_point], starts, axis=1).sum(axis=1)
    return np.asarray(near[int(votes.argmax())])


def _align(
    reference: LocalFeatures, listing: LocalFeatures, pairs: NDArray[np.int64], least: int
) -> tuple[Alignment | None, NDArray[np.int64]]:
    """The alignment of these pairs, if their homography is sound, and the listing features that follow it."""
    start, end = reference.points[pairs[:, 0]], listing.points[pairs[:, 1]]
    tolerance = _INLIER * max(listing.size)
    fitted, _ = cv2.findHomography(start, end, cv2.USAC_MAGSAC, tolerance, maxIters=1000, confidence=0.999)
    nothing = np.zeros(0, np.int64)
    if fitted is None or not np.isfinite(fitted).all() or abs(fitted[2, 2]) < 1e-9:
        return None, nothing
    matrix = np.asarray(fitted / fitted[2, 2], np.float64)
    follows = _followers(reference, listing, pairs, matrix, tolerance)
    chosen = _one_to_one(reference, listing, pairs[follows])
    start, end = reference.points[chosen[:, 0]], listing.points[chosen[:, 1]]
    if len(chosen) < least or not is_spread(start, reference.size) or not is_spread(end, listing.size):
        return None, nothing
    if not is_sound(matrix, start):
        return None, nothing
    coverage = coverage_of(reference.points, start, reference.size)
    outline = outline_of(matrix, start, reference.size, listing.size)
    return Alignment(matrix, False, start, end, coverage, outline), pairs[follows, 1]


def _followers(
    reference: LocalFeatures, listing: LocalFeatures, pairs: NDArray[np.int64], matrix: Matrix, tolerance: float
) -> NDArray[np.bool_]:
    """Which pairs agree with the homography in place, scale (within 0.6 octaves) and direction (within 30 degrees)."""
    start, end = reference.points[pairs[:, 0]], listing.points[pairs[:, 1]]
    moved, jacobians = project(matrix, start)
    zoom = np.sqrt(np.abs(np.linalg.det(jacobians)))
    octaves = np.abs(np.log2(listing.scales[pairs[:, 1]] / (reference.scales[pairs[:, 0]] * np.maximum(zoom, 1e-9))))
    angles = np.radians(reference.angles[pairs[:, 0]])
    direction = np.einsum("nij,nj->ni", jacobians, np.stack([np.cos(angles), np.sin(angles)], axis=1))
    turned = np.degrees(np.arctan2(direction[:, 1], direction[:, 0])) - listing.angles[pairs[:, 1]]
    off = np.abs(np.mod(turned + 180, 360) - 180)
    near = np.linalg.norm(moved - end, axis=1) < tolerance
    return np.asarray(near & (octaves < _MOST_OCTAVES) & (off < _MOST_DEGREES))


def _one_to_one(reference: LocalFeatures, listing: LocalFeatures, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The pairs, the clearest first, that share no place in either picture with an earlier one."""
    start = reference.points[pairs[:, 0]] / (NEAR * max(reference.size))
    end = listing.points[pairs[:, 1]] / (NEAR / 2 * max(listing.size))
    shared = _within(start, 0.5) | _within(end, 0.25)
    taken, kept = np.zeros(len(pairs), bool), list[int]()
    for i, row in enumerate(shared):
        if not taken[i]:
            kept.append(i)
            taken |= row
    return pairs[kept]


def _within(points: Points, distance: float) -> NDArray[np.bool_]:
    """Which points (n, 2) are less than that apart both across and down, (n, n)."""
    x, y = points.T
    return np.asarray((np.abs(x[:, None] - x) < distance) & (np.abs(y[:, None] - y) < distance))


def _unmirror(found: Alignment, listing: LocalFeatures) -> Alignment:
    """An alignment with the mirror image of a listing photo, in pixels of the photo itself."""
    width = listing.size[0]
    flip = np.array([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1]], np.float64)
    points = found.listing_points.copy()
    points[:, 0] = width - 1 - points[:, 0]
    outline = tuple((1 - x, y) for x, y in found.outline)
    return replace(found, matrix=flip @ found.matrix, mirrored=True, listing_points=points, outline=outline)
