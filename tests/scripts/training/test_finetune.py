"""Fine-tuning a tower: what is trained, what is held out, and that a run that ended goes on."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from lookalike.model.presets import PRESETS
from lookalike.model.towers import image_tower
from lookalike.scripts.bench_pictures import texture
from lookalike.scripts.training.finetune import Photos, is_held_out, main, trained_names

WEIGHTS = Path(__file__).parents[3] / "scripts" / "training" / "embedded.safetensors"


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path]:
    """Twelve products with a genuine photo and a copy each, and two photos of nothing."""
    rows = {"references": [("reference_id", "image", "product_id", "brand")],
            "labels": [("image", "product_id", "lookalike")]}  # fmt: skip
    for at in range(14):
        picture = Image.fromarray(texture(96, 96, np.random.default_rng(at)))
        picture.save(tmp_path / f"{at}.png")
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / f"copy {at}.png")
        if at < 12:
            rows["references"].append((f"r{at}", f"{at}.png", f"p{at}", "B"))
        rows["labels"].append((f"copy {at}.png", f"p{at}" if at < 12 else "", "yes" if at < 12 else "no"))
    for name, lines in rows.items():
        with open(tmp_path / f"{name}.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(lines)
    return tmp_path / "references.csv", tmp_path / "labels.csv"


def test_held_out_products_are_trained_on_in_no_photo(tables: tuple[Path, Path]) -> None:
    photos = Photos.read(*tables)
    out = {each.product for each in photos.references if is_held_out(each)}
    assert 0 < len(out) < 12
    trained = {Path(str(image)).stem for product in photos.to_train for image in product}
    assert trained == {f"{kind}{at}" for at in range(12) if f"p{at}" not in out for kind in ("", "copy ")}
    assert {Path(photo.image).stem for photo in photos.held_out} == {
        f"copy {at}" for at in range(14) if f"p{at}" in out or at >= 12
    }


def test_the_last_blocks_and_what_follows_them_are_trained() -> None:
    embedded = image_tower(PRESETS["embedded"].architecture)
    names = trained_names(embedded, 1)
    assert {name.split(".")[1] for name in names} == {"blocks", "conv_head", "bn2", "classifier"}
    assert {name.split(".")[2] for name in names if "blocks" in name} == {"6"}
    clip = image_tower("ViT-B-32")
    names = trained_names(clip, 2)
    assert {".".join(name.split(".")[:3]) for name in names if "resblocks" in name} == {
        "transformer.resblocks.10", "transformer.resblocks.11",
    }  # fmt: skip
    assert {name for name in names if "resblocks" not in name} == {"proj", "ln_post.weight", "ln_post.bias"}


def test_a_run_goes_on_where_it_ended_and_changes_only_what_it_trains(
    tables: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = [str(tables[0]), str(tables[1]), "--architecture", PRESETS["embedded"].architecture, "--weights",
            str(WEIGHTS), "--blocks", "1", "--batch", "4", "--lr", "1e-3", "--every", "1"]  # fmt: skip
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main([*call, "--out", str(whole), "--steps", "2"]) == 0
    for steps in ("1", "2"):
        assert main([*call, "--out", str(parts), "--steps", steps]) == 0
    said = capsys.readouterr().out
    assert "resumed at step 1" in said
    assert "held-out products: µAP" in said
    first, second = (torch.load(folder / "checkpoint.pt", weights_only=True)["tower"] for folder in (whole, parts))
    began = {name.removeprefix("visual."): value.float() for name, value in load_file(WEIGHTS).items()}
    trained = trained_names(image_tower(PRESETS["embedded"].architecture), 1)
    for name, value in began.items():
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=1e-6)
        assert torch.equal(first[name], value) == (name not in trained), name
