"""Which pictures a split has: packshots, photos, edits and imitations of each product, and rivals' products."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from lookalike.scripts.marketplace.brands import Product, imitation, products, rng_of, variant
from lookalike.scripts.marketplace.goods import SECTORS

FORMS = tuple(sorted({form for forms in SECTORS.values() for form in forms}))
PACKSHOTS = ("front", "left", "right", "high")
ROUND = frozenset(("can", "jar", "pot", "tin", "bottle", "sauce", "candle", "mug"))
FLAT = frozenset(("pouch", "tube", "carton", "watch"))


@dataclass(frozen=True)
class Shot:
    """A picture to make of `thing`, filed under `product_id`; one with `edits` is made from the picture `source`."""

    name: str
    thing: Product
    product_id: str
    kind: str
    view: str
    setting: str
    seed: int
    step: str = ""
    source: str = ""
    edits: tuple[str, ...] = ()


@dataclass(frozen=True)
class Amounts:
    """How many pictures of each kind a product has."""

    packshots: int = 2
    photos: int = 2
    steps: tuple[int, ...] = (1, 2, 3, 4, 5)
    variants: int = 1
    others: int = 1
    edits: int = 4


# training draws new edits in every epoch, and learns most from seeing one product in many places; imitations that
# change no more than the name teach nothing about the look
AMOUNTS = {"train": Amounts(packshots=2, photos=5, steps=(3, 4, 5), others=0, edits=0)}


def choose(split: str, count: int, *, seed: int) -> list[Product]:
    """The first products of a split, spread evenly over the forms."""
    chosen: list[Product] = []
    forms: Counter[str] = Counter()
    for product in products(split, seed=seed):
        if len(chosen) == count:
            break
        if forms[product.form] <= len(chosen) // len(FORMS) and all(product.id != other.id for other in chosen):
            chosen.append(product)
            forms[product.form] += 1
    return chosen


def plan(split: str, count: int, *, seed: int, amounts: Amounts | None = None) -> Iterator[Shot]:
    """The shots of a split's first `count` products; the source of a picture comes before it."""
    chosen = choose(split, count, seed=seed)
    rest = (product for product in products(split, seed=seed) if all(product.id != own.id for own in chosen))
    others: dict[str, list[Product]] = {}
    for product in islice(rest, 12 * count):
        others.setdefault(product.form, []).append(product)
    for number, product in enumerate(chosen):
        yield from shots(product, number, others, seed=seed, amounts=amounts or AMOUNTS.get(split, Amounts()))


def shots(
    product: Product, number: int, others: dict[str, list[Product]], *, seed: int, amounts: Amounts
) -> Iterator[Shot]:
    """The pictures of one product."""
    rng = rng_of(seed, "shots", product.id)

    def draw() -> int:
        return int(rng.integers(2**31))

    def shot(name: str, thing: Product, kind: str, *, view: str = "", setting: str = "", step: str = "") -> Shot:
        setting = setting or ("studio" if rng.random() < 0.5 else room_or_flat(thing, rng))
        view = view or str(rng.choice(["front", "left", "right", "high"]))
        return Shot(f"{product.id}-{name}", thing, product.id, kind, view, setting, draw(), step)

    packshots = [
        shot(f"{view}", product, "packshot", view=view, setting="studio") for view in PACKSHOTS[: amounts.packshots]
    ]
    yield from packshots
    for k in range(amounts.photos):
        yield shot(f"photo-{k + 1}", product, "photo", setting=room_or_flat(product, rng))
    for step in amounts.steps:
        fake = imitation(product, step, rng, seed=seed)
        yield shot(f"imitation-{step}", fake, "imitation", step=str(step))
    for k in range(amounts.variants):
        yield shot(f"variant-{k + 1}", variant(product, rng), "variant")
    rivals = [rival for rival in others.get(product.form, []) if rival.brand != product.brand]
    for k in range(min(amounts.others, len(rivals))):
        rival = rivals[(number + k) % len(rivals)]
        yield Shot(
            f"{product.id}-other-{k + 1}", rival, rival.id, "other", "front" if k % 2 else "left", "studio", draw()
        )
    for k in range(amounts.edits):
        yield edited(packshots[int(rng.integers(len(packshots)))], f"{product.id}-edited-{k + 1}", rng)


def edited(source: Shot, name: str, rng: np.random.Generator) -> Shot:
    """A copy of this picture with one to three edits."""
    from lookalike.scripts.training.edits import random_edits

    names = tuple(random_edits(rng, most=3))
    return Shot(name, source.thing, source.product_id, "edited", source.view, "edit", int(rng.integers(2**31)), "",
                source.name, names)  # fmt: skip


def room_or_flat(thing: Product, rng: np.random.Generator) -> str:
    """Where a private photo is taken: in a room, or from above with the thing on its back."""
    return "flat" if thing.form in FLAT and rng.random() < 0.35 else "room"
