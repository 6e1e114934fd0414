"""Label artwork of the marketplace: front panels in eight layouts, wrap-round labels, side panels, small print."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import skia
from numpy.typing import NDArray

from lookalike.scripts.marketplace.brands import Design
from lookalike.scripts.marketplace.colours import Colour, Tone
from lookalike.scripts.marketplace.drawing.patterns import draw_emblem, draw_pattern, fill, polygon
from lookalike.scripts.marketplace.drawing.type import Type, draw_line, draw_on_arc, draw_paragraph
from lookalike.scripts.marketplace.goods import AMOUNTS, SMALL_PRINT

Label = NDArray[np.uint8]


class Sheet:
    """A canvas to print one design on: `type` draws its words, `design` says which."""

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
        colours = (_near(palette.ground, palette.extra).rgb, palette.mark_on(palette.ground).rgb)
        draw_pattern(sheet.canvas, sheet.design.pattern, area, colours, unit=unit, seed=sheet.design.seed)


def front(sheet: Sheet, area: skia.Rect) -> None:
    """Print the front panel into the area, in the design's layout."""
    sheet.canvas.save()
    sheet.canvas.clipRect(area, True)
    if sheet.design.layout in ("arch", "badge", "frame", "upright") and area.width() > area.height() * 1.2:
        area = rect(area.centerX() - area.height() * 0.55, area.top(), area.height() * 1.1, area.height())
    LAYOUTS[sheet.design.layout](sheet, area)
    sheet.canvas.restore()


def wrap(sheet: Sheet, *, panel: float = 0.33, free: float = 0.0) -> None:
    """Print a label that runs round a body: the front panel in the middle, the back at both ends."""
    width, height = sheet.width, sheet.height
    whole = rect(0, 0, width, height)
    ground(sheet, whole, unit=sheet.repeat * min(height, width * panel))
    middle = rect(width * (0.5 - panel / 2), height * free, width * panel, height * (1 - free))
    front(sheet, middle)
    for left in (-0.16, 0.84):
        back(sheet, rect(width * left, height * 0.1, width * 0.32, height * 0.8))


def back(sheet: Sheet, area: skia.Rect) -> None:
    """Print a back panel: the name, a paragraph of small print, a table and a bar code."""
    canvas, palette = sheet.canvas, sheet.design.palette
    canvas.drawRoundRect(area, area.width() * 0.04, area.width() * 0.04, fill(palette.panel.rgb))
    ink = palette.type_on(palette.panel).rgb
    inner = area.makeInset(area.width() * 0.09, area.height() * 0.05)
    top = inner.top()
    head = rect(inner.left(), top, inner.width(), inner.height() * 0.12)
    draw_line(canvas, sheet.name, head, sheet.brand_type, ink)
    text = rect(inner.left(), top + inner.height() * 0.16, inner.width(), inner.height() * 0.4)
    draw_paragraph(canvas, SMALL_PRINT, text, sheet.text_type, ink, inner.width() * 0.066)
    for row in range(5):
        y = top + inner.height() * (0.6 + row * 0.04)
        canvas.drawRect(rect(inner.left(), y, inner.width(), max(1.0, inner.height() * 0.003)), fill(ink))
    bar_code(sheet, rect(inner.left(), top + inner.height() * 0.82, inner.width() * 0.62, inner.height() * 0.18))


def bar_code(sheet: Sheet, area: skia.Rect) -> None:
    """Print bars as a shop's scanner would expect them; they encode nothing."""
    sheet.canvas.drawRect(area, fill((255, 255, 255)))
    rng = np.random.default_rng(sheet.design.seed + 5)
    x, module = area.left() + area.width() * 0.06, area.width() / 110
    while x < area.right() - area.width() * 0.06:
        bar, gap = rng.integers(1, 4, 2).tolist()
        sheet.canvas.drawRect(
            rect(x, area.top() + area.height() * 0.08, bar * module, area.height() * 0.8), fill((20, 20, 20))
        )
        x += (bar + gap) * module


