"""What sellers do to a genuine photo before they list it: the edits to train against and to measure with.

Every edit is a function `(image, rng, others) -> image` on uint8 RGB arrays (height, width, 3). The size may change.
Collages and backgrounds are made of the pictures in `others`, or of plain textures if there are none. All randomness
comes from `rng`, so the same seed makes the same edit. The choice follows the augmentations of the image similarity
challenge (DISC21, arXiv 2106.09672).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from lookalike.scripts.bench_pictures import texture

Image = NDArray[np.uint8]
Edit = Callable[[Image, np.random.Generator, Sequence[Image]], Image]

_FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
)
_WORDS = ("SALE", "-50%", "NEW", "BEST PRICE", "original", "hot deal", "free ship", "2026", "@shop88")


def edit(
    image: Image,
    names: Sequence[str],
    rng: np.random.Generator,
    *,
    others: Sequence[Image] = (),
) -> Image:
    """Apply the edits `names` (keys of `EDITS`) one after another.

    >>> grey = np.full((32, 48, 3), 128, np.uint8)
    >>> edit(grey, ["mirror", "blur"], np.random.default_rng(0)).shape
    (32, 48, 3)

    Raises ValueError for a name that is not an edit.
    """
    for name in names:
        if name not in EDITS:
            raise ValueError(f"{name!r} is not an edit; choose from {', '.join(EDITS)}")
        image = EDITS[name](image, rng, others)
    return image


def crop(image: Image, rng: np.random.Generator, others: Sequence[Image] = ()) -> Image:
    """Keep a window of 30 to 85 % of the area, with a side ratio within 4:3 of the whole."""
    height, width = image.shape[:2]
    scale, stretch = np.sqrt(rng.uniform(0.3, 0.85)), np.exp(rng.uniform(-0.25, 0.25))
    h = max(8, min(height, round(height * scale * stretch)))
    w = max(8, min(width, round(width * scale / stretch)))
    top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    return image[top : top + h, left : left + w]


def mirror(image: Image, rng: np.random.Generator, others: Sequence[Image] = ()) -> Image:
    """Swap left and right."""
    return np.ascontiguousarray(image[:, ::-1])


def rotate(image: Image, rng: np.random.Generator, others: Sequence[Image] = ()) -> Image:
    """Turn by up to 30 degrees, and now and then by a quarter turn as well."""
    if rng.random() < 0.25:
        image = np.ascontiguousarray(np.rot90(image, int(rng.choice([1, 3]))))
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-30, 30), 1.0)
    return _warp(image, np.vstack([matrix, [0, 0, 1]]), rng)


def perspective(image: Image, rng: np.random.Generator, others: Sequence[Image] = ()) -> Image:
    """Move each corner inwards by up to 18 % of the side, as if taken from an angle."""
    height, width = image.shape[:2]
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    inwards = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]], np.float32)
    moved = corners + inwards * rng.uniform(0, 0.18, (4, 2)).astype(np.float32)
    size = np.array([width, height], np.float32)
    matrix = cv2.getPerspectiveTransform(corners * size, moved * size)
    return _warp(image, np.asarray(matrix, np.float64), rng)


def text(image: Image, rng: np.random.Generator, others: Sequence[Image] = ()) -> Image:
    """Write one to four slogans over it."""
    image = image.copy()
    height, width = image.shape[:2]
    for _ in range(rng.integers(1, 5)):
        word, font = str(rng.choice(_WORDS)), int(rng.choice(_FONTS))
        scale = rng.uniform(0.08, 0.2) * height / 22
        thick = max(1, round(scale * 2))
        (w, h), _ = cv2.getTextSize(word, font, scale, thick)
        x, y = int(rng.integers(-w // 4, max(1, width - w // 2))), int(rng.integers(h, max(h + 1, height)))
        if rng.random() < 0.4:
            cv2.rectangle(image, (x - 3, y - h - 4), (x + w + 3, y + 6), _colour(rng), -1)
        cv2.putText(image, word, (x, y), font, scale, _colour(rng), thick, cv2.LINE_AA)
    return image


def sticker(image: Image, rng: np.random.Generator, others: Sequence[Image] = ()) -> Image:
    """Lay one to three discs, boxes or small pictures over it, each 3 to 12 % of the area."""
    image = image.copy()
    height, width = image.shape[:2]
    for _ in range(rng.integers(1, 4)):
        side = max(6, int(np.sqrt(rng.uniform(0.03, 0.12) * height * width)))
        side = min(side, height - 1, width - 1)
        top, left = int(rng.integers(0, height - side)), int(rng.integers(0, width - side))
        patch = image[top : top + side, left : left + side]
        shape = rng.integers(0, 3)
        if shape == 0:
            cv2.circle(image, (left + side // 2, top + side // 2), side // 2, _colour(rng), -1, cv2.LINE_AA)
        elif shape == 1:
            patch[:] = np.array(_colour(rng), np.uint8)
        else:
            patch[:] = _filler(side, side, rng, others)
    return image


def background(image: Image, rng: np.random.Generator, others: Sequence[Image] = ()) -> Image:
    """Replace what touches the border and has its colour; if there is no such area, lay the picture on another one."""
    height, width = image.shape[:2]
    flooded, mask = image.copy(), np.zeros((height + 2, width + 2), np.uint8)
    flags = 4 | (255 << 8) | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE
    for corner in ((0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)):
        cv2.floodFill(flooded, mask, corner, (0, 0, 0), (14,) * 3, (14,) * 3, flags)
    share = float((mask[1:-1, 1:-1] > 0).mean())
    if not 0.1 < share < 0.9:
        return collage(image, rng, others)
    alpha = cv2.GaussianBlur(mask[1:-1, 1:-1], (3, 3), 0).astype(np.float32)[..., None] / 255
    return _u8(image * (1 - alpha) + _filler(height, width, rng, others) * alpha)


def recolour(image: Image, rng: np.random.Generator, others: Sequence[Image] = ()) -> Image:
    """Change brightness, contrast, saturation and colour balance; rarely also the hue, or to grey."""
    pixels = image.astype(np.float32)
    if rng.random() < 0.15:
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(np.int32) + int(rng.integers(-35, 36))) % 180
        pixels = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).astype(np.float32)
    grey = pixels.mean(axis=2, keepdims=True)
    pixels = grey + (pixels - grey) * (0.0 if rng.random() < 0.08 else rng.uniform(0.4, 1.7))
    pixels = 128 + (pixels - 128) * rng.uniform(0.6, 1.5) + rng.uniform(-40, 40)
    return _u8(pixels * rng.uniform(0.8, 1.25, 3).astype(np.float32))


def blur(image: Image, rng: np.random.Generator, others: Sequence[Image] = ()) -> Image:
    """Defocus, by up to 1.5 % of the longer side."""
    sigma = rng.uniform(0.004, 0.015) * max(image.shape[:2])
    return cv2.GaussianBlur(image, (0, 0), sigma).astype(np.uint8)


def noise(image: Image, rng: np.random.Generator, others: Sequence[Image] = ()) -> Image:
    """Add sensor noise of 4 to 20 grey levels."""
    return _u8(image + rng.normal(0, rng.uniform(4, 20), image.shape).astype(np.float32))


def recompress(image: Image, rng: np.random.Generator, others: Sequence[Image] = ()) -> Image:
    """Save as a JPEG of quality 8 to 45, often at a smaller size first."""
    height, width = image.shape[:2]
    small = image
    if rng.random() < 0.5:
        factor = rng.uniform(0.35, 0.8)
        size = (max(8, round(width * factor)), max(8, round(height * factor)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(8, 46))])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None, "OpenCV reads the JPEG it has just written"
    return cv2.resize(decoded, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8)


def collage(image: Image, rng: np.random.Generator, others: Sequence[Image] = ()) -> Image:
    """Make it part of a larger picture: 55 to 90 % of each side, at a random place."""
    height, width = image.shape[:2]
    canvas = _filler(height, width, rng, others)
    factor = rng.uniform(0.55, 0.9)
    h, w = max(8, round(height * factor)), max(8, round(width * factor))
    top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    canvas[top : top + h, left : left + w] = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)
    return canvas


def screenshot(image: Image, rng: np.random.Generator, others: Sequence[Image] = ()) -> Image:
    """Frame it like a phone's screenshot: bars above and below, a little text and a button."""
    height, width = image.shape[:2]
    above, below = int(height * rng.uniform(0.06, 0.2)), int(height * rng.uniform(0.08, 0.35))
    ground = 255 if rng.random() < 0.7 else int(rng.integers(0, 60))
    canvas = np.full((above + height + below, width, 3), ground, np.uint8)
    canvas[above : above + height] = image
    ink = (40, 40, 40) if ground == 255 else (230, 230, 230)
    scale = max(0.25, width / 500)
    cv2.putText(canvas, "12:48", (int(width * 0.04), max(8, above // 2)), _FONTS[0], scale, ink, 1, cv2.LINE_AA)
    line = above + height + max(8, below // 4)
    cv2.putText(canvas, "$ 19.90", (int(width * 0.05), line), _FONTS[1], scale * 1.6, ink, 1, cv2.LINE_AA)
    top = above + height + below // 2
    cv2.rectangle(canvas, (int(width * 0.05), top), (int(width * 0.95), top + below // 3), _colour(rng), -1)
    return canvas


def rephoto(image: Image, rng: np.random.Generator, others: Sequence[Image] = ()) -> Image:
    """Print it and photograph the print: faded, on a table, at an angle, unevenly lit, slightly blurred."""
    height, width = image.shape[:2]
    faded = 20 + image.astype(np.float32) * rng.uniform(0.7, 0.9)
    paper = perspective(_u8(faded), rng)
    light = cv2.resize(rng.uniform(0.7, 1.15, (2, 2)).astype(np.float32), (width, height))[..., None]
    return noise(blur(_u8(paper * light), rng), rng)


EDITS: dict[str, Edit] = {
    "crop": crop,
    "mirror": mirror,
    "rotate": rotate,
    "perspective": perspective,
    "text": text,
    "sticker": sticker,
    "background": background,
    "recolour": recolour,
    "blur": blur,
    "noise": noise,
    "recompress": recompress,
    "collage": collage,
    "screenshot": screenshot,
    "rephoto": rephoto,
}


def random_edits(
    rng: np.random.Generator, *, most: int = 4, often: Collection[str] = (), times: float = 2.0
) -> list[str]:
    """Draw one to `most` different edits, geometry before pixels, as a seller would stack them.

    The edits named in `often` are drawn `times` as often as the others.
    """
    count = int(rng.integers(1, most + 1))
    names = list(EDITS)
    weights = np.array([times if name in often else 1.0 for name in names])
    shares = weights / weights.sum() if often else None  # equal shares would draw otherwise from the same seed
    drawn = rng.choice(len(names), size=min(count, len(names)), replace=False, p=shares)
    return [names[i] for i in sorted(drawn)]


def _u8(pixels: NDArray[np.number]) -> Image:
    return np.asarray(np.clip(pixels, 0, 255), np.uint8)


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = rng.integers(0, 256, 3).tolist()
    return red, green, blue


def _filler(height: int, width: int, rng: np.random.Generator, others: Sequence[Image]) -> Image:
    if len(others) == 0 or rng.random() < 0.3:
        return texture(height, width, rng)
    other = others[int(rng.integers(len(others)))]
    return cv2.resize(other, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)


def _warp(image: Image, matrix: NDArray[np.float64], rng: np.random.Generator) -> Image:
    """Warp, and fill what was outside with the border's own colour, or half the time with a texture."""
    height, width = image.shape[:2]
    if rng.random() < 0.5:
        border = tuple(float(v) for v in np.median(image[[0, -1]].reshape(-1, 3), axis=0))
        warped = cv2.warpPerspective(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=border)
        return warped.astype(np.uint8)
    canvas = texture(height, width, rng)
    cv2.warpPerspective(
        image, matrix, (width, height), dst=canvas, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT
    )
    return canvas
