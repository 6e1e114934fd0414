"""A changed letter is found, and light, colours, blur and recompression are not taken for one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from lookalike.evidence.differences import Region, compare
from lookalike.evidence.matching import Mask, Pixels

Box = tuple[float, float, float, float]
HEIGHT, WIDTH = 420, 300
PAPER, BAND, INK = (206, 196, 236), (64, 32, 84), (240, 232, 200)


def carton(name: str) -> tuple[Pixels, list[Box]]:
    """A carton with the name on a band, small print below it, and the box of each letter of the name."""
    pixels = np.full((HEIGHT, WIDTH, 3), 240, np.uint8)
    cv2.rectangle(pixels, (20, 20), (280, 400), PAPER, -1)
    for place, radius in (((70, 70), 18), ((150, 60), 26), ((220, 90), 14)):
        cv2.circle(pixels, place, radius, BAND, -1, cv2.LINE_AA)
    cv2.rectangle(pixels, (30, 130), (270, 220), BAND, -1)
    cv2.putText(pixels, "hand cream", (60, 260), cv2.FONT_HERSHEY_SIMPLEX, 0.8, BAND, 2, cv2.LINE_AA)
    cv2.putText(pixels, "amber 250 ml", (60, 300), cv2.FONT_HERSHEY_SIMPLEX, 0.6, BAND, 1, cv2.LINE_AA)
    picture = Image.fromarray(pixels)
    draw, font, x, boxes = ImageDraw.Draw(picture), ImageFont.load_default(44), 42.0, []
    for letter in name:
        draw.text((x, 190), letter, INK, font, anchor="ls")
        boxes.append(draw.textbbox((x, 190), letter, font, anchor="ls"))
        x += draw.textlength(letter, font)
    return np.array(picture), boxes


def recoloured(pixels: Pixels) -> Pixels:
    return np.clip(pixels * np.array([0.8, 0.62, 0.7]) + np.array([-8, 12, 25]), 0, 255).astype(np.uint8)


def compressed(pixels: Pixels) -> Pixels:
    written, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 30])
    assert written
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.asarray(decoded, np.uint8)


def blurred(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), 1.2), np.uint8)


def bulged(pixels: Pixels) -> Pixels:
    """Drawn aside by up to 5 pixels in the middle, as a bent label is after a homography."""
    rows, columns = np.indices(pixels.shape[:2], np.float32)
    aside = 5 * np.sin(np.pi * columns / WIDTH) * np.sin(np.pi * rows / HEIGHT)
    return np.asarray(cv2.remap(pixels, columns + aside.astype(np.float32), rows, cv2.INTER_LINEAR), np.uint8)


def rippled(pixels: Pixels) -> Pixels:
    """Moved to and fro by up to 1.5 pixels, too finely for a smooth flow to follow."""
    rows, columns = np.indices(pixels.shape[:2], np.float32)
    aside = (1.5 * np.sin(2 * np.pi * rows / 46)).astype(np.float32)
    return np.asarray(cv2.remap(pixels, columns + aside, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def unevenly_lit(pixels: Pixels) -> Pixels:
    light = np.linspace(0.6, 1.05, WIDTH)[None, :, None]
    return np.clip(pixels * light, 0, 255).astype(np.uint8)


PHOTOS = {
    "as it is": lambda pixels: pixels,
    "recoloured": recoloured,
    "JPEG of quality 30": compressed,
    "blurred": blurred,
    "recoloured, blurred, JPEG": lambda pixels: compressed(blurred(recoloured(pixels))),
    "bent, JPEG": lambda pixels: compressed(bulged(pixels)),
    "rippled": rippled,
    "unevenly lit": unevenly_lit,
}
photographed = pytest.mark.parametrize("photo", PHOTOS.values(), ids=PHOTOS.keys())


def covered(region: Region, box: Box) -> float:
    """The share of the box that lies in the region."""
    across = min(region.right, box[2]) - max(region.left, box[0])
    down = min(region.bottom, box[3]) - max(region.top, box[1])
    return max(0.0, across) * max(0.0, down) / ((box[2] - box[0]) * (box[3] - box[1]))


@photographed
@pytest.mark.parametrize(("genuine", "imitated"), [("myrtossa", "myrtosca"), ("lombol", "lowbol")])
def test_boxes_the_changed_letter_and_little_else(photo, genuine: str, imitated: str) -> None:
    reference, _ = carton(genuine)
    listing, boxes = carton(imitated)
    changed = next(place for place, (a, b) in enumerate(zip(genuine, imitated, strict=True)) if a != b)
    regions = compare(reference, photo(listing)).regions
    assert max(covered(region, boxes[changed]) for region in regions) >= 0.6
    # letters after a changed one of another width have moved, too
    moved = (boxes[changed][0] - 12, 130.0, 280.0, 220.0)
    elsewhere = [region for region in regions if covered(region, moved) == 0]
    assert len(elsewhere) <= 1


@photographed
def test_finds_nothing_where_only_the_photo_differs(photo) -> None:
    reference, _ = carton("myrtossa")
    found = compare(reference, photo(reference))
    assert found.regions == ()
    assert (found.shown <= np.maximum(found.score, 0.3)).all(), "surfaces show no differences either"


def test_finds_a_covered_logo_whole() -> None:
    reference, _ = carton("myrtossa")
    listing = recoloured(reference)
    cv2.rectangle(listing, (110, 25), (190, 95), (250, 250, 250), -1)
    [region, *others] = compare(reference, compressed(listing)).regions
    assert covered(region, (124, 34, 176, 86)) >= 0.8
    assert not others


def test_gives_the_largest_difference_first() -> None:
    reference, _ = carton("myrtossa")
    listing, boxes = carton("myrtosca")
    cv2.rectangle(listing, (110, 25), (190, 95), (250, 250, 250), -1)
    regions = compare(reference, listing).regions
    assert covered(regions[0], (124, 34, 176, 86)) >= 0.8
    assert any(covered(region, boxes[6]) >= 0.6 for region in regions[1:])


COLOURS = (250, 190, 60), (150, 215, 150), (120, 120, 120), (40, 120, 170)
SMALL, LARGE = (120, 315, 190, 365), (60, 310, 240, 385)


# every photo with a small and a large surface, every colour with both
@pytest.mark.parametrize(
    ("photo", "colour", "box"),
    [(photo, COLOURS[(at + turn) % 4], box) for at, photo in enumerate(PHOTOS.values())
     for turn, box in enumerate((SMALL, LARGE))],
)  # fmt: skip
def test_finds_a_plain_surface_laid_over_plain_paper(photo, colour: tuple[int, int, int], box: Box) -> None:
    reference, _ = carton("myrtossa")
    listing = reference.copy()
    left, top, right, bottom = map(int, box)
    listing[top:bottom, left:right] = colour
    regions = compare(reference, photo(listing)).regions
    assert max(covered(region, box) for region in regions) >= 0.7
    assert all(covered(region, (0, 0, 300, 280)) == 0 for region in regions)


def test_a_surface_as_bright_as_what_it_covers_is_found_by_its_colour() -> None:
    reference = np.full((300, 300, 3), (200, 200, 200), np.uint8)
    cv2.putText(reference, "olme", (30, 80), cv2.FONT_HERSHEY_SIMPLEX, 2.5, (20, 20, 20), 8, cv2.LINE_AA)
    listing = reference.copy()
    listing[150:230, 90:210] = (255, 180, 168)
    assert abs(int(cv2.cvtColor(listing, cv2.COLOR_RGB2GRAY)[200, 150]) - 200) <= 2
    [region] = compare(reference, listing).regions
    assert covered(region, (90, 150, 210, 230)) >= 0.9


def test_finds_words_laid_over_plain_paper() -> None:
    reference, _ = carton("myrtossa")
    listing = reference.copy()
    cv2.putText(listing, "SALE", (80, 370), cv2.FONT_HERSHEY_SIMPLEX, 1.6, (220, 20, 20), 5, cv2.LINE_AA)
    regions = compare(reference, listing).regions
    assert regions
    assert all(region.top >= 310 for region in regions)


def test_looks_only_where_the_mask_is_true() -> None:
    reference, _ = carton("myrtossa")
    listing, _ = carton("myrtosca")
    mask: Mask = np.ones((HEIGHT, WIDTH), bool)
    mask[125:225] = False
    assert compare(reference, listing, mask=mask).regions == ()
    assert compare(reference, listing).regions


def test_boxes_are_in_pixels_of_pictures_of_any_size() -> None:
    reference, _ = carton("myrtossa")
    listing, boxes = carton("myrtosca")
    for factor in (0.7, 3):
        size = (int(WIDTH * factor), int(HEIGHT * factor))
        large = [np.asarray(cv2.resize(each, size, interpolation=cv2.INTER_AREA)) for each in (reference, listing)]
        left, top, right, bottom = (factor * edge for edge in boxes[6])
        regions = compare(large[0], large[1]).regions
        assert max(covered(region, (left, top, right, bottom)) for region in regions) >= 0.6


def test_gives_no_more_boxes_than_asked_for() -> None:
    reference, _ = carton("myrtossa")
    other = carton("ixtuzzib")[0][:, ::-1].copy()
    assert len(compare(reference, other).regions) > 1
    assert len(compare(reference, other, most=1).regions) == 1


def test_takes_a_bent_label_back_to_the_reference() -> None:
    reference, _ = carton("myrtossa")
    bent = bulged(reference)
    found = compare(reference, bent)

    def error(pixels: Pixels) -> float:
        return float(np.abs(pixels[40:380, 40:260].astype(float) - reference[40:380, 40:260]).mean())

    assert error(found.aligned) < 0.4 * error(bent)
    assert 3 < np.median(found.bend[150:250, 100:200]) < 6


@pytest.mark.parametrize(
    "pixels",
    [np.full((60, 90, 3), 127, np.uint8), np.zeros((1, 1, 3), np.uint8), np.full((1, 4000, 3), 255, np.uint8)],
    ids=["uniform", "one pixel", "one row"],
)
def test_plain_and_tiny_pictures_differ_nowhere(pixels: Pixels) -> None:
    found = compare(pixels, pixels.copy(), mask=np.zeros(pixels.shape[:2], bool))
    assert found.regions == ()
    assert compare(pixels, pixels.copy()).score.shape == pixels.shape[:2]


def test_noise_neither_crashes_nor_leaves_the_range() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 256, (2, 200, 150, 3), np.uint8)
    found = compare(first, second)
    assert np.isfinite(found.score).all()
    assert found.score.min() >= 0
    assert found.score.max() <= 1


def test_says_what_does_not_fit_together() -> None:
    reference, _ = carton("myrtossa")
    with pytest.raises(ValueError, match="of one size"):
        compare(reference, reference[:-1])
    with pytest.raises(ValueError, match="expected uint8"):
        compare(reference, reference.astype(np.float32))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a mask"):
        compare(reference, reference, mask=np.ones((3, 3), bool))