def side(sheet: Sheet) -> None:
    """Print a box's side: the name running upwards on the ground, or a panel of small print."""
    whole = rect(0, 0, sheet.width, sheet.height)
    ground(sheet, whole, unit=sheet.repeat * min(sheet.height, sheet.width * 1.6), pattern=sheet.quirk[6] < 0.5)
    if sheet.quirk[5] < 0.5 or sheet.width > sheet.height:
        back(sheet, whole.makeInset(sheet.width * 0.12, sheet.height * 0.12))
        return
    palette = sheet.design.palette
    band = rect(sheet.width * 0.25, sheet.height * 0.08, sheet.width * 0.5, sheet.height * 0.84)
    sheet.canvas.drawRect(band, fill(palette.panel.rgb))
    _upright(
        sheet, sheet.name, band.makeInset(band.width() * 0.2, band.height() * 0.08), palette.type_on(palette.panel).rgb
    )


def top(sheet: Sheet) -> None:
    """Print a lid: the ground with the name in the middle."""
    palette = sheet.design.palette
    whole = rect(0, 0, sheet.width, sheet.height)
    ground(sheet, whole, pattern=False)
    draw_line(sheet.canvas, sheet.name, whole.makeInset(sheet.width * 0.14, sheet.height * 0.28), sheet.brand_type,
              palette.type_on(palette.ground).rgb)  # fmt: skip


def _near(surface: Tone, other: Tone) -> Tone:
    """A quiet tone for a pattern: between the surface and the other."""
    share = 0.55
    return Tone(
        surface.lightness * (1 - share) + other.lightness * share, (surface.chroma + other.chroma) / 2, other.hue
    )


def _words(sheet: Sheet, area: skia.Rect, colour: Colour, *, accent: Colour | None = None) -> None:
    """The good, its flavour and amount, under one another in the area."""
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


def _upright(sheet: Sheet, words: str, area: skia.Rect, colour: Colour) -> None:
    canvas = sheet.canvas
    canvas.save()
    canvas.translate(area.centerX(), area.centerY())
    canvas.rotate(-90)
    turned = rect(-area.height() / 2, -area.width() / 2, area.height(), area.width())
    draw_line(canvas, words, turned, sheet.brand_type, colour)
    canvas.restore()


def _band(sheet: Sheet, area: skia.Rect) -> None:
    palette, canvas = sheet.design.palette, sheet.canvas
    x, y, w, h = area.left(), area.top(), area.width(), area.height()
    draw_emblem(
        canvas,
        sheet.design.emblem,
        x + w / 2,
        y + h * 0.17,
        min(w, h) * 0.24,
        fill(palette.mark_on(palette.ground).rgb),
    )
    strip = rect(x, y + h * 0.31, w, h * 0.27)
    canvas.drawRect(strip, fill(palette.panel.rgb))
    rule = palette.mark_on(palette.panel).rgb
    for edge in (strip.top() + h * 0.012, strip.bottom() - h * 0.02):
        canvas.drawRect(rect(x, edge, w, h * 0.008), fill(rule))
    draw_line(
        canvas, sheet.name, strip.makeInset(w * 0.07, h * 0.05), sheet.brand_type, palette.type_on(palette.panel).rgb
    )
    plate = rect(x + w * 0.1, y + h * 0.63, w * 0.8, h * 0.31)
    canvas.drawRect(plate, fill(palette.ground.rgb))
    _words(
        sheet,
        plate.makeInset(w * 0.03, h * 0.02),
        palette.type_on(palette.ground).rgb,
        accent=palette.mark_on(palette.ground).rgb,
    )


