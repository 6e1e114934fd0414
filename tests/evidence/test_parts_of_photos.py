"""Evidence of a part of a photo: it is marked, and its numbers are computed again from that part."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forged import forge, said, with_finding
from numpy.typing import NDArray
from PIL import Image
from toy import ToyEncoder

from lookalike.detection.detector import Detector
from lookalike.detection.lookup import Lookup
from lookalike.evidence.alignment import Alignment
from lookalike.evidence.audit import audit_bundle
from lookalike.evidence.bundle import write_bundle
from lookalike.evidence.drawing import PART
from lookalike.evidence.explain import draw_finding, explain_photo
from lookalike.evidence.manifest import Entry
from lookalike.evidence.pair_picture import compose_pair
from lookalike.index.build import add_harmless, build_index, load_harmless
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.policy.policy import Policy
from lookalike.policy.terms import Reach
from lookalike.records import Listing, Match, Reference
from lookalike.scanning.report import write_report
from lookalike.scripts.bench_pictures import texture
from lookalike.tables.candidates import region_in
from lookalike.tables.findings import finding_row

POLICY = Policy("parts", flag=0.97, review=0.9, reach=Reach(references=0, parts=8))
RIGHT = (0.5, 0.0, 1.0, 1.0)


def photo(seed: int) -> NDArray[np.uint8]:
    return texture(240, 240, np.random.default_rng(seed))


@pytest.fixture
def detector(tmp_path: Path) -> Detector:
    rows = []
    for seed in range(4):
        Image.fromarray(photo(seed)).save(tmp_path / f"{seed}.png")
        rows.append(Reference(f"r{seed}", f"p{seed}", "B", tmp_path / f"{seed}.png"))
    build_index(rows, index=tmp_path / "index", encoder=ToyEncoder())
    Image.fromarray(np.hstack([photo(9), photo(2)])).save(tmp_path / "listing.png")
    return opened(tmp_path)


def opened(folder: Path) -> Detector:
    index = ReferenceIndex.load(folder / "index")
    return Detector(Lookup(ToyEncoder(), index, PhotoReader(), harmless=load_harmless(folder / "index")), POLICY)


def audited(folder: Path, detector: Detector, **changed: Any) -> list[str]:
    """What an audit says about a bundle of the listing's finding, with its first match changed so."""
    found = detector.check(Listing("L", (folder / "listing.png",)))
    matches = tuple(replace(match, **changed) if at == 0 else match for at, match in enumerate(found.matches))
    POLICY.save(folder / "policy.toml")
    write_bundle([finding_row(replace(found, matches=matches))], folder / "bundle", index=detector.index,
                 harmless=detector.lookup.harmless, policy=folder / "policy.toml")  # fmt: skip
    return said(audit_bundle(folder / "bundle", encoder=ToyEncoder(), index=detector.index,
                             harmless=detector.lookup.harmless))  # fmt: skip


def test_the_numbers_of_a_part_are_computed_again_from_it(tmp_path: Path, detector: Detector) -> None:
    found = detector.check(Listing("L", (tmp_path / "listing.png",)))
    assert (found.product, found.matches[0].region) == ("p2", pytest.approx(RIGHT, abs=0.02))
    assert audited(tmp_path, detector) == []


def test_another_part_than_was_found_is_exposed(tmp_path: Path, detector: Detector) -> None:
    (one, *_) = audited(tmp_path, detector, region=(0.0, 0.0, 0.5, 1.0))
    assert "its similarity is" in one


@pytest.mark.parametrize("region", [[0, 0, 1e9, 1e9], [0.5, 0, 0.5, 1], [None] * 4, [0, 0, 1], "all"])
def test_an_absurd_part_is_exposed_before_memory_is_taken(tmp_path: Path, detector: Detector, region: Any) -> None:
    def change(entries: list[Entry]) -> list[Entry]:
        (first, *others) = json.loads(entries[1].said["finding"]["candidates"])  # type: ignore[call-overload, index]
        told = json.dumps([{**first, "region": region}, *others], ensure_ascii=False, separators=(",", ":"))
        return [entries[0], with_finding(entries[1], candidates=told), *entries[2:]]

    assert audited(tmp_path, detector) == []
    forge(tmp_path / "bundle", change, pages=False)
    assert said(audit_bundle(tmp_path / "bundle", encoder=ToyEncoder(), index=detector.index))


