"""A bundle contains what findings rest on, opens anywhere, and shows whatever was done to it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forged import forge, said, with_finding
from PIL import Image
from toy import ToyEncoder, save_pictures, unit_vectors

from lookalike import Detector, Listing, Policy, Scope, scan_listings
from lookalike.detection.lookup import Lookup
from lookalike.errors import BundleError, PolicyError
from lookalike.evidence.archive import reading, writing
from lookalike.evidence.audit import audit_bundle
from lookalike.evidence.bundle import select_findings, write_bundle
from lookalike.evidence.manifest import Chain, Entry, manifest_text, read_entries
from lookalike.index.build import add_harmless, build_index, load_harmless
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.policy.cohort import Cohort
from lookalike.records import Reference
from lookalike.tables.findings import read_findings

POLICY = Policy("toy", 0.9, 0.5, scopes=(Scope(0.95, 0.6, brand="B1"),))


@dataclass(frozen=True)
class Shop:
    """Fifty listings with noisy copies of genuine photos, and what a scan finds."""

    folder: Path
    rows: list[dict[str, Any]]
    index: ReferenceIndex
    policy: Path

    def write(self, out: Path, **options: Any) -> Any:
        rows = options.pop("rows", self.rows)
        return write_bundle(rows, out, **{"index": self.index, "policy": self.policy, **options})


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("shop")
    paths = save_pictures(folder / "photos", 50)
    rows = [Reference(f"r{i}", f"p{i}", f"B{i % 3}", path) for i, path in enumerate(paths)]
    build_index(rows, index=folder / "index", encoder=ToyEncoder())
    POLICY.save(folder / "policy.toml")
    rng, listings = np.random.default_rng(0), []
    for i, path in enumerate(paths):
        noisy = np.asarray(Image.open(path), float) + rng.normal(0, 12, (3, 3, 3)).repeat(10, 0).repeat(10, 1)
        copy = folder / "photos" / f"copy {i}.jpg"
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(copy)
        listings.append(Listing(f"L{i}", (copy,), seller="s", territory="DE", price=Decimal(f"{i}.5"), currency="EUR",
                                title=f"Title {i}", url=f"https://example.com/{i}"))  # fmt: skip
    index = ReferenceIndex.load(folder / "index")
    detector = Detector(Lookup(ToyEncoder(), index, PhotoReader()), POLICY)
    scan_listings(listings, detector=detector, out=folder / "f.parquet")
    found = list(read_findings(folder / "f.parquet"))
    assert {row["verdict"] for row in found} == {"flagged"} and len(found) == 50
    return Shop(folder, found, index, folder / "policy.toml")


@pytest.fixture(scope="module")
def original(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "bundle"
    made = shop.write(out)
    assert (made.findings, made.unreadable, made.changed, made.unproven, made.files) == (50, 0, 0, 0, 155)
    return out


@pytest.fixture
def bundle(original: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    shutil.copytree(original, tmp_path / "bundle")
    return tmp_path / "bundle"


def test_fifty_findings_verify_with_encoder_and_index(shop: Shop, original: Path) -> None:
    audit = audit_bundle(original, encoder=ToyEncoder(), index=shop.index, policy=Policy.load(shop.policy))
    assert said(audit) == []
    assert (audit.findings, audit.files, audit.judged, audit.computed, audit.incomplete) == (50, 155, 50, 50, 0)


def test_holds_the_photos_as_scanned_the_policy_and_the_rows(shop: Shop, original: Path) -> None:
    for number, row in enumerate(shop.rows, 1):
        folder = original / "findings" / f"{number:04}"
        assert (folder / "listing.jpg").read_bytes() == Path(row["image"]).read_bytes()
        assert (folder / "reference.png").read_bytes() == Path(row["reference_image"]).read_bytes()
        entry = read_entries((original / "manifest.json").read_bytes())[number]
        assert entry.said["listing_photo"]["sha256"] == row["image_sha256"]
        assert entry.said["listing_photo"]["state"] == entry.said["reference_photo"]["state"] == "same"
    assert (original / "policy" / "policy.toml").read_bytes() == shop.policy.read_bytes()
    assert list(read_findings(original / "findings.jsonl")) == shop.rows
    head = read_entries((original / "manifest.json").read_bytes())[0].said
    assert (head["index"]["digest"], head["policy"]["label"]) == (shop.index.digest, str(POLICY))
    assert head["encoder"]["weights_sha256"] == ToyEncoder().spec.weights_sha256


def test_opens_at_another_path_without_the_original_photos(shop: Shop, tmp_path: Path) -> None:
    photos = shutil.copytree(shop.folder / "photos", tmp_path / "photos")
    moved = [{**row, "image": str(photos / Path(row["image"]).name)} for row in shop.rows[:5]]
    moved = [{**row, "candidates": row["candidates"].replace(str(shop.folder), str(tmp_path))} for row in moved]
    shop.write(tmp_path / "here", rows=moved)
    shutil.rmtree(photos)
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "here").rename(tmp_path / "a" / "b" / "there")
    audit = audit_bundle(tmp_path / "a" / "b" / "there", encoder=ToyEncoder())
    assert (said(audit), audit.computed) == ([], 5)
    page = (tmp_path / "a" / "b" / "there" / "findings" / "0003" / "statement.html").read_text()
    links = [link for link in re.findall(r'(?:href|src)="([^"]*)"', page) if not link.startswith(("data:", "https:"))]
    assert links and all(not link.startswith("/") for link in links)
    assert all((tmp_path / "a" / "b" / "there" / "findings" / "0003" / link).is_file() for link in links)


def test_equal_calls_give_equal_bytes_except_for_the_time(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("bundle", "photos"):
        monkeypatch.setattr(f"lookalike.evidence.{module}.utc_now", lambda: "2026-11-24T09:05:00+00:00")
    made = [shop.write(tmp_path / name, rows=shop.rows[:6]) for name in ("a.zip", "b.zip", "c")]
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert len({summary.seal for summary in made}) == 1
    with reading(tmp_path / "a.zip") as packed, reading(tmp_path / "c") as folder:
        assert packed.names == folder.names
        assert all(packed.read(name) == folder.read(name) for name in packed.names)
    assert said(audit_bundle(tmp_path / "a.zip", encoder=ToyEncoder(), seal=made[0].seal)) == []


@pytest.mark.parametrize("method", ["subtract", "s-norm"])
def test_bundles_a_cohort_and_verifies_normalised_similarities(shop: Shop, tmp_path: Path, method: str) -> None:
    flag, review = (0.5, 0.1) if method == "subtract" else (1.0, 0.1)
    policy = Policy("normal", flag, review, cohort=Cohort(unit_vectors(60), method, nearest=5))
    policy.save(tmp_path / "Normal.toml")
    index = shutil.copytree(shop.folder / "index", tmp_path / "index")
    add_harmless([Reference("stock", "stock", "", shop.rows[7]["image"])], index=index, encoder=ToyEncoder())
    harmless = load_harmless(index)
    detector = Detector(Lookup(ToyEncoder(), shop.index, PhotoReader(), harmless=harmless), policy)
    listings = [Listing(row["listing_id"], (row["image"],)) for row in shop.rows]
    scan_listings(listings, detector=detector, out=tmp_path / "f.parquet")
    rows = list(read_findings(tmp_path / "f.parquet"))
    assert rows[7]["suppressed_by"] == "stock" and rows[7]["verdict"] == "clear"
    shop.write(tmp_path / "b.zip", rows=rows, policy=tmp_path / "Normal.toml", harmless=harmless)
    call: dict[str, Any] = {"encoder": ToyEncoder(), "index": shop.index, "harmless": harmless}
    assert said(audit_bundle(tmp_path / "b.zip", **call)) == []
    shop.write(tmp_path / "b", rows=rows, policy=tmp_path / "Normal.toml", harmless=harmless)

    def lie(entries: list[Entry]) -> list[Entry]:
        row = entries[3].said["finding"]
        candidates = json.loads(row["candidates"])
        candidates[0]["normalised_similarity"] = row["normalised_similarity"] + 0.2
        entries[3] = with_finding(entries[3], normalised_similarity=candidates[0]["normalised_similarity"],
                                  candidates=json.dumps(candidates))  # fmt: skip
        return entries

    forge(tmp_path / "b", lie)
    (line,) = said(audit_bundle(tmp_path / "b", **call))
    assert line.startswith("finding 3 (listing L2): its normalised similarity is")

    def forget_the_harmless_photo(entries: list[Entry]) -> list[Entry]:
        candidates = json.loads(entries[8].said["finding"]["candidates"])
        for candidate in candidates:
            candidate["suppressed_by"] = None
        entries[8] = with_finding(entries[8], suppressed_by=None, candidates=json.dumps(candidates))
        return entries

    forge(tmp_path / "b", forget_the_harmless_photo)
    found = said(audit_bundle(tmp_path / "b", **call))
    assert any(line.startswith("finding 8 (listing L7): it says it is suppressed by nothing, but") for line in found)


def test_a_composed_picture_is_shown_and_hashed(shop: Shop, tmp_path: Path) -> None:
    def draw(row: Any, reference: Image.Image, listing: Image.Image) -> Image.Image | None:
        assert reference.mode == listing.mode == "RGB"
        return Image.new("RGB", (4000, 30), "red") if row["listing_id"] == "L1" else None

    shop.write(tmp_path / "b", rows=shop.rows[:3], picture=draw)
    assert [p.parent.name for p in (tmp_path / "b").rglob("picture.png")] == ["0002"]
    assert np.asarray(Image.open(tmp_path / "b/findings/0002/picture.png")).shape == (18, 2400, 3)
    assert "picture.png" in (tmp_path / "b/findings/0002/statement.html").read_text()
    assert said(audit_bundle(tmp_path / "b", encoder=ToyEncoder())) == []
    (tmp_path / "b/findings/0002/picture.png").unlink()
    assert said(audit_bundle(tmp_path / "b")) == [
        "finding 2 (listing L1): the file findings/0002/picture.png is missing"
    ]


def test_reports_a_photo_that_is_gone_or_has_changed_and_bundles_the_rest(shop: Shop, tmp_path: Path) -> None:
    shutil.copy(shop.rows[0]["image"], tmp_path / "other.jpg")
    rows = [dict(row) for row in shop.rows[:6]]
    rows[1]["image"] = str(tmp_path / "gone.jpg")
    rows[2]["image"] = str(tmp_path / "other.jpg")
    rows[3]["image_sha256"] = None
    rows[4]["image"] = "/etc/passwd"  # a table may name any file; only pictures are taken
    for row in rows:
        candidates = json.loads(row["candidates"])
        candidates[0]["image"] = row["image"]
        row["candidates"] = json.dumps(candidates)
    made = shop.write(tmp_path / "b", rows=rows, picture=lambda *_: Image.new("RGB", (9, 9)))
    assert (made.findings, made.unreadable, made.changed, made.unproven) == (6, 2, 1, 1)
    drawn = sorted(path.parent.name for path in (tmp_path / "b").rglob("picture.png"))
    assert drawn == ["0001", "0004", "0006"], "nothing was found in a photo that has changed"
    entries = read_entries((tmp_path / "b/manifest.json").read_bytes())[1:-1]
    states = [entry.said["listing_photo"]["state"] for entry in entries]
    assert states == ["same", "unreadable", "changed", "unknown", "unreadable", "same"]
    assert [entry.file("listing") is None for entry in entries] == [False, True, False, False, True, False]
    page = (tmp_path / "b/findings/0002/statement.html").read_text()
    assert "can&#39;t be read any more" in page and "no such file" in page and "no picture" in page
    assert "has changed since the scan" in (tmp_path / "b/findings/0003/statement.html").read_text()
    assert "no sha256 was recorded when it was scanned" in (tmp_path / "b/findings/0004/statement.html").read_text()
    assert (
        "2 with a photo that can't be read any more, 1 with a photo that has changed"
        in (tmp_path / "b/index.html").read_text()
    )
    audit = audit_bundle(tmp_path / "b", encoder=ToyEncoder())
    assert (said(audit), audit.computed, audit.incomplete) == ([], 3, 3)


def test_findings_without_any_photo_are_bundled_too(shop: Shop, tmp_path: Path) -> None:
    detector = Detector(Lookup(ToyEncoder(), shop.index, PhotoReader()), POLICY)
    listings = [Listing("none", ()), Listing("gone", ("gone.jpg",)), Listing("pixels", (np.zeros((9, 9), np.uint8),))]
    scan_listings(listings, detector=detector, out=tmp_path / "f.csv")
    rows = list(read_findings(tmp_path / "f.csv"))
    made = shop.write(tmp_path / "b", rows=rows)
    assert (made.findings, made.unreadable) == (3, 2)
    audit = audit_bundle(tmp_path / "b", encoder=ToyEncoder(), index=shop.index)
    assert (said(audit), audit.judged, audit.computed) == ([], 1, 0)


def test_a_reference_that_left_the_index_is_not_vouched_for(shop: Shop, tmp_path: Path) -> None:
    index = ReferenceIndex.load(shop.folder / "index")
    index.remove(references=["r0"])
    made = shop.write(tmp_path / "b", rows=shop.rows[:2], index=index)
    assert made.unproven == 1
    assert any("has no genuine photo r0" in line for line in said(audit_bundle(tmp_path / "b", index=index)))


def test_one_byte_of_a_photo(bundle: Path) -> None:
    photo = bundle / "findings/0007/listing.jpg"
    data = bytearray(photo.read_bytes())
    data[len(data) // 2] ^= 1
    photo.write_bytes(data)
    assert said(audit_bundle(bundle, encoder=ToyEncoder())) == [
        "finding 7 (listing L6): the file findings/0007/listing.jpg was changed: its sha256 does not match"
    ]


def test_one_number_of_the_table(bundle: Path) -> None:
    lines = (bundle / "findings.jsonl").read_text().splitlines()
    lines[11] = lines[11].replace('"price":"11.5"', '"price":"11.6"')
    (bundle / "findings.jsonl").write_text("\n".join(lines) + "\n")
    assert said(audit_bundle(bundle)) == [
        "the bundle's last entry: the file findings.jsonl was changed: its sha256 does not match",
        "finding 12 (listing L11): in its row, row 12 of findings.jsonl, price is 11.6, but 11.5 in manifest.json",
    ]


def test_one_number_of_the_manifest(bundle: Path) -> None:
    text = (bundle / "manifest.json").read_text()
    assert text.count('"price":"11.5"') == 1
    (bundle / "manifest.json").write_text(text.replace('"price":"11.5"', '"price":"11.6"'))
    lines = said(audit_bundle(bundle))
    assert lines[0] == ("finding 12 (listing L11): its entry in manifest.json was changed: the hash does not match")
    assert len(lines) == 2 and "row 12 of findings.jsonl, price is 11.5, but 11.6" in lines[1]


@pytest.mark.parametrize(
    ("order", "named"),
    [
        ([*range(8), *range(9, 50)], ["finding 9 (listing L8): its row is missing"]),
        ([*range(8), 9, 8, *range(10, 50)], ["its row was moved in findings.jsonl"]),
        ([49, *range(49)], ["finding 50 (listing L49): its row was moved in findings.jsonl, to row 1"]),
        ([*range(50), 3], ["row 51 belongs to no finding"]),
        ([*range(50), None], ["row 51 belongs to no finding"]),
        ([*range(20), None, *range(21, 50)], ["finding 21 (listing L20): its row, row 21 of findings.jsonl"]),
        ([], [f"finding {i} (listing L{i - 1}): its row is missing" for i in range(2, 51)]),
    ],
)
def test_rows_removed_moved_added_or_replaced(bundle: Path, order: list[int | None], named: list[str]) -> None:
    lines = (bundle / "findings.jsonl").read_text().splitlines()
    new = "".join((lines[i] if i is not None else "{") + "\n" for i in order)
    (bundle / "findings.jsonl").write_text(new)
    found = said(audit_bundle(bundle))[1:]
    assert len(found) == (50 if not order else len(named))
    assert all(any(name in line for line in found) for name in named)


def test_entries_removed_or_swapped(bundle: Path) -> None:
    head, *lines = (bundle / "manifest.json").read_text().split("\n")
    gone = "\n".join([head, *lines[:7], *lines[8:]])
    (bundle / "manifest.json").write_text(gone)
    found = said(audit_bundle(bundle))
    assert "finding 7: it is missing from manifest.json" in found
    assert any(line.startswith("finding 8 (listing L7): it comes after finding 6 (listing L5), but") for line in found)
    assert "manifest.json: it has 49 findings, but was written with 50" in found
    assert "findings/0007/listing.jpg: it is in the bundle, but not in manifest.json" in found
    assert "findings.jsonl: row 7 belongs to no finding in manifest.json" in found
    lines[7], lines[20] = lines[20], lines[7]
    (bundle / "manifest.json").write_text("\n".join([head, *lines]))
    found = said(audit_bundle(bundle))
    for line in ("finding 20 (listing L19): it comes after finding 6 (listing L5)",
                 "finding 7 (listing L6): it comes after finding 19 (listing L18)"):  # fmt: skip
        assert any(text.startswith(line) for text in found)


@pytest.mark.parametrize("gone", [0, 51])
def test_the_first_or_last_entry_removed(bundle: Path, gone: int) -> None:
    head, *lines = (bundle / "manifest.json").read_text().split("\n")
    entries = [line.removesuffix(",") for line in lines[:52]]
    del entries[gone]
    (bundle / "manifest.json").write_text("\n".join([head, ",\n".join(entries), *lines[52:]]))
    found = said(audit_bundle(bundle))
    assert any(f"the {'first' if gone == 0 else 'last'} entry, which says" in line for line in found)


def test_a_file_added_removed_or_swapped(bundle: Path) -> None:
    (bundle / "findings/0001/more.txt").write_text("x")
    (bundle / "findings/0002/statement.html").unlink()
    a, b = bundle / "findings/0003/listing.jpg", bundle / "findings/0004/listing.jpg"
    data = a.read_bytes(), b.read_bytes()
    a.write_bytes(data[1]), b.write_bytes(data[0])
    assert said(audit_bundle(bundle, encoder=ToyEncoder())) == [
        "finding 2 (listing L1): the file findings/0002/statement.html is missing",
        "finding 3 (listing L2): the file findings/0003/listing.jpg was changed: its sha256 does not match",
        "finding 4 (listing L3): the file findings/0004/listing.jpg was changed: its sha256 does not match",
        "findings/0001/more.txt: it is in the bundle, but not in manifest.json",
    ]


def contents(bundle: Path) -> dict[str, bytes]:
    with reading(bundle) as archive:
        return {name: archive.read(name) for name in archive.names}


def test_any_byte_of_any_file(shop: Shop, tmp_path: Path) -> None:
    rng = random.Random(0)
    for out in (tmp_path / "b", tmp_path / "b.zip"):
        shop.write(out, rows=shop.rows[:2])
        files = sorted(p for p in out.rglob("*") if p.is_file()) if out.is_dir() else [out]
        whole = contents(out)
        for _ in range(120):
            path = rng.choice(files)
            data = path.read_bytes()
            at = rng.randrange(len(data))
            path.write_bytes(data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :])
            try:
                # in a ZIP there are bytes, such as its times, that no file consists of
                assert audit_bundle(out).disagreements or (out.is_file() and contents(out) == whole), (path, at)
            except BundleError as error:
                assert "\n" not in str(error)
            path.write_bytes(data)
        assert audit_bundle(out).disagreements == ()


def test_a_forged_chain_betrays_itself_by_its_seal(shop: Shop, bundle: Path) -> None:
    seal = read_entries((bundle / "manifest.json").read_bytes())[-1].hash
    forge(bundle, lambda entries: entries)
    assert said(audit_bundle(bundle, seal=seal)) == []

    def retitle(entries: list[Entry]) -> list[Entry]:
        return [with_finding(e, title="fake") if e.number == 5 else e for e in entries]

    forge(bundle, retitle)
    assert said(audit_bundle(bundle, encoder=ToyEncoder(), index=shop.index)) == []
    (line,) = said(audit_bundle(bundle, seal=seal))
    assert line.startswith("manifest.json: its seal is ") and seal in line


def test_a_forged_statement_betrays_itself_by_the_manifest_it_contradicts(bundle: Path) -> None:
    assert audit_bundle(bundle).pages == 51
    statement, overview = bundle / "findings/0003/statement.html", bundle / "index.html"
    statement.write_text(statement.read_text().replace("Title 2", "Title 9"))
    overview.write_text(overview.read_text().replace("Title 7", "Title 9"))
    forge(bundle, pages=False)
    first, second = said(audit_bundle(bundle))
    assert (
        first
        == "finding 3 (listing L2): findings/0003/statement.html does not say what manifest.json and the photos give"
    )
    assert second.startswith("the bundle's last entry: index.html does not say")


def test_a_picture_put_into_a_statement_betrays_itself(bundle: Path) -> None:
    pattern = re.compile(r"data:image/jpeg;base64,[A-Za-z0-9+/=]*")
    statement = bundle / "findings/0003/statement.html"
    other = pattern.findall((bundle / "findings/0004/statement.html").read_text())[0]
    statement.write_text(pattern.sub(other, statement.read_text(), count=1))
    forge(bundle, pages=False)
    (line,) = said(audit_bundle(bundle))
    assert line.endswith("findings/0003/statement.html shows another picture than the bundle holds, at place 1")


def test_pages_of_another_version_are_not_compared_and_it_says_so(bundle: Path) -> None:
    statement = bundle / "findings/0003/statement.html"
    statement.write_text(statement.read_text().replace("<h1>", "<h1> "))

    def by_another(entries: list[Entry]) -> list[Entry]:
        return [replace(entries[0], said={**entries[0].said, "pages": "0" * 64}), *entries[1:]]

    forge(bundle, by_another, pages=False)
    audit = audit_bundle(bundle)
    assert (said(audit), audit.pages) == ([], 0)


def test_only_the_seal_tells_a_bundle_from_one_made_anew(bundle: Path) -> None:
    seal = read_entries((bundle / "manifest.json").read_bytes())[-1].hash
    assert audit_bundle(bundle, seal=seal).sealed
    forge(bundle, lambda entries: [with_finding(e, title="T") if e.number == 1 else e for e in entries])
    audit = audit_bundle(bundle)
    assert (said(audit), audit.sealed) == ([], False)
    assert len(said(audit_bundle(bundle, seal=seal))) == 1


def test_other_programs_can_check_every_file(shop: Shop, bundle: Path, tmp_path: Path) -> None:
    def listed(folder: Path) -> set[str]:
        lines = (folder / "manifest-sha256.txt").read_text().splitlines()
        for line in lines:
            sha256, name = line.split("  ")
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256
        return {line.split("  ")[1] for line in lines}

    shop.write(tmp_path / "b.zip", rows=shop.rows[:2])
    shutil.unpack_archive(tmp_path / "b.zip", tmp_path / "unpacked")
    for folder in (bundle, tmp_path / "unpacked"):
        there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert listed(folder) == there - {"manifest-sha256.txt"}
    if shutil.which("sha256sum"):
        check = ["sha256sum", "--check", "--quiet", "--strict", "manifest-sha256.txt"]
        assert subprocess.run(check, cwd=bundle, check=False).returncode == 0
        (bundle / "index.html").write_text("It is counterfeit.")
        assert subprocess.run(check, cwd=bundle, check=False, capture_output=True).returncode == 1


def test_the_list_for_other_programs_must_agree_with_the_manifest(bundle: Path) -> None:
    checksums = bundle / "manifest-sha256.txt"
    text = checksums.read_text()
    for changed in (text.replace("a", "b", 1), text.split("\n", 1)[1], text + "0" * 64 + "  more.txt\n"):
        checksums.write_text(changed)
        assert said(audit_bundle(bundle)) == [
            "manifest-sha256.txt: it does not give the hashes that manifest.json gives"
        ]
    checksums.unlink()
    assert said(audit_bundle(bundle)) == ["manifest-sha256.txt: the file manifest-sha256.txt is missing"]


def test_a_bundle_of_the_first_version_still_verifies(bundle: Path) -> None:
    (bundle / "manifest-sha256.txt").unlink()
    entries = read_entries((bundle / "manifest.json").read_bytes())
    chain = Chain()
    for entry in entries:
        said_then = {name: value for name, value in entry.said.items() if name != "pages"}
        chain.add(entry.kind, entry.files, said_then)
    (bundle / "manifest.json").write_bytes(manifest_text(chain.entries, 1))
    audit = audit_bundle(bundle)
    assert (said(audit), audit.files, audit.pages) == ([], 154, 0)


def test_a_manifest_that_says_the_same_in_other_words(bundle: Path) -> None:
    text = (bundle / "manifest.json").read_text()
    for old, new in (('"price":"11.5"', '"price": "11.5"'), ('"price":"11.5"', '"price":7,"price":"11.5"'),
                     ('"threshold":0.9,', '"threshold":9e-1,')):  # fmt: skip
        (bundle / "manifest.json").write_text(text.replace(old, new))
        (line,) = said(audit_bundle(bundle))
        assert line.startswith("manifest.json: its text is not as written")


def test_a_forged_number_betrays_itself_by_candidates_policy_and_photos(bundle: Path) -> None:
    def weaker(entries: list[Entry]) -> list[Entry]:
        return [with_finding(e, similarity=0.8) if e.number == 5 else e for e in entries]

    forge(bundle, weaker)
    (line,) = said(audit_bundle(bundle))
    assert line.startswith("finding 5 (listing L4): its similarity is 0.8, but its candidates and the policy toy@")

    def weaker_throughout(entries: list[Entry]) -> list[Entry]:
        row = entries[5].said["finding"]
        candidates = json.loads(row["candidates"])
        candidates[0]["similarity"] = 0.8
        entries[5] = with_finding(entries[5], candidates=json.dumps(candidates))
        return entries

    forge(bundle, weaker_throughout)
    assert any("its verdict is flagged, but its candidates" in line for line in said(audit_bundle(bundle)))

    def clear(entries: list[Entry]) -> list[Entry]:
        entries[5] = with_finding(entries[5], verdict="review", threshold=0.6)
        return entries

    forge(bundle, clear)
    assert said(audit_bundle(bundle)) == []
    first, second = said(audit_bundle(bundle, encoder=ToyEncoder()))
    assert first.startswith("finding 5 (listing L4): its similarity is 0.8, but its photos give 0.9")
    assert second.startswith("finding 5 (listing L4): its verdict is review, but its photos give flagged")


def test_the_numbers_expose_a_photo_put_in_the_place_of_another(shop: Shop, bundle: Path) -> None:
    shutil.copy(shop.rows[30]["image"], bundle / "findings/0005/listing.jpg")
    shutil.copy(shop.rows[30]["reference_image"], bundle / "findings/0006/reference.png")
    forge(bundle, lambda entries: entries)
    assert said(audit_bundle(bundle)) == [
        "finding 5 (listing L4): its listing photo is not the one that manifest.json describes",
        "finding 6 (listing L5): its reference photo is not the one that manifest.json describes",
    ]

    def relabel_one(entries: list[Entry]) -> list[Entry]:
        sha256 = hashlib.sha256((bundle / "findings/0005/listing.jpg").read_bytes()).hexdigest()
        photo = {**entries[5].said["listing_photo"], "sha256": sha256}
        entries[5] = replace(entries[5], said={**entries[5].said, "listing_photo": photo})
        photo = {**entries[6].said["listing_photo"], "expected_sha256": sha256, "state": "changed"}
        entries[6] = replace(entries[6], said={**entries[6].said, "listing_photo": photo})
        return entries

    forge(bundle, relabel_one)
    assert said(audit_bundle(bundle)) == [
        "finding 5 (listing L4): manifest.json is wrong about whether its listing photo is still the same",
        "finding 6 (listing L5): its reference photo is not the one that manifest.json describes",
        "finding 6 (listing L5): its listing photo is compared with a sha256 that the scan did not record",
    ]

    def restore(entries: list[Entry]) -> list[Entry]:
        listing = entries[6].said["listing_photo"]
        photo = {**listing, "expected_sha256": listing["sha256"], "state": "same"}
        entries[6] = replace(entries[6], said={**entries[6].said, "listing_photo": photo})
        return entries

    forge(bundle, restore)

    def relabel(entries: list[Entry]) -> list[Entry]:
        for number, role, name in ((5, "listing_photo", "listing.jpg"), (6, "reference_photo", "reference.png")):
            sha256 = hashlib.sha256((bundle / f"findings/{number:04}" / name).read_bytes()).hexdigest()
            photo = {**entries[number].said[role], "sha256": sha256, "expected_sha256": sha256}
            values = {"image_sha256": sha256} if number == 5 else {}
            changed = with_finding(entries[number], **values)
            entries[number] = replace(changed, said={**changed.said, role: photo})
        return entries

    forge(bundle, relabel)
    assert said(audit_bundle(bundle)) == []
    found = said(audit_bundle(bundle, encoder=ToyEncoder(), index=shop.index))
    assert any(line.startswith("finding 5 (listing L4): its similarity is") for line in found)
    assert "finding 6 (listing L5): the genuine photo r5 is a different one in the index" in found


def test_reports_a_policy_put_in_the_place_of_the_bundles(bundle: Path) -> None:
    replace(POLICY, flag=0.85).save(bundle / "policy/policy.toml")
    forge(bundle, lambda entries: entries)
    found = said(audit_bundle(bundle))
    assert (
        found[0].startswith("the policy: the bundle's file is toy@")
        and f"but its first entry names {POLICY}" in found[0]
    )
    assert "its threshold is 0.9, but its candidates" in found[2] and "give 0.85" in found[2]
    (bundle / "policy/policy.toml").write_text("nonsense")
    forge(bundle, lambda entries: entries)
    (line,) = said(audit_bundle(bundle))
    assert line.startswith("the policy: the bundle's policy can't be read (policy toy.toml is not valid TOML")


def test_reports_another_policy_index_or_encoder(shop: Shop, bundle: Path, tmp_path: Path) -> None:
    found = said(audit_bundle(bundle, policy=Policy("strict", 0.999, 0.998)))
    assert found[0].startswith("the policy: the bundle's is toy@") and "strict@" in found[0]
    assert any("its verdict is flagged, but its candidates and the policy strict@" in line for line in found)
    other = ReferenceIndex.load(shop.folder / "index")
    other.remove(references=["r9"])
    other.save(tmp_path / "other")
    found = said(audit_bundle(bundle, index=other))
    assert found[0].startswith("the index: the bundle's is ") and other.digest in found[0]
    assert found[1:] == ["finding 10 (listing L9): the index has no genuine photo r9"]
    turned = ReferenceIndex.load(shop.folder / "index")
    catalogue = {row["reference_id"]: row for row in turned.catalogue.to_pylist()}
    moved = Reference("r9", "p9", "B0", catalogue["r9"]["image"])
    turned.add([moved], unit_vectors(1), hashes=[catalogue["r9"]["sha256"]])
    found = said(audit_bundle(bundle, index=turned, encoder=ToyEncoder()))
    assert len(found) == 1 and found[0].startswith("finding 10 (listing L9): its photos give 0.9")
    (line,) = said(audit_bundle(bundle, encoder=ToyEncoder("f" * 64)))
    assert line == "the encoder: the bundle's is not toy@ffffffff, so no similarity was computed"


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ({"policy": "mine@00000000"}, PolicyError, "made with the policy mine@00000000, not with toy@"),
        (
            {"encoder": "toy@12345678"},
            BundleError,
            "made with the encoder toy@12345678, but the index with toy@00000000",
        ),
        ({"candidates": None}, BundleError, "has no candidates"),
        ({"price": float("nan")}, BundleError, "has a number that is not finite"),
    ],
)
def test_refuses_findings_made_otherwise_and_leaves_nothing(
    shop: Shop, tmp_path: Path, values: dict[str, Any], kind: type[Exception], message: str
) -> None:
    for name in ("b", "b.zip"):
        with pytest.raises(kind, match=re.escape(message)):
            shop.write(tmp_path / name, rows=[shop.rows[0], {**shop.rows[1], **values}])
    assert list(tmp_path.iterdir()) == []


def test_overwrites_nothing(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b.zip").symlink_to("nowhere")
    for name in ("b", "b.zip"):
        with pytest.raises(BundleError, match="already exists"):
            shop.write(tmp_path / name)


def test_overwrites_nothing_that_appeared_meanwhile(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="already exists"):
        shop.write(tmp_path / "b.zip", progress=lambda _: (tmp_path / "b.zip").write_text("mine") and None)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_selects_by_verdict_and_listing(shop: Shop) -> None:
    rows = [{**row, "verdict": "review" if i % 5 else "flagged"} for i, row in enumerate(shop.rows)]
    assert [row["listing_id"] for row in select_findings(rows)] == [f"L{i}" for i in range(0, 50, 5)]
    assert len(select_findings(rows, verdicts=["flagged", "review"], listings=["L1", "L5"])) == 2
    with pytest.raises(BundleError, match="there is no flagged finding of listing L1"):
        select_findings(rows, listings=["L1", "L5"])
    with pytest.raises(BundleError, match="no finding is clear; the table has 10 flagged, 40 review"):
        select_findings(rows, verdicts=["clear"])


@pytest.mark.parametrize("name", ["b", "b.zip"])
def test_a_killed_run_leaves_nothing_that_looks_whole(shop: Shop, tmp_path: Path, name: str) -> None:
    code = """
