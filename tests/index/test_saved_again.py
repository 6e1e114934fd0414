"""A picture saved again with the same pixels is neither decoded nor embedded again, where its file can tell."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy import ToyEncoder

from lookalike.index import reading
from lookalike.index.embedding import PhotoReader, embed_photos
from lookalike.index.vector_cache import VectorCache


def picture(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 30, 3), np.uint8))


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def with_comment(jpeg: bytes) -> bytes:
    """The same JPEG with a comment behind its first marker (T.81, B.2.4.5)."""
    return jpeg[:2] + b"\xff\xfe\x00\x07words" + jpeg[2:]


JPEG, PNG = saved(picture(), "JPEG"), saved(picture(), "PNG")


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (JPEG, with_comment(JPEG)),
        (JPEG, saved(Image.open(io.BytesIO(JPEG)), "PNG")),
        (PNG, saved(picture(), "PNG", compress_level=0)),
        (PNG, saved(picture(), "BMP")),
    ],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_is_not_embedded_again(tmp_path: Path, first: bytes, again: bytes, workers: int) -> None:
    encoder = ToyEncoder()
    with VectorCache(tmp_path / "c.sqlite", encoder.spec) as cache:
        for data in (first, again):
            (photo,) = embed_photos([data], encoder=encoder, reader=PhotoReader(workers=workers), cache=cache)
            assert photo.vector is not None
            assert photo.fresh == (data is first)
        assert cache.get(str(photo.sha256)) is not None, "the next time its bytes are known"
    assert encoder.embedded == 1


def test_new_metadata_of_a_jpeg_are_not_even_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = ToyEncoder()
    with VectorCache(tmp_path / "c.sqlite", encoder.spec) as cache:
        list(embed_photos([JPEG], encoder=encoder, reader=PhotoReader(workers=1), cache=cache))
        monkeypatch.delattr(reading, "prepared_plain")
        monkeypatch.delattr(reading, "decode_image")
        (photo,) = embed_photos([with_comment(JPEG)], encoder=encoder, reader=PhotoReader(workers=1), cache=cache)
    assert photo.vector is not None


def test_other_pixels_are_embedded(tmp_path: Path) -> None:
    encoder = ToyEncoder()
    files = [JPEG, saved(picture(1), "JPEG"), saved(picture(), "JPEG", quality=40), PNG, saved(picture(1), "PNG")]
    with VectorCache(tmp_path / "c.sqlite", encoder.spec) as cache:
        photos = list(embed_photos(files, encoder=encoder, reader=PhotoReader(workers=1), cache=cache))
    assert encoder.embedded == len(files)
    expected = encoder.encode([Image.open(io.BytesIO(data)) for data in files])
    np.testing.assert_array_equal([photo.vector for photo in photos], expected)
