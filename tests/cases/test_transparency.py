"""Figures for the public, against numbers counted by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from lookalike.cases.history import History, HistoryEntry
from lookalike.cases.statements import Answer, Outcome, Statement
from lookalike.cases.transparency import Times, count_findings
from lookalike.errors import TableError
from lookalike.scripts.stats import main
from lookalike.tables.labels import Review

DAY = date(2026, 11, 24)


def row(listing: str, verdict: str = "flagged", **more: Any) -> dict[str, Any]:
    return {"listing_id": listing, "verdict": verdict, "brand": "Acme", "product_id": "p1", "territory": "DE",
            "kind": "copied_photo", "seller_id": "s1", "scanned_at": "2026-11-01T12:00:00+00:00", "policy": "p",
            "encoder": "e", **more}  # fmt: skip


def history(*said: tuple[str, Statement]) -> History:
    entries = (replace(statement, when=f"{when}T00:00:00+00:00", since=when) for when, statement in said)
    return History(tuple(HistoryEntry(number, each, "", "") for number, each in enumerate(entries, 1)))


def test_counts_errors_and_times_of_reviewed_flags() -> None:
    rows = [row(f"L{k}", territory="DE" if k < 6 else "FR") for k in range(10)]
    rows += [row("R", "review"), row("C", "clear", kind=None)]
    reviews = [Review(f"L{k}", k != 3, None, date(2026, 11, 1 + k)) for k in range(8)]
    reviews += [Review("R", False), Review("gone", True)]
    counted = count_findings(rows, reviews=reviews, day=DAY)
    whole = counted.all
    assert (whole.findings, whole.verdicts) == (12, {"clear": 1, "flagged": 10, "review": 1})
    assert (whole.flagged, whole.reviewed, whole.upheld.count, whole.errors.count) == (10, 8, 7, 1)
    # Clopper and Pearson's interval of 1 of 8, from their published tables: 0.0032 to 0.5265
    assert (round(whole.errors.low, 4), round(whole.errors.high, 4)) == (0.0032, 0.5265)
    assert whole.days_to_verdict == Times(8, 1.75, 3.5, 5.25)
    territories = counted.by["territory"]
    assert (territories["DE"].errors.count, territories["DE"].reviewed, territories["FR"].reviewed) == (1, 6, 2)
    assert counted.by["kind"][""].findings == 1
    assert counted.unknown == 1
    assert counted.first == counted.last == "2026-11-01T12:00:00+00:00"


def test_no_verdict_takes_less_than_no_time() -> None:
    rows = [row("L1", scanned_at="2026-11-20T12:00:00+00:00"), row("L2"), row("L3")]
    reviews = [Review("L1", True, None, date(2026, 11, 9)), Review("L2", True, None, date(2026, 11, 4)),
               Review("L3", True, None, date(2026, 11, 1))]  # fmt: skip
    whole = count_findings(rows, reviews=reviews, day=DAY).all
    assert (whole.reviewed, whole.days_to_verdict) == (3, Times(2, 0.75, 1.5, 2.25))


def test_a_listing_counts_once_by_its_last_row() -> None:
    days = [row(f"L{k}", scanned_at=f"2026-11-{day:02}T12:00:00+00:00") for day in range(1, 11) for k in range(8)]
    rows = [*days, row("L0", "clear", scanned_at="2026-11-11T12:00:00+00:00")]
    counted = count_findings(rows, reviews=[Review(f"L{k}", True) for k in range(9)], day=DAY)
    whole = counted.all
    assert (whole.findings, whole.verdicts) == (8, {"clear": 1, "flagged": 7})
    assert (whole.flagged, whole.reviewed, whole.upheld.count, counted.unknown) == (7, 7, 7, 1)
    assert (counted.by["brand"]["Acme"].findings, counted.first) == (8, "2026-11-10T12:00:00+00:00")


def test_a_look_alike_of_another_product_is_an_error_and_the_last_word_counts() -> None:
    rows = [row("L1"), row("L2"), row("L3")]
    reviews = [Review("L1", True, "p2"), Review("L2", False), Review("L2", True, "p1"), Review("L3", False, "p2")]
    whole = count_findings(rows, reviews=reviews, day=DAY).all
    assert (whole.upheld.count, whole.errors.count) == (1, 1)


def test_a_look_alike_of_the_same_product_id_of_another_brand_is_an_error() -> None:
    reviews = [Review(f"L{k}", True, "p1", None, brand) for k, brand in enumerate(("Acme", "Zeta", None))]
    whole = count_findings([row(f"L{k}") for k in range(3)], reviews=reviews, day=DAY).all
    assert (whole.upheld.count, whole.errors.count) == (2, 1)


def test_answers_and_what_became_of_them() -> None:
    said = history(
        ("2026-11-02", Statement("shop", "contract", Answer.LICENCE, seller="s1", brand="Acme")),
        ("2026-11-03", Statement("shop", "mine", Answer.OWN_PHOTOGRAPH, listing="L9", seller="s2")),
        (
            "2026-11-05",
            Statement("anna", "checked", Answer.LICENCE, Outcome.ACCEPTED, seller="s1", brand="Acme", notice=1),
        ),
        ("2026-11-06", Statement("x", "y", Answer.OTHER, seller="nobody")),
    )
    rows = [row("L1"), row("L2", brand="Other"), row("L9", seller_id="s2"), row("L8", "review")]
    counted = count_findings(rows, history=said, day=DAY)
    whole = counted.all
    assert whole.verdicts == {"authorised": 2, "flagged": 1, "review": 1}
    assert (whole.flagged, whole.withdrawn) == (3, 2)
    assert whole.notices == {"licence": 1, "own_photograph": 1, "exhausted_right": 0, "other": 0}
    assert whole.outcomes == {"open": 1, "accepted": 1, "rejected": 0}
    assert whole.days_to_decision == Times(1, 3.0, 3.0, 3.0)
    assert sum(counted.by["brand"]["Other"].notices.values()) == 0
    assert counted.elsewhere == 1
    assert count_findings(rows, history=said, day=date(2026, 11, 2)).all.verdicts == {"flagged": 2, "review": 2}


def test_only_known_columns_are_counted_by() -> None:
    with pytest.raises(TableError, match="choose from brand"):
        count_findings([], by=["colour"])


def test_the_command_prints_and_gives_json_without_anything_that_json_has_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "f.jsonl").write_text("\n".join(json.dumps(row(f"L{k}")) for k in range(4)))
    (tmp_path / "v.csv").write_text("listing_id,lookalike,date\nL0,true,2026-11-03\nL1,false,2026-11-04\n")
    call = [str(tmp_path / "f.jsonl"), "--verdicts", str(tmp_path / "v.csv")]
    assert main([*call, "--json"]) == 0
    values = json.loads(capsys.readouterr().out, parse_constant=lambda word: pytest.fail(word))
    assert (values["all"]["errors"]["value"], values["by"]["brand"]["Acme"]["upheld"]["count"]) == (0.5, 1)
    assert main(call) == 0
    assert "reviewed 2 flags: upheld 50.0% (1.3% to 98.7%)" in capsys.readouterr().out
    assert main([str(tmp_path / "f.jsonl"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["all"]["errors"]["value"] is None
    assert main([*call, "--by", "colour"]) == 2
