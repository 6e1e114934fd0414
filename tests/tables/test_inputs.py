"""Tables are read alike in three formats, and a bad row is told of, never lost."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from lookalike.errors import TableError
from lookalike.records import BadRow, Listing, Reference
from lookalike.tables.files import TableWriter, read_rows
from lookalike.tables.inputs import (
    MOST_PHOTOS,
    LabelledPhoto,
    read_labelled_photos,
    read_labels,
    read_listings,
    read_references,
)

ROWS = [
    {"listing_id": "007", "image": "a.jpg", "seller_id": "s1", "price": "19.90", "title": 'bag, "new"\nred'},
    {"listing_id": "007", "image": "b.jpg", "seller_id": "", "price": "", "title": ""},
    {"listing_id": "8", "image": "https://example.com/c.jpg", "seller_id": "s2", "price": "", "title": "ü"},
]


def written(path: Path, rows: list[dict[str, str]]) -> Path:
    writer = TableWriter(path, pa.schema([(name, pa.string()) for name in rows[0]]))
    writer.write(rows)
    writer.close()
    return path


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
def test_reads_what_was_written_in_each_format(tmp_path: Path, ending: str) -> None:
    path = written(tmp_path / f"t{ending}", ROWS)
    assert [line.values for line in read_rows(path)] == ROWS
    assert list(read_listings(path)) == [
        Listing("007", (f"{tmp_path}/a.jpg", f"{tmp_path}/b.jpg"), "s1", price=19.9, title='bag, "new"\nred'),
        Listing("8", ("https://example.com/c.jpg",), "s2", title="ü"),
    ]


def test_carries_further_columns_of_references_along(tmp_path: Path) -> None:
    row = {"reference_id": "1", "image": "/a.jpg", "product_id": "p", "brand": "B", "season": "05"}
    assert list(read_references(written(tmp_path / "r.csv", [row]))) == [
        Reference("1", "p", "B", "/a.jpg", {"season": "05"})
    ]


def test_a_reference_without_a_value_is_a_bad_row(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("reference_id,image,product_id,brand\n1,a.jpg,p,\n,a.jpg,p,B\n")
    assert list(read_references(tmp_path / "r.csv")) == [
        BadRow("1", "row 1 has no brand"),
        BadRow("row 2", "row 2 has no reference_id"),
    ]


def test_a_csv_row_of_another_width_or_encoding_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes(b"listing_id,image\n1,a.jpg\n2\n3,\xff.jpg\n4,d.jpg\n")
    listings = {listing.id: listing for listing in read_listings(tmp_path / "l.csv")}
    assert len(listings) == 4
    assert sorted(key for key, listing in listings.items() if listing.error) == ["3", "row 3"]
    assert "has 1 values where the header names 2" in str(listings["row 3"].error)
    assert "not UTF-8" in str(listings["3"].error)


def test_a_bad_json_line_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "l.jsonl").write_text('{"listing_id": "1", "image": "a.jpg"}\n{"listing_id": \n[1]\n')
    listings = list(read_listings(tmp_path / "l.jsonl"))
    assert [bool(listing.error) for listing in listings] == [False, True, True]


def test_a_price_that_is_none_is_told_of_and_the_listing_kept(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text('listing_id,image,price\n1,a.jpg,"1,5"\n2,b.jpg,nan\n')
    listings = list(read_listings(tmp_path / "l.csv"))
    assert [(listing.price, len(listing.images)) for listing in listings] == [(None, 1), (None, 1)]
    assert "the price '1,5' is no number" in str(listings[0].error)


def test_bounds_the_photos_of_one_listing_and_says_so(tmp_path: Path) -> None:
    lines = "".join(f"1,{i}.jpg\n" for i in range(MOST_PHOTOS + 50))
    (tmp_path / "l.csv").write_text("listing_id,image\n" + lines)
    (listing,) = read_listings(tmp_path / "l.csv")
    assert len(listing.images) == MOST_PHOTOS
    assert listing.error == f"has {MOST_PHOTOS + 50} photos, of which the first {MOST_PHOTOS} were compared"


def test_labels_join_the_rows_of_one_photo(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("image,product_id,lookalike\n/a,p1,true\n/a,p2,true\n/a,p3,false\n/b,,false\n")
    assert read_labels(tmp_path / "l.csv") == {"/a": {"p1", "p2"}, "/b": set()}
    (tmp_path / "l.csv").write_text("image,product_id,lookalike\n/a,p1,maybe\n")
    with pytest.raises(TableError, match="true or false"):
        read_labels(tmp_path / "l.csv")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "has no"),
        ("t.csv", b"listing_id,image\n", "has no rows"),
        ("t.csv", b"id,image\n1,a\n", "has no column listing_id; it has id, image, needed listing_id, image"),
        ("t.jsonl", b'{"id": 1}\n', "has no column listing_id"),
        ("t.parquet", b"PAR1 not", "no readable Parquet"),
        ("t.xlsx", b"x", "needed one of .csv, .parquet, .jsonl"),
    ],
)
def test_refuses_a_table_that_is_none(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TableError, match=message):
        list(read_listings(tmp_path / name))


def test_refuses_a_table_that_is_not_there() -> None:
    with pytest.raises(TableError, match="there is no table"):
        list(read_listings("nowhere.csv"))


def test_numbers_keep_their_types(tmp_path: Path) -> None:
    schema = pa.schema([("a", pa.int64()), ("b", pa.float64())])
    for ending in (".parquet", ".jsonl"):
        writer = TableWriter(tmp_path / f"n{ending}", schema)
        writer.write([{"a": 1, "b": 0.5}, {"a": None, "b": None}])
        writer.close()
        assert [line.values for line in read_rows(tmp_path / f"n{ending}")] == [
            {"a": 1, "b": 0.5},
            {"a": None, "b": None},
        ]
    assert json.loads((tmp_path / "n.jsonl").read_text().splitlines()[0]) == {"a": 1, "b": 0.5}


def test_labelled_photos_keep_their_strata_and_territory(tmp_path: Path) -> None:
    header = "image,product_id,lookalike,stratum,territory\n"
    (tmp_path / "l.csv").write_text(header + "/a,p1,true,crop,DE\n/a,p2,true,dark,\n/b,,false,,FR\n")
    assert read_labelled_photos(tmp_path / "l.csv") == [
        LabelledPhoto("/a", frozenset({"p1", "p2"}), frozenset({"crop", "dark"}), "DE"),
        LabelledPhoto("/b", territory="FR"),
    ]
    (tmp_path / "l.csv").write_text(header + "/a,p1,true,crop,DE\n/a,p2,true,crop,FR\n")
    with pytest.raises(TableError, match="needed one territory a photo"):
        read_labelled_photos(tmp_path / "l.csv")
