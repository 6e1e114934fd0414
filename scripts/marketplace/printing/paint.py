"""Paints and polygons for Skia."""

from __future__ import annotations

import skia

from lookalike.scripts.marketplace.colours import Colour


def fill(colour: Colour, *, alpha: float = 1.0, stroke: float = 0.0) -> skia.Paint:
    """A paint of this colour; with a stroke width it draws lines."""
    red, green, blue = colour
    paint = skia.Paint(AntiAlias=True, Color=skia.Color(red, green, blue, round(alpha * 255)))
    if stroke:
        paint.setStyle(skia.Paint.kStroke_Style)
        paint.setStrokeWidth(stroke)
        paint.setStrokeCap(skia.Paint.kRound_Cap)
        paint.setStrokeJoin(skia.Paint.kRound_Join)
    return paint


def polygon(points: list[tuple[float, float]], *, closed: bool = True) -> skia.Path:
    """A path through the points."""
    path = skia.Path()
    path.addPoly([skia.Point(x, y) for x, y in points], closed)
    return path
