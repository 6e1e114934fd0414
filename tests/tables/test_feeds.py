"""Tables with names of their own and shops' exports are read as ours; without the option, a line names it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.errors import TableError
from lookalike.records import BadRow, Listing, Reference
from lookalike.tables.files import table_fingerprint
from lookalike.tables.inputs import read_harmless, read_listings, read_references
from lookalike.tables.layout import PLAIN, Layout

GOOGLE = (
    "id\ttitle\tlink\timage_link\tadditional_image_link\tprice\tbrand\titem_group_id\texternal_seller_id\n"
    "A1\tShirt &amp; more\thttps://s.example/a1\thttps://s.example/1.jpg"
    "\thttps://s.example/2.jpg,https://s.example/3.jpg\t15.00 USD\tAcme\tA\ts1\n"
    'A2\tShirt 19" wide\thttps://s.example/a2\thttps://s.example/4.jpg\t\t16 eur\t\t\t\n'
)
SHOPIFY = (
    "Handle,Title,Body (HTML),Vendor,Variant SKU,Variant Price,Image Src,Image Position,Variant Image\n"
    'bag,"Bag &amp; ""Big""","<p>a, b\nc</p>",Acme &amp; Co,S1,19.90,https://c.example/a.jpg?v=1,1,\n'
    "bag,,,,S2,24.90,https://c.example/b.jpg?v=1,2,https://c.example/v.jpg\n"
    "bag,,,,S3,24.90,,,\n"
    "cap,Cap,,Acme,C1,5.00,https://c.example/c.jpg,1,\n"
    "sock,Sock,,Acme,N1,5.00,,,\n"
)
WOOCOMMERCE = (
    "ID,Type,SKU,Name,Regular price,Images,Parent,Brands\n"
    '10,variable,BAG,Bag &#8211; big,,"https://w.example/1.jpg, https://w.example/2.jpg",,Acme\n'
    "11,variation,BAG-R,Bag red,19.5,https://w.example/r.jpg,BAG,\n"
    "13,simple,CAP,Cap,5,https://w.example/c.jpg,,\n"
    "12,variation,,Bag blue,20.5,,id:10,\n"
)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_google_feed_gives_listings_with_all_photos_price_and_currency(tmp_path: Path) -> None:
    wanted = [
        Listing("A1", [f"https://s.example/{n}.jpg" for n in (1, 2, 3)], "s1", None, Decimal("15.00"), "USD",
                "Shirt & more", "https://s.example/a1"),
        Listing("A2", "https://s.example/4.jpg", None, None, Decimal(16), "EUR", 'Shirt 19" wide',
                "https://s.example/a2"),
    ]  # fmt: skip
    for name in ("g.txt", "g.tsv"):
        assert list(read_listings(written(tmp_path / name, GOOGLE), feed="google-merchant")) == wanted
    header, rows = GOOGLE.split("\n", 1)
    spaced = written(tmp_path / "s.tsv", header.replace("_", " ") + "\n" + rows)
    assert list(read_listings(spaced, feed="google-merchant")) == wanted


def test_a_google_feed_gives_a_reference_for_each_photo(tmp_path: Path) -> None:
    more = {"title": "Shirt & more", "url": "https://s.example/a1"}
    *found, bad = read_references(written(tmp_path / "g.tsv", GOOGLE), feed="google-merchant")
    assert found == [Reference(f"A1/{n}", "A", "Acme", f"https://s.example/{n}.jpg", more) for n in (1, 2, 3)]
    assert bad == BadRow("A2", "row 2 has no brand")
    harmless = list(read_harmless(tmp_path / "g.tsv", feed="google-merchant"))
    assert [each.id for each in harmless if isinstance(each, Reference)] == ["A1/1", "A1/2", "A1/3", "A2/1"]


def test_a_shopify_product_is_one_listing_with_the_photos_of_all_its_rows(tmp_path: Path) -> None:
    bag, cap, sock = read_listings(written(tmp_path / "p.csv", SHOPIFY), feed="shopify")
    assert bag == Listing("bag", ["https://c.example/a.jpg?v=1", "https://c.example/b.jpg?v=1",
                                  "https://c.example/v.jpg"], price=Decimal("19.90"), title='Bag & "Big"')  # fmt: skip
    assert cap == Listing("cap", "https://c.example/c.jpg", price=Decimal("5.00"), title="Cap")
    assert (sock.images, sock.error) == ((), "row 5 has no image, nor has another row of this id")


def test_shopify_references_have_the_vendor_as_brand(tmp_path: Path) -> None:
    *found, bad = read_references(written(tmp_path / "p.csv", SHOPIFY), feed="shopify")
    assert [(each.id, each.product, each.brand) for each in found if isinstance(each, Reference)] == [
        *((f"bag/{n}", "bag", "Acme & Co") for n in (1, 2, 3)),
        ("cap/1", "cap", "Acme"),
    ]
    assert bad == BadRow("sock", "row 5 has no image, nor has another row of this id")


def test_the_names_of_shopifys_newer_export_are_known(tmp_path: Path) -> None:
    text = "Title,URL handle,Vendor,Price,Product image URL\nCap,cap,Acme,5.00,https://c.example/c.jpg\n"
    (reference,) = read_references(written(tmp_path / "p.csv", text), feed="shopify")
    assert reference == Reference("cap/1", "cap", "Acme", "https://c.example/c.jpg", {"title": "Cap"})


