"""An evaluation agrees with brute force over the vectors, and with what the detector flags."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy import ToyEncoder, save_pictures, unit_vectors

from lookalike.detection.detector import Detector
from lookalike.detection.lookup import Lookup
from lookalike.errors import PolicyError, TableError
from lookalike.index.build import build_index
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.images import read_image
from lookalike.policy.cohort import Cohort
from lookalike.policy.policy import Policy
from lookalike.policy.terms import Evidence, Promise, Scope
from lookalike.policy.tuned_on import TunedOn
from lookalike.records import Listing, Reference, Verdict
from lookalike.tables.labels import LabelledPhoto
from lookalike.thresholds.evaluation import evaluate
from lookalike.thresholds.metrics import evaluate_retrieval

POLICY = Policy(
    "autumn",
    flag=0.6,
    review=0.3,
    promise=Promise(0.95, precision=0.9),
    scopes=(Scope(0.35, 0.3, "B0", "FR", Evidence("B0 in FR", 100)), Scope(0.9, 0.3, "B1", None, Evidence("B1", 100))),
)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return save_pictures(tmp_path_factory.mktemp("photos"), 40)


@pytest.fixture(scope="module")
def lookup(tmp_path_factory: pytest.TempPathFactory, paths: list[Path]) -> Lookup:
    folder, harmless = tmp_path_factory.mktemp("index"), tmp_path_factory.mktemp("harmless")
    rows = [Reference(f"r{i}", f"p{i}", f"B{i % 3}", path) for i, path in enumerate(paths[:20])]
    build_index(rows, index=folder, encoder=ToyEncoder(), features=False)
    build_index([Reference("h", "h", "", paths[33])], index=harmless, encoder=ToyEncoder(), features=False)
    return Lookup(
        ToyEncoder(), ReferenceIndex.load(folder), PhotoReader(), harmless=ReferenceIndex.load(harmless)
    )  # fmt: skip


@pytest.fixture(scope="module")
def photos(paths: list[Path]) -> list[LabelledPhoto]:
    """Ten genuine photos, five labelled as something else, one of a product that the index lacks, and 20 unrelated.

    The first sixteen are the references themselves.
    """
    labelled = [LabelledPhoto(str(paths[i]), frozenset({f"p{i}"}), frozenset({"exact"}), "FR") for i in range(10)]
    labelled += [LabelledPhoto(str(paths[i]), frozenset({f"p{i - 9}"}), frozenset({"other"})) for i in range(10, 15)]
    labelled.append(LabelledPhoto(str(paths[15]), frozenset({"nowhere"})))
    return labelled + [LabelledPhoto(str(path), territory="FR" if i % 2 else None) for i, path in enumerate(paths[20:])]


def nearest(paths: list[Path], photos: list[LabelledPhoto]) -> tuple[np.ndarray, np.ndarray]:
    """Each photo's largest similarity and the number of that reference, by brute force."""
    encoder = ToyEncoder()
    references = encoder.encode([read_image(path).image for path in paths[:20]])
    similarity = encoder.encode([read_image(photo.image).image for photo in photos]) @ references.T
    return similarity.max(axis=1), similarity.argmax(axis=1)


def test_without_a_policy_it_measures_retrieval_by_similarity_alone(
    lookup: Lookup, paths: list[Path], photos: list[LabelledPhoto]
) -> None:
    found = evaluate(photos, lookup)
    similarity, at = nearest(paths, photos)
    right = np.array([f"p{number}" in photo.products for photo, number in zip(photos, at, strict=True)])
    related = np.arange(len(photos)) < 16
    assert found.answers.similarity == pytest.approx(similarity, abs=1e-5)
    assert found.answers.correct.tolist() == right.tolist()
    assert (found.overall.positives, found.overall.recall_at_1) == (16, 10 / 16)
    assert found.overall == evaluate_retrieval(found.answers.similarity, right, related=related)
    assert (found.similarity, found.policy, found.realised) == ("cosine", None, ())
    # 1 % of 20 unrelated are none, so the threshold is just above the most similar of them
    assert found.threshold == pytest.approx(similarity[~related].max(), abs=1e-5)
    assert (found.answers.similarity[~related] < (found.threshold or 0)).all()
    assert found.threshold_of == "1 % of the unrelated are hit"


