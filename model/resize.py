"""How a picture comes to an encoder's size, a quick way to get there for some encoders, and what any doesn't see."""

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


def fitted(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """The RGB picture in the size of the encoder's input: the same pixels as open_clip's transform gives.

    Source: `open_clip.transform.image_transform`, whose resizes and crops this follows, roundings included.
    """
    (height, width), mode = preprocessing.size, preprocessing.resize_mode
    if mode == "squash":
        size = (width, height)
    elif mode == "shortest" and height == width:
        short, long = min(image.size), int(height * max(image.size) / min(image.size))
        size = (height, long) if image.width == short else (long, height)
    else:
        choose = max if mode == "longest" else min
        ratio = choose(image.height / height, image.width / width)
        size = (round(image.width / ratio), round(image.height / ratio))
    resampling = Image.Resampling[preprocessing.interpolation.upper()]
    resized = image.resize(size, resampling, reducing_gap=preprocessing.reducing_gap)
    return resized if resized.size == (width, height) else _centred(resized, preprocessing)


def _centred(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """The middle of a picture, or the picture in the middle of a ground, as each side needs it."""
    height, width = preprocessing.size
    ground = Image.new("RGB", (max(width, image.width), max(height, image.height)), (preprocessing.fill_color,) * 3)
    ground.paste(image, ((ground.width - image.width) // 2, (ground.height - image.height) // 2))
    left, top = round((ground.width - width) / 2), round((ground.height - height) / 2)
    return ground.crop((left, top, left + width, top + height))


def quick_resize(pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> Image.Image:
    """The same picture as `fitted`, bit by bit, from RGBX pixels, uint8 (height, width, 4), in less time.

    Only for a preprocessing that squashes with a `reducing_gap`.
    """
    (high, wide), gap = preprocessing.size, preprocessing.reducing_gap or 1.0
    height, width = pixels.shape[:2]
    columns, rows = max(1, int(width / wide / gap)), max(1, int(height / high / gap))
    if not 1 < columns * rows <= _MOST_SUMMED:
        return fitted(picture(pixels), preprocessing)
    resampling = Image.Resampling[preprocessing.interpolation.upper()]
    box = (0.0, 0.0, width / columns, height / rows)
    return picture(_reduced(pixels, columns, rows)).resize((wide, high), resampling, box=box)


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
