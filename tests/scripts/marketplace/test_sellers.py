"""A market dealt to sellers is the same for the same seed, and its truth matches its listings."""

from __future__ import annotations

import csv
from pathlib import Path

from toy import save_pictures

from lookalike.scripts.marketplace.sellers import main


def market(folder: Path) -> Path:
    """A folder like a rendered marketplace, with pictures of random colours."""
    kinds = ["packshot"] * 4 + ["imitation"] * 24 + ["photo"] * 4
    paths = save_pictures(folder / "images", len(kinds))
    lines = [
        f"images/{path.name},p{k % 4},Brand,can,{kind}" for k, (path, kind) in enumerate(zip(paths, kinds, strict=True))
    ]
    (folder / "pictures.csv").write_text("image,product_id,brand,form,kind\n" + "\n".join(lines))
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_deals_rings_that_share_photos_and_honest_sellers_with_the_brands(tmp_path: Path) -> None:
    data = market(tmp_path / "market")
    assert main([str(data), str(tmp_path / "a"), "--seed", "3", "--rings", "2"]) == 0
    assert main([str(data), str(tmp_path / "b"), "--seed", "3", "--rings", "2"]) == 0
    listings, sellers = rows(tmp_path / "a" / "listings.csv"), rows(tmp_path / "a" / "sellers.csv")
    assert sellers == rows(tmp_path / "b" / "sellers.csv")
    assert [row["price"] for row in listings] == [row["price"] for row in rows(tmp_path / "b" / "listings.csv")]
    truth = {row["seller_id"]: row for row in sellers}
    assert len(truth) == len(sellers)
    assert {row["kind"] for row in sellers} == {"ring", "lone", "honest", "private"}
    shown = {"ring": "imitation", "lone": "imitation", "honest": "packshot", "private": "photo"}
    assert all(row["truth"] == shown[truth[row["seller_id"]]["kind"]] for row in listings)
    assert all(Path(row["image"]).is_file() for row in listings)
    assert len({row["ring"] for row in sellers if row["kind"] == "ring"}) == 2
    lone = {row["image"] for row in listings if truth[row["seller_id"]]["kind"] == "lone"}
    ring = {row["image"] for row in listings if truth[row["seller_id"]]["kind"] == "ring"}
    assert lone and ring and not lone & ring
    assert len(rows(tmp_path / "a" / "references.csv")) == 4
