"""Tables are read alike in three formats, and a bad row is told of, never lost."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from lookalike.errors import TableError
from lookalike.records import BadRow, Listing, Reference
from lookalike.tables.files import read_rows, writing_table
from lookalike.tables.gathering import MOST_PHOTOS
from lookalike.tables.inputs import read_listings, read_references
from lookalike.tables.labels import LabelledPhoto, read_labelled_photos, read_labels

ROWS = [
    {"listing_id": "007", "image": "a.jpg", "seller_id": "s1", "price": "19.90", "title": 'bag, "new"\nred'},
    {"listing_id": "007", "image": "b.jpg", "seller_id": "", "price": "", "title": ""},
    {"listing_id": "8", "image": "https://example.com/c.jpg", "seller_id": "s2", "price": "", "title": "ü"},
]


def written(path: Path, rows: list[dict[str, str]]) -> Path:
    with writing_table(path, pa.schema([(name, pa.string()) for name in rows[0]])) as writer:
        writer.write(rows)
    return path


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
def test_reads_what_was_written_in_each_format(tmp_path: Path, ending: str) -> None:
    path = written(tmp_path / f"t{ending}", ROWS)
    assert [line.values for line in read_rows(path)] == ROWS
    assert list(read_listings(path)) == [
        Listing(
            "007", (f"{tmp_path}/a.jpg", f"{tmp_path}/b.jpg"), "s1", price=Decimal("19.90"), title='bag, "new"\nred'
        ),
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
    assert list(listings) == ["1", "2", "3", "4"]
    assert sorted(key for key, listing in listings.items() if listing.error) == ["2", "3"]
    assert "has 1 values, but the header names 2 columns" in str(listings["2"].error)
    assert "not UTF-8" in str(listings["3"].error)


def test_a_bad_json_line_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "l.jsonl").write_text('{"listing_id": "1", "image": "a.jpg"}\n{"listing_id": \n[1]\n')
    listings = list(read_listings(tmp_path / "l.jsonl"))
    assert [bool(listing.error) for listing in listings] == [False, True, True]


def test_a_price_that_is_none_is_told_of_and_the_listing_kept(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text('listing_id,image,price\n1,a.jpg,"1,5"\n2,b.jpg,nan\n')
    listings = list(read_listings(tmp_path / "l.csv"))
    assert [(listing.price, len(listing.images)) for listing in listings] == [(None, 1), (None, 1)]
    assert "the price '1,5' is not a number from 0 to below 10¹² with at most 20 decimal places" in str(
        listings[0].error
    )


def test_prices_are_read_exactly_as_they_were_written(tmp_path: Path) -> None:
    texts = ["0.1", "19.90", "1234567.005", "0.30000000000000004", "123456789012.345678901234567890", "7"]
    wanted = [Decimal(text) for text in texts]
    csv, jsonl = tmp_path / "l.csv", tmp_path / "l.jsonl"
    csv.write_text("listing_id,image,price\n" + "".join(f"{n},a.jpg,{text}\n" for n, text in enumerate(texts)))
    lines = (f'{{"listing_id": "{n}", "image": "a.jpg", "price": {text}}}\n' for n, text in enumerate(texts))
    jsonl.write_text("".join(lines))
    for path in (csv, jsonl):
        prices = [listing.price for listing in read_listings(path)]
        assert prices == wanted and list(map(str, prices)) == texts
    columns = {
        "text": pa.array(texts),
        "decimal": pa.array([Decimal("0.10"), Decimal("19.99")], pa.decimal128(12, 2)),
        "float": pa.array([0.1, 19.99, 1234567.005, 0.1 + 0.2]),
        "integer": pa.array([7, 10**11]),
    }
    for name, prices in columns.items():
        ids = [str(n) for n in range(len(prices))]
        table = pa.table({"listing_id": ids, "image": ["a.jpg"] * len(ids), "price": prices})
        pyarrow.parquet.write_table(table, tmp_path / f"{name}.parquet")
        found = [listing.price for listing in read_listings(tmp_path / f"{name}.parquet")]
        assert found == [Decimal(str(value)) for value in prices.to_pylist()], name
    table = pa.table({"listing_id": ["1", "2"], "image": ["a.jpg", ""], "price": pa.array([19.99, None], pa.float32())})
    pyarrow.parquet.write_table(table, tmp_path / "float32.parquet")
    assert [listing.price for listing in read_listings(tmp_path / "float32.parquet")] == [Decimal("19.99"), None]


@pytest.mark.parametrize("price", ["-1", "1e12", "1e-21", "inf", "1,5", "EUR 5", "1e99999999999999999999"])
def test_a_price_out_of_bounds_is_reported_and_the_listing_kept(tmp_path: Path, price: str) -> None:
    (tmp_path / "l.csv").write_text(f'listing_id,image,price\n1,a.jpg,"{price}"\n')
    (tmp_path / "l.jsonl").write_text(json.dumps({"listing_id": "1", "image": "a.jpg", "price": price}))
    for name in ("l.csv", "l.jsonl"):
        (listing,) = read_listings(tmp_path / name)
        assert (listing.price, len(listing.images)) == (None, 1)
        assert f"the price '{price}' is not a number from 0 to below 10¹²" in str(listing.error)


def test_a_json_number_too_large_for_any_decimal_is_reported(tmp_path: Path) -> None:
    line = '{"listing_id": "%s", "image": "a.jpg", "price": %s}\n'
    (tmp_path / "l.jsonl").write_text(line % (1, "1.0e99999999999999999999") + line % (2, "1.5"))
    first, second = read_listings(tmp_path / "l.jsonl")
    assert "the price '1.0e99999999999999999999' is not a number" in str(first.error) and second == Listing(
        "2", f"{tmp_path}/a.jpg", price=Decimal("1.5")
    )


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
        ("t.csv", b"id,image\n1,a\n", "has no column listing_id; its columns are: id, image"),
        ("t.jsonl", b'{"id": 1}\n', "has no column listing_id"),
        ("t.parquet", b"PAR1 not", "t.parquet can't be read as Parquet"),
        ("t.xlsx", b"x", "t.xlsx can.t be read as a workbook .*; save its sheet as CSV UTF-8, with commas"),
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
        with writing_table(tmp_path / f"n{ending}", schema) as writer:
            writer.write([{"a": 1, "b": 0.5}, {"a": None, "b": None}])
        assert [line.values for line in read_rows(tmp_path / f"n{ending}")] == [
            {"a": 1, "b": 0.5},
            {"a": None, "b": None},
        ]
    assert json.loads((tmp_path / "n.jsonl").read_text().splitlines()[0]) == {"a": 1, "b": 0.5}


def test_labels_are_read_as_people_and_spreadsheets_write_them(tmp_path: Path) -> None:
    yes, no = ("true", "TRUE", "yes", "Yes", "1", "1.0"), ("false", "False", "no", "NO", "0", "0.0")
    (tmp_path / "l.csv").write_text("image,product_id,lookalike\n" + "".join(f"/{v},p,{v}\n" for v in (*yes, *no)))
    assert read_labels(tmp_path / "l.csv") == {f"/{v}": {"p"} for v in yes} | {f"/{v}": set() for v in no}


def test_labels_of_a_photo_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("image,product_id,lookalike\n/a,p1,true\n/a,p2,false\n/a,p1,false\n")
    with pytest.raises(
        TableError, match="row 3 contradicts an earlier row about /a and p1; keep the one that is right"
    ):
        read_labels(tmp_path / "l.csv")


def test_labels_name_the_brand_of_a_product_where_they_know_it(tmp_path: Path) -> None:
    rows = "/a,1,true,Acme\n/a,1,true,Zeta\n/b,1,true,\n/c,1,false,Acme\n/d,,true,Acme\n"
    (tmp_path / "l.csv").write_text("image,product_id,lookalike,brand\n" + rows)
    assert read_labels(tmp_path / "l.csv") == {
        "/a": {("Acme", "1"), ("Zeta", "1")}, "/b": {"1"}, "/c": set(), "/d": set()
    }  # fmt: skip


def test_labelled_photos_keep_their_strata_and_territory(tmp_path: Path) -> None:
    header = "image,product_id,lookalike,stratum,territory\n"
    (tmp_path / "l.csv").write_text(header + "/a,p1,true,crop,DE\n/a,p2,true,dark,\n/b,,false,,FR\n")
    assert read_labelled_photos(tmp_path / "l.csv") == [
        LabelledPhoto("/a", frozenset({"p1", "p2"}), frozenset({"crop", "dark"}), "DE"),
        LabelledPhoto("/b", territory="FR"),
    ]
    (tmp_path / "l.csv").write_text(header + "/a,p1,true,crop,DE\n/a,p2,true,crop,FR\n")
    with pytest.raises(TableError, match="give each photo one territory"):
        read_labelled_photos(tmp_path / "l.csv")
