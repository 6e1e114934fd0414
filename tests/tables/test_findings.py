"""The findings table keeps every value of a finding, in every format, and prices to their last digit."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.errors import TableError
from lookalike.records import Finding, Listing, Match, Reference, Verdict, Verification
from lookalike.tables.candidates import match_of, matches_of
from lookalike.tables.findings import (
    FindingRow,
    finding_row,
    finding_schema,
    listing_of,
    read_findings,
    stored,
    typed_row,
    write_findings,
)
from lookalike.tables.names import NameReading

ENDINGS = (".csv", ".parquet", ".jsonl")
PRICES = ("0.1", "19.99", "1234567.005", "19.90", "7", "0.00000001", "999999999999.99999999999999999999")


def priced(price: str | None) -> Finding:
    listing = Listing("007", "a.jpg", 's "1"\n', price=None if price is None else Decimal(price), currency="EUR")
    return Finding(listing, Verdict.CLEAR, "default@1f0c", "embedded@3b9a")


@pytest.mark.parametrize("ending", ENDINGS)
def test_prices_come_back_to_their_last_digit(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"f{ending}"
    write_findings([finding_row(priced(price)) for price in (*PRICES, None)], path)
    rows = list(read_findings(path))
    assert [row["price"] for row in rows] == [*map(Decimal, PRICES), None]
    assert [str(listing_of(row).price) for row in rows[:4]] == list(PRICES[:4])
    write_findings(rows, tmp_path / f"again{ending}")
    assert list(read_findings(tmp_path / f"again{ending}")) == rows


@pytest.mark.parametrize("ending", ENDINGS)
def test_numbers_are_the_same_to_their_last_bit_in_every_format(tmp_path: Path, ending: str) -> None:
    """So that a threshold that equals a similarity decides alike."""
    rng = np.random.default_rng(0)
    singles, doubles = rng.uniform(-1, 1, 500).astype(np.float32).tolist(), rng.uniform(0, 1, 500).tolist()
    plain = finding_row(priced(None))
    rows = [{**plain, "listing_id": str(at), "similarity": single, "coverage": single, "probability": double}
            for at, (single, double) in enumerate(zip(singles, doubles, strict=True))]  # fmt: skip
    write_findings(rows, tmp_path / f"f{ending}")
    found = list(read_findings(tmp_path / f"f{ending}"))
    assert [(row["similarity"], row["coverage"], row["probability"]) for row in found] == [
        *zip(singles, singles, doubles, strict=True)
    ]


def test_csv_and_json_lines_show_prices_as_people_write_them(tmp_path: Path) -> None:
    rows = [finding_row(priced(price)) for price in PRICES]
    for ending in (".csv", ".jsonl"):
        write_findings(rows, tmp_path / f"f{ending}")
        text = (tmp_path / f"f{ending}").read_text()
        assert [price for price in PRICES if f'"{price}"' not in text] == []


@pytest.mark.parametrize("value", [Decimal("1E+3"), "1e3"])
def test_prices_are_written_without_an_exponent(tmp_path: Path, value: object) -> None:
    write_findings([finding_row(priced("1e3")) | {"price": value}], tmp_path / "f.csv")
    (row,) = read_findings(tmp_path / "f.csv")
    assert row["price"] == 1000


def test_findings_of_older_versions_with_prices_as_floats_are_read(tmp_path: Path) -> None:
    floats = [0.1, 19.99, 1234567.005, 100000.0, None]
    text = finding_schema()
    older = text.set(text.get_field_index("price"), pa.field("price", pa.float64()))
    rows = [finding_row(priced(None)) | {"price": value} for value in floats]
    pq.write_table(pa.Table.from_pylist(rows, schema=older), tmp_path / "f.parquet")
    (tmp_path / "f.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for ending in (".parquet", ".jsonl"):
        prices = [row["price"] for row in read_findings(tmp_path / f"f{ending}")]
        assert prices == [Decimal("0.1"), Decimal("19.99"), Decimal("1234567.005"), 100000, None]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("price", "much", "has price 'much', expected a number"),
        ("price", "1e999999999", "has price '1e999999999', expected a number"),
        ("inliers", "x", "has inliers 'x', expected a number"),
        ("inliers", "1e999", "has inliers '1e999', expected a number"),
        ("similarity", [1], r"has similarity '\[1\]', expected a number"),
        ("mirrored", "perhaps", "has mirrored 'perhaps', expected true or false"),
    ],
)
def test_a_value_of_another_type_is_named_with_its_row(tmp_path: Path, name: str, value: object, expected: str) -> None:
    rows = [finding_row(priced(None)) | {"price": None}, finding_row(priced(None)) | {name: value}]
    (tmp_path / "f.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(TableError, match=f"row 2 {expected}"):
        list(read_findings(tmp_path / "f.jsonl"))


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_value_comes_back_of_its_type(tmp_path: Path, ending: str) -> None:
    verification = Verification(25, 0.75, True, "copied_photo", ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)))
    match = Match(Reference("r1", "p1", "Acme", "genuine/1.jpg"), 0.9375, verification, 1.5, "a.jpg", "stock",
                  "ab" * 32, 0.25, 0.5, Verdict.FLAGGED, 0.9, 0.75, (0.25, 0.5, 0.75, 1.0), 0.5, 0.95)  # fmt: skip
    listing = Listing("007", "a.jpg", "s1", "DE", Decimal("19.90"), "EUR", 'Bag, "red"\n', "https://example.com")
    found = Finding(listing, Verdict.UNPROTECTED, "default@1f0c", "embedded@3b9a", "copied_photo", "p1", "Acme", 0.9375,
                    1.5, 0.5, 0.9, "stock", (match,), "a.jpg", "b.jpg: unread", "a.jpg: cut", "ab" * 32,
                    similarity_verdict=Verdict.FLAGGED, rights=({"ground": "listing", "territory": "é"},),
                    rights_basis={"day": "2026-11-24"}, scanned_at="2026-11-24T09:05:00+00:00",
                    look=0.75, flag_threshold=0.95)  # fmt: skip
    row = {**finding_row(found), "label_name": NameReading("same", "Acme", "ACME", 1.0).to_cell()}
    assert None not in row.values()
    assert (row["rights"], row["rights_basis"]) == ('[{"ground":"listing","territory":"é"}]', '{"day":"2026-11-24"}')
    write_findings([row], tmp_path / f"f{ending}")
    (again,) = read_findings(tmp_path / f"f{ending}")
    assert again == row
    assert {name: type(value) for name, value in again.items()} == {name: type(value) for name, value in row.items()}
    assert matches_of(again) == [match] and match_of(again) == match
    whole, matches = stored(again)
    assert (whole.listing, whole.verdict, matches) == (
        Listing("007", (), "s1", "DE", Decimal("19.90"), "EUR", 'Bag, "red"\n', "https://example.com"),
        Verdict.FLAGGED,
        [match],
    )


def test_rows_of_a_table_have_all_columns_and_keep_further_ones(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("listing_id,verdict,policy,encoder,phone\n,flagged,p,e,1\n2,clear,p,e,\n")
    first, second = read_findings(tmp_path / "f.csv")
    assert [*first] == [*FindingRow.__annotations__, "phone"]
    assert (first["listing_id"], first["price"], dict(first)["phone"], dict(second)["phone"]) == ("", None, "1", None)


def test_structured_values_become_text_that_can_be_read_back() -> None:
    row = typed_row({"listing_id": 7, "verdict": "flagged", "rights": ["trademark 7", "design 3"]})
    assert (row["listing_id"], row["rights"]) == ("7", '["trademark 7", "design 3"]')
    assert row["policy"] == "" and row["candidates"] is None


def test_the_schema_follows_from_the_rows_type() -> None:
    schema = finding_schema()
    assert schema.names == list(FindingRow.__annotations__) == list(finding_row(priced(None)))
    types = {name: str(schema.field(name).type) for name in schema.names}
    assert {name: kind for name, kind in types.items() if kind != "string"} == {
        "similarity": "float", "normalised_similarity": "float", "look": "float", "probability": "double",
        "threshold": "double", "flag_threshold": "double", "inliers": "int32", "coverage": "float", "mirrored": "bool",
    }  # fmt: skip
    assert get_type_hints(FindingRow)["price"] == Decimal | None


def test_a_decision_that_is_none_of_the_candidates_is_reported() -> None:
    found = Finding(Listing("L1", "a.jpg"), Verdict.CLEAR, "p", "e", brand="Acme", product="p9",
                    matches=(Match(Reference("r1", "p1", "Acme", "1.jpg"), 0.5),))  # fmt: skip
    with pytest.raises(TableError, match="candidates of listing L1 lack the product that decided"):
        match_of(finding_row(found))
