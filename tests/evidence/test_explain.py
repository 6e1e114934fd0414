"""Photos and pictures for pages: what can still be read is shown, what can't is left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy import ToyEncoder, save_pictures

from lookalike import Detector, Policy
from lookalike.detection.lookup import Lookup
from lookalike.errors import ImageReadError
from lookalike.evidence.explain import evidence_of, explain_photo
from lookalike.evidence.photos import photo_of
from lookalike.index.build import build_index
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.records import Reference, Verdict


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return save_pictures(tmp_path / "photos", 3)


def test_gives_a_photo_in_rgb_and_none_for_one_that_cannot_be_read(photos: list[Path], tmp_path: Path) -> None:
    photo = photo_of(PhotoReader())
    shown = photo(str(photos[0]))
    assert shown is not None and shown.mode == "RGB"
    assert np.array_equal(np.asarray(shown), np.asarray(Image.open(photos[0]).convert("RGB")))
    (tmp_path / "text.jpg").write_text("no picture")
    assert photo(str(tmp_path / "gone.jpg")) is photo(str(tmp_path / "text.jpg")) is photo(None) is None


def test_draws_a_row_only_if_both_photos_can_be_read(photos: list[Path], tmp_path: Path) -> None:
    evidence = evidence_of(PhotoReader())
    row = {"image": str(photos[0]), "reference_image": str(photos[1]), "verdict": "review", "similarity": 0.5}
    picture = evidence(row)
    assert picture is not None and picture.width == 1200
    for name in ("image", "reference_image"):
        assert evidence({**row, name: str(tmp_path / "gone.png")}) is None
        assert evidence({**row, name: None}) is None


@pytest.fixture
def detector(photos: list[Path], tmp_path: Path) -> Detector:
    rows = [Reference(f"r{at}", f"p{at}", "Brand", path) for at, path in enumerate(photos)]
    build_index(rows, index=tmp_path / "index", encoder=ToyEncoder())
    lookup = Lookup(ToyEncoder(), ReferenceIndex.load(tmp_path / "index"), PhotoReader())
    return Detector(lookup, Policy("toy", 0.9, 0.5))


def test_explains_a_photo_by_the_genuine_one_that_it_resembles_most(detector: Detector, photos: list[Path]) -> None:
    explained = explain_photo(str(photos[1]), detector=detector)
    assert (explained.match.reference.id, explained.finding.verdict) == ("r1", Verdict.FLAGGED)
    assert explained.match.similarity == pytest.approx(1, abs=1e-5)
    assert explained.explanation.picture.width == 1200


def test_says_which_photo_it_cannot_read(detector: Detector, photos: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ImageReadError, match=r"gone\.png"):
        explain_photo(str(tmp_path / "gone.png"), detector=detector)
    copy = tmp_path / "copy.png"
    copy.write_bytes(photos[2].read_bytes())
    photos[2].unlink()
    with pytest.raises(ImageReadError, match=str(photos[2])):
        explain_photo(str(copy), detector=detector)
