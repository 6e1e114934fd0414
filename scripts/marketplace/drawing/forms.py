"""Packaging of the marketplace: cartons, bottles, cans, jars, tubes, pouches and more, with the label on them.

Every form is a function `(press, rng, model) -> None` that builds objects into the open Blender scene.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.scripts.marketplace.brands import Product
from lookalike.scripts.marketplace.colours import Colour
from lookalike.scripts.marketplace.drawing import labels
from lookalike.scripts.marketplace.drawing.materials import bumped, printed, solid
from lookalike.scripts.marketplace.mesh import ball, box, raw, rounded, surface, swept, turned

BLACK, WHITE, STEEL, GOLD = (24, 24, 27), (244, 243, 240), (196, 198, 202), (212, 172, 96)


class Press:
    """Prints a product's labels at a resolution of so many pixels per 10 cm."""

    def __init__(self, product: Product, *, fonts: Path | None = None, density: int = 420) -> None:
        self.product, self.palette = product, product.design.palette
        self._fonts, self._density = fonts, density

    def sheet(self, width: float, height: float) -> labels.Sheet:
        """An empty sheet for a label of that size in units of 10 cm."""
        size = (max(32, round(width * self._density)), max(32, round(height * self._density)))
        return labels.Sheet(self.product.design, self.product.form, *size, fonts=self._fonts)

    def front(self, width: float, height: float, *, free: float = 0.0) -> labels.Label:
        """A front panel on the patterned ground; the uppermost part `free` is left to the ground."""
        sheet = self.sheet(width, height)
        labels.ground(sheet, labels.rect(0, 0, sheet.width, sheet.height))
        labels.front(sheet, labels.rect(0, sheet.height * free, sheet.width, sheet.height * (1 - free)))
        return sheet.pixels()

    def wrap(self, width: float, height: float, *, panel: float = 0.33, free: float = 0.0) -> labels.Label:
        """A label round a body of that circumference; the uppermost part `free` is left to the ground."""
        sheet = self.sheet(width, height)
        labels.wrap(sheet, panel=panel, free=free)
        return sheet.pixels()

    def side(self, width: float, height: float) -> labels.Label:
        """A box's side."""
        sheet = self.sheet(width, height)
        labels.side(sheet)
        return sheet.pixels()

    def top(self, width: float, height: float) -> labels.Label:
        """A lid."""
        sheet = self.sheet(width, height)
        labels.top(sheet)
        return sheet.pixels()

    def colour(self, rng: np.random.Generator, *also: Colour) -> Colour:
        """A colour for caps and lids: one of the palette's, black, white, or one of `also`."""
        palette = self.palette
        choices = [palette.ground.rgb, palette.accent.rgb, palette.panel.rgb, WHITE, BLACK, *also]
        return choices[int(rng.integers(len(choices)))]


def carton(press: Press, rng: np.random.Generator, model: int) -> None:
    """A folding box: tall as for cereal, or low as for tea."""
    width, depth, height = (1.35, 0.5, 1.95) if model == 0 else (1.3, 0.72, 0.95)
    width, depth, height = (
        width * rng.uniform(0.9, 1.1),
        depth * rng.uniform(0.85, 1.15),
        height * rng.uniform(0.9, 1.1),
    )
    finish = {"roughness": float(rng.uniform(0.3, 0.55)), "coat": float(rng.choice([0.0, 0.4]))}
    papers = [printed(press.front(width, height), **finish), printed(press.side(depth, height), **finish),
              printed(press.top(width, depth), **finish)]  # fmt: skip
    box((width, depth, height), papers, bevel=0.014)
    # The tuck flap's edge: a thin card lying on the lid, its end folded in.
    flap = box((width * 0.985, depth * 0.93, 0.006), [papers[2]] * 3, bevel=0.003, base=height - 0.002)
    flap.location.y = -depth * 0.02


