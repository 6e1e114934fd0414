"""The ONNX file of the embedded encoder gives the vectors of the torch tower that it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import lookalike.model
from lookalike.errors import WeightsError
from lookalike.model.loading import load_encoder
from lookalike.model.towers import image_tower
from lookalike.model.transforms import trained_preprocessing
from lookalike.scripts.training import export as module
from lookalike.scripts.training.branches import Branches
from lookalike.scripts.training.export import export, main, tower_of

ARCHITECTURE = "lookalike-embedded"


def tower_with_random_statistics(numbers: int) -> torch.nn.Module:
    torch.manual_seed(0)
    tower: Any = image_tower(ARCHITECTURE)
    tower.trunk.reset_classifier(numbers, "avg")
    for norm in (each for each in tower.modules() if isinstance(each, torch.nn.BatchNorm2d)):
        norm.running_mean.uniform_(-0.2, 0.2)
        norm.running_var.uniform_(0.5, 2)
    return tower.eval()


def expected(tower: torch.nn.Module, pixels: np.ndarray, dim: int) -> np.ndarray:
    preprocessing = trained_preprocessing(ARCHITECTURE, None, tower)
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (preprocessing.mean, preprocessing.std))
    batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(255).sub(mean).div(std)
    with torch.inference_mode():
        parts = tower(batch).tensor_split([dim], dim=1)
    return torch.cat([torch.nn.functional.normalize(part, dim=1) for part in parts], dim=1).numpy()


def look_of(tower: torch.nn.Module, numbers: int) -> dict[str, torch.Tensor]:
    trunk: Any = tower.trunk
    shared = ("conv_stem.", "bn1.", "classifier.", "blocks.0.", "blocks.1.")
    branch = {name: value for name, value in trunk.state_dict().items() if not name.startswith(shared)}
    linear = torch.nn.Linear(trunk.num_features, numbers)
    return {**branch, "look.weight": linear.weight.detach(), "look.bias": linear.bias.detach()}


def middle_of(numbers: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    middle, narrow = torch.nn.Linear(608, 32), torch.nn.Linear(numbers + 32, numbers)
    return {"middle.weight": middle.weight.detach(), "middle.bias": middle.bias.detach(),
            "narrow.weight": narrow.weight.detach()}  # fmt: skip


@pytest.mark.parametrize("look", [0, 24])
@pytest.mark.parametrize("with_middle", [False, True])
def test_gives_torchs_vectors_with_every_part_that_is_added(tmp_path: Path, look: int, with_middle: bool) -> None:
    tower = tower_with_random_statistics(48)
    save_file(tower.state_dict(), tmp_path / "w.safetensors")
    added, options = {}, []
    if with_middle:
        added["middle"] = middle_of(48)
    if look:
        added["look"] = look_of(tower_with_random_statistics(48), look)
    for name, state in added.items():
        save_file(state, tmp_path / f"{name}.safetensors")
        options += [f"--{name}", str(tmp_path / f"{name}.safetensors")]
    whole = Branches(tower, **added) if added else tower
    assert main([str(tmp_path / "w.safetensors"), str(tmp_path / "e.onnx"), *options]) == 0
    encoder = load_encoder(weights=tmp_path / "e.onnx")
    spec, preprocessing = encoder.spec, trained_preprocessing(ARCHITECTURE, None, tower)
    assert (spec.architecture, spec.dim, spec.look_dim) == (ARCHITECTURE, 48, look)
    assert (spec.preprocessing.size, spec.preprocessing.reducing_gap) == (preprocessing.size, 1.5)
    pixels = np.random.default_rng(0).integers(0, 256, (5, *preprocessing.size, 3), np.uint8)
    for count in (1, 3, 5):
        found = encoder.in_batches(count).embed(list(pixels))
        np.testing.assert_allclose(found, expected(whole, pixels, spec.dim), atol=1e-4)


def test_refuses_a_branch_that_lacks_a_layer_or_has_another() -> None:
    tower = tower_with_random_statistics(48)
    branch = look_of(tower, 24)
    for layer in ("conv_head.", "blocks.5."):
        with pytest.raises(WeightsError, match="other layers than this architecture"):
            Branches(tower, look={name: value for name, value in branch.items() if not name.startswith(layer)})
    with pytest.raises(WeightsError, match="doesn't fit this architecture"):
        Branches(tower, look={**branch, "look.weight": torch.zeros(24, 7)})


def test_refuses_a_middle_that_lacks_a_layer_or_belongs_to_another_tower() -> None:
    tower, middle = tower_with_random_statistics(48), middle_of(48)
    for name in middle:
        with pytest.raises(WeightsError, match="the middle doesn't fit this architecture"):
            Branches(tower, middle={other: value for other, value in middle.items() if other != name})
    for wrong in (middle_of(47), {**middle, "more": torch.zeros(1)}):
        with pytest.raises(WeightsError, match=r"belongs to another tower; write it with train_middle\.py"):
            Branches(tower, middle=wrong)


def test_the_file_that_ships_was_made_from_the_weights_beside_the_script() -> None:
    encoder = load_encoder("embedded")
    folder = Path(module.__file__).parent
    added = {name: load_file(folder / f"{name}.safetensors") for name in ("middle", "look")}
    whole = Branches(tower_of(folder / "embedded.safetensors"), **added)
    pixels = np.random.default_rng(0).integers(0, 256, (3, *encoder.spec.preprocessing.size, 3), np.uint8)
    found = encoder.embed(list(pixels))
    assert found.shape[1] == encoder.spec.width
    np.testing.assert_allclose(found, expected(whole, pixels, encoder.spec.dim), atol=1e-4)


def test_weights_that_16_bits_hold_are_kept_in_16_bits(tmp_path: Path) -> None:
    tower = tower_with_random_statistics(48)
    export(tower, tmp_path / "wide.onnx")
    export(tower.half().float(), tmp_path / "half.onnx")
    sizes = [(tmp_path / name).stat().st_size for name in ("wide.onnx", "half.onnx")]
    assert sizes[1] < 0.55 * sizes[0]
    assert (Path(lookalike.model.__file__).with_name("embedded.onnx")).stat().st_size < 17e6


def test_leaves_numbers_for_the_first_head(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="the tower gives 48 numbers, so a look of 48 leaves none; give less"):
        export(tower_with_random_statistics(48), tmp_path / "e.onnx", look_dim=48)
