"""Where two pictures of one print differ, told from what light, colours, blur and recompression do to a photo.

The second picture is expected in the frame of the first, as a homography leaves it. What a homography can't do, bent
labels and parallax, is taken out by a smooth flow; then colours, blur and local contrast are matched, and what is left
is measured as structure over small windows (the contrast and structure terms of SSIM: Wang et al., "Image quality
assessment: from error visibility to structural similarity", IEEE Transactions on Image Processing 13, 2004).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8]
Plane: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]
Number = TypeVar("Number", np.uint8, np.float32)

_AREA, _LONGEST = 480 * 480, 1000
"""Pixels, and pixels of the longer side, at which pictures are compared; every length below is at that size."""
_FINE = 4
_WINDOW = 10
_AROUND = 16
_REGION = 60
_BEND = 24.0
_MOST_BEND = 30.0
_SHIFT = 2
_GRAIN = 1.0
_BLURS = (0.0, 0.7, 1.2, 1.8, 2.5, 3.5, 5.0, 7.0)
_NOISE = 8.0
"""Grey levels; structure fainter than this is taken for noise."""
_FLOOR = 0.36
_CEILING = 0.6
_TONE = 45
_SEED = 1.25
_LEAST = 6
_GAP = 15
_PAD = 10
_RIM = 5


@dataclass(frozen=True)
class Region:
    """A box in which the pictures differ, in pixels of the reference, `right` and `bottom` exclusive.

    `strength` is the greatest dissimilarity in it, 0 to 1.
    """

    left: int
    top: int
    right: int
    bottom: int
    strength: float


@dataclass(frozen=True)
class Difference:
    """What differs: `score` float32 (height, width), 0 alike to 1; `mask` bool, what was compared; largest boxes first.

    `tone` float32 (height, width) is by how many grey levels the brightness of larger spots differs, colours matched.
    `aligned` uint8 (height, width, 3) is the second picture after the smooth flow, `bend` float32 (height, width) by
    how many pixels that moved it.
    """

    score: Plane
    tone: Plane
    mask: Mask
    aligned: Pixels
    bend: Plane
    regions: tuple[Region, ...]


def differing_regions(reference: Pixels, aligned: Pixels, *, mask: Mask | None = None, most: int = 12) -> list[Region]:
    """Boxes of what differs between the reference and a picture in its frame, the `most` largest, largest first.

    Takes what `compare` takes.

    >>> print_ = np.full((200, 300, 3), 255, np.uint8)
    >>> _ = cv2.putText(print_, "olme", (40, 120), cv2.FONT_HERSHEY_SIMPLEX, 3, (20, 20, 20), 8)
    >>> darker = (print_ * 0.7).astype(np.uint8)
    >>> differing_regions(print_, darker)
    []
    """
    return list(compare(reference, aligned, mask=mask, most=most).regions)


def compare(reference: Pixels, aligned: Pixels, *, mask: Mask | None = None, most: int = 12) -> Difference:
    """Compare uint8 RGB pictures (height, width, 3) of one size where `mask` (height, width) is true.

    Raises ValueError where shapes or types don't fit together.
    """
    mask = np.ones(reference.shape[:2], bool) if mask is None else mask
    _check(reference, aligned, mask)
    height, width = reference.shape[:2]
    factor = float(min(np.sqrt(_AREA / (height * width)), _LONGEST / max(height, width)))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small_reference, small = _resized(reference, size), _resized(aligned, size)
    inside = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    target = _blurred(_grey(small_reference), _GRAIN)
    flow = _bend(*_mixed(target, small, inside), inside)
    bent = _moved(small, flow)
    inside &= _moved(inside.astype(np.float32), flow) > 0.999
    seen = cv2.resize(inside.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    inside &= _without_rim(inside)
    score = np.where(inside, _dissimilarity(target, bent, inside), 0).astype(np.float32)
    wanted, had = _mixed(target, bent, inside)
    tone = _mean((wanted - had) * inside, _WINDOW)
    boxes = _boxes(score, np.abs(tone - _mean(tone, _REGION)), target, inside)[:most]
    big_flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR) / factor
    return Difference(
        score=np.asarray(cv2.resize(score, (width, height), interpolation=cv2.INTER_LINEAR), np.float32),
        tone=np.asarray(cv2.resize(np.abs(tone), (width, height), interpolation=cv2.INTER_LINEAR), np.float32),
        mask=mask & seen,
        aligned=_moved(aligned, np.asarray(big_flow, np.float32)),
        bend=np.asarray(np.linalg.norm(big_flow, axis=2), np.float32),
        regions=tuple(_scaled(box, 1 / factor, width, height) for box in boxes),
    )


def _without_rim(inside: Mask) -> Mask:
    """What is left of the mask without its rim, along which windows see too little."""
    framed = cv2.copyMakeBorder(inside.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(cv2.erode(framed, np.ones((2 * _RIM + 1,) * 2, np.uint8))[1:-1, 1:-1] > 0)


def _check(reference: Pixels, aligned: Pixels, mask: Mask) -> None:
    if reference.ndim != 3 or reference.shape[2] != 3 or reference.shape != aligned.shape:
        raise ValueError(
            f"needed two RGB pictures of one size, got shapes {reference.shape} and {aligned.shape}; "
            "warp the second into the frame of the first"
        )
    if reference.dtype != np.uint8 or aligned.dtype != np.uint8:
        raise ValueError(f"needed uint8 pictures, got {reference.dtype} and {aligned.dtype}")
    if mask.shape != reference.shape[:2]:
        raise ValueError(f"the mask is {mask.shape}, but the pictures are {reference.shape[:2]}")


def _resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    shrinks = size[0] < pixels.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, size, interpolation=how), np.uint8)


def _grey(pixels: Pixels) -> Plane:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32)


def _blurred(plane: Plane, sigma: float) -> Plane:
    return plane if sigma == 0 else np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma), np.float32)


def _mixed(target: Plane, pixels: Pixels, inside: Mask) -> tuple[Plane, Plane]:
    """`target`, and the mixture of the picture's colours that is nearest to it, so that recolouring drops out.

    Fitted again and again to the seven tenths that fit best, as a cover would pull the fit. The target is clipped to
    what black and white of the picture come to, as an overexposed photo can't show more.
    """
    soft = np.asarray(cv2.GaussianBlur(pixels, (0, 0), _GRAIN), np.float32)
    colours = np.concatenate([soft[inside], np.ones((int(inside.sum()), 1), np.float32)], axis=1)[::5]
    wanted = target[inside][::5]
    if len(wanted) < 16:
        return target, _blurred(_grey(pixels), _GRAIN)
    keep = np.ones(len(wanted), bool)
    for _ in range(4):
        mix = np.linalg.lstsq(colours[keep], wanted[keep], rcond=1e-3)[0]
        error = np.abs(colours @ mix - wanted)
        keep = error <= np.quantile(error, 0.7)
    black, white = sorted((float(mix[3]), float(255 * mix[:3].sum() + mix[3])))
    return np.clip(target, black, white), np.asarray(soft @ mix[:3] + mix[3], np.float32)


def _bend(target: Plane, plane: Plane, inside: Mask) -> Plane:
    """A flow (height, width, 2) that takes `plane` onto `target` and is too smooth to make one letter another."""
    flow = np.zeros((*target.shape, 2), np.float32)
    if min(target.shape) < 32:
        return flow
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    for _ in range(2):
        moved = _moved(plane, flow)
        here, there = _evened(target, inside), _evened(moved, inside)
        step = np.asarray(search.calc(here, there, np.zeros_like(flow)), np.float32)
        back = np.asarray(search.calc(there, here, np.zeros_like(flow)), np.float32)
        closed = np.linalg.norm(step + _moved(back, step), axis=2) < 1.5
        trust = (_spread(target) + 0.5) * closed * inside
        weighed = _smooth(np.dstack([step * trust[..., None], trust]))
        flow += weighed[..., :2] / (weighed[..., 2:] + 0.5)
    return np.clip(flow, -_MOST_BEND, _MOST_BEND)


def _smooth(plane: Plane) -> Plane:
    """Blurred by `_BEND`, at a quarter of the size, as nothing finer is left."""
    height, width = plane.shape[:2]
    small = cv2.resize(plane, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), _BEND / 4)
    return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _evened(plane: Plane, inside: Mask) -> Pixels:
    """Local mean and contrast taken out, as optical flow expects equal brightness."""
    gap = plane - _mean(_mean(plane, 12), 12)
    deviation = np.sqrt(np.maximum(_mean(_mean(gap * gap, 12), 12), 0)) + _NOISE
    return np.asarray(np.clip(128 + 48 * inside * gap / deviation, 0, 255), np.uint8)


def _spread(plane: Plane) -> Plane:
    mean = _mean(plane, _WINDOW)
    return np.sqrt(np.maximum(_mean(plane * plane, _WINDOW) - mean * mean, 0))


def _moved(pixels: NDArray[Number], flow: Plane) -> NDArray[Number]:
    rows, columns = np.indices(flow.shape[:2], np.float32)
    moved = cv2.remap(pixels, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, borderValue=(0,) * 4)
    return np.asarray(moved, pixels.dtype)


def _dissimilarity(target: Plane, pixels: Pixels, inside: Mask) -> Plane:
    """Energy of the difference over small windows against the contrast around them, after blur and contrast match."""
    target, plane = _equally_sharp(*_mixed(target, pixels, inside), inside)
    target, plane = _flattened(target, inside), _flattened(plane, inside)
    plane = _nudged(target, plane * _gain(target, plane, inside, _REGION))
    plane = plane * _gain(target, plane, inside, _AROUND)
    weight = np.maximum(_mean(inside.astype(np.float32), _AROUND), 1e-3)
    # running sums may fall below 0 by rounding
    contrast = np.maximum(_mean(target * target + plane * plane, _AROUND), 0) / weight + 2 * _NOISE**2
    return np.asarray(np.clip(_mean((target - plane) ** 2, _FINE) / contrast, 0, 1), np.float32)


def _nudged(target: Plane, plane: Plane) -> Plane:
    """The plane with every place moved as little as its surroundings agree best with: what misalignment is left."""
    best, nudged = np.full(target.shape, np.inf, np.float32), plane
    for down in range(-_SHIFT, _SHIFT + 1):
        for right in range(-_SHIFT, _SHIFT + 1):
            moved = np.roll(plane, (down, right), (0, 1))
            error = _mean((target - moved) ** 2, _WINDOW)
            nudged = np.where(error < best, moved, nudged)
            best = np.minimum(error, best)
    return nudged


def _flattened(plane: Plane, inside: Mask) -> Plane:
    """The plane less its local mean; 0 outside."""
    half = _AROUND // 2
    weight = np.maximum(_mean(_mean(inside.astype(np.float32), half), half), 1e-3)
    return np.asarray((plane - _mean(_mean(plane * inside, half), half) / weight) * inside, np.float32)


def _mean(plane: Plane, half: int) -> Plane:
    return np.asarray(cv2.blur(plane, (2 * half + 1,) * 2, borderType=cv2.BORDER_REFLECT), np.float32)


def _equally_sharp(target: Plane, plane: Plane, inside: Mask) -> tuple[Plane, Plane]:
    """Both planes, the sharper one blurred so that they agree best."""
    best: tuple[float, Plane, Plane] | None = None
    for sigma in _BLURS:
        for left, right in ((_blurred(target, sigma), plane), (target, _blurred(plane, sigma))):
            a, b = left[inside][::3], right[inside][::3]
            if not a.size:
                return target, plane
            # blurring removes energy and with it error, so the error is held against what is left
            error = float(1 - np.corrcoef(a, b)[0, 1]) if a.std() > 1e-3 and b.std() > 1e-3 else 1.0
            if best is None or error < best[0]:
                best = (error, left, right)
    assert best is not None
    return best[1], best[2]


def _gain(target: Plane, plane: Plane, inside: Mask, half: int) -> Plane:
    """What the flattened plane is to be multiplied by so that contrasts agree, smooth, and within 2 each way."""
    weight = np.maximum(_mean(inside.astype(np.float32), half), 1e-3)
    contrasts = [np.sqrt(np.maximum(_mean(each * each, half), 0) / weight) + 1 for each in (target, plane)]
    return np.asarray(np.clip(contrasts[0] / contrasts[1], 0.5, 2), np.float32)


def _boxes(score: Plane, tone: Plane, target: Plane, inside: Mask) -> list[Region]:
    """Boxes around what stands out, those that nearly touch joined; those that differ most in all first."""
    level = _level(score[inside & (_spread(target) > _NOISE)])
    grown = (score >= level) | (inside & (tone > _TONE))
    joined = cv2.morphologyEx(grown.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((_GAP, _GAP), np.uint8))
    count, labels = cv2.connectedComponents(joined)
    found = []
    for number in range(1, count):
        rows, columns = np.nonzero((labels == number) & grown)
        inked = score[rows, columns]
        strength = float(inked.max())
        if strength >= min(_SEED * level, 0.9) and len(rows) >= _LEAST**2:
            left, right = int(columns.min()) - _PAD, int(columns.max()) + 1 + _PAD
            top, bottom = int(rows.min()) - _PAD, int(rows.max()) + 1 + _PAD
            found.append((float(inked.sum()), Region(left, top, right, bottom, strength)))
    return [region for _, region in sorted(found, key=lambda each: each[0], reverse=True)]


def _level(usual: Plane) -> float:
    """From where on a score stands out: where an alignment is poor, scores are high everywhere."""
    if not usual.size:
        return _FLOOR
    middle = float(np.median(usual))
    spread = 1.4826 * float(np.median(np.abs(usual - middle)))
    return min(max(_FLOOR, middle + 3 * spread), _CEILING)


def _scaled(box: Region, factor: float, width: int, height: int) -> Region:
    left, top = max(0, int(box.left * factor)), max(0, int(box.top * factor))
    right, bottom = int(np.ceil(box.right * factor)), int(np.ceil(box.bottom * factor))
    return Region(left, top, min(right, width), min(bottom, height), box.strength)
