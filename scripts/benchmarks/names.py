"""Measure how well names on labels are read: genuine ones, ones with one letter changed, and other names.

Either with pictures that scripts/marketplace/render.py made (--market FOLDER: edited copies and other photos of the
genuine goods, and imitations of steps 1 and 2), each beside its product's packshots; or with labels printed flat
(--products NUMBER, no Blender needed), each photographed by drawn edits, once more with a sticker over the name.
Prints a table of truth against answer, with
exact 95 % intervals. With --pictures FOLDER, also writes the evidence picture of every pair that is not read right.

Labels of the train split were used to choose the thresholds in lookalike/evidence/label_names.py.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops

from lookalike.binomial import Share
from lookalike.errors import TableError
from lookalike.evidence.explain import explain_pair
from lookalike.evidence.label_names import NameReader
from lookalike.scripts.benchmarks.harness import one_line_errors
from lookalike.scripts.timing import show_table
from lookalike.tables.names import ANSWERS, NameReading

EDITS = ("perspective", "rephoto", "recolour", "blur", "noise", "recompress", "background")
"""How labels are photographed; none of these hides a part of the name."""

TRUTHS = {"genuine": "same", "step 1": "one letter off", "step 2": "another name", "covered": "covered"}


class Pair(NamedTuple):
    """Two photos of labels, what the second one shows (one of TRUTHS), the brand, and the name that is printed."""

    truth: str
    brand: str
    printed: str
    genuine: Image.Image
    listed: Image.Image


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--market", type=Path, help="folder of rendered pictures with pictures.csv")
    parser.add_argument("--products", type=int, help="print the labels of so many products instead")
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test")
    parser.add_argument("--side", type=int, default=384, help="longer side of printed labels in pixels (default 384)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--most", type=int, help="only so many pairs of the market, drawn by the seed")
    parser.add_argument("--pictures", type=Path, help="folder for the evidence of pairs that are not read right")
    arguments = parser.parse_args(argv)
    if (arguments.market is None) == (arguments.products is None):
        raise TableError("name pictures with --market FOLDER, or have labels printed with --products NUMBER")
    pairs = _rendered(arguments) if arguments.market else _printed(arguments)
    names, seconds = NameReader(), 0.0
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    aligned: Counter[tuple[str, bool]] = Counter()
    for number, pair in enumerate(pairs):
        start = time.perf_counter()
        explained = explain_pair(pair.genuine, pair.listed, names=names, brand=pair.brand)
        seconds += time.perf_counter() - start
        reading = explained.name
        assert reading is not None
        found[pair.truth][reading.answer] += 1
        aligned[pair.truth, explained.verification is not None] += 1
        if arguments.pictures and reading.answer != TRUTHS[pair.truth]:
            _keep(
                arguments.pictures / f"{number:04d}-{pair.truth}.png".replace(" ", "-"),
                pair,
                reading,
                explained.picture,
            )
    _show(found)
    for truth in found:
        print(f"{truth}: points match in {aligned[truth, True]} of {sum(found[truth].values())} pairs")
    print(f"{1000 * seconds / max(1, aligned.total()):.0f} ms a pair, with its evidence picture")
    return 0


def _show(found: dict[str, Counter[str]]) -> None:
    rows = []
    for truth in (truth for truth in TRUTHS if truth in found):
        total = found[truth].total()
        shares = [Share.of(found[truth][answer], total) for answer in ANSWERS]
        rows.append((truth, str(total), *(f"{s.count} ({s.value:.2f}; {s.low:.2f}–{s.high:.2f})" for s in shares)))
    show_table(("printed", "pairs", *ANSWERS), rows)


def _keep(path: Path, pair: Pair, reading: NameReading, picture: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    print(f"{path}: {pair.truth}, printed {pair.printed}: {reading.in_words}")


def _printed(arguments: argparse.Namespace) -> Iterator[Pair]:
    """For each product's label: a photo of it, and one of its imitations of steps 1 and 2."""
    from lookalike.scripts.marketplace.brands import Product, imitation, products, rng_of
    from lookalike.scripts.marketplace.building.press import Press
    from lookalike.scripts.training.edits import edit

    def label(product: Product, ratio: float) -> Image.Image:
        density = round(arguments.side / max(1.0, ratio))
        return Image.fromarray(
            np.ascontiguousarray(np.asarray(Press(product, density=density).front(ratio, 1.0))[..., :3])
        )

    for product in islice(products(arguments.split, seed=arguments.seed), arguments.products):
        rng = rng_of(arguments.seed, "names", product.id)
        ratio = float(rng.uniform(0.6, 1.6))
        things = [product, *(imitation(product, step, rng, seed=arguments.seed) for step in (1, 2)), product]
        printed = [label(thing, ratio) for thing in things]
        _cover(printed[3], printed[2], tuple(rng.integers(0, 256, 3).tolist()))
        for truth, thing, shown in zip(TRUTHS, things, printed, strict=True):
            chosen = [str(name) for name in rng.choice(EDITS, size=int(rng.integers(1, 3)), replace=False)]
            photo = Image.fromarray(edit(np.asarray(shown), chosen, rng))
            yield Pair(truth, product.brand, thing.design.name, printed[0], photo)


def _cover(label: Image.Image, other: Image.Image, colour: tuple[int, ...]) -> None:
    """Paste a sticker over the name: over all that differs from the label with another name."""
    place = ImageChops.difference(label, other).convert("L").point(lambda value: 255 * (value > 16)).getbbox()
    if place is not None:
        label.paste(colour, place)


def _rendered(arguments: argparse.Namespace) -> Iterator[Pair]:
    """Each edited copy, other photo and imitation of steps 1 and 2 beside its product's first packshot."""
    with (arguments.market / "pictures.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    packshots: dict[str, str] = {}
    for row in rows:
        if row["kind"] == "packshot":
            packshots.setdefault(row["product_id"], row["image"])
    brands = {row["product_id"]: row["brand"] for row in rows if row["kind"] == "packshot"}
    shown = [row for row in rows if row["kind"] in ("edited", "photo") or row["step"] in ("1", "2")]
    if arguments.most:
        drawn = np.random.default_rng(arguments.seed).permutation(len(shown))[: arguments.most]
        shown = [shown[at] for at in sorted(drawn.tolist())]
    for row in shown:
        product = row["product_id"] if row["product_id"] in packshots else row["source"]
        if product not in packshots:
            continue
        photos = [Image.open(arguments.market / name).convert("RGB") for name in (packshots[product], row["image"])]
        truth = f"step {row['step']}" if row["kind"] == "imitation" else "genuine"
        yield Pair(truth, brands[product], row["brand"], *photos)


if __name__ == "__main__":
    raise SystemExit(main())