def gable(press: Press, rng: np.random.Generator, model: int) -> None:
    """A drinks carton with a gable roof and a screw cap, or with a flat roof."""
    width, height = 0.72 * rng.uniform(0.95, 1.1), (1.75 if model == 0 else 1.5) * rng.uniform(0.95, 1.08)
    depth, roof = width * (1.0 if model == 0 else 0.82), 0.5 * width
    finish = {"roughness": 0.32, "coat": 0.25}
    front, side = printed(press.front(width, height), **finish), printed(press.side(depth, height), **finish)
    plain = solid(press.palette.ground.rgb, **finish)
    cap = solid(press.colour(rng), roughness=0.35)
    box((width, depth, height), [front, side, plain], bevel=0.02)
    if model == 1:
        cap_at = turned(rounded([(0, 0, 0), (0.15, 0, 0), (0.15, 0.14, 0.03), (0, 0.14, 0)]), cap)
        cap_at.location = (0, -depth * 0.16, height - 0.005)
        return
    w, d, top, ridge = width / 2 - 0.008, depth / 2 - 0.008, height - 0.004, height + roof
    fin, thin = ridge + 0.17, 0.012
    vertices = [(-w, -d, top), (w, -d, top), (w, d, top), (-w, d, top), (-w, -thin, ridge), (w, -thin, ridge),
                (w, thin, ridge), (-w, thin, ridge), (-w, -thin, fin), (w, -thin, fin), (w, thin, fin), (-w, thin, fin),
                (-w * 0.45, 0, top + roof * 0.42), (w * 0.45, 0, top + roof * 0.42)]  # fmt: skip
    faces = [
        (0, 1, 5, 4),
        (2, 3, 7, 6),
        (4, 5, 9, 8),
        (6, 7, 11, 10),
        (8, 9, 10, 11),
        (0, 4, 12),
        (4, 7, 12),
        (7, 3, 12),
        (3, 0, 12),
        (5, 1, 13),
        (6, 5, 13),
        (2, 6, 13),
        (1, 2, 13),
        (4, 8, 11, 7),
        (5, 6, 10, 9),
    ]
    raw(vertices, faces, plain, np.zeros((sum(map(len, faces)), 2)))
    lid = turned(rounded([(0, 0, 0), (0.17, 0, 0), (0.17, 0.13, 0.03), (0, 0.13, 0)]), cap)
    lid.location = (0, -d * 0.52, top + roof * 0.46)
    lid.rotation_euler = (float(np.arctan2(roof, d)), 0, 0)


