"""The fictional brands of the rendered marketplace, their products and label designs, and imitations of them.

Brands are numbered from 0 without end. A brand's number determines its split, so no brand is in two splits, and neither
is the combination of typeface, layout and pattern that its labels are made of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256

import numpy as np

from lookalike.scripts.marketplace.colours import Palette, draw_palette
from lookalike.scripts.marketplace.fonts import DISPLAY, SCRIPTS, TEXT
from lookalike.scripts.marketplace.goods import FLAVOURS, GOODS, PEERS, SECTORS, TAGLINES

SPLITS = ("train", "train", "train", "train", "train", "train", "validation", "test", "test", "sample")

PATTERNS = (
    "waves", "stripes", "dots", "checks", "chevron", "scales", "leaves", "terrazzo",
    "hexagons", "argyle", "rays", "arcs", "contours", "blossoms", "plain", "zigzag",
)  # fmt: skip
LAYOUTS = ("band", "badge", "stack", "split", "diagonal", "frame", "upright", "arch")
EMBLEMS = (
    "leaf", "sun", "wave", "peak", "drop", "star", "flower", "bird", "moon", "shell", "bolt", "citrus", "bean",
    "berry", "knot", "fish",
)  # fmt: skip

_FIRST = (
    "Quor", "Bren", "Ovas", "Talv", "Zemb", "Nubr", "Hask", "Dorv", "Yelm", "Plun", "Grav", "Wyx", "Thal",
    "Morv", "Skel", "Jund", "Fenn", "Ulb", "Kwen", "Ostr", "Vrel", "Brax", "Cled", "Drom", "Ekl", "Flom",
    "Gwin", "Hyr", "Ixt", "Jask", "Krun", "Lomb", "Myrt", "Nask", "Orv", "Prux", "Quim", "Rhob", "Snev", "Trog",
    "Umbr", "Vask", "Wend", "Xan", "Ybb", "Zorv", "Aldr", "Brisk", "Chov", "Dwem", "Elph", "Fjor", "Glim",
    "Imbr", "Jolv", "Klef", "Lurn", "Mosk", "Nerv",
)  # fmt: skip
_LAST = (
    "lith", "dune", "ket", "anto", "adel", "ique", "rexa", "olme", "inda", "uvo", "abelle", "orra", "exo",
    "umba", "ello", "ivor", "andle", "owen", "etta", "iska", "oom", "uzzi", "arlo", "enne", "yra", "undo",
    "ilde", "ossa", "amber", "ett", "ola",
)  # fmt: skip
# real names that the parts above make or come too close to
_TAKEN = frozenset((
    "hulkette", "hulkola", "hulkello", "vaskola", "lombetta", "lomboola", "skelett", "umbrella", "umbrello",
    "umbrola", "nervosa", "nervetta", "fennola", "fennel", "morvarlo", "wendy", "wendola", "wendett", "alder",
    "briskett", "briskola", "briskarlo", "brisket", "chovarlo", "glimmer", "gwinnett", "gwinett", "gwinello",
    "imbruvo", "fenneyra", "fjorella", "zembrola", "moskito", "orvola", "klefarlo", "xanadu", "xandle",
    "trogdune", "wendarlo", "moskamber", "moskarlo", "umbramber", "hulkamber", "wendiska", "brendune",
))  # fmt: skip
_ALIKE = dict(
    zip(
        "aeioubcdfghjklmnpqrstvwxyz",
        ["oe", "ao", "ey", "au", "oy", "dp", "eo", "bt", "tr", "qc", "nk", "iy", "xh", "it", "nw", "mr", "bq", "gp",
         "nl", "zc", "fl", "wu", "vm", "kz", "vj", "sx"],
        strict=True,
    )
)  # fmt: skip


@dataclass(frozen=True)
class Design:
    """What a product's label shows; equal designs print the same label."""

    name: str
    good: str
    flavour: str
    tagline: str
    font: str
    text_font: str
    case: str
    layout: str
    pattern: str
    emblem: str
    palette: Palette
    seed: int


@dataclass(frozen=True)
class Product:
    """A thing to photograph: its form, proportions (`shape`, whose lowest bit is the model) and design."""

    id: str
    brand: str
    form: str
    shape: int
    design: Design
    split: str


@dataclass(frozen=True)
class Brand:
    """A fictional brand, with what its labels have in common."""

    number: int
    name: str
    sector: str
    split: str
    style: Design


def rng_of(*key: int | str) -> np.random.Generator:
    """A generator from numbers and words, the same on every machine."""
    words = [
        part if isinstance(part, int) else int.from_bytes(sha256(part.encode()).digest()[:8], "little") for part in key
    ]
    return np.random.default_rng(np.random.SeedSequence(words))


@cache
def _names(seed: int) -> tuple[str, ...]:
    names = [first + last for first in _FIRST for last in _LAST if (first + last).lower() not in _TAKEN]
    order = rng_of(seed, "names").permutation(len(names))
    return tuple(names[i] for i in order)


