"""What a homography makes of a reference's picture: whether that is sound, and where in a photo it lies."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_LEAST_SPREAD = 0.012  # of the longer side: standard deviation of the inliers in their narrowest direction
_SCALES = (0.04, 12.0)  # of the reference's print in the listing photo, both at the size in which features are found
_MOST_STRETCH = 6.0  # longer to shorter axis of the ellipse that a circle becomes
_GRID = 10
_ON_EDGE = 0.01  # of the photo's side

Matrix = NDArray[np.float64]
Points = NDArray[np.float32]


def project(matrix: Matrix, points: Points) -> tuple[Matrix, Matrix]:
    """Where the points (n, 2) are mapped to, float64 (n, 2), and the derivative there, (n, 2, 2)."""
    homogeneous = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ matrix.T
    depth = homogeneous[:, 2]
    depth = np.where(np.abs(depth) < 1e-9, 1e-9, depth)
    moved = homogeneous[:, :2] / depth[:, None]
    jacobians = (matrix[None, :2, :2] - moved[:, :, None] * matrix[None, 2:, :2]) / depth[:, None, None]
    return moved, jacobians


def is_spread(points: Points, size: tuple[int, int]) -> bool:
    """Whether the points cover more than a dot or a line."""
    narrow = np.linalg.eigvalsh(np.cov(points.T.astype(np.float64)))[0]
    return bool(np.sqrt(max(narrow, 0)) >= _LEAST_SPREAD * max(size))


def is_sound(matrix: Matrix, points: Points) -> bool:
    """Whether the homography doesn't flip, fold or squeeze the part of the reference that was found."""
    low, high = points.min(axis=0), points.max(axis=0)
    corners = np.array([low, (high[0], low[1]), high, (low[0], high[1])], np.float32)
    depth = corners @ matrix[2, :2] + matrix[2, 2]
    if depth.min() < 0.2 * depth.max():
        return False
    moved, jacobians = project(matrix, corners)
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


def coverage_of(points: Points, found: Points, size: tuple[int, int]) -> float:
    """Among the cells of a 10 by 10 grid that hold points, the share that hold a found point or lie next to one."""
    occupied = _grid(points, size) > 0
    found_again = cv2.dilate(_grid(found, size), np.ones((3, 3), np.uint8)) > 0
    return float((occupied & found_again).sum() / max(1, occupied.sum()))


def outline_of(
    matrix: Matrix, found: Points, size: tuple[int, int], listing: tuple[int, int]
) -> tuple[tuple[float, float], ...]:
    """The corners of the reference, or of the part that was found, as shares of the sides of a photo of size `listing`.

    Both are cut off where the photo ends. The part is taken if the homography doesn't hold at the reference's corners.
    """
    width, height = size
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    depth = corners @ matrix[2, :2] + matrix[2, 2]
    moved, _ = project(matrix, corners)
    if depth.min() < 0.1 * depth.max() or not _convex(moved):
        low, high = found.min(axis=0), found.max(axis=0)
        moved, _ = project(matrix, np.array([low, (high[0], low[1]), high, (low[0], high[1])], np.float32))
    return tuple((float(x), float(y)) for x, y in _clip(moved / np.array(listing)))


def _convex(corners: Matrix) -> bool:
    """Whether four corners all turn in the same, positive direction."""
    sides = np.roll(corners, -1, axis=0) - corners
    following = np.roll(sides, -1, axis=0)
    return bool((sides[:, 0] * following[:, 1] - sides[:, 1] * following[:, 0] > 0).all())


def _grid(points: Points, size: tuple[int, int]) -> NDArray[np.uint8]:
    grid = np.zeros((_GRID, _GRID), np.uint8)
    column, row = np.clip((points * _GRID / np.array(size)).astype(int), 0, _GRID - 1).T
    grid[row, column] = 1
    return grid


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
