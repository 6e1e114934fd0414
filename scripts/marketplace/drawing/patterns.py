"""Patterns and emblems of the marketplace's labels, drawn with Skia into a unit that the caller scales."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np
import skia

from lookalike.scripts.marketplace.colours import Colour


def fill(colour: Colour, *, alpha: float = 1.0, stroke: float = 0.0) -> skia.Paint:
    """A paint of that colour; with a stroke width it draws lines."""
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


def draw_pattern(
    canvas: skia.Canvas, kind: str, area: skia.Rect, colours: tuple[Colour, Colour], *, unit: float, seed: int
) -> None:
    """Cover the area with the pattern; `unit` is its repeat in pixels, `seed` its angle, weight and scatter."""
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


def draw_emblem(canvas: skia.Canvas, kind: str, x: float, y: float, size: float, paint: skia.Paint) -> None:
    """Draw an emblem of that diameter round (x, y)."""
    canvas.save()
    canvas.translate(x, y)
    canvas.scale(size / 2, size / 2)
    canvas.drawPath(emblem_path(kind), paint)
    canvas.restore()


def emblem_path(kind: str) -> skia.Path:
    """The emblem within −1 to 1 on both axes."""
    path = skia.Path()
    path.setFillType(skia.PathFillType.kEvenOdd)
    if kind in _SHAPES:
        path.addPath(_outline(_SHAPES[kind]))
    elif kind == "star":
        ends = [
            (
                cos(k * pi / 5 - pi / 2) * (1 if k % 2 == 0 else 0.42),
                sin(k * pi / 5 - pi / 2) * (1 if k % 2 == 0 else 0.42),
            )
            for k in range(10)
        ]
        path.addPath(polygon(ends))
    elif kind in ("flower", "berry"):
        count, radius, reach = (6, 0.4, 0.58) if kind == "flower" else (7, 0.3, 0.5)
        for k in range(count):
            path.addCircle(reach * cos(2 * pi * k / count), reach * sin(2 * pi * k / count), radius)
        path.setFillType(skia.PathFillType.kWinding)
        middle = skia.Path()
        middle.addCircle(0, 0, 0.22)
        path = skia.Op(path, middle, skia.PathOp.kDifference_PathOp)
    elif kind in ("sun", "citrus"):
        path = _sun() if kind == "sun" else _citrus()
    elif kind == "knot":
        for k in range(3):
            ring = skia.Path()
            ring.addCircle(0.38 * cos(k * 2 * pi / 3 - pi / 2), 0.38 * sin(k * 2 * pi / 3 - pi / 2), 0.55)
            ring.addCircle(0.38 * cos(k * 2 * pi / 3 - pi / 2), 0.38 * sin(k * 2 * pi / 3 - pi / 2), 0.42)
            path.addPath(ring)
    return path


_SHAPES = {
    "leaf": "M0,-1 C0.75,-0.45 0.75,0.35 0.06,0.78 L0.06,1 L-0.06,1 L-0.06,0.78 C-0.75,0.35 -0.75,-0.45 0,-1 Z "
    "M0,-0.6 L-0.03,0.6 L0.03,0.6 Z",
    "wave": "M-1,0.2 C-0.6,-0.8 0.2,-0.95 0.5,-0.2 C0.2,-0.45 0,-0.2 0.1,0.05 C0.25,0.35 0.7,0.3 1,0.1 L1,0.4 "
    "C0.5,0.7 -0.2,0.7 -0.4,0.3 C-0.6,0.2 -0.8,0.4 -1,0.6 Z M-1,0.75 C-0.4,0.5 0.2,1 1,0.6 L1,0.75 "
    "C0.2,1.1 -0.4,0.65 -1,0.9 Z",
    "peak": "M-1,0.7 L-0.3,-0.6 L0.05,0.05 L0.3,-0.3 L1,0.7 Z M-0.3,-0.6 L-0.52,-0.2 L-0.36,-0.28 L-0.26,-0.12 "
    "L-0.14,-0.26 Z",
    "drop": "M0,-1 C0.25,-0.5 0.68,-0.05 0.68,0.35 A0.68,0.65 0 0 1 -0.68,0.35 C-0.68,-0.05 -0.25,-0.5 0,-1 Z "
    "M-0.4,0.35 A0.4,0.4 0 0 0 0,0.75 L0,0.64 A0.3,0.3 0 0 1 -0.29,0.35 Z",
    "bird": "M-1,-0.2 C-0.6,-0.6 -0.2,-0.4 0,0.1 C0.2,-0.4 0.6,-0.6 1,-0.2 C0.6,-0.25 0.35,0 0.15,0.55 L0,0.4 "
    "L-0.15,0.55 C-0.35,0 -0.6,-0.25 -1,-0.2 Z",
    "moon": "M0.35,-0.95 A1,1 0 1 0 0.95,0.35 A0.8,0.8 0 1 1 0.35,-0.95 Z M0.55,-0.3 L0.62,-0.12 L0.8,-0.05 "
    "L0.62,0.02 L0.55,0.2 L0.48,0.02 L0.3,-0.05 L0.48,-0.12 Z",
    "shell": "M0,0.9 L-0.95,-0.1 C-0.95,-0.55 -0.6,-0.6 -0.52,-0.45 C-0.5,-0.85 -0.1,-0.95 0,-0.65 "
    "C0.1,-0.95 0.5,-0.85 0.52,-0.45 C0.6,-0.6 0.95,-0.55 0.95,-0.1 Z M-0.03,0.6 L-0.45,-0.3 L-0.4,-0.32 Z "
    "M0.03,0.6 L0.45,-0.3 L0.4,-0.32 Z M0,0.6 L-0.03,-0.45 L0.03,-0.45 Z",
    "bolt": "M0.25,-1 L-0.6,0.15 L-0.08,0.15 L-0.25,1 L0.6,-0.2 L0.08,-0.2 Z",
    "bean": "M-0.2,-0.85 C0.5,-1 0.9,-0.4 0.7,0.2 C0.5,0.8 -0.1,1 -0.5,0.75 C-0.95,0.4 -0.8,-0.6 -0.2,-0.85 Z "
    "M0.1,-0.85 C-0.3,-0.3 0.4,0.1 -0.2,0.85 C0.55,0.2 -0.1,-0.25 0.22,-0.85 Z",
    "fish": "M-0.95,0 C-0.5,-0.6 0.2,-0.55 0.5,-0.05 L0.95,-0.4 L0.85,0 L0.95,0.4 L0.5,0.05 C0.2,0.55 -0.5,0.6 "
    "-0.95,0 Z M-0.6,-0.1 A0.07,0.07 0 1 0 -0.46,-0.1 A0.07,0.07 0 1 0 -0.6,-0.1 Z",
}


def _outline(data: str) -> skia.Path:
    """A path from the M, L, C, A and Z commands (absolute) of an SVG path."""
    path = skia.Path()
    path.setFillType(skia.PathFillType.kEvenOdd)
    for letter, rest in re.findall(r"([MLCAZ])([^MLCAZ]*)", data):
        n = [float(number) for number in re.split(r"[ ,]+", rest.strip()) if number]
        if letter == "M":
            path.moveTo(*n)
        elif letter == "L":
            path.lineTo(*n)
        elif letter == "C":
            path.cubicTo(*n)
        elif letter == "A":
            size = skia.Path.ArcSize.kLarge_ArcSize if n[3] else skia.Path.ArcSize.kSmall_ArcSize
            turn = skia.PathDirection.kCW if n[4] else skia.PathDirection.kCCW
            path.arcTo(n[0], n[1], n[2], size, turn, n[5], n[6])
        else:
            path.close()
    return path


def _sun() -> skia.Path:
    path = skia.Path()
    path.addCircle(0, 0, 0.5)
    for k in range(12):
        a = k * pi / 6
        tip, left, right = (
            (cos(a), sin(a)),
            (0.6 * cos(a - 0.16), 0.6 * sin(a - 0.16)),
            (0.6 * cos(a + 0.16), 0.6 * sin(a + 0.16)),
        )
        path.addPath(polygon([tip, left, right]))
    return path


def _citrus() -> skia.Path:
    path = skia.Path()
    path.setFillType(skia.PathFillType.kEvenOdd)
    path.addCircle(0, 0, 1)
    path.addCircle(0, 0, 0.86)
    for k in range(8):
        a, b = k * pi / 4 + 0.06, (k + 1) * pi / 4 - 0.06
        path.addPath(
            polygon(
                [(0.1 * cos((a + b) / 2), 0.1 * sin((a + b) / 2))]
                + [(0.78 * cos(a + (b - a) * t / 8), 0.78 * sin(a + (b - a) * t / 8)) for t in range(9)]
            )
        )
    return path
