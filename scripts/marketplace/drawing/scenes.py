"""Studios, rooms and cameras of the marketplace, and the rendering itself (Cycles on the CPU)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.scripts.marketplace.colours import Colour, Tone
from lookalike.scripts.marketplace.drawing.materials import bumped, linear, mixed, solid
from lookalike.scripts.marketplace.mesh import box, surface

# The part of a circle the camera looks from, in degrees: azimuth (0 is the front, positive from its right), elevation.
VIEWS: dict[str, tuple[float, float]] = {
    "front": (0, 7), "left": (-25, 13), "right": (25, 13), "high": (16, 34),
}  # fmt: skip


@dataclass(frozen=True)
class Camera:
    """A camera's pose, so that outlines can be projected without rendering."""

    place: NDArray[np.float64]
    axes: NDArray[np.float64]
    focal: float
    shift: tuple[float, float]

    def project(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (n, 3) to picture coordinates (n, 2), 0 to 1 from the top left corner."""
        local = (points - self.place) @ self.axes
        flat = self.focal * local[:, :2] / -local[:, 2:]
        return np.asarray(np.stack([0.5 + flat[:, 0] - self.shift[0], 0.5 - flat[:, 1] + self.shift[1]], -1))


def open_stage(*, side: int, samples: int, seconds: float) -> Any:
    """An empty Blender scene set up for pictures of that side."""
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.render.resolution_x = scene.render.resolution_y = side
    scene.render.image_settings.file_format = "PNG"
    scene.cycles.device = "CPU"
    scene.cycles.samples, scene.cycles.use_denoising = samples, True
    scene.cycles.denoiser = "OPENIMAGEDENOISE"
    scene.cycles.denoising_prefilter = scene.cycles.denoising_quality = "FAST"  # a third of the time, alike to the eye
    scene.cycles.use_adaptive_sampling, scene.cycles.adaptive_threshold = True, 0.08
    scene.cycles.use_light_tree = False
    scene.cycles.time_limit = seconds
    scene.cycles.max_bounces, scene.cycles.transmission_bounces, scene.cycles.diffuse_bounces = 8, 8, 2
    scene.cycles.glossy_bounces = 3
    scene.cycles.caustics_reflective = scene.cycles.caustics_refractive = False
    scene.cycles.blur_glossy = 1.0
    scene.view_settings.view_transform = "Khronos PBR Neutral"  # keeps print colours, rolls highlights off
    scene.world = bpy.data.worlds.new("world")
    scene.world.use_nodes = True
    return scene


def gather(*, yaw: float, lying: bool) -> Any:
    """Put everything in the scene under one empty, turned by `yaw` degrees, upright or on its back, on z = 0."""
    import bpy

    scene = bpy.context.scene
    parts = list(scene.collection.objects)
    hold = bpy.data.objects.new("product", None)
    scene.collection.objects.link(hold)
    for part in parts:
        part.parent = hold
    hold.rotation_euler = (float(np.radians(-90)) if lying else 0.0, 0.0, 0.0)
    spin = bpy.data.objects.new("spin", None)
    scene.collection.objects.link(spin)
    hold.parent = spin
    spin.rotation_euler = (0, 0, float(np.radians(yaw)))
    bpy.context.view_layer.update()
    points = vertices(parts)
    middle = (points.min(0) + points.max(0)) / 2
    spin.location = (-middle[0], -middle[1], -points[:, 2].min())
    bpy.context.view_layer.update()
    return parts


def vertices(parts: list[Any]) -> NDArray[np.float64]:
    """The corners of all meshes in world coordinates, (n, 3)."""
    found = []
    for part in parts:
        count = len(part.data.vertices)
        flat = np.empty(count * 3, np.float32)
        part.data.vertices.foreach_get("co", flat)
        matrix = np.array(part.matrix_world)
        found.append(flat.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3])
    return np.concatenate(found).astype(np.float64)


def aim(
    points: NDArray[np.float64],
    *,
    azimuth: float,
    elevation: float,
    lens: float,
    fill: float,
    off: tuple[float, float] = (0.0, 0.0),
    roll: float = 0.0,
) -> Camera:
    """Place the scene's camera so that the points take up `fill` of the picture, their middle `off` from its centre."""
    import bpy

    turn, lift, tilt = np.radians([azimuth, elevation, roll])
    back = np.array([np.sin(turn) * np.cos(lift), -np.cos(turn) * np.cos(lift), np.sin(lift)])
    right = np.array([np.cos(turn), np.sin(turn), 0.0])
    up = np.cross(back, right)
    right, up = np.cos(tilt) * right + np.sin(tilt) * up, np.cos(tilt) * up - np.sin(tilt) * right
    axes = np.stack([right, up, back], -1)
    middle, focal = (points.min(0) + points.max(0)) / 2, lens / 36
    distance, shift = 8.0, (0.0, 0.0)
    for _ in range(12):
        camera = Camera(middle + back * distance, axes, focal, shift)
        seen = camera.project(points)
        low, high = seen.min(0), seen.max(0)
        distance = max(distance * float((high - low).max()) / fill, 0.4)
        centre = (low + high) / 2 - 0.5
        shift = (shift[0] + float(centre[0] - off[0]), shift[1] - float(centre[1] - off[1]))
    camera = Camera(middle + back * distance, axes, focal, shift)
    data = bpy.data.cameras.new("camera")
    data.lens, data.sensor_width, data.shift_x, data.shift_y = lens, 36, *camera.shift
    data.clip_start, data.clip_end = 0.02, 500
    holder = bpy.data.objects.new("camera", data)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = camera.axes, camera.place
    holder.matrix_world = matrix.T.tolist()
    bpy.context.scene.collection.objects.link(holder)
    bpy.context.scene.camera = holder
    return camera


def blur_behind(distance: float, stop: float) -> None:
    """Focus the camera at that distance with that f-stop (in the scene's own scale)."""
    import bpy

    lens = bpy.context.scene.camera.data
    lens.dof.use_dof, lens.dof.focus_distance, lens.dof.aperture_fstop = True, distance, stop


def lamp(
    place: tuple[float, float, float],
    size: float,
    watts: float,
    colour: Colour = (255, 255, 255),
    at: tuple[float, float, float] = (0, 0, 0.6),
) -> None:
    """A square soft box at `place` that looks at `at`."""
    import bpy
    from mathutils import Vector

    data = bpy.data.lights.new("lamp", "AREA")
    data.size, data.energy, data.color = size, watts, linear(colour)[:3]
    made = bpy.data.objects.new("lamp", data)
    made.location = place
    made.rotation_euler = (Vector(at) - Vector(place)).to_track_quat("-Z", "Y").to_euler()
    bpy.context.scene.collection.objects.link(made)


def ambient(colour: Colour, strength: float) -> None:
    """Light from everywhere."""
    import bpy

    node = bpy.context.scene.world.node_tree.nodes["Background"]
    node.inputs["Color"].default_value, node.inputs["Strength"].default_value = linear(colour), strength


def studio(rng: np.random.Generator, size: float) -> None:
    """A seamless sweep in white or a light tint, with two soft boxes and a lamp above."""
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
    """A table before a wall, lit by a window, the sun or lamps of a household's colours."""
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


def sun(place: tuple[float, float, float], strength: float, colour: Colour) -> None:
    """Sunlight from that direction."""
    import bpy
    from mathutils import Vector

    data = bpy.data.lights.new("sun", "SUN")
    data.energy, data.angle, data.color = strength, 0.02, linear(colour)[:3]
    made = bpy.data.objects.new("sun", data)
    made.rotation_euler = (-Vector(place)).to_track_quat("-Z", "Y").to_euler()
    bpy.context.scene.collection.objects.link(made)


def furnish(rng: np.random.Generator, size: float, away: float) -> None:
    """Hang or put what a room's wall has: a curtain, picture frames, a row of books."""
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


def render(path: Path) -> None:
    """Render the open scene to a PNG."""
    import bpy

    bpy.context.scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
