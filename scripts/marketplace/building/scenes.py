"""The Blender scene: its settings, what stands in it, the camera, and rendering (Cycles on the CPU)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# where the camera looks from, in degrees: azimuth (0 is the front, positive is from its right) and elevation
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
        """Picture coordinates (n, 2) of points (n, 3), 0 to 1 from the top left corner."""
        local = (points - self.place) @ self.axes
        flat = self.focal * local[:, :2] / -local[:, 2:]
        return np.asarray(np.stack([0.5 + flat[:, 0] - self.shift[0], 0.5 - flat[:, 1] + self.shift[1]], -1))


def open_stage(*, side: int, samples: int, seconds: float) -> Any:
    """An empty Blender scene set up for pictures of this side in pixels."""
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.render.resolution_x = scene.render.resolution_y = side
    scene.render.image_settings.file_format = "PNG"
    scene.cycles.device = "CPU"
    scene.cycles.samples, scene.cycles.use_denoising = samples, True
    scene.cycles.denoiser = "OPENIMAGEDENOISE"
    scene.cycles.denoising_prefilter = scene.cycles.denoising_quality = (
        "FAST"  # a third of the time, with no visible difference
    )
    scene.cycles.use_adaptive_sampling, scene.cycles.adaptive_threshold = True, 0.08
    scene.cycles.use_light_tree = False
    scene.cycles.time_limit = seconds
    scene.cycles.max_bounces, scene.cycles.transmission_bounces, scene.cycles.diffuse_bounces = 8, 8, 2
    scene.cycles.glossy_bounces = 3
    scene.cycles.caustics_reflective = scene.cycles.caustics_refractive = False
    scene.cycles.blur_glossy = 1.0
    scene.view_settings.view_transform = "Khronos PBR Neutral"  # keeps the colours of print, and rolls off highlights
    scene.world = bpy.data.worlds.new("world")
    scene.world.use_nodes = True
    return scene


def gather(*, yaw: float, lying: bool) -> Any:
    """Put everything in the scene under one empty on z = 0, turned by `yaw` degrees, upright or lying on its back."""
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
    """Place the camera so that the points take up `fill` of the picture, with their middle `off` from its centre."""
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
    """Focus the camera at this distance, with this f-stop in the scene's scale."""
    import bpy

    lens = bpy.context.scene.camera.data
    lens.dof.use_dof, lens.dof.focus_distance, lens.dof.aperture_fstop = True, distance, stop


def render(path: Path) -> None:
    """Render the open scene to a PNG."""
    import bpy

    bpy.context.scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
