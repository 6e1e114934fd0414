"""Every row of a file comes out, in its place and with its id; where nobody can tell, reading stops at that line."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.errors import TableError
from lookalike.tables import csv_rows, json_rows
from lookalike.tables.files import read_rows, require_readable
from lookalike.tables.lines import Line

HEADER = "listing_id,title,image\n"
STRAY = {
    "at the end": 'L1,a,1.jpg\nL2,"19 inch screen,2.jpg\nL3,b,3.jpg\n',
    "before a quoted value": 'L1,a,1.jpg\nL2,"19 inch,2.jpg\nL3,"22 inch,3.jpg\nL4,c,4.jpg\n',
    "before a value that holds one": 'L1,a,1.jpg\nL2,"19 inch,2.jpg\nL3,22" screen,3.jpg\nL4,c,4.jpg\n',
    "before a value that ends with one": 'L1,a,1.jpg\nL2,"19 inch,2.jpg\nL3,b,3.jpg\nL4,22",4.jpg\nL5,d,5.jpg\n',
    "so that values are missing": 'L1,a,1.jpg\nL2,b,"2.jpg\nL3,c\nL4,"4.jpg\n',
    "closed and gone on": 'L1,a,1.jpg\nL2,"19" screen,2.jpg\nL3,b,3.jpg\n',
}


def lines_of(path: Path, **wanted: Any) -> list[Line]:
    return list(read_rows(path, **wanted))


@pytest.mark.parametrize("text", STRAY.values(), ids=STRAY)
def test_a_quote_that_takes_in_other_rows_stops_the_reading_at_its_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "l.csv").write_text(HEADER + text)
    with pytest.raises(TableError, match=r"l\.csv: line 3 opens a quote .*; write a quote inside a value twice$"):
        lines_of(tmp_path / "l.csv")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_quotes_commas_and_lines_within_a_value_are_text(tmp_path: Path, end: str) -> None:
    titles = ["a 19 inch", 'red, "new"\nand good, too', "", "x\r\ny,z", 'ends "so"', "\0", "'"]
    rows = [f'{n},"{title.replace(chr(34), chr(34) * 2)}",{n}.jpg' for n, title in enumerate(titles)]
    (tmp_path / "l.csv").write_bytes(
        b"\xef\xbb\xbf" + end.join([HEADER.strip(), *rows, '9,a 19" screen,9.jpg', "", ""]).encode()
    )
    assert [line.values["title"] for line in lines_of(tmp_path / "l.csv")] == [*titles, 'a 19" screen']


def test_a_csv_row_longer_than_the_bound_stops_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "MOST_BYTES", 1000)
    (tmp_path / "l.csv").write_text(HEADER + f"1,{'a' * 900},1.jpg\n2,{'b' * 1000},2.jpg\n")
    with pytest.raises(TableError, match="line 3 begins a row of more than 1,000 characters"):
        lines_of(tmp_path / "l.csv")
    (tmp_path / "l.csv").write_text(HEADER + '1,a,1.jpg\n2,"' + "b,b.jpg\nb," * 1000)
    with pytest.raises(TableError, match="line 3 begins a row of more than 1,000 characters"):
        lines_of(tmp_path / "l.csv")


def test_a_csv_value_may_be_longer_than_the_standard_library_allows(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text(HEADER + f"1,{'a' * 200_000},1.jpg\n")
    assert len(lines_of(tmp_path / "l.csv")[0].values["title"]) == 200_000


def test_refused_rows_keep_their_place_and_their_id(tmp_path: Path) -> None:
    rows = b"1,a,1.jpg\n2\n3,a,b,c\n4,\xe9,4.jpg\n\xe9,e,5.jpg\n6,f,6.jpg\n"
    (tmp_path / "l.csv").write_bytes(HEADER.encode() + rows)
    found = lines_of(tmp_path / "l.csv", required=("listing_id",))
    assert [(line.number, line.values["listing_id"], line.error) for line in found] == [
        (1, "1", None),
        (2, "2", "row 2 has 1 values, but the header names 3 columns"),
        (3, "3", "row 3 has 4 values, but the header names 3 columns"),
        (4, "4", "row 4 is not UTF-8 in title; save it as UTF-8"),
        (5, "\\xe9", "row 5 is not UTF-8 in listing_id; save it as UTF-8"),
        (6, "6", None),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"listing_id;image\n1;a.jpg\n", "its values are separated by ';'; save it with commas"),
        (b"listing_id\timage\n1\ta.jpg\n", r"its values are separated by '\\t'; save it with commas"),
        ("listing_id,image\n1,a.jpg\n".encode("utf-16"), "is UTF-16; save it as UTF-8"),
        ("listing_id,image\n1,a.jpg\n".encode("utf-16-le"), "is UTF-16 or not text; save it as UTF-8"),
        (b"PK\x03\x04...", "is a workbook or a ZIP file; save its sheet as CSV UTF-8, with commas"),
        (b"\x1f\x8b\x08...", "is compressed; unpack it first"),
    ],
)
def test_another_format_is_refused_with_what_to_do(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "l.csv").write_bytes(content)
    with pytest.raises(TableError, match=message):
        require_readable(tmp_path / "l.csv", required=("listing_id", "image"))


def test_two_columns_of_one_name_are_refused_unless_nobody_reads_them(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("listing_id,image,image,note,note,,\n1,a.jpg,b.jpg,x,y,,\n")
    arrays = [pa.array([value]) for value in ("1", "a.jpg", "b.jpg", "x", "y")]
    names = ["listing_id", "image", "image", "note", "note"]
    pq.write_table(pa.Table.from_arrays(arrays, names=names), tmp_path / "l.parquet")
    for name in ("l.csv", "l.parquet"):
        with pytest.raises(TableError, match="has several columns named image, note; leave one or rename the others"):
            lines_of(tmp_path / name)
        with pytest.raises(TableError, match="has several columns named image;"):
            lines_of(tmp_path / name, required=("image",), columns=())
        assert [line.values for line in lines_of(tmp_path / name, columns=("listing_id",))] == [{"listing_id": "1"}]


def test_two_json_values_of_one_name_are_an_error_of_the_row(tmp_path: Path) -> None:
    first = '{"listing_id": "1", "image": "a.jpg", "image": "b.jpg", "note": 1, "note": 2}\n'
    second = '{"listing_id": "2", "image": "a.jpg", "more": {"a": 1, "a": 2}}\n'
    (tmp_path / "l.jsonl").write_text(first + second)
    one, two = lines_of(tmp_path / "l.jsonl", required=("listing_id", "image"), columns=("more",))
    assert one == Line(1, {"listing_id": "1"}, "row 1 has several values named image")
    assert two.error is None and two.values["image"] == "a.jpg"


def test_a_json_line_of_any_length_is_one_row_and_one_beyond_the_bound_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = {"listing_id": "1", "title": "a" * (3 << 20)}
    text = "\n".join(json.dumps({**long, "listing_id": str(n)}) for n in range(3))
    (tmp_path / "l.jsonl").write_text(text)
    assert [line.values["listing_id"] for line in lines_of(tmp_path / "l.jsonl")] == ["0", "1", "2"]
    monkeypatch.setattr(json_rows, "MOST_BYTES", 1000)
    (tmp_path / "l.jsonl").write_text(text + '\n{"listing_id": "3"}\n')
    found = lines_of(tmp_path / "l.jsonl", required=("listing_id",))
    assert [line.error for line in found] == [
        *(f"row {n} is longer than 1,000 bytes; shorten it" for n in (1, 2, 3)),
        None,
    ]


def test_required_json_columns_are_looked_for_in_the_first_good_rows(tmp_path: Path) -> None:
    good = '{"listing_id": "1"}\n{"image": "a.jpg"}\n'
    (tmp_path / "l.jsonl").write_text("broken\n[1]\n\n" + good)
    found = lines_of(tmp_path / "l.jsonl", required=("listing_id", "image"))
    assert [line.error is None for line in found] == [False, False, True, True]
    (tmp_path / "l.jsonl").write_text("broken\n" + '{"listing_id": "1"}\n' * 150 + '{"image": "a.jpg"}\n')
    with pytest.raises(TableError, match="has no column image; its columns are: listing_id"):
        require_readable(tmp_path / "l.jsonl", required=("listing_id", "image"))
    (tmp_path / "l.jsonl").write_text("broken\n")
    assert [line.error is None for line in lines_of(tmp_path / "l.jsonl", required=("image",))] == [False]


def test_half_a_character_in_json_spoils_a_row_that_needs_it(tmp_path: Path) -> None:
    rows = [b'{"listing_id": "1", "title": "\\ud83d"}', b'{"listing_id": "2", "title": "\xe9"}',
            b'{"listing_id": "3", "title": "\\ud83d\\ude00 \xc3\xa9"}']  # fmt: skip
    (tmp_path / "l.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\n".join(rows))
    found = lines_of(tmp_path / "l.jsonl", required=("listing_id",))
    assert found[:2] == [
        Line(n, {"listing_id": f"{n}"}, f"row {n} has 'title' that is not UTF-8; save it as UTF-8") for n in (1, 2)
    ]
    assert found[2] == Line(3, {"listing_id": "3", "title": "😀 é"})
    assert [line.error for line in lines_of(tmp_path / "l.jsonl", columns=("listing_id",))] == [None] * 3


def latin_1(values: list[bytes]) -> pa.Array:
    """Text whose bytes are not UTF-8, as some writers of Parquet leave them."""
    return pa.Array.from_buffers(pa.string(), len(values), pa.array(values).buffers())


def test_odd_values_of_parquet_spoil_only_a_row_that_needs_them(tmp_path: Path) -> None:
    columns = {
        "listing_id": pa.array(["1", "2", "3"]),
        "title": latin_1([b"a", b"Caf\xe9", b"b"]),
        "nanoseconds": pa.array([1_700_000_000_123_456_789, 0, None], pa.timestamp("ns")),
        "far": pa.array([0, 253402300800, None], pa.timestamp("s")),
        "day": pa.array([1_700_000_000_000_000_000] * 3, pa.timestamp("ns")),
    }
    pq.write_table(pa.table(columns), tmp_path / "l.parquet")
    one, two, three = lines_of(tmp_path / "l.parquet", required=("listing_id",))
    assert (one.error, one.values["nanoseconds"]) == (None, "2023-11-14 22:13:20.123456789")
    assert (two.number, two.values) == (2, {"listing_id": "2"})
    assert str(two.error).startswith("row 2 has a title that can't be read ('utf-8' codec can't decode byte 0xe9")
    assert three.values == {"listing_id": "3", "title": "b", "nanoseconds": None, "far": None,
                            "day": datetime(2023, 11, 14, 22, 13, 20)}  # fmt: skip
    assert one.values["far"] == datetime(1970, 1, 1)
    assert [line.error for line in lines_of(tmp_path / "l.parquet", columns=("listing_id", "far"))] == [None] * 3
