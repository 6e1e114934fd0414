"""A shortlist is labelled by a person and read again; what a person decided does not come back on it."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from lookalike.cases.history import Decisions, History, add_entry
from lookalike.cases.statements import Answer, Outcome, Statement
from lookalike.records import Finding, Listing, Match, Reference, Verdict
from lookalike.scripts.cli import main
from lookalike.tables.findings import finding_row, read_findings, write_findings
from lookalike.thresholds.labels import labels_of_findings
from lookalike.thresholds.shortlist import shortlist_findings

IDS = ["-L5", "=L4", "+L3", "@L2", "'-L1", "L0", "-7"]


def finding(listing: str, similarity: float, **more: Any) -> dict[str, Any]:
    match = Match(Reference("r1", "p1", "Acme", "1.jpg"), similarity, image="a.jpg")
    found = Finding(Listing(listing, "a.jpg", seller=f"seller of {listing}", title="=1+1"), Verdict.FLAGGED, "p", "e",
                    "lookalike", "p1", "Acme", similarity, matches=(match,), image="a.jpg")  # fmt: skip
    return {**finding_row(found), **more}


@pytest.fixture(params=[".csv", ".parquet", ".jsonl"])
def findings(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Two days of seven listings, the strongest first; each is stronger on the second day."""
    path = tmp_path / f"f{request.param}"
    write_findings([finding(name, 0.5 + day / 8 - at / 64) for day in (1, 2) for at, name in enumerate(IDS)], path)
    return path


def test_a_person_labels_a_shortlist_and_every_id_is_found_again(tmp_path: Path, findings: Path) -> None:
    out, labels = tmp_path / "s.csv", tmp_path / "l.csv"
    assert main(["shortlist", str(findings), "--most", "5", "--out", str(out), "--quiet"]) == 0
    assert [row["listing_id"] for row in read_findings(out)] == IDS[:5]
    with open(out, newline="", encoding="utf-8") as listed, open(labels, "w", newline="", encoding="utf-8") as file:
        for number, line in enumerate(csv.reader(listed)):
            assert not any(cell.startswith(tuple("=+-@\t\r")) for cell in line)
            csv.writer(file).writerow([*line, "true" if number else "lookalike"])
    known = labels_of_findings(labels, findings)
    assert (len(known.photos), known.unknown, known.other) == (5, 0, 0)
    assert known.pairs.similarity.tolist() == [0.75 - at / 64 for at in range(5)]


def test_what_a_person_decided_does_not_come_back(
    tmp_path: Path, findings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history = tmp_path / "h.jsonl"
    for outcome, about in ((Outcome.ACCEPTED, {"seller": "seller of -L5"}), (Outcome.REJECTED, {"listing": "+L3"}),
                           (Outcome.OPEN, {"listing": "L0"})):  # fmt: skip
        add_entry(history, Statement("anna", "seen", Answer.LICENCE, outcome, since="2026-11-01", **about))
    out = tmp_path / "s.jsonl"
    call = ["shortlist", str(findings), "--most", "3", "--out", str(out), "--history", str(history)]
    assert main([*call, "--date", "2026-11-24"]) == 0
    assert [row["listing_id"] for row in read_findings(out)] == ["=L4", "@L2", "'-L1"]
    said = capsys.readouterr().err.splitlines()
    assert said == [f"3 of 7 findings listed in {out}, strongest first", f"2 findings left out, decided by {history}"]
    assert main([*call, "--date", "2026-10-31", "--quiet"]) == 0
    assert [row["listing_id"] for row in read_findings(out)] == IDS[:3]
    settled = Decisions(History.load(history), date(2026, 11, 24)).settle
    assert shortlist_findings(findings, most=9, settled=settled).settled == 2


def test_a_decision_about_an_earlier_product_says_nothing_about_the_last(tmp_path: Path) -> None:
    path, history = tmp_path / "f.csv", tmp_path / "h.jsonl"
    write_findings([finding("L1", 0.9), finding("L1", 0.8, brand="Zeta")], path)
    said = Statement("anna", "seen", Answer.LICENCE, Outcome.ACCEPTED, listing="L1", brand="Acme", since="2026-11-01")
    add_entry(history, said)
    chosen = shortlist_findings(path, most=1, settled=Decisions(History.load(history), date(2026, 11, 24)).settle)
    assert ([row["brand"] for row in chosen.rows], chosen.settled) == (["Zeta"], 0)


def test_a_table_without_a_similarity_gives_an_empty_list(tmp_path: Path) -> None:
    write_findings([{**finding("L1", 0.9), "similarity": None}], tmp_path / "f.csv")
    assert shortlist_findings(tmp_path / "f.csv", most=1).rows == ()
