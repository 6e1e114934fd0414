"""Labels of packaging: front panels, wrap-round labels, backs with small print, sides and lids."""

from __future__ import annotations

import numpy as np
import skia

from lookalike.scripts.marketplace.goods import SMALL_PRINT
from lookalike.scripts.marketplace.printing.layouts import LAYOUTS
from lookalike.scripts.marketplace.printing.paint import fill
from lookalike.scripts.marketplace.printing.sheet import Sheet, ground, rect, upright
from lookalike.scripts.marketplace.printing.type import draw_line, draw_paragraph


def front(sheet: Sheet, area: skia.Rect) -> None:
    """Print the front panel into the area, in the design's layout."""
    sheet.canvas.save()
    sheet.canvas.clipRect(area, True)
    if sheet.design.layout in ("arch", "badge", "frame", "upright") and area.width() > area.height() * 1.2:
        area = rect(area.centerX() - area.height() * 0.55, area.top(), area.height() * 1.1, area.height())
    LAYOUTS[sheet.design.layout](sheet, area)
    sheet.canvas.restore()


def wrap(sheet: Sheet, *, panel: float = 0.33, free: float = 0.0) -> None:
    """Print a label that runs around a body: the front panel in the middle, the back at both ends."""
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
    """Print a bar code; it encodes nothing."""
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
    """Print a box's side: the name running upwards, or a panel of small print."""
    whole = rect(0, 0, sheet.width, sheet.height)
    ground(sheet, whole, unit=sheet.repeat * min(sheet.height, sheet.width * 1.6), pattern=sheet.quirk[6] < 0.5)
    if sheet.quirk[5] < 0.5 or sheet.width > sheet.height:
        back(sheet, whole.makeInset(sheet.width * 0.12, sheet.height * 0.12))
        return
    palette = sheet.design.palette
    band = rect(sheet.width * 0.25, sheet.height * 0.08, sheet.width * 0.5, sheet.height * 0.84)
    sheet.canvas.drawRect(band, fill(palette.panel.rgb))
    upright(
        sheet, sheet.name, band.makeInset(band.width() * 0.2, band.height() * 0.08), palette.type_on(palette.panel).rgb
    )


def top(sheet: Sheet) -> None:
    """Print a lid: the ground with the name in the middle."""
    palette = sheet.design.palette
    whole = rect(0, 0, sheet.width, sheet.height)
    ground(sheet, whole, pattern=False)
    draw_line(sheet.canvas, sheet.name, whole.makeInset(sheet.width * 0.14, sheet.height * 0.28), sheet.brand_type,
              palette.type_on(palette.ground).rgb)  # fmt: skip
