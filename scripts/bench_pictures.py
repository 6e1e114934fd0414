"""The pictures that speed is measured on: those of a folder, or drawn ones that take as long to decode as photos."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.errors import TableError

_ENDINGS = (".jpg", ".jpeg", ".png", ".webp")


def pictures_below(folder: Path, *, most: int | None = None) -> list[Path]:
    """The picture files in a folder and its sub-folders, sorted, up to `most`. Raises TableError if there are none."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _ENDINGS)[:most]
    if not found:
        raise TableError(f"{folder} holds no pictures; name a folder with JPEG, PNG or WebP files")
    return found


def draw_pictures(folder: Path, count: int, *, side: int = 800) -> list[Path]:
    """Write this many different JPEG files to a new folder."""
    folder.mkdir()
    paths = [folder / f"{number:05}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(draw_jpeg(side, number))
    return paths


def draw_jpeg(side: int, seed: int) -> bytes:
    """A JPEG file of a coloured, grainy picture, `side` pixels wide and high."""
    rng = np.random.default_rng(seed)
    pixels = texture(side, side, rng)
    grain = rng.normal(0, 4, pixels.shape)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def texture(height: int, width: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A random background, uint8 (height, width, 3): a colour gradient under blurred noise."""
    corners = rng.uniform(20, 236, (2, 2, 1)) + rng.uniform(-60, 60, (2, 2, 3)) * rng.random()
    base = cv2.resize(corners.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    cells = int(rng.integers(2, 24))
    noise = rng.normal(0, rng.uniform(0, 30), (cells, cells, 1)) + rng.normal(0, 8, (cells, cells, 3))
    fine = cv2.resize(noise.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(base + fine, 0, 255), np.uint8)
