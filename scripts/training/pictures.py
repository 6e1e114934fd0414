"""What the embedded encoder is trained on: pictures by subject, and batches of two edited views of each subject.

A subject is what two views must agree on: a photo of clothing/, produce/ or logos/, or a product of a rendered
marketplace, whose packshots and private photos are all views of it. A variant is a subject of its own, so that batches
with a variant beside its product teach the difference between two flavours.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

from lookalike.errors import TableError
from lookalike.scripts.bench_pictures import texture
from lookalike.scripts.training.edits import Image, edit, random_edits
from lookalike.scripts.training.held_out import is_held_out

STORED_SIDE, INPUT_SIDE = 176, 128
RENDERED_SHARE = 0.3
HARD_EDITS = ("crop", "rotate", "text", "sticker", "background", "recolour", "rephoto")  # the others teach little
Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass
class Album:
    """Training pictures: `images` uint8 (height, width, 3 or 4), and which of them show each subject.

    `siblings` are groups of subjects that are easily confused: photos of one sender, which share sheet and floor, or a
    product and its variants. `rendered` are the subjects of a rendered marketplace.
    """

    images: list[Image] = field(default_factory=list)
    subjects: list[list[int]] = field(default_factory=list)
    siblings: list[list[int]] = field(default_factory=list)
    rendered: list[int] = field(default_factory=list)

    def add(self, images: Sequence[Image]) -> int:
        """Add a subject with its pictures, and return its number."""
        self.subjects.append(list(range(len(self.images), len(self.images) + len(images))))
        self.images.extend(images)
        return len(self.subjects) - 1


def load_photos(data: Path, album: Album) -> dict[str, list[Image]]:
    """Add the photos in clothing/, produce/ and logos/ to the album; return the held-out ones by sender."""
    with open(data / "clothing" / "images.csv", encoding="utf-8") as file:
        sender = {row["image"]: row["sender_id"] for row in csv.DictReader(file)}
    held_out: dict[str, list[Image]] = {}
    groups: dict[str, list[int]] = {}
    for path in sorted(p for f in ("clothing", "produce", "logos") for p in (data / f).rglob("*.*")):
        if path.suffix.lower() not in {".jpg", ".jpeg", ".png"}:
            continue
        group = sender.get(path.stem, path.stem)
        if is_held_out(group):
            held_out.setdefault(group, []).append(read_small(path))
        else:
            groups.setdefault(group, []).append(album.add([read_small(path)]))
    album.siblings += [members for members in groups.values() if len(members) >= 4]
    return held_out


def load_market(market: Path, album: Album) -> None:
    """Add the products of a rendered marketplace (`scripts/marketplace/render.py --split train`) to the album.

    Raises TableError if the folder has no pictures.csv.
    """
    shown: dict[str, dict[str, list[Image]]] = {}
    for row in market_rows(market):
        if row["kind"] in ("packshot", "photo", "variant") and (market / row["image"]).is_file():
            subject = row["image"] if row["kind"] == "variant" else ""
            product = shown.setdefault(row["product_id"], {})
            product.setdefault(subject, []).append(read_small(market / row["image"]))
    for product in shown.values():
        members = [album.add(images) for images in product.values()]
        album.rendered += members
        if len(members) > 1:
            album.siblings.append(members)


def market_rows(market: Path) -> list[dict[str, str]]:
    """The rows of a rendered marketplace's table. Raises TableError if the folder has no pictures.csv."""
    table = market / "pictures.csv"
    if not table.is_file():
        raise TableError(
            f"there is no {table}; render it with scripts/marketplace/render.py --split train --out {market}"
        )
    with open(table, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class Views(IterableDataset[Batch]):
    """An endless stream of batches: views uint8 (2n, 3, side, side), and the n subjects' numbers int64 (n,).

    The first n views show each subject once, the other n once more. `first` continues the stream from a step.
    """

    def __init__(self, album: Album, *, batch: int, seed: int, first: int) -> None:
        self.album, self.batch, self.seed, self.first = album, batch, seed, first
        rendered = set(album.rendered)
        self._photos = [k for k in range(len(album.subjects)) if k not in rendered]
        self._groups = {
            True: [group for group in album.siblings if group[0] in rendered],
            False: [group for group in album.siblings if group[0] not in rendered],
        }

    def __iter__(self) -> Iterator[Batch]:
        cv2.setNumThreads(0)
        worker = get_worker_info()
        rng = np.random.default_rng([self.seed, self.first, worker.id if worker else 0])
        while True:
            chosen = self._choose(rng)
            pairs = [self._pair(subject, rng) for subject in chosen]
            others = rgb([image for pair in pairs for image in pair])
            genuine = [view(pair[0], rng, others, share=0.5) for pair in pairs]
            listed = [view(pair[1], rng, others, share=0.95) for pair in pairs]
            yield torch.from_numpy(np.stack(genuine + listed)), torch.tensor(chosen)

    def _choose(self, rng: np.random.Generator) -> list[int]:
        """The subjects of a batch: rendered ones and photos, a quarter of each together with siblings."""
        from_market = round(self.batch * RENDERED_SHARE) if self.album.rendered else 0
        return [*self._draw(rng, self.album.rendered, from_market, True),
                *self._draw(rng, self._photos, self.batch - from_market, False)]  # fmt: skip

    def _draw(self, rng: np.random.Generator, pool: list[int], count: int, rendered: bool) -> list[int]:
        groups, chosen = self._groups[rendered], dict[int, None]()
        for at in rng.permutation(len(groups)).tolist():
            if len(chosen) >= count // 4:
                break
            chosen.update(dict.fromkeys(rng.permutation(groups[at])[:4].tolist()))
        for at in rng.permutation(len(pool)).tolist():
            if len(chosen) >= count:
                break
            chosen[pool[at]] = None
        return list(chosen)[:count]

    def _pair(self, subject: int, rng: np.random.Generator) -> tuple[Image, Image]:
        """Two pictures of the subject, mostly different ones if it has several."""
        members = self.album.subjects[subject]
        if len(members) == 1 or rng.random() < 0.2:
            image = self.album.images[members[int(rng.integers(len(members)))]]
            return image, image
        one, two = rng.choice(members, 2, replace=False).tolist()
        return self.album.images[one], self.album.images[two]


def view(picture: Image, rng: np.random.Generator, others: Sequence[Image], *, share: float) -> Image:
    """A view to train on, uint8 (3, side, side): edited one to four times, in a `share` of all cases."""
    image = on_ground(picture, rng)
    if rng.random() < share:
        image = edit(image, random_edits(rng, often=HARD_EDITS), rng, others=others)
    return as_input(image)


def on_ground(picture: Image, rng: np.random.Generator) -> Image:
    """Lay a transparent logo on a plain or textured ground; leave a photo unchanged."""
    if picture.shape[2] == 3:
        return picture
    height, width = picture.shape[:2]
    ground = np.full((height, width, 3), rng.integers(0, 256, 3), np.uint8)
    if rng.random() < 0.4:
        ground = texture(height, width, rng)
    alpha = picture[..., 3:].astype(np.float32) / 255
    return np.asarray(picture[..., :3] * alpha + ground * (1 - alpha), np.uint8)


def as_input(image: Image) -> NDArray[np.uint8]:
    """Squash a picture of any size to the encoder's input, uint8 (3, side, side)."""
    shrunk = cv2.resize(image, (INPUT_SIDE, INPUT_SIDE), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(shrunk.transpose(2, 0, 1), np.uint8)


def rgb(pictures: Sequence[Image]) -> list[Image]:
    """The pictures without transparency."""
    return [picture for picture in pictures if picture.shape[2] == 3]


def read_small(path: Path) -> Image:
    """A picture of the training data, RGB or RGBA, shrunk to the area of STORED_SIDE squared.

    Raises TableError for a file that is not a picture.
    """
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise TableError(f"{path} is not a picture that can be read; take it out of the folder")
    if pixels.ndim == 2:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    code = cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB
    colours = cv2.cvtColor(pixels, code)
    height, width = colours.shape[:2]
    shape = min(3.0, max(1 / 3, width / height)) ** 0.5
    size = round(STORED_SIDE * shape), round(STORED_SIDE / shape)
    return cv2.resize(colours, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
