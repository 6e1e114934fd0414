"""Photos in a bundle are compared again point by point, which exposes forged numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from forged import forge, said, with_finding
from PIL import Image, ImageOps
from toy import ToyEncoder

import lookalike
from lookalike import Detector, Listing, Policy, scan_listings
from lookalike.detection.lookup import Lookup
from lookalike.evidence.audit import audit_bundle
from lookalike.evidence.bundle import write_bundle
from lookalike.evidence.manifest import Entry
from lookalike.index.build import build_index
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.policy.fusion import Fusion
from lookalike.policy.terms import Reach
from lookalike.records import Reference
from lookalike.tables.findings import read_findings

SAMPLE = Path(lookalike.__file__).parent / "sample" / "images"
NAMES = ["yelmique-ground-coffee-front", "kweniska-olive-oil-front"]
POLICY = Policy("fused", flag=0.9, review=0.1, reach=Reach(-1.0), fusion=Fusion(-6.0, 1.0, 0.0, 2.0, 0.0))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    build_index([Reference(name, name, "Brand", SAMPLE / f"{name}.jpg") for name in NAMES], index=tmp_path / "index",
                encoder=ToyEncoder())  # fmt: skip
    index = ReferenceIndex.load(tmp_path / "index")
    POLICY.save(tmp_path / "policy.toml")
    listings = []
    for name in NAMES:
        copy = tmp_path / f"{name}.png"
        image = Image.open(SAMPLE / f"{name}.jpg").convert("RGB")
        ImageOps.mirror(image.crop((0, 0, image.width, image.height * 4 // 5))).save(copy)
        listings.append(Listing(name, (copy,)))
    detector = Detector(Lookup(ToyEncoder(), index, PhotoReader()), POLICY)
    scan_listings(listings, detector=detector, out=tmp_path / "f.parquet")
    rows = list(read_findings(tmp_path / "f.parquet"))
    assert all(row["inliers"] > 20 and row["mirrored"] is True for row in rows)
    write_bundle(rows, tmp_path / "bundle", index=index, policy=tmp_path / "policy.toml")
    return tmp_path / "bundle"


def audited(bundle: Path) -> list[str]:
    index = ReferenceIndex.load(bundle.parent / "index")
    return said(audit_bundle(bundle, encoder=ToyEncoder(), index=index))


def lie(bundle: Path, *, verification: dict[str, Any] | None = None, **row: Any) -> None:
    """Change the first finding, and the candidate that it rests on, in the manifest and the table alike."""

    def change(entries: list[Entry]) -> list[Entry]:
        finding = {**entries[1].said["finding"], **row}
        candidates = json.loads(finding["candidates"])
        candidates[0]["verification"].update(verification or {})
        text = json.dumps(candidates, ensure_ascii=False, separators=(",", ":"))
        return [entries[0], with_finding(entries[1], **{**row, "candidates": text}), *entries[2:]]

    forge(bundle, change)


def test_points_and_probability_verify(bundle: Path) -> None:
    assert audited(bundle) == []


def test_more_points_than_there_are(bundle: Path) -> None:
    lie(bundle, verification={"inliers": 900}, inliers=900)
    assert any("900 points of its photos match, but" in line for line in audited(bundle))
    assert any("its probability is" in line for line in audited(bundle))


def test_another_kind_or_side(bundle: Path) -> None:
    lie(bundle, verification={"mirrored": False}, mirrored=False)
    assert any("not mirrored, but they are" in line for line in audited(bundle))
    lie(bundle, verification={"mirrored": True, "kind": "same_print"}, mirrored=True, kind="same_print")
    assert any("it says that its photos are same_print" in line for line in audited(bundle))


def test_numbers_of_the_row_that_contradict_its_candidates(bundle: Path) -> None:
    lie(bundle, inliers=3, coverage=0.01, mirrored=False, probability=0.2)
    told = " ".join(audited(bundle))
    for name in ("inliers", "coverage", "mirrored", "probability"):
        assert f"its {name} is" in told


def test_a_kind_is_compared_only_when_as_many_points_match(bundle: Path) -> None:
    entry = json.loads((bundle / "findings.jsonl").read_text().splitlines()[0])
    fewer = entry["inliers"] - 1  # as another release of OpenCV might find
    lie(bundle, verification={"inliers": fewer, "kind": "same_print"}, inliers=fewer, kind="same_print")
    assert not any("it says that its photos are" in line for line in audited(bundle))


def test_another_policy_judges_the_same_points(bundle: Path) -> None:
    other = replace(POLICY, fusion=Fusion(-60.0, 1.0, 0.0, 2.0, 0.0))
    found = said(audit_bundle(bundle, policy=other))
    assert any("its verdict is flagged" in line for line in found)
