"""A scan of changes finds what a scan of everything finds, and reads only what changed."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import sqlite3
import weakref
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from toy import ToyEncoder, save_pictures

from lookalike import Detector, Listing, Policy
from lookalike.detection.lookup import Lookup
from lookalike.errors import LookalikeError, ScanStateError, TableError
from lookalike.index.build import add_harmless, add_references, build_index, load_harmless, remove_references
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.policy.terms import Reach
from lookalike.records import Reference
from lookalike.scanning import changes as changes_module
from lookalike.scanning.changes import rescan_references, scan_changes
from lookalike.scanning.scan import scan_listings
from lookalike.scanning.windows import Stored
from lookalike.tables.findings import read_findings

UNCOMPARED = Policy("plain", flag=0.9, review=0.7, reach=Reach(references=0))
COMPARED = replace(UNCOMPARED, reach=Reach())


@pytest.fixture
def market(tmp_path: Path) -> Path:
    """An index of 40 products, and 130 photos, of which every tenth is a product's own, darkened."""
    genuine = save_pictures(tmp_path / "genuine", 60)
    build_index(references(tmp_path, range(40)), index=tmp_path / "index", encoder=ToyEncoder())
    for number, path in enumerate(save_pictures(tmp_path / "photos", 130, seed=1)):
        if number % 10 == 0:
            Image.open(genuine[number // 3]).point(lambda value: value * 9 // 10).save(path)
    return tmp_path


def references(market: Path, numbers: Sequence[int]) -> list[Reference]:
    return [Reference(f"r{i}", f"p{i // 2}", "Brand", market / "genuine" / f"0-{i}.png") for i in numbers]


def listings(market: Path) -> list[Listing]:
    photos = [market / "photos" / f"1-{i}.png" for i in range(130)]
    return [
        Listing(f"L{i}", tuple(photos[2 * i : 2 * i + 2]), seller=f"s{i % 5}", price=Decimal("9.5")) for i in range(65)
    ]


def detector(market: Path, policy: Policy = UNCOMPARED) -> Detector:
    index = ReferenceIndex.load(market / "index")
    return Detector(Lookup(ToyEncoder(), index, PhotoReader(workers=2), 3, load_harmless(market / "index")), policy)


def rows(path: Path) -> list[dict[str, Any]]:
    found = list(read_findings(path))
    for row in found:
        del row["scanned_at"]
    return found


def full(
    market: Path, offered: Sequence[Listing], policy: Policy = UNCOMPARED, *, ending: str = ".parquet"
) -> list[dict[str, Any]]:
    out = market / f"full{ending}"
    scan_listings(offered, detector=detector(market, policy), out=out)
    return rows(out)


def changes(market: Path, offered: Sequence[Listing], policy: Policy = UNCOMPARED, *, out: str = "out.parquet") -> Any:
    return scan_changes(offered, detector=detector(market, policy), since=market / "state", out=market / out)


@pytest.mark.parametrize("out", ["out.parquet", "out.csv", "out.jsonl"])
def test_the_first_scan_looks_at_everything_and_the_next_at_nothing(market: Path, out: str) -> None:
    offered = listings(market)
    first = changes(market, offered, out=out)
    assert (first.looked_at, first.kept, first.judged, first.photos) == (65, 0, 0, 0)
    assert rows(market / out) == full(market, offered, ending=Path(out).suffix)
    (market / out).unlink()
    again = changes(market, offered, out=out)
    assert (again.looked_at, again.kept, again.judged, again.photos) == (0, 65, 0, 130)
    assert again.verdicts == first.verdicts
    assert again.spared > 0
    assert rows(market / out) == full(market, offered, ending=Path(out).suffix)


def test_looks_only_at_what_is_new_or_changed(market: Path) -> None:
    offered = listings(market)
    changes(market, offered)
    Image.new("RGB", (30, 30), "red").save(offered[7].images[1])
    Path(str(offered[9].images[0])).unlink()
    later = [
        replace(offered[3], price=Decimal("1.0")),
        *offered[64:20:-1],
        *offered[4:21],
        Listing("new", offered[0].images),
    ]
    summary = changes(market, later)
    assert (summary.looked_at, summary.kept, summary.judged) == (4, len(later) - 4, 0)
    assert rows(market / "out.parquet") == full(market, later)
    assert changes(market, later).looked_at == 1, "what failed is tried again"


def test_another_policy_or_harmless_photo_needs_no_picture(market: Path) -> None:
    offered = listings(market)
    changes(market, offered)
    other = replace(UNCOMPARED, flag=0.95, review=0.5)
    assert changes(market, offered, other).judged == 65
    assert rows(market / "out.parquet") == full(market, offered, other)
    add_harmless(
        [Reference("h", "h", "", market / "genuine" / "0-0.png")], index=market / "index", encoder=ToyEncoder()
    )
    expected = full(market, offered, other)
    hide(market)
    summary = rescan_references(detector=detector(market, other), since=market / "state", out=market / "out.parquet")
    assert (summary.judged, summary.looked_at) == (65, 0)
    assert rows(market / "out.parquet") == expected


def hide(market: Path) -> None:
    (market / "photos").rename(market / "hidden")


def same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Rows are equal; similarities but for their last bits, which depend on what they were computed together with."""
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.pop("similarity") == pytest.approx(theirs.pop("similarity"), abs=1e-6)
        ours.pop("candidates"), theirs.pop("candidates")
        assert ours == theirs


def test_new_changed_and_removed_references_are_found_without_opening_a_picture(market: Path) -> None:
    offered = listings(market)
    changes(market, offered)
    before = rows(market / "out.parquet")
    decided = {row["reference_id"] for row in before if row["verdict"] == "flagged"}
    remove_references(index=market / "index", references=sorted(decided)[:3])
    fresh = [*references(market, range(40, 60)), replace(references(market, [5])[0], product="p-other")]
    add_references(fresh, index=market / "index", encoder=ToyEncoder())
    expected = full(market, offered)
    assert [row["verdict"] for row in expected] != [row["verdict"] for row in before]
    hide(market)
    summary = rescan_references(detector=detector(market), since=market / "state", out=market / "new.parquet")
    assert summary.looked_at == summary.opened == 0
    assert summary.kept + summary.judged == 65
    assert summary.kept > 0
    same(rows(market / "new.parquet"), expected)
    again = rescan_references(detector=detector(market), since=market / "state", out=market / "new.parquet")
    assert (again.judged, again.kept) == (0, 65)


def test_one_new_reference_touches_few_listings(market: Path) -> None:
    offered = listings(market)
    changes(market, offered)
    shutil.copy(str(offered[11].images[0]), market / "genuine" / "0-40.png")
    add_references(references(market, [40]), index=market / "index", encoder=ToyEncoder())
    summary = rescan_references(detector=detector(market), since=market / "state", out=market / "new.parquet")
    assert 0 < summary.judged < 40
    assert rows(market / "new.parquet")[11]["reference_id"] == "r40"


def test_photos_in_reach_of_new_references_are_opened_to_compare_them(market: Path) -> None:
    offered = listings(market)
    changes(market, offered, COMPARED)
    shutil.copy(str(offered[11].images[0]), market / "genuine" / "0-40.png")
    add_references(references(market, [40]), index=market / "index", encoder=ToyEncoder())
    found = detector(market, COMPARED)
    summary = rescan_references(detector=found, since=market / "state", out=market / "new.parquet")
    assert 0 < summary.opened < 20
    same(rows(market / "new.parquet"), full(market, offered, COMPARED))


def test_listings_may_come_in_another_order_from_many_windows(market: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes_module, "MOST_LISTINGS", 7)
    offered = listings(market)
    changes(market, offered)
    assert len(list((market / "state").glob("vectors-*"))) == 10
    shuffled = random.Random(0).sample(offered, 60)
    shuffled[5:5] = [Listing("new", offered[0].images), replace(offered[3], price=Decimal("1.0"), id="other")]
    summary = changes(market, shuffled)
    assert (summary.looked_at, summary.kept) == (2, 60)
    assert rows(market / "out.parquet") == full(market, shuffled)
    remove_references(index=market / "index", references=["r0"])
    add_references(references(market, range(40, 60)), index=market / "index", encoder=ToyEncoder())
    expected = full(market, shuffled)
    hide(market)
    again = rescan_references(detector=detector(market), since=market / "state", out=market / "new.parquet")
    assert again.judged > 0 and again.opened == 0
    same(rows(market / "new.parquet"), expected)


def test_windows_in_which_nothing_changed_are_not_written_again(market: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes_module, "MOST_LISTINGS", 7)
    offered = listings(market)
    changes(market, offered)
    before = {path.name for path in (market / "state").glob("*-*")}
    changes(market, [*offered[:30], replace(offered[30], title="new"), *offered[31:]])
    after = {path.name for path in (market / "state").glob("*-*")}
    assert len(before) == len(after) == 21 and len(before & after) == 20, "the rows of one window are new"


def test_a_rescan_reads_vectors_a_window_at_a_time(market: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes_module, "MOST_LISTINGS", 7)
    changes(market, listings(market))
    add_references(references(market, [40]), index=market / "index", encoder=ToyEncoder())
    alive: list[weakref.ref[Any]] = []
    most = 0
    read = Stored._vectors

    def watched(self: Stored, folder: Path, dim: int) -> Any:
        nonlocal most
        vectors = read(self, folder, dim).copy()
        alive.append(weakref.ref(vectors))
        most = max(most, sum(each() is not None for each in alive))
        return vectors

    monkeypatch.setattr(Stored, "_vectors", watched)
    rescan_references(detector=detector(market), since=market / "state", out=market / "new.parquet")
    assert len(alive) == 10
    assert most <= 3


def test_comparisons_that_the_state_no_longer_refers_to_are_forgotten(market: Path) -> None:
    offered = listings(market)
    changes(market, offered, COMPARED)

    def keys() -> set[str]:
        with closing(sqlite3.connect(market / "state" / "verified.sqlite")) as file:
            return {key for (key,) in file.execute("SELECT key FROM results")}

    first = keys()
    changes(market, offered, COMPARED)
    assert keys() == first, "nothing changed, so that nothing is forgotten"
    changes(market, offered[:20], COMPARED)
    kept = keys()
    photos = {
        hashlib.sha256(Path(str(image)).read_bytes()).hexdigest() for each in offered[:20] for image in each.images
    }
    assert kept == {key for key in first if key.split()[2] in photos}
    assert 0 < len(kept) < len(first)
    gone = ReferenceIndex.load(market / "index").image_sha256("r0")
    remove_references(index=market / "index", references=["r0"])
    rescan_references(detector=detector(market, COMPARED), since=market / "state", out=market / "new.parquet")
    assert any(str(gone) in key for key in kept)
    assert not any(str(gone) in key for key in keys())


def test_refuses_a_state_that_is_missing_damaged_or_of_another_encoder_or_limits(market: Path) -> None:
    with pytest.raises(ScanStateError, match="there is no state of a scan"):
        rescan_references(detector=detector(market), since=market / "state", out=market / "new.parquet")
    changes(market, listings(market))
    path = next((market / "state").glob("rows-*.parquet"))
    right = path.read_bytes()
    path.write_bytes(right[:-50] + bytes(50))
    with pytest.raises(ScanStateError, match="is not as it was written"):
        changes(market, listings(market))
    path.write_bytes(right)
    manifest = json.loads((market / "state" / "state.json").read_bytes())
    manifest["basis"]["reading"] = "other"
    (market / "state" / "state.json").write_text(json.dumps(manifest))
    with pytest.raises(ScanStateError, match="another encoder, other limits on pictures or other parts of them"):
        rescan_references(detector=detector(market), since=market / "state", out=market / "new.parquet")
    assert changes(market, listings(market)).looked_at == 65


def test_what_a_killed_scan_left_of_its_table_is_removed(market: Path) -> None:
    (market / "out.parquet.0123456789abcdef.tmp").write_bytes(b"half")
    (market / "out.parquet.mine.tmp").write_bytes(b"somebody else's")
    changes(market, listings(market)[:3])
    assert sorted(path.name for path in market.glob("out.parquet*")) == ["out.parquet", "out.parquet.mine.tmp"]


def test_of_no_listings_nothing_is_found(market: Path) -> None:
    assert changes(market, []).listings == 0
    assert changes(market, []).listings == 0


def test_a_second_scan_with_the_same_state_or_table_is_refused_and_changes_nothing(market: Path) -> None:
    changes(market, listings(market))
    saved = (market / "state" / "state.json").read_bytes()
    refused = []

    def intrude(_: int) -> None:
        for since, out in (("state", "other.csv"), ("other", "new.csv")):
            with pytest.raises(LookalikeError, match="another process is .*; wait until it is done, or choose") as no:
                scan_changes(listings(market), detector=detector(market), since=market / since, out=market / out)
            refused.append(no.type)
        with pytest.raises(ScanStateError, match="another process"):
            rescan_references(detector=detector(market), since=market / "state", out=market / "other.csv")

    rescan_references(detector=detector(market), since=market / "state", out=market / "new.csv", progress=intrude)
    assert refused == [ScanStateError, TableError]
    assert rows(market / "new.csv")
    assert not (market / "other.csv").exists()
    assert not (market / "other").exists()
    assert (market / "state" / "state.json").read_bytes() == saved
