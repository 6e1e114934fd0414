"""How a picture comes to an encoder's size: the quick resize of some encoders, and what any of them doesn't see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .encoder import Preprocessing

_DISTORTED = 2.5  # an ordinary product photo is up to 16:9, a screenshot of a phone 20:9
_MOST_SUMMED = 256  # pixels in a block: the sum of that many bytes fits in 16 bits


def unseen(size: tuple[int, int], preprocessing: Preprocessing) -> str | None:
    """What an encoder hardly sees of a picture of that (width, height), for people; None if it sees it well.

    >>> unseen((600, 3600), Preprocessing((224, 224), (0.0,) * 3, (1.0,) * 3, "bicubic", "shortest", 0))
    'only the middle 17% of it was looked at; give its parts as photos of their own'
    """
    if not is_distorted(size, preprocessing):
        return None
    times = _distortion(size, preprocessing)
    if preprocessing.resize_mode == "shortest":  # what sticks out is cut off
        return f"only the middle {1 / times:.0%} of it was looked at; give its parts as photos of their own"
    squeezed = f"its longer side was squeezed to {1 / times:.0%}"
    return f"{squeezed}, so details were hardly seen; give its parts as photos of their own"


def is_distorted(size: tuple[int, int], preprocessing: Preprocessing) -> bool:
    """Whether the sides of a picture are so unequal that an encoder can miss what a part of it shows."""
    return _distortion(size, preprocessing) > _DISTORTED


def _distortion(size: tuple[int, int], preprocessing: Preprocessing) -> float:
    """How many times longer one side is than it is in the encoder's input, if the other is made as long as there."""
    (width, height), (high, wide) = size, preprocessing.size
    across = width * high / (height * wide)
    return max(across, 1 / across)


def first_resize(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """The resize that a preprocessing with a `reducing_gap` starts with.

    A picture that already has the input's size stays as it is.
    """
    height, width = preprocessing.size
    return image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=preprocessing.reducing_gap)


def quick_resize(pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> Image.Image:
    """The same picture as `first_resize`, bit by bit, from RGBX pixels, uint8 (height, width, 4), in less time."""
    (high, wide), gap = preprocessing.size, preprocessing.reducing_gap or 1.0
    height, width = pixels.shape[:2]
    columns, rows = max(1, int(width / wide / gap)), max(1, int(height / high / gap))
    if not 1 < columns * rows <= _MOST_SUMMED:
        return first_resize(picture(pixels), preprocessing)
    box = (0.0, 0.0, width / columns, height / rows)
    return picture(_reduced(pixels, columns, rows)).resize((wide, high), Image.Resampling.BILINEAR, box=box)


def picture(pixels: NDArray[np.uint8]) -> Image.Image:
    """RGBX pixels, uint8 (height, width, 4), as an RGB picture."""
    height, width = pixels.shape[:2]
    return Image.frombuffer("RGBX", (width, height), pixels, "raw", "RGBX", 0, 1).convert("RGB")


def _reduced(pixels: NDArray[np.uint8], columns: int, rows: int) -> NDArray[np.uint8]:
    """The mean of each block of `columns` by `rows` pixels, and of the smaller blocks at the right and lower edge.

    It rounds as Pillow's `reduce` does, which adds up one channel at a time (src/libImaging/Reduce.c); here four
    channels are added at once.
    """
    sums = pixels[::rows].astype(np.uint16)
    for row in range(1, rows):
        more = pixels[row::rows]
        sums[: len(more)] += more
    four = sums.view(np.uint64)[..., 0]
    added = four[:, ::columns].copy()
    for column in range(1, columns):
        part = four[:, column::columns]
        added[:, : part.shape[1]] += part
    sums = added[..., None].view(np.uint16)
    means = _means(sums, rows * columns)
    below, beside = len(pixels) % rows, pixels.shape[1] % columns
    if below:
        means[-1] = _means(sums[-1], below * columns)
    if beside:
        means[:, -1] = _means(sums[:, -1], rows * beside)
    if below and beside:
        means[-1, -1] = _means(sums[-1, -1], below * beside)
    return means


def _means(sums: NDArray[np.uint16], count: int) -> NDArray[np.uint8]:
    """Sums divided by `count` and rounded as in Pillow.

    It multiplies by the whole part of 2**24 / count, so an exact quotient comes out one smaller.
    """
    half = count // 2 - (0 if 2**24 % count == 0 else 1)
    means: NDArray[np.uint16] = (sums + np.uint16(half)) // np.uint16(count)
    return means.astype(np.uint8)
