"""Train the embedded encoder's second answer, `look`: which products have the same trade dress.

The encoder's first layers are those of EfficientNet-Lite0 as trained on ImageNet, and so a second branch of that
network can follow them. Its pooled features already say what looks alike; a linear map of 128 numbers is trained on
top. Supervised contrastive loss (arXiv 2004.11362) brings a product's photos, variants and imitations together.
Relational distillation (arXiv 2405.17928) keeps pictures ranked as the features rank them, so that what rendered
products teach does not cost what ImageNet taught.

Reads photos from DATA (clothing/, produce/, logos/) and products from folders that scripts/marketplace/render.py
--split train and print_labels.py wrote (--market). Held-out photos are left out. Writes LOOK (safetensors), which
scripts/training/export.py takes. Needs the packages of the `train` extra.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch.nn import functional as F

from lookalike.disk import written
from lookalike.model.towers import folded, image_tower
from lookalike.scripts.benchmarks.harness import one_line_errors
from lookalike.scripts.training.edits import Image, edit, random_edits
from lookalike.scripts.training.pictures import Album, load_photos, market_rows, on_ground, read_small, rgb
from lookalike.scripts.training.run import is_after_frozen, load_imagenet, normalise

ARCHITECTURE = "lookalike-embedded"
SIDE, DIM, TEMPERATURE = 144, 128, 0.1
FAMILIES, PHOTOS, OF_A_FAMILY = 120, 200, 6  # in a step: products, photos, and pictures of a product
RESEMBLANCE = 0.3

Features = NDArray[np.float32]


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder that holds clothing/, produce/ and logos/")
    parser.add_argument("look", type=Path, metavar="LOOK", help="safetensors file to write")
    parser.add_argument("--market", type=Path, action="append", required=True,
                        help="folder of rendered or printed products; may be given again")  # fmt: skip
    parser.add_argument("--photos", type=int, default=2700, help="most photos to use (default %(default)s)")
    parser.add_argument("--steps", type=int, default=260)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    rng = np.random.default_rng(arguments.seed)
    families = [*products(arguments.market), *photos(arguments.data, arguments.photos, rng)]
    tower = branch()
    quick = folded(tower)
    rows = [row for pictures in families for row in describe(quick, pictures, rng)]
    kinds = np.repeat(np.arange(len(families)), [2 * len(pictures) for pictures in families])
    weight, bias = fit(np.array(rows), kinds, steps=arguments.steps, lr=arguments.lr, rng=rng)
    trunk: Any = tower.trunk
    kept = {name: value.half().contiguous() for name, value in trunk.state_dict().items() if is_after_frozen(name)}
    with written(arguments.look) as temporary:
        save_file(kept | {"look.weight": weight.half(), "look.bias": bias.half()}, temporary)
    return 0


def products(markets: list[Path]) -> Iterator[list[Image]]:
    """The pictures of each product: packshots, photos, variants and imitations."""
    for market in markets:
        families: dict[str, list[Image]] = {}
        for row in market_rows(market):
            if row["kind"] in ("packshot", "photo", "variant", "imitation") and (market / row["image"]).is_file():
                families.setdefault(row["product_id"], []).append(read_small(market / row["image"]))
        yield from families.values()


def photos(data: Path, most: int, rng: np.random.Generator) -> Iterator[list[Image]]:
    """Up to `most` of the photos that are not held out, each a family of its own."""
    album = Album()
    load_photos(data, album)
    for at in rng.permutation(len(album.images))[:most].tolist():
        yield [album.images[at]]


def branch() -> torch.nn.Module:
    """EfficientNet-Lite0 as trained on ImageNet, up to its pooled features."""
    tower: Any = image_tower(ARCHITECTURE)
    load_imagenet(tower)
    tower.trunk.classifier = torch.nn.Identity()
    found: torch.nn.Module = tower.eval().requires_grad_(False)
    return found


def describe(tower: torch.nn.Module, pictures: list[Image], rng: np.random.Generator) -> Features:
    """The features, float32 (2n, 1280), of each picture as it is and with one to three edits."""
    views = []
    for picture in pictures:
        whole = on_ground(picture, rng)
        views += [whole, edit(whole, random_edits(rng, most=3), rng, others=rgb(pictures))]
    small = [cv2.resize(view, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for view in views]
    with torch.inference_mode():
        batch = torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2)
        return np.asarray(tower(normalise(batch)).numpy(), np.float32)


def fit(
    features: Features, families: NDArray[np.int64], *, steps: int, lr: float, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A linear map, weight (128, 1280) and bias (128,), from features (n, 1280) of families (n,)."""
    middle = features.mean(axis=0)
    rows = F.normalize(torch.from_numpy(features - middle), dim=1)
    _, _, axes = torch.linalg.svd(rows[:: max(1, len(rows) // 5000)], full_matrices=False)
    weight = axes[:DIM].clone().requires_grad_(True)
    optimizer = torch.optim.Adam([weight], lr=lr)
    sizes = np.bincount(families)
    many, single = np.flatnonzero(sizes > 2), np.flatnonzero(sizes == 2)  # a photo has two rows
    members = np.split(np.arange(len(families)), np.cumsum(sizes)[:-1])
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        chosen = [*_some(many, FAMILIES, rng), *_some(single, PHOTOS, rng)]
        at = np.concatenate([_some(members[family], OF_A_FAMILY, rng) for family in chosen])
        loss = losses(F.normalize(rows[at] @ weight.T, dim=1), rows[at], torch.from_numpy(families[at]))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    trained = weight.detach().contiguous()
    return trained, -trained @ torch.from_numpy(middle)


def losses(vectors: torch.Tensor, features: torch.Tensor, families: torch.Tensor) -> torch.Tensor:
    """Supervised contrastive loss of unit rows (n, 128), plus their divergence from the ranking by features (n, 1280).

    >>> rows, families = F.normalize(torch.tensor([[1.0, 0.1], [1.0, 0.0], [0.0, 1.0]]), dim=1), torch.tensor([0, 0, 1])
    >>> bool(losses(rows, rows, families) < losses(rows, rows, families[[0, 2, 1]]))
    True
    """
    itself = torch.eye(len(vectors), dtype=torch.bool)
    ours, theirs = (
        F.log_softmax((rows @ rows.T / TEMPERATURE).masked_fill(itself, -1e4), dim=1) for rows in (vectors, features)
    )
    related = ((families[:, None] == families[None]) & ~itself).float()
    contrast = -((ours * related).sum(1) / related.sum(1).clamp(min=1)).mean()
    divergence = F.kl_div(ours, theirs, log_target=True, reduction="none").masked_fill(itself, 0).sum(1).mean()
    return contrast + RESEMBLANCE * divergence


def _some(members: NDArray[np.int64], most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return rng.permutation(members)[:most]


if __name__ == "__main__":
    raise SystemExit(main())
