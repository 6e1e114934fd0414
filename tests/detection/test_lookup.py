"""A lookup finds the nearest references without a policy, and a detector decides what it compares."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy import ToyEncoder, save_pictures, unit_vectors

from lookalike.detection.detector import Detector
from lookalike.detection.lookup import Lookup
from lookalike.errors import EncoderMismatchError, PolicyError, ReferenceIndexError
from lookalike.index.build import build_index
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.images import read_image
from lookalike.policy.cohort import Cohort
from lookalike.policy.policy import Policy, Reach, Scope
from lookalike.records import Listing, Reference


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return save_pictures(tmp_path_factory.mktemp("photos"), 30)


@pytest.fixture(scope="module")
def lookup(tmp_path_factory: pytest.TempPathFactory, paths: list[Path]) -> Lookup:
    folder = tmp_path_factory.mktemp("index")
    rows = [Reference(f"r{i}", f"p{i}", f"B{i % 3}", path) for i, path in enumerate(paths[:20])]
    build_index(rows, index=folder, encoder=ToyEncoder())
    return Lookup(ToyEncoder(), ReferenceIndex.load(folder), PhotoReader())


def test_finds_what_brute_force_finds(lookup: Lookup, paths: list[Path]) -> None:
    vectors = ToyEncoder().encode([read_image(path).image for path in paths])
    similarity = vectors @ vectors[:20].T
    for photo, row in zip(lookup.look_up(paths), similarity, strict=True):
        nearest = np.argsort(-row, kind="stable")[:5]
        assert [match.reference.id for match in photo.matches] == [f"r{at}" for at in nearest]
        assert [match.similarity for match in photo.matches] == pytest.approx(row[nearest].tolist(), abs=1e-5)
        assert {match.verification for match in photo.matches} == {None}


def test_a_photo_that_cannot_be_read_keeps_its_place(lookup: Lookup, paths: list[Path]) -> None:
    first, missing, last = lookup.look_up([paths[0], "missing.jpg", paths[1]])
    assert (first.matches[0].reference.id, last.matches[0].reference.id) == ("r0", "r1")
    assert missing.matches == () and "no such file" in str(missing.error)


@pytest.mark.parametrize(
    ("reach", "compared"),
    [(Reach(None, references=2), 2), (Reach(-1.0, references=3), 3), (Reach(1.1, references=2), 0)],
)
def test_compares_as_many_references_as_its_reach_says(
    lookup: Lookup, paths: list[Path], reach: Reach, compared: int
) -> None:
    (photo,) = replace(lookup, reach=reach).look_up([paths[3]])
    assert [match.verification is not None for match in photo.matches] == [at < compared for at in range(5)]


def test_compares_only_the_nearest_photos_of_a_listing(lookup: Lookup, paths: list[Path]) -> None:
    near = replace(lookup, reach=Reach(None, references=1, photos=2))
    (seen,) = near.see([Listing("L", [paths[25], paths[0], paths[26], paths[1]])])
    compared = [photo.matches[0].verification is not None for photo in seen.photos]
    assert compared == [False, True, False, True]  # the two that are references themselves


def test_gives_as_many_products_as_it_compares(lookup: Lookup, paths: list[Path]) -> None:
    (photo,) = replace(lookup, top=3, reach=Reach(None, references=8)).look_up([paths[3]])
    assert len(photo.matches) == 8


def test_refuses_an_index_without_references(lookup: Lookup) -> None:
    with pytest.raises(ReferenceIndexError, match="the index holds no references; add some with: lookalike add"):
        replace(lookup, index=ReferenceIndex(lookup.encoder.spec))


def test_refuses_another_encoder_and_a_cohort_of_another_dimension(lookup: Lookup) -> None:
    with pytest.raises(EncoderMismatchError):
        Lookup(ToyEncoder("1" * 64), lookup.index, PhotoReader())
    narrow = Cohort(np.eye(3, dtype=np.float32))
    with pytest.raises(PolicyError, match="the cohort's vectors have 3 dimensions"):
        replace(lookup, cohort=narrow)


def test_a_detector_compares_what_its_policy_asks_for(lookup: Lookup) -> None:
    cohort = Cohort(unit_vectors(50))
    reach = Reach(0.4, references=3, photos=2)
    detector = Detector(lookup, Policy("toy", 0.9, 0.8, reach=reach, cohort=cohort))
    assert (detector.lookup.reach, detector.lookup.cohort) == (reach, cohort)
    assert (lookup.reach.references, lookup.cohort) == (0, None)


def test_without_a_similarity_a_policy_compares_all_that_any_brand_may_review(lookup: Lookup) -> None:
    policy = Policy("toy", 0.9, 0.8, scopes=(Scope(0.9, 0.3, brand="B1"), Scope(0.9, 0.6, brand="B2")))
    assert Detector(lookup, policy).lookup.reach.similarity == 0.3


def test_the_strongest_match_of_a_listing_names_its_photo(lookup: Lookup, paths: list[Path]) -> None:
    first, last = lookup.see([Listing("L", [paths[25], paths[3]]), Listing("M", ["missing.jpg"])])
    assert first.strongest is not None and last.strongest is None
    match, photo = first.strongest
    assert (match.reference.id, photo.image) == ("r3", str(paths[3]))
