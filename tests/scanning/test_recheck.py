"""A recheck of stored findings writes what a fresh scan on that day would, and tells what changed and why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from toy import ToyEncoder, save_pictures

from lookalike import Detector, Listing, Policy, Scope, scan_listings
from lookalike.detection.lookup import Lookup
from lookalike.errors import PolicyError, TableError
from lookalike.index.build import build_index
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.policy.shipped import shipped_policies
from lookalike.policy.terms import Reach
from lookalike.records import Reference
from lookalike.rights.claims import Claims
from lookalike.rights.grounds import cell_in_words, grounds_in_words, grounds_of
from lookalike.rights.rights import Rights
from lookalike.scanning.recheck import policy_of, recheck
from lookalike.tables.files import read_rows
from lookalike.tables.findings import read_findings, write_findings

POLICY = Policy("toy", 0.97, 0.85, reach=Reach(photos=0), claims=Claims(unfair_competition_in=("ES",)))
STRICT = Policy("strict", 0.99, 0.9, scopes=(Scope(0.95, 0.9, brand="B1"),),
                reach=Reach(photos=0), claims=Claims(unfair_competition_in=("US",)))  # fmt: skip
BEFORE, AFTER = date(2026, 6, 30), date(2026, 7, 1)
RIGHTS = """brand,kind,number,territory,valid_from,valid_until,product_id,owner
B0,trademark,T0,EU,,,,A
B1,design,D1,DE,,2026-06-30,,A
B1,copyright,,*,,,,A
B2,design,D2,US,2026-07-01,,,A
B2,design,D3,DE,,,p5,A
B2,design,D4,DE,2026-07-01,,p5,B
B3,design,D5,DE,,,,C
"""
SELLERS = """brand,seller_id,territory,valid_from,valid_until
B0,s1,DE,,2026-06-30
B3,s2,,,
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recheck")
    paths = save_pictures(folder / "photos", 16)
    # every second product looks much like the one before it, and is of another brand
    for first, second in zip(paths[::2], paths[1::2], strict=True):
        pixels = np.asarray(Image.open(first), float) + np.random.default_rng(1).normal(0, 12, (30, 30, 3))
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(second)
    references = [Reference(f"r{i}", f"p{i}", f"B{i % 4}", path) for i, path in enumerate(paths)]
    build_index(references, index=folder / "index", encoder=ToyEncoder(), features=False)
    (folder / "rights.csv").write_text(RIGHTS)
    (folder / "sellers.csv").write_text(SELLERS)
    rng = np.random.default_rng(2)
    for number in range(80):
        pixels = np.asarray(Image.open(paths[rng.integers(16)]), float)
        noise = rng.normal(0, rng.uniform(0, 80), (3, 3, 3)).repeat(10, 0).repeat(10, 1)
        Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8)).save(folder / f"listing-{number}.png")
    return folder


