"""Explaining a photo: the picture shows the pair, and the words say what matches."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from lookalike.evidence.explain import explain_pair
from lookalike.scripts.cli import main

SAMPLE = Path(str(files("lookalike") / "sample"))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("explain") / "index"
    assert main(["build", str(SAMPLE / "references.csv"), "--index", str(folder), "--quiet"]) == 0
    return str(folder)


def genuine(name: str) -> Image.Image:
    with Image.open(SAMPLE / "images" / f"{name}.jpg") as image:
        return image.convert("RGB")


def width(path: Path) -> int:
    with Image.open(path) as image:
        return image.width


def test_explains_a_mirrored_copy(index: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ImageOps.mirror(genuine("zorvossa-face-scrub-left")).save(tmp_path / "copy.png")
    out = tmp_path / "pair.png"
    assert main(["explain", str(tmp_path / "copy.png"), "--index", index, "--out", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["reference_id"] == "zorvossa-face-scrub-left"
    found = said["verification"]
    assert found["mirrored"] and found["kind"] == "copied_photo" and found["inliers"] > 50 and found["coverage"] > 0.9
    assert np.allclose(sorted(found["outline"]), [[0, 0], [0, 1], [1, 0], [1, 1]], atol=0.03)
    assert width(out) == 1200


def test_points_are_joined_at_their_places_in_the_original_photos() -> None:
    photo = genuine("zorvossa-face-scrub-left")
    wide = Image.new("RGB", (1000, 700), "white")
    wide.paste(photo.resize((600, 600)), (300, 50))
    explained = explain_pair(photo, wide, numbers="similarity 0.900", caption="a copy on a wider ground")
    assert explained.verification is not None
    corners = np.array(explained.verification.outline) * [1000, 700]
    assert np.allclose(corners, [[300, 50], [900, 50], [900, 650], [300, 650]], atol=12)


def test_without_points_the_photos_stand_side_by_side(
    index: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (200, 200), (90, 120, 90)).save(tmp_path / "plain.png")
    assert main(["explain", str(tmp_path / "plain.png"), "--index", index, "--out", str(tmp_path / "p.webp")]) == 0
    assert "no matching points" in capsys.readouterr().err
    assert width(tmp_path / "p.webp") == 1200


@pytest.mark.parametrize(
    ("photo", "out", "message"),
    [("gone.png", "p.png", "no such file"), ("x.png", "p.txt", "use .png, .jpg, .jpeg or .webp")],
)
def test_a_wrong_call_is_one_line(
    index: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], photo: str, out: str, message: str
) -> None:
    assert main(["explain", str(tmp_path / photo), "--index", index, "--out", str(tmp_path / out)]) == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and message in text
