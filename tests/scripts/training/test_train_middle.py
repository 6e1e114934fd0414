"""The middle layers' say: it learns what the tower misses, and is narrowed to as many numbers as the tower gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn import functional as F

from lookalike.scripts.training import train_middle as module
from lookalike.scripts.training.branches import Branches
from lookalike.scripts.training.export import tower_of
from lookalike.scripts.training.train_middle import Described, fit, main, principal_axes


def test_learns_what_the_tower_misses() -> None:
    generator = torch.Generator().manual_seed(0)
    subjects = torch.randn(300, 12, generator=generator)
    views = torch.randn(4, 300, 40, generator=generator)
    views[..., :12] = views[..., :12] * 0.2 + subjects * 0.3  # what tells subjects apart is the least of it
    views[..., 12:] *= 2
    own = F.normalize(torch.randn(4, 300, 6, generator=generator), dim=-1)  # the tower knows nothing of them

    def found(rows: torch.Tensor) -> float:
        unit = F.normalize(rows, dim=-1)
        return float(((unit[0] @ unit[1].T).argmax(1) == torch.arange(300)).float().mean())

    siblings = [np.arange(20), np.arange(30, 60)]
    weight, bias = fit(Described(own, views), siblings, steps=80, lr=0.03, rng=np.random.default_rng(0))
    assert found(views @ weight.T + bias) > found(views) + 0.3


def test_keeps_the_directions_in_which_rows_are_largest() -> None:
    rows = torch.randn(400, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 9.0, 3.0])
    squares, axes = principal_axes(rows, 2)
    assert axes.shape == (3, 2) and axes.abs().argmax(0).tolist() == [1, 2] and float(squares[0] / squares[1]) > 5


def test_writes_what_the_export_takes(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for folder in ("clothing", "produce", "logos"):
        (data / folder).mkdir(parents=True)
    (data / "clothing" / "images.csv").write_text("image,sender_id\n", encoding="utf-8")
    rng = np.random.default_rng(1)
    for number in range(12):
        Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8)).save(data / "produce" / f"{number}.png")
    weights = Path(module.__file__).with_name("embedded.safetensors")
    assert main([str(data), str(weights), str(tmp_path / "middle"), "--views", "2", "--steps", "2"]) == 0
    branches = Branches(tower_of(weights), middle=load_file(tmp_path / "middle"))
    assert branches(torch.zeros(1, 3, 144, 144)).shape == (1, 256)