def test_a_stratum_is_measured_beside_all_unrelated_photos(lookup: Lookup, photos: list[LabelledPhoto]) -> None:
    strata = evaluate(photos, lookup).strata
    assert {name: (each.queries, each.positives, each.recall_at_1) for name, each in strata.items()} == {
        "exact": (30, 10, 1.0),
        "other": (25, 5, 0.0),
    }


def test_a_photo_counts_for_the_brand_of_its_right_product_or_else_for_the_nearest(
    lookup: Lookup, paths: list[Path], photos: list[LabelledPhoto]
) -> None:
    found = evaluate(photos, lookup)
    brand = found.answers.brand.tolist()
    assert brand[:10] == [f"B{i % 3}" for i in range(10)]
    assert brand[10:16] == [f"B{(i - 9) % 3}" for i in range(10, 15)] + ["(not in the index)"]
    assert brand[16:] == [f"B{number % 3}" for number in nearest(paths, photos)[1][16:]]
    figures = {each.brand: each for each in found.brands}
    assert (figures["(not in the index)"].recall.count, figures["(not in the index)"].recall.total) == (0, 1)
    assert sum(each.recall.count for each in found.brands) == 10
    assert found.recall_spread.count == 4


def test_the_promise_is_held_against_what_the_detector_flags(lookup: Lookup, photos: list[LabelledPhoto]) -> None:
    found = evaluate(photos, lookup, POLICY)
    listings = [Listing(photo.image, (photo.image,), territory=photo.territory) for photo in photos]
    findings = Detector(lookup, POLICY).check_many(listings)
    flagged = [finding.verdict is Verdict.FLAGGED for finding in findings]
    right = [finding.product in photo.products for finding, photo in zip(findings, photos, strict=True)]
    everything, acme, _ = found.realised
    assert (everything.of, acme.of) == ("all", "B0 in FR")
    assert (everything.precision.count, everything.precision.total) == (
        sum(f and r for f, r in zip(flagged, right, strict=True)),
        sum(flagged),
    )
    assert (everything.false_flags.count, everything.false_flags.total) == (sum(flagged[16:]), 20)
    assert 0 < sum(flagged[16:]) < 20
    places = [finding.brand == "B0" and finding.listing.territory == "FR" for finding in findings]
    assert acme.precision.total == sum(f and here for f, here in zip(flagged, places, strict=True)) > 0
    assert (found.policy, found.threshold, found.threshold_of) == (str(POLICY), 0.6, "flag of autumn")


def test_photos_that_the_policy_was_tuned_on_are_no_test_of_its_promise(
    lookup: Lookup, photos: list[LabelledPhoto]
) -> None:
    known = [photo.image for photo in photos[::2]]
    found = evaluate(photos, lookup, replace(POLICY, tuned_on=TunedOn.of(known)))
    assert found.tuned_on == len(known) and found.overall == evaluate(photos, lookup, POLICY).overall
    assert found.realised == evaluate(photos[1::2], lookup, POLICY).realised
    everything = TunedOn.of(photo.image for photo in photos)
    assert evaluate(photos, lookup, replace(POLICY, tuned_on=everything)).realised == ()


def test_a_photo_nearest_to_a_harmless_one_is_ranked_and_flags_nothing(lookup: Lookup, paths: list[Path]) -> None:
    labelled = [LabelledPhoto(str(paths[0]), frozenset({"p0"})), LabelledPhoto(str(paths[33]))]
    policy = Policy("low", flag=-1.0, review=-1.0, promise=Promise(0.95, precision=0.9))
    for used, flags in ((lookup, 1), (replace(lookup, harmless=None), 2)):
        found = evaluate(labelled, used, policy)
        assert found.realised[0].precision.total == flags
        assert found.answers.similarity[1] > -1


