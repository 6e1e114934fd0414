"""Layers lie where the pair's truth says: points on points, boxes on what was changed, mirrored or not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from lookalike.evidence.layers import layers_of


def print_(seed: int = 0) -> Image.Image:
    """A picture full of corners, which match."""
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", (640, 480), "white")
    draw = ImageDraw.Draw(picture)
    for _ in range(140):
        x, y, w, h = rng.integers(0, 600), rng.integers(0, 440), *rng.integers(8, 60, 2)
        draw.rectangle((x, y, x + w, y + h), tuple(rng.integers(0, 255, 3).tolist()))
    return picture


def changed(picture: Image.Image) -> Image.Image:
    """The picture with a plain patch at (300, 200) to (380, 260)."""
    other = picture.copy()
    ImageDraw.Draw(other).rectangle((300, 200, 380, 260), "black")
    ImageDraw.Draw(other).line((300, 200, 380, 260), "white", 9)
    return other


@pytest.mark.parametrize("mirrored", [False, True])
def test_lines_join_the_same_points_and_a_box_is_where_the_change_is(mirrored: bool) -> None:
    genuine = print_().resize((1280, 960), Image.Resampling.LANCZOS)
    listing = changed(print_()).resize((400, 300), Image.Resampling.LANCZOS)
    layers = layers_of(genuine, ImageOps.mirror(listing) if mirrored else listing)
    assert layers.mirrored is mirrored and layers.verification is not None
    lines = np.array(layers.lines)
    assert len(lines) >= 10
    # the listing is the genuine photo, smaller, so equal points have equal shares once it is shown mirrored back
    assert np.abs(lines[:, :2] - lines[:, 2:]).max() < 0.01
    place = layers.places[0]
    for outline in (place.reference, place.listing):
        left, top = np.min(outline, axis=0) * (640, 480)
        right, bottom = np.max(outline, axis=0) * (640, 480)
        assert left < 340 < right and top < 230 < bottom
        assert 40 < right - left < 220 and 30 < bottom - top < 200
    assert layers.views is not None and layers.views[0].size == layers.views[1].size
    assert place.genuine_close_up.size == place.listing_close_up.size


def test_photos_without_a_common_point_have_no_layers() -> None:
    layers = layers_of(print_(), Image.new("RGB", (300, 300), "grey"))
    assert (layers.verification, layers.lines, layers.places, layers.views) == (None, (), (), None)
