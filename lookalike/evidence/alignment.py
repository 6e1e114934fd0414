"""How a genuine photo lies in a listing's photo, and the geometry of bringing both into one frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .matching import Pixels

Matrix: TypeAlias = NDArray[np.float64]
Places: TypeAlias = NDArray[np.floating] | NDArray[np.integer]

_SOURCE = 1600
"""Photos are first shrunk to this longer side, so that memory stays bounded."""


@dataclass(frozen=True)
class Alignment:
    """How a reference photo lies in a listing photo, in pixels of the two original photos.

    `homography` float64 (3, 3) takes pixels of the reference to pixels of the listing photo, or of its mirror image if
    `mirrored`. `points` float32 (n, 4) are matching points: x, y in the reference and x, y in the (mirrored) listing
    photo. Raises ValueError for other shapes, and for values that are not finite.
    """

    homography: Matrix
    points: NDArray[np.float32]
    mirrored: bool = False

    def __post_init__(self) -> None:
        homography, points = np.asarray(self.homography, np.float64), np.asarray(self.points, np.float32)
        if homography.shape != (3, 3):
            raise ValueError(f"got a homography of shape {homography.shape}, expected 3 by 3")
        if points.ndim != 2 or points.shape[1] != 4:
            raise ValueError(f"got matching points of shape {points.shape}, expected (n, 4): x, y and x, y")
        if not (np.isfinite(homography).all() and np.isfinite(points).all()):
            raise ValueError("the homography or the matching points are not finite numbers")
        object.__setattr__(self, "homography", homography)
        object.__setattr__(self, "points", points)


class Pair(NamedTuple):
    """Two photos, shrunk, the listing's mirrored if it is, and the alignment in their pixels."""

    reference: Pixels
    listing: Pixels
    alignment: Alignment | None


def bring_to_size(reference: Image.Image, listing: Image.Image, alignment: Alignment | None) -> Pair:
    """Both photos with at most 1,600 pixels a side, and the alignment in their pixels."""
    shrunk = [_shrunk(each) for each in (reference, listing)]
    if alignment is None:
        return Pair(shrunk[0], shrunk[1], None)
    sizes = [(each.shape[1], each.shape[0]) for each in shrunk]
    to_reference, to_listing = between(reference.size, sizes[0]), between(listing.size, sizes[1])
    points = np.concatenate(
        [through(to_reference, alignment.points[:, :2]), through(to_listing, alignment.points[:, 2:])], axis=1
    )
    homography = to_listing @ alignment.homography @ np.linalg.inv(to_reference)
    pixels = np.ascontiguousarray(shrunk[1][:, ::-1]) if alignment.mirrored else shrunk[1]
    return Pair(shrunk[0], pixels, Alignment(homography, points.astype(np.float32), alignment.mirrored))


def _shrunk(photo: Image.Image) -> Pixels:
    small = photo.convert("RGB")
    factor = min(1.0, _SOURCE / max(photo.size))
    size = (max(1, round(photo.width * factor)), max(1, round(photo.height * factor)))
    return np.asarray(small.resize(size, Image.Resampling.BOX if factor < 1 else None))


def between(source: tuple[int, int], target: tuple[int, int]) -> Matrix:
    """Takes pixels of a picture of size `source` to those of the same picture resized to `target`.

    Sizes are (width, height); whole numbers are the centres of pixels.
    """
    across, down = target[0] / source[0], target[1] / source[1]
    return np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]], np.float64)


def through(matrix: NDArray[np.floating], points: Places) -> NDArray[np.float64]:
    """Points (n, 2) through a homography; points on its horizon go to the origin."""
    places = np.asarray(points, np.float64).reshape(-1, 1, 2)
    moved = cv2.perspectiveTransform(places, matrix) if len(places) else places
    return np.asarray(moved, np.float64).reshape(-1, 2)


def depths(matrix: Matrix, points: Places) -> NDArray[np.float64]:
    """The divisors of points (n, 2) that go through a homography; they have one sign on each side of its horizon."""
    return np.asarray(points @ matrix[2, :2] + matrix[2, 2], np.float64)
