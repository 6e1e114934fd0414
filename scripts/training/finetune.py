"""Fine-tune an image tower on a catalogue and labels: the last blocks of any tower that open_clip builds.

REFERENCES is a table of genuine photos, LABELS one of labelled photos (image, product_id, lookalike). One product in
four is held out, with the photos that show it; training stops once the tower gets no better on those. It minimises
InfoNCE between two photos of one product, edited at random, with SSCD's entropy term (see `run.contrast`).

Writes to OUT: checkpoint.pt (the same command resumes from it) and tower.safetensors, the best tower so far, to be used
with --model ARCHITECTURE --weights OUT/tower.safetensors. At the end it prints what the tower gains, with an interval,
and says not to use it where that isn't certain. An index has to be built again for it; a `lookalike adapt` has not.
Uses a GPU, in bfloat16, if there is one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import normalize

from lookalike.adapting.fitting import LabelledVectors, answers
from lookalike.adapting.folds import Answered
from lookalike.adapting.judging import gain_of
from lookalike.errors import TableError
from lookalike.model.encoder import Preprocessing
from lookalike.model.images import read_image
from lookalike.model.resize import fitted
from lookalike.model.towers import clip_model, load_weights
from lookalike.model.transforms import trained_preprocessing
from lookalike.records import ImageSource, Reference
from lookalike.scripts.benchmarks.harness import one_line_errors
from lookalike.scripts.training.edits import edit, random_edits
from lookalike.scripts.training.run import contrast, export
from lookalike.tables.cells import id_digest
from lookalike.tables.inputs import read_references
from lookalike.tables.labels import LabelledPhoto, read_labelled_photos
from lookalike.thresholds.labels import is_named
from lookalike.thresholds.metrics import evaluate_retrieval

HELD_OUT, PATIENCE, EVERY = 4, 5, 50
"""One product in so many is held out; training ends after so many looks, every so many steps, without a gain."""


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("references", type=Path, metavar="REFERENCES")
    parser.add_argument("labels", type=Path, metavar="LABELS")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--architecture", required=True, help="an open_clip model, such as ViT-B-16-SigLIP2-256")
    parser.add_argument("--weights", type=Path, required=True, help="the weights to start from")
    parser.add_argument("--blocks", type=int, default=2, help="how many of the last blocks to train (default 2)")
    parser.add_argument("--batch", type=int, default=32, help="products a step (default 32)")
    parser.add_argument("--lr", type=float, default=1e-5)
    parser.add_argument("--steps", type=int, default=5000, help="at most (default 5,000)")
    parser.add_argument("--every", type=int, default=EVERY, help=f"steps between looks (default {EVERY})")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    tower = clip_model(arguments.architecture)
    load_weights(tower, arguments.weights, arguments.architecture)
    run = FineTuning(tower.visual, Photos.read(arguments.references, arguments.labels), arguments)
    run.train()
    return 0


@dataclass(frozen=True)
class Photos:
    """The references, the labelled photos, and of each product to train on its photos, by a number."""

    references: Sequence[Reference]
    labelled: Sequence[LabelledPhoto]
    to_train: Sequence[Sequence[ImageSource]]

    @classmethod
    def read(cls, references: Path, labels: Path) -> Photos:
        """Read both tables. Raises TableError where no product is left to train on, or none held out is labelled."""
        genuine = [each for each in read_references(references) if isinstance(each, Reference)]
        labelled = read_labelled_photos(labels)
        products: dict[tuple[str, str], list[ImageSource]] = {}
        for each in genuine:
            if not is_held_out(each):
                products.setdefault((each.brand, each.product), []).append(each.image)
                shown = [photo.image for photo in labelled if is_named(each, photo.products)]
                products[each.brand, each.product] += shown
        read = cls(genuine, labelled, [list(dict.fromkeys(each)) for each in products.values()])
        if len(products) < 2 or not any(photo.products for photo in read.held_out):
            raise TableError(
                f"{len(products)} products are left to train on, and {len(read.held_out)} labelled photos are held "
                "out; give labels of more products"
            )
        return read

    @property
    def held_out(self) -> list[LabelledPhoto]:
        """The labelled photos that show a product that is held out, or none."""
        trained = [each for each in self.references if not is_held_out(each)]
        return [photo for photo in self.labelled if not any(is_named(each, photo.products) for each in trained)]


def is_held_out(reference: Reference) -> bool:
    """Whether the reference's product is kept to measure on, by a hash of its name."""
    return id_digest(f"{reference.brand}/{reference.product}")[0] % HELD_OUT == 0


