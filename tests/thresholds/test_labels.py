"""Labels meet findings, and a listing counts once even if its finding stands in the table for every day."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lookalike.errors import TableError
from lookalike.records import Finding, Listing, Match, Reference, Verdict
from lookalike.tables.findings import finding_row, write_findings
from lookalike.thresholds.labels import labels_of_findings, unrelated_findings
from lookalike.thresholds.shortlist import shortlist_findings


def finding(listing: str, similarity: float, **more: Any) -> dict[str, Any]:
    match = Match(Reference("r1", "p1", "Acme", "1.jpg"), similarity, image="a.jpg")
    found = Finding(Listing(listing, "a.jpg"), Verdict.FLAGGED, "p", "e", "lookalike", "p1", "Acme", similarity,
                    matches=(match,), image="a.jpg")  # fmt: skip
    return {**finding_row(found), **more}


@pytest.fixture(params=[".csv", ".parquet", ".jsonl"])
def findings(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Ten days of the same four listings, L3 suppressed and L2 unreadable on the last one."""
    rows = [finding(f"L{n}", 0.5 + day / 32 + n / 256) for day in range(9) for n in range(4)]
    unread = {"verdict": "unreadable", "similarity": None, "candidates": None}
    rows += [finding("L0", 0.8125), finding("L1", 0.875), finding("L2", 0.5) | unread]
    path = tmp_path / f"f{request.param}"
    write_findings([*rows, finding("L3", 0.9375, suppressed_by="h1")], path)
    return path


def test_a_listing_is_one_label_by_its_last_finding(tmp_path: Path, findings: Path) -> None:
    (tmp_path / "l.csv").write_text("listing_id,lookalike\nL0,true\nL1,false\nL2,true\nL9,true\n")
    labels = labels_of_findings(tmp_path / "l.csv", findings)
    assert (len(labels.photos), labels.unknown, labels.other) == (3, 1, 0)
    assert labels.pairs.similarity.tolist() == [0.8125, 0.875, 0.5 + 8 / 32 + 2 / 256]
    assert labels.pairs.lookalike.tolist() == [True, False, True]


def test_a_listing_that_is_unrelated_counts_once(findings: Path) -> None:
    assert unrelated_findings(findings).pairs.similarity.tolist() == [0.8125, 0.875, 0.5 + 8 / 32 + 2 / 256, 0.9375]


def test_a_shortlist_names_a_listing_once(findings: Path) -> None:
    chosen = shortlist_findings(findings, most=5)
    assert ([row["listing_id"] for row in chosen.rows], chosen.considered) == (["L1", "L0", "L2"], 3)


def test_labels_of_no_finding_are_refused(tmp_path: Path, findings: Path) -> None:
    (tmp_path / "l.csv").write_text("listing_id,lookalike\nL9,true\n")
    with pytest.raises(TableError, match="none of the 1 labels of .* is about a finding"):
        labels_of_findings(tmp_path / "l.csv", findings)