def bottle(press: Press, rng: np.random.Generator, model: int) -> None:
    """A plastic bottle, oval, with a flip cap or a pump."""
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
        turned(
            rounded([(rim, top, 0), (rim, top + 0.3, 0.05), (0, top + 0.3, 0)]),
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
    turned(rounded([(0.19, z, 0), (0.19, z + 0.18, 0.03), (0.06, z + 0.2, 0.02), (0.06, z + 0.46, 0)]), cap)
    turned(rounded([(0, z + 0.44, 0), (0.17, z + 0.44, 0.03), (0.15, z + 0.56, 0.05), (0, z + 0.57, 0)]), cap)
    x = np.linspace(0, 1, 24)
    path = np.stack([-0.02 - 0.5 * x, 0 * x, z + 0.5 - 0.11 * np.clip(x - 0.7, 0, 1) ** 2 * 8], -1)
    swept(path, 0.055 - 0.018 * x, cap)


def sauce(press: Press, rng: np.random.Generator, model: int) -> None:
    """A glass bottle with its liquid and a paper label: slim with a long neck, or stout with a crown cap."""
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
    turned(rounded(corners, steps=10), glass, caps=True)
    drinks: list[Colour] = [(150, 84, 14), (120, 20, 16), (196, 164, 40), (70, 30, 12)]
    wet = solid(drinks[int(rng.integers(len(drinks)))], roughness=0.15, coat=1.0)
    inner = [
        (0.02, 0.07, 0),
        (radius - 0.035, 0.07, 0.06),
        (radius - 0.035, height, 0.3),
        (neck - 0.03, height + radius * 1.2, 0.2),
        (neck - 0.03, tip - 0.42, 0),
    ]
    turned(rounded(inner, steps=10), wet, caps=True)
    low, high = 0.16, height - 0.2
    paper = printed(press.front(2 * np.pi * radius * 0.5, high - low), roughness=0.6)
    turned([(radius * 1.005, low), (radius * 1.005, high)], paper, arc=(0.25, 0.75))
    back = printed(press.side(2 * np.pi * radius * 0.3, high - low), roughness=0.6)
    turned([(radius * 1.005, low), (radius * 1.005, high)], back, arc=(0.85, 1.15))
    foil = solid(press.palette.accent.rgb, roughness=0.3, metallic=0.6)
    if model == 0:
        turned(rounded([(neck * 1.18, tip - 0.34, 0), (neck * 1.18, tip + 0.03, 0.02), (0, tip + 0.03, 0)]), foil)
    else:
        turned(
            rounded(
                [
                    (neck * 1.35, tip - 0.06, 0),
                    (neck * 1.25, tip + 0.01, 0.01),
                    (neck * 0.95, tip + 0.05, 0.03),
                    (0, tip + 0.055, 0),
                ]
            ),
            foil,
        )
        turned(
            [(neck * 1.03, tip - 0.75), (neck * 1.03, tip - 0.4)],
            printed(press.top(0.8, 0.35), roughness=0.5),
            arc=(0.2, 0.8),
        )


def can(press: Press, rng: np.random.Generator, model: int) -> None:
    """A drinks can, standard or slim, with its lid and tab."""
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
    turned(rounded(corners, steps=8), ink)
    turned(rounded([(0.0, 0.1, 0), (low - 0.05, 0.03, 0.03), (low - 0.02, 0.0, 0.02), (low, 0.03, 0)]), metal)
    rim = [
        (high, height, 0),
        (high * 1.035, height + 0.015, 0.01),
        (high * 1.03, height + 0.045, 0.015),
        (high * 0.95, height + 0.04, 0.01),
        (high * 0.9, height - 0.03, 0.02),
        (0, height - 0.02, 0),
    ]
    turned(rounded(rim), metal)
    angle = np.linspace(0, 2 * np.pi, 40)
    tab = np.stack([0.062 * np.cos(angle), 0.1 * np.sin(angle) - 0.05, np.full(40, height - 0.005)], -1)
    swept(tab, 0.016, metal, flat=0.6)
    ball((0, 0.02, height - 0.012), 0.03, metal, squash=0.5)


def jar(press: Press, rng: np.random.Generator, model: int) -> None:
    """A glass jar of something spreadable with a screw lid: round, or nearly square."""
    radius, height = 0.4 * rng.uniform(0.9, 1.08), (0.95 if model == 0 else 0.8) * rng.uniform(0.92, 1.1)
    section = (1.0, 1.0, 2.0) if model == 0 else (1.0, 1.0, 5.0)
    neck = radius * (0.84 if model == 0 else 0.9)
    fills: list[Colour] = [(196, 92, 14), (120, 14, 30), (92, 48, 22), (214, 158, 30), (170, 44, 20), (84, 24, 62)]
    content = solid(fills[int(rng.integers(len(fills)))], roughness=0.25, coat=0.6)
    turned(
        rounded(
            [
                (0.02, 0.05, 0),
                (radius - 0.03, 0.05, 0.09),
                (radius - 0.03, height, 0.12),
                (neck - 0.03, height + 0.08, 0),
            ]
        ),
        content,
        section=section,
        caps=True,
    )
    glass = solid((250, 253, 252), roughness=0.01, glass=1.0)
    turned(
        rounded(
            [
                (0.02, 0.02, 0),
                (radius, 0, 0.1),
                (radius, height, 0.14),
                (neck, height + 0.1, 0.05),
                (neck, height + 0.16, 0),
            ]
        ),
        glass,
        section=section,
        caps=True,
    )
    low, high = 0.17, height - 0.16
    arc = (0.24, 0.76) if model == 0 else (0.3, 0.7)
    around = 2 * np.pi * radius * (0.52 if model == 0 else 0.46)
    turned(
        [(radius * 1.006, low), (radius * 1.006, high)],
        printed(press.front(around, high - low), roughness=0.5),
        section=section,
        arc=arc,
    )
    turned(
        [(radius * 1.006, low), (radius * 1.006, high)],
        printed(press.side(around * 0.6, high - low), roughness=0.5),
        section=section,
        arc=(0.86, 1.14),
    )
    lid = solid(press.colour(rng, GOLD, GOLD), roughness=0.35, metallic=0.5)
    rim, z = neck * 1.07, height + 0.1
    turned(
        rounded(
            [
                (rim, z, 0),
                (rim * 1.015, z + 0.02, 0.01),
                (rim, z + 0.16, 0.03),
                (rim * 0.9, z + 0.17, 0.01),
                (0, z + 0.155, 0),
            ]
        ),
        lid,
    )


def pot(press: Press, rng: np.random.Generator, model: int) -> None:
    """A cream pot, wide and low, with a broad lid."""
    radius, height = 0.36 * rng.uniform(0.92, 1.1), (0.36 if model == 0 else 0.52) * rng.uniform(0.95, 1.1)
    shell = solid(press.palette.ground.rgb if rng.random() < 0.5 else WHITE, roughness=0.12, coat=0.8)
    turned(
        rounded([(0.02, 0, 0), (radius, 0, 0.06), (radius, height, 0.04), (radius * 0.9, height + 0.02, 0)]),
        shell,
        caps=True,
    )
    skin = [(radius * 1.004, 0.06), (radius * 1.004, height - 0.03)]
    turned(skin, printed(press.wrap(2 * np.pi * radius, height - 0.09, panel=0.26), roughness=0.3, coat=0.5))
    cap_colour = press.colour(rng, GOLD)
    cap = solid(cap_colour, roughness=0.22, coat=0.3)
    top = height + (0.24 if model == 0 else 0.3)
    turned(rounded([(radius * 1.01, height + 0.015, 0), (radius * 1.01, top, 0.035), (0, top + 0.004, 0)]), cap)
    sheet = press.sheet(radius * 1.5, radius * 1.5)
    labels.stamp(sheet, on_light=sum(cap_colour) > 380)
    side = radius * 0.75
    face = [
        (-side, -side, top + 0.007),
        (side, -side, top + 0.007),
        (side, side, top + 0.007),
        (-side, side, top + 0.007),
    ]
    raw(face, [(0, 1, 2, 3)], printed(sheet.pixels(), roughness=0.3), np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float))