def _badge(sheet: Sheet, area: skia.Rect) -> None:
    palette, canvas = sheet.design.palette, sheet.canvas
    x, y, w, h = area.left(), area.top(), area.width(), area.height()
    radius = min(w * 0.46, h * 0.34)
    cx, cy = x + w / 2, y + h * 0.42
    ink, mark = palette.type_on(palette.panel).rgb, palette.mark_on(palette.panel).rgb
    if sheet.quirk[3] < 0.6:
        canvas.drawCircle(cx, cy, radius, fill(palette.panel.rgb))
        canvas.drawCircle(cx, cy, radius * 0.93, fill(mark, stroke=radius * 0.035))
    else:
        oval = skia.Rect.MakeLTRB(cx - w * 0.46, cy - radius * 0.82, cx + w * 0.46, cy + radius * 0.82)
        canvas.drawRoundRect(oval, radius * 0.3, radius * 0.3, fill(palette.panel.rgb))
        canvas.drawRoundRect(
            oval.makeInset(w * 0.025, w * 0.025), radius * 0.24, radius * 0.24, fill(mark, stroke=radius * 0.03)
        )
    draw_emblem(canvas, sheet.design.emblem, cx, cy - radius * 0.48, radius * 0.42, fill(mark))
    draw_line(
        canvas,
        sheet.name,
        rect(cx - radius * 0.82, cy - radius * 0.2, radius * 1.64, radius * 0.44),
        sheet.brand_type,
        ink,
    )
    draw_line(
        canvas,
        sheet.design.good,
        rect(cx - radius * 0.62, cy + radius * 0.32, radius * 1.24, radius * 0.19),
        sheet.text_type,
        ink,
    )
    draw_line(
        canvas,
        sheet.design.tagline,
        rect(cx - radius * 0.5, cy + radius * 0.57, radius, radius * 0.11),
        sheet.text_type,
        ink,
    )
    plate = rect(x + w * 0.16, y + h * 0.83, w * 0.68, h * 0.1)
    canvas.drawRoundRect(plate, h * 0.05, h * 0.05, fill(mark))
    light = (250, 248, 242) if sum(mark) < 380 else (34, 32, 36)
    words = f"{sheet.design.flavour}  {sheet.amount}".strip()
    draw_line(canvas, words, plate.makeInset(w * 0.05, h * 0.024), sheet.bold_type, light)


def _stack(sheet: Sheet, area: skia.Rect) -> None:
    palette, canvas = sheet.design.palette, sheet.canvas
    x, y, w, h = area.left(), area.top(), area.width(), area.height()
    canvas.drawRect(area, fill(palette.panel.rgb))
    ink, mark = palette.type_on(palette.panel).rgb, palette.mark_on(palette.panel).rgb
    draw_emblem(canvas, sheet.design.emblem, x + w / 2, y + h * 0.17, min(w, h) * 0.26, fill(mark))
    draw_line(canvas, sheet.name, rect(x + w * 0.08, y + h * 0.31, w * 0.84, h * 0.2), sheet.brand_type, ink)
    draw_line(
        canvas,
        sheet.design.tagline,
        rect(x + w * 0.2, y + h * 0.53, w * 0.6, h * 0.045),
        sheet.text_type,
        ink,
        spacing=0.05,
    )
    canvas.drawRect(rect(x + w * 0.3, y + h * 0.61, w * 0.4, h * 0.006), fill(mark))
    _words(sheet, rect(x + w * 0.1, y + h * 0.65, w * 0.8, h * 0.22), ink, accent=mark)
    foot = rect(x, y + h * 0.91, w, h * 0.09)
    canvas.drawRect(foot, fill(palette.ground.rgb))
    draw_pattern(canvas, sheet.design.pattern, foot, (mark, palette.extra.rgb), unit=h * 0.05, seed=sheet.design.seed)


