"""Meshes for Blender from numpy arrays: turned bodies, lofted surfaces, boxes, swept tubes, all with label coordinates.

Lengths are in units of 10 cm. A product stands on z = 0 around the z axis, with its front towards −y.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def surface(
    points: Points, uv: Points, material: Any, *, closed: bool = False, caps: bool = False, crease: float = 38.0
) -> Any:
    """An object from a grid of points (rows, columns, 3), with label coordinates `uv` on the same grid.

    `closed` joins the last column to the first; `uv` then has one more column. `caps` fills the first and last row.
    """
    rows, columns = points.shape[:2]
    count = columns if closed else columns - 1
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(count), indexing="ij")
    right = (j + 1) % columns
    corners = np.stack([i * columns + j, i * columns + right, (i + 1) * columns + right, (i + 1) * columns + j], -1)
    faces = corners.reshape(-1, 4).tolist()
    loops = np.stack([uv[i, j], uv[i, j + 1], uv[i + 1, j + 1], uv[i + 1, j]], 2).reshape(-1, 2)
    if caps:
        first, last = list(range(columns))[::-1], list(range((rows - 1) * columns, rows * columns))
        faces += [first, last]
        loops = np.concatenate([loops, uv[0, :columns][::-1], uv[-1, :columns]])
    return _object(points.reshape(-1, 3), faces, loops, material, crease=crease)


def turned(
    profile: Sequence[tuple[float, float]],
    material: Any,
    *,
    section: tuple[float, float, float] = (1.0, 1.0, 2.0),
    sides: int = 96,
    arc: tuple[float, float] = (0.0, 1.0),
    caps: bool = False,
) -> Any:
    """A body turned around z from a profile of (radius, z); u runs around it with 0.5 at the front, v along z.

    `section` is the cross-section: half width and half depth per radius, and the exponent of a superellipse (2 is an
    ellipse, more is boxier). `arc` is the part of the turn to make, as u.
    """
    whole = arc == (0.0, 1.0)
    u = np.linspace(arc[0], arc[1], sides + 1)
    angle = 2 * np.pi * u - 1.5 * np.pi  # u = 0.5 is the front
    around = _superellipse(angle, section)
    radius, height = np.array(profile, float).T
    points = np.empty((len(radius), sides + 1, 3))
    points[..., :2] = radius[:, None, None] * around[None]
    points[..., 2] = height[:, None]
    share = (u - arc[0]) / (arc[1] - arc[0]) if not whole else _even(around, u)
    low, high = height.min(), height.max()
    rise = (height - low) / max(high - low, 1e-9)
    uv = np.stack(np.broadcast_arrays(share[None, :], rise[:, None]), -1)
    return surface(points[:, :-1] if whole else points, uv, material, closed=whole, caps=caps)


def rounded(corners: Sequence[tuple[float, float, float]], *, steps: int = 6) -> list[tuple[float, float]]:
    """A profile through corners (radius, z, rounding), each replaced by an arc of that size."""
    points = np.array([corner[:2] for corner in corners], float)
    path: list[tuple[float, float]] = []
    for k, (x, z, size) in enumerate(corners):
        if size <= 0 or k in (0, len(corners) - 1):
            path.append((x, z))
            continue
        here, before, after = points[k], points[k - 1], points[k + 1]
        to_before, to_after = before - here, after - here
        cut = min(size, 0.49 * float(np.hypot(*to_before)), 0.49 * float(np.hypot(*to_after)))
        start = here + to_before / np.hypot(*to_before) * cut
        end = here + to_after / np.hypot(*to_after) * cut
        for t in np.linspace(0, 1, steps + 1):
            bend = (1 - t) ** 2 * start + 2 * t * (1 - t) * here + t**2 * end
            path.append((float(bend[0]), float(bend[1])))
    return path


def lathed(
    corners: Sequence[tuple[float, float, float]],
    material: Any,
    *,
    steps: int = 6,
    section: tuple[float, float, float] = (1.0, 1.0, 2.0),
    sides: int = 96,
    caps: bool = False,
) -> Any:
    """A body `turned` from a profile that is `rounded` at its corners (radius, z, rounding)."""
    return turned(rounded(corners, steps=steps), material, section=section, sides=sides, caps=caps)


def sleeve(
    radius: float,
    heights: tuple[float, float],
    material: Any,
    *,
    section: tuple[float, float, float] = (1.0, 1.0, 2.0),
    arc: tuple[float, float] = (0.0, 1.0),
) -> Any:
    """A label round a body: a `turned` wall of one radius between two heights."""
    return turned([(radius, heights[0]), (radius, heights[1])], material, section=section, arc=arc)


def box(size: tuple[float, float, float], materials: Sequence[Any], *, bevel: float = 0.02, base: float = 0.0) -> Any:
    """A box of this width, depth and height on `base`; materials for front and back, sides, top and bottom."""
    import bmesh
    import bpy

    mesh = bpy.data.meshes.new("box")
    shape = bmesh.new()
    bmesh.ops.create_cube(shape, size=1.0)
    for vertex in shape.verts:
        vertex.co.x *= size[0]
        vertex.co.y *= size[1]
        vertex.co.z = (vertex.co.z + 0.5) * size[2] + base
    bmesh.ops.bevel(shape, geom=shape.edges[:], offset=bevel, segments=4, profile=0.5, affect="EDGES")
    layer = shape.loops.layers.uv.new("UVMap")
    for face in shape.faces:
        axis = int(np.argmax(np.abs(np.array(face.normal))))
        face.material_index = {0: 1, 1: 0, 2: 2}[axis]
        sign = 1 if face.normal[axis] > 0 else -1
        for loop in face.loops:
            x, y, z = loop.vert.co.x / size[0], loop.vert.co.y / size[1], (loop.vert.co.z - base) / size[2]
            across = {0: y * sign, 1: -x * sign, 2: x}[axis]
            loop[layer].uv = (across + 0.5, y + 0.5 if axis == 2 else z)
    shape.to_mesh(mesh)
    shape.free()
    for material in materials:
        mesh.materials.append(material)
    return _linked(mesh, crease=60.0)


def swept(path: Points, radius: float | Points, material: Any, *, sides: int = 16, flat: float = 1.0) -> Any:
    """A tube along a path (n, 3); `flat` squeezes its cross-section along the second normal."""
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-12
    normal = np.empty_like(path)
    seed = np.array([0.0, 0.0, 1.0]) if abs(tangent[0, 2]) < 0.9 else np.array([0.0, 1.0, 0.0])
    for k, direction in enumerate(tangent):  # carried along so that the tube does not twist
        seed = seed - direction * (seed @ direction)
        seed = seed / np.linalg.norm(seed)
        normal[k] = seed
    other = np.cross(tangent, normal)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    thick = np.broadcast_to(np.asarray(radius, float), (len(path),))[:, None, None]
    ring = np.cos(angle)[None, :, None] * normal[:, None] + flat * np.sin(angle)[None, :, None] * other[:, None]
    points = path[:, None] + thick * ring
    uv = np.stack(np.broadcast_arrays(np.linspace(0, 1, sides + 1)[None, :], np.linspace(0, 1, len(path))[:, None]), -1)
    return surface(points, uv, material, closed=True, caps=True)


def ball(centre: tuple[float, float, float], radius: float, material: Any, *, squash: float = 1.0) -> Any:
    """A ball, its height times `squash`."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 25)
    profile = [(max(1e-4, radius * float(np.cos(a))), radius * squash * float(np.sin(a))) for a in angle]
    ball_ = turned(profile, material, sides=40)
    ball_.location = centre
    return ball_


