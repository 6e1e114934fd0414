"""What matches and what differs between two photos, as layers that a page lays over them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.records import Verification

from .alignment import Matrix, bring_to_size, depths, through
from .comparison import Comparison, compare_in_view
from .drawing import box_ring
from .explain import align
from .pair_picture import close_up, dimmed, spread_out

MOST_LINES = 40
_CROP = 240
_DECIMALS = 4

Point = tuple[float, float]


@dataclass(frozen=True)
class Place:
    """A place that differs: its outline in the genuine photo and in the listing's, and both close up."""

    reference: tuple[Point, ...]
    listing: tuple[Point, ...]
    genuine_close_up: Image.Image
    listing_close_up: Image.Image


@dataclass(frozen=True)
class Layers:
    """The layers of a pair of photos. Points are (x, y) in 0 to 1 of a photo's width and height, as it is shown.

    If the listing's photo is `mirrored`, it is to be shown mirrored, and points in it are of its mirror image. `lines`
    join matching points: x, y in the reference and x, y in the listing. `views` are the genuine photo and the aligned
    listing in one frame, None if too little can be compared; `whole` says that all that they share was compared.
    `verification` is None if no points match.
    """

    verification: Verification | None
    mirrored: bool
    lines: tuple[tuple[float, float, float, float], ...]
    outline: tuple[Point, ...]
    places: tuple[Place, ...]
    views: tuple[Image.Image, Image.Image] | None
    whole: bool


def layers_of(reference: Image.Image, listing: Image.Image) -> Layers:
    """Compare a listing's photo with a genuine one, both RGB, and give what matches and differs as layers."""
    verification, alignment = align(reference, listing)
    if alignment is None:
        return Layers(verification, False, (), (), (), None, False)
    pair = bring_to_size(reference, listing, alignment)
    assert pair.alignment is not None
    sizes = [np.array([pixels.shape[1], pixels.shape[0]], float) for pixels in (pair.reference, pair.listing)]
    points = spread_out(pair.alignment.points, MOST_LINES)
    lines = np.hstack([_shares(points[:, :2], sizes[0]), _shares(points[:, 2:], sizes[1])])
    matrix = pair.alignment.homography
    width, height = sizes[0]
    outline = _moved(matrix, box_ring((-0.5, -0.5, width - 0.5, height - 0.5))[::8], pair.alignment.points[:, :2])
    comparison = compare_in_view(pair)
    return Layers(
        verification=verification,
        mirrored=pair.alignment.mirrored,
        lines=tuple((a, b, c, d) for a, b, c, d in np.round(lines, _DECIMALS).tolist()),
        outline=_points(_shares(outline, sizes[1])),
        places=() if comparison is None else _places(comparison, matrix, pair.alignment.points[:, :2], sizes),
        views=None if comparison is None else _views(comparison),
        whole=comparison is not None and comparison.whole,
    )


def _places(
    comparison: Comparison, matrix: Matrix, held: NDArray[np.float32], sizes: list[NDArray[np.float64]]
) -> tuple[Place, ...]:
    """The places that differ. Their boxes are in the view, so they go through it, and then to the listing."""
    found = comparison.difference
    pixels = [dimmed(each, found.mask) for each in (comparison.reference, found.aligned)]
    places = []
    for region in found.regions:
        corners = box_ring((region.left - 0.5, region.top - 0.5, region.right - 0.5, region.bottom - 0.5))[::32]
        there = through(comparison.view, corners)
        outline = _points(_shares(_moved(matrix, there, held), sizes[1]))
        genuine, listed = (close_up(each, region, _CROP) for each in pixels)
        places.append(Place(_points(_shares(there, sizes[0])), outline, genuine, listed))
    return tuple(places)


def _views(comparison: Comparison) -> tuple[Image.Image, Image.Image]:
    found = comparison.difference
    genuine, listed = (Image.fromarray(dimmed(each, found.mask)) for each in (comparison.reference, found.aligned))
    return genuine, listed


def _moved(matrix: Matrix, points: NDArray[np.float64], held: NDArray[np.float32]) -> NDArray[np.float64]:
    """Points through a homography, without those beyond its horizon."""
    side = np.sign(float(np.median(depths(matrix, held if len(held) else points))))
    ahead = depths(matrix, points) * side > 0
    return through(matrix, points[ahead])


def _shares(points: NDArray[np.floating], size: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip((np.asarray(points, np.float64) + 0.5) / size, -1, 2)


def _points(places: NDArray[np.float64]) -> tuple[Point, ...]:
    return tuple((x, y) for x, y in np.round(places, _DECIMALS).tolist())