def _split(sheet: Sheet, area: skia.Rect) -> None:
    palette, canvas = sheet.design.palette, sheet.canvas
    x, y, w, h = area.left(), area.top(), area.width(), area.height()
    path = skia.Path()
    path.moveTo(x, y)
    path.lineTo(x + w, y)
    path.lineTo(x + w, y + h * 0.44)
    path.cubicTo(x + w * 0.66, y + h * 0.56, x + w * 0.34, y + h * 0.34, x, y + h * 0.48)
    path.close()
    canvas.drawPath(path, fill(palette.panel.rgb))
    ink, mark = palette.type_on(palette.panel).rgb, palette.mark_on(palette.panel).rgb
    draw_line(canvas, sheet.name, rect(x + w * 0.07, y + h * 0.1, w * 0.86, h * 0.2), sheet.brand_type, ink)
    draw_line(canvas, sheet.design.tagline, rect(x + w * 0.22, y + h * 0.32, w * 0.56, h * 0.05), sheet.text_type, mark)
    disc = min(w, h) * 0.4
    canvas.drawCircle(x + w / 2, y + h * 0.6, disc * 0.5, fill(palette.accent.rgb))
    light = (
        palette.panel
        if abs(palette.accent.lightness - palette.panel.lightness) > 0.25
        else palette.type_on(palette.accent)
    )
    draw_emblem(canvas, sheet.design.emblem, x + w / 2, y + h * 0.6, disc * 0.62, fill(light.rgb))
    plate = rect(x + w * 0.08, y + h * 0.78, w * 0.84, h * 0.18)
    canvas.drawRoundRect(plate, h * 0.02, h * 0.02, fill(palette.ground.rgb))
    _words(
        sheet,
        plate.makeInset(w * 0.04, h * 0.012),
        palette.type_on(palette.ground).rgb,
        accent=palette.mark_on(palette.ground).rgb,
    )


def _diagonal(sheet: Sheet, area: skia.Rect) -> None:
    palette, canvas = sheet.design.palette, sheet.canvas
    x, y, w, h = area.left(), area.top(), area.width(), area.height()
    tilt = w * 0.28
    canvas.drawPath(
        polygon(
            [
                (x, y + h * 0.36 + tilt / 2),
                (x + w, y + h * 0.24 - tilt / 2),
                (x + w, y + h * 0.54 - tilt / 2),
                (x, y + h * 0.66 + tilt / 2),
            ]
        ),
        fill(palette.panel.rgb),
    )
    edge = palette.accent.rgb
    canvas.drawPath(
        polygon(
            [
                (x, y + h * 0.66 + tilt / 2),
                (x + w, y + h * 0.54 - tilt / 2),
                (x + w, y + h * 0.575 - tilt / 2),
                (x, y + h * 0.695 + tilt / 2),
            ]
        ),
        fill(edge),
    )
    canvas.save()
    canvas.translate(x + w / 2, y + h * 0.45)
    canvas.rotate(-float(np.degrees(np.arctan2(h * 0.12 + tilt, w))))
    draw_line(
        canvas,
        sheet.name,
        rect(-w * 0.44, -h * 0.095, w * 0.88, h * 0.19),
        sheet.brand_type,
        palette.type_on(palette.panel).rgb,
    )
    canvas.restore()
    ink = palette.type_on(palette.ground).rgb
    plate = rect(x + w * 0.2, y + h * 0.8, w * 0.74, h * 0.17)
    canvas.drawRoundRect(plate, h * 0.02, h * 0.02, fill(palette.ground.rgb))
    _words(sheet, plate.makeInset(w * 0.04, h * 0.012), ink, accent=palette.mark_on(palette.ground).rgb)
    draw_emblem(
        canvas,
        sheet.design.emblem,
        x + w * 0.2,
        y + h * 0.15,
        min(w, h) * 0.22,
        fill(palette.mark_on(palette.ground).rgb),
    )


def _frame(sheet: Sheet, area: skia.Rect) -> None:
    palette, canvas = sheet.design.palette, sheet.canvas
    w, h = area.width(), area.height()
    card = area.makeInset(w * 0.06, h * 0.06)
    canvas.drawRoundRect(card, w * 0.02, w * 0.02, fill(palette.panel.rgb))
    ink, mark = palette.type_on(palette.panel).rgb, palette.mark_on(palette.panel).rgb
    canvas.drawRect(card.makeInset(w * 0.03, w * 0.03), fill(mark, stroke=w * 0.012))
    canvas.drawRect(card.makeInset(w * 0.052, w * 0.052), fill(mark, stroke=w * 0.004))
    x, y = area.left(), area.top()
    draw_emblem(canvas, sheet.design.emblem, x + w / 2, y + h * 0.22, min(w, h) * 0.16, fill(mark))
    draw_line(canvas, sheet.name, rect(x + w * 0.15, y + h * 0.32, w * 0.7, h * 0.17), sheet.brand_type, ink)
    canvas.drawRect(rect(x + w * 0.3, y + h * 0.53, w * 0.4, h * 0.005), fill(mark))
    draw_line(
        canvas, sheet.design.tagline, rect(x + w * 0.22, y + h * 0.55, w * 0.56, h * 0.045), sheet.text_type, mark
    )
    _words(sheet, rect(x + w * 0.16, y + h * 0.63, w * 0.68, h * 0.22), ink, accent=mark)


