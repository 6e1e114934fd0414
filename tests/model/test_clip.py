"""The encoder gives open_clip's own vectors, from checkpoints that these tests write."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from children import forks, in_child
from PIL import Image
from safetensors.torch import save_file

from lookalike.errors import EncoderError, UnknownModelError, WeightsError
from lookalike.model.clip_loading import untrained_encoder
from lookalike.model.encoder import EncoderSpec
from lookalike.model.loading import load_encoder
from lookalike.model.presets import PRESETS
from lookalike.model.towers import batch_norms, folded, image_tower
from lookalike.model.transforms import trained_preprocessing

TINY: dict[str, Any] = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 1, "layers": 1},
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A small ViT that open_clip knows by name, and a checkpoint of it with random weights."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny-test-vit.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(folder / "tiny-test-vit.json")
    torch.manual_seed(0)
    model = open_clip.create_model("tiny-test-vit")
    save_file(model.state_dict(), folder / "tiny.safetensors")
    torch.save(model.state_dict(), folder / "tiny.pt")
    return "tiny-test-vit", folder / "tiny.safetensors"


def pictures(count: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (40 + i, 64, 3), np.uint8)) for i in range(count)]


def test_equals_open_clips_own_transform_and_encoding(tiny: tuple[str, Path]) -> None:
    name, weights = tiny
    model, _, preprocess = open_clip.create_model_and_transforms(name, pretrained=str(weights))
    with torch.inference_mode():
        batch = torch.stack([preprocess(picture) for picture in pictures(5)])
        expected = torch.nn.functional.normalize(model.eval().encode_image(batch), dim=-1).numpy()
    vectors = load_encoder(name, weights=weights, device="cpu").encode(pictures(5))
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    assert vectors.dtype == np.float32


@pytest.mark.skipif(shutil.which("c++") is None, reason="torch compiles with a C++ compiler")
def test_a_compiled_tower_gives_the_same_vectors(tiny: tuple[str, Path]) -> None:
    name, weights = tiny
    half = load_encoder(name, weights=weights, device="cpu", arithmetic="torch-bf16")
    compiled = load_encoder(name, weights=weights, device="cpu", arithmetic="torch-bf16-compiled")
    np.testing.assert_allclose(compiled.encode(pictures(5)), half.encode(pictures(5)), atol=0.02)
    assert compiled.spec == half.spec and compiled.spec.arithmetic == "torch-bf16-compiled"


def test_reads_torch_and_safetensors_alike(tiny: tuple[str, Path]) -> None:
    name, weights = tiny
    encoders = [load_encoder(name, weights=w, device="cpu") for w in (weights, weights.with_suffix(".pt"))]
    np.testing.assert_array_equal(encoders[0].encode(pictures(3)), encoders[1].encode(pictures(3)))
    assert encoders[0].spec != encoders[1].spec


def test_batch_size_does_not_matter() -> None:
    encoder = untrained_encoder("lookalike-embedded", device="cpu")
    many = encoder.encode(pictures(70))
    one_by_one = np.concatenate([encoder.encode([picture]) for picture in pictures(70)])
    np.testing.assert_allclose(many, one_by_one, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(many, axis=1), 1, atol=1e-5)


def test_the_embedded_encoder_shrinks_by_whole_numbers_first() -> None:
    encoder = load_encoder("embedded", device="cpu")
    height, width = encoder.spec.preprocessing.size
    grain = np.random.default_rng(0).integers(0, 256, (4 * height, 6 * width, 3), np.uint8)
    means = grain.reshape(height * 2, 2, width * 3 // 2, 4, 3).mean((1, 3))  # 1.5 times the size must remain
    small = Image.fromarray(np.round(means).astype(np.uint8)).resize((width, height), Image.Resampling.BILINEAR)
    prepared = encoder.prepare(Image.fromarray(grain))
    np.testing.assert_allclose(prepared.astype(int), np.asarray(small, int), atol=2)


def test_reads_a_spec_from_before_the_reducing_gap() -> None:
    spec = load_encoder("embedded", device="cpu").spec
    older = spec.to_json()
    del older["preprocessing"]["reducing_gap"]
    assert EncoderSpec.from_json(older).preprocessing.reducing_gap is None
    assert EncoderSpec.from_json(spec.to_json()) == spec


def test_folded_statistics_change_no_vector() -> None:
    tower = image_tower("lookalike-embedded").eval()
    for norm in (module for module in tower.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        norm.running_mean.uniform_(-0.2, 0.2)
        norm.running_var.uniform_(0.5, 2)
    pictures = torch.rand(2, 3, 128, 128)
    with torch.inference_mode():
        torch.testing.assert_close(folded(tower)(pictures), tower(pictures), atol=1e-4, rtol=1e-3)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded(tower).modules())
    assert batch_norms(image_tower("ViT-B-32")) == []


def test_takes_the_preprocessing_that_siglip_weights_were_trained_with(tmp_path: Path) -> None:
    spec = load_encoder("embedded", device="cpu").spec
    assert (spec.preprocessing.resize_mode, spec.preprocessing.size, spec.dim) == ("squash", (144, 144), 256)
    tower = torch.nn.Module()  # the model itself is too large for a test
    tower.image_size = 256
    siglip = trained_preprocessing("ViT-B-32-SigLIP2-256", "webli", tower)
    assert (siglip.resize_mode, siglip.mean) == ("squash", (0.5, 0.5, 0.5))


def test_refuses_weights_of_another_architecture(tiny: tuple[str, Path]) -> None:
    with pytest.raises(WeightsError, match="does not hold weights of lookalike-embedded"):
        load_encoder("lookalike-embedded", weights=tiny[1])


def test_refuses_weights_for_another_input_size(tiny: tuple[str, Path], tmp_path: Path) -> None:
    larger = {**TINY, "vision_cfg": {**TINY["vision_cfg"], "image_size": 64}}
    (tmp_path / "larger-test-vit.json").write_text(json.dumps(larger))
    open_clip.add_model_config(tmp_path / "larger-test-vit.json")
    with pytest.raises(WeightsError, match="does not hold weights of larger-test-vit"):
        load_encoder("larger-test-vit", weights=tiny[1])


def test_takes_the_pictures_vector_of_towers_that_give_more(tmp_path: Path) -> None:
    vision = {**TINY["vision_cfg"], "attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True}
    text = {**TINY["text_cfg"], "embed_cls": True, "output_tokens": True}
    coca = {**TINY, "custom_text": True, "vision_cfg": vision, "text_cfg": text, "multimodal_cfg": TINY["text_cfg"]}
    (tmp_path / "tiny-test-coca.json").write_text(json.dumps(coca))
    open_clip.add_model_config(tmp_path / "tiny-test-coca.json")
    torch.manual_seed(0)
    model, _, preprocess = open_clip.create_model_and_transforms("tiny-test-coca")
    torch.save(model.state_dict(), tmp_path / "coca.pt")
    with torch.inference_mode():
        expected = model.eval().encode_image(torch.stack([preprocess(picture) for picture in pictures(3)]))
    vectors = load_encoder("tiny-test-coca", weights=tmp_path / "coca.pt", device="cpu").encode(pictures(3))
    np.testing.assert_allclose(vectors, expected.numpy(), atol=1e-5)


def test_unpickles_no_code(tiny: tuple[str, Path], tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (str(tmp_path / "sprung"),)

    torch.save({"a": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(WeightsError):
        load_encoder(tiny[0], weights=tmp_path / "trap.pt")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("model", "weights", "error", "message"),
    [
        ("nonsense", None, UnknownModelError, "choose a preset"),
        ("ViT-B-32/nonsense", None, UnknownModelError, "open_clip knows .*laion2b_s34b_b79k"),
        ("ViT-B-32", None, WeightsError, "give ViT-B-32/TAG"),
        ("embedded", "missing.pt", WeightsError, "there is no weights file missing.pt"),
        ("embedded", __file__, WeightsError, "give one that ends in"),
    ],
)
def test_says_what_is_wrong_in_one_line(
    model: str, weights: str | None, error: type[EncoderError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        load_encoder(model, weights=weights)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_refuses_a_device_that_is_not_there(tiny: tuple[str, Path]) -> None:
    with pytest.raises(EncoderError, match="torch finds no GPU here for device 'cuda'; use --device cpu"):
        load_encoder(tiny[0], weights=tiny[1], device="cuda")


def test_building_a_model_sets_up_no_logging(tiny: tuple[str, Path]) -> None:
    import logging

    before = list(logging.getLogger().handlers), logging.getLogger().level, list(logging.getLogger().filters)
    load_encoder(tiny[0], weights=tiny[1])
    assert (list(logging.getLogger().handlers), logging.getLogger().level, list(logging.getLogger().filters)) == before


def test_every_preset_is_known_to_open_clip_with_its_size() -> None:
    for preset in PRESETS.values():
        if preset.tag is not None:
            assert open_clip.is_pretrained_cfg(preset.architecture, preset.tag)
            config = open_clip.get_model_config(preset.architecture)
            assert (config["vision_cfg"]["image_size"], config["embed_dim"]) == (preset.image_size, preset.dim)


def test_embeds_on_all_cores_without_changing_the_programs_threads() -> None:
    encoder = untrained_encoder("lookalike-embedded", device="cpu")
    inputs = list(np.random.default_rng(0).integers(0, 256, (19, 144, 144, 3), np.uint8))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = encoder.embed(inputs)
        torch.set_num_threads(3)
        together = encoder.embed(inputs)
        assert torch.get_num_threads() == 3
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 3
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(together, alone)
    assert encoder.embed([]).shape == (0, encoder.spec.dim)


@forks
def test_works_in_a_child_that_was_forked_later_on_the_cpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = untrained_encoder("lookalike-embedded", device="cpu")
    inputs = [np.zeros((144, 144, 3), np.uint8)] * 9
    expected = encoder.embed(inputs)
    assert in_child(lambda: np.array_equal(encoder.embed(inputs), expected)) == "True"
    monkeypatch.setattr(encoder, "_device", torch.device("cuda"))

    def refused() -> str:
        with pytest.raises(EncoderError, match="a GPU can't be used after that; open the detector in each worker"):
            encoder.embed(inputs)
        return "refused"

    assert in_child(refused) == "refused"


def test_spreads_one_picture_over_the_threads_it_was_given() -> None:
    encoder = untrained_encoder("lookalike-embedded", device="cpu")
    inputs = list(np.random.default_rng(0).integers(0, 256, (1, 144, 144, 3), np.uint8))
    before = torch.get_num_threads()
    np.testing.assert_allclose(encoder.in_threads(2).embed(inputs), encoder.embed(inputs), atol=1e-5)
    assert torch.get_num_threads() == before
    assert encoder.in_threads(3).in_threads(5)._threads == 3
