"""Pictures come to an encoder's size as with open_clip; what it hardly sees of one is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import Compose

from lookalike.model.encoder import Preprocessing
from lookalike.model.resize import fitted, is_distorted, unseen
from lookalike.model.transforms import transform

SQUASHED = Preprocessing((224, 224), (0.5,) * 3, (0.5,) * 3, "bilinear", "squash")
CROPPED = replace(SQUASHED, resize_mode="shortest")


@pytest.mark.parametrize("size", [(600, 3600), (3600, 600)])
def test_says_which_part_of_a_collage_was_looked_at(size: tuple[int, int]) -> None:
    assert (unseen(size, CROPPED) or "").startswith("only the middle 17% of it was looked at")
    for mode in ("squash", "longest"):
        assert (unseen(size, replace(SQUASHED, resize_mode=mode)) or "").startswith(
            "its longer side was squeezed to 17%"
        )


@pytest.mark.parametrize("size", [(1, 1), (800, 800), (4000, 3000), (1080, 1920), (1080, 2400), (250, 100)])
def test_says_nothing_of_ordinary_photos(size: tuple[int, int]) -> None:
    assert unseen(size, SQUASHED) is unseen(size, CROPPED) is None


def test_it_counts_how_the_sides_differ_from_those_of_the_input() -> None:
    wide = replace(SQUASHED, size=(100, 400))
    assert not is_distorted((800, 100), wide)
    assert is_distorted((400, 400), wide)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("mode", ["squash", "shortest", "longest"])
@pytest.mark.parametrize("size", [(32, 32), (48, 32), (31, 33)])
def test_gives_the_pixels_of_open_clips_transform(size: tuple[int, int], mode: str, interpolation: str) -> None:
    if mode == "shortest" and size[0] != size[1]:
        interpolation = "bicubic"  # open_clip passes nothing else on to this resize
    preprocessing = Preprocessing(size, (0.5,) * 3, (0.5,) * 3, interpolation, mode, 127)
    expected = Compose(transform(preprocessing).transforms[:-2])
    rng = np.random.default_rng(0)
    for width, height in ((64, 40), (40, 64), (33, 33), (101, 57), (20, 10), (9, 21), size, (97, 400)):
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
        np.testing.assert_array_equal(np.asarray(fitted(image, preprocessing)), np.asarray(expected(image)))
