"""Text in pictures is read by RapidOCR itself, within bounds, and nothing is fetched for it."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from lookalike.errors import MissingExtraError
from lookalike.model import text
from lookalike.model.text import MOST_LETTERS, MOST_LINES, TextReader


def printed(words: str, *, size: int = 60, side: tuple[int, int] = (480, 320)) -> Image.Image:
    picture = Image.new("RGB", side, "white")
    font = ImageFont.load_default(size)
    ImageDraw.Draw(picture).text((side[0] / 2, side[1] / 2), words, "black", font, anchor="mm")
    return picture


@pytest.fixture(scope="module")
def reader() -> TextReader:
    return TextReader()


def test_reads_a_line_and_where_it_stands(reader: TextReader) -> None:
    (line,) = reader.read(printed("Quorlith"))
    assert line.text == "Quorlith" and line.confidence > 0.9
    dark = np.nonzero(np.asarray(printed("Quorlith").convert("L")) < 128)
    assert np.abs(line.corners.min(axis=0) - [dark[1].min(), dark[0].min()]).max() < 20
    assert np.abs(line.corners.max(axis=0) - [dark[1].max(), dark[0].max()]).max() < 20
    assert line.size[0] > 3 * line.size[1]


def test_gives_places_in_pixels_of_a_picture_that_it_shrinks(reader: TextReader) -> None:
    (line,) = reader.read(printed("Quorlith", size=360, side=(2880, 1920)))
    assert line.text == "Quorlith" and np.abs(line.corners.mean(axis=0) - [1440, 960]).max() < 100


def test_holds_a_line_that_runs_upwards_level(reader: TextReader) -> None:
    (line,) = reader.read(printed("Quorlith").rotate(90, expand=True))
    assert line.text == "Quorlith" and line.size[0] > 3 * line.size[1]
    assert line.corners[0, 1] > line.corners[1, 1]  # from the bottom to the top


def test_reads_a_picture_after_a_single_line(reader: TextReader) -> None:
    assert reader.read_line(printed("Quorlith").crop((80, 110, 400, 210)))[0] == "Quorlith"
    assert [line.text for line in reader.read(printed("Quorlith"))] == ["Quorlith"]


def test_a_picture_without_text_has_no_lines(reader: TextReader) -> None:
    assert reader.read(Image.new("RGB", (64, 64), "white")) == ()


def test_what_strangers_print_is_bounded_and_has_no_control_characters(
    reader: TextReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    corners = np.array([[[0, 0], [50, 0], [50, 10], [0, 10]]] * 500)
    found = SimpleNamespace(txts=("\x1b[31m" + "x" * 5000,) * 500, scores=(1.0,) * 500, boxes=corners)
    monkeypatch.setattr(reader, "_engine", lambda *_, **__: found)
    lines = reader.read(printed("any"))
    assert len(lines) == MOST_LINES
    assert all(line.text == ("[31m" + "x" * 5000)[:MOST_LETTERS] for line in lines)
    assert reader.read_line(printed("any"))[0] == lines[0].text


def test_fetches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("it connects")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert TextReader().read(printed("Quorlith"))


def test_names_the_extra_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"^this needs the package rapidocr; .*'lookalike\[ocr\]'$"):
        TextReader()
