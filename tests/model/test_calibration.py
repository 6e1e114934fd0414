"""Another arithmetic than float32 with torch is used only if it was measured here and moves no similarity."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from lookalike.errors import EncoderError, MissingExtraError
from lookalike.model import calibration, measurement
from lookalike.model.calibration import BOUND, Calibration, calibrated, keep
from lookalike.model.encoder import ARITHMETICS, EncoderSpec
from lookalike.model.loading import load_encoder
from lookalike.model.measurement import calibrate
from lookalike.scripts.training.edits import texture

WEIGHTS = "ab" * 32
FAST = Calibration("torch-bf16", 16, 900.0, BOUND / 2)


def pictures(count: int) -> list[Image.Image]:
    return [Image.fromarray(texture(150, 150, np.random.default_rng(i)).astype(np.uint8)) for i in range(count)]


def test_the_fastest_within_the_bound_is_kept_for_those_weights_and_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert calibrated(WEIGHTS) is None
    found = [Calibration("openvino-bf16", 8, 1000.0, BOUND * 2), FAST, Calibration(ARITHMETICS[0], 8, 400.0, 0.0)]
    assert keep(found, WEIGHTS) == FAST
    assert calibrated(WEIGHTS) == FAST
    assert calibrated("cd" * 32) is None
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    assert calibrated(WEIGHTS) is None


def test_what_is_kept_is_checked_again() -> None:
    path = calibration._path()
    keep([FAST], WEIGHTS)
    path.write_text(path.read_text().replace(str(FAST.moved), str(BOUND * 2)))
    assert calibrated(WEIGHTS) is None
    path.write_text("no json")
    with pytest.raises(EncoderError, match="calibration.json can't be read .*; remove it"):
        calibrated(WEIGHTS)


def test_keeps_none_that_moves_similarities() -> None:
    with pytest.raises(EncoderError, match="on cpu every arithmetic moves similarities by more than 0.002"):
        keep([Calibration("torch-bf16", 8, 900.0, BOUND * 2)], WEIGHTS)
    assert calibrated(WEIGHTS) is None


def test_measures_every_arithmetic_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "BATCHES", (1, 4))
    found = {each.arithmetic: each for each in calibrate(pictures(8), rounds=1)}
    expected = ["torch-f32", "torch-bf16"]
    if find_spec("openvino") is not None:
        expected += ["openvino-f32", "openvino-bf16"]
    assert sorted(found) == sorted(expected)
    assert found["torch-f32"].moved < 1e-6 < BOUND < found["torch-bf16"].moved, "the embedded encoder needs float32"
    assert all(each.rate > 0 and each.batch in (1, 4) for each in found.values())


def test_a_calibrated_encoder_says_so_and_its_index_is_the_same() -> None:
    plain = load_encoder("embedded", device="cpu")
    keep([FAST], plain.spec.weights_sha256)
    calibrated_one = load_encoder("embedded", device="cpu")
    assert (plain.spec.arithmetic, calibrated_one.spec.arithmetic) == ("torch-f32", "torch-bf16")
    assert EncoderSpec.from_json(calibrated_one.spec.to_json()).arithmetic == "torch-bf16"
    assert calibrated_one.spec == plain.spec
    assert load_encoder("embedded", device="cpu", arithmetic="torch-f32").spec.arithmetic == "torch-f32"


def test_openvino_gives_torchs_vectors_in_any_batch() -> None:
    pytest.importorskip("openvino", reason="needs the extra openvino")
    exact = load_encoder("embedded", device="cpu", arithmetic="torch-f32")
    compiled = load_encoder("embedded", device="cpu", arithmetic="openvino-f32")
    images = pictures(9)
    np.testing.assert_allclose(compiled.encode(images), exact.encode(images), atol=1e-5)
    inputs = [exact.prepare(image) for image in images]
    np.testing.assert_allclose(compiled.embed(inputs), exact.embed(inputs), atol=1e-5)


def test_says_what_is_missing_or_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EncoderError, match="there is no arithmetic 'int4'; use one of torch-f32"):
        load_encoder("embedded", device="cpu", arithmetic="int4")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"lookalike\[openvino\]"):
        load_encoder("embedded", device="cpu", arithmetic="openvino-f32")