def listings(shop: Path) -> Iterator[Listing]:
    for number in range(0, 78, 2):
        images = [shop / f"listing-{number}.png", shop / f"listing-{number + 1}.png"][: 1 + number % 4 // 2]
        yield Listing(
            f"L{number}",
            images,
            seller=f"s{number // 2 % 3}",
            territory=("DE", "fr", "US", None, "XX")[number // 2 % 5],
            price=Decimal("1.5"),
            currency="EUR",
            title='a, "b"',
        )
    yield Listing("none", ())


@pytest.fixture(scope="module")
def tables(shop: Path) -> Rights:
    return Rights.load(rights=shop / "rights.csv", sellers=shop / "sellers.csv")


Scans = dict[tuple[Policy, bool, date], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def scanned(shop: Path, tables: Rights) -> Scans:
    """Rows of a scan with each of two policies, with rights or without, on each of two days."""
    index, rows = ReferenceIndex.load(shop / "index"), {}
    for policy, asked, day in ((POLICY, True, BEFORE), (POLICY, True, AFTER), (STRICT, True, AFTER),
                               (POLICY, False, BEFORE)):  # fmt: skip
        rights = tables if asked else None
        detector = Detector(Lookup(ToyEncoder(), index, PhotoReader()), policy, rights=rights, day=day)
        scan_listings(listings(shop), detector=detector, out=shop / "scan.parquet")
        rows[policy, asked, day] = untimed(shop / "scan.parquet")
    return rows


def untimed(path: Path) -> list[dict[str, Any]]:
    return [{**row, "scanned_at": None} for row in read_findings(path)]


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_equals_a_fresh_scan_on_that_day_row_by_row(
    scanned: Scans, tables: Rights, tmp_path: Path, ending: str
) -> None:
    stored = tmp_path / f"stored.{ending}"
    write_findings(scanned[POLICY, True, BEFORE], stored)
    for case in ((POLICY, True, AFTER), (STRICT, True, AFTER), (POLICY, False, BEFORE), (POLICY, True, BEFORE)):
        policy, asked, day = case
        write_findings(scanned[case], tmp_path / f"fresh.{ending}")
        rights, wanted = tables if asked else None, untimed(tmp_path / f"fresh.{ending}")
        done = recheck(stored, stored, policy=policy, rights=rights, day=day, changes=tmp_path / f"c.{ending}")
        for row, fresh in zip(untimed(stored), wanted, strict=True):
            assert row == fresh
        assert done.findings == len(wanted)
    assert {row["verdict"] for row in wanted} == {
        "flagged",
        "review",
        "clear",
        "authorised",
        "unprotected",
        "unreadable",
    }
    switched = [row for row in wanted if row["candidates"]
                and json.loads(row["candidates"])[0]["product_id"] != row["product_id"]]  # fmt: skip
    assert switched, "for some, another match decides than the most alike"


def test_the_kind_that_points_gave_decides_what_a_claim_may_rest_on(shop: Path, tables: Rights, tmp_path: Path) -> None:
    paths = save_pictures(tmp_path / "photos", 4)
    references = [Reference(f"r{i}", f"p{i}", f"B{i}", path) for i, path in enumerate(paths)]
    build_index(references, index=tmp_path / "index", encoder=ToyEncoder())
    copies = [Listing(f"L{i}", [path], territory="DE") for i, path in enumerate(paths)]
    policy, stored, fresh = replace(POLICY, reach=Reach()), tmp_path / "f.parquet", tmp_path / "g.parquet"
    for day, path in ((BEFORE, stored), (AFTER, fresh)):
        index = ReferenceIndex.load(tmp_path / "index")
        detector = Detector(Lookup(ToyEncoder(), index, PhotoReader()), policy, rights=tables, day=day)
        scan_listings(copies, detector=detector, out=path)
    recheck(stored, stored, policy=policy, rights=tables, day=AFTER)
    found = untimed(stored)
    assert found == untimed(fresh) and {row["kind"] for row in found} == {"copied_photo"}
    assert [cell_in_words(row["rights"]) for row in found[:2]] == ["trademark T0 in EU", "copyright everywhere"]


def test_tells_what_changed_and_why(scanned: Scans, tables: Rights, tmp_path: Path) -> None:
    before = scanned[POLICY, True, BEFORE]
    write_findings(before, tmp_path / "f.parquet")
    done = recheck(tmp_path / "f.parquet", tmp_path / "g.parquet", policy=POLICY, rights=tables, day=AFTER,
                   changes=tmp_path / "c.csv")  # fmt: skip
    after = untimed(tmp_path / "g.parquet")
    told = {line.values["listing_id"]: line.values for line in read_rows(tmp_path / "c.csv")}
    grounds = ("verdict", "brand", "product_id", "kind", "rights")
    other = {
        row["listing_id"] for row, was in zip(after, before, strict=True) if any(row[n] != was[n] for n in grounds)
    }
    assert set(told) == other and len(other) == done.changed > done.regrounded > 0
    moves = {(row["verdict_before"], row["verdict"]) for row in told.values()}
    assert moves >= {("flagged", "unprotected"), ("unprotected", "flagged"), ("authorised", "flagged")}
    for row in told.values():
        assert row["why"].startswith(str(cell_in_words(row["rights"]))) and row["rights"] != row["rights_before"]
    withdrawn = [row for row in told.values() if row["verdict"] == "unprotected"]
    assert any("design D1 in DE ended on 2026-06-30" in row["why"] for row in withdrawn)
    assert sum(done.moved.values()) == len(before) and ("flagged", "unprotected") in done.moved
    assert done.brands <= {"B0", "B1", "B2", "B3"}


def test_rights_in_words_of_an_older_version_are_no_other_grounds(
    scanned: Scans, tables: Rights, tmp_path: Path
) -> None:
    rows = scanned[POLICY, True, AFTER]
    older = [{**row, "rights": cell_in_words(row["rights"]), "rights_basis": "2026-07-01 claims@1f0c rights@3b9a"}
             for row in rows]  # fmt: skip
    write_findings(older, tmp_path / "f.parquet")
    done = recheck(tmp_path / "f.parquet", tmp_path / "g.parquet", policy=POLICY, rights=tables, day=AFTER)
    assert (untimed(tmp_path / "g.parquet"), done.changed) == (rows, 0)


def test_a_territory_with_control_characters_has_one_spelling(shop: Path, tables: Rights, tmp_path: Path) -> None:
    detector = Detector(Lookup(ToyEncoder(), ReferenceIndex.load(shop / "index"), PhotoReader()), POLICY,
                        rights=tables, day=AFTER)  # fmt: skip
    listed = [replace(listing, territory='"\x1b[2J\\/é\x7f') for listing in listings(shop)]
    scan_listings(listed, detector=detector, out=tmp_path / "f.parquet")
    done = recheck(tmp_path / "f.parquet", tmp_path / "g.parquet", policy=POLICY, rights=tables, day=AFTER)
    assert done.changed == 0 and untimed(tmp_path / "g.parquet") == untimed(tmp_path / "f.parquet")
    assert any("\x1b" in grounds_in_words(grounds_of(row["rights"])) for row in untimed(tmp_path / "g.parquet"))


def test_tells_when_the_policy_is_the_reason(scanned: Scans, tmp_path: Path) -> None:
    write_findings(scanned[POLICY, False, BEFORE], tmp_path / "f.jsonl")
    recheck(tmp_path / "f.jsonl", tmp_path / "g.jsonl", policy=STRICT, changes=tmp_path / "c.jsonl")
    told = [line.values for line in read_rows(tmp_path / "c.jsonl")]
    assert {row["why"] for row in told} >= {"by similarity review, was flagged", "by similarity clear, was review"}
    assert {(row["policy_before"], row["policy"]) for row in told} == {(str(POLICY), str(STRICT))}


def test_reads_findings_of_before_there_were_rights(scanned: Scans, tables: Rights, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    write_findings(scanned[POLICY, False, BEFORE], tmp_path / "f.parquet")
    wanted = scanned[POLICY, True, AFTER]
    old = pq.read_table(tmp_path / "f.parquet").drop_columns(["similarity_verdict", "rights", "rights_basis"])
    candidates = [text and text.replace('"verdict":', '"was":') for text in old["candidates"].to_pylist()]
    pq.write_table(
        old.set_column(old.schema.get_field_index("candidates"), "candidates", [candidates]), tmp_path / "o.parquet"
    )
    recheck(tmp_path / "o.parquet", tmp_path / "g.parquet", policy=POLICY, rights=tables, day=AFTER)
    first = [row for row in wanted if not row["candidates"]
             or json.loads(row["candidates"])[0]["product_id"] == row["product_id"]]  # fmt: skip
    found = {row["listing_id"]: row["verdict"] for row in untimed(tmp_path / "g.parquet")}
    assert len(first) > 25 and all(found[row["listing_id"]] == row["verdict"] for row in first)


def test_findings_with_the_older_label_of_a_policy_are_its_own(scanned: Scans, tmp_path: Path) -> None:
    rows = scanned[POLICY, False, BEFORE]
    write_findings([{**row, "policy": "embedded-default@977c9934"} for row in rows], tmp_path / "f.parquet")
    assert policy_of(tmp_path / "f.parquet") in shipped_policies()
    older = [{**row, "policy": "toy@470a7ef5"} for row in rows]
    write_findings(older, tmp_path / "f.parquet")
    done = recheck(tmp_path / "f.parquet", tmp_path / "g.parquet", policy=POLICY)
    assert (untimed(tmp_path / "g.parquet"), done.changed) == (older, 0)


def test_refuses_what_it_can_not_recheck(scanned: Scans, tables: Rights, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "f.parquet"
    write_findings(scanned[POLICY, False, BEFORE], path)
    with pytest.raises(PolicyError, match=r"made with toy@\w+, which is not a shipped policy; give its file"):
        policy_of(path)
    with pytest.raises(PolicyError, match="scan again with the policy's encoder"):
        recheck(path, tmp_path / "g.parquet", policy=replace(STRICT, weights_sha256="ab" * 32))
    with pytest.raises(TableError, match="name two files"):
        recheck(path, tmp_path / "g.csv", policy=POLICY, changes=tmp_path / "g.csv")
    with pytest.raises(TableError, match="use .csv, .parquet or .jsonl"):
        recheck(path, tmp_path / "g.xlsx", policy=POLICY)
    with pytest.raises(TableError, match="c.xlsx ends in .xlsx; use .csv, .parquet or .jsonl"):
        recheck(tmp_path / "none.csv", tmp_path / "g.csv", policy=POLICY, changes=tmp_path / "c.xlsx")
    table = pq.read_table(path)
    for name, text in (("candidates", "[{"), ("candidates", '{"a": 1}'), ("kind", "twin")):
        broken = table.set_column(table.schema.get_field_index(name), name, [pa.array([text] * table.num_rows)])
        pq.write_table(broken.drop_columns(["candidates"]) if name == "kind" else broken, tmp_path / "b.parquet")
        with pytest.raises(TableError, match="can't be read|kind 'twin'"):
            recheck(tmp_path / "b.parquet", tmp_path / "g.parquet", policy=POLICY, rights=tables)
    assert {path.name for path in tmp_path.iterdir()} == {"f.parquet", "b.parquet"}


def test_refuses_a_table_that_another_process_writes(scanned: Scans, tables: Rights, tmp_path: Path) -> None:
    findings, out, told, other = (tmp_path / f"{name}.csv" for name in ("stored", "f", "changes", "other"))
    write_findings(scanned[POLICY, True, BEFORE], findings)
    refused = []

    def intrude(_: int) -> None:
        for first, second in ((out, other), (other, told)):
            with pytest.raises(TableError, match="another process is writing") as no:
                recheck(findings, first, policy=POLICY, rights=tables, day=AFTER, changes=second)
            refused.append(str(no.value).split()[4].rstrip(";"))

    recheck(findings, out, policy=POLICY, rights=tables, day=AFTER, changes=told, progress=intrude)
    assert refused == [str(out), str(told)]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "cache") == [
        "changes.csv",
        "f.csv",
        "stored.csv",
    ]
