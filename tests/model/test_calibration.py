"""Another arithmetic than float32 with torch is used only if it was measured here and moves no similarity."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from lookalike.errors import EncoderError
from lookalike.model import calibration, measurement
from lookalike.model.calibration import BOUND, Calibration, calibrated, keep
from lookalike.model.encoder import ARITHMETICS, EncoderSpec
from lookalike.model.loading import load_encoder
from lookalike.model.measurement import calibrate
from lookalike.scripts.training.edits import texture

TINY: dict[str, Any] = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 1, "layers": 1},
}
NAME, WEIGHTS = "calibrated-test-vit", "ab" * 32
FAST = Calibration("torch-bf16", 16, 900.0, BOUND / 2)


def pictures(count: int) -> list[Image.Image]:
    return [Image.fromarray(texture(150, 150, np.random.default_rng(i)).astype(np.uint8)) for i in range(count)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the small CLIP tower calibrated-test-vit."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "calibrated-test-vit.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(folder / "calibrated-test-vit.json")
    torch.manual_seed(0)
    save_file(open_clip.create_model("calibrated-test-vit").state_dict(), folder / "tiny.safetensors")
    return folder / "tiny.safetensors"


def test_the_fastest_within_the_bound_is_kept_for_those_weights_and_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert calibrated(WEIGHTS) is None
    found = [Calibration("torch-bf16-compiled", 8, 1000.0, BOUND * 2), FAST, Calibration(ARITHMETICS[0], 8, 400.0, 0.0)]
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


def test_measures_every_arithmetic(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "BATCHES", (1, 4))
    found = {each.arithmetic: each for each in calibrate(pictures(8), model=NAME, weights=tiny, rounds=1)}
    assert sorted(found) == ["torch-bf16", "torch-f32"], "compiling takes a minute and wins nothing on a CPU"
    assert found["torch-f32"].moved < 1e-6 < found["torch-bf16"].moved
    assert all(each.rate > 0 and each.batch in (1, 4) for each in found.values())


def test_a_calibrated_encoder_says_so_and_its_index_is_the_same(tiny: Path) -> None:
    plain = load_encoder(NAME, weights=tiny, device="cpu")
    keep([FAST], plain.spec.weights_sha256)
    calibrated_one = load_encoder(NAME, weights=tiny, device="cpu")
    assert (plain.spec.arithmetic, calibrated_one.spec.arithmetic) == ("torch-f32", "torch-bf16")
    assert EncoderSpec.from_json(calibrated_one.spec.to_json()).arithmetic == "torch-bf16"
    assert calibrated_one.spec == plain.spec
    assert load_encoder(NAME, weights=tiny, device="cpu", arithmetic="torch-f32").spec.arithmetic == "torch-f32"


def test_says_which_arithmetics_there_are(tiny: Path) -> None:
    with pytest.raises(EncoderError, match="there is no arithmetic 'int4'; use one of torch-f32"):
        load_encoder(NAME, weights=tiny, device="cpu", arithmetic="int4")
