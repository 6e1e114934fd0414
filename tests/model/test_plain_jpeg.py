"""The fast path gives the same pixels as the reference path, bit by bit, and leaves to it whatever is not plain."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from lookalike.model.encoder import Preprocessing
from lookalike.model.images import ImageLimits, decode_image
from lookalike.model.loading import load_encoder
from lookalike.model.plain_jpeg import prepared_plain
from lookalike.model.resize import _reduced
from lookalike.scripts.training.edits import texture

FULL = Preprocessing((144, 144), (0.5,) * 3, (0.5,) * 3, "bilinear", "squash")
REDUCED = replace(FULL, reducing_gap=1.5)


def jpeg(width: int, height: int, seed: int = 0, *, mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(texture(height, width, np.random.default_rng(seed)).astype(np.uint8)).convert(mode)
    picture.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def quick(data: bytes, preprocessing: Preprocessing = FULL, **limits: Any) -> Image.Image | None:
    return prepared_plain(data, preprocessing, limits=ImageLimits(**limits))


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (67, 143), (348, 201), (800, 533), (653, 871)])
def test_pixels_are_those_of_the_reference_path(size: tuple[int, int], subsampling: int, progressive: bool) -> None:
    data = jpeg(*size, subsampling=subsampling, progressive=progressive, quality=85)
    image = quick(data, max_side_ratio=100)
    assert image is not None
    assert image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(image), np.asarray(decode_image(data).image))


@pytest.mark.parametrize(
    "size", [(40, 30), (433, 215), (800, 533), (653, 871), (1001, 434), (1440, 3600), (3700, 3800)]
)
def test_an_encoder_makes_the_same_input_of_both(size: tuple[int, int]) -> None:
    encoder = load_encoder("embedded", device="cpu")
    data = jpeg(*size)
    image = quick(data, encoder.spec.preprocessing, max_side_ratio=100)
    assert image is not None
    assert image.size == (144, 144)
    np.testing.assert_array_equal(encoder.prepare(image), encoder.prepare(decode_image(data).image))


@pytest.mark.parametrize("factors", [(1, 2), (2, 1), (2, 2), (3, 2), (3, 3), (4, 4), (5, 7), (11, 13), (16, 16)])
def test_means_of_blocks_are_rounded_as_pillow_rounds_them(factors: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    for height, width in ((97, 201), (112, 208)):
        for pixels in (rng.integers(0, 256, (height, width, 4)), rng.choice([0, 255], (height, width, 4))):
            picture = Image.fromarray(pixels[..., :3].astype(np.uint8))
            means = _reduced(np.ascontiguousarray(pixels, np.uint8), *factors)
            np.testing.assert_array_equal(means[..., :3], np.asarray(picture.reduce(factors)))


def test_metadata_that_changes_no_pixel_is_plain() -> None:
    assert quick(jpeg(30, 20, exif=exif(1), comment=b"a shop's own words")) is not None


def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize(
    "data",
    [
        jpeg(30, 20, exif=exif(6)),
        jpeg(30, 20, exif=exif(1), comment=b"Exif\0\0"),
        jpeg(30, 20, icc_profile=profile()),
        jpeg(30, 20, mode="L"),
        jpeg(30, 20, mode="CMYK"),
        jpeg(30, 20, keep_rgb=True),
        jpeg(30, 20)[:-2],
        jpeg(30, 20)[:-60] + b"\xff\xd9",
        jpeg(30, 20) + b"more",
        jpeg(30, 20).replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"),
        b"\xff\xd8" + b"\xff\xe0\x00\x02" * 10_000 + jpeg(30, 20)[2:],
        b"\xff\xd8\xff\xd9",
        b"",
        b"GIF89a",
    ],
    ids=[
        "turned", "exif twice", "profile", "grey", "cmyk", "rgb", "endless", "cut", "tail", "12 bit", "segments",
        "bare", "nothing", "gif",
    ],
)  # fmt: skip
def test_leaves_everything_else_to_the_reference_path(data: bytes) -> None:
    assert quick(data) is None


def test_leaves_sides_so_unequal_that_there_is_a_hint_to_the_reference_path() -> None:
    assert quick(jpeg(50, 20)) is not None
    assert quick(jpeg(51, 20)) is None
    assert quick(jpeg(60, 20), replace(FULL, size=(72, 144))) is not None


def test_keeps_to_the_limits_before_it_decodes() -> None:
    data = jpeg(40, 20)
    assert quick(data) is not None
    assert quick(data, max_pixels=799) is None
    assert quick(data, max_side_ratio=1.9) is None
