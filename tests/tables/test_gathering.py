"""A listing counts once, wherever its rows stand."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.records import Listing
from lookalike.tables.files import read_rows, writing_table
from lookalike.tables.gathering import rows_apart
from lookalike.tables.inputs import count_listings, read_listings

ENDINGS = (".csv", ".parquet", ".jsonl")
APART = ["a 1", "b 1", "a 2", "c 1", " 1", "b 2", "d 1", "d 2", " 2", "a 3"]


def written(path: Path, rows: list[tuple[str, ...]], names: tuple[str, ...] = ("listing_id", "image")) -> Path:
    with writing_table(path, pa.schema([(name, pa.string()) for name in names])) as writer:
        writer.write([dict(zip(names, row, strict=True)) for row in rows])
    return path


@pytest.mark.parametrize("ending", ENDINGS)
def test_rows_that_stand_apart_are_one_listing_in_the_place_of_the_last(tmp_path: Path, ending: str) -> None:
    rows = [tuple(f"{row}.jpg".split(" ", 1)) for row in APART]
    found = list(read_listings(written(tmp_path / f"l{ending}", rows)))
    photos = [(each.id, [Path(str(image)).stem for image in each.images]) for each in found]
    assert photos == [("c", ["1"]), ("row 5", ["1"]), ("b", ["1", "2"]), ("d", ["1", "2"]), ("row 9", ["2"]),
                      ("a", ["1", "2", "3"])]  # fmt: skip
    assert [each.error for each in found if each.error] == ["row 5 has no listing_id", "row 9 has no listing_id"]
    assert list(read_listings(tmp_path / f"l{ending}")) == found


def test_only_ids_whose_rows_stand_apart_are_counted(tmp_path: Path) -> None:
    path = written(tmp_path / "l.csv", [tuple(f"{row}.jpg".split(" ", 1)) for row in APART])
    assert sorted(rows_apart(read_rows(path), key="listing_id").values()) == [2, 3]


def test_a_row_without_an_id_is_not_the_listing_of_that_name(tmp_path: Path) -> None:
    found = list(read_listings(written(tmp_path / "l.csv", [("row 2", "1.jpg"), ("", "2.jpg")])))
    assert [(each.id, len(each.images), each.error) for each in found] == [
        ("row 2", 1, None),
        ("row 2", 1, "row 2 has no listing_id"),
    ]


def test_a_photo_that_is_named_again_is_one_photo(tmp_path: Path) -> None:
    (listing,) = read_listings(written(tmp_path / "l.csv", [("a", "1.jpg")] * 300))
    assert listing == Listing("a", f"{tmp_path}/1.jpg")


@pytest.mark.parametrize("ending", ENDINGS)
def test_rows_of_a_listing_that_disagree_are_reported(tmp_path: Path, ending: str) -> None:
    names = ("listing_id", "image", "seller_id", "price", "title")
    rows = [
        ("a", "1.jpg", "s1", "19.90", "bag"),
        ("b", "1.jpg", "s1", "5", "bag"),
        ("a", "2.jpg", "s2", "19.9", "red bag"),
        ("b", "2.jpg", "", "6", ""),
    ]
    a, b = read_listings(written(tmp_path / f"l{ending}", rows, names))
    assert (a.seller, a.price, a.title) == ("s1", Decimal("19.90"), "bag")
    assert a.error == "rows 1 and 3 differ in seller_id (s1, s2); the first counts"
    assert (b.seller, b.price) == ("s1", Decimal(5))
    assert b.error == "rows 2 and 4 differ in price (5, 6); the first counts"


def test_a_listing_with_many_bad_rows_counts_them(tmp_path: Path) -> None:
    (listing,) = read_listings(written(tmp_path / "l.csv", [("a", "")] * 25))
    assert str(listing.error).startswith("row 1 has no image; row 2 has no image;")
    assert str(listing.error).endswith("row 10 has no image; and 15 more errors")


def test_a_price_that_is_missing_from_a_data_frame_is_no_error(tmp_path: Path) -> None:
    columns = {"listing_id": ["1", "2", "3"], "image": ["a.jpg"] * 3, "price": [19.5, float("nan"), float("inf")]}
    pq.write_table(pa.table({**columns, "territory": [float("nan")] * 3}), tmp_path / "l.parquet")
    found = [(each.price, each.territory, bool(each.error)) for each in read_listings(tmp_path / "l.parquet")]
    assert found == [(Decimal("19.5"), None, False), (None, None, False), (None, None, True)]


def test_each_column_that_differs_is_reported_once(tmp_path: Path) -> None:
    rows = [("a", f"{n}.jpg", str(n)) for n in range(5)]
    (listing,) = read_listings(written(tmp_path / "l.csv", rows, ("listing_id", "image", "price")))
    assert listing.error == "rows 1 and 2 differ in price (0, 1); the first counts"


def test_counts_as_many_listings_as_are_read(tmp_path: Path) -> None:
    rows = ["a,1.jpg", "b,2.jpg", "a,3.jpg", ",4.jpg", ",5.jpg", "c,6.jpg", "c,7.jpg"]
    (tmp_path / "l.csv").write_text("\n".join(["listing_id,image", *rows]))
    assert count_listings(tmp_path / "l.csv") == len(list(read_listings(tmp_path / "l.csv"))) == 5
