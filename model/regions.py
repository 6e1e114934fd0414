"""Which parts of a photo are worth looking up on their own: goods beside each other, pictures in it, and its middle.

Everything is found in a small copy of the photo, by its pixels alone, so that equal photos have equal parts. Chosen by
the recall gained on edited packshots of the rendered validation split: at 2.9 views a photo it is higher than with the
middle and four corners at 6 (`scripts/benchmarks/parts.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Region: TypeAlias = tuple[float, float, float, float]
"""(left, top, right, bottom) of a part, in 0 to 1 of the photo's width and height."""

VERSION = 1
"""Vectors of the parts of another version are not used. Raise it with any change to which parts there are."""

_WORKING_SIDE = 800  # pixels of the shorter side that parts are cut from, or up to twice as many
_LEAST_SIDE = 48  # pixels of a part; smaller ones show nothing that the whole doesn't
_SIDE = 160  # pixels of the longer side of the small copy

_PLAIN = 20  # grey levels within which a line of pixels has one colour
_LEAST_SHARE, _MOST_SHARE = 0.15, 0.9  # of the photo's sides, and of its area, that a part has
_DEPTH = 4  # of cuts along lines of one colour, in turns across and down

_STEP = 12  # grey levels by which an edge of a picture in the picture differs at least
_AROUND, _CLEARER = 9, 2.0  # and how many times more than the pixels around it, so that a texture has no edges
_SUPPORT = 0.7  # share of each of its four edges that shows such a step
_LINES = 8  # the most straight lines in either direction that are tried as edges
_LEAST_ROWS, _RIM = 24, 2  # pixels of the small copy: its shorter side, and what a neighbour may put into a region
_LONG, _PIECES = 2.5, 5  # a picture so many times as long as wide is cut into so many pieces
_SAME = 0.6  # intersection over union from which two regions count as one


def working_picture(image: Image.Image) -> Image.Image:
    """The picture that parts are cut from: `image`, in RGB or RGBX, shrunk by a whole factor if it is large."""
    factor = min(image.size) // _WORKING_SIDE
    return image.reduce(factor) if factor > 1 else image


def cut(picture: Image.Image, region: Region) -> Image.Image:
    """A part of a working picture, in RGB."""
    return picture.crop(_box(region, picture.size)).convert("RGB")


def regions_of(picture: Image.Image, *, most: int) -> list[Region]:
    """Up to `most` regions of a working picture, the most promising first; the same for the same pixels."""
    small = _small(picture)
    regions: list[Region] = []
    within = [] if min(small.shape[:2]) < _LEAST_ROWS else [*_between_plain_lines(small), *_pictures_within(small)]
    for region in (*within, *_crops(picture.size)):
        if len(regions) == most:
            break
        new = all(_overlap(region, other) < _SAME for other in regions)
        if new and _is_large(region, picture.size) and _shows_something(small, region):
            regions.append(region)
    return regions


def _small(picture: Image.Image) -> NDArray[np.int16]:
    """The picture with a longer side of `_SIDE` pixels, int16 (height, width, 3)."""
    scale = _SIDE / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    shrunk = picture.resize(size, Image.Resampling.BOX, reducing_gap=1.0)
    return np.asarray(shrunk, np.int16)[..., :3]


def _between_plain_lines(small: NDArray[np.int16]) -> list[Region]:
    """What lies between rows and columns of one colour, such as a frame, a gap or the ground; the largest first.

    Source: the recursive XY-cut (Nagy and Seth, ICPR 1984).
    """
    height, width = small.shape[:2]
    boxes = [(left / width, top / height, right / width, bottom / height)
             for left, top, right, bottom in _leaves(small, (0, 0, width, height), _DEPTH, 0)]  # fmt: skip
    useful = [box for box in boxes if _is_useful(box)]
    return sorted(useful, key=_area, reverse=True)


def _leaves(
    small: NDArray[np.int16], box: tuple[int, int, int, int], depth: int, stopped: int
) -> Iterator[tuple[int, int, int, int]]:
    left, top, right, bottom = box
    if depth == 0 or stopped == 2 or min(right - left, bottom - top) < 2:
        yield box
        return
    down = depth % 2 == 0
    inside = small[top:bottom, left:right]
    spread = (inside.max(axis=1) - inside.min(axis=1) if down else inside.max(axis=0) - inside.min(axis=0)).max(axis=-1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], spread > _PLAIN, [False]]).astype(np.int8)))
    runs = edges.reshape(-1, 2).tolist()
    if len(runs) == 0:
        return
    whole = len(runs) == 1 and runs[0] == [0, len(spread)]
    for start, end in runs:
        part = (left, top + start, right, top + end) if down else (left + start, top, left + end, bottom)
        yield from _leaves(small, part, depth - 1, stopped + 1 if whole else 0)


