"""Do two pictures agree once one is laid over the other: the same photograph, the same print, or neither.

The listing's picture is warped onto the reference's and moved into place by the displacements that remain
(Lucas and Kanade, IJCAI 1981, on pictures of local mean 0 and variance 1, so that light and recolouring don't count).
What can't be moved into place tells photographs apart: no plane-to-plane map lays a second photo of the same goods
over the first exactly, because their depth shows from elsewhere; but it lays every copy of a photo, however edited.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .features import LocalFeatures

COPIED_SHARE, COPIED_DISPLACEMENT = 0.5, 0.0009
"""A copied photo agrees over half of the reference's visible details, displaced by at most this share of its side.

Of rendered pairs (192 px) of which at least five points agreed, no two different photographs did so, of 312 pairs of
the validation split and 501 of the training split, and some 62 % of copies with one to three edits; the rest are
blurred, noisy or photographed anew, and pass for the same print.
"""

PRINT_SHARE = 0.4
"""The same print agrees over this share of the details of the part where points were found.

95 % of other photos of the same rendered goods do over 0.77 or more; chance fits on carpets did over less than 0.4.
"""

_SIDE = 128  # pixels of the longer side at which pictures are compared
_SMOOTH, _WINDOW = 1.0, 5.0  # pixels: standard deviations of noise taken out, and of what "local" means
_GAIN_FLOOR = 3.0  # grey levels: below this deviation there is noise only
_DETAIL = 4.0  # grey levels of local deviation from which there is something to compare
_ALIKE = 0.6  # local correlation
_IN_PLACE = 0.75  # from which displacements are read: text and stickers that were laid over have none
_PLACES = 70  # percentile: the print of a second photo fits well, its edges don't
_ROUNDS, _STEP, _MOST_MOVE = 4, 4, 4.0
_LEAST_TEXTURE = 0.004  # least eigenvalue of the structure tensor: displacement is known in both directions
_LEAST_POINTS = 12

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Agreement:
    """How far a listing's picture laid over a reference's agrees with it.

    `share` is that of the reference's details within the listing photo, `part` the same within the hull of the points
    found, both 0 to 1. `displacement` is what remains out of place, as a share of the reference's longer side: in 70 %
    of places it is no more; infinite where too little agrees to measure it. `matrix` float64 (3, 3) takes pixels of
    the reference's features to pixels of the listing's, finer than points alone do.
    """

    share: float
    part: float
    displacement: float
    matrix: NDArray[np.float64]


@dataclass(frozen=True)
class _Ground:
    """The reference at the size of comparison: normalised, its gradients, where it has details, how they are made."""

    normalised: Map
    across: Map
    down: Map
    tensor: tuple[Map, Map, Map]
    details: Mask
    textured: Mask


def compare(
    reference: LocalFeatures, listing: LocalFeatures, matrix: NDArray[np.float64], points: NDArray[np.float32]
) -> Agreement | None:
    """Lay the listing over the reference by a homography; None where the picture of either was not kept.

    `matrix` (3, 3) takes pixels of the reference's features to the listing's; `points` float32 (n, 2), at least
    three, are those of the reference that were found.
    """
    if min(reference.picture.shape) < 8 or min(listing.picture.shape) < 8:
        return None
    high, wide = reference.picture.shape
    factor = min(1.0, _SIDE / max(high, wide))
    size = max(8, round(wide * factor)), max(8, round(high * factor))
    to_small = np.diag([size[0] / reference.size[0], size[1] / reference.size[1], 1.0])
    high, wide = listing.picture.shape
    to_picture = np.diag([wide / listing.size[0], high / listing.size[1], 1.0])
    inward = to_picture @ matrix @ np.linalg.inv(to_small)
    zoom = _zoom(inward, points @ to_small[:2, :2].T)
    small = cv2.resize(reference.picture, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    ground = _ground(np.asarray(cv2.GaussianBlur(small, (0, 0), max(_SMOOTH, 0.6 / zoom)), np.float32))
    smooth = cv2.GaussianBlur(listing.picture.astype(np.float32), (0, 0), float(np.clip(_SMOOTH * zoom, 0.3, 20)))
    inward, alike, seen, left = _settle(ground, np.asarray(smooth, np.float32), inward)
    hull = np.zeros(small.shape, np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(np.round(points @ to_small[:2, :2].T).astype(np.int32)), 1)
    share, part = (_share(alike, ground.details & seen & where) for where in (np.ones_like(seen), hull > 0))
    refined = np.linalg.inv(to_picture) @ inward @ to_small
    return Agreement(share, part, left / max(size), refined / refined[2, 2])


def classify(agreement: Agreement | None) -> str:
    """The kind of a verified pair: "copied_photo", "same_print" or "lookalike".

    Without pictures it is "same_print": points that agree are a print, and tell no more.
    """
    if agreement is None:
        return "same_print"
    if agreement.share >= COPIED_SHARE and agreement.displacement <= COPIED_DISPLACEMENT:
        return "copied_photo"
    return "same_print" if agreement.part >= PRINT_SHARE else "lookalike"


def _ground(small: Map) -> _Ground:
    normalised, deviation = _normalise(small)
    across = np.asarray(cv2.Scharr(normalised, -1, 1, 0) / 32, np.float32)
    down = np.asarray(cv2.Scharr(normalised, -1, 0, 1) / 32, np.float32)
    xx, xy, yy = _local(across * across), _local(across * down), _local(down * down)
    least = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy * xy)
    details = deviation > _DETAIL
    return _Ground(normalised, across, down, (xx, xy, yy), details, details & (least > _LEAST_TEXTURE))


def _settle(ground: _Ground, picture: Map, inward: NDArray[np.float64]) -> tuple[NDArray[np.float64], Map, Mask, float]:
    """Move the listing into place, round by round: the map, local correlation, what is seen, and what is left over."""
    for turn in range(_ROUNDS + 1):
        warped, seen = _warp(picture, inward, ground.normalised.shape)
        laid, _ = _normalise(warped)
        both = _local(laid * laid) * _local(ground.normalised * ground.normalised)
        alike = np.asarray(_local(laid * ground.normalised) / np.sqrt(both + 1e-3), np.float32)
        places, moves = _displacements(ground, laid, seen & (alike > _IN_PLACE))
        if len(moves) < _LEAST_POINTS:
            return inward, alike, seen, float("inf")
        if turn < _ROUNDS:
            update, _ = cv2.findHomography(places, places + moves, cv2.LMEDS)
            if update is None or not np.isfinite(update).all() or np.abs(update - np.eye(3)).max() > 2 * _MOST_MOVE:
                break
            inward = inward @ update
    return inward, alike, seen, float(np.percentile(np.linalg.norm(moves, axis=1), _PLACES))


def _displacements(ground: _Ground, laid: Map, usable: Mask) -> tuple[Map, Map]:
    """Where (n, 2), and by how much (n, 2) pixels, what is laid over is out of place, on a coarse grid."""
    difference = laid - ground.normalised
    xx, xy, yy = ground.tensor
    along, aside = _local(ground.across * difference), _local(ground.down * difference)
    determinant = xx * yy - xy * xy + 1e-9
    move = np.stack([xy * aside - yy * along, xy * along - xx * aside], axis=-1) / determinant[..., None]
    usable = usable & ground.textured & (np.abs(move).max(axis=-1) < _MOST_MOVE)
    rows, columns = np.mgrid[2 : laid.shape[0] : _STEP, 2 : laid.shape[1] : _STEP]
    chosen = usable[rows, columns]
    rows, columns = rows[chosen], columns[chosen]
    return np.stack([columns, rows], axis=1).astype(np.float32), move[rows, columns].astype(np.float32)


def _warp(picture: Map, inward: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[Map, Mask]:
    """What `inward` fetches from the listing for each pixel of the reference, and which lie well inside of it."""
    size, flags = (shape[1], shape[0]), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpPerspective(picture, inward, size, flags=flags)
    inside = cv2.warpPerspective(np.ones_like(picture), inward, size, flags=flags)
    seen = cv2.erode(inside, np.ones((7, 7), np.uint8)) > 0.99
    return np.asarray(warped, np.float32), np.asarray(seen)


def _zoom(inward: NDArray[np.float64], points: NDArray[np.floating]) -> float:
    """Pixels of the listing's picture to a pixel of the comparison, amid the points found."""
    middle = points.mean(axis=0)
    square = (middle + np.array([(0, 0), (1, 0), (0, 1)], np.float64)).reshape(-1, 1, 2)
    a, b, c = cv2.perspectiveTransform(square, inward).reshape(-1, 2)
    area = abs(float(np.linalg.det(np.stack([b - a, c - a]))))
    return float(np.clip(np.sqrt(area), 1e-2, 1e2))


def _normalise(picture: Map) -> tuple[Map, Map]:
    """Local mean 0 and variance 1, and the local standard deviation in grey levels, both float32 (height, width)."""
    mean = _local(picture)
    variance = np.maximum(_local(picture * picture) - mean * mean, 0)
    deviation = np.asarray(np.sqrt(variance), np.float32)
    return np.asarray((picture - mean) / np.hypot(deviation, _GAIN_FLOOR), np.float32), deviation


def _local(values: Map) -> Map:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), _WINDOW), np.float32)


def _share(alike: Map, where: Mask) -> float:
    count = int(where.sum())
    return float((alike[where] > _ALIKE).mean()) if count >= _LEAST_POINTS else 0.0
