"""Verification point by point: whether a listing photo shows the reference's picture or a print of it, and where.

Each pair of matching details votes for a similarity transform (fast spatial matching, Philbin et al., CVPR 2007), which
finds a small print in a crowded photo. A homography is then fitted to the pairs that follow the strongest vote, with
MAGSAC++ (Barath et al., CVPR 2020). Only points that agree with it in place, scale and direction count.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from lookalike.records import Verification

from .appearance import Agreement, classify, compare
from .features import VERSION as FEATURES_VERSION
from .features import LocalFeatures, mirrored

VERSION = f"{FEATURES_VERSION}.1"
"""Verifications of another version are computed again. Raise it with any change to what is found or to its kind."""

LEAST_INLIERS = 8
"""How many points must agree if the pictures don't decide.

None of 8,100 pairs of clothing or produce photos with clothing photos from other senders has this many, and none of
2,880 pairs of clothing photos with rendered packshots. Photos taken in the same room do: they show the same floor.
"""

LEAST_SUPPORTED, SUPPORT = 5, 0.8
"""Fewer points are enough, down to this number, if the pictures also agree over this share of the part they span.

Among rendered validation photos, about 5 % of copies and of other photos of a product have 5 to 7 points. In 95 % of
cases, other photos agree over 0.77 of the part or more.
"""

# chosen in trials on rendered validation photos; a ratio of 0.80 finds up to 3 % fewer copies and photos
_RATIO = 0.85
_MOST_MATCHES = 400
_LENGTH = 512.0**2  # of a descriptor, squared
_MOST_INSTANCES, _MOST_FAILURES = 4, 2
_NEAR = 0.012  # of the longer side; features this close show the same detail
_LOOSE = 0.08  # of the print in the listing: how far a similarity transform can miss what a homography will fit
_INLIER = 0.0075  # of the longer side: the tolerance of the homography
_MOST_OCTAVES, _MOST_DEGREES = 0.6, 30.0
_LEAST_SPREAD = 0.012  # of the longer side: standard deviation of the inliers in their narrowest direction
_SCALES = (0.04, 12.0)  # of the reference's print in the listing photo, both at the size in which features are found
_MOST_STRETCH = 6.0  # longer to shorter axis of the ellipse that a circle becomes
_GRID = 10
_ON_EDGE = 0.01  # of the photo's side

Matrix = NDArray[np.float64]
Points = NDArray[np.float32]


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
    for found in find_instances(reference, listing, most=2, least=LEAST_SUPPORTED):
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
    upright = _instances(reference, listing, most, least)
    flipped = [_unmirror(each, listing) for each in _instances(reference, mirrored(listing), most, least)]
    return sorted(upright + flipped, key=_strength, reverse=True)[:most]


def _strength(found: Alignment) -> float:
    # something symmetric fits both ways about equally well, and is rarely mirrored
    return found.inliers * (0.8 if found.mirrored else 1.0)


def _instances(reference: LocalFeatures, listing: LocalFeatures, most: int, least: int) -> list[Alignment]:
    pairs = _match(reference, listing)
    found: list[Alignment] = []
    for _ in range(most + _MOST_FAILURES):
        if len(pairs) < least or len(found) == most:
            break
        followers = _densest_vote(reference, listing, pairs)
        if followers.sum() < least:
            break
        alignment, used = _align(reference, listing, pairs[followers], least)
        if alignment is not None:
            found.append(alignment)
            pairs = pairs[~np.isin(pairs[:, 1], used)]
        else:
            pairs = pairs[~followers]
    return found


def _match(reference: LocalFeatures, listing: LocalFeatures) -> NDArray[np.int64]:
    """Pairs (reference feature, listing feature), int64 (n, 2), the clearest first.

    Each listing feature looks for its nearest in the reference, so that several copies in one photo don't compete. It
    must beat the second nearest, somewhere else in the reference, so that repeated patterns match nothing.
    """
    if len(reference) < 3 or len(listing) < 3:
        return np.zeros((0, 2), np.int64)
    alike = listing.descriptors.astype(np.float32) @ reference.descriptors.astype(np.float32).T
    nearest, rows = alike.argmax(axis=1), np.arange(len(alike))
    best = alike[rows, nearest] / _LENGTH
    x, y = reference.points.T
    reach = _NEAR * max(reference.size)
    same_place = (np.abs(x[:, None] - x) < reach) & (np.abs(y[:, None] - y) < reach)
    alike -= (same_place * np.float32(2 * _LENGTH))[nearest]
    second = alike.max(axis=1) / _LENGTH
    ratio = np.sqrt(np.maximum(2 - 2 * best, 0) / np.maximum(2 - 2 * second, 1e-6))
    kept = np.flatnonzero(ratio < _RATIO)
    kept = kept[np.argsort(ratio[kept], kind="stable")][:_MOST_MATCHES]
    return np.stack([nearest[kept], rows[kept]], axis=1)


def _densest_vote(reference: LocalFeatures, listing: LocalFeatures, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which pairs follow the transform with the most followers, among those that each pair votes for: (n,)."""
    left, right = pairs.T
    zoom = listing.scales[right] / reference.scales[left]
    turn = np.radians(listing.angles[right] - reference.angles[left])
    start = reference.points[left] @ np.array([1, 1j])
    end = listing.points[right] @ np.array([1, 1j])
    factor = zoom * np.exp(1j * turn)
    # row i: by how much the transform that pair i votes for misses the listing point of each pair
    misses = np.abs(end[:, None] + factor[:, None] * (start[None] - start[:, None]) - end[None])
    reach = _LOOSE * max(reference.size) * zoom[:, None] + 0.01 * max(listing.size)
    relative = factor[None] / factor[:, None]
    near = misses < reach
    near &= np.abs(np.log2(np.abs(relative))) < 1
    near &= np.abs(np.angle(relative)) < np.radians(45)
    # several pairs with one reference point count once, or a repeated pattern would win
    votes = np.zeros((len(pairs), len(reference)), bool)
    row, column = np.nonzero(near)
    votes[row, left[column]] = True
    return np.asarray(near[int(votes.sum(axis=1).argmax())])


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
    if len(chosen) < least or not _spread(start, reference.size) or not _spread(end, listing.size):
        return None, nothing
    if not _sound(matrix, start):
        return None, nothing
    coverage = _coverage(reference.points, start, reference.size)
    outline = _outline(matrix, start, reference.size, listing.size)
    return Alignment(matrix, False, start, end, coverage, outline), pairs[follows, 1]


