"""A scan gives one row per listing, embeds each picture once, and resumes where it was killed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from toy import ToyEncoder, save_pictures

from lookalike import Detector, Listing, Policy, scan_listings
from lookalike.detection.lookup import Lookup
from lookalike.errors import TableError
from lookalike.index.blobs import BlobCache
from lookalike.index.build import build_index
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.index.vector_cache import VectorCache
from lookalike.model import local
from lookalike.model.sources import Access
from lookalike.records import Reference
from lookalike.tables.findings import finding_row, read_findings

POLICY = Policy(name="toy", flag=0.99, review=0.9)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return save_pictures(tmp_path / "photos", 12)


@pytest.fixture
def detector(tmp_path: Path, paths: list[Path]) -> Detector:
    rows = [Reference(f"r{i}", f"p{i}", "Brand", path) for i, path in enumerate(paths[:6])]
    build_index(rows, index=tmp_path / "index", encoder=ToyEncoder())
    return Detector(Lookup(ToyEncoder(), ReferenceIndex.load(tmp_path / "index"), PhotoReader()), POLICY)


def listings(paths: list[Path], count: int) -> Iterator[Listing]:
    for i in range(count):
        images = ("gone.jpg",) if i % 100 == 7 else (paths[i % len(paths)],)
        yield Listing(f"L{i}", images, seller=f"s{i % 3}", territory="DE", price=Decimal(f"{i}.5"), currency="EUR")


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
def test_writes_one_row_a_listing_in_each_format(
    tmp_path: Path, detector: Detector, paths: list[Path], ending: str
) -> None:
    out = tmp_path / f"findings{ending}"
    summary = scan_listings(listings(paths, 50), detector=detector, out=out)
    expected = [finding_row(finding) for finding in detector.check_many(listings(paths, 50))]
    rows = list(read_findings(out))
    assert [row["listing_id"] for row in rows] == [f"L{i}" for i in range(50)]
    for row, wanted in zip(rows, expected, strict=True):
        assert row["similarity"] == pytest.approx(wanted["similarity"])
        assert {**row, "similarity": 0, "scanned_at": 0} == {**wanted, "similarity": 0, "scanned_at": 0}
    assert (summary.listings, summary.errors) == (50, 1)
    assert summary.verdicts == {"flagged": 26, "clear": 23, "unreadable": 1}
    assert not out.with_name(out.name + ".partial").exists()


def test_embeds_each_picture_once(tmp_path: Path, detector: Detector, paths: list[Path]) -> None:
    scan_listings(listings(paths, 2000), detector=detector, out=tmp_path / "f.parquet")
    assert detector.encoder.embedded == 12  # type: ignore[attr-defined]


def test_a_later_scan_with_the_same_cache_compares_no_pair_again(
    tmp_path: Path, detector: Detector, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[int] = []
    real = local.verify
    monkeypatch.setattr(local, "verify", lambda *pair: compared.append(1) or real(*pair))
    rows = []
    for name in ("first", "second", "without"):
        out = tmp_path / f"{name}.parquet"
        with VectorCache(tmp_path / f"{name.replace('second', 'first')}.sqlite", ToyEncoder().spec) as cache:
            scan_listings(listings(paths, 6), detector=detector, out=out, cache=cache)
        rows.append([{**row, "scanned_at": 0} for row in read_findings(out)])
        compared.append(0)
    assert rows[0] == rows[1] == rows[2] and any(row["inliers"] for row in rows[0])
    pairs = compared.index(0)
    assert pairs > 0 and compared == [*[1] * pairs, 0, 0, *[1] * pairs, 0]


def test_two_scans_at_once_share_what_they_compare(tmp_path: Path, detector: Detector, paths: list[Path]) -> None:
    def scan(name: str) -> None:
        with VectorCache(tmp_path / "vectors.sqlite", ToyEncoder().spec) as cache:
            scan_listings(listings(paths, 6), detector=detector, out=tmp_path / f"{name}.parquet", cache=cache)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(scan, ("one", "two")))
    one, two = (
        [{**row, "scanned_at": 0} for row in read_findings(tmp_path / f"{name}.parquet")] for name in ("one", "two")
    )
    assert one == two
    with BlobCache(tmp_path / "vectors.pairs.sqlite") as kept:
        assert not kept.empty


def test_resumes_where_it_was_killed(tmp_path: Path, detector: Detector, paths: list[Path]) -> None:
    class Killed(BaseException):
        pass

    def dying() -> Iterator[Listing]:
        yield from listings(paths, 2600)
        raise Killed

    whole, out = tmp_path / "whole.jsonl", tmp_path / "f.jsonl"
    scan_listings(listings(paths, 3000), detector=detector, out=whole, fingerprint="t")
    with pytest.raises(Killed):
        scan_listings(dying(), detector=detector, out=out, fingerprint="t")
    assert not out.exists()
    embedded = detector.encoder.embedded  # type: ignore[attr-defined]
    done: list[int] = []
    summary = scan_listings(listings(paths, 3000), detector=detector, out=out, fingerprint="t", progress=done.append)
    assert summary.resumed == 2048
    assert sum(done) == 3000
    assert detector.encoder.embedded == embedded  # type: ignore[attr-defined]
    assert untimed(out) == untimed(whole)


def untimed(path: Path) -> list[dict[str, Any]]:
    return [{**row, "scanned_at": None} for row in read_findings(path)]


def test_says_which_bytes_decided_and_when(tmp_path: Path, detector: Detector, paths: list[Path]) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    pictures = (paths[9], paths[2].read_bytes(), "gone.jpg")
    scan_listings([Listing("L", pictures), Listing("none", ("gone.jpg",))], detector=detector, out=tmp_path / "f.csv")
    found, unread = read_findings(tmp_path / "f.csv")
    assert found["image_sha256"] == hashlib.sha256(paths[2].read_bytes()).hexdigest()
    for row in (found, unread):
        assert before <= datetime.fromisoformat(row["scanned_at"]) <= datetime.now(UTC)
    assert unread["image_sha256"] is None


def test_reports_each_listing_as_it_is_done(tmp_path: Path, detector: Detector, paths: list[Path]) -> None:
    done: list[int] = []
    scan_listings(listings(paths, 50), detector=detector, out=tmp_path / "f.csv", progress=done.append)
    assert done == [1] * 50


def test_starts_over_when_more_may_be_read(tmp_path: Path, detector: Detector, paths: list[Path]) -> None:
    def dying() -> Iterator[Listing]:
        yield from listings(paths, 1500)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan_listings(dying(), detector=detector, out=tmp_path / "f.csv")
    freer = replace(detector, lookup=replace(detector.lookup, reader=PhotoReader(access=Access(private=True))))
    assert scan_listings(listings(paths, 1500), detector=freer, out=tmp_path / "f.csv").resumed == 0


def test_starts_over_for_other_listings(tmp_path: Path, detector: Detector, paths: list[Path]) -> None:
    def dying() -> Iterator[Listing]:
        yield from listings(paths, 1500)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan_listings(dying(), detector=detector, out=tmp_path / "f.csv", fingerprint="one")
    assert (
        scan_listings(listings(paths, 1500), detector=detector, out=tmp_path / "f.csv", fingerprint="two").resumed == 0
    )


def test_refuses_an_ending_before_any_work(tmp_path: Path, detector: Detector, paths: list[Path]) -> None:
    with pytest.raises(TableError, match="use .csv, .parquet or .jsonl"):
        scan_listings(listings(paths, 3), detector=detector, out=tmp_path / "f.xlsx")
    assert detector.encoder.embedded == 0  # type: ignore[attr-defined]


def test_a_second_scan_to_the_same_table_is_refused_and_changes_nothing(
    tmp_path: Path, detector: Detector, paths: list[Path]
) -> None:
    out, refused = tmp_path / "f.csv", []

    def intrude(_: int) -> None:
        if not refused and (tmp_path / "f.csv.partial" / "part-000000.parquet").exists():
            with pytest.raises(
                TableError, match=r"another process is writing .*f\.csv; wait until it is done, or"
            ) as no:
                scan_listings(listings(paths, 30), detector=detector, out=out, fingerprint="other")
            refused.append(no)

    summary = scan_listings(listings(paths, 1500), detector=detector, out=out, fingerprint="t", progress=intrude)
    assert refused
    assert (summary.listings, summary.resumed) == (1500, 0)
    assert [row["listing_id"] for row in read_findings(out)] == [f"L{i}" for i in range(1500)]
    assert not (tmp_path / "f.csv.partial").exists()


@pytest.mark.parametrize("change", ["unlink", "basis", "another"])
def test_parts_that_somebody_changes_meanwhile_are_not_joined(
    tmp_path: Path, detector: Detector, paths: list[Path], change: str
) -> None:
    folder = tmp_path / "f.csv.partial"

    def intrude(_: int) -> None:
        if not (part := folder / "part-000000.parquet").exists():
            return
        if change == "unlink":
            part.unlink()
        elif change == "basis":
            (folder / "scan.json").write_text("other")
        else:
            (folder / "part-000009.parquet").write_bytes(part.read_bytes())

    with pytest.raises(TableError, match=r"f\.csv\.partial were changed during the scan"):
        scan_listings(listings(paths, 1500), detector=detector, out=tmp_path / "f.csv", progress=intrude)
    assert not (tmp_path / "f.csv").exists()


@pytest.mark.parametrize("damage", ["bytes", "pipe"])
def test_a_damaged_part_of_an_interrupted_scan_is_named(
    tmp_path: Path, detector: Detector, paths: list[Path], damage: str
) -> None:
    def dying() -> Iterator[Listing]:
        yield from listings(paths, 1500)
        raise KeyboardInterrupt

    out, part = tmp_path / "f.csv", tmp_path / "f.csv.partial" / "part-000000.parquet"
    with pytest.raises(KeyboardInterrupt):
        scan_listings(dying(), detector=detector, out=out)
    part.unlink()
    part.write_bytes(b"no table" * 50) if damage == "bytes" else os.mkfifo(part)
    with pytest.raises(TableError, match=r"part-000000\.parquet can't be read .*; remove .*f\.csv\.partial to scan"):
        scan_listings(listings(paths, 1500), detector=detector, out=out)
