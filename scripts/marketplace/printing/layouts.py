"""The eight layouts of front panels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import skia

from lookalike.scripts.marketplace.colours import Colour
from lookalike.scripts.marketplace.printing.emblems import draw_emblem
from lookalike.scripts.marketplace.printing.paint import fill, polygon
from lookalike.scripts.marketplace.printing.patterns import draw_pattern
from lookalike.scripts.marketplace.printing.sheet import Sheet, rect, upright, words
from lookalike.scripts.marketplace.printing.type import draw_line, draw_on_arc


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
    _plate(sheet, rect(x + w * 0.1, y + h * 0.63, w * 0.8, h * 0.31), (w * 0.03, h * 0.02))


def _plate(sheet: Sheet, area: skia.Rect, margin: tuple[float, float], *, corner: float = 0.0) -> None:
    """The words on a plate in the ground colour."""
    palette = sheet.design.palette
    sheet.canvas.drawRoundRect(area, corner, corner, fill(palette.ground.rgb))
    ink, mark = palette.type_on(palette.ground).rgb, palette.mark_on(palette.ground).rgb
    words(sheet, area.makeInset(*margin), ink, accent=mark)


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
    words(sheet, rect(x + w * 0.1, y + h * 0.65, w * 0.8, h * 0.22), ink, accent=mark)
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
    _plate(sheet, plate, (w * 0.04, h * 0.012), corner=h * 0.02)


def _diagonal(sheet: Sheet, area: skia.Rect) -> None:
    palette, canvas = sheet.design.palette, sheet.canvas
    x, y, w, h = area.left(), area.top(), area.width(), area.height()
    tilt = w * 0.28

    def stripe(left: float, right: float, thick: float, colour: Colour) -> None:
        """From the left edge to the right, where its upper edge lies at these shares of the height."""
        corners = [
            (x, y + h * left + tilt / 2),
            (x + w, y + h * right - tilt / 2),
            (x + w, y + h * (right + thick) - tilt / 2),
            (x, y + h * (left + thick) + tilt / 2),
        ]
        canvas.drawPath(polygon(corners), fill(colour))

    stripe(0.36, 0.24, 0.3, palette.panel.rgb)
    stripe(0.66, 0.54, 0.035, palette.accent.rgb)
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
    plate = rect(x + w * 0.2, y + h * 0.8, w * 0.74, h * 0.17)
    _plate(sheet, plate, (w * 0.04, h * 0.012), corner=h * 0.02)
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
    words(sheet, rect(x + w * 0.16, y + h * 0.63, w * 0.68, h * 0.22), ink, accent=mark)


def _tall(sheet: Sheet, area: skia.Rect) -> None:
    palette, canvas = sheet.design.palette, sheet.canvas
    x, y, w, h = area.left(), area.top(), area.width(), area.height()
    strip = rect(x + w * 0.08, y, w * 0.42, h)
    canvas.drawRect(strip, fill(palette.panel.rgb))
    canvas.drawRect(rect(strip.right(), y, w * 0.03, h), fill(palette.accent.rgb))
    upright(
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
    _plate(sheet, rect(right.left(), y + h * 0.6, right.width(), h * 0.3), (w * 0.015, h * 0.01))


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
    words(sheet, rect(x + w / 2 - radius * 0.86, y + h * 0.7, radius * 1.72, h * 0.2), ink, accent=mark)


LAYOUTS: dict[str, Callable[[Sheet, skia.Rect], None]] = {
    "band": _band, "badge": _badge, "stack": _stack, "split": _split, "diagonal": _diagonal, "frame": _frame,
    "upright": _tall, "arch": _arch,
}  # fmt: skip