def _followers(
    reference: LocalFeatures, listing: LocalFeatures, pairs: NDArray[np.int64], matrix: Matrix, tolerance: float
) -> NDArray[np.bool_]:
    """Which pairs agree with the homography in place, scale (within 0.6 octaves) and direction (within 30 degrees)."""
    start, end = reference.points[pairs[:, 0]], listing.points[pairs[:, 1]]
    moved, jacobians = _project(matrix, start)
    zoom = np.sqrt(np.abs(np.linalg.det(jacobians)))
    octaves = np.abs(np.log2(listing.scales[pairs[:, 1]] / (reference.scales[pairs[:, 0]] * np.maximum(zoom, 1e-9))))
    angles = np.radians(reference.angles[pairs[:, 0]])
    direction = np.einsum("nij,nj->ni", jacobians, np.stack([np.cos(angles), np.sin(angles)], axis=1))
    turned = np.degrees(np.arctan2(direction[:, 1], direction[:, 0])) - listing.angles[pairs[:, 1]]
    off = np.abs(np.mod(turned + 180, 360) - 180)
    near = np.linalg.norm(moved - end, axis=1) < tolerance
    return np.asarray(near & (octaves < _MOST_OCTAVES) & (off < _MOST_DEGREES))


def _project(matrix: Matrix, points: Points) -> tuple[Matrix, Matrix]:
    """Where the points (n, 2) are mapped to, float64 (n, 2), and the derivative there, (n, 2, 2)."""
    homogeneous = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ matrix.T
    depth = homogeneous[:, 2]
    depth = np.where(np.abs(depth) < 1e-9, 1e-9, depth)
    moved = homogeneous[:, :2] / depth[:, None]
    jacobians = (matrix[None, :2, :2] - moved[:, :, None] * matrix[None, 2:, :2]) / depth[:, None, None]
    return moved, jacobians


