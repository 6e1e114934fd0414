"""A photo's parts are looked up as well as the whole: each product is matched where the photo is nearest to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from toy import ToyEncoder

from lookalike.detection.detector import Detector
from lookalike.detection.lookup import Lookup
from lookalike.detection.parts import LEAD, Region, joined_matches
from lookalike.index.build import build_index
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.regions import cut, regions_of, working_picture
from lookalike.policy.policy import Policy
from lookalike.policy.terms import Reach
from lookalike.records import Finding, Listing, Match, Reference, Verdict
from lookalike.scripts.bench_pictures import texture

Pixels = NDArray[np.uint8]
LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
PARTS = Reach(references=0, parts=8)


def photo(seed: int) -> Pixels:
    return texture(240, 240, np.random.default_rng(seed))


def match(product: str, similarity: float, look: float | None = None) -> Match:
    return Match(Reference(product, product, "B", f"{product}.jpg"), similarity, look=look)


@pytest.fixture(scope="module")
def lookup(tmp_path_factory: pytest.TempPathFactory) -> Lookup:
    folder = tmp_path_factory.mktemp("index")
    rows = []
    for seed in range(12):
        path = folder / f"{seed}.png"
        Image.fromarray(photo(seed)).save(path)
        rows.append(Reference(f"r{seed}", f"p{seed}", "B", path))
    build_index(rows, index=folder / "index", encoder=ToyEncoder())
    return Lookup(ToyEncoder(), ReferenceIndex.load(folder / "index"), PhotoReader(workers=1), reach=PARTS)


def near(region: Region | None) -> object:
    return None if region is None else pytest.approx(region, abs=0.02)


def test_a_collage_of_two_products_is_matched_with_each_where_it_shows_it(lookup: Lookup) -> None:
    (found,) = lookup.look_up([np.hstack([photo(3), photo(8)])])
    first, second = sorted(found.matches[:2], key=lambda each: each.reference.id)
    assert [(each.reference.id, each.region) for each in (first, second)] == [("r3", near(LEFT)), ("r8", near(RIGHT))]
    assert min(first.similarity, second.similarity) > 0.99
    assert (first.margin or 0) > 0 and (second.margin or 0) > 0, "each leads in its own part"


def test_without_parts_it_is_matched_as_a_whole_only(lookup: Lookup) -> None:
    (found,) = replace(lookup, reach=Reach(references=0)).look_up([np.hstack([photo(3), photo(8)])])
    assert {each.region for each in found.matches} == {None}
    assert found.matches[0].similarity < 0.99


def test_the_whole_photo_is_named_where_it_is_nearer_than_any_part(lookup: Lookup) -> None:
    (found,) = lookup.look_up([photo(5)])
    assert (found.matches[0].reference.id, found.matches[0].region) == ("r5", None)
    (whole,) = replace(lookup, reach=Reach(references=0)).look_up([photo(5)])
    by_product = {each.reference.product: each.similarity for each in whole.matches}
    for each in found.matches:
        least = by_product.get(each.reference.product, -1.0)
        assert each.similarity >= least and (each.region is None) == (each.similarity == least)


def test_agrees_with_every_view_compared_by_brute_force(lookup: Lookup) -> None:
    pixels = np.vstack([photo(1), photo(20)])
    (found,) = lookup.look_up([pixels])
    picture = working_picture(Image.fromarray(pixels))
    views = [Image.fromarray(pixels), *(cut(picture, region) for region in regions_of(picture, most=8))]
    encoder = ToyEncoder()
    references = encoder.encode([Image.fromarray(photo(seed)) for seed in range(12)])
    similarity = encoder.encode(views) @ references.T
    nearest = np.argsort(-similarity.max(axis=0), kind="stable")[:5]
    assert [each.reference.id for each in found.matches] == [f"r{at}" for at in nearest]
    assert [each.similarity for each in found.matches] == pytest.approx(similarity.max(axis=0)[nearest], abs=1e-5)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, 1, 3), np.uint8),
        np.full((30, 900, 3), 200, np.uint8),
        texture(120, 4000, np.random.default_rng(1)),
        texture(300, 300, np.random.default_rng(2))[..., :1],
    ],
    ids=["one pixel", "plain panorama", "panorama", "grey"],
)
def test_any_picture_is_looked_up(lookup: Lookup, pixels: Pixels) -> None:
    (found,) = lookup.look_up([pixels])
    assert len(found.matches) == 5 and found.error is None


def test_a_product_counts_once_and_a_part_stands_for_it_only_if_it_leads_clearly() -> None:
    part = [match("a", 0.5 + LEAD / 2), match("b", 0.4 + 1.5 * LEAD)]
    joined = joined_matches([match("a", 0.5), match("b", 0.4)], [(LEFT, part)], most=5)
    assert [(each.reference.id, each.similarity, each.region) for each in joined] == [
        ("b", 0.4 + 1.5 * LEAD, LEFT),
        ("a", 0.5, None),
    ]


def test_the_nearest_view_has_the_greatest_sum_of_similarity_and_look() -> None:
    whole, part = match("a", 0.3, look=0.9), match("a", 0.5, look=0.2)
    (joined,) = joined_matches([whole], [(LEFT, [part])], most=5)
    assert joined == whole


def test_the_nearest_by_similarity_and_those_by_look_are_kept() -> None:
    whole = [match("a", 0.9, look=0.1), match("b", 0.8, look=0.2)]
    part = [match("c", 0.7, look=0.3), match("d", 0.6, look=0.9)]
    joined = joined_matches(whole, [(LEFT, part)], most=1)
    assert [each.reference.id for each in joined] == ["a", "d"]


def test_a_finding_tells_the_region_of_each_product_and_comes_back_from_json(lookup: Lookup) -> None:
    detector = Detector(lookup, Policy("toy", 0.97, 0.9, reach=PARTS))
    found = detector.check(Listing("L", np.hstack([photo(3), photo(8)])))
    flagged = {each.reference.id: each.region for each in found.matches if each.verdict is Verdict.FLAGGED}
    assert flagged == {"r3": near(LEFT), "r8": near(RIGHT)}
    assert Finding.from_dict(found.to_dict()).matches == found.matches


def test_a_harmless_picture_hides_only_what_its_own_part_resembles(lookup: Lookup) -> None:
    like_eight = np.asarray(Image.blend(Image.fromarray(photo(8)), Image.fromarray(photo(20)), 0.3))
    harmless = ReferenceIndex(ToyEncoder().spec)
    harmless.add([Reference("h", "h", "", "h.jpg")], ToyEncoder().encode([Image.fromarray(like_eight)]), hashes=["h"])
    detector = Detector(replace(lookup, harmless=harmless), Policy("toy", 0.97, 0.5, reach=PARTS))
    found = detector.check(Listing("L", np.hstack([photo(3), like_eight])))
    assert (found.verdict, found.product, found.matches[0].region) == (Verdict.FLAGGED, "p3", near(LEFT))
    beside = {each.reference.id: each.suppressed_by for each in found.matches if each.region == near(RIGHT)}
    assert beside["r8"] == "h" and set(beside.values()) == {"h"}
