"""The composed picture shows both photos, what matches and what differs, whatever it is given."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lookalike.evidence.alignment import Alignment, between, bring_to_size, through
from lookalike.evidence.comparison import Comparison, compare_in_view
from lookalike.evidence.drawing import MARK, OUTLINE, WIDTH
from lookalike.evidence.pair_picture import compose_pair

NAME_AT = (90, 190)


class Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float


def packshot(name: str) -> NDArray[np.uint8]:
    """A label on a plain backdrop, 300 by 360."""
    pixels = np.full((360, 300, 3), 244, np.uint8)
    cv2.rectangle(pixels, (60, 40), (240, 320), (198, 206, 226), -1)
    cv2.circle(pixels, (150, 95), 30, (64, 32, 84), -1, cv2.LINE_AA)
    cv2.rectangle(pixels, (70, 140), (230, 215), (64, 32, 84), -1)
    cv2.putText(pixels, "hand cream", (85, 250), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (64, 32, 84), 2, cv2.LINE_AA)
    picture = Image.fromarray(pixels)
    ImageDraw.Draw(picture).text(NAME_AT, name, (240, 232, 200), ImageFont.load_default(40), anchor="ls")
    return np.array(picture)


def points_on_label(homography: NDArray[np.float64], *, count: int = 9) -> NDArray[np.float32]:
    """A grid of true correspondences on the label."""
    x, y = np.meshgrid(np.linspace(70, 230, count), np.linspace(60, 300, count))
    places = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    moved = homography @ places
    return np.concatenate([places[:2], moved[:2] / moved[2]]).T.astype(np.float32)


def photographed(pixels: NDArray[np.uint8], homography: NDArray[np.float64], ground: NDArray[np.uint8]) -> Image.Image:
    """The picture laid on a ground as the homography says."""
    size = (ground.shape[1], ground.shape[0])
    laid = cv2.warpPerspective(pixels, homography, size, dst=ground.copy(), borderMode=cv2.BORDER_TRANSPARENT)
    return Image.fromarray(np.asarray(laid, np.uint8))


TILTED = np.array([[0.9, 0.12, 60], [-0.05, 0.95, 50], [1e-4, 2e-4, 1]], np.float64)
GROUND = np.asarray(cv2.resize(np.random.default_rng(1).integers(0, 256, (9, 9, 3), np.uint8), (420, 460)), np.uint8)
EXACT = Alignment(np.eye(3), points_on_label(np.eye(3)))


def as_image(pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(pixels)


def share_of(picture: Image.Image, colour: tuple[int, int, int]) -> float:
    return float((np.asarray(picture) == colour).all(axis=2).mean())


def letter(name: str, place: int) -> tuple[float, float, float, float]:
    font = ImageFont.load_default(40)
    left = NAME_AT[0] + font.getlength(name[:place])
    box = ImageDraw.Draw(Image.new("RGB", (9, 9))).textbbox((left, NAME_AT[1]), name[place], font, anchor="ls")
    return box


def compared(reference: Image.Image, listing: Image.Image, alignment: Alignment) -> tuple[Comparison, list[Box]]:
    """The comparison, and the boxes of what differs in pixels of the reference photo, largest first."""
    pair = bring_to_size(reference, listing, alignment)
    comparison = compare_in_view(pair)
    assert comparison is not None
    to_photo = between((pair.reference.shape[1], pair.reference.shape[0]), reference.size) @ comparison.view
    boxes = []
    for each in comparison.difference.regions:
        corners = through(to_photo, np.array([[each.left, each.top], [each.right, each.bottom]]))
        boxes.append(Box(*corners.ravel()))
    return comparison, boxes


@pytest.mark.parametrize("mirrored", [False, True], ids=["as it is", "mirrored"])
def test_marks_the_changed_letter_in_a_tilted_photo_before_another_background(mirrored: bool) -> None:
    listing = photographed(packshot("elmora"), TILTED, GROUND)
    if mirrored:
        listing = listing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    _, places = compared(as_image(packshot("elmira")), listing, Alignment(TILTED, points_on_label(TILTED), mirrored))
    left, top, right, bottom = letter("elmira", 3)
    first = places[0]
    assert first.left <= (left + right) / 2 <= first.right
    assert first.top <= (top + bottom) / 2 <= first.bottom
    assert first.right - first.left < 70


def test_compares_only_the_label_where_the_backgrounds_differ() -> None:
    genuine, listing = packshot("elmora"), packshot("elmora")
    plain = (genuine == 244).all(axis=2)
    listing[plain] = np.asarray(cv2.resize(GROUND, (300, 360)))[plain]
    found, places = compared(as_image(genuine), as_image(listing), EXACT)
    assert not found.whole
    assert places == []


def test_compares_all_of_a_copied_photo_so_that_words_beside_the_goods_are_marked() -> None:
    listing = packshot("elmora")
    cv2.putText(listing, "NEW", (4, 352), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (220, 20, 20), 3, cv2.LINE_AA)
    found, places = compared(as_image(packshot("elmora")), as_image(listing), EXACT)
    assert found.whole
    assert places
    assert all(place.top > 315 and place.right < 90 for place in places)


def test_names_the_changed_letter_before_a_large_sticker_beside_the_print() -> None:
    listing = packshot("elmora")
    cv2.circle(listing, (45, 340), 18, (230, 20, 20), -1)
    cv2.rectangle(listing, (2, 2), (56, 90), (20, 160, 60), -1)
    cv2.putText(listing, "50%", (6, 55), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 2, cv2.LINE_AA)
    found, places = compared(as_image(packshot("elmira")), as_image(listing), EXACT)
    assert found.whole
    left, _, right, _ = letter("elmira", 3)
    assert places[0].left <= (left + right) / 2 <= places[0].right
    assert any(place.right < 80 for place in places[1:])


def test_a_copy_cut_out_of_the_photo_differs_nowhere() -> None:
    shift = np.array([[1, 0, -80], [0, 1, -60], [0, 0, 1]], np.float64)
    listing = as_image(packshot("elmora")[60:300, 80:])
    _, places = compared(as_image(packshot("elmora")), listing, Alignment(shift, points_on_label(shift)[20:]))
    assert places == []


def test_large_photos_are_compared_in_their_own_pixels() -> None:
    size = (1800, 2160)
    large = [as_image(packshot(name)).resize(size, Image.Resampling.LANCZOS) for name in ("elmira", "elmora")]
    _, places = compared(large[0], large[1], Alignment(np.eye(3), 6 * points_on_label(np.eye(3))))
    left, top, right, bottom = (6 * edge for edge in letter("elmira", 3))
    first = places[0]
    assert first.left <= (left + right) / 2 <= first.right
    assert first.top <= (top + bottom) / 2 <= first.bottom


def test_the_picture_has_the_marks_only_where_something_differs() -> None:
    genuine = as_image(packshot("elmira"))
    same, changed = (compose_pair(genuine, as_image(packshot(name)), EXACT) for name in ("elmira", "elmora"))
    assert same.width == changed.width == WIDTH
    assert same.mode == changed.mode == "RGB"
    assert share_of(changed, MARK) > 10 * share_of(same, MARK)
    assert changed.height > same.height + 100
    panels = np.s_[600 : same.height, : WIDTH // 3]
    assert not (np.asarray(same)[panels] == MARK).all(axis=2).any()
    assert (np.asarray(changed)[panels] == MARK).all(axis=2).any()
    assert share_of(same, OUTLINE) > 0


def test_without_an_alignment_shows_the_two_photos_alone() -> None:
    photo = as_image(packshot("elmora"))
    alone = compose_pair(photo, photo, None, numbers="similarity 0.900")
    assert alone.height < 600
    assert share_of(alone, OUTLINE) == 0


def test_the_facts_are_on_it_and_a_long_caption_is_cut_off() -> None:
    photo = as_image(packshot("elmora"))
    plain = compose_pair(photo, photo)
    told = compose_pair(photo, photo, numbers="similarity 0.912", caption="a\nvery " * 200)
    assert told.width == WIDTH
    assert told.height > plain.height
    assert np.asarray(told)[: told.height - plain.height].min() < 100


def test_draws_few_of_many_points_spread_over_all_of_them() -> None:
    photo = as_image(packshot("elmora"))
    across = np.asarray(compose_pair(photo, photo, Alignment(np.eye(3), points_on_label(np.eye(3), count=60))))
    inked = (across[60:560, WIDTH // 2] < 250).any(axis=1)
    rows = np.flatnonzero(inked)
    assert 10 <= (np.diff(inked.astype(int)) == 1).sum() <= 60
    assert rows[-1] - rows[0] > 0.95 * 240 / 360 * 440


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (20_000, 3), (7, 5)], ids=str)
def test_odd_sizes_neither_crash_nor_grow(size: tuple[int, int]) -> None:
    odd, photo = Image.new("RGB", size, (200, 30, 30)), as_image(packshot("elmora"))
    for reference, listing in ((odd, photo), (photo, odd)):
        assert compose_pair(reference, listing).width == WIDTH
        picture = compose_pair(reference, listing, EXACT)
        assert picture.width == WIDTH and picture.height < 2500


@pytest.mark.parametrize(
    "homography",
    [
        np.diag([1e-7, 1e-7, 1.0]),
        np.array([[1, 0, 9000], [0, 1, 0], [0, 0, 1]]),
        np.array([[1, 0, 0], [0, 1, 0], [0.01, 0, -1.5]]),
        np.zeros((3, 3)),
    ],
    ids=["everything on a spot", "beside the photo", "horizon through the photo", "nothing"],
)
def test_absurd_alignments_give_a_picture(homography: NDArray[np.float64]) -> None:
    photo = as_image(packshot("elmora"))
    assert compose_pair(photo, photo, Alignment(homography, np.empty((0, 4), np.float32))).width == WIDTH


def test_an_alignment_says_what_does_not_fit() -> None:
    none = np.empty((0, 4), np.float32)
    with pytest.raises(ValueError, match="3 by 3"):
        Alignment(np.eye(2), none)
    with pytest.raises(ValueError, match=r"\(n, 4\)"):
        Alignment(np.eye(3), np.empty((3, 2), np.float32))
    with pytest.raises(ValueError, match="finite"):
        Alignment(np.full((3, 3), np.nan), none)
