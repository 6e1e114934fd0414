"""A reference's picture is found where it was put, the kind is what was done to it, and nothing else is found."""

from __future__ import annotations

import csv
import struct
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

import lookalike
from lookalike.errors import FeaturesError
from lookalike.model.features import MOST_REFERENCE, LocalFeatures, local_features, reference_features
from lookalike.model.images import read_image
from lookalike.model.local import LEAST_INLIERS, find_instances, verify
from lookalike.records import Verification
from lookalike.scripts.training.edits import EDITS, Edit, texture

SAMPLE = Path(lookalike.__file__).parent / "sample"
CARTON, BOTTLE, MUG = "yelmique-ground-coffee-front", "kweniska-olive-oil-front", "yelmique-coffee-mug-front"


@cache
def photo(name: str) -> Image.Image:
    return read_image(SAMPLE / "images" / f"{name}.jpg").image


@cache
def reference(name: str) -> LocalFeatures:
    return reference_features(photo(name))


def check(name: str, listing: Image.Image | NDArray[np.uint8]) -> Verification | None:
    image = listing if isinstance(listing, Image.Image) else Image.fromarray(listing)
    return verify(reference(name), local_features(image))


def edited(name: str, edit: Edit, seed: int = 0) -> Image.Image:
    others = [np.asarray(photo(BOTTLE if name != BOTTLE else MUG))]
    return Image.fromarray(edit(np.asarray(photo(name)), np.random.default_rng(seed), others))


def placed(name: str, corners: NDArray[np.float64], size: tuple[int, int], seed: int = 0) -> Image.Image:
    """The reference's photo with its corners there, as shares of `size`, on a cloudy ground."""
    image = np.asarray(photo(name))
    height, width = image.shape[:2]
    start = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    matrix = cv2.getPerspectiveTransform(start, (corners * size).astype(np.float32))
    canvas = texture(size[1], size[0], np.random.default_rng(seed))
    cv2.warpPerspective(image, matrix, size, dst=canvas, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_TRANSPARENT)
    return Image.fromarray(canvas)


def text_picture(text: str, *, size: tuple[int, int] = (420, 300), at: tuple[int, int] = (30, 170)) -> Image.Image:
    canvas = np.full((size[1], size[0], 3), 235, np.uint8)
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_DUPLEX, 2.5, (40, 40, 60), 5, cv2.LINE_AA)
    return Image.fromarray(canvas)


@pytest.mark.parametrize("name", [CARTON, BOTTLE, MUG])
def test_finds_the_photo_where_a_known_homography_put_it(name: str) -> None:
    corners = np.array([(0.15, 0.2), (0.75, 0.1), (0.85, 0.8), (0.1, 0.9)])
    found = check(name, placed(name, corners, (900, 700)))
    assert found is not None and found.inliers >= 3 * LEAST_INLIERS
    assert (found.kind, found.mirrored) == ("copied_photo", False)
    assert np.abs(np.array(found.outline) - corners).max() < 0.02
    assert found.coverage > 0.8


