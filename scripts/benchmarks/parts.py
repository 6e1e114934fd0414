"""Measure what looking up the parts of photos finds, and what it costs: collages, shelves, frames, screenshots.

Each photo shows three to eight goods (a frame or a screenshot one), half of them references. They are the packshots of
the rendered marketplace in --market, or without it the main views of DATA/storefront; grounds are held-out clothing
photos of DATA. For each form of photo, with parts and without, it prints the share of the references shown that are
among a finding's matches, and the share above the similarity that one in twenty photos of other goods reaches, with
95 % bootstrap intervals by photo; how many views a photo has, and the processor's milliseconds for reading, embedding
and searching it, and to compare it point by point with --points. With that it also prints the share of references that
points confirm, and how many wrong ones they confirm in a photo.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.detection.decision import MOST_MATCHES
from lookalike.detection.lookup import Lookup, PhotoMatches, Seen
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.encoder import Encoder
from lookalike.model.features import reference_features
from lookalike.model.loading import load_encoder
from lookalike.policy.terms import PARTS, Reach
from lookalike.records import Listing, Reference
from lookalike.scripts.benchmarks.harness import one_line_errors
from lookalike.scripts.benchmarks.sets import BenchmarkSet, add_market, background_photos, described, storefront_sets
from lookalike.scripts.timing import show_table
from lookalike.scripts.training.edits import edit

SIDE, GOODS = 900, (3, 8)
_QUALITY, _HIT = 90, 0.05

Pixels = NDArray[np.uint8]


@dataclass
class Composed:
    """A photo as the bytes of a file, and the references that it shows."""

    form: str
    data: bytes = field(repr=False)
    shown: frozenset[str]


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder that holds clothing/, and storefront/")
    parser.add_argument("--market", type=Path, help="folder that scripts/marketplace/render.py wrote")
    parser.add_argument("--split", default="test", help="the split that it holds (default test)")
    parser.add_argument("--model", default="embedded", help="preset of the encoder (default embedded)")
    parser.add_argument("--photos", type=int, default=50, help="photos of each form (default 50)")
    parser.add_argument("--parts", type=int, default=PARTS, help=f"most parts of a photo (default {PARTS})")
    parser.add_argument("--points", action="store_true", help="compare point by point as well")
    parser.add_argument("--rounds", type=int, default=500, help="bootstrap rounds (default 500)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args(argv)
    rng = np.random.default_rng(arguments.seed)
    goods = _goods(arguments.data, arguments.market, arguments.split)
    order = rng.permutation(len(goods)).tolist()
    references, others = [goods[at] for at in order[::2]], [goods[at] for at in order[1::2]]
    grounds = [np.asarray(photo) for photo in background_photos(arguments.data)]
    photos = composed(references, others, grounds, arguments.photos, rng)
    lookup = looking_up(references, load_encoder(arguments.model, device="cpu"))
    rows = []
    for parts in dict.fromkeys((0, arguments.parts)):
        reach = Reach(-1.0, MOST_MATCHES if arguments.points else 0, photos=1, parts=parts)
        rows += _figures(photos, lookup=_with(lookup, reach), rounds=arguments.rounds, points=arguments.points)
    title = f"{len(references)} references, {arguments.photos} photos of each form"
    columns = ("form", "parts", f"among {MOST_MATCHES}", "above the threshold", "views", "ms")
    show_table(
        (*columns, "confirmed", "wrongly, a photo") if arguments.points else columns, rows, title=title, width=150
    )
    return 0


def composed(
    references: Sequence[Pixels], others: Sequence[Pixels], grounds: Sequence[Pixels], count: int,
    rng: np.random.Generator,
) -> list[Composed]:  # fmt: skip
    """So many photos of each form, and half as many of each form with other goods only ("other goods")."""
    made = []
    for form in FORMS:
        for number in range(count + count // 2):
            wanted = 1 if form in _SINGLE else int(rng.integers(GOODS[0], GOODS[1] + 1))
            shown = (wanted + 1) // 2 if number < count else 0
            own = rng.choice(len(references), shown, replace=False).tolist()
            beside = rng.choice(len(others), wanted - len(own), replace=False).tolist()
            pictures = [references[at] for at in own] + [others[at] for at in beside]
            mixed = [pictures[at] for at in rng.permutation(len(pictures))]
            data = _jpeg(FORMS[form](mixed, grounds, rng))
            made.append(Composed(form if own else OTHERS, data, frozenset(f"r{at}" for at in own)))
    return made


def collage(pictures: Sequence[Pixels], _grounds: Sequence[Pixels], rng: np.random.Generator) -> Pixels:
    """The pictures in a grid, cut to its cells, with gaps or without."""
    gap, colour = int(rng.integers(0, 16)), int(rng.choice([255, 255, 240, 0]))
    canvas = np.full((SIDE, SIDE, 3), colour, np.uint8)
    for picture, (left, top, width, height) in zip(pictures, _cells(len(pictures)), strict=False):
        wide, high = width - gap, height - gap
        factor = max(wide / picture.shape[1], high / picture.shape[0])
        size = max(wide, round(picture.shape[1] * factor)), max(high, round(picture.shape[0] * factor))
        large = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        x, y = (size[0] - wide) // 2, (size[1] - high) // 2
        across, down = left + gap // 2, top + gap // 2
        canvas[down : down + high, across : across + wide] = large[y : y + high, x : x + wide]
    return canvas


def shelf(pictures: Sequence[Pixels], grounds: Sequence[Pixels], rng: np.random.Generator) -> Pixels:
    """The pictures laid on another photo, each in a cell of its own, at 70 to 95 % of its size."""
    ground = grounds[int(rng.integers(len(grounds)))]
    canvas = cv2.resize(ground, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.uint8)
    for picture, (left, top, width, height) in zip(pictures, _cells(len(pictures)), strict=False):
        factor = rng.uniform(0.7, 0.95) * min(width / picture.shape[1], height / picture.shape[0])
        size = max(1, int(picture.shape[1] * factor)), max(1, int(picture.shape[0] * factor))
        x, y = left + int(rng.integers(0, width - size[0] + 1)), top + int(rng.integers(0, height - size[1] + 1))
        canvas[y : y + size[1], x : x + size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return canvas


def frame(pictures: Sequence[Pixels], _grounds: Sequence[Pixels], rng: np.random.Generator) -> Pixels:
    """The first picture in a frame of one colour, 5 to 30 % of its side on each side."""
    height, width = pictures[0].shape[:2]
    top, bottom, left, right = (round(side * rng.uniform(0.05, 0.3)) for side in (height, height, width, width))
    canvas = np.empty((top + height + bottom, left + width + right, 3), np.uint8)
    canvas[:] = rng.integers(0, 256, 3)
    canvas[top : top + height, left : left + width] = pictures[0]
    return canvas


def screenshot(pictures: Sequence[Pixels], grounds: Sequence[Pixels], rng: np.random.Generator) -> Pixels:
    """A screenshot of a shop's page with the first picture (see `edits`)."""
    return edit(pictures[0], ["screenshot"], rng, others=grounds)


