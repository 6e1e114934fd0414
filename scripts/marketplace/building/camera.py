"""Takes a planned picture: builds the product and its surroundings in Blender, renders them, finishes the photo."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.scripts.marketplace import photos
from lookalike.scripts.marketplace.building import rooms, scenes
from lookalike.scripts.marketplace.building.clutter import strew
from lookalike.scripts.marketplace.building.forms import FORMS
from lookalike.scripts.marketplace.building.press import Press
from lookalike.scripts.marketplace.plan import ROUND, Shot

# edits that move the product, so that its outline is not known afterwards
_MOVING = frozenset(("crop", "mirror", "rotate", "perspective", "background", "collage", "screenshot", "rephoto"))


@dataclass(frozen=True)
class Camera:
    """Where pictures go and how they are rendered."""

    images: Path
    split: str
    side: int
    samples: int
    seconds: float
    fonts: Path | None


def take(camera: Camera, shot: Shot) -> photos.Picture:
    """Make and write the picture of a shot, and return its row."""
    path = camera.images / f"{shot.name}.jpg"
    rng = np.random.default_rng(shot.seed)
    outline = (_edit if shot.edits else _photograph)(camera, shot, path, rng)
    source = f"images/{shot.source}.jpg" if shot.source else ""
    return photos.Picture(
        f"images/{shot.name}.jpg",
        shot.product_id,
        shot.thing.design.name,
        shot.thing.form,
        shot.kind,
        shot.step,
        "+".join(shot.edits),
        shot.view,
        outline,
        source,
        camera.split,
        shot.seed,
    )


def _edit(camera: Camera, shot: Shot, path: Path, rng: np.random.Generator) -> str:
    from lookalike.scripts.training.edits import edit

    source = photos.read_image(camera.images / f"{shot.source}.jpg")
    image = edit(source, shot.edits, rng)
    if max(image.shape[:2]) > camera.side:
        image = photos.fit(image, camera.side)
    photos.save_jpeg(path, image, quality=int(rng.integers(70, 90)))
    if _MOVING.intersection(shot.edits):
        return ""
    return photos.read_pictures(camera.images.parent / "pictures.csv")[f"images/{shot.source}.jpg"].outline


def _photograph(camera: Camera, shot: Shot, path: Path, rng: np.random.Generator) -> str:
    scenes.open_stage(side=camera.side, samples=camera.samples, seconds=camera.seconds)
    thing = shot.thing
    press = Press(thing, fonts=camera.fonts, density=int(np.clip(camera.side * 1.1, 200, 520)))
    FORMS[thing.form](press, np.random.default_rng(thing.shape), thing.shape & 1)
    if shot.setting == "studio":
        parts, pose = _packshot(shot, rng)
    else:
        parts, pose = _private(shot, rng)
    outline = photos.outline_of(pose.project(scenes.vertices(parts)), _triangles(parts))
    with tempfile.TemporaryDirectory() as folder, _silence():
        png = Path(folder) / "render.png"
        scenes.render(png)
        image = photos.read_image(png)
    if shot.setting == "studio":
        photos.save_jpeg(path, image, quality=88)
    else:
        photos.save_jpeg(path, photos.phone(image, rng), quality=int(rng.integers(62, 88)))
    return outline


def _packshot(shot: Shot, rng: np.random.Generator) -> tuple[list[Any], scenes.Camera]:
    azimuth, elevation = scenes.VIEWS[shot.view]
    if shot.thing.form == "trainer" and shot.view == "high":
        azimuth = 40.0
    parts = scenes.gather(yaw=0.0, lying=False)
    points = scenes.vertices(parts)
    rooms.studio(rng, float(np.ptp(points, 0).max()) / 1.5)
    pose = scenes.aim(
        points,
        azimuth=azimuth + float(rng.uniform(-3, 3)),
        elevation=elevation + float(rng.uniform(-2, 3)),
        lens=float(rng.uniform(65, 100)),
        fill=float(rng.uniform(0.76, 0.88)),
    )
    return parts, pose


def _private(shot: Shot, rng: np.random.Generator) -> tuple[list[Any], scenes.Camera]:
    """A private photo: on a table, with a phone's short lens, among other things, at times partly hidden."""
    lying = shot.setting == "flat"
    turn = 22.0 if shot.thing.form in ROUND else 42.0
    parts = scenes.gather(yaw=float(rng.uniform(-turn, turn)), lying=lying)
    points = scenes.vertices(parts)
    extent = np.ptp(points, 0)
    size = float(extent.max()) / 1.5
    rooms.room(rng, size, furnished=not lying)
    azimuth = float(rng.uniform(-20, 20))
    elevation = float(rng.uniform(52, 82) if lying else rng.uniform(8, 38))
    strew(
        rng,
        (float(np.hypot(*extent[:2])) / 2, float(max(extent[2], 0.7))),
        azimuth=azimuth,
        hide=bool(rng.random() < 0.35),
    )
    pose = scenes.aim(
        points,
        azimuth=azimuth,
        elevation=elevation,
        lens=float(rng.uniform(28, 52)),
        fill=float(rng.uniform(0.5, 0.8)),
        off=(float(rng.uniform(-0.07, 0.07)), float(rng.uniform(-0.06, 0.06))),
        roll=float(rng.normal(0, 3.5)),
    )
    middle = (points.min(0) + points.max(0)) / 2
    scenes.blur_behind(float(np.linalg.norm(pose.place - middle)) - size * 0.2, float(rng.uniform(0.5, 1.8)) / size)
    return parts, pose


def _triangles(parts: list[Any]) -> NDArray[np.int64]:
    """The triangles of all parts, as indices (n, 3) into their joined vertices."""
    found, start = [], 0
    for part in parts:
        part.data.calc_loop_triangles()
        flat = np.empty(len(part.data.loop_triangles) * 3, np.int32)
        part.data.loop_triangles.foreach_get("vertices", flat)
        found.append(flat.reshape(-1, 3).astype(np.int64) + start)
        start += len(part.data.vertices)
    return np.concatenate(found)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Discard what Blender's C code prints, which Python's own streams can't catch."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