def test_a_woocommerce_variation_belongs_to_its_product(tmp_path: Path) -> None:
    path = written(tmp_path / "w.csv", WOOCOMMERCE)
    cap, bag = read_listings(path, feed="woocommerce")  # the rows of the bag stand apart
    photos = [f"https://w.example/{name}.jpg" for name in "12r"]
    assert bag == Listing("10", photos, price=Decimal("19.5"), title="Bag – big")
    assert cap == Listing("13", "https://w.example/c.jpg", price=Decimal(5), title="Cap")
    bad, *references = read_references(path, feed="woocommerce")
    assert bad == BadRow("13", "row 3 has no brand")
    assert references == [
        Reference(f"10/{n}", "10", "Acme", photo, {"title": "Bag – big"}) for n, photo in enumerate(photos, 1)
    ]


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet", ".jsonl"])
def test_own_names_are_mapped_in_every_format(tmp_path: Path, ending: str) -> None:
    path, rows = tmp_path / f"t{ending}", [{"sku": "007", "photo": "a.jpg", "back": "b.jpg", "shade": "red"}]
    if ending == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif ending == ".jsonl":
        path.write_text('{"sku": "007", "photo": "a.jpg", "back": "b.jpg", "shade": "red"}')
    else:
        comma = "," if ending == ".csv" else "\t"
        path.write_text("".join(comma.join(values) + "\n" for values in (rows[0], rows[0].values())))
    both = {"listing_id": "sku", "image": ["photo", "back"]}
    assert list(read_listings(path, columns=both)) == [Listing("007", [f"{tmp_path}/a.jpg", f"{tmp_path}/b.jpg"])]
    names = {"reference_id": "sku", "image": "photo", "product_id": "sku", "brand": "shade"}
    assert list(read_references(path, columns=names)) == [
        Reference("007", "007", "red", f"{tmp_path}/a.jpg", {"back": "b.jpg"})
    ]
    assert list(read_harmless(path, columns={"reference_id": "sku", "image": "back"})) == [
        Reference("007", "007", "", f"{tmp_path}/b.jpg", {"photo": "a.jpg", "shade": "red"})
    ]


def test_a_refused_row_of_a_mapped_table_keeps_its_id(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"sku,photo\n1\n2,\xff.jpg\n3,c.jpg\n")
    found = list(read_listings(tmp_path / "t.csv", columns={"listing_id": "sku", "image": "photo"}))
    assert [(each.id, bool(each.error)) for each in found] == [("1", True), ("2", True), ("3", False)]


def test_own_names_count_before_those_of_a_feed(tmp_path: Path) -> None:
    path = written(tmp_path / "p.csv", SHOPIFY)
    found = list(read_listings(path, columns={"listing_id": "Variant SKU", "seller_id": "Vendor"}, feed="shopify"))
    assert [(each.id, each.seller) for each in found][:2] == [("S1", "Acme & Co"), ("S2", None)]


@pytest.mark.parametrize(
    ("feed", "text"), [("google-merchant", GOOGLE), ("shopify", SHOPIFY), ("woocommerce", WOOCOMMERCE)]
)
def test_a_table_that_looks_like_a_feed_is_refused_with_the_option_that_reads_it(
    tmp_path: Path, feed: str, text: str
) -> None:
    path = written(tmp_path / ("t.tsv" if feed == "google-merchant" else "t.csv"), text)
    for read in (read_listings, read_references, read_harmless):
        with pytest.raises(TableError, match=f"it looks like .*; read it with --feed {feed}$"):
            list(read(path))


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({"columns": {"listng_id": "sku"}}, "t.csv has no use for a column listng_id; columns that can be named are "
                                            "listing_id, image, seller_id"),
        ({"columns": {"listing_id": "SKU"}}, "t.csv has no column SKU; its columns are: sku, listing_id, image"),
        ({"columns": {"image": ["front", "back"]}}, "t.csv has no column front or back"),
        ({"feed": "etsy"}, "there is no feed 'etsy'; use one of google-merchant, shopify, woocommerce"),
        ({"feed": "shopify"}, "t.csv has no column Handle or URL handle, Image Src or Variant Image or"),
    ],
)  # fmt: skip
def test_names_that_a_table_does_not_have_are_refused(tmp_path: Path, layout: dict[str, Any], message: str) -> None:
    path = written(tmp_path / "t.csv", "sku,listing_id,image\n1,2,a.jpg\n")
    with pytest.raises(TableError, match=message):
        list(read_listings(path, **layout))


def test_a_quote_that_takes_in_other_rows_of_a_feed_stops_the_reading(tmp_path: Path) -> None:
    rows = 'a,"19 inch,http://c.example/a.jpg\nb,"22 inch,http://c.example/b.jpg\nc,C,http://c.example/c.jpg\n'
    path = written(tmp_path / "p.csv", "Handle,Title,Image Src\n" + rows)
    with pytest.raises(TableError, match="line 2 opens a quote"):
        list(read_listings(path, feed="shopify"))


def test_another_layout_does_not_resume_a_scan(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "sku,image\n1,a.jpg\n")
    layouts = [PLAIN, Layout({"listing_id": "sku"}), Layout({"listing_id": ["sku", "id"]}), Layout(feed="shopify")]
    assert len({table_fingerprint(path, layout) for layout in layouts}) == 4
    assert table_fingerprint(path, PLAIN) == table_fingerprint(path)
