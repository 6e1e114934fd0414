"""Household things in the marketplace's photos: books, fruit, plants, glasses, boxes, coins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lookalike.scripts.marketplace.building.materials import bumped, mixed, solid
from lookalike.scripts.marketplace.building.mesh import ball, box, lathed, surface, swept, turned
from lookalike.scripts.marketplace.colours import Colour, Tone


def strew(rng: np.random.Generator, reach: tuple[float, float], *, azimuth: float, hide: bool) -> None:
    """Put two to six things beside and behind a product of this half width and height, seen from `azimuth` degrees.

    With `hide`, one more stands in front of one of its edges.
    """
    half, height = reach
    taken: list[tuple[float, float, float]] = []
    for _ in range(int(rng.integers(2, 7))):
        angle = np.radians(azimuth) + rng.uniform(-0.15, np.pi + 0.15)  # right hand, behind, left hand
        size = float(np.clip(height * rng.uniform(0.6, 1.3), 0.6, 1.5))
        away = half * 1.15 + size * rng.uniform(0.6, 1.9)
        _put(rng, taken, (away * float(np.cos(angle)), away * float(np.sin(angle))), size)
    if hide:
        side, turn = float(rng.choice([-1, 1])), np.radians(azimuth)
        size = float(np.clip(height * rng.uniform(0.3, 0.5), 0.3, 0.9))
        across, towards = side * half * rng.uniform(0.6, 0.95), half + size * rng.uniform(0.7, 1.1)
        x = across * np.cos(turn) + towards * np.sin(turn)
        y = across * np.sin(turn) - towards * np.cos(turn)
        _put(rng, taken, (float(x), float(y)), size)


def _put(
    rng: np.random.Generator, taken: list[tuple[float, float, float]], place: tuple[float, float], size: float
) -> None:
    import bpy

    if any(np.hypot(place[0] - x, place[1] - y) < (size + other) * 0.62 for x, y, other in taken):
        return
    taken.append((*place, size))
    objects = bpy.context.scene.collection.objects
    before = set(objects)
    _THINGS[int(rng.integers(len(_THINGS)))](rng, size)
    hold = bpy.data.objects.new("thing", None)
    for part in set(objects) - before:
        part.parent = hold
    objects.link(hold)
    hold.location, hold.rotation_euler = (*place, 0.0), (0, 0, float(rng.uniform(0, 6.3)))


def _any(rng: np.random.Generator, *, low: float = 0.3, high: float = 0.9, chroma: float = 0.14) -> Colour:
    return Tone(float(rng.uniform(low, high)), float(rng.uniform(0.01, chroma)), float(rng.uniform(0, 360))).rgb


def _books(rng: np.random.Generator, size: float) -> None:
    base, pages = 0.0, solid((236, 230, 214), roughness=0.9)
    for _ in range(int(rng.integers(1, 4))):
        cover = solid(_any(rng), roughness=0.5)
        thick = size * float(rng.uniform(0.1, 0.2))
        width, depth = size * rng.uniform(1.1, 1.4), size * rng.uniform(0.8, 0.95)
        lid = thick * 0.1
        parts = [box((width, depth, lid), [cover] * 3, bevel=0.008, base=base),
                 box((width * 0.97, depth * 0.96, thick - lid), [pages] * 3, bevel=0.004, base=base + lid * 0.5),
                 box((width, depth, lid), [cover] * 3, bevel=0.008, base=base + thick - lid)]  # fmt: skip
        turn = float(rng.uniform(-0.25, 0.25))
        for part in parts:
            part.rotation_euler = (0, 0, turn)
        base += thick


def _fruit(rng: np.random.Generator, size: float) -> None:
    kinds: list[tuple[Colour, float]] = [
        ((204, 40, 32), 0.92),
        ((236, 140, 24), 0.97),
        ((236, 208, 50), 0.85),
        ((120, 164, 50), 0.95),
    ]
    colour, squash = kinds[int(rng.integers(len(kinds)))]
    radius = min(size * 0.42, 0.42)
    skin = bumped(solid(colour, roughness=0.35), "noise", scale=30, strength=0.12)
    for k in range(int(rng.integers(1, 4))):
        angle = k * 2.1
        reach = 0.0 if k == 0 else radius * 2.04
        ball((reach * float(np.cos(angle)), reach * float(np.sin(angle)), radius * squash), radius, skin, squash=squash)
    stalk = np.array(
        [[0, 0, radius * squash * 1.85], [0.01, 0, radius * squash * 2.02], [0.03, 0, radius * squash * 2.2]]
    )
    swept(stalk, 0.018, solid((80, 58, 36), roughness=0.9), sides=8)


def _plant(rng: np.random.Generator, size: float) -> None:
    clay = bumped(solid(_any(rng, chroma=0.1), roughness=0.85), "noise", scale=20, strength=0.15)
    radius, height = size * 0.32, size * 0.5
    profile = [
        (radius * 0.72, 0, 0),
        (radius, height, 0.02),
        (radius * 1.08, height, 0.01),
        (radius * 0.9, height * 0.9, 0),
    ]
    lathed([(0.001, 0, 0), *profile], clay)
    turned([(radius * 0.95, height * 0.9), (0.001, height * 0.9)], solid((58, 44, 34), roughness=1.0))
    green = solid(Tone(float(rng.uniform(0.42, 0.6)), 0.11, float(rng.uniform(125, 160))).rgb, roughness=0.45)
    for _ in range(int(rng.integers(9, 17))):
        _leaf(rng, size, height, green)


def _leaf(rng: np.random.Generator, size: float, base: float, green: Any) -> None:
    turn, length, lean = rng.uniform(0, 2 * np.pi), size * rng.uniform(0.5, 0.95), rng.uniform(0.25, 1.0)
    t, s = np.linspace(0, 1, 16)[:, None], np.linspace(-1, 1, 5)[None, :]
    out, up = length * lean * t**1.3, base * 0.9 + length * (t - 0.45 * lean * t**2.5)
    half = size * 0.11 * np.sin(np.pi * np.clip(t, 0.02, 1) ** 0.8) * s
    points = np.stack(
        np.broadcast_arrays(
            out * np.cos(turn) - half * np.sin(turn), out * np.sin(turn) + half * np.cos(turn), up + 0.3 * np.abs(half)
        ),
        -1,
    )
    surface(points, np.zeros((16, 5, 2)), green, crease=80)


def _tumbler(rng: np.random.Generator, size: float) -> None:
    radius, height = min(size * 0.34, 0.4), min(size * 0.85, 1.2)
    glass = solid((246, 250, 250), roughness=0.02, glass=1.0)
    lathed(
        [
            (0.001, 0, 0),
            (radius * 0.85, 0, 0.04),
            (radius, height, 0.0),
            (radius * 0.94, height, 0),
            (radius * 0.78, 0.08, 0.04),
            (0.001, 0.08, 0),
        ],
        glass,
    )
    drinks: list[Colour] = [(196, 120, 30), (150, 30, 40), (214, 190, 90)]
    drink = solid(drinks[int(rng.integers(3))], roughness=0.1)
    lathed(
        [
            (0.001, 0.085, 0),
            (radius * 0.77, 0.085, 0.03),
            (radius * 0.87, height * 0.62, 0),
            (0.001, height * 0.62, 0),
        ],
        drink,
    )


def _parcel(rng: np.random.Generator, size: float) -> None:
    card = bumped(
        mixed((190, 150, 104), (176, 136, 92), "noise", scale=6, roughness=0.85), "noise", scale=50, strength=0.05
    )
    width, depth, height = size * 1.1, size * 0.8, size * rng.uniform(0.5, 0.9)
    box((width, depth, height), [card] * 3, bevel=0.012)
    tape = solid((206, 178, 130), roughness=0.25)
    box((width * 1.002, 0.14, 0.004), [tape] * 3, bevel=0.001, base=height)


def _cup(rng: np.random.Generator, size: float) -> None:
    glaze = solid(_any(rng, low=0.5, high=0.97, chroma=0.08), roughness=0.15, coat=0.5)
    radius, height = min(size * 0.38, 0.42), min(size * 0.7, 0.85)
    lathed(
        [
            (0.001, 0, 0),
            (radius * 0.6, 0, 0.03),
            (radius, height, 0.05),
            (radius * 0.93, height, 0),
            (radius * 0.6, 0.06, 0.05),
            (0.001, 0.06, 0),
        ],
        glaze,
    )
    turned([(radius * 0.86, height * 0.84), (0.001, height * 0.84)], solid((62, 38, 22), roughness=0.15))
    angle = np.linspace(-1.4, 1.4, 24)
    loop = np.stack(
        [radius * 0.78 + height * 0.32 * np.cos(angle), 0 * angle, height * 0.52 + height * 0.3 * np.sin(angle)], -1
    )
    swept(loop, 0.04, glaze)


def _coins(rng: np.random.Generator, _size: float) -> None:
    colours: list[Colour] = [(196, 160, 90), (190, 192, 196), (170, 110, 70)]
    for _ in range(int(rng.integers(2, 6))):
        radius = float(rng.uniform(0.09, 0.13))
        coin = lathed(
            [(0.001, 0, 0), (radius, 0, 0.005), (radius, 0.02, 0.005), (0.001, 0.02, 0)],
            solid(colours[int(rng.integers(3))], metallic=1.0, roughness=0.3),
            sides=48,
        )
        coin.location = (float(rng.uniform(-0.4, 0.4)), float(rng.uniform(-0.4, 0.4)), 0.0)


def _phone(_rng: np.random.Generator, _size: float) -> None:
    edge, screen = solid((40, 42, 46), metallic=0.7, roughness=0.3), solid((8, 9, 12), roughness=0.05, coat=1.0)
    box((0.74, 1.5, 0.08), [edge, edge, screen], bevel=0.03)


_THINGS: tuple[Callable[[np.random.Generator, float], None], ...] = (
    _books, _fruit, _plant, _tumbler, _parcel, _cup, _coins, _phone,
)  # fmt: skip