def raw(vertices: Sequence[Sequence[float]], faces: Sequence[Sequence[int]], material: Any, uv: Points) -> Any:
    """An object from vertices, faces, and a label coordinate for each corner of a face."""
    return _object(np.array(vertices, float), [list(face) for face in faces], uv, material, crease=30.0)


def panel(corners: Sequence[tuple[float, float, float]], material: Any) -> Any:
    """A flat label between four corners, from its lower left one round."""
    return raw(corners, [(0, 1, 2, 3)], material, np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float))


def _object(vertices: Points, faces: list[list[int]], loops: Points, material: Any, *, crease: float) -> Any:
    import bpy

    mesh = bpy.data.meshes.new("surface")
    mesh.from_pydata(vertices.tolist(), [], faces)
    layer = mesh.uv_layers.new(name="UVMap")
    layer.data.foreach_set("uv", loops.astype(np.float32).ravel())
    mesh.materials.append(material)
    mesh.validate()
    return _linked(mesh, crease=crease)


def _linked(mesh: Any, *, crease: float) -> Any:
    import bpy

    mesh.shade_smooth()
    mesh.set_sharp_from_angle(angle=float(np.radians(crease)))
    made = bpy.data.objects.new("part", mesh)
    bpy.context.scene.collection.objects.link(made)
    return made


def _superellipse(angle: Points, section: tuple[float, float, float]) -> Points:
    width, depth, exponent = section
    cos, sin = np.cos(angle), np.sin(angle)
    radius = (np.abs(cos / width) ** exponent + np.abs(sin / depth) ** exponent) ** (-1 / exponent)
    return np.stack([radius * cos, radius * sin], -1)


def _even(around: Points, u: Points) -> Points:
    """u by length along the turn instead of by angle, so that print is not stretched on a boxy section."""
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(around, axis=0).T))])
    return np.asarray(length / length[-1] + 0 * u)
