"""Labels of findings where two brands number their products alike: Zeta 1 isn't Acme 1."""

from __future__ import annotations

from pathlib import Path

import pytest

from lookalike.errors import TableError
from lookalike.records import Finding, Listing, Match, Reference, Verdict
from lookalike.tables.findings import finding_row, write_findings
from lookalike.thresholds.labels import Labels, labels_of_findings

PRODUCTS = (("Zeta", "1"), ("Acme", "1"), ("Acme", "2"), ("Zeta", "2"))


def found(listing: str) -> Finding:
    """A finding for Zeta's 1, with these products as its candidates."""
    matches = tuple(
        Match(Reference(f"{brand}-{product}", product, brand, "r.jpg"), 0.9 - 0.1 * at, image="a.jpg")
        for at, (brand, product) in enumerate(PRODUCTS)
    )
    return Finding(listing=Listing(listing, "a.jpg"), verdict=Verdict.FLAGGED, policy="p", encoder="e", product="1",
                   brand="Zeta", similarity=0.9, matches=matches, image="a.jpg")  # fmt: skip


@pytest.fixture(params=["csv", "parquet", "jsonl"])
def findings(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"f.{request.param}"
    write_findings([finding_row(found(f"L{number}")) for number in range(4)], path)
    return path


def labelled(findings: Path, rows: str, *, candidates: bool) -> Labels:
    path = findings.with_name("labels.csv")
    path.write_text("listing_id,lookalike,product_id,brand\n" + rows)
    return labels_of_findings(path, findings, candidates=candidates)


def test_a_label_with_a_brand_is_about_that_brands_product(findings: Path) -> None:
    rows = "L0,true,1,Zeta\nL1,true,1,Acme\nL2,true,1,\nL3,true,2,Zeta\n"
    labels = labelled(findings, rows, candidates=True)
    right = [
        [(match.reference.brand, match.reference.product) for match in photo.matches if photo.is_right(match)]
        for photo in labels.photos
    ]
    assert right == [[("Zeta", "1")], [("Acme", "1")], [("Zeta", "1")], [("Zeta", "2")]]
    assert labelled(findings, rows, candidates=False).pairs.lookalike.tolist() == [True, False, True, False]


def test_a_label_of_another_product_must_say_whose_it_is(findings: Path) -> None:
    with pytest.raises(TableError, match="product_id '2' in the labels is one of Acme, Zeta; add a column brand"):
        labelled(findings, "L0,true,2,\n", candidates=True)
    assert labelled(findings, "L0,true,2,\n", candidates=False).pairs.lookalike.tolist() == [False]