def _one_to_one(reference: LocalFeatures, listing: LocalFeatures, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The pairs, the clearest first, that share no place in either picture with an earlier one."""
    kept: list[int] = []
    start = reference.points[pairs[:, 0]] / (_NEAR * max(reference.size))
    end = listing.points[pairs[:, 1]] / (_NEAR / 2 * max(listing.size))
    for i in range(len(pairs)):
        if not kept or (
            np.abs(start[kept] - start[i]).max(axis=1).min() >= 0.5
            and np.abs(end[kept] - end[i]).max(axis=1).min() >= 0.25
        ):
            kept.append(i)
    return pairs[kept]


def _spread(points: Points, size: tuple[int, int]) -> bool:
    """Whether the points cover more than a dot or a line."""
    narrow = np.linalg.eigvalsh(np.cov(points.T.astype(np.float64)))[0]
    return bool(np.sqrt(max(narrow, 0)) >= _LEAST_SPREAD * max(size))


def _sound(matrix: Matrix, points: Points) -> bool:
    """Whether the homography doesn't flip, fold or squeeze the part of the reference that was found."""
    low, high = points.min(axis=0), points.max(axis=0)
    corners = np.array([low, (high[0], low[1]), high, (low[0], high[1])], np.float32)
    depth = corners @ matrix[2, :2] + matrix[2, 2]
    if depth.min() < 0.2 * depth.max():
        return False
    moved, jacobians = _project(matrix, corners)
    determinants = np.linalg.det(jacobians)
    if not _convex(moved) or determinants.min() <= 0:
        return False
    singular = np.linalg.svd(jacobians, compute_uv=False)
    zoom = np.sqrt(determinants)
    return bool(
        (singular[:, 0] <= _MOST_STRETCH * singular[:, 1]).all()
        and _SCALES[0] <= zoom.min()
        and zoom.max() <= _SCALES[1]
        and zoom.max() <= 4 * zoom.min()
    )


def _convex(corners: Matrix) -> bool:
    """Whether four corners all turn in the same, positive direction."""
    sides = np.roll(corners, -1, axis=0) - corners
    following = np.roll(sides, -1, axis=0)
    return bool((sides[:, 0] * following[:, 1] - sides[:, 1] * following[:, 0] > 0).all())


def _coverage(points: Points, found: Points, size: tuple[int, int]) -> float:
    """Among the cells of a 10 by 10 grid that hold points, the share that hold a found point or lie next to one."""
    occupied = _grid(points, size) > 0
    found_again = cv2.dilate(_grid(found, size), np.ones((3, 3), np.uint8)) > 0
    return float((occupied & found_again).sum() / max(1, occupied.sum()))


def _grid(points: Points, size: tuple[int, int]) -> NDArray[np.uint8]:
    grid = np.zeros((_GRID, _GRID), np.uint8)
    column, row = np.clip((points * _GRID / np.array(size)).astype(int), 0, _GRID - 1).T
    grid[row, column] = 1
    return grid


def _outline(
    matrix: Matrix, found: Points, size: tuple[int, int], listing: tuple[int, int]
) -> tuple[tuple[float, float], ...]:
    width, height = size
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    depth = corners @ matrix[2, :2] + matrix[2, 2]
    moved, _ = _project(matrix, corners)
    if depth.min() < 0.1 * depth.max() or not _convex(moved):
        low, high = found.min(axis=0), found.max(axis=0)
        moved, _ = _project(matrix, np.array([low, (high[0], low[1]), high, (low[0], high[1])], np.float32))
    return tuple((float(x), float(y)) for x, y in _clip(moved / np.array(listing)))


def _clip(corners: Matrix) -> list[tuple[float, float]]:
    """The part of a polygon inside the unit square (Sutherland and Hodgman, CACM 1974)."""
    # a corner just off an edge moves onto it; otherwise rounding would cut off a sliver and leave a fifth corner
    edges = np.round(corners)
    on_edge = (np.abs(corners - edges) < _ON_EDGE) & ((edges == 0) | (edges == 1))
    polygon = [(float(x), float(y)) for x, y in np.where(on_edge, edges, corners)]
    for axis, edge, sign in ((0, 0.0, 1), (0, 1.0, -1), (1, 0.0, 1), (1, 1.0, -1)):
        kept: list[tuple[float, float]] = []
        for start, end in zip(polygon, polygon[1:] + polygon[:1], strict=True):
            inside = [sign * (point[axis] - edge) >= 0 for point in (start, end)]
            if inside[0]:
                kept.append(start)
            if inside[0] != inside[1]:
                share = (edge - start[axis]) / (end[axis] - start[axis])
                kept.append((start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])))
        polygon = kept
    return polygon


def _unmirror(found: Alignment, listing: LocalFeatures) -> Alignment:
    """An alignment with the mirror image of a listing photo, in pixels of the photo itself."""
    width = listing.size[0]
    flip = np.array([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1]], np.float64)
    points = found.listing_points.copy()
    points[:, 0] = width - 1 - points[:, 0]
    outline = tuple((1 - x, y) for x, y in found.outline)
    return replace(found, matrix=flip @ found.matrix, mirrored=True, listing_points=points, outline=outline)
