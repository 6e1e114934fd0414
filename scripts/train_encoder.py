"""Train the embedded encoder: a small CLIP image tower that knows a picture again after heavy edits.

Reads three folders of pictures under DATA (clothing/, produce/ and logos/, each with images/ or
pictures directly in it), keeps one sender, or file, in eight apart for validation, and minimises InfoNCE
between two heavy edits of each picture (SimCLR, arXiv 2002.05709) plus SSCD's entropy regulariser,
which spreads the vectors so that one threshold means the same everywhere (arXiv 2202.10261).

Writes to OUT: checkpoint.pt (the same command resumes from it), log.csv, embedded.safetensors.
Needs the packages of the `train` extra and 2 GB of memory; uses a GPU where there is one.
"""

from __future__ import annotations

import argparse
import copy
import csv
import math
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from lookalike.model.clip import image_tower
from lookalike.model.edits import Image, edit, random_edits, texture
from lookalike.model.held_out import is_held_out
from lookalike.model.presets import PRESETS

STORED_SIDE = 176
TEMPERATURE = 0.06
ENTROPY_WEIGHT = 4.0
SMALL_SHARE, SMALL_SIDE = 0.6, 96  # most of the time goes to smaller views, at half the cost
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="folder that holds clothing/, produce/ and logos/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--batch", type=int, default=128, help="pictures a step; each gives two views")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    train(arguments)
    return 0


