"""The names on two labels are compared letter by letter, where the genuine one has its name."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from lookalike.evidence.alignment import Alignment
from lookalike.evidence.label_names import NameReader
from lookalike.tables.names import NameReading

SAME = Alignment(np.eye(3), np.zeros((0, 4), np.float32))


@pytest.fixture(scope="module")
def names() -> NameReader:
    return NameReader()


def label(name: str, *, size: tuple[int, int] = (400, 300)) -> Image.Image:
    picture = Image.new("RGB", size, (244, 226, 190))
    pen = ImageDraw.Draw(picture)
    pen.text((200, 110), name, (90, 20, 60), ImageFont.load_default(54), anchor="mm")
    pen.text((200, 220), "Sparkling Lemonade", (40, 40, 40), ImageFont.load_default(24), anchor="mm")
    return picture


@pytest.mark.parametrize(
    ("printed", "answer", "similarity"),
    [("Quorlith", "same", 1.0), ("QUORLITH", "same", 1.0), ("Quorlifh", "one letter off", 0.875),
     ("Zembadel", "another name", 0.0)],
)  # fmt: skip
@pytest.mark.parametrize("alignment", [SAME, None])
def test_says_what_the_label_says(
    names: NameReader, printed: str, answer: str, similarity: float, alignment: Alignment | None
) -> None:
    found = names.compare(label("Quorlith"), label(printed), alignment, brand="Quorlith")
    assert (found.answer, found.reference) == (answer, "Quorlith")
    # another name may be longer than the place of the genuine one
    assert found.listing is not None and printed.startswith(found.listing) and len(found.listing) > 6
    assert found.similarity is not None and abs(found.similarity - similarity) < 0.26


def test_the_name_is_sought_where_the_genuine_label_lies(names: NameReader) -> None:
    wide = Image.new("RGB", (900, 700), "white")
    ImageDraw.Draw(wide).text((450, 90), "Quorlith", "black", ImageFont.load_default(90), anchor="mm")
    wide.paste(label("Quorlifh"), (250, 300))
    moved = Alignment(np.array([[1, 0, 250], [0, 1, 300], [0, 0, 1.0]]), np.zeros((0, 4), np.float32))
    assert names.compare(label("Quorlith"), wide, moved, brand="Quorlith").answer == "one letter off"


def test_a_mirrored_photo_is_read_the_right_way_round(names: NameReader) -> None:
    mirrored = label("Quorlith").transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    alignment = Alignment(np.eye(3), np.zeros((0, 4), np.float32), mirrored=True)
    assert names.compare(label("Quorlith"), mirrored, alignment, brand="Quorlith").answer == "same"


def test_a_name_under_a_sticker_or_beyond_the_edge_is_covered(names: NameReader) -> None:
    stuck = label("Quorlith")
    stuck.paste((240, 240, 240), (60, 60, 340, 160))
    cut = label("Quorlith").crop((0, 150, 400, 300))
    above = Alignment(np.array([[1, 0, 0], [0, 1, -150], [0, 0, 1.0]]), np.zeros((0, 4), np.float32))
    assert names.compare(label("Quorlith"), stuck, SAME, brand="Quorlith").answer == "covered"
    assert names.compare(label("Quorlith"), cut, above, brand="Quorlith").answer == "covered"


def test_a_name_of_which_an_end_is_missing_is_not_called_another(names: NameReader) -> None:
    cut = label("Quorlith")
    cut.paste((244, 226, 190), (0, 60, 135, 160))
    assert names.compare(label("Quorlith"), cut, SAME, brand="Quorlith").answer == "covered"


def test_letters_too_small_to_tell_apart_are_unreadable(names: NameReader) -> None:
    small = label("Quorlifh").resize((32, 24))
    shrunk = Alignment(np.diag([0.08, 0.08, 1.0]), np.zeros((0, 4), np.float32))
    found = names.compare(label("Quorlith"), small, shrunk, brand="Quorlith")
    assert found == NameReading("unreadable", "Quorlith")


def test_a_brand_that_its_label_does_not_say_is_not_guessed(names: NameReader) -> None:
    assert names.compare(label("Quorlith"), label("Quorlith"), SAME, brand="Nordvik") == NameReading("unreadable")


def test_the_largest_line_is_the_name_of_a_brand_without_one(names: NameReader) -> None:
    found = names.compare(label("Quorlith"), label("Quorlith"), SAME)
    assert (found.answer, found.reference) == ("same", "Quorlith")


def test_the_company_around_a_brand_does_not_count(names: NameReader) -> None:
    found = names.compare(label("Quorlith"), label("Quorlith"), SAME, brand="Quorlith GmbH & Co. KG")
    assert (found.answer, found.reference) == ("same", "Quorlith")


def test_only_the_part_that_matched_is_read(names: NameReader) -> None:
    both = Image.new("RGB", (800, 300), "white")
    both.paste(label("Quorlith"), (0, 0))
    both.paste(label("Zembadel"), (400, 0))
    found = names.compare(label("Quorlith"), both, None, brand="Quorlith", region=(0.5, 0, 1, 1))
    assert (found.answer, found.listing) == ("another name", "Zembadel")
