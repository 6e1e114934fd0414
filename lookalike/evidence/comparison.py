"""What a listing's photo and a genuine one have in common, in one frame, and what differs there."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from .alignment import Matrix, Pair, between, through
from .differences import Difference, Region, compare
from .matching import Mask, Pixels

_MOST_PLACES = 6
_VIEW = 720
"""Longer side, in pixels, of the view in which photos are compared."""
_LEAST_AREA = 400
_USUAL_BEND, _MOST_BEND = 4.0, 8.5


@dataclass(frozen=True)
class Comparison:
    """The part of a reference that was compared, enlarged, and what differs in it.

    `reference` uint8 (height, width, 3) and `difference` are in the frame of this view; `view` float64 (3, 3) takes
    its pixels to those of the reference in the pair. If `whole`, the photos agree beyond the matched print, so all of
    their overlap was compared; otherwise only the surroundings of the matching points were.
    """

    reference: Pixels
    difference: Difference
    view: Matrix
    whole: bool


def compare_in_view(pair: Pair) -> Comparison | None:
    """What differs in the part that both photos show; None if that is too little, or without an alignment."""
    if pair.alignment is None:
        return None
    height, width = pair.reference.shape[:2]
    everything = _view((0, 0, width, height))
    target, aligned, mask = _in_view(pair, everything, (width, height))
    points = through(np.linalg.inv(everything), pair.alignment.points[:, :2])
    ground, within = _plain_ground(target), _surroundings(target, points, 0)
    if (ground & within).sum() > 0.05 * within.sum():  # the fill leaked into a pale label
        ground &= ~_surroundings(target, points, 0.1)
    print_ = _opened(mask & _surroundings(target, points, 0.3) & ~ground)
    found = _whole(target, aligned, mask, print_)
    area = print_ if found is None else mask
    if area.sum() < _LEAST_AREA:
        return None
    left, top, right, bottom = _extent(print_, found)
    box = through(everything, np.array([[left, top], [right, bottom]]) - 0.5) + 0.5 * everything[0, 0]
    view = _view((box[0, 0], box[0, 1], box[1, 0], box[1, 1]))
    target, aligned, mask = _in_view(pair, view, (box[1, 0], box[1, 1]))
    mask &= _warped(area.astype(np.uint8), np.linalg.inv(everything) @ view, mask.shape, cv2.INTER_NEAREST) > 0
    if mask.sum() < _LEAST_AREA:
        return None
    held = _surroundings(target, through(np.linalg.inv(view), pair.alignment.points[:, :2]), 0.12)
    return Comparison(target, _on_print_first(compare(target, aligned, mask=mask), held), view, found is not None)


def _extent(print_: Mask, found: Difference | None) -> tuple[int, int, int, int]:
    """The box of the print and of what differs around it; of everything if there is no print."""
    shown = print_.copy()
    for each in found.regions if found is not None else ():
        shown[each.top : each.bottom, each.left : each.right] = True
    if not shown.any():
        shown[:] = True
    rows, columns = np.nonzero(shown)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def _on_print_first(found: Difference, held: Mask) -> Difference:
    """Regions among the matching points first, where a changed letter is; elsewhere, edges and light differ."""

    def beyond(each: Region) -> bool:
        here = np.s_[each.top : each.bottom, each.left : each.right]
        return bool((found.shown[here] * held[here]).sum() < 0.4 * found.shown[here].sum())

    return replace(found, regions=tuple(sorted(found.regions, key=beyond))[:_MOST_PLACES])


def _whole(target: Pixels, aligned: Pixels, mask: Mask, print_: Mask) -> Difference | None:
    """The difference between everything that the photos share if they agree beyond the matched print, else None.

    A copied photo agrees everywhere, once a homography has aligned it. In another photo of the goods, the surroundings
    differ, and only the flow can align goods that are bent. Of the sample's photos, 13 of 15 edited copies (not two on
    another background) and 1 of 12 other photos are within the limits.
    """
    if mask.sum() < _LEAST_AREA:
        return None
    found = compare(target, aligned, mask=mask)
    beyond = mask & ~print_
    if beyond.any() and float(((found.score < 0.3) & (found.tone < 20))[beyond].mean()) < 0.65:
        return None
    if print_.any() and np.median(found.bend[print_]) > _USUAL_BEND:
        return None
    return found if np.quantile(found.bend[mask], 0.9) <= _MOST_BEND else None


def _opened(area: Mask) -> Mask:
    """The area without slivers and holes."""
    small, large = np.ones((15, 15), np.uint8), np.ones((41, 41), np.uint8)
    framed = cv2.copyMakeBorder(area.astype(np.uint8), 41, 41, 41, 41, cv2.BORDER_CONSTANT, value=0)
    smooth = cv2.morphologyEx(cv2.morphologyEx(framed, cv2.MORPH_OPEN, small), cv2.MORPH_CLOSE, large)
    return np.asarray(smooth[41:-41, 41:-41] > 0)


def _view(box: tuple[float, float, float, float]) -> Matrix:
    """Takes pixels of a view of the box, `_VIEW` pixels on its longer side, to pixels of the reference."""
    left, top, right, bottom = box
    scale = max(right - left, bottom - top, 1) / _VIEW
    return np.array([[scale, 0, left + (scale - 1) / 2], [0, scale, top + (scale - 1) / 2], [0, 0, 1]], np.float64)


def _in_view(pair: Pair, view: Matrix, corner: tuple[float, float]) -> tuple[Pixels, Pixels, Mask]:
    """Reference and listing in the view, up to `corner` of the reference, and where the view shows both."""
    assert pair.alignment is not None
    far = through(np.linalg.inv(view), np.array([corner]) - 0.5)[0]
    shape = (int(np.clip(round(far[1] + 0.5), 1, _VIEW)), int(np.clip(round(far[0] + 0.5), 1, _VIEW)))
    matrix = pair.alignment.homography @ view
    inside = np.full(pair.listing.shape[:2], 255, np.uint8)
    mask = (_warped(inside, matrix, shape, cv2.INTER_LINEAR) > 250) & _in_front(matrix, shape)
    rows, columns = np.nonzero(mask)
    if not len(rows) or len(rows) * _step(matrix, float(columns.mean()), float(rows.mean())) ** 2 < _LEAST_AREA:
        mask[:] = False  # a homography that shrinks everything to a spot shows nothing
    return _sampled(pair.reference, view, shape), _sampled(pair.listing, matrix, shape), mask


def _in_front(matrix: Matrix, shape: tuple[int, int]) -> Mask:
    """Where the homography doesn't turn the plane over; there is nothing to see beyond its horizon."""
    rows, columns = np.indices(shape)
    depth = matrix[2, 0] * columns + matrix[2, 1] * rows + matrix[2, 2]
    middle = np.median(depth)
    return np.asarray(depth * np.sign(middle) > 0.05 * abs(middle))


