"""Parts of photos are embedded beside the whole, and never twice."""

from __future__ import annotations

import io
import json
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from toy import ToyEncoder

from lookalike.index import reading
from lookalike.index.embedding import EmbeddedPhoto, PhotoReader, embed_photos
from lookalike.index.vector_cache import VectorCache
from lookalike.model.regions import cut, regions_of, working_picture
from lookalike.scripts.bench_pictures import texture


def photo(seed: int, side: int = 240) -> NDArray[np.uint8]:
    return texture(side, side, np.random.default_rng(seed))


def saved(pixels: NDArray[np.uint8], format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()


PAIR = np.hstack([photo(0), photo(1)])


def embedded(
    *sources: bytes, encoder: ToyEncoder, cache: VectorCache | None = None, parts: int = 8, workers: int = 1
) -> list[EmbeddedPhoto]:
    reader = PhotoReader(workers=workers)
    return list(embed_photos(sources, encoder=encoder, reader=reader, cache=cache, parts=parts))


@pytest.mark.parametrize("data", [saved(PAIR), saved(PAIR, "JPEG", quality=95), saved(PAIR, "JPEG", progressive=True)])
def test_parts_have_the_vectors_of_what_is_cut_out(data: bytes) -> None:
    encoder = ToyEncoder()
    (found,) = embedded(data, encoder=encoder)
    picture = working_picture(Image.open(io.BytesIO(data)).convert("RGB"))
    regions = regions_of(picture, most=8)
    assert [part.region for part in found.parts] == regions and len(regions) == 3
    expected = encoder.encode([cut(picture, region) for region in regions])
    np.testing.assert_array_equal(np.stack([part.vector for part in found.parts]), expected)
    np.testing.assert_array_equal(found.vector, encoder.encode([Image.open(io.BytesIO(data)).convert("RGB")])[0])


def test_none_are_embedded_unless_asked_for() -> None:
    encoder = ToyEncoder()
    (found,) = embedded(saved(PAIR), encoder=encoder, parts=0)
    assert (found.parts, encoder.embedded) == ((), 1)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_known_parts_are_neither_decoded_nor_embedded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, format: str
) -> None:
    encoder, data = ToyEncoder(), saved(PAIR, format)
    with VectorCache(tmp_path / "c.sqlite", encoder.spec) as cache:
        (before,) = embedded(data, encoder=encoder, cache=cache)
        assert encoder.embedded == 4
        monkeypatch.delattr(reading, "prepared_plain")
        monkeypatch.delattr(reading, "decode_image")
        (again,) = embedded(data, encoder=encoder, cache=cache, workers=workers)
    assert encoder.embedded == 4 and not again.fresh
    for one, other in zip((before, *before.parts), (again, *again.parts), strict=True):
        np.testing.assert_array_equal(one.vector, other.vector)
    assert [part.region for part in again.parts] == [part.region for part in before.parts]


def test_only_what_is_new_is_embedded_if_the_whole_is_known_or_another_number_of_parts(tmp_path: Path) -> None:
    encoder = ToyEncoder()
    with VectorCache(tmp_path / "c.sqlite", encoder.spec) as cache:
        for parts, total in ((0, 1), (1, 2), (8, 4), (3, 4), (0, 4)):
            (found,) = embedded(saved(PAIR), encoder=encoder, cache=cache, parts=parts)
            assert (len(found.parts), encoder.embedded) == (min(parts, 3), total)


def test_a_part_that_was_shown_before_is_not_embedded_again(tmp_path: Path) -> None:
    encoder = ToyEncoder()
    with VectorCache(tmp_path / "c.sqlite", encoder.spec) as cache:
        embedded(saved(PAIR), encoder=encoder, cache=cache)
        before = encoder.embedded
        (half,) = embedded(saved(PAIR[:, :240]), encoder=encoder, cache=cache, parts=0)
    assert encoder.embedded == before and not half.fresh


def test_equal_photos_of_a_run_are_embedded_once() -> None:
    encoder = ToyEncoder()
    found = embedded(saved(PAIR), saved(photo(5)), saved(PAIR), encoder=encoder, workers=2)
    assert encoder.embedded == 4 + 2
    assert [len(each.parts) for each in found] == [3, 1, 3]
    assert [each.fresh for each in found] == [True, True, False]


@pytest.mark.parametrize(
    "damage",
    [
        "[null, 5]", "no JSON", "[null, [[[0, 0, 1], \"k\"]]]", "[null, [[[0, 0, 2, 2], \"k\"]]]", "[]",
        json.dumps([None, [[[0, 0, 0.5, 1], "missing"]]]),
    ],
)  # fmt: skip
def test_what_the_cache_says_wrongly_is_computed_again(tmp_path: Path, damage: str) -> None:
    encoder = ToyEncoder()
    with VectorCache(tmp_path / "c.sqlite", encoder.spec) as cache:
        (before,) = embedded(saved(PAIR), encoder=encoder, cache=cache)
        with sqlite3.connect(tmp_path / "c.sqlite") as file:
            (key,) = file.execute("SELECT key FROM rows WHERE key LIKE 'parts %'").fetchone()
        file.close()
        assert before.vector is not None
        cache.put([key], before.vector[None], [damage])
        (again,) = embedded(saved(PAIR), encoder=encoder, cache=cache)
    assert [part.region for part in again.parts] == [part.region for part in before.parts]
    assert encoder.embedded == 4


def test_a_deadline_that_is_kept_changes_nothing() -> None:
    encoder = ToyEncoder()
    until = time.monotonic() + 600
    (found,) = embed_photos([saved(PAIR)], encoder=encoder, reader=PhotoReader(), until=until, parts=8)
    (expected,) = embedded(saved(PAIR), encoder=encoder)
    for one, other in zip((found, *found.parts), (expected, *expected.parts), strict=True):
        np.testing.assert_array_equal(one.vector, other.vector)


def test_a_photo_that_cannot_be_read_has_no_parts() -> None:
    (found,) = embedded(b"no picture", encoder=ToyEncoder())
    assert found.vector is None and found.parts == () and found.error
