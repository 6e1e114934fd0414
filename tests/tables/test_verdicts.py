"""Reviewers' verdicts are read from every format, and a row that can't be used is refused."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.errors import TableError
from lookalike.tables.labels import Review, contradicted, deciding_review, read_verdicts, reviews_by_listing

DAY = date(2026, 11, 24)


def test_reads_verdicts_of_each_format(tmp_path: Path) -> None:
    expected = [Review("007", True, "p1", DAY), Review("8", False)]
    (tmp_path / "v.csv").write_text("listing_id,lookalike,product_id,date\n007,True,p1,2026-11-24\n8,false,,\n")
    rows = [
        {"listing_id": "007", "lookalike": True, "product_id": "p1", "date": "2026-11-24T23:59:00Z"},
        {"listing_id": 8, "lookalike": False},
    ]
    (tmp_path / "v.jsonl").write_text("\n".join(map(json.dumps, rows)))
    columns = {"listing_id": ["007", "8"], "lookalike": [True, False], "product_id": ["p1", None]}
    pq.write_table(pa.table({**columns, "date": [datetime(2026, 11, 24, 8), None]}), tmp_path / "v.parquet")
    for name in ("v.csv", "v.jsonl", "v.parquet"):
        assert list(read_verdicts(tmp_path / name)) == expected, name


def test_reads_yes_and_no_and_numbers_of_each_format(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text("listing_id,lookalike\n1,Yes\n2,no\n3,1\n4,0\n")
    (tmp_path / "v.jsonl").write_text(
        "\n".join(json.dumps({"listing_id": i, "lookalike": v}) for i, v in enumerate(("yes", "no", 1, 0), 1))
    )
    for kind, name in ((float, "f"), (int, "i")):
        columns = {"listing_id": ["1", "2", "3", "4"], "lookalike": [kind(1 - i % 2) for i in range(4)]}
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    for name in ("v.csv", "v.jsonl", "f.parquet", "i.parquet"):
        assert [review.lookalike for review in read_verdicts(tmp_path / name)] == [True, False, True, False], name


def test_a_later_verdict_corrects_an_earlier_one_wherever_it_stands_in_the_table() -> None:
    early, late = Review("1", False, day=DAY), Review("1", True, day=DAY.replace(day=25))
    for rows in ([early, late], [late, early]):
        assert deciding_review(reviews_by_listing(rows)["1"], "p", "b") == late
        assert contradicted(rows) == []


def test_verdicts_of_which_no_date_tells_the_last_one_contradict_each_other() -> None:
    undated, dated = Review("1", True), Review("1", False, day=DAY)
    assert contradicted([undated, dated, Review("2", True, "p"), Review("2", False, "q")]) == ["1"]
    assert contradicted([Review("3", True, day=DAY), Review("3", False, day=DAY)]) == ["3"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("listing_id,lookalike\n1,true\n2,\n", "row 2 needs a listing_id, and true or false as lookalike"),
        ("listing_id,lookalike\n,true\n", "row 1 needs a listing_id"),
        ("listing_id,lookalike,date\n1,true,24.11.2026\n", "row 1: the date '24.11.2026' is not valid; write it like"),
        ("listing_id,lookalike\n1,true,x\n", "has 3 values, but the header names 2 columns"),
        ("listing_id\n1\n", "has no column lookalike"),
    ],
)
def test_refuses_a_verdict_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "v.csv").write_text(text)
    with pytest.raises(TableError, match=message):
        list(read_verdicts(tmp_path / "v.csv"))


@pytest.mark.parametrize(
    ("reviews", "deciding"),
    [
        ([Review("1", True), Review("1", False, "p1")], 1),
        ([Review("1", False, "p1"), Review("1", True)], 1),
        ([Review("1", True, "p1"), Review("1", True, "p2")], 0),
        ([Review("1", False, "p2"), Review("1", True, "p2")], 1),
        ([Review("1", True, "p2"), Review("1", False, "p2")], None),
    ],
)
def test_the_last_review_about_the_product_counts_then_one_of_another_look_alike(
    reviews: list[Review], deciding: int | None
) -> None:
    expected = None if deciding is None else reviews[deciding]
    assert deciding_review(reviews, "p1", "Acme") == expected


def test_a_review_that_names_a_brand_is_about_that_brands_product_only() -> None:
    zeta, acme, either = (Review("1", True, "1", None, brand) for brand in ("Zeta", "Acme", None))
    assert zeta.is_about("1", "Zeta") and not zeta.is_about("1", "Acme") and not zeta.is_about("2", "Zeta")
    assert either.is_about("1", "Zeta") and either.is_about("1", "Acme")
    assert deciding_review([zeta, acme], "1", "Zeta") == zeta
    assert deciding_review([either, acme], "1", "Zeta") == either
    assert deciding_review([Review("1", False, "1", None, "Acme")], "1", "Zeta") is None


def test_reads_the_brand_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text("listing_id,lookalike,product_id,brand\n1,true,1,Acme\n2,true,1,\n")
    assert [review.brand for review in read_verdicts(tmp_path / "v.csv")] == ["Acme", None]


def test_reviews_are_grouped_in_order() -> None:
    reviews = [Review("1", True), Review("2", True), Review("1", False)]
    assert reviews_by_listing(reviews) == {"1": [reviews[0], reviews[2]], "2": [reviews[1]]}
