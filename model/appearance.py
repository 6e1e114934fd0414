"""Whether two pictures agree when one is laid over the other: the same photo, the same print, or neither.

The listing's picture is warped onto the reference's, and moved into place by the displacements that remain (Lucas and
Kanade, IJCAI 1981, on pictures with local mean 0 and variance 1, so that light and recolouring don't count). What can't
be moved into place tells photos apart. No plane-to-plane map lays a second photo of the same goods exactly over the
first, because their depth shows from another viewpoint; but one lays every copy of a photo in place, however edited.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .features import LocalFeatures

COPIED_SHARE, COPIED_DISPLACEMENT = 0.5, 0.0009
"""A copied photo agrees over half of the reference's visible details, displaced by at most this share of its side.

Measured on rendered pairs (192 px) with at least five agreeing points: none of 312 pairs of different photos in the
validation split and 501 in the training split reaches this, and about 62 % of the copies with one to three edits do.
The other copies are blurred, noisy or photographed again, and count as the same print.
"""

PRINT_SHARE = 0.4
"""The same print agrees over this share of the details in the part where points were found.

95 % of other photos of the same rendered goods agree over 0.77 or more; chance fits on carpets, over less than 0.4.
"""

_SIDE = 128  # longer side, in pixels, at which pictures are compared
_SMOOTH = 1.0  # standard deviation in pixels, of the smoothing against noise
_GAIN_FLOOR = 3.0  # grey levels; below this deviation there is only noise
_DETAIL = 4.0  # grey levels of local deviation from which there is something to compare
_ALIKE = 0.6  # local correlation from which a place agrees
_IN_PLACE = 0.75  # local correlation from which a displacement is read; text and stickers on top have none
_PLACES = 70  # percentile; the print in a second photo fits well, its edges don't
_ROUNDS, _STEP, _MOST_MOVE = 4, 4, 4.0
_LEAST_TEXTURE = (
    0.004  # least eigenvalue of the structure tensor, from which both directions of a displacement are known
)
_LEAST_POINTS, _MOST_FITTED = 12, 150
_BOXES = 9, 11, 11  # their sides; in turn they are nearly a Gaussian of 5 pixels, and much cheaper

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Agreement:
    """How well a listing's picture agrees with a reference's when laid over it.

    `share` is the share of the reference's details that agree, 0 to 1, among those within the listing photo; `part` is
    the same within the hull of the points that were found. `displacement` is what remains out of place, as a share of
    the reference's longer side: the 70th percentile over all places, infinite if too little agrees to measure it.
    """

    share: float
    part: float
    displacement: float


@dataclass(frozen=True)
class _Ground:
    """The reference at the size of comparison: normalised, with its gradients, its structure tensor and its details.

    `energy` is the local mean of its squares. The structure tensor is that of every _STEPth row and column.
    """

    normalised: Map
    energy: Map
    across: Map
    down: Map
    tensor: tuple[Map, Map, Map]
    details: Mask
    textured: Mask


def compare(
    reference: LocalFeatures, listing: LocalFeatures, matrix: NDArray[np.float64], points: NDArray[np.float32]
) -> Agreement | None:
    """Lay the listing over the reference with a homography; None if either picture was not kept.

    `matrix` (3, 3) maps pixels of the reference's features to pixels of the listing's. `points`, float32 (n, 2), are
    the reference's points that were found, at least three.
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
    alike, seen, left = _settle(ground, np.asarray(smooth, np.float32), inward)
    hull = np.zeros(small.shape, np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(np.round(points @ to_small[:2, :2].T).astype(np.int32)), (1,))
    share, part = (_share(alike, ground.details & seen & where) for where in (np.ones_like(seen), hull > 0))
    return Agreement(share, part, left / max(size))


def classify(agreement: Agreement | None) -> str:
    """The kind of a verified pair: "copied_photo", "same_print" or "lookalike".

    Without pictures it is "same_print": points that agree show a print, and nothing more.
    """
    if agreement is None:
        return "same_print"
    alike = min(agreement.share, agreement.part)
    if alike >= COPIED_SHARE and agreement.displacement <= COPIED_DISPLACEMENT:
        return "copied_photo"
    return "same_print" if agreement.part >= PRINT_SHARE else "lookalike"


def _ground(small: Map) -> _Ground:
    normalised, deviation = _normalise(small)
    across = np.asarray(cv2.Scharr(normalised, -1, 1, 0) / 32, np.float32)
    down = np.asarray(cv2.Scharr(normalised, -1, 0, 1) / 32, np.float32)
    energy, *tensor = _local(normalised * normalised, across * across, across * down, down * down)
    xx, xy, yy = map(_coarse, tensor)
    least = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy * xy)
    details = deviation > _DETAIL
    textured = _coarse(details) & (least > _LEAST_TEXTURE)
    return _Ground(normalised, energy, across, down, (xx, xy, yy), details, textured)


