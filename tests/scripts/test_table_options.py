"""--columns and --feed read tables as they are, in every command that reads references or listings."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy import save_pictures

from lookalike.index.reference_index import ReferenceIndex
from lookalike.scripts.cli import main
from lookalike.tables.findings import read_findings

SHOP = "Handle,Title,Vendor,Image Src\nbag,Bag &amp; more,Acme,{0}\nbag,,,{1}\ncap,Cap,Zeta,{2}\n"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.csv"
    path.write_text(SHOP.format(*save_pictures(tmp_path / "photos", 3, seed=3)))
    return path


def run(*words: object) -> int:
    return main([*map(str, words), "--no-cache", "--quiet"])


def test_a_shops_export_is_read_as_references_and_as_listings(
    tmp_path: Path, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index, out = tmp_path / "index", tmp_path / "f.csv"
    assert run("build", shop, "--index", index) == 2
    assert capsys.readouterr().err.endswith("it looks like a product export of Shopify; read it with --feed shopify\n")
    assert run("build", shop, "--index", index, "--feed", "shopify") == 0
    found = list(ReferenceIndex.load(index).references)
    assert [(each.id, each.product, each.brand, each.more["title"]) for each in found] == [
        ("bag/1", "bag", "Acme", "Bag & more"), ("bag/2", "bag", "Acme", "Bag & more"), ("cap/1", "cap", "Zeta", "Cap")
    ]  # fmt: skip
    assert run("scan", shop, "--index", index, "--out", out, "--feed", "shopify") == 0
    first = [(row["listing_id"], row["product_id"], row["title"]) for row in read_findings(out)]
    assert first == [("bag", "bag", "Bag & more"), ("cap", "cap", "Cap")]
    state = ("--since", tmp_path / "state")
    assert run("scan", shop, "--index", index, "--out", tmp_path / "s.csv", "--feed", "shopify", *state) == 0
    assert [row["listing_id"] for row in read_findings(tmp_path / "s.csv")] == ["bag", "cap"]


def test_columns_are_named_on_the_command_line(tmp_path: Path, shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index, out, harmless = tmp_path / "index", tmp_path / "f.csv", tmp_path / "harmless.csv"
    named = "reference_id=Image Src,image=Image Src,product_id=Handle"
    assert run("build", shop, "--index", index, "--columns", named, "--columns", "brand=Vendor") == 1
    assert "row 2 has no brand" in capsys.readouterr().err
    harmless.write_text("key,file\nh,photos/0.png\n".replace("photos/0.png", str(save_pictures(tmp_path / "h", 1)[0])))
    assert run("add", harmless, "--index", index, "--harmless", "--columns", "reference_id=key,image=file") == 0
    assert run("scan", shop, "--index", index, "--out", out, "--columns", "listing_id=Title,image=Image Src") == 1
    assert [row["listing_id"] for row in read_findings(out)] == ["Bag &amp; more", "row 2", "Cap"]


@pytest.mark.parametrize("columns", ["listing_id", "listing_id=", "=a", "listing_id=a,image"])
def test_columns_that_name_nothing_are_refused(
    tmp_path: Path, shop: Path, capsys: pytest.CaptureFixture[str], columns: str
) -> None:
    assert run("scan", shop, "--index", tmp_path / "i", "--out", tmp_path / "f.csv", "--columns", columns) == 2
    assert "write OURS=THEIRS, such as listing_id=sku" in capsys.readouterr().err
