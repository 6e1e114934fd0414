"""Photos in reach of a verdict are compared point by point, once each, and what that finds is in the finding."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps
from toy import ToyEncoder

import lookalike
from lookalike import Detector, Listing, Policy, Verdict
from lookalike.detection.lookup import Lookup
from lookalike.detection.replay import replay
from lookalike.detection.verification import NOTHING, Photo, Verifier, compared
from lookalike.errors import ImageReadError, PolicyError, TableError
from lookalike.index.blobs import BlobCache
from lookalike.index.build import build_index
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.features import LocalFeatures
from lookalike.model.images import content_hash
from lookalike.policy.fusion import Fusion
from lookalike.policy.terms import Reach
from lookalike.records import Reference, Verification
from lookalike.scanning.scan import scan_listings
from lookalike.tables.findings import finding_row, read_findings

SAMPLE = Path(lookalike.__file__).parent / "sample" / "images"
NAMES = ["yelmique-ground-coffee-front", "kweniska-olive-oil-front", "yelmique-coffee-mug-front"]
FUSION = Fusion(intercept=-6.0, similarity=1.0, margin=0.0, inliers=2.0, coverage=0.0)
FUSED = Policy("fused", flag=0.9, review=0.1, reach=Reach(-1.0), fusion=FUSION)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verified")
    rows = [Reference(name, name, "Brand", SAMPLE / f"{name}.jpg") for name in NAMES]
    build_index(rows, index=folder / "index", encoder=ToyEncoder())
    return folder


def detector(folder: Path, policy: Policy, *, workers: int = 2) -> Detector:
    return Detector(Lookup(ToyEncoder(), ReferenceIndex.load(folder / "index"), PhotoReader(workers=workers)), policy)


def copied(name: str, *, mirror: bool = False) -> Image.Image:
    """The genuine photo, cropped and darkened, so that the toy encoder's colours are others."""
    image = Image.open(SAMPLE / f"{name}.jpg").convert("RGB")
    cropped = image.crop((0, 0, image.width, image.height * 4 // 5)).point(lambda value: value // 2)
    return ImageOps.mirror(cropped) if mirror else cropped


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8))


def test_a_copy_is_found_again_whatever_its_similarity(folder: Path) -> None:
    finding = detector(folder, FUSED).check(Listing("L", (copied(NAMES[1], mirror=True),)))
    assert (finding.verdict, finding.product, finding.kind) == (Verdict.FLAGGED, NAMES[1], "copied_photo")
    found = finding.matches[0].verification
    assert found is not None and found.mirrored and found.inliers > 20
    assert finding.probability is not None and finding.probability > 0.9
    row = finding_row(finding)
    assert (row["inliers"], row["mirrored"]) == (found.inliers, True) and row["coverage"] > 0.3


def test_points_that_agree_rank_before_a_higher_similarity(folder: Path) -> None:
    plain = replace(FUSED, fusion=None, flag=None, review=-1.0)
    listing = Listing("L", (copied(NAMES[1]),))
    by_similarity, fused = (detector(folder, policy).check(listing) for policy in (plain, FUSED))
    assert by_similarity.product != NAMES[1], "the toy encoder sees colours only"
    assert fused.product == NAMES[1]
    assert fused.similarity is not None and by_similarity.similarity is not None
    assert fused.similarity < by_similarity.similarity


def test_nothing_agrees_with_an_unrelated_photo(folder: Path) -> None:
    finding = detector(folder, FUSED).check(Listing("L", (noise(),)))
    assert finding.verdict is Verdict.CLEAR and finding.kind is None
    assert [match.verification for match in finding.matches] == [NOTHING] * 3


def test_photos_out_of_reach_are_not_compared_and_of_a_listing_only_so_many(folder: Path) -> None:
    far = replace(FUSED, reach=Reach(2.0))
    listing = Listing("L", tuple(copied(name) for name in NAMES))
    assert not any(match.verification for match in detector(folder, far).check(listing).matches)
    one = replace(FUSED, reach=Reach(-1.0, references=3, photos=1))
    compared = {match.image for match in detector(folder, one).check(listing).matches if match.agrees}
    assert len(compared) == 1
    none = replace(FUSED, fusion=None, reach=Reach(-1.0, references=0))
    assert not any(match.verification for match in detector(folder, none).check(listing).matches)