def tin(press: Press, rng: np.random.Generator, model: int) -> None:
    """A metal tin with a slip lid: a round caddy, or a rectangular one."""
    radius, height = (0.42, 1.15) if model == 0 else (0.52, 0.95)
    radius, height = radius * rng.uniform(0.92, 1.08), height * rng.uniform(0.9, 1.12)
    section = (1.0, 1.0, 2.0) if model == 0 else (1.0, 0.7, 7.0)
    finish = {"roughness": 0.3, "metallic": float(rng.choice([0.0, 0.4])), "coat": 0.3}
    panel = 0.33 if model == 0 else 0.31
    ink = printed(
        press.wrap(2 * np.pi * radius * (1.0 if model == 0 else 1.06), height, panel=panel, free=0.2 / height), **finish
    )
    turned(
        rounded([(radius * 0.985, 0, 0), (radius, 0.02, 0.01), (radius, height, 0)]), ink, section=section, sides=128
    )
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
    turned(rounded(profile), lid, section=section, sides=128)


def tube(press: Press, rng: np.random.Generator, model: int) -> None:
    """A squeeze tube standing on its cap, its end crimped flat."""
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
    turned(
        rounded([(0.01, 0, 0), (rim, 0, 0.03), (rim * 0.96, base * 0.9, 0.02), (radius * 0.99, base + 0.012, 0)]),
        cap,
        caps=True,
    )


def pouch(press: Press, rng: np.random.Generator, model: int) -> None:
    """A stand-up pouch with a zip, or a pillow bag with crimped ends."""
    width, height = 1.25 * rng.uniform(0.92, 1.1), 1.75 * rng.uniform(0.9, 1.1)
    finish = {"roughness": float(rng.choice([0.28, 0.55])), "coat": 0.1, "metallic": 0.1}
    seal = 0.05 if model == 0 else 0.07
    for sign, pixels in ((-1, press.front(width, height)), (1, press.side(width, height))):
        paper = printed(pixels, **finish)
        points, uv = _pouch_wall(width, height, sign, rng, seal=seal, pillow=model == 1)
        surface(points, uv, paper, crease=80)
    if model == 0:
        zip_ = solid(press.palette.ground.rgb, roughness=0.4)
        for z in (0.865, 0.885):
            line = np.array([[x, -0.016, height * z] for x in np.linspace(-width * 0.44, width * 0.44, 8)])
            swept(line, 0.007, zip_, sides=8)


