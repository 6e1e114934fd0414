"""Encoders are compared on the same labelled photos, with figures that a hand can check."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx_files import save_onnx
from PIL import Image
from toy import ToyEncoder, save_pictures

from lookalike.errors import TableError
from lookalike.model.loading import load_encoder
from lookalike.records import BadRow, Reference
from lookalike.tables.labels import LabelledPhoto
from lookalike.thresholds.encoders import compare_encoders


@pytest.fixture
def photos(tmp_path: Path) -> tuple[list[LabelledPhoto], list[Reference | BadRow]]:
    """Eight products, each with a mirrored copy of its photo, and four photos of nothing among them."""
    genuine, strangers = save_pictures(tmp_path / "genuine", 8), save_pictures(tmp_path / "other", 4, seed=7)
    labelled = []
    for at, path in enumerate(genuine):
        copy = tmp_path / f"copy{at}.png"
        Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(copy)
        labelled.append(LabelledPhoto(str(copy), frozenset({f"p{at}"})))
    labelled += [LabelledPhoto(str(path)) for path in strangers]
    return labelled, [Reference(f"r{at}", f"p{at}", "Brand", path) for at, path in enumerate(genuine)]


def blind(folder: Path) -> Path:
    """An encoder for which all pictures are alike."""
    return save_onnx(folder / "blind.onnx", matrix=np.ones((3, 1), np.float32), described={"size": 32})


def mean_colour(folder: Path) -> Path:
    """An encoder that knows mean colours, which mirroring leaves as they are."""
    return save_onnx(folder / "colour.onnx", matrix=np.eye(3, dtype=np.float32), described={"size": 32})


def test_says_which_encoder_finds_more_and_what_each_costs(
    tmp_path: Path, photos: tuple[list[LabelledPhoto], list[Reference | BadRow]]
) -> None:
    files = [mean_colour(tmp_path), blind(tmp_path)]
    done: list[int] = []
    colour, nothing = compare_encoders(
        *photos,
        [lambda path=path: load_encoder(weights=path) for path in files],  # type: ignore[misc]
        rounds=20,
        progress=done.append,
    )
    assert (colour.found.positives, colour.found.queries, sum(done)) == (8, 12, 2 * (8 + 12))
    assert colour.found.recall_at_1 == 1.0 and nothing.found.recall_at_1 == 1 / 8, "of equal ones the first one wins"
    assert nothing.low.recall_at_1 <= nothing.found.recall_at_1 <= nothing.high.recall_at_1 < 1
    assert colour.encoder.startswith("colour@") and (colour.vector_bytes, nothing.vector_bytes) == (12, 4)
    assert colour.weights_bytes == files[0].stat().st_size and colour.milliseconds > 0
    assert colour.to_json()["found"]["recall_at_1"] == 1.0


def test_says_which_pictures_could_not_be_read(
    tmp_path: Path, photos: tuple[list[LabelledPhoto], list[Reference | BadRow]]
) -> None:
    labelled, genuine = photos
    labelled.append(LabelledPhoto(str(tmp_path / "gone.jpg"), frozenset({"p1"})))
    genuine += [Reference("r9", "p9", "Brand", tmp_path / "away.jpg"), BadRow("row 9", "row 9 has no image")]
    (found,) = compare_encoders(labelled, genuine, [ToyEncoder], rounds=5)
    assert [any(name in text for text in found.failed) for name in ("gone.jpg", "away.jpg", "row 9")] == [True] * 3
    assert found.found.positives == 8 and found.weights_bytes == 0


def test_refuses_labels_without_a_right_product(photos: tuple[list[LabelledPhoto], list[Reference | BadRow]]) -> None:
    with pytest.raises(TableError, match="no photo has a right product; expected a row with a product_id"):
        compare_encoders(photos[0][8:], photos[1], [ToyEncoder])