def test_without_a_reach_of_its_own_a_policy_compares_what_it_does_not_clear(folder: Path) -> None:
    listing = Listing("L", (SAMPLE / f"{NAMES[0]}.jpg",))
    seen = detector(folder, Policy("plain", flag=0.99, review=0.95)).check(listing)
    assert (seen.kind, seen.matches[0].agrees, seen.probability) == ("copied_photo", True, None)
    unseen = detector(folder, Policy("plain", flag=None, review=1.0)).check(Listing("L", (noise(),)))
    assert unseen.matches[0].verification is None


def test_with_a_fusion_and_no_reach_of_its_own_a_policy_compares_any_photo(folder: Path) -> None:
    everything = replace(FUSED, reach=Reach(None))
    finding = detector(folder, everything).check(Listing("L", (noise(),)))
    assert [match.verification for match in finding.matches] == [NOTHING] * 3
    two = replace(FUSED, reach=Reach(None, references=2))
    assert [match.verification is None for match in detector(folder, two).check(Listing("L", (noise(),))).matches] == [
        False, False, True,
    ]  # fmt: skip


def test_one_by_one_and_many_at_once_agree(folder: Path) -> None:
    listings = [Listing(f"L{i}", (copied(NAMES[i % 3], mirror=i % 2 == 0), noise())) for i in range(4)]
    many = detector(folder, FUSED).check_many(listings)
    assert many == [detector(folder, FUSED, workers=1).check(listing) for listing in listings]


