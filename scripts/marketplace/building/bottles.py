"""Bottles and tubes: plastic bottles, glass bottles, flacons and squeeze tubes."""

from __future__ import annotations

from typing import Any

import numpy as np

from lookalike.scripts.marketplace.building.materials import printed, solid
from lookalike.scripts.marketplace.building.mesh import ball, lathed, panel, rounded, sleeve, surface, swept, turned
from lookalike.scripts.marketplace.building.press import BLACK, GOLD, STEEL, WHITE, Press
from lookalike.scripts.marketplace.colours import Colour


def bottle(press: Press, rng: np.random.Generator, model: int) -> None:
    """An oval plastic bottle with a flip cap or a pump."""
    radius, height = 0.36 * rng.uniform(0.92, 1.1), 1.5 * rng.uniform(0.92, 1.12)
    section = (1.0, float(rng.uniform(0.6, 1.0)), float(rng.choice([2.0, 2.4, 3.2])))
    shoulder = height + radius * rng.uniform(0.3, 0.8)
    neck = 0.14 if model else radius * 0.55
    ground = press.palette.ground.rgb if rng.random() < 0.7 else WHITE
    body = solid(ground, roughness=0.28, coat=0.3)
    profile = rounded(
        [(0.02, 0, 0), (radius, 0, 0.07), (radius, height, 0.25), (neck, shoulder, 0.12), (neck, shoulder + 0.06, 0)]
    )
    turned(profile, body, section=section, caps=True)
    low, high = 0.14, height - 0.12
    skin = [(radius * 1.004, low), (radius * 1.004, high)]
    if rng.random() < 0.5:
        paper = printed(press.wrap(2 * np.pi * radius * 0.9, high - low), roughness=0.3, coat=0.3)
        turned(skin, paper, section=section)
    else:
        for arc, pixels in (
            ((0.29, 0.71), press.front(2.2 * radius, high - low)),
            ((0.79, 1.21), press.side(2.2 * radius, high - low)),
        ):
            turned(skin, printed(pixels, roughness=0.32, coat=0.2), section=section, arc=arc)
    cap = solid(press.colour(rng, GOLD), roughness=0.25, coat=0.2)
    if model == 0:
        rim = neck * 1.22
        top = shoulder + 0.04
        lathed(
            [(rim, top, 0), (rim, top + 0.3, 0.05), (0, top + 0.3, 0)],
            cap,
            section=(1, max(section[1], 0.8), section[2]),
        )
        turned(
            [(rim * 1.006, top + 0.17), (rim * 1.006, top + 0.176)],
            solid(BLACK),
            section=(1, max(section[1], 0.8), section[2]),
        )
        return
    _pump(cap, shoulder + 0.04)


def _pump(cap: Any, z: float) -> None:
    lathed([(0.19, z, 0), (0.19, z + 0.18, 0.03), (0.06, z + 0.2, 0.02), (0.06, z + 0.46, 0)], cap)
    lathed([(0, z + 0.44, 0), (0.17, z + 0.44, 0.03), (0.15, z + 0.56, 0.05), (0, z + 0.57, 0)], cap)
    x = np.linspace(0, 1, 24)
    path = np.stack([-0.02 - 0.5 * x, 0 * x, z + 0.5 - 0.11 * np.clip(x - 0.7, 0, 1) ** 2 * 8], -1)
    swept(path, 0.055 - 0.018 * x, cap)


def sauce(press: Press, rng: np.random.Generator, model: int) -> None:
    """A filled glass bottle with a paper label: slim with a long neck, or stout with a crown cap."""
    radius, height = (0.3, 1.35) if model == 0 else (0.31, 1.0)
    radius, height = radius * rng.uniform(0.92, 1.1), height * rng.uniform(0.92, 1.1)
    neck, tip = (0.115, height + 0.95) if model == 0 else (0.125, height + 0.8)
    tints: list[Colour] = [(58, 86, 42), (96, 52, 20), (226, 238, 234), (40, 60, 66)]
    tint = tints[int(rng.integers(len(tints)))]
    glass = solid(tint, roughness=0.02, glass=1.0)
    corners = [
        (0.02, 0.03, 0),
        (radius, 0, 0.06),
        (radius, height, 0.3),
        (neck, height + radius * 1.25, 0.25),
        (neck, tip, 0),
    ]
    lathed(corners, glass, steps=10, caps=True)
    drinks: list[Colour] = [(150, 84, 14), (120, 20, 16), (196, 164, 40), (70, 30, 12)]
    wet = solid(drinks[int(rng.integers(len(drinks)))], roughness=0.15, coat=1.0)
    inner = [
        (0.02, 0.07, 0),
        (radius - 0.035, 0.07, 0.06),
        (radius - 0.035, height, 0.3),
        (neck - 0.03, height + radius * 1.2, 0.2),
        (neck - 0.03, tip - 0.42, 0),
    ]
    lathed(inner, wet, steps=10, caps=True)
    low, high = 0.16, height - 0.2
    paper = printed(press.front(2 * np.pi * radius * 0.5, high - low), roughness=0.6)
    sleeve(radius * 1.005, (low, high), paper, arc=(0.25, 0.75))
    back = printed(press.side(2 * np.pi * radius * 0.3, high - low), roughness=0.6)
    sleeve(radius * 1.005, (low, high), back, arc=(0.85, 1.15))
    foil = solid(press.palette.accent.rgb, roughness=0.3, metallic=0.6)
    if model == 0:
        lathed([(neck * 1.18, tip - 0.34, 0), (neck * 1.18, tip + 0.03, 0.02), (0, tip + 0.03, 0)], foil)
    else:
        _crown_cap(neck, tip, foil)
        collar = printed(press.top(0.8, 0.35), roughness=0.5)
        sleeve(neck * 1.03, (tip - 0.75, tip - 0.4), collar, arc=(0.2, 0.8))


