"""The emblems of brands, as paths within −1 to 1 on both axes."""

from __future__ import annotations

import re
from math import cos, pi, sin

import skia

from lookalike.scripts.marketplace.printing.paint import polygon


def draw_emblem(canvas: skia.Canvas, kind: str, x: float, y: float, size: float, paint: skia.Paint) -> None:
    """Draw an emblem of this diameter around (x, y)."""
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
