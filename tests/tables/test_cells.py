"""A cell holds the same id, text or photos in every format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.records import BadRow
from lookalike.tables.cells import id_text, photos_in
from lookalike.tables.inputs import read_listings, read_references
from lookalike.tables.labels import Review, read_verdicts

NAN = float("nan")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("007", "007"), (7, "7"), (0, "0"), (7.0, "7"), (-0.0, "0"), (1e15, "1000000000000000"), (7.5, "7.5"),
        (b"a7", "a7"), (None, None), ("", None), (NAN, None), (float("inf"), None), (True, None), (["7"], None),
        ({"id": 7}, None),
    ],
)  # fmt: skip
def test_an_id_is_what_stands_in_the_csv_file_of_the_same_table(value: object, expected: str | None) -> None:
    assert id_text(value) == expected


def test_ids_that_a_data_frame_made_floats_are_the_ids_of_the_csv_file(tmp_path: Path) -> None:
    ids = [100.0, NAN, None, 0.0, NAN]
    images = [f"{n}.jpg" for n in range(5)]
    pq.write_table(pa.table({"listing_id": ids, "image": images, "seller_id": [7.0] * 5}), tmp_path / "l.parquet")
    rows = [{"listing_id": i, "image": image, "seller_id": 7.0} for i, image in zip(ids, images, strict=True)]
    (tmp_path / "l.jsonl").write_text("\n".join(map(json.dumps, rows)))
    text = ["100", "", "", "0", ""]
    lines = (f"{i},{image},7\n" for i, image in zip(text, images, strict=True))
    (tmp_path / "l.csv").write_text("listing_id,image,seller_id\n" + "".join(lines))
    for name in ("l.csv", "l.jsonl", "l.parquet"):
        found = [(each.id, each.error, each.seller, len(each.images)) for each in read_listings(tmp_path / name)]
        assert found == [
            ("100", None, "7", 1),
            ("row 2", "row 2 has no listing_id", "7", 1),
            ("row 3", "row 3 has no listing_id", "7", 1),
            ("0", None, "7", 1),
            ("row 5", "row 5 has no listing_id", "7", 1),
        ], name


def test_ids_of_references_and_verdicts_are_read_alike(tmp_path: Path) -> None:
    columns = {"reference_id": [1.0, NAN], "image": ["a.jpg", "b.jpg"], "product_id": [2.0, 2.0], "brand": [5.0, 5.0]}
    pq.write_table(pa.table(columns), tmp_path / "r.parquet")
    reference, bad = read_references(tmp_path / "r.parquet")
    assert not isinstance(reference, BadRow)
    assert (reference.id, reference.product, reference.brand) == ("1", "2", "5")
    assert bad == BadRow("row 2", "row 2 has no reference_id")
    pq.write_table(pa.table({"listing_id": [100.0], "lookalike": [True], "product_id": [2.0]}), tmp_path / "v.parquet")
    assert list(read_verdicts(tmp_path / "v.parquet")) == [Review("100", True, "2")]


@pytest.mark.parametrize(
    ("cell", "photos"),
    [
        ("a.jpg", ["a.jpg"]),
        ("a.jpg, b.PNG", ["a.jpg", "b.PNG"]),
        ("a.jpg|b.jpg | c.jpg,", ["a.jpg", "b.jpg", "c.jpg"]),
        ("red,blue.jpg", ["red,blue.jpg"]),
        ("there,is.jpg,so.jpg", ["there,is.jpg,so.jpg"]),
        ("https://a.example/1.jpg,https://a.example/2", ["https://a.example/1.jpg", "https://a.example/2"]),
        ("https://a.example/1|https://a.example/2", ["https://a.example/1", "https://a.example/2"]),
        ("https://a.example/w_4,h_3/1.jpg", ["https://a.example/w_4,h_3/1.jpg"]),
        ("https://a.example/1.jpg?crop=1,2,3,4", ["https://a.example/1.jpg?crop=1,2,3,4"]),
        ("https://a.example/1.jpg?v=2, b.jpg", ["https://a.example/1.jpg?v=2", "b.jpg"]),
        (["a.jpg", "b,c.jpg", None, ""], ["a.jpg", "b,c.jpg"]),
        ("", []), (None, []), (NAN, []), ([], []),
    ],
)  # fmt: skip
def test_several_photos_in_one_cell(tmp_path: Path, cell: object, photos: list[str]) -> None:
    (tmp_path / "there,is.jpg,so.jpg").touch()
    assert photos_in(cell, tmp_path) == photos


@pytest.mark.parametrize("name", ["l.csv", "l.jsonl", "l.parquet"])
def test_a_listing_has_all_photos_of_its_cells(tmp_path: Path, name: str) -> None:
    (tmp_path / "l.csv").write_text('listing_id,image\n1,"a.jpg, b.jpg"\n1,c.jpg\n2,a.jpg|b.jpg\n')
    rows: list[dict[str, Any]] = [
        {"listing_id": "1", "image": ["a.jpg", "b.jpg"]}, {"listing_id": "1", "image": ["c.jpg"]},
        {"listing_id": "2", "image": ["a.jpg", "b.jpg"]},
    ]  # fmt: skip
    (tmp_path / "l.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "l.parquet")
    found = {each.id: (each.images, each.error) for each in read_listings(tmp_path / name)}
    a, b, c = (f"{tmp_path}/{photo}.jpg" for photo in "abc")
    assert found == {"1": ((a, b, c), None), "2": ((a, b), None)}


def test_images_that_are_not_text_are_an_error_of_the_row(tmp_path: Path) -> None:
    images: list[Any] = [[{"url": "a.jpg"}], {"path": "a.jpg"}, True, [["a.jpg"]]]
    rows = ({"listing_id": str(n), "image": image} for n, image in enumerate(images))
    (tmp_path / "l.jsonl").write_text("\n".join(map(json.dumps, rows)))
    table = {"listing_id": ["1", "2"], "image": [b"\xff\xd8\xff\xe0", b"a.jpg"]}
    pq.write_table(pa.table(table), tmp_path / "l.parquet")
    trouble = "row {} has an image that is {}, not text; give paths or addresses"
    assert [each.error for each in read_listings(tmp_path / "l.jsonl")] == [
        trouble.format(n, kind) for n, kind in enumerate(("dict", "dict", "bool", "list"), 1)
    ]
    pixels, path = read_listings(tmp_path / "l.parquet")
    assert (pixels.error, pixels.images) == (trouble.format(1, "bytes"), ())
    assert (path.error, path.images) == (None, (f"{tmp_path}/a.jpg",))


def test_a_reference_is_one_photo(tmp_path: Path) -> None:
    header = "reference_id,image,product_id,brand\n"
    (tmp_path / "r.csv").write_text(header + '1,"a.jpg, b.jpg",p,B\n2,"a,b.jpg",p,B\n')
    bad, good = read_references(tmp_path / "r.csv")
    assert bad == BadRow("1", "row 1 has 2 images; a reference is one photo, so give each a row")
    assert not isinstance(good, BadRow) and good.image == f"{tmp_path}/a,b.jpg"
