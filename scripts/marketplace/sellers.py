"""Deal a rendered marketplace's photos to sellers: rings that share photos, and honest sellers that don't.

DATA is a folder that scripts/marketplace/render.py wrote. Writes OUT/references.csv (the packshots), OUT/listings.csv
(with seller, territory, price, currency, title, phone), OUT/images (reposted photos with an edit) and OUT/sellers.csv,
the truth: what each seller is, and its ring. Rings sell imitations and repost each other's photos, unchanged or with
one light edit. Lone sellers sell imitations with their own photos, often of the same goods as a ring. Honest resellers
show the brand's packshots: unchanged, with an edit of their own, or as a wholesaler edited them for several resellers.
Private sellers show their own photos of genuine goods. The same seed gives the same market.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from lookalike.scripts.marketplace.photos import write_table
from lookalike.scripts.training.edits import edit

LIGHT = ("mirror", "text", "recolour", "blur", "noise", "recompress", "screenshot", "sticker", "crop")
PLACES = (("DE", "EUR"), ("FR", "EUR"), ("GB", "GBP"), ("US", "USD"), ("PL", "PLN"), ("BR", "BRL"), ("JP", "JPY"))
_RATES = {"EUR": 1.0, "GBP": 0.86, "USD": 1.09, "PLN": 4.3, "BRL": 5.9, "JPY": 163.0}
_SHARED_AS_IT_IS = 0.3
_CALL_CENTRE = "+44 20 0000 0000"
_QUALITY = 90


@dataclass
class Dealer:
    """Hands out photos and records who lists what."""

    data: Path
    out: Path
    rng: np.random.Generator
    listings: list[dict[str, object]] = field(default_factory=list)
    sellers: list[dict[str, str]] = field(default_factory=list)

    def seller(self, kind: str, ring: str = "", phone: str = "") -> dict[str, str]:
        """Add a seller, of a ring or of none."""
        territory, currency = PLACES[int(self.rng.integers(len(PLACES)))]
        number = int(self.rng.integers(10**8))
        seller = {"seller_id": f"s{len(self.sellers):03}-{number % 977:03}", "kind": kind, "ring": ring,
                  "territory": territory, "currency": currency,
                  "phone": phone or f"+{number % 90 + 10} {number:08}"}  # fmt: skip
        self.sellers.append(seller)
        return seller

    def list(self, seller: dict[str, str], row: dict[str, str], image: str, *, worth: float) -> None:
        """Add a listing of this photo."""
        price = worth * self.rng.uniform(0.8, 1.25) * _RATES[seller["currency"]]
        number = len(self.listings)
        self.listings.append({
            **{name: seller[name] for name in ("seller_id", "territory", "currency", "phone")},
            "listing_id": f"L{number:04}", "image": image,
            "price": f"{price:.0f}" if seller["currency"] == "JPY" else f"{price:.2f}",
            "title": f"{row['brand']} {row['form']} {number % 7}", "url": f"https://market.example.com/item/{number}",
            "truth": row["kind"],
        })  # fmt: skip

    def original(self, row: dict[str, str]) -> str:
        """The path of the unchanged photo."""
        return str((self.data / row["image"]).resolve())

    def repost(self, row: dict[str, str], others: Sequence[np.ndarray], *, name: str = "") -> str:
        """Save the photo with one light edit, and return its path."""
        with Image.open(self.data / row["image"]) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        edited = edit(pixels, [str(self.rng.choice(LIGHT))], self.rng, others=others)
        path = self.out / "images" / f"{name or f'repost-{len(self.listings):04}'}.jpg"
        Image.fromarray(edited).save(path, quality=_QUALITY)
        return str(path.resolve())


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of a rendered marketplace")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rings", type=int, default=8)
    arguments = parser.parse_args(argv)
    deal(arguments.data, arguments.out, seed=arguments.seed, rings=arguments.rings)
    return 0


def deal(data: Path, out: Path, *, seed: int, rings: int) -> None:
    """Write the tables and pictures. Imitations go to the rings first, then to lone sellers."""
    (out / "images").mkdir(parents=True, exist_ok=True)
    with open(data / "pictures.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rng = np.random.default_rng(seed)
    kinds = {kind: [row for row in rows if row["kind"] == kind] for kind in ("packshot", "photo", "imitation")}
    for photos in kinds.values():
        rng.shuffle(photos)
    dealer = Dealer(data, out, rng)
    others = [np.asarray(Image.open(data / row["image"]).convert("RGB")) for row in kinds["packshot"][:12]]
    imitations = iter(kinds["imitation"])
    for number in range(rings):
        _ring(dealer, [next(imitations) for _ in range(int(rng.integers(3, 8)))], others, f"R{number}")
    for row in kinds["imitation"][-len(kinds["imitation"]) // 3 :]:
        if row in kinds["imitation"][rings * 7 :]:
            dealer.list(dealer.seller("lone"), row, dealer.original(row), worth=20)
    _honest(dealer, kinds["packshot"], others)
    for row in kinds["photo"][: len(kinds["photo"]) // 2]:
        dealer.list(dealer.seller("private"), row, dealer.original(row), worth=30)
    _write(dealer, kinds["packshot"])


def _ring(dealer: Dealer, photos: Sequence[dict[str, str]], others: Sequence[np.ndarray], ring: str) -> None:
    """Three to six sellers. Each photo is posted by its owner and one or two others, and each seller shares one."""
    rng = dealer.rng
    members = [dealer.seller("ring", ring) for _ in range(int(rng.integers(3, 7)))]
    if len(members) > 3:  # some rings also share a phone number
        members[1]["phone"] = members[0]["phone"]
    for number in range(max(len(photos), len(members))):
        row, owner = photos[number % len(photos)], members[number % len(members)]
        dealer.list(owner, row, dealer.original(row), worth=25)
        for step in range(1, int(rng.integers(2, 4))):
            copyist = members[(number + step) % len(members)]
            as_it_is = rng.random() < _SHARED_AS_IT_IS
            dealer.list(copyist, row, dealer.original(row) if as_it_is else dealer.repost(row, others), worth=25)


def _honest(dealer: Dealer, packshots: Sequence[dict[str, str]], others: Sequence[np.ndarray]) -> None:
    """Resellers with the brand's packshot: unchanged, with an edit of their own, or with a wholesaler's edit."""
    for number, row in enumerate(packshots[:20]):
        edited = dealer.repost(row, others, name=f"wholesale-{number:02}")
        for image in (dealer.original(row), dealer.original(row), edited, edited, None, None):
            seller = dealer.seller("honest", phone=_CALL_CENTRE if number < 8 else "")
            dealer.list(seller, row, image or dealer.repost(row, others), worth=40)


def _write(dealer: Dealer, packshots: Sequence[dict[str, str]]) -> None:
    """Write the three tables, with the listings shuffled."""
    references: list[dict[str, object]] = [
        {
            "reference_id": Path(row["image"]).stem,
            "image": dealer.original(row),
            "product_id": row["product_id"],
            "brand": row["brand"],
        }
        for row in packshots
    ]
    order = dealer.rng.permutation(len(dealer.listings)).tolist()
    listings = [dealer.listings[at] for at in order]
    write_table(dealer.out / "references.csv", list(references[0]), references)
    write_table(dealer.out / "listings.csv", list(listings[0]), listings)
    truth: list[dict[str, object]] = [
        {name: seller[name] for name in ("seller_id", "kind", "ring")} for seller in dealer.sellers
    ]
    write_table(dealer.out / "sellers.csv", list(truth[0]), truth)


if __name__ == "__main__":
    raise SystemExit(main())