class FineTuning:
    """A run: the tower, its optimiser, and the best weights so far."""

    def __init__(self, tower: torch.nn.Module, photos: Photos, arguments: argparse.Namespace) -> None:
        self.tower, self._photos, self._arguments = tower, photos, arguments
        self.preprocessing: Preprocessing = trained_preprocessing(arguments.architecture, None, tower)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        for name, weight in tower.named_parameters():
            weight.requires_grad_(name in trained_names(tower, arguments.blocks))
        tower.to(self._device).eval()  # batch statistics stay as they are
        trained = [weight for weight in tower.parameters() if weight.requires_grad]
        self._optimizer = torch.optim.AdamW(trained, lr=arguments.lr, weight_decay=0.01)
        self.step = self._since = 0
        self._before = self._answers()
        self._best, self._after = self._average_precision(self._before), self._before
        self._checkpoint = arguments.out / "checkpoint.pt"
        if self._checkpoint.exists():
            self._resume()

    def train(self) -> None:
        """Take steps until the held-out products gain no more, and print what they have gained."""
        start = time.monotonic()
        losses: list[float] = []
        while self.step < self._arguments.steps and self._since < PATIENCE:
            losses.append(self._advance())
            if self.step % self._arguments.every == 0 or self.step == self._arguments.steps:
                found = self._answers()
                value = self._average_precision(found)
                self._since += 1
                if value > self._best:
                    self._best, self._after, self._since = value, found, 0
                    export(self.tower, self._arguments.out / "tower.safetensors")
                self._keep()
                print(f"step {self.step}: loss {np.mean(losses):.3f}, µAP on held-out products {value:.3f} "
                      f"({time.monotonic() - start:.0f} s)", flush=True)  # fmt: skip
                losses.clear()
        self._report()

    def _advance(self) -> float:
        rng = np.random.default_rng([self._arguments.seed, self.step])  # so that a resumed run goes on as it would have
        count = len(self._photos.to_train)
        subjects = rng.permutation(count)[: self._arguments.batch]
        pictures = [self._views(self._photos.to_train[product], rng) for product in subjects.tolist()]
        batch = [view for pair in zip(*pictures, strict=True) for view in pair]
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
            vectors = self.tower(self._inputs(batch))
        loss = contrast(normalize(vectors.float(), dim=1), torch.from_numpy(subjects).to(self._device).repeat(2))
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self._optimizer.step()
        self.step += 1
        return float(loss.detach())

    def _views(self, photos: Sequence[ImageSource], rng: np.random.Generator) -> tuple[Image.Image, Image.Image]:
        """Two photos of a product, or one twice, edited at random."""
        chosen = rng.permutation(len(photos))[[0, -1]]
        first, second = (np.asarray(read_image(photos[at]).image) for at in chosen.tolist())
        return tuple(Image.fromarray(edit(each, random_edits(rng, most=2), rng, others=[second, first]))
                     for each in (first, second))  # type: ignore[return-value]  # fmt: skip

    def _inputs(self, images: Sequence[Image.Image]) -> torch.Tensor:
        pixels = np.stack([np.asarray(fitted(image, self.preprocessing)) for image in images])
        mean, std = (
            torch.tensor(values).view(1, 3, 1, 1) for values in (self.preprocessing.mean, self.preprocessing.std)
        )
        return ((torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - mean) / std).to(self._device)

    def _vectors(self, images: Sequence[ImageSource]) -> NDArray[np.float32]:
        found = []
        with torch.inference_mode():
            for start in range(0, len(images), 64):
                pictures = [read_image(image).image for image in images[start : start + 64]]
                found.append(normalize(self.tower(self._inputs(pictures)).float(), dim=1).cpu().numpy())
        return np.concatenate(found)

    def _labelled(self) -> LabelledVectors:
        """The held-out photos with their vectors, among all references."""
        numbers: dict[tuple[str, str], int] = {}
        product = [numbers.setdefault((each.brand, each.product), len(numbers)) for each in self._photos.references]
        asked = self._photos.held_out
        right = tuple(
            frozenset(number for each, number in zip(self._photos.references, product, strict=True)
                      if is_named(each, photo.products)) for photo in asked
        )  # fmt: skip
        return LabelledVectors(
            self._vectors([photo.image for photo in asked]), right, np.ones(len(asked), bool),
            self._vectors([each.image for each in self._photos.references]), np.array(product, np.int64),
        )  # fmt: skip

    def _answers(self) -> Answered:
        labelled = self._labelled()
        self._related, self._groups = labelled.related, labelled.groups
        return answers(labelled, np.arange(len(labelled.photos)))

    def _average_precision(self, found: Answered) -> float:
        return evaluate_retrieval(*found, related=self._related).micro_average_precision

    def _keep(self) -> None:
        state = {"tower": self.tower.state_dict(), "optimizer": self._optimizer.state_dict(), "step": self.step,
                 "since": self._since, "best": self._best, "before": _tensors(self._before),
                 "after": _tensors(self._after)}  # fmt: skip
        torch.save(state, self._checkpoint.with_suffix(".part"))
        self._checkpoint.with_suffix(".part").replace(self._checkpoint)

    def _resume(self) -> None:
        state: Mapping[str, Any] = torch.load(self._checkpoint, map_location=self._device, weights_only=True)
        self.tower.load_state_dict(state["tower"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step, self._since, self._best = state["step"], state["since"], state["best"]
        self._before, self._after = ((values.numpy(), right.numpy()) for values, right in
                                     (state["before"], state["after"]))  # fmt: skip
        print(f"resumed at step {self.step}", flush=True)

    def _report(self) -> None:
        rng = np.random.default_rng(self._arguments.seed)
        gain = gain_of(self._before, self._after, related=self._related, groups=self._groups, rng=rng)
        use = "" if gain.is_certain else "; that isn't certain, so don't use it"
        before, after = (found.micro_average_precision for found in (gain.before, gain.after))
        print(
            f"{gain.photos} photos of {gain.products} held-out products: µAP {before:.3f} -> {after:.3f} (gain 95 % "
            f"{gain.low:+.3f} to {gain.high:+.3f}; the best step was chosen on them, which flatters){use}"
        )


def trained_names(tower: torch.nn.Module, blocks: int) -> set[str]:
    """The names of the weights to train: those of the last blocks, and all that is declared after the blocks.

    The blocks are the longest list of modules in the tower. A projection that open_clip declares first counts as last.
    """
    lists = [(name, part) for name, part in tower.named_modules()
             if isinstance(part, torch.nn.ModuleList | torch.nn.Sequential) and len(part) > 1]  # fmt: skip
    name, longest = max(lists, key=lambda each: len(each[1]))
    names = [each for each, _ in tower.named_parameters()]
    inside = [each for each in names if each.startswith(f"{name}.")]
    last = tuple(f"{name}.{at}." for at in range(max(0, len(longest) - blocks), len(longest)))
    after = names[names.index(inside[-1]) + 1 :]
    return {each for each in inside if each.startswith(last)} | set(after) | ({"proj"} & set(names))


def _tensors(found: Answered) -> tuple[torch.Tensor, torch.Tensor]:
    values, right = found
    return torch.from_numpy(values), torch.from_numpy(right)


if __name__ == "__main__":
    raise SystemExit(main())
