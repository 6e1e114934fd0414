"""Where things are photographed: studios and rooms, with their light."""

from __future__ import annotations

from typing import Any

import numpy as np

from lookalike.scripts.marketplace.building.materials import bumped, linear, mixed, solid
from lookalike.scripts.marketplace.building.mesh import box, surface
from lookalike.scripts.marketplace.colours import Colour, Tone


def studio(rng: np.random.Generator, size: float) -> None:
    """A seamless backdrop in white or a light tint, with two soft boxes and a lamp above."""
    shade = float(rng.choice([1.0, 1.0, 1.0, 0.9, 0.82]))
    tint = Tone(shade, 0.0 if rng.random() < 0.8 else 0.02, float(rng.uniform(0, 360))).rgb
    _sweep(solid(tint, roughness=float(rng.choice([0.9, 0.35]))), size)
    ambient((255, 255, 255), 0.62)
    side = float(rng.choice([-1, 1]))
    lamp((-2.6 * side * size, -2.4 * size, 2.8 * size), 2.2 * size, 72 * size**2)
    lamp((3.0 * side * size, -1.2 * size, 1.6 * size), 1.8 * size, 26 * size**2)
    lamp((0, 0.6 * size, 4.2 * size), 3.0 * size, 90 * size**2, at=(0, 5 * size, 1.5 * size))


def _sweep(material: Any, size: float) -> None:
    t = np.linspace(0, 1, 24)
    floor = np.stack([np.linspace(-14, 3, 12), np.zeros(12)], -1)
    bend = np.stack([3 + 2 * np.sin(t * np.pi / 2), 2 - 2 * np.cos(t * np.pi / 2)], -1)
    wall = np.stack([np.full(6, 5.0), np.linspace(2.5, 14, 6)], -1)
    path = np.concatenate([floor, bend, wall]) * size
    x = np.linspace(-16, 16, 4) * size
    points = np.stack(np.broadcast_arrays(x[None, :], path[:, :1], path[:, 1:]), -1)
    surface(points, np.zeros((*points.shape[:2], 2)), material, crease=80)


_WOODS: list[tuple[Colour, Colour]] = [
    ((176, 132, 88), (132, 88, 52)),
    ((120, 78, 48), (78, 46, 28)),
    ((222, 196, 160), (192, 158, 118)),
    ((92, 84, 78), (62, 56, 52)),
]


def table(rng: np.random.Generator) -> Any:
    """A material to stand things on: wood, stone, cloth, tiles, paint."""
    kind = str(rng.choice(["wood", "wood", "cloth", "marble", "concrete", "tiles", "paint", "carpet"]))
    light = Tone(float(rng.uniform(0.45, 0.92)), float(rng.uniform(0, 0.07)), float(rng.uniform(0, 360)))
    if kind == "wood":
        one, two = _WOODS[int(rng.integers(len(_WOODS)))]
        made = mixed(one, two, "wood", scale=1.1, roughness=float(rng.uniform(0.3, 0.6)), stretch=0.12)
        return bumped(made, "noise", scale=8, strength=0.08)
    if kind == "cloth":
        return bumped(solid(light.rgb, roughness=0.95, sheen=0.4), "weave", scale=14, strength=0.6, distance=0.01)
    if kind == "marble":
        return mixed((178, 174, 170), (238, 236, 232), "marble", scale=0.45, roughness=0.15)
    if kind == "concrete":
        return bumped(
            mixed((150, 148, 144), (176, 174, 170), "noise", scale=3, roughness=0.8), "noise", scale=20, strength=0.2
        )
    if kind == "tiles":
        return mixed(
            light.rgb, Tone(light.lightness * 0.86, light.chroma, light.hue).rgb, "checker", scale=0.8, roughness=0.2
        )
    if kind == "carpet":
        return bumped(
            mixed(
                light.rgb, Tone(light.lightness * 0.8, light.chroma, light.hue).rgb, "noise", scale=14, roughness=1.0
            ),
            "noise",
            scale=40,
            strength=1.0,
            distance=0.05,
        )
    return solid(light.rgb, roughness=0.5)


def room(rng: np.random.Generator, size: float, *, furnished: bool = True) -> None:
    """A table in front of a wall, lit by the sun or by lamps in household colours."""
    reach = 30 * size
    top = np.array(
        [[[-reach, -reach, 0], [reach, -reach, 0]], [[-reach, 2.2 * size, 0], [reach, 2.2 * size, 0]]], float
    )
    flat = np.array([[[0, 0], [1, 0]], [[0, 1], [1, 1]]], float)
    surface(top, flat, table(rng))
    away = float(rng.uniform(2.2, 5.0)) * size
    paint = Tone(float(rng.uniform(0.55, 0.96)), float(rng.uniform(0, 0.06)), float(rng.uniform(0, 360)))
    wall = np.array(
        [[[-reach, away, -reach], [reach, away, -reach]], [[-reach, away, reach], [reach, away, reach]]], float
    )
    wall_skin = (
        bumped(solid(paint.rgb, roughness=0.85), "noise", scale=6, strength=0.1) if rng.random() < 0.8 else table(rng)
    )
    surface(wall, flat, wall_skin)
    if furnished:
        furnish(rng, size, away - 0.02)
    _daylight(rng, size)


