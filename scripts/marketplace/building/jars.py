"""Round things: cans, jars, pots, tins and candles."""

from __future__ import annotations

from typing import Any

import numpy as np

from lookalike.scripts.marketplace.building.materials import bumped, printed, solid
from lookalike.scripts.marketplace.building.mesh import ball, lathed, panel, sleeve, swept, turned
from lookalike.scripts.marketplace.building.press import GOLD, STEEL, WHITE, Press
from lookalike.scripts.marketplace.colours import Colour
from lookalike.scripts.marketplace.printing import prints


def can(press: Press, rng: np.random.Generator, model: int) -> None:
    """A drinks can with lid and tab, standard or slim."""
    radius, height = (0.33, 1.15) if model == 0 else (0.265, 1.4)
    metal = solid(STEEL, roughness=0.28, metallic=1.0)
    finish = {"roughness": 0.27, "metallic": float(rng.choice([0.0, 0.45])), "coat": 0.35}
    ink = printed(press.wrap(2 * np.pi * radius, height), **finish)
    low, high = radius * 0.84, radius * 0.81
    corners = [
        (low, 0.03, 0),
        (radius, 0.13, 0.08),
        (radius, height - 0.17, 0.1),
        (high, height - 0.02, 0.03),
        (high, height, 0),
    ]
    lathed(corners, ink, steps=8)
    lathed([(0.0, 0.1, 0), (low - 0.05, 0.03, 0.03), (low - 0.02, 0.0, 0.02), (low, 0.03, 0)], metal)
    rim = [
        (high, height, 0),
        (high * 1.035, height + 0.015, 0.01),
        (high * 1.03, height + 0.045, 0.015),
        (high * 0.95, height + 0.04, 0.01),
        (high * 0.9, height - 0.03, 0.02),
        (0, height - 0.02, 0),
    ]
    lathed(rim, metal)
    angle = np.linspace(0, 2 * np.pi, 40)
    tab = np.stack([0.062 * np.cos(angle), 0.1 * np.sin(angle) - 0.05, np.full(40, height - 0.005)], -1)
    swept(tab, 0.016, metal, flat=0.6)
    ball((0, 0.02, height - 0.012), 0.03, metal, squash=0.5)


def jar(press: Press, rng: np.random.Generator, model: int) -> None:
    """A glass jar of spread with a screw lid, round or nearly square."""
    radius, height = 0.4 * rng.uniform(0.9, 1.08), (0.95 if model == 0 else 0.8) * rng.uniform(0.92, 1.1)
    section = (1.0, 1.0, 2.0) if model == 0 else (1.0, 1.0, 5.0)
    neck = radius * (0.84 if model == 0 else 0.9)
    fills: list[Colour] = [(196, 92, 14), (120, 14, 30), (92, 48, 22), (214, 158, 30), (170, 44, 20), (84, 24, 62)]
    content = solid(fills[int(rng.integers(len(fills)))], roughness=0.25, coat=0.6)
    lathed(
        [
            (0.02, 0.05, 0),
            (radius - 0.03, 0.05, 0.09),
            (radius - 0.03, height, 0.12),
            (neck - 0.03, height + 0.08, 0),
        ],
        content,
        section=section,
        caps=True,
    )
    glass = solid((250, 253, 252), roughness=0.01, glass=1.0)
    lathed(
        [
            (0.02, 0.02, 0),
            (radius, 0, 0.1),
            (radius, height, 0.14),
            (neck, height + 0.1, 0.05),
            (neck, height + 0.16, 0),
        ],
        glass,
        section=section,
        caps=True,
    )
    low, high = 0.17, height - 0.16
    arc = (0.24, 0.76) if model == 0 else (0.3, 0.7)
    around = 2 * np.pi * radius * (0.52 if model == 0 else 0.46)
    front = printed(press.front(around, high - low), roughness=0.5)
    sleeve(radius * 1.006, (low, high), front, section=section, arc=arc)
    back = printed(press.side(around * 0.6, high - low), roughness=0.5)
    sleeve(radius * 1.006, (low, high), back, section=section, arc=(0.86, 1.14))
    _screw_lid(neck * 1.07, height + 0.1, solid(press.colour(rng, GOLD, GOLD), roughness=0.35, metallic=0.5))


def _screw_lid(rim: float, z: float, material: Any) -> None:
    corners = [
        (rim, z, 0),
        (rim * 1.015, z + 0.02, 0.01),
        (rim, z + 0.16, 0.03),
        (rim * 0.9, z + 0.17, 0.01),
        (0, z + 0.155, 0),
    ]
    lathed(corners, material)


