"""A label that an adapter was fitted to is looked up by a map that saw no photo of its product."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from taught import PHOTOS, PRODUCTS, Taught, save, teach, through
from toy import ToyEncoder

from lookalike.adapting.fitting import fit_map
from lookalike.adapting.labelled import take
from lookalike.detection.detector import Detector
from lookalike.detection.lookup import Lookup
from lookalike.errors import PolicyError, TableError
from lookalike.index.build import build_index
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.adapter import AdaptedEncoder, Adapter, Fold
from lookalike.model.images import read_image
from lookalike.policy.cohort import Cohort
from lookalike.policy.policy import Policy
from lookalike.policy.terms import PARTS, Reach
from lookalike.policy.tuned_on import TunedOn
from lookalike.records import Listing, Match, Reference
from lookalike.scanning.scan import scan_listings
from lookalike.scripts.bench_pictures import texture
from lookalike.thresholds import cross_fitting
from lookalike.thresholds.cross_fitting import CrossFittedLookup
from lookalike.thresholds.tuned import Background, Goal, tune_on_findings, tune_on_photos

COUNT = 2 * PRODUCTS * PHOTOS


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Taught:
    return teach(tmp_path_factory.mktemp("taught"))


def test_each_label_is_scored_by_a_map_that_saw_no_photo_of_its_product(
    taught: Taught, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross_fitting, "_TOGETHER", 50)  # so that a fold's photos come in several batches
    images = taught.images
    labelled = take(images, lookup=taught.plain).labelled
    found = list(CrossFittedLookup(taught.lookup).look_up([image.image for image in images]))
    by_itself = taught.lookup.look_up([image.image for image in images])
    same = 0
    for at, ((seen, crossed), adapted) in enumerate(zip(found, by_itself, strict=True)):
        assert crossed
        # whatever the folds say of themselves: some map fitted without this product gives this answer
        own = [fold for fold in taught.adapter.folds if images[at].image in TunedOn(fold.left_out)]
        assert len(own) == 1
        left_out = np.array([image.image in TunedOn(own[0].left_out) for image in images])
        assert all(left_out[row] for row, right in enumerate(labelled.right) if right & labelled.right[at])
        fitted = fit_map(labelled, labelled.partners(), np.flatnonzero(~left_out))
        similarity = fitted(labelled.photos[[at]])[0] @ fitted(labelled.references).T
        assert seen.matches[0].similarity == pytest.approx(similarity.max(), abs=1e-5)
        assert seen.matches[0].reference.product == f"p{int(similarity.argmax())}"
        same += abs(seen.matches[0].similarity - adapted.matches[0].similarity) < 1e-3
    assert same < COUNT / 10  # the adapter itself says something else


def test_equal_photos_by_other_names_are_known_and_new_ones_are_looked_up_as_usual(
    taught: Taught, tmp_path: Path
) -> None:
    old, new = taught.images[4].image, str(save(tmp_path / "n.png", np.full((3, 3, 3), 90, np.uint8)))
    copy = shutil.copy(old, tmp_path / "copy.png")
    lookup = CrossFittedLookup(taught.lookup)
    (first, crossed), (again, known), (other, strange) = lookup.look_up([old, copy, new])
    assert (crossed, known, strange) == (True, True, False)
    assert first.matches == again.matches
    assert [other] == list(taught.lookup.look_up([new]))
    assert [seen for seen, _ in CrossFittedLookup(taught.plain).look_up([old])] == list(taught.plain.look_up([old]))


def test_a_photo_that_took_another_ones_place_is_known_by_its_content(taught: Taught, tmp_path: Path) -> None:
    one, other = (image.image for image in (taught.images[0], taught.images[-1]))
    folds = taught.adapter.folds
    own = [next(at for at, fold in enumerate(folds) if name in TunedOn(fold.left_out)) for name in (one, other)]
    assert own[0] != own[1], "choose two photos of two folds"
    before = {name: Path(name).read_bytes() for name in (one, other)}
    truth = {name: next(CrossFittedLookup(taught.lookup).look_up([name]))[0].matches for name in (one, other)}
    try:
        Path(one).write_bytes(before[other])
        assert next(CrossFittedLookup(taught.lookup).look_up([one]))[0].matches == truth[other]
    finally:
        Path(one).write_bytes(before[one])


def test_a_photo_that_cannot_be_read_says_why(taught: Taught) -> None:
    (seen, crossed), _ = CrossFittedLookup(taught.lookup).look_up(["none.png", taught.images[0].image])
    assert "none.png" in str(seen.error)
    assert not crossed


def test_a_partitioned_index_gives_the_same_answers_as_an_exact_one(tmp_path: Path) -> None:
    taught = teach(tmp_path, look=False)  # a look would be searched by a partition, which may differ
    pictures = np.random.default_rng(7).integers(0, 256, (600, 3, 3, 3), np.uint8)
    rows = [Reference(f"x{at}", f"x{at // 3}", "B", "x.png") for at in range(600)]
    vectors = ToyEncoder().embed(list(pictures))
    plain = ReferenceIndex(taught.plain.index.spec)
    plain.add(list(taught.plain.index.references), taught.plain.index.vectors, hashes=["r"] * PRODUCTS)
    plain.add(rows, vectors, hashes=["x"] * 600)
    plain.remove(references=["x3"])
    photos = [image.image for image in taught.images]
    truth: dict[str, tuple[Match, ...]] = {}
    for fold in taught.adapter.folds:
        own = [photo for photo in photos if photo in TunedOn(fold.left_out)]
        alone = Adapter(taught.adapter.spec, fold.matrix, fold.offset)
        usual = through(Lookup(taught.plain.encoder, plain, taught.plain.reader), alone)
        truth.update(zip(own, (seen.matches for seen in usual.look_up(own)), strict=True))
    for exact_up_to in (5000, 280):
        index = ReferenceIndex(plain.spec, exact_up_to=exact_up_to)
        index.add(list(taught.plain.index.references), taught.plain.index.vectors, hashes=["r"] * PRODUCTS)
        index.add(rows[:560], vectors[:560], hashes=["x"] * 560)
        index.save(tmp_path / str(exact_up_to))
        index.adapted(taught.adapter).save(tmp_path / str(exact_up_to))
        index = ReferenceIndex.load(tmp_path / str(exact_up_to))
        index.add(rows[560:], vectors[560:], hashes=["x"] * 40)  # in a partitioned index, a piece of their own
        index.remove(references=["x3"])
        assert (index.agreement is None) == (exact_up_to == 5000)
        lookup = Lookup(AdaptedEncoder(taught.plain.encoder, taught.adapter), index, taught.plain.reader)
        for photo, (seen, crossed) in zip(photos, CrossFittedLookup(lookup).look_up(photos), strict=True):
            assert crossed
            known = truth[photo]
            assert [match.reference for match in seen.matches] == [match.reference for match in known]
            np.testing.assert_allclose(
                [match.similarity for match in seen.matches], [match.similarity for match in known], atol=1e-5
            )


def test_parts_looks_and_matching_points_are_as_in_a_search_of_an_index_with_that_map(tmp_path: Path) -> None:
    genuine = sorted(Path(str(files("lookalike") / "sample" / "images")).glob("*-front.jpg"))[:4]
    photos = [str(tmp_path / f"pair{at}.png") for at in range(4)]
    for at, photo in enumerate(photos):
        with Image.open(genuine[at]) as picture:
            beside = texture(picture.height, picture.width, np.random.default_rng(at))
            Image.fromarray(np.hstack([np.asarray(picture.convert("RGB")), beside])).save(photo)
    encoder = ToyEncoder(look=True)
    rows = [Reference(f"r{at}", f"p{at}", "B", path) for at, path in enumerate(genuine)]
    build_index(rows, index=tmp_path / "i", encoder=encoder)
    index = ReferenceIndex.load(tmp_path / "i")
    rng = np.random.default_rng(0)
    maps = [np.eye(28, dtype=np.float32) + rng.normal(size=(28, 28)).astype(np.float32) / 8 for _ in range(3)]
    offset = np.zeros(28, np.float32)
    folds = tuple(Fold(maps[at], offset, TunedOn.of(photos[at::2]).digests) for at in (0, 1))
    adapter = Adapter(encoder.spec, maps[2], offset, folds)
    plain = Lookup(encoder, index, PhotoReader(workers=1), top=2, reach=Reach(similarity=None, parts=PARTS))
    lookup = replace(plain, encoder=AdaptedEncoder(encoder, adapter), index=index.adapted(adapter))
    found = [seen for seen, _ in CrossFittedLookup(lookup).look_up(photos)]
    for at, fold in enumerate(folds):
        alone = Adapter(encoder.spec, fold.matrix, fold.offset)
        usual = replace(plain, encoder=AdaptedEncoder(encoder, alone), index=index.adapted(alone))
        for one, other in zip(found[at::2], usual.look_up(photos[at::2]), strict=True):
            assert any(match.verification and match.verification.inliers for match in one.matches)
            assert [replace(match, similarity=0, margin=0) for match in one.matches] == [
                replace(match, similarity=0, margin=0) for match in other.matches
            ]
            np.testing.assert_allclose(
                [(match.similarity, match.margin) for match in one.matches],
                [(match.similarity, match.margin) for match in other.matches], atol=1e-5,
            )  # fmt: skip
    assert any(match.region for seen in found for match in seen.matches)


@pytest.mark.parametrize("method", ["subtract", "s-norm"])
def test_a_cohort_is_mapped_as_the_photo_is(taught: Taught, tmp_path: Path, method: str) -> None:
    rng = np.random.default_rng(3)
    paths = [save(tmp_path / f"{at}.png", rng.integers(0, 256, (3, 3, 3), np.uint8)) for at in range(6)]
    background = taught.plain.encoder.encode([read_image(path).image for path in paths])
    lookup, name = taught.lookup, taught.images[0].image
    cohort = Cohort(taught.adapter.map(background)[:, :28], method)
    with pytest.raises(PolicyError, match="give the cohort's listings with --cohort"):
        list(CrossFittedLookup(replace(lookup, cohort=cohort)).look_up([name]))
    (seen, _), = CrossFittedLookup(replace(lookup, cohort=cohort), background).look_up([name])  # fmt: skip
    fold = next(fold for fold in taught.adapter.folds if name in TunedOn(fold.left_out))
    alone = Adapter(taught.adapter.spec, fold.matrix, fold.offset)
    usual = replace(through(taught.plain, alone), cohort=Cohort(alone.map(background)[:, :28], method))
    (truth,) = usual.look_up([name])
    assert [match.normalised_similarity for match in seen.matches] == pytest.approx(
        [match.normalised_similarity for match in truth.matches], rel=1e-4
    )
    listings = tmp_path / "listings.csv"
    listings.write_text("listing_id,image\n" + "".join(f"{path.name},{path.name}\n" for path in paths))
    tuned = tune_on_photos(
        taught.folder / "labels.csv", lookup=lookup, goal=Goal(0.5), background=Background(listings, method)
    )
    assert tuned.policy.cohort is not None
    np.testing.assert_allclose(tuned.policy.cohort.vectors, cohort.vectors, atol=1e-5)
    assert tuned.labels.photos[0].matches[0].normalised_similarity == pytest.approx(
        seen.matches[0].normalised_similarity, rel=1e-4
    )


def test_a_policy_says_how_many_of_its_labels_are_cross_fitted(taught: Taught, tmp_path: Path) -> None:
    fresh = save(tmp_path / "fresh.png", np.full((3, 3, 3), 90, np.uint8))
    rows = [line.split(",") for line in (taught.folder / "labels.csv").read_text(encoding="utf-8").splitlines()]
    with open(tmp_path / "labels.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([rows[0], *([str(taught.folder / row[0]), *row[1:]] for row in rows[1:31]),
                                    (fresh.name, "", "no")])  # fmt: skip
    (tmp_path / "strangers.csv").write_text(f"listing_id,image\na,{fresh}\nb,{taught.images[-1].image}\n")
    tuned = tune_on_photos(
        tmp_path / "labels.csv", lookup=taught.lookup, goal=Goal(0.5), unrelated=tmp_path / "strangers.csv"
    )
    assert (len(tuned.labels.photos), tuned.labels.cross_fitted) == (31, 30)
    assert tuned.labels.remarks == (
        "30 labels that the index's adapter was fitted to: each is looked up by a map that left it out",
    )
    assert tuned.unrelated is not None
    assert tuned.unrelated.cross_fitted == 1
    tuned.policy.save(tmp_path / "p.toml")
    promise = Policy.load(tmp_path / "p.toml").promise
    assert promise is not None
    assert promise.cross_fitted == 31
    assert "31 of the labels are cross-fitted" in str(promise)
    plain = tune_on_photos(tmp_path / "labels.csv", lookup=taught.plain, goal=Goal(0.5)).policy.promise
    assert plain is not None
    assert plain.cross_fitted is None


def test_findings_of_photos_that_the_adapter_was_fitted_to_are_left_out(taught: Taught, tmp_path: Path) -> None:
    fresh = save(tmp_path / "fresh.png", np.full((3, 3, 3), 90, np.uint8))
    listings = [Listing("old", (taught.images[0].image,)), Listing("new", (str(fresh),))]
    start = Policy("start", flag=None, review=-1.0)
    scan_listings(listings, detector=Detector(taught.lookup, start), out=tmp_path / "f.csv")
    for names, kept in ((("old", "new"), ["new"]), (("old",), [])):
        (tmp_path / "v.csv").write_text("listing_id,lookalike\n" + "".join(f"{name},yes\n" for name in names))
        if not kept:
            with pytest.raises(TableError, match="fitted to all 1 labels.*give labels of photos without --findings"):
                tune_on_findings(tmp_path / "v.csv", tmp_path / "f.csv", index=taught.lookup.index, goal=Goal(0.5))
            continue
        tuned = tune_on_findings(tmp_path / "v.csv", tmp_path / "f.csv", index=taught.lookup.index, goal=Goal(0.5))
        assert [photo.name for photo in tuned.labels.photos] == kept
        assert "labels left out: 1 that the index's adapter, which made the findings, was fitted to" in (
            tuned.labels.remarks
        )
        assert tuned.policy.promise is not None
        assert tuned.policy.promise.cross_fitted is None
