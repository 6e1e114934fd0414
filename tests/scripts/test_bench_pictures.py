"""Drawn pictures have the size asked for and differ; pictures of a folder are found whatever their ending's case."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.errors import TableError
from lookalike.scripts.bench_pictures import draw_jpeg, draw_pictures, pictures_below, texture


def test_draws_jpegs_of_the_size_asked_for() -> None:
    image = Image.open(io.BytesIO(draw_jpeg(96, 1)))
    assert (image.format, image.size) == ("JPEG", (96, 96))
    assert draw_jpeg(96, 1) == draw_jpeg(96, 1) != draw_jpeg(96, 2)


def test_draws_different_pictures_into_a_folder(tmp_path: Path) -> None:
    paths = draw_pictures(tmp_path / "drawn", 3, side=64)
    assert len({path.read_bytes() for path in paths}) == 3


def test_a_texture_is_not_flat() -> None:
    pixels = texture(40, 60, np.random.default_rng(0))
    assert pixels.shape == (40, 60, 3) and pixels.dtype == np.uint8
    assert pixels.std() > 5


def test_finds_pictures_in_sub_folders_up_to_the_most_asked_for(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.JPG", "a.png", "sub/c.webp", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in pictures_below(tmp_path)] == ["a.png", "b.JPG", "c.webp"]
    assert [path.name for path in pictures_below(tmp_path, most=2)] == ["a.png", "b.JPG"]


def test_refuses_a_folder_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="holds no pictures"):
        pictures_below(tmp_path)