def _settle(ground: _Ground, picture: Map, inward: NDArray[np.float64]) -> tuple[Map, Mask, float]:
    """Move the listing into place, round by round.

    Returns the local correlation, which pixels are seen, and the displacement in pixels that is left.
    """
    for turn in range(_ROUNDS + 1):
        warped, seen = _warp(picture, inward, ground.normalised.shape)
        laid, _ = _normalise(warped)
        difference = laid - ground.normalised
        energy, product, along, aside = _local(laid * laid, laid * ground.normalised, ground.across * difference,
                                               ground.down * difference)  # fmt: skip
        alike = np.asarray(product / np.sqrt(energy * ground.energy + 1e-3), np.float32)
        places, moves = _displacements(ground, _coarse(along), _coarse(aside), _coarse(seen & (alike > _IN_PLACE)))
        if len(moves) < _LEAST_POINTS:
            return alike, seen, float("inf")
        if turn < _ROUNDS:
            fitted = slice(None, None, 1 + len(places) // _MOST_FITTED)
            update, _ = cv2.findHomography(places[fitted], (places + moves)[fitted], cv2.LMEDS)
            if update is None or not np.isfinite(update).all() or np.abs(update - np.eye(3)).max() > 2 * _MOST_MOVE:
                break
            inward = inward @ update
    return alike, seen, float(np.percentile(np.linalg.norm(moves, axis=1), _PLACES))


def _displacements(ground: _Ground, along: Map, aside: Map, usable: Mask) -> tuple[Map, Map]:
    """Places, (n, 2), and by how many pixels the picture laid over is displaced there, (n, 2).

    `along` and `aside` are the local means of its difference by the gradients, at the places of the structure tensor.
    """
    xx, xy, yy = ground.tensor
    determinant = xx * yy - xy * xy + 1e-9
    right, down = (xy * aside - yy * along) / determinant, (xy * along - xx * aside) / determinant
    usable = usable & ground.textured & (np.abs(right) < _MOST_MOVE) & (np.abs(down) < _MOST_MOVE)
    rows, columns = np.nonzero(usable)
    moves = np.stack([right[rows, columns], down[rows, columns]], axis=1)
    return np.stack([columns, rows], axis=1).astype(np.float32) * _STEP + _STEP // 2, moves.astype(np.float32)


def _warp(picture: Map, inward: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[Map, Mask]:
    """The listing's pixel for each pixel of the reference, through `inward`, and which lie well inside the listing."""
    size, flags = (shape[1], shape[0]), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpPerspective(picture, inward, size, flags=flags)
    inside = cv2.warpPerspective(np.full(picture.shape, 255, np.uint8), inward, size, flags=flags)
    seen = cv2.erode(inside, np.ones((7, 7), np.uint8)) >= 252
    return np.asarray(warped, np.float32), np.asarray(seen)


def _zoom(inward: NDArray[np.float64], points: NDArray[np.floating]) -> float:
    """How many pixels of the listing's picture correspond to one of the comparison, in the middle of the points."""
    middle = points.mean(axis=0)
    square = (middle + np.array([(0, 0), (1, 0), (0, 1)], np.float64)).reshape(-1, 1, 2)
    a, b, c = cv2.perspectiveTransform(square, inward).reshape(-1, 2)
    area = abs(float(np.linalg.det(np.stack([b - a, c - a]))))
    return float(np.clip(np.sqrt(area), 1e-2, 1e2))


def _normalise(picture: Map) -> tuple[Map, Map]:
    """The picture with local mean 0 and variance 1, and its local standard deviation in grey levels."""
    mean, squares = _local(picture, picture * picture)
    variance = np.maximum(squares - mean * mean, 0)
    deviation = np.asarray(np.sqrt(variance), np.float32)
    return np.asarray((picture - mean) / np.hypot(deviation, _GAIN_FLOOR), np.float32), deviation


def _local(*maps: Map) -> tuple[Map, ...]:
    """The local mean of each; of several at once, because that takes half the time of one after the other."""
    together = cv2.merge(maps)
    for side in _BOXES:
        together = cv2.blur(together, (side, side))
    return tuple(np.asarray(each, np.float32) for each in cv2.split(together))


def _coarse(values: NDArray[Any]) -> NDArray[Any]:
    """The values at every _STEPth row and column."""
    return values[_STEP // 2 :: _STEP, _STEP // 2 :: _STEP]


def _share(alike: Map, where: Mask) -> float:
    count = int(where.sum())
    return float((alike[where] > _ALIKE).mean()) if count >= _LEAST_POINTS else 0.0