def pot(press: Press, rng: np.random.Generator, model: int) -> None:
    """A wide, low cream pot with a broad lid."""
    radius, height = 0.36 * rng.uniform(0.92, 1.1), (0.36 if model == 0 else 0.52) * rng.uniform(0.95, 1.1)
    shell = solid(press.palette.ground.rgb if rng.random() < 0.5 else WHITE, roughness=0.12, coat=0.8)
    lathed(
        [(0.02, 0, 0), (radius, 0, 0.06), (radius, height, 0.04), (radius * 0.9, height + 0.02, 0)], shell, caps=True
    )
    skin = [(radius * 1.004, 0.06), (radius * 1.004, height - 0.03)]
    turned(skin, printed(press.wrap(2 * np.pi * radius, height - 0.09, panel=0.26), roughness=0.3, coat=0.5))
    cap_colour = press.colour(rng, GOLD)
    cap = solid(cap_colour, roughness=0.22, coat=0.3)
    top = height + (0.24 if model == 0 else 0.3)
    lathed([(radius * 1.01, height + 0.015, 0), (radius * 1.01, top, 0.035), (0, top + 0.004, 0)], cap)
    sheet = press.sheet(radius * 1.5, radius * 1.5)
    prints.stamp(sheet, on_light=sum(cap_colour) > 380)
    side = radius * 0.75
    face = [
        (-side, -side, top + 0.007),
        (side, -side, top + 0.007),
        (side, side, top + 0.007),
        (-side, side, top + 0.007),
    ]
    panel(face, printed(sheet.pixels(), roughness=0.3))


def tin(press: Press, rng: np.random.Generator, model: int) -> None:
    """A metal tin with a slip lid, round or rectangular."""
    radius, height = (0.42, 1.15) if model == 0 else (0.52, 0.95)
    radius, height = radius * rng.uniform(0.92, 1.08), height * rng.uniform(0.9, 1.12)
    section = (1.0, 1.0, 2.0) if model == 0 else (1.0, 0.7, 7.0)
    finish = {"roughness": 0.3, "metallic": float(rng.choice([0.0, 0.4])), "coat": 0.3}
    panel = 0.33 if model == 0 else 0.31
    ink = printed(
        press.wrap(2 * np.pi * radius * (1.0 if model == 0 else 1.06), height, panel=panel, free=0.2 / height), **finish
    )
    lathed([(radius * 0.985, 0, 0), (radius, 0.02, 0.01), (radius, height, 0)], ink, section=section, sides=128)
    turned([(0.001, 0.004), (radius * 0.985, 0.004)], solid(STEEL, metallic=1.0, roughness=0.3), section=section)
    lid_colour = press.colour(rng, GOLD, STEEL)
    lid = solid(lid_colour, roughness=0.3, metallic=0.5)
    rim = radius * 1.012
    profile = [
        (rim, height - 0.2, 0),
        (rim * 1.008, height - 0.19, 0.004),
        (rim, height - 0.16, 0.01),
        (rim, height + 0.02, 0.03),
        (rim * 0.93, height + 0.035, 0.01),
        (rim * 0.9, height + 0.015, 0.01),
        (0, height + 0.02, 0),
    ]
    lathed(profile, lid, section=section, sides=128)


def candle(press: Press, rng: np.random.Generator, model: int) -> None:
    """A candle in a labelled tumbler, with a wooden lid or an open wick."""
    radius, height = 0.4 * rng.uniform(0.92, 1.08), 0.95 * rng.uniform(0.9, 1.12)
    shell_colour = press.palette.ground.rgb if rng.random() < 0.6 else WHITE
    shell = solid(shell_colour, roughness=0.08, coat=1.0)
    lathed(
        [
            (0.02, 0, 0),
            (radius * 0.97, 0, 0.06),
            (radius, height, 0.015),
            (radius * 0.94, height, 0.01),
            (radius * 0.94, height - 0.22, 0),
        ],
        shell,
    )
    wax = solid((246, 238, 220), roughness=0.5)
    lathed([(radius * 0.945, height - 0.22, 0), (0.0, height - 0.21, 0)], wax)
    low, high = 0.2, height - 0.22
    width = (high - low) * 1.05
    share = min(0.3, width / (2 * np.pi * radius) / 2)
    turned(
        [(radius * 1.001, low), (radius * 1.004, high)],
        printed(press.front(width, high - low), roughness=0.55),
        arc=(0.5 - share, 0.5 + share),
    )
    if model == 1:
        wood = bumped(solid((176, 128, 80), roughness=0.5), "noise", scale=9, strength=0.25)
        lathed(
            [
                (0.0, height + 0.003, 0),
                (radius * 1.04, height + 0.003, 0.015),
                (radius * 1.04, height + 0.11, 0.03),
                (0, height + 0.11, 0),
            ],
            wood,
        )
        return
    wick = np.stack([0.012 * np.sin(np.linspace(0, 2, 9)), np.zeros(9), height - 0.22 + np.linspace(0, 0.13, 9)], -1)
    swept(wick, 0.011, solid((60, 52, 44), roughness=0.9), sides=8)
