"""How a rendered picture becomes a listing's photo, and the table and contact sheet of pictures."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """One row of pictures.csv."""

    image: str
    product_id: str
    brand: str
    form: str
    kind: str
    step: str
    edit: str
    view: str
    outline: str
    source: str
    split: str
    seed: int


def phone(image: Image, rng: np.random.Generator) -> Image:
    """The picture as a phone's camera takes it: exposure and white balance off, sharpened, noisy, sometimes shaken."""
    height, width = image.shape[:2]
    bright = float(np.percentile(image.mean(2), 85))  # the camera exposes for the brighter part of what it sees
    pixels = image.astype(np.float32) * np.clip(rng.uniform(165, 215) / max(bright, 1.0), 0.8, 1.5)
    pixels *= rng.normal(1, 0.035, 3).astype(np.float32)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    pixels *= (1 - rng.uniform(0, 0.18) * (x * x + y * y) / 2)[..., None].astype(np.float32)
    soft = cv2.GaussianBlur(pixels, (0, 0), 1.2)
    pixels += rng.uniform(0, 0.7) * (pixels - soft)
    if rng.random() < 0.25:
        pixels = _shaken(pixels, rng)
    grain = rng.normal(0, rng.uniform(0.8, 3.5), (height, width, 1))
    grain = grain + rng.normal(0, rng.uniform(0.5, 2.5), (height, width, 3))
    soft_grain = cv2.GaussianBlur(grain.astype(np.float32), (0, 0), 0.6) * 1.6
    return np.asarray(np.clip(pixels + soft_grain, 0, 255), np.uint8)


def _shaken(pixels: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    length, angle = rng.uniform(2, 5), rng.uniform(0, np.pi)
    kernel = np.zeros((9, 9), np.float32)
    for t in np.linspace(-length / 2, length / 2, 30):
        kernel[round(4 + t * np.sin(angle)), round(4 + t * np.cos(angle))] += 1
    return np.asarray(cv2.filter2D(pixels, -1, kernel / kernel.sum()), np.float32)


def save_jpeg(path: Path, image: Image, *, quality: int) -> None:
    """Write the picture under another name and rename it, so that a picture is always complete."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done, "OpenCV writes JPEG"
    beside = path.with_suffix(".part")
    beside.write_bytes(data.tobytes())
    beside.replace(path)


def read_image(path: Path) -> Image:
    """Read a picture that this module wrote, as RGB."""
    pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None, path
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def outline_of(corners: NDArray[np.float64], triangles: NDArray[np.int64]) -> str:
    """The outline of projected triangles as a JSON list of [x, y], 0 to 1 from the top left, clipped to the picture."""
    side = 512
    mask = np.zeros((side, side), np.uint8)
    points = np.round(np.clip(corners, -4, 5) * side).astype(np.int32)
    for triangle in points[triangles]:
        cv2.fillConvexPoly(mask, triangle, 255)
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)), np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return "[]"
    largest = max(contours, key=cv2.contourArea)
    polygon = cv2.approxPolyDP(largest, 1.5, True)[:, 0] / side
    return json.dumps([[round(float(x), 3), round(float(y), 3)] for x, y in polygon], separators=(",", ":"))


def read_pictures(path: Path) -> dict[str, Picture]:
    """The rows of a pictures.csv by image; empty if there is no such file."""
    if not path.exists():
        return {}
    names = [field.name for field in fields(Picture)]
    with open(path, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if all(row.get(name) is not None for name in names)]
    typed: list[dict[str, Any]] = [{**row, "seed": int(row["seed"])} for row in rows]
    return {row["image"]: Picture(**row) for row in typed}


def append_picture(path: Path, picture: Picture) -> None:
    """Add a row to pictures.csv."""
    new = not path.exists()
    with open(path, "a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Picture)])
        if new:
            writer.writeheader()
        writer.writerow(asdict(picture))


def write_pictures(path: Path, pictures: Iterable[Picture]) -> None:
    """Write pictures.csv with exactly these rows."""
    write_table(path, [field.name for field in fields(Picture)], [asdict(picture) for picture in pictures])


def write_table(path: Path, columns: Sequence[str], rows: Iterable[dict[str, object]]) -> None:
    """Write a CSV table under another name and rename it, so that it is always complete."""
    beside = path.with_suffix(".part")
    with open(beside, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    beside.replace(path)


def contact_sheet(root: Path, images: Sequence[str], *, columns: int, cell: int = 128) -> Image:
    """The pictures side by side, in that order."""
    rows = -(-len(images) // columns)
    sheet = np.full((rows * cell, columns * cell, 3), 90, np.uint8)
    for k, name in enumerate(images):
        small = fit(read_image(root / name), cell)
        top, left = k // columns * cell, k % columns * cell
        sheet[top : top + small.shape[0], left : left + small.shape[1]] = small
    return sheet


def fit(image: Image, side: int) -> Image:
    """The picture resized to this many pixels on its longer side."""
    factor = side / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