FORMS: dict[str, Callable[[Sequence[Pixels], Sequence[Pixels], np.random.Generator], Pixels]] = {
    "collage": collage, "shelf": shelf, "frame": frame, "screenshot": screenshot,
}  # fmt: skip
_SINGLE, OTHERS = ("frame", "screenshot"), "other goods"


def _cells(count: int) -> list[tuple[int, int, int, int]]:
    """Left, top, width and height of the cells of a grid for so many pictures."""
    columns = int(np.ceil(np.sqrt(count)))
    rows = int(np.ceil(count / columns))
    wide, high = SIDE // columns, SIDE // rows
    return [(at % columns * wide, at // columns * high, wide, high) for at in range(count)]


def _goods(data: Path, market: Path | None, split: str) -> list[Pixels]:
    if market is None:
        pictures = storefront_sets(data)[0].references
    else:
        found = BenchmarkSet("goods")
        add_market(found, market, split=split)
        pictures = found.references
    return [np.asarray(picture) for picture in pictures]


def _jpeg(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def looking_up(references: Sequence[Pixels], encoder: Encoder) -> Lookup:
    """A lookup of these references, in one thread."""
    pictures = [Image.fromarray(pixels) for pixels in references]
    index = ReferenceIndex(encoder.spec)
    names = [f"r{at}" for at in range(len(pictures))]
    features = [reference_features(picture).to_bytes() for picture in pictures]
    rows = [Reference(name, name, "", "") for name in names]
    index.add(rows, described(pictures, encoder.encode), hashes=names, features=features)
    return Lookup(encoder, index, PhotoReader(workers=1), threads=1)


def _with(lookup: Lookup, reach: Reach) -> Lookup:
    return Lookup(lookup.encoder, lookup.index, lookup.reader, top=MOST_MATCHES, reach=reach, threads=1)


def _figures(photos: Sequence[Composed], *, lookup: Lookup, rounds: int, points: bool) -> list[tuple[str, ...]]:
    """A row for each form."""
    seen: dict[str, list[tuple[Composed, Seen]]] = {}
    spent = {}
    for form in (*FORMS, OTHERS):
        own = [photo for photo in photos if photo.form == form]
        start = time.process_time()
        found = list(lookup.see(Listing(str(at), (photo.data,)) for at, photo in enumerate(own)))
        spent[form] = 1000 * (time.process_time() - start) / len(own)
        seen[form] = list(zip(own, found, strict=True))
    unrelated = [one.photos[0].matches[0].similarity for _, one in seen[OTHERS]]
    threshold = float(np.quantile(unrelated, 1 - _HIT))
    rows: list[tuple[str, ...]] = []
    for form, pairs in seen.items():
        counts = [_found(photo.shown, one.photos[0], threshold) for photo, one in pairs]
        views = np.mean([1 + len(one.embedded[0].parts) for _, one in pairs])
        shares = ("",) * 3 if form == OTHERS else tuple(_share(counts, column, rounds) for column in (1, 2, 3))
        row = (form, str(lookup.reach.parts), *shares[:2], f"{views:.1f}", f"{spent[form]:.1f}")
        rows.append((*row, shares[2], f"{np.mean([wrong for *_, wrong in counts]):.2f}") if points else row)
    return rows


def _found(shown: frozenset[str], photo: PhotoMatches, threshold: float) -> tuple[int, int, int, int, int]:
    """How many references the photo shows, and of those has matched, above the threshold, and confirmed; wrong ones."""
    kept = photo.matches[:MOST_MATCHES]
    right = [match for match in kept if match.reference.id in shown]
    confirmed = sum(match.agrees for match in right)
    wrong = sum(match.agrees for match in kept) - confirmed
    return len(shown), len(right), sum(match.similarity > threshold for match in right), confirmed, wrong


def _share(found: Sequence[tuple[int, ...]], column: int, rounds: int) -> str:
    """The share of the references shown, with the ends of its 95 % interval."""
    counts = np.array(found)
    drawn = np.random.default_rng(0).integers(0, len(counts), (rounds, len(counts)))
    shares = counts[drawn, column].sum(axis=1) / counts[drawn, 0].sum(axis=1)
    low, high = np.quantile(shares, (0.025, 0.975))
    return f"{counts[:, column].sum() / counts[:, 0].sum():.3f} ({low:.2f}–{high:.2f})"


if __name__ == "__main__":
    raise SystemExit(main())
