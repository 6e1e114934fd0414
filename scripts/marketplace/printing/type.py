"""Setting type with Skia: a line fitted into a box, a line on an arc, a justified paragraph."""

from __future__ import annotations

from math import cos, degrees, pi, sin
from pathlib import Path

import skia

from lookalike.scripts.marketplace.colours import Colour
from lookalike.scripts.marketplace.fonts import typeface
from lookalike.scripts.marketplace.printing.paint import fill


class Type:
    """A typeface at any size."""

    def __init__(self, name: str, folder: Path | None = None) -> None:
        self._face = typeface(name, folder)

    def at(self, size: float) -> skia.Font:
        """The font at this size in pixels, without hinting, as in print."""
        font = skia.Font(self._face, size)
        font.setHinting(skia.FontHinting.kNone)
        font.setEdging(skia.Font.Edging.kAntiAlias)
        font.setSubpixel(True)
        return font


def draw_line(
    canvas: skia.Canvas, words: str, box: skia.Rect, face: Type, colour: Colour, *, spacing: float = 0.0
) -> None:
    """Draw the words centred and as large as the box allows; `spacing` is extra room between letters, in em."""
    if not words:
        return
    font = face.at(100)
    ink = skia.Rect(0, 0, 0, 0)
    font.measureText(words, skia.TextEncoding.kUTF8, ink)
    width = ink.width() + spacing * 100 * (len(words) - 1)
    # a line without ascenders and descenders would otherwise be set too large
    scale = min(box.width() / max(width, 1), box.height() / max(ink.height(), 62))
    font = face.at(100 * scale)
    x = box.centerX() - (width / 2 + ink.left()) * scale
    y = box.centerY() - (ink.top() + ink.bottom()) / 2 * scale
    if not spacing:
        canvas.drawString(words, x, y, font, fill(colour))
        return
    for letter in words:
        canvas.drawString(letter, x, y, font, fill(colour))
        x += font.measureText(letter) + spacing * 100 * scale


def draw_on_arc(
    canvas: skia.Canvas, words: str, centre: tuple[float, float], radius: float, face: Type, colour: Colour
) -> None:
    """Draw the words along the top of a circle, over at most two thirds of the half circle."""
    font = face.at(radius * 0.17)
    room = radius * pi * 0.62
    font = face.at(min(radius * 0.17, radius * 0.17 * room / max(1.0, font.measureText(words) * 1.1)))
    angle = -pi / 2 - font.measureText(words) * 0.55 / radius
    for letter in words:
        step = font.measureText(letter) * 1.1 / radius
        middle = angle + step / 2
        canvas.save()
        canvas.translate(centre[0] + radius * cos(middle), centre[1] + radius * sin(middle))
        canvas.rotate(degrees(middle) + 90)
        canvas.drawString(letter, -font.measureText(letter) / 2, 0, font, fill(colour))
        canvas.restore()
        angle += step


def draw_paragraph(canvas: skia.Canvas, words: str, box: skia.Rect, face: Type, colour: Colour, size: float) -> None:
    """Fill the box with lines of this size, repeating the words until it is full."""
    font, paint = face.at(size), fill(colour)
    queue = (words.split() * 20)[:2000]
    y = box.top() + size
    while y < box.bottom() and queue:
        line = queue.pop(0)
        while queue and font.measureText(f"{line} {queue[0]}") <= box.width():
            line = f"{line} {queue.pop(0)}"
        canvas.drawString(line, box.left(), y, font, paint)
        y += size * 1.25
