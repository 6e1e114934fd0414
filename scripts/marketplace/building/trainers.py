"""Sports shoes: sole, upper and laces."""

from __future__ import annotations

from typing import Any

import numpy as np

from lookalike.scripts.marketplace.building.materials import bumped, printed, solid
from lookalike.scripts.marketplace.building.mesh import raw, surface, swept
from lookalike.scripts.marketplace.building.press import BLACK, WHITE, Press
from lookalike.scripts.marketplace.printing import prints


def trainer(press: Press, rng: np.random.Generator, model: int) -> None:
    """A sports shoe, low or ankle-high, with its outer side to the front."""
    length, width = 2.9, 0.52
    high = 1.0 if model == 0 else 1.45
    sheet = press.sheet(length, 1.6)
    prints.shoe_side(sheet)
    upper = bumped(
        printed(sheet.pixels(), roughness=0.65, sheen=0.15), "weave", scale=70, strength=0.12, distance=0.004
    )
    foam = solid(WHITE if rng.random() < 0.7 else press.palette.panel.rgb, roughness=0.6)
    rubber = solid(press.palette.accent.rgb if rng.random() < 0.5 else BLACK, roughness=0.55)
    lace = bumped(
        solid(WHITE if rng.random() < 0.6 else press.palette.accent.rgb, roughness=0.9), "noise", scale=60, strength=0.3
    )
    lining = solid(press.palette.ink.rgb, roughness=0.95)
    _sole(length, width, foam, rubber)
    _upper(length, width, high, upper, lining)
    _laces(length, width, high, lace, lining)


# how far the front end of an upper's slices recedes: rise 0 to 1, and t along the foot (1 is the toe)
_INSTEP = ([0, 0.12, 0.24, 0.34, 0.44, 0.56, 0.72, 0.88, 1.0], [0.985, 0.98, 0.96, 0.91, 0.82, 0.7, 0.56, 0.47, 0.43])


def _foot(t: np.ndarray[Any, Any], width: float) -> np.ndarray[Any, Any]:
    """Half the width of a foot at t along its length, from 0 at the heel to 1 at the toe."""
    heel = np.clip(t / 0.12, 0, 1) ** 0.5
    toe = np.clip((1 - t) / 0.3, 0, 1) ** 0.52
    return np.asarray(
        width
        * heel
        * toe
        * (0.78 + 0.26 * np.exp(-(((t - 0.7) / 0.24) ** 2)) - 0.06 * np.exp(-(((t - 0.42) / 0.15) ** 2)))
    )


def _sole(length: float, width: float, foam: Any, rubber: Any) -> None:
    for low, high, grow, skin in ((0.0, 0.1, 1.0, rubber), (0.09, 0.36, 1.06, foam)):
        angle = np.linspace(0, 2 * np.pi, 161)[:-1]
        t = 0.5 - 0.5 * np.cos(angle)
        side = np.sign(np.sin(angle)) * _foot(t, width) * 1.02
        rows = []
        for z, push in ((low, 0.94), (low + 0.02, 1.0), ((low + high) / 2, 1.03), (high - 0.02, 1.0), (high, 0.95)):
            rocker = 0.16 * np.clip((t - 0.72) / 0.28, 0, 1) ** 2 + 0.05 * np.clip((0.12 - t) / 0.12, 0, 1) ** 2
            wedge = (1.0 - 0.28 * t) if skin is foam else 1.0
            x = (0.5 - t) * length * (1 + 0.015 * (push - 0.95) * 10) * -1
            rows.append(np.stack([x, side * push * grow, low + (z - low) * wedge + rocker], -1))
        points = np.stack(rows)
        surface(points, np.zeros((len(rows), 161, 2)), skin, closed=True, caps=True, crease=60)


def _upper(length: float, width: float, high: float, skin: Any, lining: Any) -> None:
    """Stacked outlines of the foot, whose front end recedes towards the ankle as they rise."""
    rise = np.linspace(0, 1, 46)
    ankle = 0.3 + 0.78 * high
    z = 0.24 + rise * (ankle - 0.24)
    # the front end of each slice, as t: around the toes, then up the instep
    front = np.interp(rise, *_INSTEP)
    rear = 0.02 + 0.035 * np.sin(rise * np.pi) - 0.01 * rise
    slim = 1 - 0.3 * rise**1.3
    angle = np.linspace(0, 2 * np.pi, 161)[:-1]
    s = 0.5 - 0.5 * np.cos(angle)
    rows = []
    for k in range(len(rise)):
        t = rear[k] + (front[k] - rear[k]) * s
        cover = np.clip((1 - s) / 0.16, 0, 1) ** 0.5 * np.clip(s / 0.1, 0, 1) ** 0.5
        half = np.minimum(_foot(t, width) * 1.0, width * 0.95) * slim[k]
        half = np.minimum(half, width * 0.9 * cover)
        dip = 0.12 * high * rise[k] ** 3 * np.sin(np.pi * np.clip(s, 0, 1)) ** 2
        toe_lift = 0.14 * np.clip((t - 0.72) / 0.28, 0, 1) ** 2
        rows.append(
            np.stack([(t - 0.5) * length, np.sign(np.sin(angle)) * half, z[k] - dip + toe_lift * (1 - rise[k])], -1)
        )
    points = np.stack(rows)
    u = points[..., 0] / length + 0.5
    v = (points[..., 2] - 0.2) / 1.3
    uv = np.stack([u, v], -1)
    uv = np.concatenate([uv, uv[:, :1]], 1)
    surface(points, uv, skin, closed=True, crease=80)
    collar = points[-1]
    swept(np.concatenate([collar, collar[:2]]), 0.05, lining, sides=12)
    hollow = np.stack([collar * [0.97, 0.9, 1.0], collar * [0.9, 0.6, 0.62]])
    surface(hollow[::-1], np.zeros((2, 161, 2)), lining, closed=True)
    floor = collar * [0.9, 0.6, 0.62]
    raw(floor.tolist(), [list(range(160))], lining, np.zeros((160, 2)))


def _laces(length: float, width: float, high: float, lace: Any, lining: Any) -> None:
    """Laces over the instep, and the end of the tongue above them."""
    ankle = 0.3 + 0.78 * high
    rises = np.linspace(0.5, 0.93, 6)
    front = np.interp(rises, *_INSTEP)
    for rise, t in zip(rises.tolist(), front.tolist(), strict=True):
        z, x = 0.24 + rise * (ankle - 0.24), (t - 0.5) * length
        a = np.linspace(-1, 1, 21)
        reach = width * 0.36
        path = np.stack([x - 0.2 * a**2 + 0.03, reach * a, z + 0.03 - 0.05 * a**2], -1)
        swept(path, 0.034, lace, sides=10, flat=0.55)
    z, x = ankle, (0.43 - 0.5) * length
    t = np.linspace(0, 1, 14)
    tongue = np.stack([x + 0.16 - 0.14 * t, 0 * t, z - 0.16 + 0.36 * t], -1)
    swept(tongue, 0.036 * np.sqrt(np.clip(1.02 - t**6, 0.02, 1)), lining, sides=16, flat=5.0)