import os, sys
from pathlib import Path
from lookalike.evidence.bundle import write_bundle
from lookalike.index.reference_index import ReferenceIndex
from lookalike.tables.findings import read_findings
folder, out = Path(sys.argv[1]), Path(sys.argv[2])
done = []
def progress(count):
    done.append(count)
    if len(done) == 20:
        os._exit(9)
rows = read_findings(folder / "f.parquet")
index = ReferenceIndex.load(folder / "index")
write_bundle(rows, out, index=index, policy=folder / "policy.toml", progress=progress)
"""
    done = subprocess.run([sys.executable, "-c", code, shop.folder, tmp_path / name], check=False)
    assert done.returncode == 9
    (left,) = tmp_path.iterdir()
    assert left.name == f"{name}.partial"
    with pytest.raises(BundleError):
        audit_bundle(left)
    shop.write(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_pages_escape_every_strangers_text_and_run_nothing(shop: Shop, tmp_path: Path) -> None:
    evil = "</style><script>alert(1)</script>\"'><img src=x onerror=alert(1)>\ud800{{ 7 * 7 }}"
    names = ("listing_id", "kind", "seller_id", "currency", "title", "url", "error", "hint", "scanned_at")
    row = {**shop.rows[0], **dict.fromkeys(names, evil)}
    gone = {**row, "image": f"/{evil}.jpg"}
    shop.write(tmp_path / "b", rows=[row, gone])
    for path in (tmp_path / "b").rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        tags = Page(text).tags
        assert "script" not in {tag for tag, _ in tags} and "{{ 7 * 7 }}" in text
        assert all(not name.startswith("on") for _, attributes in tags for name in attributes)
        assert all(str(a["src"]).startswith("data:image/jpeg") for tag, a in tags if tag == "img")
        assert all(not re.match("[a-z]+:", str(a["href"])) for tag, a in tags if tag == "a")
        policy = next(a["content"] for tag, a in tags if tag == "meta" and "http-equiv" in a)
        assert str(policy).startswith("default-src 'none';") and "script-src" not in str(policy)
    assert sorted(p.name for p in (tmp_path / "b/findings").rglob("*") if p.is_file()) == [
        "listing.jpg", "reference.png", "reference.png", "statement.html", "statement.html"
    ]  # fmt: skip


def test_a_statement_says_what_was_found_when_and_with_what_and_calls_nothing_counterfeit(
    shop: Shop, original: Path
) -> None:
    row = shop.rows[3]
    text = re.sub(
        r"<style>.*?</style>|<[^>]+>", "", (original / "findings/0004/statement.html").read_text(), flags=re.S
    )
    text = re.sub(r"\s+", " ", text)
    for part in ("Listing L3 looks like B0 p3", f"with a similarity of {row['similarity']:.3f}",
                 "This reaches the threshold of 0.900, from which listings are flagged",
                 "Whether goods are genuine, and whether a right was infringed, is for a person or a court to decide",
                 "byte for byte the file that was scanned",
                 "flagged from 0.900, reviewed by a person from 0.500", row["image_sha256"], shop.index.digest,
                 f"Policy{POLICY} (", "Encodertoy@00000000", "UTC", "3.50 EUR"):  # fmt: skip
        assert part in text
    assert "counterfeit" not in text.lower()


def zipped(path: Path, members: list[tuple[str | zipfile.ZipInfo, bytes]], **options: Any) -> None:
    with zipfile.ZipFile(path, "w", **options) as packed:
        for name, data in members:
            packed.writestr(name, data)


def link() -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo("findings/0001/listing.jpg")
    entry.external_attr = 0o120777 << 16
    return entry


HOSTILE: dict[str, tuple[list[tuple[str | zipfile.ZipInfo, bytes]], str]] = {
    "up": ([("../manifest.json", b"{}")], "it holds a file named"),
    "absolute": ([("/etc/manifest.json", b"{}")], "it holds a file named"),
    "backslash": ([("..\\manifest.json", b"{}")], "it holds a file named"),
    "hidden": ([("findings/.ssh", b"{}")], "it holds a file named"),
    "newline": ([("a\nb", b"{}")], "it holds a file named"),
    "deep": ([("a/" * 9 + "b", b"{}")], "it holds a file named"),
    "other case": ([("manifest.json", b"{}"), ("Manifest.json", b"{}")], "twice"),
    "link": ([("manifest.json", b"{}"), (link(), b"/etc/passwd")], "is a link"),
    "bomb": ([("manifest.json", bytes(50_000_000))], "would unpack to"),
    "no manifest": ([("a.txt", b"x")], "has no manifest.json"),
    "no json": ([("manifest.json", b"{")], "can't be read as a bundle's"),
    "no entries": ([("manifest.json", b'{"format":"lookalike-bundle","version":1,"entries":7}')], "can't be read"),
    "another format": (
        [("manifest.json", b'{"format":"lookalike-bundle","version":3}')],
        "lookalike-bundle 3, expected lookalike-bundle 2",
    ),
    "nan": ([("manifest.json", b'{"format":NaN}')], "it holds NaN"),
    "nested": ([("manifest.json", os.urandom(9000) + b"[" * 99_000)], "can't be read as a bundle's"),
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_refuses_a_hostile_zip_in_one_line(tmp_path: Path, case: str) -> None:
    members, message = HOSTILE[case]
    zipped(tmp_path / "b.zip", members, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(BundleError, match=re.escape(message)) as caught:
        audit_bundle(tmp_path / "b.zip")
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_refuses_duplicates_other_packings_and_what_surrounds_a_zip(shop: Shop, tmp_path: Path) -> None:
    zipped(tmp_path / "twice.zip", [("manifest.json", b"{}"), ("manifest.json", b"{}")])
    zipped(tmp_path / "bzip2.zip", [("manifest.json", b"{}")], compression=zipfile.ZIP_BZIP2)
    shop.write(tmp_path / "whole", rows=shop.rows[:1])
    shop.write(tmp_path / "plain.zip", rows=shop.rows[:1])
    plain = (tmp_path / "plain.zip").read_bytes()
    (tmp_path / "plain.zip").unlink()
    end = plain[-22:]
    (tmp_path / "before.zip").write_bytes(b"#!/bin/sh\n" + plain)
    (tmp_path / "after.zip").write_bytes(plain + b"more")
    (tmp_path / "cut.zip").write_bytes(plain[:-5])
    (tmp_path / "empty.zip").write_bytes(b"")
    longer = struct.pack("<I", struct.unpack("<I", end[12:16])[0] + 20)
    (tmp_path / "locator.zip").write_bytes(plain[:-22] + b"PK\6\7" + bytes(16) + end[:12] + longer + end[16:])
    (tmp_path / "many.zip").write_bytes(plain[:-22] + end[:8] + struct.pack("<HH", 65535, 65535) + end[12:])
    (tmp_path / "long.zip").write_bytes(plain[:-22] + end[:12] + struct.pack("<I", 1 << 30) + end[16:])
    encrypted = bytearray(plain)
    encrypted[plain.find(b"PK\1\2") + 8] |= 1
    (tmp_path / "encrypted.zip").write_bytes(encrypted)
    for path in tmp_path.glob("*.zip"):
        with pytest.raises(BundleError, match="bundle; give|data before or after|manifest.json twice|is encrypted or"):
            audit_bundle(path)
    with pytest.raises(BundleError, match="there is no bundle"):
        audit_bundle(tmp_path / "gone.zip")


def test_reads_no_more_of_a_file_than_it_claims(shop: Shop, tmp_path: Path) -> None:
    shop.write(tmp_path / "b.zip", rows=shop.rows[:1])
    data = bytearray((tmp_path / "b.zip").read_bytes())
    with zipfile.ZipFile(tmp_path / "b.zip") as packed:
        names = packed.namelist()
    at = -1
    for _ in range(names.index("findings.jsonl") + 1):
        at = data.find(b"PK\1\2", at + 1)
    data[at + 24 : at + 28] = struct.pack("<I", 10)  # the size that its central entry claims
    (tmp_path / "b.zip").write_bytes(data)
    assert any("findings.jsonl" in line for line in said(audit_bundle(tmp_path / "b.zip")))


def test_follows_no_link_and_blocks_on_no_pipe(bundle: Path, tmp_path: Path) -> None:
    photo = bundle / "findings/0001/listing.jpg"
    photo.unlink()
    os.mkfifo(photo)
    assert said(audit_bundle(bundle))[0].startswith(
        "finding 1 (listing L0): the file findings/0001/listing.jpg is not a regular file"
    )
    photo.unlink()
    photo.symlink_to("/etc/passwd")
    assert said(audit_bundle(bundle))[0].startswith(
        "finding 1 (listing L0): the file findings/0001/listing.jpg can't be"
    )
    shutil.move(bundle / "findings", tmp_path / "elsewhere")
    (bundle / "findings").symlink_to(tmp_path / "elsewhere")
    found = said(audit_bundle(bundle))
    assert "finding 2 (listing L1): the file findings/0002/listing.jpg is missing" in found
    assert "findings: it is in the bundle, but not in manifest.json" in found


def test_survives_being_looked_at_and_packed_by_other_programs(bundle: Path, tmp_path: Path) -> None:
    (bundle / "findings" / ".DS_Store").write_bytes(b"x")
    assert said(audit_bundle(bundle)) == []
    (bundle / "findings" / "a\x1b[2J b").write_bytes(b"x")
    (line,) = said(audit_bundle(bundle))
    assert line.isprintable() and line.endswith("it is in the bundle, but not in manifest.json")
    shutil.rmtree(bundle / "findings", ignore_errors=True)
    assert len(said(audit_bundle(bundle))) > 100


def test_a_bundle_packed_again_with_its_folders_verifies(original: Path, tmp_path: Path) -> None:
    packed = shutil.make_archive(str(tmp_path / "anew"), "zip", original)
    with zipfile.ZipFile(packed) as opened:
        assert any(name.endswith("/") for name in opened.namelist())
    assert said(audit_bundle(packed, encoder=ToyEncoder())) == []


def hostile_entries() -> Iterator[tuple[str, Any]]:
    file = {"name": "findings/0001/listing.jpg", "role": "listing", "bytes": 1, "sha256": "0" * 64}
    yield "files", [{**file, "name": "../../etc/passwd"}]
    yield "files", [{**file, "bytes": True}]
    yield "files", [{**file, "more": 1}]
    yield "files", [{**file, "sha256": "x"}]
    yield "files", 7
    yield "number", 10**30
    yield "number", -1
    yield "number", "1"
    yield "kind", "other"
    yield "said", []
    yield "previous", None


@pytest.mark.parametrize(("part", "value"), list(hostile_entries()))
def test_refuses_invalid_entries(bundle: Path, part: str, value: object) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["entries"][3][part] = value
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="can't be read as a bundle's"):
        audit_bundle(bundle)


@pytest.mark.parametrize("value", [None, 7, "x", [], {}, {"finding": 7}, {"finding": {"listing_id": "\x1b[2J\n"}}])
def test_says_what_is_wrong_with_entries_that_say_nonsense(shop: Shop, bundle: Path, value: object) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    for entry in manifest["entries"]:
        if isinstance(value, dict):
            entry["said"] = value
        else:
            entry["said"] = dict.fromkeys(entry["said"], value)
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    found = said(audit_bundle(bundle, encoder=ToyEncoder(), index=shop.index))
    assert len(found) > 100
    assert all(line.isprintable() for line in found)


def test_a_writer_refuses_unsafe_names(tmp_path: Path) -> None:
    for name in ("../x", "/x", "a/../x", "", "a" * 65, "a/", "ü", "a b"):
        with pytest.raises(BundleError, match="can't contain a file named"), writing(tmp_path / "b") as writer:
            writer.put(name, b"")
    assert list(tmp_path.iterdir()) == []
