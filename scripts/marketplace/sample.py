"""The demo's marketplace: its pictures, and tables like those of a brand owner and a scraper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lookalike.scripts.marketplace.brands import Product, imitation, products, rng_of, variant
from lookalike.scripts.marketplace.photos import write_table
from lookalike.scripts.marketplace.plan import Shot, choose, edited, room_or_flat

PRODUCTS = 18
_STEPS = (1, 2, 3, 4, 5, 1, 2, 3, 1, 2, 4, 3, 5, 1)
_EDITS = (
    ("crop",), ("mirror",), ("text",), ("background",), ("recolour",), ("screenshot",), ("rotate",), ("sticker",),
    ("perspective",), ("crop", "text", "recompress"), ("mirror", "sticker"), ("collage",), ("recolour", "recompress"),
    ("rephoto",), ("crop", "mirror"), ("background", "blur"),
)  # fmt: skip
_SELLERS = (
    "sunny_deals_88", "outlet4u", "marta.k", "kellerfund", "bargain-barn", "vintage_vera", "nordlicht24", "jpm_trade",
    "best4less", "la_petite_boutique", "mk-import", "attic.finds", "shop1189", "greenstreet_goods", "pawel_77",
    "brand-discounter",
)  # fmt: skip
_PLACES = (
    ("DE", "EUR"),
    ("FR", "EUR"),
    ("GB", "GBP"),
    ("US", "USD"),
    ("PL", "PLN"),
    ("IT", "EUR"),
    ("NL", "EUR"),
    ("ES", "EUR"),
)
_RATES = {"EUR": 1.0, "GBP": 0.86, "USD": 1.09, "PLN": 4.3}
_PRICES = {
    "carton": 4, "pouch": 6, "jar": 5, "tin": 9, "sauce": 8, "can": 2, "gable": 3, "mug": 16, "bottle": 7, "pot": 24,
    "tube": 9, "flacon": 62, "candle": 21, "handbag": 240, "trainer": 110, "watch": 320, "shoebox": 95,
}  # fmt: skip
_TITLES = {
    "edited": (
        "{brand} {good} {flavour} NEW",
        "{brand} {good} - original, sealed",
        "{good} by {brand}, fast shipping",
        "*** {brand} {good} *** best price",
    ),
    "photo": (
        "{brand} {good} {flavour}, unopened",
        "{brand} {good}, private sale",
        "Selling my {brand} {good}",
        "{brand} {good} {flavour} (gift, not used)",
    ),
    "imitation": (
        "{name} {good} {flavour}",
        "{good} {flavour} - top quality, like {brand}",
        "{name} {good}, lowest price",
        "{good} 1:1 premium {flavour} free shipping",
    ),
    "variant": ("{brand} {good} {flavour}", "{brand} {good} in {flavour}, new"),
    "unrelated": ("{name} {good} {flavour}", "{name} {good}, new", "{good} {name}"),
}


def sample_plan(*, seed: int) -> Iterator[Shot]:
    """The sample's shots: packshots, then the listings' photos, named listing-NN-K in order."""
    chosen = choose("sample", PRODUCTS, seed=seed)
    rng = rng_of(seed, "sample")
    packshots: list[Shot] = []
    for k, product in enumerate(chosen):
        views = ("front", "right" if k % 2 else "left", "high")[: 3 if k % 5 == 0 else 2]
        packshots += [
            _shot(f"{product.id}-{view}", product, product.id, "packshot", view, "studio", rng) for view in views
        ]
    yield from packshots
    listings = [
        *_copies(packshots, rng),
        *_private(chosen, rng),
        *_fakes(chosen, rng, seed=seed),
        *_variants(chosen, rng),
        *_unrelated(chosen, rng, seed=seed),
    ]
    order = rng.permutation(len(listings))
    for number, at in enumerate(order.tolist(), 1):
        for k, shot in enumerate(listings[at], 1):
            yield replace(shot, name=f"listing-{number:02d}-{k}")


def _shot(
    name: str, thing: Product, of: str, kind: str, view: str, setting: str, rng: np.random.Generator, step: str = ""
) -> Shot:
    return Shot(name, thing, of, kind, view, setting, int(rng.integers(2**31)), step)


def _copies(packshots: Sequence[Shot], rng: np.random.Generator) -> list[list[Shot]]:
    found = []
    for names, at in zip(_EDITS, rng.permutation(len(packshots)).tolist(), strict=False):
        found.append([replace(edited(packshots[at], "", rng), edits=names)])
    return found


def _private(chosen: Sequence[Product], rng: np.random.Generator) -> list[list[Shot]]:
    found = []
    for k, at in enumerate(rng.permutation(len(chosen)).tolist()[:14]):
        product, views = chosen[at], ("front", "left")[: 2 if k < 4 else 1]
        found.append([_shot("", product, product.id, "photo", view, room_or_flat(product, rng), rng) for view in views])
    return found


def _fakes(chosen: Sequence[Product], rng: np.random.Generator, *, seed: int) -> list[list[Shot]]:
    found = []
    for step, at in zip(_STEPS, rng.permutation(len(chosen)).tolist(), strict=False):
        thing, setting = imitation(chosen[at], step, rng, seed=seed), str(rng.choice(["studio", "studio", "room"]))
        found.append([_shot("", thing, chosen[at].id, "imitation", _view(rng), setting, rng, str(step))])
    return found


def _variants(chosen: Sequence[Product], rng: np.random.Generator) -> list[list[Shot]]:
    return [
        [_shot("", variant(chosen[at], rng), chosen[at].id, "variant", _view(rng), "studio", rng)]
        for at in rng.permutation(len(chosen)).tolist()[:5]
    ]


def _unrelated(chosen: Sequence[Product], rng: np.random.Generator, *, seed: int) -> list[list[Shot]]:
    """Other brands' products, each of another form."""
    brands, found, forms = {product.brand for product in chosen}, [], set()
    for product in products("sample", seed=seed):
        if product.brand in brands or product.form in forms:
            continue
        forms.add(product.form)
        found.append([_shot("", product, "", "other", _view(rng), str(rng.choice(["studio", "room"])), rng)])
        if len(found) == 11:
            return found
    return found