def train(arguments: argparse.Namespace) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pictures, groups, held_out = load_pictures(arguments.data)
    print(f"{len(pictures)} pictures to train on, {len(held_out)} to validate", flush=True)
    model = image_tower(PRESETS["embedded"].architecture).to(device).to(memory_format=torch.channels_last)
    average = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.lr, weight_decay=0.05)
    checkpoint, log = arguments.out / "checkpoint.pt", arguments.out / "log.csv"
    step, spent = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent = state["step"], state["spent"]
        print(f"resumed at step {step}, {spent / 60:.1f} minutes in", flush=True)
    views = _Views(pictures, groups, batch=arguments.batch, seed=arguments.seed, first=step)
    loader = DataLoader(views, batch_size=None, num_workers=arguments.workers, prefetch_factor=8)
    budget, mark, losses = arguments.minutes * 60, time.monotonic(), []
    for batch in loader:
        progress = spent / budget
        rate = arguments.lr * min(1.0, (step + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * min(1, progress)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        inputs = batch.to(device).float()
        if progress < SMALL_SHARE:
            inputs = torch.nn.functional.interpolate(inputs, SMALL_SIDE, mode="area")
        losses.append(_step(model, average, optimizer, inputs))
        step += 1
        now = time.monotonic()
        spent, mark = spent + now - mark, now
        done = spent >= budget
        if step % 100 == 0 or done:
            recall = validate(average, held_out, device)
            row = [step, round(spent), f"{np.mean(losses):.4f}", f"{recall:.4f}", f"{rate:.2e}"]
            _log(log, row)
            losses.clear()
            state = {
                "model": model.state_dict(),
                "average": average.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step,
                "spent": spent,
            }
            torch.save(state, checkpoint.with_suffix(".tmp"))
            checkpoint.with_suffix(".tmp").replace(checkpoint)
            export(average, arguments.out / "embedded.safetensors")
            mark = time.monotonic()
        if done:
            break


def export(tower: torch.nn.Module, path: Path) -> None:
    """Write the tower's weights as open_clip names them, in half precision."""
    weights = {f"visual.{name}": _half(value) for name, value in tower.state_dict().items()}
    save_file(weights, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def load_pictures(data: Path) -> tuple[list[Image], list[list[int]], list[Image]]:
    """Training pictures, the groups of them that share a sender, and the pictures held out."""
    with open(data / "clothing" / "images.csv", encoding="utf-8") as file:
        sender = {row["image"]: row["sender_id"] for row in csv.DictReader(file)}
    pictures: list[Image] = []
    held_out: list[Image] = []
    groups: dict[str, list[int]] = {}
    for path in sorted(p for f in ("clothing", "produce", "logos") for p in (data / f).rglob("*.*")):
        if path.suffix.lower() not in {".jpg", ".jpeg", ".png"}:
            continue
        group = sender.get(path.stem, path.stem)
        picture = _load(path)
        if is_held_out(group):
            held_out.append(picture)
        else:
            groups.setdefault(group, []).append(len(pictures))
            pictures.append(picture)
    return pictures, [members for members in groups.values() if len(members) >= 4], held_out


def validate(tower: torch.nn.Module, pictures: list[Image], device: torch.device) -> float:
    """Share of edited pictures held out whose nearest vector is that of the picture itself."""
    rng = np.random.default_rng(1)
    edited = [_as_input(edit(on_ground(p, rng), random_edits(rng), rng, others=_rgb(pictures))) for p in pictures]
    plain = [_as_input(on_ground(p, np.random.default_rng(2))) for p in pictures]
    references, queries = _embed(tower, plain, device), _embed(tower, edited, device)
    return float((np.argmax(queries @ references.T, axis=1) == np.arange(len(pictures))).mean())


def _step(
    model: torch.nn.Module, average: torch.nn.Module, optimizer: torch.optim.Optimizer, batch: torch.Tensor
) -> float:
    model.train()
    with torch.autocast(batch.device.type, torch.bfloat16):
        vectors = model(_normalise(batch))
    vectors = torch.nn.functional.normalize(vectors.float(), dim=1)
    loss = _loss(vectors)
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimizer.step()
    with torch.no_grad():
        pairs = zip(average.state_dict().values(), model.state_dict().values(), strict=True)
        for kept, fresh in pairs:
            if kept.is_floating_point():
                kept.lerp_(fresh, 0.01)
            else:
                kept.copy_(fresh)
    return float(loss.detach())


def _loss(vectors: torch.Tensor) -> torch.Tensor:
    """InfoNCE over (2n, dim) rows, row i's positive being row i + n, plus SSCD's entropy term."""
    count = vectors.shape[0]
    similarity = vectors @ vectors.T
    itself = torch.eye(count, dtype=torch.bool, device=vectors.device)
    partner = (torch.arange(count, device=vectors.device) + count // 2) % count
    logits = (similarity / TEMPERATURE).masked_fill(itself, -1e4)
    contrast = torch.nn.functional.cross_entropy(logits, partner)
    positive = torch.zeros_like(itself).scatter_(1, partner[:, None], True)
    nearest = similarity.masked_fill(itself | positive, -1.0).amax(dim=1)
    distance = (2 - 2 * nearest).clamp(min=1e-6).sqrt()
    return contrast - ENTROPY_WEIGHT * TEMPERATURE * distance.log().mean()


class _Views(IterableDataset[torch.Tensor]):
    """An endless stream of batches (2n, 3, side, side) uint8: first one view of each picture, then the other."""

    def __init__(self, pictures: list[Image], groups: list[list[int]], *, batch: int, seed: int, first: int) -> None:
        self.pictures, self.groups, self.batch, self.seed, self.first = pictures, groups, batch, seed, first

    def __iter__(self) -> Iterator[torch.Tensor]:
        cv2.setNumThreads(0)
        worker = get_worker_info()
        number = worker.id if worker else 0
        rng = np.random.default_rng([self.seed, self.first, number])
        while True:
            chosen = self._choose(rng)
            pictures = [self.pictures[i] for i in chosen]
            others = _rgb(pictures)
            views = [_view(p, rng, others) for p in pictures] + [_view(p, rng, others) for p in pictures]
            yield torch.from_numpy(np.stack(views))

    def _choose(self, rng: np.random.Generator) -> list[int]:
        """A batch: a quarter of it fours of one sender, whose sheet and floor are alike; the rest anything."""
        chosen: dict[int, None] = {}
        for group in rng.choice(len(self.groups), size=self.batch // 16, replace=False):
            chosen.update(dict.fromkeys(rng.choice(self.groups[group], 4, replace=False).tolist()))
        for index in rng.permutation(len(self.pictures)).tolist():
            if len(chosen) >= self.batch:
                break
            chosen[index] = None
        return list(chosen)


def _view(picture: Image, rng: np.random.Generator, others: list[Image]) -> Image:
    image = on_ground(picture, rng)
    if rng.random() < 0.9:
        image = edit(image, random_edits(rng), rng, others=others)
    return _as_input(image)


def on_ground(picture: Image, rng: np.random.Generator) -> Image:
    """Lay a transparent logo on a plain or textured ground; leave a photo as it is."""
    if picture.shape[2] == 3:
        return picture
    side = picture.shape[0]
    ground = np.full((side, side, 3), rng.integers(0, 256, 3), np.uint8) if rng.random() < 0.6 else None
    if ground is None:
        ground = texture(side, side, rng)
    alpha = picture[..., 3:].astype(np.float32) / 255
    return np.asarray(picture[..., :3] * alpha + ground * (1 - alpha), np.uint8)


def _as_input(image: Image) -> Image:
    side = 128
    shrunk = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(shrunk.transpose(2, 0, 1))


def _rgb(pictures: list[Image]) -> list[Image]:
    return [p for p in pictures if p.shape[2] == 3]


def _load(path: Path) -> Image:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels is not None, f"{path} is no picture"
    if pixels.ndim == 2:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    code = cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB
    colours = cv2.cvtColor(pixels, code)
    return cv2.resize(colours, (STORED_SIDE, STORED_SIDE), interpolation=cv2.INTER_AREA).astype(np.uint8)


def _embed(tower: torch.nn.Module, inputs: list[Image], device: torch.device) -> NDArray[np.float32]:
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


if __name__ == "__main__":
    raise SystemExit(main())
