"""Train what the embedded encoder's middle layers add to its `similarity`.

The tower's last layer says what is shown; the middle layers still know textures and details, and err on other pictures.
Means and standard deviations of two blocks' outputs are whitened, and the map is trained further on edited views:
InfoNCE over the mean of its similarity and of the tower's own, so that it learns what the tower misses. Then the
numbers of both are narrowed to as many as the tower gives, along their principal axes. The tower stays as it is, and a
picture takes no longer.

Reads photos from DATA (clothing/, produce/, logos/) and products from folders that scripts/marketplace/render.py
--split train and print_labels.py wrote (--market). Held-out photos are left out. Writes MIDDLE (safetensors), which
scripts/training/export.py takes. Needs the packages of the `train` extra.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch.nn import functional as F

from lookalike.disk import written
from lookalike.model.encoder import Preprocessing
from lookalike.model.resize import fitted
from lookalike.model.transforms import trained_preprocessing
from lookalike.scripts.benchmarks.harness import one_line_errors
from lookalike.scripts.training.branches import Branches
from lookalike.scripts.training.edits import edit, random_edits
from lookalike.scripts.training.export import tower_of
from lookalike.scripts.training.pictures import Album, load_market, load_photos, on_ground, rgb
from lookalike.scripts.training.run import normalise

TEMPERATURE, SUBJECTS, OF_A_GROUP = 0.05, 768, 12  # in a step; about a third come in groups of siblings
SHRINKAGE = 0.1  # of the mean eigenvalue, added to each before whitening
_BATCH, _OTHERS, _EVERY = 64, 400, 2


@dataclass(frozen=True)
class Described:
    """Views of subjects: `own` (views, subjects, dim) from the tower, and `middle` (views, subjects, 608)."""

    own: torch.Tensor
    middle: torch.Tensor


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder that holds clothing/, produce/ and logos/")
    parser.add_argument("weights", type=Path, metavar="WEIGHTS", help="the tower that train_encoder.py wrote")
    parser.add_argument("middle", type=Path, metavar="MIDDLE", help="safetensors file to write")
    parser.add_argument("--market", type=Path, action="append", default=[],
                        help="folder of rendered or printed products; may be given again")  # fmt: skip
    parser.add_argument("--views", type=int, default=6, help="views of each subject (default %(default)s)")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--lr", type=float, default=3e-3, help="as a share of the map's own size")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    rng, album = np.random.default_rng(arguments.seed), Album()
    load_photos(arguments.data, album)
    for market in arguments.market:
        load_market(market, album)
    tower = tower_of(arguments.weights)
    preprocessing = trained_preprocessing("lookalike-embedded", None, tower)
    views = described(Branches(tower), preprocessing, album, arguments.views, rng)
    siblings = [np.array(group) for group in album.siblings]
    weight, bias = fit(views, siblings, steps=arguments.steps, lr=arguments.lr, rng=rng)
    joined = _joined(views.own, F.normalize(views.middle @ weight.T + bias, dim=-1)).flatten(0, 1)
    narrow = principal_axes(joined, views.own.shape[-1])[1].T
    kept = {"middle.weight": weight, "middle.bias": bias, "narrow.weight": narrow}
    with written(arguments.middle) as temporary:
        save_file({name: value.half().contiguous() for name, value in kept.items()}, temporary)
    return 0


def described(
    branches: Branches, preprocessing: Preprocessing, album: Album, views: int, rng: np.random.Generator
) -> Described:
    """Describe each subject of the album `views` times: first as it is, then with one to three edits."""
    others = rgb([album.images[at] for at in rng.permutation(len(album.images))[:_OTHERS]])
    own, middle = [], []
    for number in range(views):
        pictures: list[NDArray[np.uint8]] = []
        for members in album.subjects:
            picture = on_ground(album.images[int(rng.choice(members))], rng)
            if number:
                picture = edit(picture, random_edits(rng, most=3), rng, others=others)
            pictures.append(np.asarray(fitted(Image.fromarray(np.ascontiguousarray(picture)), preprocessing)))
        found = [_describe(branches, pictures[at : at + _BATCH]) for at in range(0, len(pictures), _BATCH)]
        own.append(torch.cat([each for each, _ in found]))
        middle.append(torch.cat([each for _, each in found]))
        print(f"described view {number + 1} of {views} of {len(pictures):,} subjects", flush=True)
    return Described(torch.stack(own), torch.stack(middle))


def fit(
    views: Described, siblings: Sequence[NDArray[np.int64]], *, steps: int, lr: float, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """The map, weight (608, 608) and bias (608,), from what describes the middle blocks."""
    count, subjects, width = views.middle.shape
    rows = views.middle.flatten(0, 1)
    mean, spread = rows.mean(dim=0), rows.std(dim=0) + 1e-6
    middle = (views.middle - mean) / spread
    values, axes = principal_axes(middle.flatten(0, 1), width)
    weight = (axes / (values + SHRINKAGE * values.mean()).sqrt()).T.contiguous()
    size = float(weight.std())
    weight, bias = weight.requires_grad_(True), torch.zeros(width, requires_grad=True)
    optimizer = torch.optim.Adam([weight, bias])
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * size * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        chosen = _choose(subjects, siblings, rng)
        pair = np.array([rng.permutation(count)[:2] for _ in chosen])
        joined = [
            _joined(views.own[at, chosen], F.normalize(middle[at, chosen] @ weight.T + bias, dim=1)) for at in pair.T
        ]
        logits, right = joined[0] @ joined[1].T / TEMPERATURE, torch.arange(len(chosen))
        loss = (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    weight, bias = weight.detach() / spread, bias.detach()
    return weight, bias - weight @ mean


def principal_axes(rows: torch.Tensor, most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The `most` directions, (width, most), in which rows (n, width) are largest, and their mean squares, (most,)."""
    some = rows[::_EVERY].double()
    values, axes = torch.linalg.eigh(some.T @ some / len(some))
    return values.flip(0)[:most].float(), axes.flip(1)[:, :most].float()


def _joined(own: torch.Tensor, middle: torch.Tensor) -> torch.Tensor:
    """Unit rows of both kinds as unit rows, whose product is the mean of theirs."""
    return torch.cat([F.normalize(own, dim=-1), middle], dim=-1) / math.sqrt(2)


def _choose(subjects: int, siblings: Sequence[NDArray[np.int64]], rng: np.random.Generator) -> NDArray[np.int64]:
    """The subjects of a step, about a third of them with siblings, in any order."""
    groups = rng.permutation(len(siblings))[: SUBJECTS // 2 // OF_A_GROUP]
    alike = [rng.permutation(siblings[at])[:OF_A_GROUP] for at in groups]
    chosen = np.unique(np.concatenate([*alike, rng.permutation(subjects)[:SUBJECTS]]))
    return rng.permutation(chosen)[:SUBJECTS]


def _describe(branches: Branches, pictures: Sequence[NDArray[np.uint8]]) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.inference_mode():
        batch = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
        return branches.similar.described(branches.shared(normalise(batch)))


if __name__ == "__main__":
    raise SystemExit(main())