def _tall(sheet: Sheet, area: skia.Rect) -> None:
    palette, canvas = sheet.design.palette, sheet.canvas
    x, y, w, h = area.left(), area.top(), area.width(), area.height()
    strip = rect(x + w * 0.08, y, w * 0.42, h)
    canvas.drawRect(strip, fill(palette.panel.rgb))
    canvas.drawRect(rect(strip.right(), y, w * 0.03, h), fill(palette.accent.rgb))
    _upright(
        sheet,
        sheet.name,
        rect(strip.left() + w * 0.06, y + h * 0.06, w * 0.3, h * 0.88),
        palette.type_on(palette.panel).rgb,
    )
    right = rect(x + w * 0.55, y + h * 0.08, w * 0.4, h * 0.84)
    mark = palette.mark_on(palette.ground).rgb
    canvas.drawCircle(right.centerX(), right.top() + right.width() / 2, right.width() * 0.5, fill(palette.ground.rgb))
    draw_emblem(
        canvas, sheet.design.emblem, right.centerX(), right.top() + right.width() / 2, right.width() * 0.66, fill(mark)
    )
    plate = rect(right.left(), y + h * 0.6, right.width(), h * 0.3)
    canvas.drawRect(plate, fill(palette.ground.rgb))
    _words(sheet, plate.makeInset(w * 0.015, h * 0.01), palette.type_on(palette.ground).rgb, accent=mark)


def _arch(sheet: Sheet, area: skia.Rect) -> None:
    palette, canvas = sheet.design.palette, sheet.canvas
    x, y, w, h = area.left(), area.top(), area.width(), area.height()
    radius = min(w * 0.36, h * 0.3)
    path = skia.Path()
    path.moveTo(x + w / 2 - radius, y + h * 0.93)
    path.lineTo(x + w / 2 - radius, y + h * 0.1 + radius)
    path.arcTo(rect(x + w / 2 - radius, y + h * 0.1, 2 * radius, 2 * radius), 180, 180, False)
    path.lineTo(x + w / 2 + radius, y + h * 0.93)
    path.close()
    canvas.drawPath(path, fill(palette.panel.rgb))
    ink, mark = palette.type_on(palette.panel).rgb, palette.mark_on(palette.panel).rgb
    canvas.drawPath(path, fill(mark, stroke=w * 0.015))
    draw_on_arc(
        canvas, sheet.design.tagline.upper(), (x + w / 2, y + h * 0.1 + radius), radius * 0.8, sheet.bold_type, ink
    )
    draw_emblem(canvas, sheet.design.emblem, x + w / 2, y + h * 0.12 + radius * 0.85, radius * 0.62, fill(mark))
    plate = rect(x + w * 0.04, y + h * 0.5, w * 0.92, h * 0.17)
    canvas.drawRoundRect(plate, h * 0.012, h * 0.012, fill(mark))
    light = (250, 248, 242) if sum(mark) < 400 else (34, 32, 36)
    draw_line(canvas, sheet.name, plate.makeInset(w * 0.05, h * 0.025), sheet.brand_type, light)
    _words(sheet, rect(x + w / 2 - radius * 0.86, y + h * 0.7, radius * 1.72, h * 0.2), ink, accent=mark)