@cache
def _styles(seed: int) -> tuple[tuple[str, str, str], ...]:
    styles = [(font, layout, pattern) for font in DISPLAY for layout in LAYOUTS for pattern in PATTERNS]
    order = rng_of(seed, "styles").permutation(len(styles))
    return tuple(styles[i] for i in order)


def brand(number: int, *, seed: int) -> Brand:
    """The brand of that number."""
    rng = rng_of(seed, "brand", number)
    names, styles = _names(seed), _styles(seed)
    font, layout, pattern = styles[number % len(styles)]
    sector = list(SECTORS)[int(rng.choice(len(SECTORS)))]
    style = Design(
        name=names[2 * number % len(names)],
        good="",
        flavour="",
        tagline=str(rng.choice(TAGLINES[sector])),
        font=font,
        text_font=str(rng.choice(list(TEXT))),
        case="title" if font in SCRIPTS else str(rng.choice(["upper", "title", "title", "lower"])),
        layout=layout,
        pattern=pattern,
        emblem=str(rng.choice(EMBLEMS)),
        palette=draw_palette(rng),
        seed=int(rng.integers(2**31)),
    )
    return Brand(number, style.name, sector, SPLITS[number % len(SPLITS)], style)


def products(split: str, *, seed: int) -> Iterator[Product]:
    """The endless products of a split, brand after brand, two to four of each."""
    number = 0
    while True:
        maker = brand(number, seed=seed)
        if maker.split == split:
            yield from _range(maker, rng_of(seed, "range", number))
        number += 1


def _range(maker: Brand, rng: np.random.Generator) -> Iterator[Product]:
    """A brand's products: different goods of its sector, in the brand's style and often in a palette of their own."""
    forms = list(SECTORS[maker.sector])
    count = min(len(forms), int(rng.integers(2, 5)))
    for form in rng.permutation(forms)[:count].tolist():
        good = str(rng.choice(GOODS.get(f"{maker.sector} {form}", GOODS[form])))
        palette = maker.style.palette if rng.random() < 0.45 else draw_palette(rng)
        flavour = str(rng.choice(FLAVOURS.get(form, ("",))))
        design = replace(maker.style, good=good, flavour=flavour, palette=palette)
        slug = f"{maker.name}-{good}".lower().replace(" ", "-")
        yield Product(slug, maker.name, form, int(rng.integers(2**31)), design, maker.split)


def variant(product: Product, rng: np.random.Generator) -> Product:
    """The same good by the same brand, in another flavour and colour."""
    flavours = [name for name in FLAVOURS.get(product.form, ("No. 2",)) if name != product.design.flavour]
    palette = product.design.palette.shifted(float(rng.uniform(70, 290)), lighter=float(rng.uniform(-0.1, 0.1)))
    design = replace(product.design, flavour=str(rng.choice(flavours)), palette=palette)
    return replace(product, id=f"{product.id}-variant", design=design)


def imitation(product: Product, step: int, rng: np.random.Generator, *, seed: int) -> Product:
    """An imitation of the product; each step from 1 to 5 keeps less of it than the step before.

    1: one letter of the name changed; 2: the name replaced; 3: also the palette shifted; 4: also the form changed;
    5: only the pattern kept.
    """
    design = product.design
    if step == 1:
        return replace(product, design=replace(design, name=misspelt(design.name, rng)))
    odd = 2 * int(rng.integers(len(_names(seed)) // 2)) + 1  # brands only have names with even numbers
    design = replace(design, name=_names(seed)[odd % len(_names(seed))])
    if step == 2:
        return replace(product, design=design)
    turn = float(rng.choice([-1, 1]) * rng.uniform(35, 75))
    design = replace(design, palette=design.palette.shifted(turn, lighter=float(rng.uniform(-0.06, 0.06))))
    if step == 3:
        return replace(product, design=design)
    form = str(rng.choice(PEERS[product.form])) if product.form in PEERS else product.form
    changed = replace(product, form=form, shape=product.shape ^ 1, design=design)
    if step == 4:
        return changed
    number = len(SPLITS) * int(rng.integers(300)) + SPLITS.index(product.split)  # a brand of the same split
    style = brand(number, seed=seed).style
    design = replace(style, name=design.name, good=str(rng.choice(GOODS[form])), flavour=design.flavour)
    return replace(changed, design=replace(design, pattern=product.design.pattern, seed=product.design.seed))


def misspelt(name: str, rng: np.random.Generator) -> str:
    """The name with one letter, not the first, replaced by one that looks or sounds similar.

    >>> misspelt("Quorlith", np.random.default_rng(0)) == "Quorlith"
    False
    """
    at = int(rng.integers(1, len(name)))
    return name[:at] + str(rng.choice(list(_ALIKE[name[at]]))) + name[at + 1 :]
