"""Makes two pictures of the same print comparable: colours, bends, blur and small misalignments are matched."""

from __future__ import annotations

from typing import TypeAlias, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8]
Plane: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]
Number = TypeVar("Number", np.uint8, np.float32)

NOISE = 8.0
"""Grey levels; structure fainter than this is taken for noise."""
GRAIN = 1.0
"""Standard deviation in pixels of a blur that takes out sensor noise."""

_LEAST_PIXELS = 16
_WINDOW = 10
_EVENED = 12
_BEND = 24.0
_MOST_BEND = 30.0
_LEAST_SIDE = 32  # of a picture in which a flow can be found
_SHIFT = 2
_BLURS = (1.2, 2.5, 5.0)
_SHARPER = 0.9  # a blur counts if it reduces the error to this share


def grey(pixels: Pixels) -> Plane:
    """The brightness of RGB pixels, 0 to 255."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32)


def blurred(plane: Plane, sigma: float) -> Plane:
    """The plane under a Gaussian blur."""
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma), np.float32)


def mean(plane: Plane, half: int) -> Plane:
    """The mean over a square of 2 · `half` + 1 pixels around each place."""
    return np.asarray(cv2.blur(plane, (2 * half + 1,) * 2, borderType=cv2.BORDER_REFLECT), np.float32)


def moved(pixels: NDArray[Number], flow: Plane) -> NDArray[Number]:
    """The pixels that a flow (height, width, 2) leads to; 0 beyond the border."""
    rows, columns = np.indices(flow.shape[:2], np.float32)
    found = cv2.remap(pixels, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, borderValue=(0,) * 4)
    return np.asarray(found, pixels.dtype)


def mixed_colours(target: Plane, pixels: Pixels, inside: Mask) -> Plane:
    """The mixture of the picture's colours that is nearest to the target, so that recolouring has no effect.

    It is fitted several times to the seven tenths of the pixels that fit best, because a sticker would distort the fit.
    """
    soft = np.asarray(cv2.GaussianBlur(pixels, (0, 0), GRAIN), np.float32)
    colours = np.concatenate([soft[inside], np.ones((int(inside.sum()), 1), np.float32)], axis=1)[::5]
    wanted = target[inside][::5]
    if len(wanted) < _LEAST_PIXELS:
        return blurred(grey(pixels), GRAIN)
    keep = np.ones(len(wanted), bool)
    for _ in range(4):
        mix = np.linalg.lstsq(colours[keep], wanted[keep], rcond=1e-3)[0]
        error = np.abs(colours @ mix - wanted)
        keep = error <= np.quantile(error, 0.7)
    return np.asarray(soft @ mix[:3] + mix[3], np.float32)


def matched_colours(reference: Pixels, pixels: Pixels, inside: Mask) -> Plane:
    """The picture (height, width, 3) in the reference's colours, and in its light, which may come from one side.

    It is fitted as in `mixed_colours`, to all three colours. Light from one side is a factor that changes evenly over
    the picture. Brighter or darker colours are fitted first, and mixtures only to what then fits: a picture of few
    colours has a mixture for any sticker. Colours that the photos don't share stay as they are.
    """
    soft, wanted = (np.asarray(cv2.GaussianBlur(each, (0, 0), GRAIN), np.float32) for each in (pixels, reference))
    if inside[::2].sum() < 3 * _LEAST_PIXELS:
        return soft
    rows, columns = (2 * each / max(each.max(), 1) - 1 for each in np.indices(inside.shape, np.float32))
    light, whole = soft.mean(axis=2), np.full(inside.shape, 128, np.float32)
    keep = np.ones(int(inside.sum()), bool)
    for terms in (
        np.dstack([whole, light]),
        np.dstack([soft, whole, 128 * columns, 128 * rows, columns * light, rows * light]),
    ):
        known, right = terms[inside], (wanted - soft)[inside]
        for _ in range(4):
            change = np.linalg.lstsq(known[keep][::5], right[keep][::5], rcond=1e-2)[0]
            error = np.abs(known @ change - right).max(axis=1)
            keep = error <= np.quantile(error, 0.7)
    return np.asarray(soft + terms @ change, np.float32)


def smooth_flow(target: Plane, plane: Plane, inside: Mask) -> Plane:
    """A flow (height, width, 2) from the target to the plane, too smooth to turn one letter into another.

    It is the local mean of a dense flow, weighted by contrast and only where the flow back leads to the same place.
    """
    if min(target.shape) < _LEAST_SIDE:
        return np.zeros((*target.shape, 2), np.float32)
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    here, there = _evened(target, inside), _evened(plane, inside)
    # a search that starts from no movement misses less than one without a start; it writes into what it is given
    start = np.zeros((*target.shape, 2), np.float32)
    step = np.asarray(search.calc(here, there, start.copy()), np.float32)
    back = np.asarray(search.calc(there, here, start.copy()), np.float32)
    closed = np.linalg.norm(step + moved(back, step), axis=2) < 1.5
    trust = (_spread(target) + 0.5) * closed * inside
    weighed = _smooth(np.dstack([step * trust[..., None], trust]))
    return np.clip(weighed[..., :2] / (weighed[..., 2:] + 0.5), -_MOST_BEND, _MOST_BEND)


def _smooth(plane: Plane) -> Plane:
    """Blurred by `_BEND`, computed at a quarter of the size."""
    height, width = plane.shape[:2]
    small = cv2.resize(plane, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), _BEND / 4)
    return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _evened(plane: Plane, inside: Mask) -> Pixels:
    """The plane with equal local mean and contrast, because optical flow expects equal brightness."""
    gap = plane - mean(mean(plane, _EVENED), _EVENED)
    deviation = np.sqrt(np.maximum(mean(mean(gap * gap, _EVENED), _EVENED), 0)) + NOISE
    return np.asarray(np.clip(128 + 48 * inside * gap / deviation, 0, 255), np.uint8)


def _spread(plane: Plane) -> Plane:
    middle = mean(plane, _WINDOW)
    return np.sqrt(np.maximum(mean(plane * plane, _WINDOW) - middle * middle, 0))


def equally_sharp(target: Plane, plane: Plane, inside: Mask) -> tuple[Plane, Plane]:
    """Both planes, the sharper one blurred if they then correlate clearly better."""
    best, least = (target, plane), _error(target, plane, inside)
    for sigma in _BLURS:
        for pair in ((blurred(target, sigma), plane), (target, blurred(plane, sigma))):
            error = _error(*pair, inside)
            if error < _SHARPER * least:
                best, least = pair, error
    return best


def _error(target: Plane, plane: Plane, inside: Mask) -> float:
    """1 − the correlation inside the mask; 1 for a plane without contrast."""
    a, b = target[inside][::3], plane[inside][::3]
    return float(1 - np.corrcoef(a, b)[0, 1]) if a.size and a.std() > 1e-3 and b.std() > 1e-3 else 1.0


def nudged(target: Plane, plane: Plane) -> Plane:
    """The plane with every place moved by up to two pixels to where its surroundings agree best."""
    least, best = np.full(target.shape, np.inf, np.float32), plane
    for down in range(-_SHIFT, _SHIFT + 1):
        for right in range(-_SHIFT, _SHIFT + 1):
            shifted = np.roll(plane, (down, right), (0, 1))
            error = mean((target - shifted) ** 2, _WINDOW)
            best = np.where(error < least, shifted, best)
            least = np.minimum(error, least)
    return best
