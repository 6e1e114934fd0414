"""The patterns of labels, in units that the caller sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np
import skia

from lookalike.scripts.marketplace.colours import Colour
from lookalike.scripts.marketplace.printing.emblems import emblem_path
from lookalike.scripts.marketplace.printing.paint import fill, polygon


def draw_pattern(
    canvas: skia.Canvas, kind: str, area: skia.Rect, colours: tuple[Colour, Colour], *, unit: float, seed: int
) -> None:
    """Cover the area with the pattern; `unit` is its repeat in pixels, and `seed` sets angle, weight and scatter."""
    rng = np.random.default_rng(seed)
    if kind == "plain":
        return
    canvas.save()
    canvas.clipRect(area, True)
    unit *= float(rng.uniform(0.8, 1.35))
    _DRAWN[kind](_Cloth(canvas, area, fill(colours[0]), fill(colours[1]), unit, rng))
    canvas.restore()


@dataclass(frozen=True)
class _Cloth:
    canvas: skia.Canvas
    area: skia.Rect
    one: skia.Paint
    two: skia.Paint
    unit: float
    rng: np.random.Generator


def _cells(area: skia.Rect, dx: float, dy: float, *, stagger: bool) -> list[tuple[float, float, int]]:
    rows = int(area.height() / dy) + 3
    columns = int(area.width() / dx) + 3
    return [
        (area.left() + (c - 1 + (0.5 if stagger and r % 2 else 0)) * dx, area.top() + (r - 1) * dy, r + c)
        for r in range(rows)
        for c in range(columns)
    ]


def _lines(
    canvas: skia.Canvas, area: skia.Rect, paint: skia.Paint, step: float, wave: Callable[[float], float]
) -> None:
    for row in range(-2, int(area.height() / step) + 3):
        points = [
            (x, area.top() + row * step + wave(x - area.left()))
            for x in np.arange(area.left() - 4, area.right() + 8, max(1.0, step / 16)).tolist()
        ]
        canvas.drawPath(polygon(points, closed=False), paint)


def _stroke(paint: skia.Paint, width: float) -> skia.Paint:
    line = skia.Paint(paint)
    line.setStyle(skia.Paint.kStroke_Style)
    line.setStrokeWidth(width)
    return line


def _waves(c: _Cloth) -> None:
    weight, height = c.rng.uniform(0.14, 0.4), c.rng.uniform(0.18, 0.3)
    _lines(c.canvas, c.area, _stroke(c.one, c.unit * weight), c.unit, lambda x: c.unit * height * sin(x / c.unit * pi))


def _zigzag(c: _Cloth) -> None:
    _lines(
        c.canvas, c.area, _stroke(c.one, c.unit * 0.2), c.unit * 0.8, lambda x: c.unit * 0.5 * abs((x / c.unit) % 2 - 1)
    )


def _chevron(c: _Cloth) -> None:
    line, other = _stroke(c.one, c.unit * 0.6), _stroke(c.two, c.unit * 0.12)
    _lines(c.canvas, c.area, line, c.unit * 1.8, lambda x: c.unit * abs((x / c.unit / 1.5) % 2 - 1))
    _lines(c.canvas, c.area, other, c.unit * 1.8, lambda x: c.unit * (abs((x / c.unit / 1.5) % 2 - 1) + 0.85))


def _stripes(c: _Cloth) -> None:
    c.canvas.rotate(float(c.rng.choice([0, 0, 90, 45, -30])), c.area.centerX(), c.area.centerY())
    reach, share = c.area.width() + c.area.height(), c.rng.uniform(0.3, 0.6)
    for i in range(int(2 * reach / c.unit)):
        x = c.area.centerX() - reach + i * c.unit
        c.canvas.drawRect(skia.Rect.MakeXYWH(x, c.area.centerY() - reach, c.unit * share, 2 * reach), c.one)
        c.canvas.drawRect(
            skia.Rect.MakeXYWH(x + c.unit * (share + 0.12), c.area.centerY() - reach, c.unit * 0.08, 2 * reach), c.two
        )


def _dots(c: _Cloth) -> None:
    size = c.rng.uniform(0.2, 0.34)
    for x, y, i in _cells(c.area, c.unit, c.unit * 0.9, stagger=True):
        c.canvas.drawCircle(x, y, c.unit * size, c.two if i % 5 == 0 else c.one)


def _checks(c: _Cloth) -> None:
    faint = skia.Paint(c.one)
    faint.setAlpha(130)
    if c.rng.random() < 0.5:
        c.canvas.rotate(45, c.area.centerX(), c.area.centerY())
    reach = c.area.width() + c.area.height()
    for i in range(int(reach / c.unit)):
        at = (i - int(reach / c.unit) // 2) * c.unit
        c.canvas.drawRect(
            skia.Rect.MakeXYWH(c.area.centerX() + at, c.area.centerY() - reach, c.unit / 2, 2 * reach), faint
        )
        c.canvas.drawRect(
            skia.Rect.MakeXYWH(c.area.centerX() - reach, c.area.centerY() + at, 2 * reach, c.unit / 2), faint
        )


def _scales(c: _Cloth) -> None:
    line = _stroke(c.one, c.unit * 0.1)
    for x, y, _ in _cells(c.area, c.unit, c.unit * 0.5, stagger=True):
        c.canvas.drawArc(skia.Rect.MakeXYWH(x - c.unit / 2, y - c.unit / 2, c.unit, c.unit), 0, 180, False, line)
        c.canvas.drawCircle(x, y + c.unit * 0.2, c.unit * 0.09, c.two)


def _arcs(c: _Cloth) -> None:
    for x, y, _ in _cells(c.area, c.unit * 1.4, c.unit * 1.4, stagger=False):
        c.canvas.save()
        c.canvas.translate(x, y)
        c.canvas.rotate(float(c.rng.integers(4)) * 90)
        for radius in (1.25, 0.9, 0.55):
            c.canvas.drawArc(
                skia.Rect.MakeLTRB(-radius * c.unit, -radius * c.unit, radius * c.unit, radius * c.unit), 0, 90, False,
                _stroke(c.two if radius < 0.6 else c.one, c.unit * 0.16),
            )  # fmt: skip
        c.canvas.restore()


def _leaves(c: _Cloth) -> None:
    _scattered(c, "leaf")


def _blossoms(c: _Cloth) -> None:
    _scattered(c, "flower")


def _scattered(c: _Cloth, emblem: str) -> None:
    for x, y, _ in _cells(c.area, c.unit * 1.1, c.unit, stagger=True):
        size = c.unit * c.rng.uniform(0.32, 0.6)
        path = emblem_path(emblem)
        c.canvas.save()
        c.canvas.translate(x + c.unit * c.rng.uniform(-0.15, 0.15), y + c.unit * c.rng.uniform(-0.15, 0.15))
        c.canvas.rotate(float(c.rng.uniform(0, 360)))
        c.canvas.scale(size, size)
        c.canvas.drawPath(path, c.two if c.rng.random() < 0.3 else c.one)
        c.canvas.restore()


def _terrazzo(c: _Cloth) -> None:
    for x, y, _ in _cells(c.area, c.unit * 0.8, c.unit * 0.8, stagger=True):
        radius, count = c.unit * c.rng.uniform(0.12, 0.4), int(c.rng.integers(4, 7))
        angles = np.sort(c.rng.uniform(0, 2 * pi, count)) + np.arange(count) * 0.2
        middle = (x + c.unit * c.rng.uniform(-0.2, 0.2), y + c.unit * c.rng.uniform(-0.2, 0.2))
        points = [(middle[0] + radius * cos(a), middle[1] + radius * sin(a)) for a in angles.tolist()]
        c.canvas.drawPath(polygon(points), c.one if c.rng.random() < 0.6 else c.two)


def _hexagons(c: _Cloth) -> None:
    line = _stroke(c.one, c.unit * 0.1)
    for x, y, _ in _cells(c.area, c.unit, c.unit * 0.866, stagger=True):
        points = [(x + c.unit * 0.5 * sin(k * pi / 3), y + c.unit * 0.5 * cos(k * pi / 3)) for k in range(6)]
        c.canvas.drawPath(polygon(points), line)
        if c.rng.random() < 0.18:
            c.canvas.drawPath(polygon(points), c.two)


def _argyle(c: _Cloth) -> None:
    line = _stroke(c.two, c.unit * 0.05)
    for x, y, _ in _cells(c.area, c.unit * 1.2, c.unit * 2, stagger=False):
        diamond = polygon([(x, y - c.unit), (x + c.unit * 0.6, y), (x, y + c.unit), (x - c.unit * 0.6, y)])
        c.canvas.drawPath(diamond, c.one)
        c.canvas.save()
        c.canvas.translate(c.unit * 0.6, 0)
        c.canvas.drawPath(diamond, line)
        c.canvas.restore()


def _rays(c: _Cloth) -> None:
    middle = (c.area.left() + c.area.width() / 2, c.area.top() + c.area.height() * c.rng.uniform(0.3, 0.7))
    count, reach = int(c.rng.integers(10, 22)), c.area.width() + c.area.height()
    for k in range(count):
        start = 2 * pi * k / count
        ends = [(middle[0] + reach * cos(a), middle[1] + reach * sin(a)) for a in (start, start + pi / count)]
        c.canvas.drawPath(polygon([middle, *ends]), c.one)


def _contours(c: _Cloth) -> None:
    for _ in range(max(3, int(c.area.width() * c.area.height() / (c.unit * c.unit * 30)))):
        x, y = c.rng.uniform(c.area.left(), c.area.right()), c.rng.uniform(c.area.top(), c.area.bottom())
        bumps = c.rng.uniform(-0.18, 0.18, 4)
        for ring in range(1, 6):
            angles = np.linspace(0, 2 * pi, 60, endpoint=False)
            wobble = 1 + sum(b * np.sin((k + 1) * angles + 9 * b) for k, b in enumerate(bumps.tolist()))
            radii = c.unit * 0.62 * ring * wobble
            points = list(
                zip((x + radii * np.cos(angles)).tolist(), (y + radii * np.sin(angles)).tolist(), strict=True)
            )
            c.canvas.drawPath(polygon(points), _stroke(c.two if ring == 3 else c.one, c.unit * 0.09))


_DRAWN: dict[str, Callable[[_Cloth], None]] = {
    "waves": _waves, "stripes": _stripes, "dots": _dots, "checks": _checks, "chevron": _chevron, "scales": _scales,
    "leaves": _leaves, "terrazzo": _terrazzo, "hexagons": _hexagons, "argyle": _argyle, "rays": _rays, "arcs": _arcs,
    "contours": _contours, "blossoms": _blossoms, "zigzag": _zigzag,
}  # fmt: skip