LAYOUTS: dict[str, Callable[[Sheet, skia.Rect], None]] = {
    "band": _band, "badge": _badge, "stack": _stack, "split": _split, "diagonal": _diagonal, "frame": _frame,
    "upright": _tall, "arch": _arch,
}  # fmt: skip


def stamp(sheet: Sheet, *, on_light: bool) -> None:
    """Print only the emblem and the name, on nothing: for lids and glass."""
    ink = (52, 50, 54) if on_light else (246, 242, 232)
    w, h = sheet.width, sheet.height
    draw_emblem(sheet.canvas, sheet.design.emblem, w / 2, h * 0.32, min(w, h) * 0.24, fill(ink))
    draw_line(sheet.canvas, sheet.name, rect(w * 0.12, h * 0.52, w * 0.76, h * 0.2), sheet.brand_type, ink)


def mug_print(sheet: Sheet) -> None:
    """Print a mug: the emblem and the name on both sides of the handle, a patterned band below."""
    palette, w, h = sheet.design.palette, sheet.width, sheet.height
    sheet.canvas.drawRect(rect(0, 0, w, h), fill(palette.panel.rgb))
    ink, mark = palette.type_on(palette.panel).rgb, palette.mark_on(palette.panel).rgb
    foot = rect(0, h * 0.78, w, h * 0.22)
    sheet.canvas.drawRect(foot, fill(palette.ground.rgb))
    colours = (palette.mark_on(palette.ground).rgb, palette.extra.rgb)
    draw_pattern(sheet.canvas, sheet.design.pattern, foot, colours, unit=h * 0.09, seed=sheet.design.seed)
    for x in (0.0, 0.5, 1.0):
        draw_emblem(sheet.canvas, sheet.design.emblem, w * x, h * 0.26, h * 0.26, fill(mark))
        draw_line(sheet.canvas, sheet.name, rect(w * (x - 0.13), h * 0.44, w * 0.26, h * 0.2), sheet.brand_type, ink)
        draw_line(
            sheet.canvas, sheet.design.tagline, rect(w * (x - 0.08), h * 0.67, w * 0.16, h * 0.05), sheet.text_type, ink
        )


def monogram(sheet: Sheet) -> None:
    """Print a bag's hide: the pattern all over, with emblem and initial between."""
    palette, w, h = sheet.design.palette, sheet.width, sheet.height
    ground(sheet, rect(0, 0, w, h), unit=min(w, h) * 0.16)
    mark = fill(palette.mark_on(palette.ground).rgb)
    step = min(w, h) * 0.2
    for row in range(int(h / step) + 2):
        for column in range(int(w / step) + 2):
            x, y = (column + 0.5 * (row % 2)) * step, row * step
            if (row + column) % 2:
                draw_emblem(sheet.canvas, sheet.design.emblem, x, y, step * 0.42, mark)
            else:
                box = rect(x - step * 0.17, y - step * 0.17, step * 0.34, step * 0.34)
                draw_line(sheet.canvas, sheet.name[0], box, sheet.brand_type, palette.mark_on(palette.ground).rgb)


def engraved(sheet: Sheet) -> None:
    """A metal plate's face: the name in dark on metal."""
    sheet.canvas.clear(skia.Color(214, 196, 150))
    area = rect(0, 0, sheet.width, sheet.height).makeInset(sheet.width * 0.1, sheet.height * 0.24)
    draw_line(sheet.canvas, sheet.name, area, sheet.brand_type, (44, 36, 26))


