"""What an encoder hardly sees of a picture is said; ordinary photos need no word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lookalike.model.encoder import Preprocessing
from lookalike.model.resize import is_distorted, unseen

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
