"""Boxes and bags: folding cartons, drinks cartons, shoe boxes and pouches."""

from __future__ import annotations

from typing import Any

import numpy as np

from lookalike.scripts.marketplace.building.materials import printed, solid
from lookalike.scripts.marketplace.building.mesh import box, lathed, raw, surface, swept
from lookalike.scripts.marketplace.building.press import STEEL, Press


def carton(press: Press, rng: np.random.Generator, model: int) -> None:
    """A folding box: tall like a cereal box, or low like a tea box."""
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
    # the edge of the tuck flap: a thin card on the lid with its end folded in
    flap = box((width * 0.985, depth * 0.93, 0.006), [papers[2]] * 3, bevel=0.003, base=height - 0.002)
    flap.location.y = -depth * 0.02


def gable(press: Press, rng: np.random.Generator, model: int) -> None:
    """A drinks carton with a screw cap, and a gable or a flat roof."""
    width, height = 0.72 * rng.uniform(0.95, 1.1), (1.75 if model == 0 else 1.5) * rng.uniform(0.95, 1.08)
    depth, roof = width * (1.0 if model == 0 else 0.82), 0.5 * width
    finish = {"roughness": 0.32, "coat": 0.25}
    front, side = printed(press.front(width, height), **finish), printed(press.side(depth, height), **finish)
    plain = solid(press.palette.ground.rgb, **finish)
    cap = solid(press.colour(rng), roughness=0.35)
    box((width, depth, height), [front, side, plain], bevel=0.02)
    if model == 1:
        cap_at = lathed([(0, 0, 0), (0.15, 0, 0), (0.15, 0.14, 0.03), (0, 0.14, 0)], cap)
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
    lid = lathed([(0, 0, 0), (0.17, 0, 0), (0.17, 0.13, 0.03), (0, 0.13, 0)], cap)
    lid.location = (0, -d * 0.52, top + roof * 0.46)
    lid.rotation_euler = (float(np.arctan2(roof, d)), 0, 0)


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