def _view(rng: np.random.Generator) -> str:
    return str(rng.choice(["front", "left", "right"]))


def write_sample(out: Path, shots: Sequence[Shot], *, seed: int) -> None:
    """Write references.csv, listings.csv and README.md for those shots."""
    packshots = [shot for shot in shots if shot.kind == "packshot"]
    write_table(out / "references.csv", ("reference_id", "image", "product_id", "brand", "view"), [
        {"reference_id": shot.name, "image": f"images/{shot.name}.jpg", "product_id": shot.product_id,
         "brand": shot.thing.brand, "view": shot.view} for shot in packshots])  # fmt: skip
    groups: dict[str, list[Shot]] = {}
    for shot in shots:
        if shot.kind != "packshot":
            groups.setdefault(shot.name.rsplit("-", 1)[0], []).append(shot)
    rows = [row for name, group in groups.items() for row in _rows(name, group, rng_of(seed, name))]
    write_table(out / "listings.csv", list(rows[0]), rows)
    (out / "README.md").write_text(
        README.format(references=len(packshots), products=PRODUCTS, listings=len(groups), seed=seed), encoding="utf-8"
    )


def _rows(name: str, group: Sequence[Shot], rng: np.random.Generator) -> list[dict[str, object]]:
    shot = group[0]
    truth = "unrelated" if shot.kind == "other" else shot.kind
    design, number = shot.thing.design, name.removeprefix("listing-")
    territory, currency = _PLACES[int(rng.integers(len(_PLACES)))]
    price = _PRICES[shot.thing.form] * rng.uniform(0.85, 1.2) * _RATES[currency]
    if truth in ("edited", "imitation"):
        price *= rng.uniform(0.35, 0.7)
    words = {"brand": shot.thing.brand, "name": design.name, "good": design.good, "flavour": design.flavour}
    title = str(rng.choice(_TITLES[truth])).format(**words)
    seller = str(rng.choice(_SELLERS))
    host = str(rng.choice(["market.example.com", "shop.example.org"]))
    return [
        {"listing_id": f"L{number}", "image": f"images/{photo.name}.jpg", "seller_id": seller, "territory": territory,
         "price": f"{price:.2f}", "currency": currency, "title": " ".join(title.split()),
         "url": f"https://{host}/item/{int(number) * 7919 + 10**6}", "truth": truth,
         "truth_product": "" if truth == "unrelated" else photo.product_id}
        for photo in group
    ]  # fmt: skip


README = """# The demo's marketplace

{references} genuine photos of {products} products and {listings} listings: edited copies of those photos, other
photos of the same products, imitations in five steps (from one letter of the name changed to only the pattern kept),
other flavours of the genuine goods, and unrelated goods of other brands. In `listings.csv`, `truth` says which
sort a listing is, and `truth_product` which product it shows or imitates.

All pictures are rendered. Brands, products, sellers, prices and addresses are fictional; any likeness to real ones is
unintended. Licence: Apache-2.0, like the project. To render them again:

    pip install 'lookalike[render]'        # Python 3.11
    python scripts/marketplace/render.py --split sample --seed {seed} --samples 12 --out DIR
"""