def test_a_harmless_photo_in_the_same_part_suppresses_it_in_the_bundle_as_well(tmp_path: Path) -> None:
    rows = [Reference("r1", "p1", "B", tmp_path / "1.png")]
    Image.fromarray(photo(1)).save(tmp_path / "1.png")
    like_one = np.asarray(Image.blend(Image.fromarray(photo(1)), Image.fromarray(photo(5)), 0.2))
    Image.fromarray(like_one).save(tmp_path / "harmless.png")
    build_index(rows, index=tmp_path / "index", encoder=ToyEncoder())
    add_harmless([Reference("h", "h", "", tmp_path / "harmless.png")], index=tmp_path / "index", encoder=ToyEncoder())
    Image.fromarray(np.hstack([photo(9), like_one])).save(tmp_path / "listing.png")
    detector = opened(tmp_path)
    assert detector.check(Listing("L", (tmp_path / "listing.png",))).suppressed_by == "h"
    assert audited(tmp_path, detector) == []


def green(picture: Image.Image) -> NDArray[np.bool_]:
    return np.all(np.asarray(picture.convert("RGB")) == PART, axis=2)


def test_the_part_is_boxed_in_the_listing_photo_where_it_lies() -> None:
    grey = Image.new("RGB", (600, 300), (120, 120, 120))
    rows, columns = np.nonzero(green(compose_pair(grey, grey, region=RIGHT)))
    assert columns.max() - columns.min() == pytest.approx(rows.max() - rows.min(), rel=0.1), "half of two to one"
    assert not green(compose_pair(grey, grey)).any()


def test_in_a_mirrored_photo_the_box_is_mirrored_too() -> None:
    grey = Image.new("RGB", (600, 300), (120, 120, 120))
    plain, flipped = (
        green(compose_pair(grey, grey, Alignment(np.eye(3), np.empty((0, 4), np.float32), mirrored), region=RIGHT))
        for mirrored in (False, True)
    )
    assert np.nonzero(flipped)[1].mean() < np.nonzero(plain)[1].mean() - 100


def test_explanations_and_pictures_of_findings_mark_the_part(tmp_path: Path, detector: Detector) -> None:
    explained = explain_photo(str(tmp_path / "listing.png"), detector=detector)
    assert green(explained.explanation.picture).any()
    row = finding_row(detector.check(Listing("L", (tmp_path / "listing.png",))))
    listing, genuine = (Image.open(tmp_path / name).convert("RGB") for name in ("listing.png", "2.png"))
    assert green(draw_finding(row, genuine, listing)).any()
    assert not green(draw_finding({**row, "candidates": None}, genuine, listing)).any()


def test_a_report_boxes_the_part_in_its_thumbnail(tmp_path: Path, detector: Detector) -> None:
    row = finding_row(detector.check(Listing("L", (tmp_path / "listing.png",))))
    assert region_in(row) == pytest.approx(RIGHT, abs=0.02)
    sizes = []
    for each in (row, {**row, "candidates": None}):
        write_report([each], tmp_path / "r.html", thumbnail=lambda _: Image.new("RGB", (300, 150), "white"))
        sizes.append((tmp_path / "r.html").read_text(encoding="utf-8").count("data:image/webp"))
    assert sizes == [4, 2], "small and large: with a box, the listing's picture is another than the genuine one"


def test_a_region_is_read_only_if_it_lies_in_the_photo() -> None:
    match = Match(Reference("r", "p", "B", "r.jpg"), 0.9, region=RIGHT)
    values = {"reference": {"id": "r", "product": "p", "brand": "B", "image": "r.jpg"}, "similarity": 0.9,
              "verification": None, "verdict": None}  # fmt: skip
    assert Match.from_dict({**values, "region": list(RIGHT)}) == match
    for wrong in ([0, 0, 1], [0, 0, 1, 2], [0.5, 0, 0.5, 1], "0011", [0, 0, 1, None]):
        with pytest.raises((TypeError, ValueError)):
            Match.from_dict({**values, "region": wrong})