def _crown_cap(neck: float, tip: float, material: Any) -> None:
    corners = [
        (neck * 1.35, tip - 0.06, 0),
        (neck * 1.25, tip + 0.01, 0.01),
        (neck * 0.95, tip + 0.05, 0.03),
        (0, tip + 0.055, 0),
    ]
    lathed(corners, material)


def flacon(press: Press, rng: np.random.Generator, model: int) -> None:
    """A perfume bottle of thick glass with liquid, collar and cap: a block, or with round shoulders."""
    width, depth, height = 0.42 * rng.uniform(0.9, 1.15), float(rng.uniform(0.42, 0.62)), 0.95 * rng.uniform(0.85, 1.2)
    section = (1.0, depth, 7.0 if model == 0 else 2.6)
    soft = 0.05 if model == 0 else 0.3
    glass = solid((252, 253, 253), roughness=0.01, glass=1.0)
    lathed(
        [
            (0.02, 0.0, 0),
            (width, 0, 0.05),
            (width, height, soft),
            (0.1, height + 0.03, 0.02),
            (0.1, height + 0.06, 0),
        ],
        glass,
        steps=8,
        section=section,
        caps=True,
    )
    tint = press.palette.accent.turned(float(rng.uniform(-30, 30)))
    juice = solid(tint.rgb, roughness=0.04, glass=0.75, ior=1.33)
    inset = 0.055
    lathed(
        [
            (0.02, 0.11, 0),
            (width - inset, 0.11, 0.05),
            (width - inset, height - 0.12, soft * 0.3),
            (0.02, height - 0.11, 0),
        ],
        juice,
        steps=8,
        section=(1.0, max(0.1, (width * depth - inset) / (width - inset)), section[2]),
        caps=True,
    )
    _flacon_label(press, width, height, section)
    _flacon_cap(press, rng, height, model)


def _flacon_label(press: Press, width: float, height: float, section: tuple[float, float, float]) -> None:
    low, high = height * 0.2, height * 0.8
    if section[2] > 4:
        plate = printed(press.front(width * 1.3, high - low), roughness=0.4, coat=0.2)
        y = -width * section[1] - 0.004
        half = width * 0.65
        panel([(-half, y, low), (half, y, low), (half, y, high), (-half, y, high)], plate)
        return
    plate = printed(press.front(width * 1.2, high - low), roughness=0.45)
    sleeve(width * 1.004, (low, high), plate, section=section, arc=(0.34, 0.66))


def _flacon_cap(press: Press, rng: np.random.Generator, height: float, model: int) -> None:
    z = height + 0.03
    metal_colour = GOLD if rng.random() < 0.5 else STEEL
    metal = solid(metal_colour, metallic=1.0, roughness=0.22)
    lathed([(0.15, z, 0), (0.15, z + 0.1, 0.02), (0, z + 0.1, 0)], metal)
    cap = solid(press.colour(rng, BLACK), roughness=0.15, coat=0.7)
    kind = int(rng.integers(3))
    if kind == 0:
        lathed([(0.0, z + 0.09, 0), (0.2, z + 0.09, 0.02), (0.2, z + 0.46, 0.04), (0, z + 0.46, 0)], cap)
    elif kind == 1:
        ball((0, 0, z + 0.3), 0.22, metal if model else cap)
    else:
        lathed(
            [(0.0, z + 0.09, 0), (0.21, z + 0.09, 0.02), (0.21, z + 0.4, 0.02), (0, z + 0.4, 0)], cap, section=(1, 1, 8)
        )


def tube(press: Press, rng: np.random.Generator, model: int) -> None:
    """A squeeze tube standing on its cap, with its end crimped flat."""
    radius, length = 0.24 * rng.uniform(0.92, 1.15), (1.25 if model == 0 else 0.95) * rng.uniform(0.95, 1.15)
    base, rows, columns = 0.24, 60, 96
    t = np.linspace(0, 1, rows)[:, None]
    angle = 2 * np.pi * np.linspace(0, 1, columns + 1)[None, :] - 1.5 * np.pi
    flat = np.clip((t - 0.02) / 0.9, 0, 1)
    wide, deep = radius * (1 + 0.5 * flat), radius * (1 - flat**1.3) + 0.012
    points = np.stack(np.broadcast_arrays(wide * np.cos(angle), deep * np.sin(angle), base + length * t), -1)
    uv = np.stack(np.broadcast_arrays(np.linspace(0, 1, columns + 1)[None, :], t), -1)
    ink = printed(press.wrap(2 * np.pi * radius, length, panel=0.37), roughness=0.26, coat=0.35)
    surface(points[:, :-1], uv, ink, closed=True, caps=True)
    seam = solid(press.palette.ground.rgb, roughness=0.3)
    for k in range(7):
        z = base + length * (0.955 + 0.006 * k)
        path = np.array([[x, 0.0, z] for x in np.linspace(-radius * 1.49, radius * 1.49, 8)])
        swept(path, 0.0155, seam, sides=8)
    cap = solid(press.colour(rng, GOLD), roughness=0.3)
    rim = radius * (1.0 if model == 0 else 0.78)
    lathed(
        [(0.01, 0, 0), (rim, 0, 0.03), (rim * 0.96, base * 0.9, 0.02), (radius * 0.99, base + 0.012, 0)], cap, caps=True
    )