def dial(sheet: Sheet, *, square: bool) -> None:
    """A watch's dial: minute track, hour marks, name and emblem."""
    palette, c = sheet.design.palette, sheet.width / 2
    face = palette.panel if sheet.quirk[0] < 0.5 else palette.ground
    ink, mark = palette.type_on(face).rgb, palette.mark_on(face).rgb
    canvas = sheet.canvas
    canvas.clear(skia.Color(*face.rgb))
    ring = rect(0, 0, 2 * c, 2 * c)
    if sheet.quirk[1] < 0.5:
        draw_pattern(
            canvas,
            sheet.design.pattern,
            ring,
            (_near(face, palette.extra).rgb,) * 2,
            unit=c * 0.12,
            seed=sheet.design.seed,
        )
    canvas.drawCircle(c, c, c * 0.62, fill(face.rgb))
    numbered = sheet.quirk[4] < 0.5
    for minute in range(60):
        angle = np.pi * minute / 30
        reach = 0.86
        if square:
            reach = 0.86 / max(abs(np.sin(angle)), abs(np.cos(angle))) * 0.97
        outer = (c + c * reach * float(np.sin(angle)), c - c * reach * float(np.cos(angle)))
        share = 0.12 if minute % 5 == 0 else 0.05
        inner = (outer[0] + (c - outer[0]) * share, outer[1] + (c - outer[1]) * share)
        weight = c * (0.032 if minute % 5 == 0 else 0.01)
        canvas.drawLine(*outer, *inner, fill(mark if minute % 5 == 0 else ink, stroke=weight))
        if numbered and minute % 5 == 0:
            x, y = outer[0] + (c - outer[0]) * 0.26, outer[1] + (c - outer[1]) * 0.26
            box = rect(x - c * 0.09, y - c * 0.075, c * 0.18, c * 0.15)
            draw_line(canvas, str(minute // 5 or 12), box, sheet.text_type, ink)
    draw_emblem(canvas, sheet.design.emblem, c, c * 0.58, c * 0.18, fill(mark))
    draw_line(canvas, sheet.name, rect(c * 0.62, c * 0.7, c * 0.76, c * 0.13), sheet.brand_type, ink)
    draw_line(canvas, "AUTOMATIC", rect(c * 0.78, c * 1.32, c * 0.44, c * 0.06), sheet.text_type, ink)


def shoe_side(sheet: Sheet) -> None:
    """A shoe's side, heel left and toe right: knitted ground, overlays, stitching, a big emblem and the name."""
    palette, w, h = sheet.design.palette, sheet.width, sheet.height
    canvas = sheet.canvas
    ground(sheet, rect(0, 0, w, h), unit=h * 0.12)
    over, mark = palette.panel.rgb, palette.mark_on(palette.panel).rgb
    toe = skia.Path()
    toe.moveTo(w, h)
    toe.lineTo(w * 0.74, h)
    toe.cubicTo(w * 0.72, h * 0.86, w * 0.8, h * 0.72, w, h * 0.6)
    toe.close()
    heel = skia.Path()
    heel.moveTo(0, h)
    heel.lineTo(w * 0.24, h)
    heel.cubicTo(w * 0.2, h * 0.8, w * 0.12, h * 0.6, w * 0.13, h * 0.3)
    heel.lineTo(0, h * 0.3)
    heel.close()
    stay = polygon([(w * 0.4, h * 0.4), (w * 0.47, h * 0.42), (w * 0.8, h * 0.84), (w * 0.72, h * 0.88)])
    stitch = fill(palette.type_on(palette.panel).rgb, stroke=h * 0.006)
    stitch.setPathEffect(skia.DashPathEffect.Make([h * 0.02, h * 0.014], 0))
    for piece in (toe, heel, stay):
        canvas.drawPath(piece, fill(over))
        canvas.save()
        canvas.clipPath(piece, True)
        canvas.drawPath(piece, fill(mark, stroke=h * 0.012))
        canvas.restore()
        canvas.drawPath(piece, stitch)
    swoop = skia.Path()
    swoop.moveTo(w * 0.27, h)
    swoop.lineTo(w * 0.42, h * 0.56)
    swoop.lineTo(w * 0.5, h * 0.56)
    swoop.lineTo(w * 0.4, h)
    swoop.close()
    bright = palette.mark_on(palette.ground).rgb
    canvas.drawPath(swoop, fill(bright))
    draw_emblem(canvas, sheet.design.emblem, w * 0.55, h * 0.8, h * 0.24, fill(bright))
    draw_line(
        canvas,
        sheet.name,
        rect(w * 0.22, h * 0.46, w * 0.2, h * 0.08),
        sheet.brand_type,
        palette.type_on(palette.ground).rgb,
    )