def _pictures_within(small: NDArray[np.int16]) -> list[Region]:
    """Pictures pasted into the picture or beside each other: rectangles with a step along all four edges.

    An edge of the photo needs no step. A rectangle with a step from edge to edge is several pictures. The largest come
    first.
    """
    height, width = small.shape[:2]
    counts, columns = _steps(small)
    down_counts, rows = _steps(small.transpose(1, 0, 2))
    across, down = (np.array(list(combinations(range(len(lines)), 2))) for lines in (columns, rows))
    beside = _support(counts, columns, rows[down])  # of each column between two rows: (columns, pairs of rows)
    above = _support(down_counts, rows, columns[across])  # of each row between two columns: (rows, pairs of columns)
    edges = np.minimum(
        np.minimum(beside[across[:, 0]], beside[across[:, 1]]), np.minimum(above[down[:, 0]], above[down[:, 1]]).T
    )
    split = _between(across, len(columns)) @ (beside >= _SUPPORT) | (_between(down, len(rows)) @ (above >= _SUPPORT)).T
    found: list[Region] = []
    for pair, other in np.argwhere((edges >= _SUPPORT) & ~split).tolist():
        (left, right), (top, bottom) = columns[across[pair]].tolist(), rows[down[other]].tolist()
        found.append((left / width, top / height, right / width, bottom / height))
    return sorted(filter(_is_useful, found), key=lambda region: (-_area(region), region))


def _support(counts: NDArray[np.int32], lines: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.float64]:
    """The share of each line, between each pair of ends (pairs, 2), that shows a step: (lines, pairs)."""
    start, end = ends.T
    return np.asarray((counts[end][:, lines] - counts[start][:, lines]).T / (end - start), np.float64)


def _between(pairs: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """Which lines lie between those of each pair: (pairs, lines)."""
    lines = np.arange(count)
    return (pairs[:, :1] < lines) & (lines < pairs[:, 1:])


def _steps(small: NDArray[np.int16]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """How many pixels of each column, from the top down to each row, differ from those beside them; and where most do.

    The counts, int32 (height + 1, width + 1), stand at the column to the right of the step, the photo's own edges
    counting as steps.
    """
    height, width = small.shape[:2]
    step = np.zeros((height, width + 1), np.float32)
    red, green, blue = np.moveaxis(np.abs(np.diff(small, axis=1)), 2, 0)
    step[:, 1:-1] = np.maximum(np.maximum(red, green), blue)
    sums = np.cumsum(np.pad(step, ((0, 0), (_AROUND // 2 + 1, _AROUND // 2))), axis=1)
    around = (sums[:, _AROUND:] - sums[:, :-_AROUND]) / _AROUND
    peak = (step > _STEP) & (step > _CLEARER * around)
    near = peak | np.roll(peak, 1, axis=1) | np.roll(peak, -1, axis=1)  # an edge may be a pixel off
    near[:, [0, -1]] = True
    counts = np.zeros((height + 1, width + 1), np.int32)
    np.cumsum(near, axis=0, out=counts[1:])
    lines, total = [0, width], peak.sum(axis=0)
    total[[0, 1, -2, -1]] = 0
    for _ in range(_LINES):
        at = int(total.argmax())
        if total[at] < _LEAST_SHARE * height / 2:
            break
        lines.append(at)
        total[max(0, at - 2) : at + 3] = 0
    return counts, np.array(sorted(lines))


def _crops(size: tuple[int, int]) -> list[Region]:
    """The middle; or, of a long picture, pieces along it."""
    short, long = min(size), max(size)
    if long < _LONG * short:
        return [(0.2, 0.2, 0.8, 0.8)]
    share = max(1.2 / _PIECES, short / long)
    starts = [(1 - share) * at / (_PIECES - 1) for at in range(_PIECES)]
    if size[0] == long:
        return [(start, 0.0, start + share, 1.0) for start in starts]
    return [(0.0, start, 1.0, start + share) for start in starts]


def _shows_something(small: NDArray[np.int16], region: Region) -> bool:
    left, top, right, bottom = _box(region, (small.shape[1], small.shape[0]))
    across, down = min(_RIM, (right - left) // 4), min(_RIM, (bottom - top) // 4)
    inside = small[top + down : bottom - down, left + across : right - across]
    return bool((inside.max(axis=(0, 1)) - inside.min(axis=(0, 1))).max() > _PLAIN)


def _is_useful(region: Region) -> bool:
    left, top, right, bottom = region
    return min(right - left, bottom - top) >= _LEAST_SHARE and _area(region) <= _MOST_SHARE


def _is_large(region: Region, size: tuple[int, int]) -> bool:
    left, top, right, bottom = _box(region, size)
    return min(right - left, bottom - top) >= _LEAST_SIDE


def _area(region: Region) -> float:
    left, top, right, bottom = region
    return (right - left) * (bottom - top)


def _overlap(region: Region, other: Region) -> float:
    """Intersection over union."""
    across = min(region[2], other[2]) - max(region[0], other[0])
    down = min(region[3], other[3]) - max(region[1], other[1])
    shared = max(0.0, across) * max(0.0, down)
    return shared / (_area(region) + _area(other) - shared)


def _box(region: Region, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The region in pixels, at least one of them."""
    (left, top, right, bottom), (width, height) = region, size
    across, down = min(round(left * width), width - 1), min(round(top * height), height - 1)
    return across, down, max(round(right * width), across + 1), max(round(bottom * height), down + 1)
