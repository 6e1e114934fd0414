"""A scan's state keeps the vectors of photos' parts, so that a later scan finds by parts without opening a picture."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from toy import ToyEncoder

from lookalike.detection.detector import Detector
from lookalike.detection.lookup import Lookup
from lookalike.errors import ScanStateError
from lookalike.index.build import add_references, build_index, remove_references
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.index.vector_cache import VectorCache
from lookalike.policy.policy import Policy
from lookalike.policy.terms import Reach
from lookalike.records import Listing, Reference
from lookalike.scanning.changes import rescan_references, scan_changes
from lookalike.scanning.scan import scan_listings
from lookalike.scanning.state import ScanState
from lookalike.scanning.windows import vectors_of_photos
from lookalike.scripts.bench_pictures import texture
from lookalike.tables.candidates import region_in
from lookalike.tables.findings import read_findings

PARTS = Policy("parts", flag=0.97, review=0.9, reach=Reach(references=0, parts=8))


def texture_of(seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return texture(200, 200, np.random.default_rng(seed))


@pytest.fixture
def market(tmp_path: Path) -> Path:
    """An index of products 0 to 9, and listings that show two products of 0 to 19 each, or none."""
    for folder in ("genuine", "photos"):
        (tmp_path / folder).mkdir()
    for seed in range(20):
        Image.fromarray(texture_of(seed)).save(tmp_path / "genuine" / f"{seed}.png")
    for number in range(10):
        pair = [number, number + 10] if number < 8 else [30 + number, 40 + number]
        Image.fromarray(np.hstack([texture_of(seed) for seed in pair])).save(tmp_path / "photos" / f"{number}.png")
    (tmp_path / "photos" / "broken.png").write_bytes(b"no picture")
    build_index(references(tmp_path, range(10)), index=tmp_path / "index", encoder=ToyEncoder())
    return tmp_path


def references(market: Path, numbers: range) -> list[Reference]:
    return [Reference(f"r{at}", f"p{at}", "B", market / "genuine" / f"{at}.png") for at in numbers]


def listings(market: Path) -> list[Listing]:
    photos = [market / "photos" / f"{number}.png" for number in range(10)]
    broken = Listing("broken", (market / "photos" / "broken.png", photos[0]))
    return [*(Listing(f"L{at}", (photo,)) for at, photo in enumerate(photos)), broken]


def detector(market: Path, policy: Policy = PARTS) -> Detector:
    return Detector(Lookup(ToyEncoder(), ReferenceIndex.load(market / "index"), PhotoReader(workers=2)), policy)


def rows(path: Path) -> list[dict[str, Any]]:
    found = list(read_findings(path))
    for row in found:
        del row["scanned_at"]
    return found  # type: ignore[return-value]


def full(market: Path, policy: Policy = PARTS) -> list[dict[str, Any]]:
    scan_listings(listings(market), detector=detector(market, policy), out=market / "full.parquet")
    return rows(market / "full.parquet")


def scan(market: Path, policy: Policy = PARTS, **options: Any) -> Any:
    return scan_changes(listings(market), detector=detector(market, policy), since=market / "state",
                        out=market / "f.parquet", **options)  # fmt: skip


def test_the_products_that_parts_show_are_in_the_findings(market: Path) -> None:
    found = {row["listing_id"]: row for row in full(market)}
    assert found["L3"]["verdict"] == "flagged"
    region = region_in(found["L3"])
    assert region == pytest.approx((0, 0, 0.5, 1), abs=0.02)
    assert found["L9"]["verdict"] == "clear"


def test_a_scan_of_changes_is_a_full_scan_and_looks_again_at_nothing(market: Path) -> None:
    scan(market)
    assert rows(market / "f.parquet") == full(market)
    again = scan(market)
    assert (again.looked_at, again.kept) == (1, 10), "only the photo that can't be read is tried again"
    assert rows(market / "f.parquet") == full(market)


def test_references_that_only_a_part_shows_are_found_without_opening_a_picture(market: Path) -> None:
    scan(market)
    add_references(references(market, range(10, 20)), index=market / "index", encoder=ToyEncoder())
    remove_references(index=market / "index", references=["r3"])
    expected = [row for row in full(market) if row["listing_id"] != "broken"]
    shutil.rmtree(market / "photos")
    rescan_references(detector=detector(market), since=market / "state", out=market / "f.parquet")
    found = [row for row in rows(market / "f.parquet") if row["listing_id"] != "broken"]
    assert found == expected
    third = next(row for row in found if row["listing_id"] == "L3")
    assert third["product_id"] == "p13" and region_in(third) == pytest.approx((0.5, 0, 1, 1), abs=0.02)


def test_another_number_of_parts_needs_another_look(market: Path) -> None:
    scan(market)
    fewer = replace(PARTS, reach=replace(PARTS.reach, parts=1))
    with pytest.raises(ScanStateError, match="other parts of them; scan again"):
        rescan_references(detector=detector(market, fewer), since=market / "state", out=market / "f.parquet")
    assert scan(market, fewer).looked_at == 11
    assert rows(market / "f.parquet") == full(market, fewer)


def test_what_is_embedded_for_one_scan_is_not_embedded_for_the_next(market: Path) -> None:
    encoder = ToyEncoder()
    opened = replace(detector(market).lookup, encoder=encoder)
    for expected in (True, False):
        before = encoder.embedded
        with VectorCache(market / "c.sqlite", encoder.spec) as cache:
            scan_listings(listings(market), detector=Detector(opened, PARTS), out=market / "f.parquet", cache=cache)
        assert (encoder.embedded > before) == expected


def test_the_state_keeps_a_vector_for_each_part_of_each_photo_that_was_read(market: Path) -> None:
    scan(market)
    state = ScanState.load(market / "state")
    assert state is not None
    (window,) = (state.window(number) for number in range(len(state.windows)))
    photos = window.table["photos"].combine_chunks().flatten()
    counts = vectors_of_photos(photos)
    assert counts.sum() == len(window.vectors)
    assert [photo["error"] is None for photo in photos.to_pylist()] == (counts > 0).tolist()
    assert counts.max() > 2
