"""Things used and worn, in the brand's dress: mugs, handbags and watches."""

from __future__ import annotations

from typing import Any

import numpy as np

from lookalike.scripts.marketplace.building.materials import bumped, printed, solid
from lookalike.scripts.marketplace.building.mesh import ball, lathed, panel, raw, surface, swept, turned
from lookalike.scripts.marketplace.building.press import BLACK, GOLD, STEEL, WHITE, Press
from lookalike.scripts.marketplace.colours import Tone
from lookalike.scripts.marketplace.printing import prints


def mug(press: Press, rng: np.random.Generator, model: int) -> None:
    """A mug with a handle, straight or bellied, with print all around."""
    radius, height = 0.41 * rng.uniform(0.94, 1.08), 0.95 * rng.uniform(0.92, 1.08)
    belly = 1.0 if model == 0 else 1.13
    sheet = press.sheet(2 * np.pi * radius, height)
    prints.mug_print(sheet)
    glaze = printed(sheet.pixels(), roughness=0.12, coat=0.7)
    plain = solid(press.palette.panel.rgb if rng.random() < 0.6 else press.palette.accent.rgb, roughness=0.12, coat=0.7)
    z = np.linspace(0.03, height, 30)
    bulge = radius * (1 + (belly - 1) * np.sin(np.pi * z / height))
    turned(list(zip(bulge.tolist(), z.tolist(), strict=True)), glaze)
    lathed([(0.0, 0.012, 0), (radius * 0.8, 0.0, 0.01), (radius, 0.03, 0.02), (radius, 0.032, 0)], plain)
    rim = [
        (radius, height, 0),
        (radius, height + 0.018, 0.01),
        (radius - 0.045, height + 0.018, 0.01),
        (radius - 0.05, 0.09, 0.08),
        (0, 0.08, 0),
    ]
    lathed(rim, plain)
    angle = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 40)
    reach = 0.31 if model == 0 else 0.36
    middle = height * 0.52
    loop = np.stack(
        [radius * 0.97 * belly**0.7 + reach * np.cos(angle) ** 0.75, 0 * angle, middle + height * 0.3 * np.sin(angle)],
        -1,
    )
    swept(loop, 0.062, plain, flat=1.25)


def handbag(press: Press, rng: np.random.Generator, model: int) -> None:
    """A bag of patterned leather: a tote with two handles, or a flap bag with a clasp."""
    width, height, depth = (2.5, 2.0, 0.8) if model == 0 else (2.3, 1.5, 0.7)
    width, height = width * rng.uniform(0.9, 1.1), height * rng.uniform(0.9, 1.08)
    sheet = press.sheet(width * 0.6, height * 0.6)
    prints.monogram(sheet)
    hide = bumped(printed(sheet.pixels(), roughness=0.42, coat=0.1), "grain", scale=45, strength=0.22)
    trim_tone = press.palette.accent if rng.random() < 0.4 else Tone(0.32, 0.06, 50)
    trim = bumped(solid(trim_tone.rgb, roughness=0.4), "grain", scale=40, strength=0.2)
    metal = solid(GOLD if rng.random() < 0.6 else STEEL, metallic=1.0, roughness=0.2)
    taper = 0.9 if model == 0 else 0.94
    _bag_body(width, height, depth, taper, hide)
    for x in (-1, 1):  # the trim at corners and edges
        edge = np.array(
            [[x * width / 2 * (1 - (1 - taper) * t) * 0.985, 0.0, height * t] for t in np.linspace(0.02, 1, 12)]
        )
        swept(edge, 0.03, trim, flat=1.0)
    if model == 0:
        _tote_top(press, width * taper, height, depth, trim, metal)
        return
    _flap(press, width * taper, height, depth, hide, trim, metal)


def _bag_body(width: float, height: float, depth: float, taper: float, hide: Any) -> None:
    """A pillow-like body, wide at the base and closed along its upper edge."""
    t = np.linspace(0, 1, 40)
    profile = np.clip(np.minimum(1, (t / 0.06) ** 0.5), 0, 1)
    angle = 2 * np.pi * np.linspace(0, 1, 161)[:-1] - 1.5 * np.pi
    cos, sin = np.cos(angle), np.sin(angle)
    radius = (np.abs(cos) ** 8 + np.abs(sin) ** 8) ** (-1 / 8)
    half = width / 2 * (1 - (1 - taper) * t) * (0.96 + 0.04 * profile)
    deep = depth / 2 * (1 - 0.62 * t**1.4) * (0.9 + 0.1 * profile)
    x = half[:, None] * (radius * cos)[None]
    swell = 1 + 0.14 * np.sin(np.pi * np.clip(t, 0, 1))[:, None] * (1 - (x / half.max()) ** 2)
    points = np.stack(
        [x, deep[:, None] * (radius * sin)[None] * swell, np.broadcast_to(height * t[:, None], x.shape)], -1
    )
    u = np.concatenate([x, x[:, :1]], 1) / width + 0.5
    uv = np.stack([u, np.broadcast_to(t[:, None], u.shape)], -1)
    surface(points, uv, hide, closed=True, caps=True)


