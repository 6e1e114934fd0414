"""Parts of a composed picture: lines of text, photos fitted into frames, boxes and outlines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .alignment import Matrix, between, through
from .differences import Region
from .matching import Pixels

Colour = tuple[int, int, int]

WIDTH = 1200
"""Width of the composed picture in pixels; its height follows from the photos."""

MARGIN = 16
INNER = WIDTH - 2 * MARGIN
"""Width in pixels between the margins."""

WHITE, INK, GREY, FRAME = (255, 255, 255), (34, 34, 34), (110, 110, 110), (225, 225, 225)
MARK, OUTLINE, PART = (213, 94, 0), (0, 114, 178), (0, 158, 115)
COLOURS = ((230, 159, 0), (86, 180, 233), (240, 228, 66), (204, 121, 167))
"""Okabe and Ito's palette, which colour-blind people can tell apart, without the colours of marks, outlines and
parts."""

_MOST_CHARACTERS = 400


class Fitted(NamedTuple):
    """A photo in a frame, and the matrix that takes its pixels to the frame's."""

    picture: Image.Image
    matrix: Matrix


def text_strip(line: str, size: int, width: int = INNER, colour: Colour = INK) -> Image.Image:
    """One line of text as a strip; a longer one ends in an ellipsis."""
    font = _font(size)
    line = " ".join(line[:_MOST_CHARACTERS].split())
    if font.getlength(line) > width:
        while line and font.getlength(line + "...") > width:
            line = line[:-1]
        line += "..."
    strip = Image.new("RGB", (width, round(1.4 * size)), WHITE)
    ImageDraw.Draw(strip).text((0, round(0.15 * size)), line, colour, font)
    return strip


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def stacked(strips: Sequence[Image.Image]) -> Image.Image:
    """Strips below each other, with margins."""
    height = sum(each.height for each in strips) + MARGIN * (len(strips) + 1)
    picture = Image.new("RGB", (WIDTH, height), WHITE)
    top = MARGIN
    for strip in strips:
        picture.paste(strip, (MARGIN, top))
        top += strip.height + MARGIN
    return picture


def fit_into(pixels: Pixels, frame: tuple[int, int]) -> Fitted:
    """The photo as large as the frame (width, height) allows, centred."""
    height, width = pixels.shape[:2]
    factor = min(frame[0] / width, frame[1] / height)
    size = (max(1, min(frame[0], round(width * factor))), max(1, min(frame[1], round(height * factor))))
    left, top = (frame[0] - size[0]) // 2, (frame[1] - size[1]) // 2
    picture = Image.new("RGB", frame, FRAME)
    picture.paste(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS), (left, top))
    shift = np.array([[1, 0, left], [0, 1, top], [0, 0, 1]], np.float64)
    return Fitted(picture, shift @ between((width, height), size))


def box_ring(box: tuple[float, float, float, float]) -> NDArray[np.float64]:
    """Points (n, 2) along the edges of a box, many to each edge, so that a part of an edge can be left out."""
    left, top, right, bottom = box
    steps = np.linspace(0, 1, 33)[:-1, None]
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)
    return np.concatenate([a + steps * (b - a) for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)])


def draw_outline(photo: Fitted, points: NDArray[np.float64], *, colour: Colour = OUTLINE, width: int = 3) -> None:
    """Draw a closed line through points (n, 2) of the photo; fewer than three make none."""
    if len(points) < 3:
        return
    places = np.clip(through(photo.matrix, points), 1, np.array(photo.picture.size) - 2)
    path = [(float(x), float(y)) for x, y in [*places, places[0]]]
    draw = ImageDraw.Draw(photo.picture)
    draw.line(path, WHITE, width + 2, "curve")
    draw.line(path, colour, width, "curve")


def draw_box(photo: Fitted, region: Region, name: str) -> None:
    """Draw a named box around a region of the photo."""
    corners = np.array([[region.left, region.top], [region.right, region.bottom]], np.float64)
    (left, top), (right, bottom) = through(photo.matrix, corners - 0.5)
    draw = ImageDraw.Draw(photo.picture)
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), None, WHITE, 4)
    draw.rectangle((left, top, right, bottom), None, MARK, 2)
    font = _font(12)
    x = min(max(0.0, left), photo.picture.width - 14)
    y = top - 15 if top >= 15 else min(bottom, photo.picture.height - 15)
    draw.rectangle((x, y, x + 5 + font.getlength(name), y + 14), MARK)
    draw.text((x + 3, y), name, WHITE, font)
