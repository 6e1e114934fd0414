"""One call makes a cases table of a findings table, as `lookalike cases` does."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from flagged import row

from lookalike.cases.building import case_photos, find_cases, listing_keys
from lookalike.cases.grouping import Joining
from lookalike.cases.history import Decisions, History, add_entry
from lookalike.cases.shared_photos import SellerPhoto
from lookalike.cases.statements import Answer, Outcome, Statement
from lookalike.cases.table import read_cases
from lookalike.errors import TableError


@pytest.fixture
def findings(tmp_path: Path) -> Path:
    return write(tmp_path / "f.jsonl", [row("L1", "a", 19.99), row("L2", "b", 0.01), row("L3", "c", 5.0)])


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps({"policy": "p", "encoder": "e", **values}) + "\n" for values in rows))
    return path


def test_joins_on_columns_of_the_listings_and_keeps_the_ids_of_the_table_it_replaces(
    tmp_path: Path, findings: Path
) -> None:
    out, listings = tmp_path / "cases.csv", tmp_path / "l.csv"
    first = find_cases(findings, out)
    assert (first.previous, first.photos, first.shown, first.complete) == (None, None, None, True)
    assert read_cases(out) == list(first.cases.cases)
    listings.write_text("listing_id,image,seller_id,phone\nL1,1.jpg,a,7\nL2,2.jpg,b,7\nL3,3.jpg,c,\n")
    second = find_cases(findings, out, listings=listings, joining=Joining(("phone",)))
    assert second.previous == out
    joined, alone = second.cases.cases
    ids = {case.sellers[0]: case.id for case in first.cases.cases}
    assert (joined.sellers, alone.sellers, alone.id) == (("a", "b"), ("c",), ids["c"])
    assert {joined.id, *joined.merged} == {ids["a"], ids["b"]}
    assert joined.value == Decimal("20.00")


def test_keys_of_listings_are_read_alike_and_odd_columns_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "l.jsonl").write_text(
        'broken\n{"listing_id": 1.0, "seller_id": 7.0, "phone": 49.0, "note": "\\ud83d"}\n'
        '{"listing_id": 2, "seller_id": NaN, "phone": 49}\n{"listing_id": 3, "seller_id": 0, "phone": "049"}\n'
    )
    assert list(listing_keys(tmp_path / "l.jsonl", ["phone"])) == [("7", "phone", "49"), ("0", "phone", "049")]
    findings = write(tmp_path / "f.jsonl", [row("L1", "7"), row("L2", "0")])
    found = find_cases(findings, tmp_path / "c.csv", listings=tmp_path / "l.jsonl", joining=Joining(("phone",)))
    assert [case.sellers for case in found.cases.cases] == [("0",), ("7",)]


def test_ids_come_from_another_table_where_one_is_named(tmp_path: Path, findings: Path) -> None:
    older = write(tmp_path / "older.jsonl", [row("L1", "a"), row("L2", "b")])
    shared = write(tmp_path / "shared.jsonl", [row("L1", "a", phone="1"), row("L2", "b", phone="1")])
    find_cases(older, tmp_path / "older.parquet")
    apart = find_cases(
        shared, tmp_path / "new.parquet", joining=Joining(("phone",)), previous=tmp_path / "older.parquet"
    )
    assert apart.previous == tmp_path / "older.parquet"
    assert len(apart.cases.cases[0].merged) == 1


def test_a_history_changes_what_is_flagged_on_a_day(tmp_path: Path, findings: Path) -> None:
    said = Statement("anna", "contract 7", Answer.LICENCE, Outcome.ACCEPTED, seller="a", since="2026-03-01")
    add_entry(tmp_path / "h.jsonl", said)
    history, out = History.load(tmp_path / "h.jsonl"), tmp_path / "c.csv"
    before = find_cases(findings, out, decisions=Decisions(history, date(2026, 2, 28))).cases
    after = find_cases(findings, out, decisions=Decisions(history, date(2026, 3, 1))).cases
    assert ({case.sellers[0] for case in before.cases}, {case.sellers[0] for case in after.cases}) == (
        {"a", "b", "c"},
        {"b", "c"},
    )


def test_writes_a_page_and_says_how_many_cases_it_shows(tmp_path: Path, findings: Path) -> None:
    found = find_cases(findings, tmp_path / "c.csv", page=tmp_path / "page.html")
    assert found.shown == 3
    text = (tmp_path / "page.html").read_text()
    assert all(case.id in text for case in found.cases.cases)


def test_a_price_that_cannot_be_used_makes_it_incomplete(tmp_path: Path) -> None:
    findings = write(tmp_path / "f.jsonl", [row("L1", "a", 1e15), row("L2", "b", 1.0)])
    found = find_cases(findings, tmp_path / "c.csv")
    assert (found.complete, found.cases.bad_prices, found.cases.remarks()) == (
        False,
        1,
        ["Prices that can't be used: 1. A price is a number from 0 to below 10¹² with at most 20 decimal places."],
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"out": "c.xls"}, "ends in .xls"),
        (
            {"joining": Joining(("colour",))},
            "f.jsonl has no column colour to join on; give the listings table",
        ),
        (
            {"joining": Joining(("colour",)), "listings": "l.csv"},
            "neither .*f.jsonl nor .*l.csv has a column colour to join on",
        ),
        ({"previous": "none.csv"}, "there is no table"),
        ({"findings": "none.csv"}, "there is no table"),
    ],
)
def test_a_wrong_call_writes_nothing(tmp_path: Path, findings: Path, values: dict[str, Any], message: str) -> None:
    (tmp_path / "l.csv").write_text("listing_id,image,seller_id\nL1,1.jpg,a\n")
    given = {"findings": findings, "out": "c.csv", **values}
    call = {name: tmp_path / value if isinstance(value, str) else value for name, value in given.items()}
    with pytest.raises(TableError, match=message):
        find_cases(**call)
    assert not (tmp_path / "c.csv").exists()


def test_the_listings_add_their_other_photos(tmp_path: Path) -> None:
    listings = tmp_path / "l.csv"
    listings.write_text("listing_id,image,seller_id\nL1,1.jpg,a\nL1,other.jpg,a\nL9,9.jpg,z\n")
    rows = [row("L1", "a") | {"image": str(tmp_path / "1.jpg")}, row("L2", "b", verdict="clear")]
    photos = case_photos(rows, listings, verdicts=("flagged",))
    assert [(photo.seller, Path(photo.image).name) for photo in photos] == [("a", "1.jpg"), ("a", "other.jpg")]
    assert photos[1] == SellerPhoto("a", str(tmp_path / "other.jpg"))
    assert len(case_photos(rows, None, verdicts=("flagged", "clear"))) == 2


def test_keys_of_listings_leave_out_what_is_empty(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("listing_id,seller_id,phone,iban\n1,a,7,\n2,,8,x\n3,b,,y\n")
    assert list(listing_keys(tmp_path / "l.csv", ("phone", "iban"))) == [("a", "phone", "7"), ("b", "iban", "y")]
