"""Prints on things other than packaging: mugs, bags, plates, watches and shoes."""

from __future__ import annotations

import numpy as np
import skia

from lookalike.scripts.marketplace.printing.emblems import draw_emblem
from lookalike.scripts.marketplace.printing.paint import fill, polygon
from lookalike.scripts.marketplace.printing.patterns import draw_pattern
from lookalike.scripts.marketplace.printing.sheet import Sheet, ground, near, rect
from lookalike.scripts.marketplace.printing.type import draw_line


def stamp(sheet: Sheet, *, on_light: bool) -> None:
    """Print only the emblem and the name, without a ground: for lids and glass."""
    ink = (52, 50, 54) if on_light else (246, 242, 232)
    w, h = sheet.width, sheet.height
    draw_emblem(sheet.canvas, sheet.design.emblem, w / 2, h * 0.32, min(w, h) * 0.24, fill(ink))
    draw_line(sheet.canvas, sheet.name, rect(w * 0.12, h * 0.52, w * 0.76, h * 0.2), sheet.brand_type, ink)


def mug_print(sheet: Sheet) -> None:
    """Print a mug: the emblem and the name on both sides of the handle, above a patterned band."""
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
    """Print a bag's leather: the pattern all over, with emblems and initials in between."""
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
    """Print a metal plate: the name in dark on metal."""
    sheet.canvas.clear(skia.Color(214, 196, 150))
    area = rect(0, 0, sheet.width, sheet.height).makeInset(sheet.width * 0.1, sheet.height * 0.24)
    draw_line(sheet.canvas, sheet.name, area, sheet.brand_type, (44, 36, 26))


def dial(sheet: Sheet, *, square: bool) -> None:
    """Print a watch's dial: minute track, hour marks, name and emblem."""
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
            (near(face, palette.extra).rgb,) * 2,
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
    """Print a shoe's side, heel left and toe right: knitted ground, overlays, stitching, a big emblem and the name."""
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
