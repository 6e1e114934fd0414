"""A sheet to print a design on, and what all labels share: the ground with its pattern, and the words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import skia
from numpy.typing import NDArray

from lookalike.scripts.marketplace.brands import Design
from lookalike.scripts.marketplace.colours import Colour, Tone
from lookalike.scripts.marketplace.goods import AMOUNTS
from lookalike.scripts.marketplace.printing.paint import fill
from lookalike.scripts.marketplace.printing.patterns import draw_pattern
from lookalike.scripts.marketplace.printing.type import Type, draw_line

Label = NDArray[np.uint8]


class Sheet:
    """A canvas to print one design on."""

    def __init__(self, design: Design, form: str, width: int, height: int, *, fonts: Path | None = None) -> None:
        self.design, self.form = design, form
        self.width, self.height = float(width), float(height)
        self.surface = skia.Surface(width, height)
        self.canvas = self.surface.getCanvas()
        self.brand_type = Type(design.font, fonts)
        self.text_type = Type(design.text_font, fonts)
        self.bold_type = Type("Lato-Bold", fonts)
        rng = np.random.default_rng(design.seed)
        self.repeat = float(rng.uniform(0.1, 0.19))
        self.quirk = rng.uniform(0, 1, 8)
        self.amount = str(rng.choice(AMOUNTS.get(form, ("",))))

    @property
    def name(self) -> str:
        """The brand's name in the brand's case."""
        cases = {"upper": str.upper, "lower": str.lower, "title": str.title}
        return cases[self.design.case](self.design.name)

    def pixels(self) -> Label:
        """The printed sheet, uint8 RGBA."""
        return np.asarray(self.surface.toarray(colorType=skia.kRGBA_8888_ColorType), np.uint8)


def rect(x: float, y: float, width: float, height: float) -> skia.Rect:
    """A rectangle from its corner and size."""
    return skia.Rect.MakeXYWH(x, y, width, height)


def ground(sheet: Sheet, area: skia.Rect, *, unit: float | None = None, pattern: bool = True) -> None:
    """Fill the area with the ground colour and the brand's pattern."""
    palette = sheet.design.palette
    sheet.canvas.drawRect(area, fill(palette.ground.rgb))
    if pattern:
        unit = unit or sheet.repeat * min(area.width(), area.height())
        colours = (near(palette.ground, palette.extra).rgb, palette.mark_on(palette.ground).rgb)
        draw_pattern(sheet.canvas, sheet.design.pattern, area, colours, unit=unit, seed=sheet.design.seed)


def near(surface: Tone, other: Tone) -> Tone:
    """A quiet tone for a pattern, between the surface and the other tone."""
    share = 0.55
    return Tone(
        surface.lightness * (1 - share) + other.lightness * share, (surface.chroma + other.chroma) / 2, other.hue
    )


def words(sheet: Sheet, area: skia.Rect, colour: Colour, *, accent: Colour | None = None) -> None:
    """Print the good, its flavour and its amount, one below the other."""
    design, canvas = sheet.design, sheet.canvas
    x, y, w, h = area.left(), area.top(), area.width(), area.height()
    good = design.good.upper() if sheet.quirk[1] < 0.45 else design.good
    draw_line(canvas, good, rect(x, y, w, h * 0.36), sheet.text_type, colour, spacing=0.06 if good.isupper() else 0)
    box = rect(x + w * 0.18, y + h * 0.44, w * 0.64, h * 0.28)
    if accent and sheet.quirk[2] < 0.6:
        canvas.drawRoundRect(box, box.height() / 2, box.height() / 2, fill(accent))
        light = sum(accent) < 380
        draw_line(canvas, design.flavour, box.makeInset(box.height() * 0.4, box.height() * 0.2), sheet.bold_type,
                  (250, 248, 242) if light else (34, 32, 36))  # fmt: skip
    else:
        draw_line(canvas, design.flavour, box, sheet.brand_type, accent or colour)
    draw_line(canvas, sheet.amount, rect(x, y + h * 0.82, w, h * 0.16), sheet.bold_type, colour)


def upright(sheet: Sheet, words: str, area: skia.Rect, colour: Colour) -> None:
    """Print the words running upwards."""
    canvas = sheet.canvas
    canvas.save()
    canvas.translate(area.centerX(), area.centerY())
    canvas.rotate(-90)
    turned = rect(-area.height() / 2, -area.width() / 2, area.height(), area.width())
    draw_line(canvas, words, turned, sheet.brand_type, colour)
    canvas.restore()