def _pouch_wall(
    width: float, height: float, sign: int, rng: np.random.Generator, *, seal: float, pillow: bool
) -> tuple[Any, Any]:
    u, v = np.meshgrid(np.linspace(0, 1, 121), np.linspace(0, 1, 141))
    inner = np.clip(np.minimum(u, 1 - u) / 0.5 - seal, 0, 1)
    across = np.clip(inner, 0, 1) ** 0.55
    if pillow:
        up = np.clip(np.minimum(v, 1 - v) - seal * 0.8, 0, 1) ** 0.45 * 1.2
        depth = 0.38 * across * np.clip(up, 0, 1)
    else:
        up = np.clip(1 - v / 0.84, 0, 1) ** 0.62
        depth = 0.33 * across * up * np.clip(v / 0.05, 0.62, 1)
    crumple = sum(
        rng.uniform(0.006, 0.02)
        * np.sin(rng.uniform(3, 14) * u + rng.uniform(3, 16) * v * rng.choice([-1, 1]) + rng.uniform(0, 6))
        for _ in range(7)
    )
    folds = 0.016 * np.sin(26 * u + 3 * np.sin(5 * v)) * np.exp(-(((v - (1 - seal * 2.4)) / 0.06) ** 2))
    depth = depth + (crumple + folds) * np.clip(depth * 8, 0, 1) + 0.004
    waist = np.sin(np.pi * v) ** 0.8 if pillow else np.exp(-(((v - 0.3) / 0.3) ** 2))
    squeeze = 1 - 0.085 * waist
    x = (u - 0.5) * width * squeeze * -sign if sign > 0 else (u - 0.5) * width * squeeze
    z = height * v + (0.02 * np.abs(u - 0.5) * 2 if not pillow else 0)
    return np.stack([x, sign * depth, z], -1), np.stack([u, v], -1)


def candle(press: Press, rng: np.random.Generator, model: int) -> None:
    """A candle in a tumbler with a label; with a wooden lid, or open with its wick."""
    radius, height = 0.4 * rng.uniform(0.92, 1.08), 0.95 * rng.uniform(0.9, 1.12)
    shell_colour = press.palette.ground.rgb if rng.random() < 0.6 else WHITE
    shell = solid(shell_colour, roughness=0.08, coat=1.0)
    turned(
        rounded(
            [
                (0.02, 0, 0),
                (radius * 0.97, 0, 0.06),
                (radius, height, 0.015),
                (radius * 0.94, height, 0.01),
                (radius * 0.94, height - 0.22, 0),
            ]
        ),
        shell,
    )
    wax = solid((246, 238, 220), roughness=0.5)
    turned(rounded([(radius * 0.945, height - 0.22, 0), (0.0, height - 0.21, 0)]), wax)
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
        turned(
            rounded(
                [
                    (0.0, height + 0.003, 0),
                    (radius * 1.04, height + 0.003, 0.015),
                    (radius * 1.04, height + 0.11, 0.03),
                    (0, height + 0.11, 0),
                ]
            ),
            wood,
        )
        return
    wick = np.stack([0.012 * np.sin(np.linspace(0, 2, 9)), np.zeros(9), height - 0.22 + np.linspace(0, 0.13, 9)], -1)
    swept(wick, 0.011, solid((60, 52, 44), roughness=0.9), sides=8)