def test_a_photo_that_changed_meanwhile_is_told_of(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    copied(NAMES[0]).save(path)
    judge = detector(folder, FUSED)
    match = judge.index.search(ToyEncoder().encode([copied(NAMES[0])]), top=1)[0]
    verifier = Verifier(judge.index, judge.reader)
    (answer,) = verifier.verify([Photo(path, "0" * 64, match)], references=1)
    assert answer.matches == match and "it changed during the scan" in str(answer.trouble)
    (answer,) = verifier.verify([Photo(tmp_path / "gone.png", "0" * 64, match)], references=1)
    assert "no such file" in str(answer.trouble)


class Elsewhere:
    """Compares in another thread, or does what `instead` does."""

    def __init__(self, pool: ThreadPoolExecutor, instead: Callable[..., list[Verification]] = compared) -> None:
        self._pool, self._instead = pool, instead

    def submit(self, picture: NDArray[np.uint8], references: Sequence[LocalFeatures]) -> Future[list[Verification]]:
        return self._pool.submit(self._instead, picture, references)


def photos_of(judge: Detector, paths: Sequence[Path]) -> list[Photo]:
    images = [Image.open(path).convert("RGB") for path in paths]
    found = judge.index.search(ToyEncoder().encode(images), top=3)
    return [Photo(path, content_hash(path.read_bytes()), each) for path, each in zip(paths, found, strict=True)]


@pytest.mark.parametrize("until", [None, 60.0])
@pytest.mark.parametrize("references", [0, 1, 2, 3])
def test_elsewhere_is_found_what_is_found_here(
    folder: Path, tmp_path: Path, references: int, until: float | None
) -> None:
    paths = [tmp_path / f"{name}.png" for name in ("copy", "noise", "small", "gone")]
    for path, image in zip(paths, (copied(NAMES[0]), noise(), copied(NAMES[1]).resize((90, 70)), noise()), strict=True):
        image.save(path)
    judge = detector(folder, FUSED)
    photos = photos_of(judge, paths)
    paths[3].unlink()
    late = None if until is None else time.monotonic() + until
    with ThreadPoolExecutor(2) as pool:
        there = Verifier(judge.index, judge.reader, comparer=Elsewhere(pool))
        answers = there.verify(photos, references=references, until=late)
    assert answers == Verifier(judge.index, judge.reader).verify(photos, references=references, until=late)
    assert [answer.trouble is None for answer in answers] == [True, True, True, not references]


def test_what_is_not_compared_elsewhere_is_told(folder: Path) -> None:
    judge = detector(folder, FUSED)
    photos = photos_of(judge, [SAMPLE / f"{name}.jpg" for name in NAMES])
    later = threading.Event()

    def refuses(*_: object) -> list[Verification]:
        raise ImageReadError("2 processes died at it")

    def waits(*_: object) -> list[Verification]:
        later.wait(60)
        return []

    with ThreadPoolExecutor(3) as pool:
        refused = Verifier(judge.index, judge.reader, comparer=Elsewhere(pool, refuses)).verify(photos, references=3)
        slow, none = (Verifier(judge.index, judge.reader, comparer=Elsewhere(pool, waits)) for _ in range(2))
        soon = slow.verify(photos, references=3, until=time.monotonic() + 0.2)
        past = none.verify(photos, references=3, until=time.monotonic() - 1)
        later.set()
    assert [(each.matches, each.trouble, each.late) for each in refused] == [
        (photo.matches, "not compared point by point: 2 processes died at it", False) for photo in photos
    ]
    assert soon == past and all(each.late and not any(m.verification for m in each.matches) for each in soon)
    assert not none.opened, "no photo is opened for which there is no time"


@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_was_compared_is_not_compared_again(folder: Path, tmp_path: Path, elsewhere: bool) -> None:
    path = tmp_path / "photo.png"
    copied(NAMES[0]).save(path)
    judge = detector(folder, FUSED)
    with closing(BlobCache(tmp_path / "verified.sqlite")) as cache, ThreadPoolExecutor(1) as pool:
        first = next(judge.stream([Listing("L", (path,))], verified=cache))
        match = tuple(replace(each, verification=None) for each in first.matches)
        path.unlink()  # so that reading it again would fail
        verifier = Verifier(judge.index, judge.reader, cache, comparer=Elsewhere(pool) if elsewhere else None)
        (again,) = verifier.verify([Photo(path, str(first.image_sha256), match)], references=3)
    assert again.trouble is None
    assert [each.verification for each in again.matches] == [each.verification for each in first.matches]


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_the_findings_table_holds_all_that_another_policy_needs(folder: Path, tmp_path: Path, ending: str) -> None:
    listings = [Listing(f"L{i}", (copied(name, mirror=i == 1),)) for i, name in enumerate(NAMES)]
    listings.append(Listing("noise", (noise(),)))
    after = replace(FUSED, name="after", flag=0.999, review=0.5, fusion=replace(FUSION, inliers=1.5, coverage=2.0))

    def scanned(policy: Policy) -> list[dict[str, object]]:
        scan_listings(listings, detector=detector(folder, policy), out=tmp_path / f"f.{ending}")
        return list(read_findings(tmp_path / f"f.{ending}"))

    first, again = scanned(FUSED), scanned(after)
    assert [row["mirrored"] for row in first[:3]] == [False, True, False]
    for row, expected in zip(first, again, strict=True):
        ours = finding_row(replay(row, after))
        for name in ("verdict", "kind", "product_id", "inliers", "mirrored", "threshold", "policy"):
            assert ours[name] == expected[name], name
        assert ours["probability"] == pytest.approx(expected["probability"], abs=1e-6)
        assert ours["coverage"] == pytest.approx(expected["coverage"])


def test_a_strangers_verification_is_refused(folder: Path) -> None:
    row = finding_row(detector(folder, FUSED).check(Listing("L", (copied(NAMES[0]),))))
    entries = json.loads(str(row["candidates"]))
    for damage in ({"inliers": "many"}, {"outline": 3}, {"outline": [[1]]}, {"coverage": None}):
        broken = [{**entries[0], "verification": {**entries[0]["verification"], **damage}}]
        with pytest.raises(TableError, match="scan again"):
            replay({**row, "candidates": json.dumps(broken)}, FUSED)


def test_a_fusion_needs_an_index_with_features(tmp_path: Path) -> None:
    rows = [Reference(name, name, "Brand", SAMPLE / f"{name}.jpg") for name in NAMES]
    build_index(rows, index=tmp_path / "index", encoder=ToyEncoder(), features=False)
    with pytest.raises(PolicyError, match="no local features"):
        detector(tmp_path, FUSED)
    plain = replace(FUSED, fusion=None)
    assert detector(tmp_path, plain).check(Listing("L", (copied(NAMES[0]),))).matches[0].verification is None