def _sampled(pixels: Pixels, matrix: Matrix, shape: tuple[int, int]) -> Pixels:
    """The picture seen through `matrix`; it is shrunk first if it would be sampled too sparsely."""
    step = _step(matrix, shape[1] / 2, shape[0] / 2)
    height, width = pixels.shape[:2]
    if 1.5 < step < min(height, width):
        size = (max(1, round(width / step)), max(1, round(height / step)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
        matrix = between((width, height), size) @ matrix
    return _warped(pixels, matrix, shape, cv2.INTER_CUBIC)


def _step(matrix: Matrix, x: float, y: float) -> float:
    """How many pixels a step of one pixel becomes through a homography at a place: the root of the area."""
    moved = through(matrix, np.array([[x, y], [x + 1, y], [x, y + 1]]))
    return float(np.sqrt(abs(np.linalg.det(moved[1:] - moved[0]))))


def _warped(pixels: Pixels, matrix: Matrix, shape: tuple[int, ...], how: int) -> Pixels:
    size = (shape[1], shape[0])
    return np.asarray(cv2.warpPerspective(pixels, matrix, size, flags=how | cv2.WARP_INVERSE_MAP), np.uint8)


def _surroundings(target: Pixels, points: NDArray[np.float64], share: float) -> Mask:
    """The hull of the matching points, grown by a share of its size.

    Without growing, it would miss a changed letter at the end of a word, where no points match.
    """
    near = np.zeros(target.shape[:2], np.uint8)
    if len(points) < 3:
        return near > 0
    hull = cv2.convexHull(np.clip(points, -_VIEW, 2 * _VIEW).round().astype(np.int32))
    cv2.fillConvexPoly(near, hull, 1)
    reach = min(int(share * np.sqrt(cv2.contourArea(hull))), 150)
    return np.asarray(cv2.distanceTransform(1 - near, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= reach)


def _plain_ground(target: Pixels) -> Mask:
    """What is connected to the border and has its colour: the backdrop of a packshot, not the goods."""
    soft = np.asarray(cv2.GaussianBlur(target, (0, 0), 3), np.uint8)
    height, width = soft.shape[:2]
    mask = np.zeros((height + 2, width + 2), np.uint8)
    flags = 4 | (255 << 8) | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE
    for row, column in _along_border(height, width):
        if not mask[row + 1, column + 1]:
            cv2.floodFill(soft, mask, (column, row), (0, 0, 0), (12,) * 3, (12,) * 3, flags)
    ground = cv2.dilate(mask[1:-1, 1:-1], np.ones((15, 15), np.uint8)) > 0
    return np.asarray(ground if ground.mean() < 0.95 else np.zeros_like(ground))


def _along_border(height: int, width: int) -> list[tuple[int, int]]:
    """Nine places, as row and column, along each edge."""
    rows, columns = (np.linspace(0, length - 1, 9).astype(int).tolist() for length in (height, width))
    across = [(row, column) for row in (0, height - 1) for column in columns]
    return across + [(row, column) for column in (0, width - 1) for row in rows]
