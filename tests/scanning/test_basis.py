"""What findings rest on is the same for the same detector in every process, and differs if anything of it does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from toy import ToyEncoder, unit_vectors

from lookalike import Detector, Policy
from lookalike.detection.lookup import Lookup
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.images import ImageLimits
from lookalike.model.sources import Access
from lookalike.records import Reference
from lookalike.rights.rights import Rights
from lookalike.scanning.basis import Basis, reading_text

POLICY = Policy("toy", flag=0.9, review=0.7)
DAY = date(2026, 1, 1)


def index_of(folder: Path, count: int) -> ReferenceIndex:
    index = ReferenceIndex(ToyEncoder().spec)
    rows = [Reference(f"r{i}", f"p{i}", "Brand", "x.jpg") for i in range(count)]
    index.add(rows, unit_vectors(count), hashes=["0"] * count)
    index.save(folder)
    return ReferenceIndex.load(folder)


@pytest.fixture
def detector(tmp_path: Path) -> Detector:
    return Detector(Lookup(ToyEncoder(), index_of(tmp_path / "index", 3), PhotoReader(), 3), POLICY)


def test_is_the_same_again_and_when_it_was_read_from_a_file(detector: Detector, tmp_path: Path) -> None:
    basis = Basis.of(detector)
    again = Detector(
        Lookup(ToyEncoder(), ReferenceIndex.load(tmp_path / "index"), PhotoReader(workers=1), 3), replace(POLICY)
    )
    assert Basis.of(again) == basis
    assert Basis(**json.loads(str(basis))) == basis


CHANGES: dict[str, Callable[[Detector, Path], Detector]] = {
    "policy": lambda found, _: replace(found, policy=replace(POLICY, flag=0.95)),
    "top": lambda found, _: replace(found, lookup=replace(found.lookup, top=4)),
    "harmless": lambda found, folder: replace(found, lookup=replace(found.lookup, harmless=index_of(folder / "h", 2))),
    "index": lambda found, folder: replace(found, lookup=replace(found.lookup, index=index_of(folder / "i", 4))),
    "rights": lambda found, _: replace(found, rights=Rights.load(), day=DAY),
}


@pytest.mark.parametrize("change", CHANGES)
def test_differs_where_vectors_stay(detector: Detector, tmp_path: Path, change: str) -> None:
    other = CHANGES[change](detector, tmp_path)
    assert Basis.of(other) != Basis.of(detector)
    assert str(Basis.of(other)) != str(Basis.of(detector))
    assert Basis.of(other).embeds_like(Basis.of(detector))


def test_differs_by_the_day_that_rights_are_asked_for(detector: Detector) -> None:
    first, second = (replace(detector, rights=Rights.load(), day=DAY.replace(day=day)) for day in (1, 2))
    assert Basis.of(first) != Basis.of(second)


@pytest.mark.parametrize(
    "reader", [PhotoReader(access=Access(private=True)), PhotoReader(limits=ImageLimits(max_pixels=1000))]
)
def test_pictures_that_are_read_otherwise_have_other_vectors(detector: Detector, reader: PhotoReader) -> None:
    other = Basis.of(replace(detector, lookup=replace(detector.lookup, reader=reader)))
    assert not other.embeds_like(Basis.of(detector))


def test_another_encoder_has_other_vectors(detector: Detector, tmp_path: Path) -> None:
    encoder = ToyEncoder("1" * 64)
    index = ReferenceIndex(encoder.spec)
    index.add([Reference("r", "p", "b", "r.png")], unit_vectors(1), hashes=["0"])
    other = Detector(Lookup(encoder, index, PhotoReader(), 3), POLICY)
    assert not Basis.of(other).embeds_like(Basis.of(detector))


READING = """
from lookalike.index.embedding import PhotoReader
from lookalike.model.sources import Access
from lookalike.scanning.basis import reading_text
print(reading_text(PhotoReader(access=Access(schemes=frozenset({"s3", "https", "gs", "http", "ftp"})))))
"""


def test_the_order_of_a_set_makes_no_difference() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", READING],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for seed in "12345"
    }
    schemes = frozenset({"s3", "https", "gs", "http", "ftp"})
    assert said == {reading_text(PhotoReader(access=Access(schemes=schemes)))}