def _tote_top(press: Press, width: float, height: float, depth: float, trim: Any, metal: Any) -> None:
    band_depth = depth * 0.2
    for side in (-1, 1):
        y = side * (band_depth + 0.015)
        angle = np.linspace(0, np.pi, 50)
        drop = 0.3
        arch = np.stack([width * 0.24 * np.cos(angle), np.full(50, y), height + 0.05 + 0.72 * np.sin(angle) ** 0.8], -1)
        legs = [
            np.array([[width * 0.24, y * 1.25, height - drop], [width * 0.24, y * 1.1, height]]),
            np.array([[-width * 0.24, y * 1.1, height], [-width * 0.24, y * 1.25, height - drop]]),
        ]
        swept(np.concatenate([legs[0], arch, legs[1]]), 0.042, trim, sides=14)
        for x in (-width * 0.24, width * 0.24):
            ball((x, y * 1.35, height - drop), 0.05, metal)
    lip = np.array(
        [
            [
                width / 2 * 0.98 * np.sign(np.cos(a)) * abs(np.cos(a)) ** 0.25,
                band_depth * 1.02 * np.sign(np.sin(a)) * abs(np.sin(a)) ** 0.25,
                height,
            ]
            for a in np.linspace(0, 2 * np.pi, 120)
        ]
    )
    swept(lip, 0.035, trim)
    _plate(press, 0.62, 0.24, (0.0, -depth * 0.36, height * 0.68), metal)


def _flap(press: Press, width: float, height: float, depth: float, hide: Any, trim: Any, metal: Any) -> None:
    u, t = np.meshgrid(np.linspace(-1, 1, 61), np.linspace(0, 1, 50))
    drop = height * (0.5 + 0.1 * np.cos(u * np.pi / 2))
    half = width / 2 * 1.01
    over = np.clip(t / 0.3, 0, 1)
    down = np.clip((t - 0.3) / 0.7, 0, 1)
    y = depth * 0.24 - over * depth * 0.5 - 0.1 * np.sin(down * np.pi / 2) - 0.07 * down
    z = height + 0.05 * np.sin(over * np.pi) - drop * down**1.15 + 0.015
    points = np.stack([u * half * (1 - 0.1 * down**3), y, z], -1)
    uv = np.stack([(u + 1) / 2, 1 - t * 0.8], -1)
    surface(points[::-1], uv[::-1], hide, crease=80)
    edge = points[-1]
    swept(edge, 0.026, trim)
    swept(np.concatenate([points[15:, 0]]), 0.022, trim)
    swept(np.concatenate([points[15:, -1]]), 0.022, trim)
    front = points[-1, 30]
    _plate(press, 0.42, 0.3, (0.0, float(front[1]) - 0.02, float(front[2]) + 0.1), metal)
    angle = np.linspace(0, np.pi, 60)
    strap = np.stack(
        [width * 0.5 * np.cos(angle), 0.05 * np.sin(2 * angle), height * 0.93 + 1.05 * np.sin(angle) ** 0.7], -1
    )
    swept(strap, 0.035, trim, sides=14)
    for x in (-1, 1):
        ring = np.array(
            [
                [x * width * 0.5, 0.075 * np.cos(a), height * 0.93 + 0.075 * np.sin(a)]
                for a in np.linspace(0, 2 * np.pi, 30)
            ]
        )
        swept(ring, 0.016, metal)


def _plate(press: Press, width: float, height: float, at: tuple[float, float, float], metal: Any) -> None:
    """A metal plate with the name engraved."""
    sheet = press.sheet(width * 2, height * 2)
    prints.engraved(sheet)
    x, y, z = at
    w, h = width / 2, height / 2
    ring = [(-w, -h), (w, -h), (w, h), (-w, h), (-w, -h)]
    swept(np.array([[x + a, y - 0.01, z + b] for a, b in ring]), 0.018, metal, sides=10)
    face = [(x - w, y - 0.018, z - h), (x + w, y - 0.018, z - h), (x + w, y - 0.018, z + h), (x - w, y - 0.018, z + h)]
    panel(face, printed(sheet.pixels(), roughness=0.25, metallic=0.85))


