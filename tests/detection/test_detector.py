"""The detector judges what it is given, one by one or many at once, from any thread."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy import ToyEncoder, save_pictures

from lookalike import Detector, Listing, Policy, Verdict
from lookalike.detection.lookup import Lookup
from lookalike.errors import ChangedIndexWarning, EncoderMismatchError, PolicyError
from lookalike.index.build import add_references, build_index
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.records import Reference

POLICY = Policy(name="toy", flag=0.99, review=0.9)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return save_pictures(tmp_path / "photos", 30)


@pytest.fixture
def detector(tmp_path: Path, paths: list[Path]) -> Detector:
    rows = [Reference(f"r{i}", f"p{i}", "Brand", path) for i, path in enumerate(paths[:20])]
    build_index(rows, index=tmp_path / "index", encoder=ToyEncoder())
    return Detector(Lookup(ToyEncoder(), ReferenceIndex.load(tmp_path / "index"), PhotoReader()), POLICY)


def test_flags_the_genuine_photo_and_clears_another(detector: Detector, paths: list[Path]) -> None:
    finding = detector.check(Listing("L", (paths[3],), seller="s9"))
    assert (finding.verdict, finding.product, finding.image) == (Verdict.FLAGGED, "p3", str(paths[3]))
    assert finding.similarity == pytest.approx(1)
    assert finding.listing.seller == "s9"
    assert len(finding.matches) == 8
    assert detector.check(Listing("M", (paths[25],))).verdict is Verdict.CLEAR


def test_a_changed_index_warns_and_is_judged(detector: Detector, paths: list[Path], tmp_path: Path) -> None:
    tuned = replace(POLICY, index_digest=detector.index.digest)
    assert Detector(detector.lookup, tuned).check(Listing("L", (paths[25],))).verdict is Verdict.CLEAR
    add_references([Reference("new", "p25", "Brand", paths[25])], index=tmp_path / "index", encoder=ToyEncoder())
    lookup = Lookup(ToyEncoder(), ReferenceIndex.load(tmp_path / "index"), PhotoReader())
    with pytest.warns(ChangedIndexWarning, match="its promise was made on another index; tune it again"):
        changed = Detector(lookup, tuned)
    finding = changed.check(Listing("L", (paths[25],)))
    assert (finding.verdict, finding.product, finding.policy) == (Verdict.FLAGGED, "p25", str(tuned))


def test_takes_bytes_arrays_and_pil_images(detector: Detector, paths: list[Path]) -> None:
    image = Image.open(paths[4])
    for source in (paths[4].read_bytes(), np.asarray(image), image, str(paths[4])):
        assert detector.check(Listing("L", (source,))).product == "p4"


def test_many_listings_come_back_in_order_with_the_answers_of_one_by_one(detector: Detector, paths: list[Path]) -> None:
    rng = np.random.default_rng(0)
    listings = [Listing("none", ()), Listing("bad", ("gone.jpg", paths[0]))]
    listings += [Listing(f"L{i}", [paths[j] for j in rng.integers(0, 30, rng.integers(0, 4))]) for i in range(300)]
    listings.append(Listing("last", ()))
    many = detector.check_many(listings)
    assert [finding.listing for finding in many] == listings
    assert many == [detector.check(listing) for listing in listings]
    assert (many[0].verdict, many[1].verdict) == (Verdict.UNREADABLE, Verdict.FLAGGED)
    assert "no such file" in str(many[1].error)


def test_listings_without_photos_do_not_pile_up(detector: Detector, paths: list[Path]) -> None:
    taken = 0

    def listings() -> Iterator[Listing]:
        nonlocal taken
        for taken in range(5000):
            yield Listing(f"L{taken}", ())

    first = next(detector.stream(listings()))
    assert (first.listing.id, first.error, taken < 500) == ("L0", "it has no photo", True)


def test_threads_get_the_same_answers(detector: Detector, paths: list[Path]) -> None:
    listings = [Listing(str(path), (path,)) for path in paths] * 5
    expected = detector.check_many(listings)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(detector.check, listings)) == expected


def test_an_error_in_the_listings_reaches_the_caller(detector: Detector, paths: list[Path]) -> None:
    def listings() -> object:
        yield Listing("L", (paths[0],))
        raise RuntimeError("the table broke off")

    with pytest.raises(RuntimeError, match="the table broke off"):
        detector.check_many(listings())  # type: ignore[arg-type]


def test_refuses_parts_that_do_not_belong_together(detector: Detector) -> None:
    with pytest.raises(EncoderMismatchError):
        Lookup(ToyEncoder("1" * 64), detector.index, PhotoReader())
    foreign = Policy(name="foreign", flag=0.9, review=0.8, weights_sha256="f" * 64)
    with pytest.raises(PolicyError, match="is for an encoder with weights ffffffff"):
        Detector(detector.lookup, foreign)


def test_opens_an_index_with_its_own_encoder_and_policy(tmp_path: Path) -> None:
    from lookalike.model.loading import load_encoder

    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    build_index([Reference("r", "p", "B", path)], index=tmp_path / "i", encoder=load_encoder(device="cpu"))
    detector = Detector.open(tmp_path / "i", device="cpu")
    assert detector.policy.name == "embedded-default"
    assert detector.check(Listing("L", (path,))).verdict is Verdict.FLAGGED
