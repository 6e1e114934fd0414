"""The parts of a photo are the pictures in it, the goods beside each other, or crops; equal photos have equal parts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lookalike.model.regions import Region, cut, regions_of, working_picture
from lookalike.scripts.bench_pictures import texture

Pixels = NDArray[np.uint8]
NEAR = 0.02


def photo(seed: int, height: int = 300, width: int = 300) -> Pixels:
    return texture(height, width, np.random.default_rng(seed))


def regions(pixels: Pixels, most: int = 5) -> list[Region]:
    return regions_of(working_picture(Image.fromarray(pixels)), most=most)


def first(pixels: Pixels, count: int) -> list[Region]:
    """The first regions, sorted by where they are."""
    return sorted(regions(pixels)[:count], key=lambda region: (round(region[1], 1), round(region[0], 1)))


def ground(height: int, width: int, colour: int = 255) -> Pixels:
    return np.full((height, width, 3), colour, np.uint8)


def test_photos_side_by_side_are_parts() -> None:
    halves = first(np.hstack([photo(0), photo(1)]), 2)
    assert halves == [pytest.approx((0, 0, 0.5, 1), abs=NEAR), pytest.approx((0.5, 0, 1, 1), abs=NEAR)]


def test_the_photos_of_a_grid_are_parts_and_not_its_rows() -> None:
    rows = [np.hstack([photo(4 * row + at) for at in range(2)]) for row in range(2)]
    quarters = [(x, y, x + 0.5, y + 0.5) for y in (0, 0.5) for x in (0, 0.5)]
    assert first(np.vstack(rows), 4) == [pytest.approx(quarter, abs=NEAR) for quarter in quarters]


def test_a_photo_laid_on_another_is_a_part() -> None:
    pixels = photo(2, 600, 600)
    pixels[100:400, 150:450] = photo(3)
    assert first(pixels, 1) == [pytest.approx((0.25, 1 / 6, 0.75, 2 / 3), abs=NEAR)]


@pytest.mark.parametrize("colour", [255, 0, 128])
def test_what_a_frame_leaves_is_a_part(colour: int) -> None:
    pixels = ground(700, 500, colour)
    pixels[100:400, 100:400] = photo(4)
    assert first(pixels, 1) == [pytest.approx((0.2, 1 / 7, 0.8, 4 / 7), abs=NEAR)]


def test_goods_beside_each_other_on_a_plain_ground_are_parts() -> None:
    pixels = ground(400, 1000)
    pixels[50:350, 50:350], pixels[100:300, 600:900] = photo(5), photo(6, 200, 300)
    goods = [(0.05, 0.125, 0.35, 0.875), (0.6, 0.25, 0.9, 0.75)]
    assert sorted(regions(pixels)[:2]) == [pytest.approx(each, abs=NEAR) for each in goods]


def test_a_long_picture_is_cut_into_pieces_that_cover_it() -> None:
    pieces = sorted(regions(photo(7, 200, 4000)))
    assert pieces[0][0] == 0 and pieces[-1][2] == pytest.approx(1)
    assert all(right > left for (_, _, right, _), (left, *_) in pairwise(pieces))
    upright = sorted(regions(photo(7, 4000, 200)), key=lambda piece: piece[1])
    assert [piece[1] for piece in upright] == pytest.approx([piece[0] for piece in pieces])


@pytest.mark.parametrize(
    "pixels", [ground(1, 1), ground(40, 40), ground(900, 900, 0), photo(8, 60, 60), photo(8, 1, 500)]
)
def test_what_shows_nothing_or_is_tiny_has_no_parts(pixels: Pixels) -> None:
    assert regions(pixels) == []


def test_of_a_photo_that_is_one_picture_the_middle_is_a_part() -> None:
    noise = np.random.default_rng(9).integers(0, 256, (600, 600, 3), np.uint8)
    assert regions(noise) == regions(photo(9)) == [(0.2, 0.2, 0.8, 0.8)]


def test_fewer_parts_are_the_first_of_more() -> None:
    pixels = np.hstack([photo(0), photo(1)])
    assert [regions(pixels, most) for most in range(6)] == [regions(pixels)[:most] for most in range(6)]


def test_a_grey_photo_with_a_fourth_channel_has_the_same_parts() -> None:
    picture = Image.fromarray(np.hstack([photo(0), photo(1)])).convert("L").convert("RGB")
    pixels = np.dstack([np.asarray(picture), np.full((300, 600), 7, np.uint8)])
    fourth = Image.frombuffer("RGBX", (600, 300), pixels, "raw", "RGBX", 0, 1)
    assert regions_of(fourth, most=5) == regions_of(picture, most=5)


def test_a_part_of_a_large_photo_is_cut_from_a_smaller_one() -> None:
    working = working_picture(Image.fromarray(photo(10, 2400, 3000)))
    assert working.size == (1000, 800)
    part = cut(working, (0.25, 0.5, 0.75, 1.0))
    np.testing.assert_array_equal(np.asarray(part), np.asarray(working)[400:, 250:750])


def test_a_part_has_a_pixel_at_least() -> None:
    assert cut(Image.new("RGB", (3, 3)), (0.99, 0.99, 1.0, 1.0)).size == (1, 1)
