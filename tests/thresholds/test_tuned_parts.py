"""Thresholds hold for the number of parts of a photo that they were set with, so a tuned policy keeps it."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy import ToyEncoder

from lookalike.detection.detector import Detector
from lookalike.detection.lookup import Lookup
from lookalike.detection.replay import compare_policies
from lookalike.errors import PolicyError
from lookalike.index.build import build_index
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.policy.policy import Policy
from lookalike.policy.terms import PARTS, Reach
from lookalike.records import Listing, Reference
from lookalike.scanning.scan import scan_listings
from lookalike.scripts.bench_pictures import texture
from lookalike.thresholds.tuned import Goal, tune_on_findings, tune_on_photos

WITH, WITHOUT = (
    Policy("p", flag=0.97, review=0.9, reach=Reach(references=0, parts=parts)) for parts in (PARTS, 0)
)  # fmt: skip


@pytest.fixture
def lookup(tmp_path: Path) -> Lookup:
    """Four references, and in labels.csv collages of one of them and another picture."""
    pictures = [texture(200, 200, np.random.default_rng(seed)) for seed in range(8)]
    for seed, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(tmp_path / f"{seed}.png")
    rows = [Reference(f"r{seed}", f"p{seed}", "B", tmp_path / f"{seed}.png") for seed in range(4)]
    build_index(rows, index=tmp_path / "index", encoder=ToyEncoder())
    with open(tmp_path / "labels.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "listing_id", "product_id", "lookalike"])
        for at in range(4):
            Image.fromarray(np.hstack([pictures[at], pictures[4 + at]])).save(tmp_path / f"pair{at}.png")
            writer.writerow([tmp_path / f"pair{at}.png", f"L{at}", f"p{at}", "true"])
    return Lookup(ToyEncoder(), ReferenceIndex.load(tmp_path / "index"), PhotoReader(workers=1))


FINDING = {"listing_id": "L1", "verdict": "unreadable", "policy": "other@1", "encoder": "toy@0"}


def test_photos_are_looked_up_in_parts_and_so_does_the_policy(tmp_path: Path, lookup: Lookup) -> None:
    tuned = tune_on_photos(tmp_path / "labels.csv", lookup=lookup, goal=Goal(precision=0.5))
    assert tuned.policy.reach.parts == PARTS > 0
    assert all(photo.matches[0].region is not None for photo in tuned.labels.photos)
    tuned.policy.save(tmp_path / "policy.toml")
    assert Policy.load(tmp_path / "policy.toml").reach.parts == PARTS


@pytest.mark.parametrize("policy", [WITH, WITHOUT])
def test_findings_tell_the_parts_by_their_policy(tmp_path: Path, lookup: Lookup, policy: Policy) -> None:
    listings = [Listing(f"L{at}", (tmp_path / f"pair{at}.png",)) for at in range(4)]
    scan_listings(listings, detector=Detector(lookup, policy), out=tmp_path / "f.parquet")
    tuned = tune_on_findings(tmp_path / "labels.csv", tmp_path / "f.parquet", index=lookup.index, policy=policy,
                             goal=Goal(precision=0.5))  # fmt: skip
    assert tuned.policy.reach.parts == policy.reach.parts


def test_findings_cannot_compare_policies_with_other_numbers_of_parts() -> None:
    with pytest.raises(PolicyError, match="other numbers of a photo's parts"):
        compare_policies([FINDING], WITH, WITHOUT)
    assert compare_policies([FINDING], WITH, replace(WITH, flag=0.98)).moved == {("unreadable", "unreadable"): 1}


def test_a_policy_without_parts_keeps_the_label_of_its_findings() -> None:
    assert str(Policy("mine", 0.8, 0.7)) == "mine@d6ca510f"
    assert str(WITH) != str(WITHOUT)