def test_a_cropped_copy_has_its_outline_within_the_photo_and_covers_a_part() -> None:
    width, height = photo(CARTON).size
    half = photo(CARTON).crop((0, 0, width, height * 6 // 10))
    whole, part = check(CARTON, photo(CARTON)), check(CARTON, half)
    assert whole is not None and part is not None
    assert np.abs(np.array(whole.outline) - [(0, 0), (1, 0), (1, 1), (0, 1)]).max() < 0.01
    assert np.abs(np.array(part.outline) - [(0, 0), (1, 0), (1, 1), (0, 1)]).max() < 0.01
    assert whole.coverage == 1 and part.coverage < 0.85
    assert part.kind == "copied_photo"


@pytest.mark.parametrize("name", [CARTON, BOTTLE, MUG])
def test_a_mirrored_copy_is_found_as_well_as_an_unmirrored_one(name: str) -> None:
    corners = np.array([(0.3, 0.2), (0.9, 0.25), (0.85, 0.9), (0.2, 0.8)])
    listing = placed(name, corners, (800, 800))
    straight, turned = check(name, listing), check(name, ImageOps.mirror(listing))
    assert straight is not None and turned is not None
    assert (straight.mirrored, turned.mirrored, turned.kind) == (False, True, straight.kind)
    assert turned.inliers == pytest.approx(straight.inliers, rel=0.15)
    assert np.abs(np.array(turned.outline) - [(1 - x, y) for x, y in corners]).max() < 0.02


def test_reordered_descriptors_are_those_of_the_mirrored_picture() -> None:
    derived, computed = local_features(photo(CARTON)).mirrored, local_features(ImageOps.mirror(photo(CARTON)))
    gaps = np.linalg.norm(derived.points[:, None] - computed.points[None], axis=2)
    turns = np.abs(np.mod(derived.angles[:, None] - computed.angles[None] + 180, 360) - 180)
    left, right = np.nonzero((gaps < 0.5) & (turns < 5))
    alike = (derived.descriptors[left].astype(float) * computed.descriptors[right]).sum(axis=1) / 512**2
    assert len(set(left)) > 0.8 * len(derived)
    assert np.median(alike) > 0.99


@pytest.mark.parametrize("edit", ["text", "recolour", "recompress", "blur", "sticker", "rotate", "screenshot"])
def test_edited_copies_are_copied_photos(edit: str) -> None:
    found = [check(CARTON, edited(CARTON, EDITS[edit], seed)) for seed in range(5)]
    assert all(found)
    kinds = [each.kind for each in found if each is not None]
    assert kinds.count("copied_photo") >= (2 if edit == "blur" else 3), kinds
    assert kinds.count("lookalike") == 0


def test_another_photo_of_the_product_shows_the_same_print() -> None:
    with open(SAMPLE / "listings.csv", encoding="utf-8", newline="") as file:
        listings = [row for row in csv.DictReader(file) if row["truth"] == "photo"]
    with open(SAMPLE / "references.csv", encoding="utf-8", newline="") as file:
        references = [(row["reference_id"], row["product_id"]) for row in csv.DictReader(file)]
    kinds = []
    for row in listings[::2]:
        features = local_features(read_image(SAMPLE / row["image"]).image)
        ours = [verify(reference(name), features) for name, product in references if product == row["truth_product"]]
        found = [each for each in ours if each is not None]
        kinds.append(max(found, key=lambda each: each.inliers).kind if found else None)
    assert kinds.count("same_print") >= 0.75 * len(kinds), kinds
    assert kinds.count("copied_photo") <= 1, kinds


def test_a_blurred_copy_of_a_fine_print_is_found() -> None:
    rng = np.random.default_rng(4)
    coarse = np.asarray(Image.fromarray(rng.integers(60, 196, (16, 16, 3), np.uint8)).resize((480, 480)), np.float32)
    details = np.kron(rng.uniform(-60, 60, (120, 120)), np.ones((4, 4)))[..., None]
    fine = Image.fromarray(np.clip(coarse + details, 0, 255).astype(np.uint8))
    blurred = local_features(fine.filter(ImageFilter.GaussianBlur(7)))
    strongest = local_features(fine, most=MOST_REFERENCE)
    assert verify(strongest, blurred) is None  # only details that the blur took away
    found = verify(reference_features(fine), blurred)
    assert found is not None and found.coverage > 0.5


def test_unrelated_goods_are_not_verified() -> None:
    with open(SAMPLE / "listings.csv", encoding="utf-8", newline="") as file:
        paths = [SAMPLE / row["image"] for row in csv.DictReader(file) if row["truth"] == "unrelated"]
    features = [local_features(read_image(path).image) for path in paths]
    found = [verify(reference(name), each) for name in (CARTON, BOTTLE) for each in features]
    assert [each for each in found if each is not None] == []


def test_several_copies_on_a_shelf_are_all_found() -> None:
    shelf = np.asarray(Image.fromarray(texture(600, 1000, np.random.default_rng(2)))).copy()
    small, other = photo(CARTON).resize((240, 240)), photo(BOTTLE).resize((240, 240))
    for left in (20, 380, 740):
        shelf[300:540, left : left + 240] = np.asarray(small)
        shelf[20:260, left : left + 240] = np.asarray(other)
    found = find_instances(reference(CARTON), local_features(Image.fromarray(shelf)))
    centres = sorted(tuple(np.mean(each.outline, axis=0)) for each in found)
    assert np.allclose(centres, [(0.14, 0.7), (0.5, 0.7), (0.86, 0.7)], atol=0.02)
    assert {each.mirrored for each in found} == {False}


def test_a_small_print_in_a_large_photo_is_found() -> None:
    scene = np.asarray(photo("listing-04-1").resize((1600, 1600))).copy()
    scene[900:1350, 200:650] = np.asarray(photo(CARTON).resize((450, 450)))
    found = check(CARTON, scene)
    assert found is not None
    left, top = 200 / 1600, 900 / 1600
    assert np.abs(np.array(found.outline[0]) - (left, top)).max() < 0.02


def test_without_pictures_points_alone_say_same_print() -> None:
    features = local_features(photo(CARTON))
    bare = replace(features, picture=np.zeros((0, 0), np.uint8))
    found = verify(bare, features)
    assert found is not None and found.kind == "same_print"


def test_points_on_one_dot_or_line_count_for_nothing() -> None:
    line = text_picture("IlIHEMNW", at=(5, 160)).resize((420, 30))
    dot = Image.new("RGB", (400, 400), "white")
    dot.paste(photo(CARTON).resize((12, 12)), (200, 200))
    for picture in (line, dot):
        assert verify(reference_features(picture), local_features(picture)) is None


def moved(matrix: NDArray[np.float64]) -> tuple[LocalFeatures, LocalFeatures]:
    """Sixty features of their own looks, and where a linear map would take them, scale and direction too."""
    rng = np.random.default_rng(4)
    points = rng.uniform(20, 380, (60, 2))
    angles = rng.uniform(0, 2 * np.pi, 60)
    looks = np.abs(rng.normal(size=(60, 128)))
    looks = np.round(512 * looks / np.linalg.norm(looks, axis=1, keepdims=True)).clip(0, 255).astype(np.uint8)
    none = np.zeros((0, 0), np.uint8)
    there = (points - 200) @ matrix.T + 200
    x, y = matrix @ np.stack([np.cos(angles), np.sin(angles)])
    scales = np.full(60, 5 * np.sqrt(abs(np.linalg.det(matrix))), np.float32)

    def features(places: NDArray[np.float64], sizes: NDArray[np.float32], turns: NDArray[np.float64]) -> LocalFeatures:
        degrees = np.mod(np.degrees(turns), 360).astype(np.float32)
        return LocalFeatures((400, 400), places.astype(np.float32), sizes, degrees, looks, none)

    return features(points, np.full(60, 5, np.float32), angles), features(there, scales, np.arctan2(y, x))


def test_a_turned_stretched_and_halved_picture_is_a_fit() -> None:
    turn = np.array([[0.5, -0.6], [0.5, 0.4]])
    found = verify(*moved(turn))
    assert found is not None and found.inliers > 50 and not found.mirrored


@pytest.mark.parametrize(
    "matrix", [[(0.02, 0), (0, 0.02)], [(1, 0), (0, 0.05)], [(-1, 0), (0, 1)], [(0.5, 0.5), (0.5, 0.51)]], ids=str
)
def test_maps_that_shrink_squeeze_or_flip_are_no_fit(matrix: list[tuple[float, float]]) -> None:
    assert verify(*moved(np.array(matrix))) is None


def test_points_that_agree_in_place_but_not_in_direction_or_scale_are_no_fit() -> None:
    reference, listing = moved(np.eye(2))
    assert verify(reference, listing) is not None
    assert verify(reference, replace(listing, angles=np.mod(listing.angles + 90, 360))) is None
    assert verify(reference, replace(listing, scales=listing.scales * np.float32(3))) is None


def test_a_symmetric_picture_is_not_taken_for_a_mirrored_one() -> None:
    half = np.asarray(photo(CARTON))[:, :190]
    symmetric = Image.fromarray(np.hstack([half, half[:, ::-1]]))
    features = reference_features(symmetric)
    for seed in range(3):
        listing = Image.fromarray(EDITS["rotate"](np.asarray(symmetric), np.random.default_rng(seed), ()))
        found = verify(features, local_features(listing))
        assert found is not None and not found.mirrored


def test_symmetric_text_is_no_picture_of_other_text() -> None:
    other = text_picture("HOVAVA", at=(20, 120))
    found = verify(reference_features(text_picture("AVOVAH")), local_features(other))
    assert found is None or found.kind != "copied_photo"


def test_a_repeated_pattern_matches_no_other_place_of_its_own() -> None:
    tile = np.asarray(photo(MUG).resize((40, 40)))
    wall = np.tile(tile, (10, 10, 1))
    shifted = np.roll(wall, (13, 22), axis=(0, 1))
    found = verify(reference_features(Image.fromarray(wall)), local_features(Image.fromarray(shifted[:300, :320])))
    assert found is None
    checks = np.kron(np.indices((20, 20)).sum(axis=0) % 2, np.ones((20, 20))).astype(np.uint8)[..., None] * 255
    board = Image.fromarray(np.repeat(checks, 3, axis=2))
    assert verify(reference_features(board), local_features(board.crop((30, 10, 390, 370)))) is None


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 900), (900, 1), (20_000, 1), (20_000, 40), (40, 9_000), (11, 300)], ids=str
)
def test_thin_and_wide_pictures_neither_stall_nor_match(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    start = time.process_time()
    features = local_features(Image.fromarray(noise))
    assert verify(reference(CARTON), features) is None
    assert verify(reference_features(Image.fromarray(noise)), local_features(photo(CARTON))) is None
    assert time.process_time() - start < 3


def test_uniform_and_noisy_pictures_neither_stall_nor_match() -> None:
    rng = np.random.default_rng(1)
    start = time.process_time()
    noises = [Image.fromarray(rng.integers(0, 256, (700, 700, 3), np.uint8)) for _ in range(2)]
    pictures = [*noises, Image.new("RGB", (500, 400), "teal"), Image.fromarray(texture(400, 400, rng))]
    features = [(reference_features(picture), local_features(picture)) for picture in pictures]
    for i, (left, _) in enumerate(features):
        assert verify(left, local_features(photo(CARTON))) is None
        assert [verify(left, right) for j, (_, right) in enumerate(features) if i != j] == [None] * 3
    assert time.process_time() - start < 8


def test_features_survive_their_bytes() -> None:
    features = reference(CARTON)
    data = features.to_bytes()
    back = LocalFeatures.from_bytes(data)
    assert len(data) < 75_000
    assert (back.size, len(back)) == (features.size, len(features))
    assert np.abs(back.points - features.points).max() < 0.01
    assert np.abs(np.log2(back.scales / features.scales)).max() < 0.03
    assert np.abs(np.mod(back.angles - features.angles + 180, 360) - 180).max() < 0.8
    assert np.array_equal(back.descriptors, features.descriptors)
    assert np.array_equal(back.picture, features.picture)
    assert back.to_bytes() == data
    listing = local_features(photo("listing-01-1"))
    assert verify(back, listing) == verify(features, listing)


def test_a_picture_without_details_survives_its_bytes() -> None:
    empty = LocalFeatures.from_bytes(reference_features(Image.new("RGB", (30, 20))).to_bytes())
    assert len(empty) == 0 and empty.descriptors.shape == (0, 128)


def test_damaged_bytes_are_refused_in_one_line() -> None:
    data = reference(CARTON).to_bytes()
    rng = np.random.default_rng(0)
    wrong = [b"", b"LKF1", data[:-1], data + b"x", data[:30], b"X" + data[1:]]
    for at in [*range(len(data))[:60:3], *rng.integers(0, len(data), 60).tolist()]:
        wrong.append(data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :])
    for each in wrong:
        with pytest.raises(FeaturesError) as caught:
            LocalFeatures.from_bytes(each)
        assert "\n" not in str(caught.value) and "again" in str(caught.value)


def test_bytes_that_claim_gigabytes_are_refused_before_they_take_memory() -> None:
    data = reference(CARTON).to_bytes()
    for field, claim in ((0, 65_535), (2, 65_535), (3, 65_535), (1, 0)):
        forged = bytearray(data)
        struct.pack_into("<H", forged, 4 + 2 * field, claim)
        with pytest.raises(FeaturesError, match="at most (512|2000)"):
            LocalFeatures.from_bytes(bytes(forged))