def watch(press: Press, rng: np.random.Generator, model: int) -> None:
    """A wrist watch on its closed strap, with a round or a square case."""
    radius = 0.21 * rng.uniform(0.95, 1.1)
    section = (1.0, 1.0, 2.0 if model == 0 else 5.0)
    case = solid(GOLD if rng.random() < 0.35 else STEEL, metallic=1.0, roughness=0.22)
    parts = [
        lathed(
            [
                (0.01, 0, 0),
                (radius, 0, 0.03),
                (radius * 1.03, 0.06, 0.02),
                (radius, 0.1, 0.015),
                (radius * 0.9, 0.115, 0.01),
                (radius * 0.88, 0.1, 0),
            ],
            case,
            section=section,
            caps=False,
        ),
    ]
    sheet = press.sheet(1.0, 1.0)
    prints.dial(sheet, square=model == 1)
    angle = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    reach = (np.abs(np.cos(angle)) ** section[2] + np.abs(np.sin(angle)) ** section[2]) ** (-1 / section[2])
    rim = np.stack([reach * np.cos(angle), reach * np.sin(angle)], -1)
    face = np.concatenate([rim * radius * 0.89, np.full((96, 1), 0.1)], 1)
    parts.append(raw(face.tolist(), [list(range(96))], printed(sheet.pixels(), roughness=0.3, coat=0.8), rim / 2 + 0.5))
    hand = solid(BLACK if sum(press.palette.panel.rgb) > 380 else WHITE, roughness=0.3, metallic=0.3)
    for turn, length, thick in (
        (2 * np.pi * 10.15 / 12, 0.5, 0.013),
        (2 * np.pi * 9 / 60, 0.76, 0.009),
        (2 * np.pi * 36 / 60, 0.8, 0.004),
    ):
        tip = np.array([np.sin(turn), np.cos(turn), 0.0]) * radius * length
        ends = np.stack([-tip * 0.15, tip]) + np.array([0, 0, 0.108])
        parts.append(swept(ends, thick, hand, sides=8, flat=0.4))
    crown = lathed([(0.0, 0, 0), (0.035, 0, 0.005), (0.035, 0.05, 0.008), (0, 0.05, 0)], case)
    crown.rotation_euler, crown.location = (0, np.pi / 2, 0), (radius * 1.0, 0, 0.055)
    parts.append(crown)
    loop_height, loop_depth = 0.62, 0.58
    centre_z = loop_height / 2 + 0.02
    for part in parts:  # the case stands on the foremost point of the strap, facing the front
        part.delta_rotation_euler = (np.pi / 2, 0, 0)
        part.delta_location = (0, -loop_depth / 2 + 0.02, centre_z)
    turn_back(crown, -loop_depth / 2 + 0.02, centre_z)
    _strap(press, rng, loop_height, loop_depth, centre_z, case)


def turn_back(crown: Any, y: float, z: float) -> None:
    """Place the crown, which is rotated already, on the standing case."""
    x, _, out = crown.location
    crown.delta_rotation_euler, crown.delta_location = (0, 0, 0), (0, 0, 0)
    crown.rotation_euler, crown.location = (0, np.pi / 2, 0), (x, y - out, z)


def _strap(press: Press, rng: np.random.Generator, height: float, depth: float, z: float, metal: Any) -> None:
    leather = rng.random() < 0.6
    tone = press.palette.ground if rng.random() < 0.5 else Tone(0.34, 0.06, 55)
    skin = bumped(solid(tone.rgb, roughness=0.5), "grain", scale=90, strength=0.3) if leather else metal
    angle = np.linspace(0, 2 * np.pi, 161)
    y, up = -depth / 2 * np.cos(angle), height / 2 * np.sin(angle)
    middle = np.stack([y, z + up * 1.0], -1)
    half = 0.135 - 0.028 * (1 - np.cos(angle)) / 2
    out = np.stack([-np.cos(angle), np.sin(angle)], -1)
    links = np.abs(np.sin(angle * 22))[:, None]
    thick = np.full_like(links, 0.022) if leather else 0.028 * (0.75 + 0.25 * links)
    rows = []
    for x, lift in ((-1, -1), (-1, 1), (-0.9, 1.25), (0.9, 1.25), (1, 1), (1, -1)):
        ring = middle + out * thick * lift
        rows.append(np.stack([x * half, ring[:, 0], ring[:, 1]], -1))
    points = np.stack(rows, 1)[:, ::-1]
    uv = np.zeros((points.shape[0], points.shape[1] + 1, 2))
    surface(points, uv, skin, closed=True)