def _daylight(rng: np.random.Generator, size: float) -> None:
    warm = Tone(0.95, float(rng.uniform(0.0, 0.08)), float(rng.choice([75, 75, 250]))).rgb
    ambient(warm, float(rng.uniform(0.45, 0.95)))
    side = float(rng.choice([-1, 1]))
    if rng.random() < 0.3:
        sun(
            (side * rng.uniform(2, 4), -rng.uniform(1, 4), rng.uniform(2.5, 5)),
            float(rng.uniform(2.0, 4.5)),
            Tone(0.96, 0.05, 80).rgb,
        )
    else:
        small = float(rng.uniform(0.6, 2.4))
        place = (side * rng.uniform(2, 4) * size, -rng.uniform(0.5, 3) * size, rng.uniform(2, 4) * size)
        lamp(place, small * size, float(rng.uniform(150, 330)) * size**2, warm)
    if rng.random() < 0.5:
        cool = Tone(0.93, 0.05, 250).rgb
        lamp((-side * 3.5 * size, -1.0 * size, 2.0 * size), 2.0 * size, float(rng.uniform(30, 100)) * size**2, cool)


def furnish(rng: np.random.Generator, size: float, away: float) -> None:
    """Furnish the wall: a curtain, picture frames, a row of books."""
    if rng.random() < 0.4:
        left = float(rng.uniform(-4.5, 1.5)) * size
        t, up = np.meshgrid(np.linspace(0, 1, 160), np.linspace(-2, 9, 4))
        folds = 0.3 + 0.16 * np.sin(t * 50 + np.sin(t * 9))
        points = np.stack([left + t * 2.6 * size, away - folds * size, up * size], -1)
        surface(
            points,
            np.zeros((*t.shape, 2)),
            solid(Tone(float(rng.uniform(0.5, 0.95)), 0.04, float(rng.uniform(0, 360))).rgb, roughness=0.9),
            crease=80,
        )
    if rng.random() < 0.45:
        for _ in range(int(rng.integers(1, 4))):
            width, height = float(rng.uniform(0.7, 1.6)) * size, float(rng.uniform(0.8, 1.7)) * size
            x, z = float(rng.uniform(-3, 3)) * size, float(rng.uniform(0.9, 3.2)) * size
            rim = solid(Tone(float(rng.choice([0.2, 0.4, 0.97])), 0.02, 60).rgb, roughness=0.4)
            art = mixed(
                Tone(0.9, 0.03, 90).rgb,
                Tone(0.5, 0.1, float(rng.uniform(0, 360))).rgb,
                "noise",
                scale=1.2 / size,
                roughness=0.6,
            )
            for grow, skin, depth in ((1.0, rim, 0.1), (0.86, art, 0.12)):
                frame = box((width * grow, depth * size, height * grow), [skin] * 3, bevel=0.01)
                frame.location = (x, away, z + height * (1 - grow) / 2)
    if rng.random() < 0.2:
        x, end = float(rng.uniform(-3.5, 0)) * size, float(rng.uniform(1, 3.5)) * size
        while x < end:
            width, height = float(rng.uniform(0.12, 0.34)) * size, float(rng.uniform(1.3, 1.9)) * size
            spine = solid(
                Tone(float(rng.uniform(0.3, 0.9)), float(rng.uniform(0, 0.1)), float(rng.uniform(0, 360))).rgb,
                roughness=0.5,
            )
            book = box((width * 0.96, 1.1 * size, height), [spine] * 3, bevel=0.01)
            book.location = (x + width / 2, min(away, 2.2 * size) - 0.6 * size, 0)
            x += width


def lamp(
    place: tuple[float, float, float],
    size: float,
    watts: float,
    colour: Colour = (255, 255, 255),
    at: tuple[float, float, float] = (0, 0, 0.6),
) -> None:
    """A square soft box at `place`, pointed at `at`."""
    import bpy
    from mathutils import Vector

    data = bpy.data.lights.new("lamp", "AREA")
    data.size, data.energy, data.color = size, watts, linear(colour)[:3]
    made = bpy.data.objects.new("lamp", data)
    made.location = place
    made.rotation_euler = (Vector(at) - Vector(place)).to_track_quat("-Z", "Y").to_euler()
    bpy.context.scene.collection.objects.link(made)


def sun(place: tuple[float, float, float], strength: float, colour: Colour) -> None:
    """Sunlight from this direction."""
    import bpy
    from mathutils import Vector

    data = bpy.data.lights.new("sun", "SUN")
    data.energy, data.angle, data.color = strength, 0.02, linear(colour)[:3]
    made = bpy.data.objects.new("sun", data)
    made.rotation_euler = (-Vector(place)).to_track_quat("-Z", "Y").to_euler()
    bpy.context.scene.collection.objects.link(made)


def ambient(colour: Colour, strength: float) -> None:
    """Light from everywhere."""
    import bpy

    node = bpy.context.scene.world.node_tree.nodes["Background"]
    node.inputs["Color"].default_value, node.inputs["Strength"].default_value = linear(colour), strength
