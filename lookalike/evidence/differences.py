"""Where two pictures of the same print differ, apart from what light, colours, blur and compression do to a photo.

The second picture is expected in the frame of the first, as a homography leaves it. Bent labels and parallax, which a
homography can't undo, are taken out by a smooth optical flow. Then colours and blur are matched, and the structural
similarity is measured over small windows (SSIM: Wang et al., "Image quality assessment: from error visibility to
structural similarity", IEEE Transactions on Image Processing 13, 2004).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from .matching import (
    GRAIN,
    NOISE,
    Mask,
    Pixels,
    Plane,
    blurred,
    equally_sharp,
    grey,
    matched_colours,
    mean,
    mixed_colours,
    moved,
    nudged,
    smooth_flow,
)

_AREA, _LONGEST = 480 * 480, 1000
"""Number of pixels, and longest side, at which pictures are compared; all lengths below are at that size."""
_WINDOW, _REGION = 10, 60
_SIGMA = 3.0  # of SSIM's windows
_BRIGHTNESS = (0.1 * 255) ** 2  # SSIM's C1, larger than usual, because light varies more than print
_CONTRAST = 2 * NOISE**2  # SSIM's C2, larger than usual, because photos are noisy
_GAIN = 1.5  # by how much contrast may differ, either way, before it counts
_LEVEL, _STRONG = 0.6, 0.75  # of dissimilarity: from which a place is marked, and which a box must reach
_TONE = 45
_SURFACE = 13  # the least side of a surface that counts
_PLAINLY = 60.0  # grey levels in any colour; 45 of them are strong
_LEAST = 6
_GAP = 15
_PAD = 10
_RIM = 5


@dataclass(frozen=True)
class Region:
    """A box in which the pictures differ, in pixels of the reference; `right` and `bottom` are exclusive.

    `strength` is the greatest dissimilarity in it, 0 to 1.
    """

    left: int
    top: int
    right: int
    bottom: int
    strength: float


@dataclass(frozen=True)
class Difference:
    """What differs between two pictures, in the frame of the reference.

    `score` float32 (height, width) is the dissimilarity, 0 to 1; `tone` float32 (height, width) is the difference in
    brightness of larger areas in grey levels, after colours were matched. `surface` float32 (height, width) is how much
    larger areas differ in colour, 0 to 1: something plain was laid over them. `mask` bool (height, width) is what was
    compared. `aligned` uint8 (height, width, 3) is the second picture after the smooth flow, and `bend` float32
    (height, width) how many pixels the flow moved it. `regions` are boxes, the largest difference first.
    """

    score: Plane
    tone: Plane
    surface: Plane
    mask: Mask
    aligned: Pixels
    bend: Plane
    regions: tuple[Region, ...]

    @property
    def shown(self) -> Plane:
        """The dissimilarity, 0 to 1, of print or of surface, whichever is greater.

        Light makes surfaces differ a little everywhere; what is far from being marked isn't shown.
        """
        return np.maximum(self.score, np.clip(2 * self.surface - 1, 0, 1))


def compare(reference: Pixels, aligned: Pixels, *, mask: Mask | None = None, most: int = 12) -> Difference:
    """Compare uint8 RGB pictures (height, width, 3) of one size where `mask` (height, width) is true.

    Gives the `most` largest regions. Raises ValueError if shapes or types don't fit together.

    >>> print_ = np.full((200, 300, 3), 255, np.uint8)
    >>> _ = cv2.putText(print_, "olme", (40, 120), cv2.FONT_HERSHEY_SIMPLEX, 3, (20, 20, 20), 8)
    >>> darker = (print_ * 0.7).astype(np.uint8)
    >>> compare(print_, darker).regions
    ()
    """
    mask = np.ones(reference.shape[:2], bool) if mask is None else mask
    _check(reference, aligned, mask)
    height, width = reference.shape[:2]
    factor = float(min(np.sqrt(_AREA / (height * width)), _LONGEST / max(height, width)))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small_reference, small = _resized(reference, size), _resized(aligned, size)
    inside = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    target = blurred(grey(small_reference), GRAIN)
    flow = smooth_flow(target, mixed_colours(target, small, inside), inside)
    inside &= moved(inside.astype(np.float32), flow) > 0.999
    seen = cv2.resize(inside.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    inside &= _without_rim(inside)
    plane = mixed_colours(target, moved(small, flow), inside)
    score = _dissimilarity(target, plane, inside)
    tone = mean((target - plane) * inside, _WINDOW)
    surface = _surface(small_reference, moved(small, flow), inside)
    print_ = _boxes(score, (score >= _LEVEL) | (inside & (np.abs(tone - mean(tone, _REGION)) > _TONE)))
    boxes = _with_surfaces(print_, _boxes(surface, surface >= _STRONG))[:most]
    big_flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR) / factor
    return Difference(
        score=np.asarray(cv2.resize(score, (width, height), interpolation=cv2.INTER_LINEAR), np.float32),
        tone=np.asarray(cv2.resize(np.abs(tone), (width, height), interpolation=cv2.INTER_LINEAR), np.float32),
        surface=np.asarray(cv2.resize(surface, (width, height), interpolation=cv2.INTER_LINEAR), np.float32),
        mask=mask & seen,
        aligned=moved(aligned, np.asarray(big_flow, np.float32)),
        bend=np.asarray(np.linalg.norm(big_flow, axis=2), np.float32),
        regions=tuple(_scaled(box, 1 / factor, width, height) for box in boxes),
    )


def _check(reference: Pixels, aligned: Pixels, mask: Mask) -> None:
    if reference.ndim != 3 or reference.shape[2] != 3 or reference.shape != aligned.shape:
        raise ValueError(
            f"got pictures of shapes {reference.shape} and {aligned.shape}, expected two RGB pictures of one size; "
            "warp the second into the frame of the first"
        )
    if reference.dtype != np.uint8 or aligned.dtype != np.uint8:
        raise ValueError(f"got pictures of {reference.dtype} and {aligned.dtype}, expected uint8")
    if mask.shape != reference.shape[:2]:
        raise ValueError(f"got a mask of shape {mask.shape} for pictures of shape {reference.shape[:2]}")


def _resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    shrinks = size[0] < pixels.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, size, interpolation=how), np.uint8)


def _without_rim(inside: Mask) -> Mask:
    """The mask without its rim, where windows see too little."""
    kernel = np.ones((2 * _RIM + 1,) * 2, np.uint8)
    return np.asarray(cv2.erode(inside.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0)


def _dissimilarity(target: Plane, plane: Plane, inside: Mask) -> Plane:
    """1 − SSIM inside the mask, 0 to 1, once both planes are equally sharp and small misalignments are gone."""
    target, plane = equally_sharp(target, plane, inside)
    plane = nudged(target, plane)
    weight = np.maximum(blurred(inside.astype(np.float32), _SIGMA), 1e-3)

    def local(values: Plane) -> Plane:
        return np.asarray(blurred(values * inside, _SIGMA) / weight, np.float32)

    here, there = local(target), local(plane)
    shared = local(target * plane) - here * there
    spread = np.maximum(local(target * target) - here**2, 0)
    other = np.maximum(local(plane * plane) - there**2, 0)
    gain = np.clip(np.sqrt((spread + _CONTRAST) / (other + _CONTRAST)), 1 / _GAIN, _GAIN)
    brightness = (2 * here * there + _BRIGHTNESS) / (here**2 + there**2 + _BRIGHTNESS)
    similarity = brightness * (2 * gain * shared + _CONTRAST) / (spread + gain**2 * other + _CONTRAST)
    return np.asarray(np.where(inside, np.clip(1 - similarity, 0, 1), 0), np.float32)


def _surface(reference: Pixels, pixels: Pixels, inside: Mask) -> Plane:
    """How much larger areas differ in colour, 0 to 1.

    SSIM sees the edge of a plain sticker on plain ground and nothing of its inside, and its grey plane may not even see
    the edge: yellow on white, or red on blue. An area counts if all of it differs, so that edges that are not quite
    aligned don't.
    """
    soft = np.asarray(cv2.GaussianBlur(reference, (0, 0), GRAIN), np.float32)
    apart = np.abs(soft - matched_colours(reference, pixels, inside)).max(axis=2) * inside
    opened = cv2.morphologyEx(apart, cv2.MORPH_OPEN, np.ones((_SURFACE, _SURFACE), np.uint8))
    return np.asarray(np.clip(opened / _PLAINLY, 0, 1), np.float32)


class _Found(NamedTuple):
    """A box, and how much differs in it."""

    weight: float
    box: Region


def _boxes(score: Plane, marked: Mask) -> list[_Found]:
    """Boxes around marked differences, those that nearly touch joined."""
    from scipy.ndimage import find_objects

    joined = cv2.morphologyEx(marked.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((_GAP, _GAP), np.uint8))
    labels = np.where(marked, cv2.connectedComponents(joined)[1], 0)
    found = []
    for number, place in enumerate(find_objects(labels), 1):
        if place is None:  # joined without a marked pixel
            continue
        inked = score[place][labels[place] == number]
        strength = float(inked.max())
        if strength >= _STRONG and len(inked) >= _LEAST**2:
            rows, columns = place
            box = (columns.start - _PAD, rows.start - _PAD, columns.stop + _PAD, rows.stop + _PAD)
            found.append(_Found(float(inked.sum()), Region(*box, strength)))
    return found


def _with_surfaces(print_: list[_Found], surfaces: list[_Found]) -> list[Region]:
    """The boxes of both, the largest difference first; a surface that one box of print shows already isn't repeated."""
    new = [each for each in surfaces if not any(_covered(each.box, other.box) > 0.8 for other in print_)]
    return [each.box for each in sorted([*print_, *new], key=lambda each: each.weight, reverse=True)]


def _covered(box: Region, other: Region) -> float:
    """The share of a box that lies in another."""
    across = min(box.right, other.right) - max(box.left, other.left)
    down = min(box.bottom, other.bottom) - max(box.top, other.top)
    return max(0, across) * max(0, down) / ((box.right - box.left) * (box.bottom - box.top))


def _scaled(box: Region, factor: float, width: int, height: int) -> Region:
    left, top = max(0, int(box.left * factor)), max(0, int(box.top * factor))
    right, bottom = int(np.ceil(box.right * factor)), int(np.ceil(box.bottom * factor))
    return Region(left, top, min(right, width), min(bottom, height), box.strength)