def shoebox(press: Press, rng: np.random.Generator, model: int) -> None:
    """A shoe box with an overlapping lid, or with a drawer."""
    width, depth, height = 3.1 * rng.uniform(0.95, 1.05), 1.9, 1.15 * rng.uniform(0.92, 1.1)
    finish = {"roughness": 0.6}
    hidden = 0.28 if model == 0 else 0.0
    papers = [printed(press.front(width, height, free=hidden), **finish), printed(press.side(depth, height), **finish),
              printed(press.top(width, depth), **finish)]  # fmt: skip
    box((width, depth, height - 0.01), papers, bevel=0.015)
    lid_height = 0.34 if model == 0 else height * 0.99
    lid_colour = press.palette.accent.rgb if rng.random() < 0.5 else press.palette.panel.rgb
    if model == 0:
        rim = solid(lid_colour, roughness=0.6)
        box(
            (width + 0.05, depth + 0.05, lid_height),
            [rim, rim, papers[2]],
            bevel=0.018,
            base=height - lid_height + 0.02,
        )
        return
    end = solid(lid_colour, roughness=0.6)
    tray = box((0.1, depth * 0.96, height * 0.94), [end, end, end], bevel=0.012, base=height * 0.03)
    tray.location.x = width / 2 + 0.02
    ring = np.array(
        [[width / 2 + 0.075, 0.16 * np.cos(a), height / 2 + 0.16 * np.sin(a)] for a in np.linspace(0, 2 * np.pi, 40)]
    )
    swept(ring, 0.018, solid(STEEL, metallic=1.0, roughness=0.25))


def flacon(press: Press, rng: np.random.Generator, model: int) -> None:
    """A perfume bottle of thick glass with liquid, collar and cap: a block, or round-shouldered."""
    width, depth, height = 0.42 * rng.uniform(0.9, 1.15), float(rng.uniform(0.42, 0.62)), 0.95 * rng.uniform(0.85, 1.2)
    section = (1.0, depth, 7.0 if model == 0 else 2.6)
    soft = 0.05 if model == 0 else 0.3
    glass = solid((252, 253, 253), roughness=0.01, glass=1.0)
    turned(
        rounded(
            [
                (0.02, 0.0, 0),
                (width, 0, 0.05),
                (width, height, soft),
                (0.1, height + 0.03, 0.02),
                (0.1, height + 0.06, 0),
            ],
            steps=8,
        ),
        glass,
        section=section,
        caps=True,
    )
    tint = press.palette.accent.turned(float(rng.uniform(-30, 30)))
    juice = solid(tint.rgb, roughness=0.04, glass=0.75, ior=1.33)
    inset = 0.055
    turned(
        rounded(
            [
                (0.02, 0.11, 0),
                (width - inset, 0.11, 0.05),
                (width - inset, height - 0.12, soft * 0.3),
                (0.02, height - 0.11, 0),
            ],
            steps=8,
        ),
        juice,
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
        raw(
            [(-half, y, low), (half, y, low), (half, y, high), (-half, y, high)],
            [(0, 1, 2, 3)],
            plate,
            np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float),
        )
        return
    plate = printed(press.front(width * 1.2, high - low), roughness=0.45)
    turned([(width * 1.004, low), (width * 1.004, high)], plate, section=section, arc=(0.34, 0.66))


def _flacon_cap(press: Press, rng: np.random.Generator, height: float, model: int) -> None:
    z = height + 0.03
    metal_colour = GOLD if rng.random() < 0.5 else STEEL
    metal = solid(metal_colour, metallic=1.0, roughness=0.22)
    turned(rounded([(0.15, z, 0), (0.15, z + 0.1, 0.02), (0, z + 0.1, 0)]), metal)
    cap = solid(press.colour(rng, BLACK), roughness=0.15, coat=0.7)
    kind = int(rng.integers(3))
    if kind == 0:
        turned(rounded([(0.0, z + 0.09, 0), (0.2, z + 0.09, 0.02), (0.2, z + 0.46, 0.04), (0, z + 0.46, 0)]), cap)
    elif kind == 1:
        ball((0, 0, z + 0.3), 0.22, metal if model else cap)
    else:
        turned(
            rounded([(0.0, z + 0.09, 0), (0.21, z + 0.09, 0.02), (0.21, z + 0.4, 0.02), (0, z + 0.4, 0)]),
            cap,
            section=(1, 1, 8),
        )


FORMS: dict[str, Callable[[Press, np.random.Generator, int], None]] = {
    "carton": carton, "gable": gable, "bottle": bottle, "sauce": sauce, "can": can, "jar": jar, "pot": pot, "tin": tin,
    "tube": tube, "pouch": pouch, "candle": candle, "shoebox": shoebox, "flacon": flacon,
}  # fmt: skip
