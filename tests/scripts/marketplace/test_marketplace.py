"""The rendered marketplace: brands and products, the pictures planned, and the tables written with them."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from lookalike.scripts.marketplace import photos, print_labels
from lookalike.scripts.marketplace.brands import brand, imitation, misspelt, products, rng_of, variant
from lookalike.scripts.marketplace.goods import FLAVOURS, GOODS, PEERS, SECTORS
from lookalike.scripts.marketplace.plan import FORMS, plan
from lookalike.scripts.marketplace.render import main
from lookalike.scripts.marketplace.sample import sample_plan, write_sample
from lookalike.scripts.training.edits import EDITS
from lookalike.tables.inputs import read_listings, read_references

SEED = 7


def test_every_form_has_goods_and_every_peer_is_a_form() -> None:
    assert set(FORMS) <= set(GOODS)
    assert {peer for peers in PEERS.values() for peer in peers} <= set(FORMS)
    assert set(FLAVOURS) == set(FORMS)


def test_no_brand_and_no_label_design_is_in_two_splits() -> None:
    seen: dict[object, str] = {}
    for number in range(1500):
        made = brand(number, seed=SEED)
        for key in (made.name, (made.style.font, made.style.layout, made.style.pattern)):
            assert seen.setdefault(key, made.split) == made.split


def test_imitations_keep_less_with_every_step() -> None:
    styles = {(b.style.font, b.style.layout) for b in (brand(n, seed=SEED) for n in range(3000)) if b.split == "test"}
    for product in islice(products("test", seed=SEED), 40):
        rng = rng_of(SEED, product.id)
        steps = [imitation(product, step, rng, seed=SEED) for step in (1, 2, 3, 4, 5)]
        own, first = product.design, steps[0].design.name
        assert len(first) == len(own.name) and sum(a != b for a, b in zip(first, own.name, strict=True)) == 1
        names = [thing.design.name for thing in steps[1:]]
        assert own.name not in names and all(sum(a != b for a, b in zip(n, own.name, strict=False)) > 1 for n in names)
        assert [thing.design.palette == own.palette for thing in steps] == [True, True, False, False, False]
        assert [(thing.form, thing.shape) == (product.form, product.shape) for thing in steps] == [True] * 3 + [
            False
        ] * 2
        assert all(thing.design.pattern == own.pattern for thing in steps)
        assert [thing.design.layout == own.layout for thing in steps[:4]] == [True] * 4
        last = steps[4].design
        assert (last.font, last.layout) in styles


def test_a_variant_is_of_the_same_brand_in_other_colours_and_another_flavour() -> None:
    for product in islice(products("train", seed=SEED), 40):
        other = variant(product, rng_of(SEED, "variant", product.id))
        assert (other.brand, other.form, other.shape) == (product.brand, product.form, product.shape)
        assert other.design.flavour != product.design.flavour
        assert other.design.palette != product.design.palette


def test_a_misspelt_name_differs_in_one_letter_never_the_first() -> None:
    for seed in range(30):
        wrong = misspelt("Quorlith", np.random.default_rng(seed))
        assert wrong[0] == "Q" and sum(a != b for a, b in zip(wrong, "Quorlith", strict=True)) == 1


def test_a_plan_is_the_same_for_a_seed_and_a_longer_one_starts_with_the_same_products() -> None:
    first, again, longer = (list(plan("test", count, seed=SEED)) for count in (5, 5, 9))
    assert first == again
    assert {shot.product_id for shot in first if shot.kind == "packshot"} < {shot.product_id for shot in longer}
    assert len({shot.name for shot in longer}) == len(longer)


def test_products_of_one_brand_are_photographed_in_different_places() -> None:
    shots = [shot for shot in plan("train", 40, seed=SEED) if shot.kind == "photo"]
    assert len({shot.seed for shot in shots}) == len(shots)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_product_has_the_pictures_that_the_benchmark_needs(split: str) -> None:
    shots = list(plan(split, 17, seed=SEED))
    kinds = {shot.kind for shot in shots}
    assert kinds >= {"packshot", "photo", "variant"}
    if split == "train":
        assert len(shots) == 11 * 17
        assert {shot.step for shot in shots if shot.kind == "imitation"} == {"3", "4", "5"}
        return
    assert {shot.step for shot in shots if shot.kind == "imitation"} == {"1", "2", "3", "4", "5"}
    before: set[str] = set()
    for shot in shots:
        assert not shot.edits or (shot.source in before and set(shot.edits) <= set(EDITS))
        before.add(shot.name)
    rivals = [shot for shot in shots if shot.kind == "other"]
    genuine = {shot.product_id for shot in shots if shot.kind == "packshot"}
    assert rivals and all(shot.product_id not in genuine for shot in rivals)


def test_the_sample_has_forty_genuine_photos_and_sixty_listings(tmp_path: Path) -> None:
    shots = list(sample_plan(seed=SEED))
    write_sample(tmp_path, shots, seed=SEED)
    references, listings = (
        list(read_references(tmp_path / "references.csv")),
        list(read_listings(tmp_path / "listings.csv")),
    )
    assert (len(references), len(listings)) == (40, 60)
    assert sum(len(listing.images) for listing in listings) == 64
    assert all(listing.seller and listing.territory and listing.price for listing in listings)
    assert {sector for sector, forms in SECTORS.items() if {shot.thing.form for shot in shots} & set(forms)} == set(
        SECTORS
    )


def test_an_outline_is_that_of_the_projected_triangles() -> None:
    corners = np.array([[0.25, 0.25], [0.75, 0.25], [0.75, 0.5], [0.25, 0.5]])
    outline = json.loads(photos.outline_of(corners, np.array([[0, 1, 2], [0, 2, 3]])))
    area = cv2.contourArea(np.array(outline, np.float32))
    assert area == pytest.approx(0.125, rel=0.03)
    assert np.min(outline) == pytest.approx(0.25, abs=0.01)
    assert photos.outline_of(np.zeros((0, 2)), np.zeros((0, 3), np.int64)) == "[]"


def test_a_phone_s_photo_is_the_same_scene_with_noise() -> None:
    ramp = np.tile(np.linspace(40, 200, 96).astype(np.uint8)[None, :, None], (96, 1, 3))
    taken = photos.phone(ramp, np.random.default_rng(3))
    assert taken.shape == ramp.shape and taken.dtype == np.uint8
    assert np.corrcoef(taken.ravel(), ramp.ravel())[0, 1] > 0.95
    assert taken[:, 40].astype(float).std() > 0.5


def test_rows_of_pictures_survive_being_written_and_read(tmp_path: Path) -> None:
    made = photos.Picture("", "p", "B", "can", "photo", "", "crop+text", "front", "[[0,1]]", "", "test", 0)
    rows = [replace(made, image=f"images/{k}.jpg", seed=k) for k in range(3)]
    for row in rows:
        photos.append_picture(tmp_path / "pictures.csv", row)
    with open(tmp_path / "pictures.csv", "a", encoding="utf-8") as file:
        file.write("images/3.jpg,p,B")  # a row cut off by a kill
    assert list(photos.read_pictures(tmp_path / "pictures.csv").values()) == rows
    photos.write_pictures(tmp_path / "pictures.csv", rows[:1])
    assert list(photos.read_pictures(tmp_path / "pictures.csv")) == ["images/0.jpg"]


def test_a_contact_sheet_shows_pictures_of_any_shape_in_their_order(tmp_path: Path) -> None:
    for name, colour, size in (("a.jpg", 250, (40, 80)), ("b.jpg", 10, (80, 40)), ("c.jpg", 130, (64, 64))):
        photos.save_jpeg(tmp_path / name, np.full((*size, 3), colour, np.uint8), quality=90)
    sheet = photos.contact_sheet(tmp_path, ["a.jpg", "b.jpg", "c.jpg"], columns=2, cell=32)
    assert sheet.shape == (64, 64, 3)
    assert [int(sheet[y, x, 0]) for y, x in ((8, 8), (8, 38), (40, 8), (40, 40))] == pytest.approx(
        [250, 10, 130, 90], abs=3
    )


def test_says_in_one_line_which_extra_renders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for package, call in (("bpy", lambda: main(["--split", "test", "--out", str(tmp_path)])),
                          ("skia", lambda: print_labels.main(["--out", str(tmp_path)]))):  # fmt: skip
        monkeypatch.setitem(sys.modules, package, None)
        assert call() == 2
        text = capsys.readouterr().err
        assert text.count("\n") == 1 and "lookalike[render]" in text