def test_answers_are_ranked_by_what_the_policy_normalises(lookup: Lookup, photos: list[LabelledPhoto]) -> None:
    cohort = Cohort(unit_vectors(50))
    found = evaluate(photos, lookup, Policy("normal", flag=0.5, review=0.1, cohort=cohort))
    expected = evaluate(photos, replace(lookup, cohort=cohort))
    assert found.similarity == "normalised by the cohort of normal"
    assert found.answers.similarity.tolist() == expected.answers.similarity.tolist()
    assert found.answers.similarity.tolist() != evaluate(photos, lookup).answers.similarity.tolist()


def test_the_budget_takes_the_strongest(lookup: Lookup, photos: list[LabelledPhoto]) -> None:
    # the sixteen references come first, of which ten are labelled rightly
    found = evaluate(photos, lookup, budget=18)
    assert (found.budget, found.precision_at_budget) == (18, 10 / 18)
    assert evaluate(photos, lookup).precision_at_budget is None


def test_a_photo_that_cannot_be_read_counts_nowhere_and_is_reported(lookup: Lookup, paths: list[Path]) -> None:
    steps: list[int] = []
    labelled = [LabelledPhoto("gone.jpg", frozenset({"p0"})), LabelledPhoto(str(paths[0]), frozenset({"p0"}))]
    found = evaluate(labelled, lookup, progress=steps.append)
    assert (found.overall.queries, found.overall.recall_at_1, sum(steps)) == (1, 1.0, 2)
    (failure,) = found.failed
    assert "no such file" in failure
    assert [photo.image for photo in found.answers.photos] == [str(paths[0])]


def test_json_has_the_figures_of_all_photos_on_top_and_no_number_that_json_lacks(
    lookup: Lookup, photos: list[LabelledPhoto]
) -> None:
    found = evaluate(photos[:1], lookup, POLICY)
    values = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert (values["queries"], values["recall_at_1"], values["fnir_at_fpir_1"]) == (1, 1.0, None)
    assert values["realised"][0]["false_flags"]["value"] is None
    assert values["realised"][0]["broken"] is False
    assert values["strata"]["exact"]["positives"] == 1
    assert not {"answers", "failed", "overall"} & set(values)


def test_without_unrelated_photos_and_a_policy_there_is_no_threshold(
    lookup: Lookup, photos: list[LabelledPhoto]
) -> None:
    found = evaluate(photos[:5], lookup)
    assert (found.threshold, found.threshold_of, found.brands) == (None, None, ())


def test_the_same_product_id_of_two_brands_is_two_products(paths: list[Path], tmp_path: Path) -> None:
    rows = [Reference("z", "1", "Zeta", paths[0]), Reference("a", "1", "Acme", paths[1])]
    build_index(rows, index=tmp_path, encoder=ToyEncoder(), features=False)
    lookup = Lookup(ToyEncoder(), ReferenceIndex.load(tmp_path), PhotoReader())
    unrelated = LabelledPhoto(str(paths[30]))
    for brand, right in (("Zeta", 1.0), ("Acme", 0.0), ("Other", 0.0)):
        found = evaluate([LabelledPhoto(str(paths[0]), frozenset({(brand, "1")})), unrelated], lookup)
        assert found.overall.recall_at_1 == right
        assert found.answers.brand[0] == ("(not in the index)" if brand == "Other" else brand)
    with pytest.raises(TableError, match="product_id '1' in the labels is one of Acme, Zeta; add a column brand"):
        evaluate([LabelledPhoto("gone.jpg", frozenset({"1"})), unrelated], lookup)


def test_refuses_photos_of_which_none_can_be_found(lookup: Lookup, photos: list[LabelledPhoto]) -> None:
    with pytest.raises(TableError, match="none of the photos that show a product could be read; the first: gone.jpg"):
        evaluate([LabelledPhoto("gone.jpg", frozenset({"p0"})), photos[-1]], lookup)
    with pytest.raises(TableError, match="none of the photos that show a product could be read$"):
        evaluate(photos[16:], lookup)


def test_refuses_a_policy_of_another_encoder(lookup: Lookup, photos: list[LabelledPhoto]) -> None:
    with pytest.raises(PolicyError, match="is for an encoder with weights ffffffff"):
        evaluate(photos, lookup, replace(POLICY, weights_sha256="f" * 64))
