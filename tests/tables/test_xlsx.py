"""The first sheet of a workbook is read like the CSV of it; a workbook made to exhaust the memory is refused."""

from __future__ import annotations

import io
import sys
import zipfile
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from lookalike.errors import TableError
from lookalike.records import Listing, Reference
from lookalike.tables import xlsx_rows
from lookalike.tables.files import read_rows, require_readable
from lookalike.tables.inputs import read_listings, read_references

openpyxl = pytest.importorskip("openpyxl", reason="needs the extra xlsx")


def workbook(path: Path, *rows: list[Any], **sheets: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for name, others in sheets.items():
        sheet = book.create_sheet(name)
        for row in others:
            sheet.append(row)
    book.save(path)
    return path


def test_a_workbook_is_read_as_its_sheet_saved_as_csv(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "l.XLSX",
        ["listing_id", "image", "price", "title", None, "seller_id"],
        ["007", "a.jpg", 19.9, 'say "hi",\nbag', None, 12],
        [None, None, None, None, None, None],
        [8, "b.jpg|c.jpg", "1.50", None, "no name", None],
        other=[["listing_id"], ["9"]],
    )
    assert list(read_listings(path)) == [
        Listing("007", f"{tmp_path}/a.jpg", "12", price=Decimal("19.9"), title='say "hi",\nbag'),
        Listing("8", [f"{tmp_path}/b.jpg", f"{tmp_path}/c.jpg"], price=Decimal("1.50")),
    ]


def test_values_keep_their_types_and_rows_their_places(tmp_path: Path) -> None:
    day = datetime(2026, 11, 24, 10, 30)
    path = workbook(tmp_path / "t.xlsx", ["id", "when", "right", "note"], [1, day, True], ["2"], [3, None, False, "x"])
    assert [(line.number, line.values, line.error) for line in read_rows(path, required=("id",))] == [
        (1, {"id": 1, "when": day, "right": True, "note": None}, None),
        (2, {"id": "2", "when": None, "right": None, "note": None}, None),
        (3, {"id": 3, "when": None, "right": False, "note": "x"}, None),
    ]


def test_a_shops_workbook_is_read_with_its_feed(tmp_path: Path) -> None:
    path = workbook(tmp_path / "p.xlsx", ["Handle", "Vendor", "Image Src"], ["cap", "Acme", "https://c.example/c.jpg"])
    assert list(read_references(path, feed="shopify")) == [Reference("cap/1", "cap", "Acme", "https://c.example/c.jpg")]
    with pytest.raises(TableError, match="it looks like a product export of Shopify; read it with --feed shopify"):
        require_readable(path, required=("listing_id",))


def test_a_value_far_away_from_the_others_takes_no_memory(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["id", "title"])
    book.active["XFD2"] = "far"
    book.active["A9000"] = 7
    book.save(tmp_path / "t.xlsx")
    assert [line.values for line in read_rows(tmp_path / "t.xlsx")] == [{"id": 7, "title": None}]


@pytest.mark.parametrize("content", [b"", b"x", b"PK\x03\x04 broken"])
def test_what_is_no_workbook_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.xlsx").write_bytes(content)
    with pytest.raises(TableError, match="t.xlsx can't be read as a workbook .*; save its sheet as CSV UTF-8"):
        list(read_rows(tmp_path / "t.xlsx"))


def test_a_workbook_that_unpacks_to_far_more_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workbook(tmp_path / "t.xlsx", ["id"], ["1"])
    monkeypatch.setattr(xlsx_rows, "_MOST_UNPACKED", 1 << 20)
    bomb = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            padding = b" " * (1 << 21) if name.endswith("sheet1.xml") else b""
            new.writestr(name, old.read(name) + padding)
    path.write_bytes(bomb.getvalue())
    with pytest.raises(TableError, match=r"\(xl/worksheets/sheet1.xml unpacks to 2,09"):
        list(read_rows(path))


def test_without_the_extra_a_line_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workbook(tmp_path / "t.xlsx", ["id"], ["1"])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(TableError, match=r"t.xlsx is a workbook; .*'lookalike\[xlsx\]', or save its sheet as CSV"):
        list(read_rows(path))


@pytest.mark.parametrize("name", ["t.xls", "t.ods"])
def test_older_workbooks_are_refused_with_what_to_do(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(
        TableError, match=f"{name} is a workbook of another kind; save it as .xlsx, or its sheet as CSV"
    ):
        list(read_rows(tmp_path / name))
