"""lookalike report as a person calls it: a listing once, without what was decided, and wrong calls in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lookalike.cases.history import add_entry
from lookalike.cases.statements import Answer, Outcome, Statement
from lookalike.scripts.cli import main


def write_findings(path: Path, *rows: dict[str, Any]) -> str:
    row = {"verdict": "flagged", "brand": "Acme", "product_id": "p1", "similarity": 0.9, "policy": "p", "encoder": "e"}
    path.write_text("\n".join(json.dumps({**row, **more}) for more in rows))
    return str(path)


def test_leaves_out_what_a_person_decided_and_says_why_others_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"listing_id": f"L{k}", "seller_id": f"s{k}"} for k in range(4)]
    findings, history, out = write_findings(tmp_path / "f.jsonl", *rows), tmp_path / "h.jsonl", tmp_path / "r.html"
    add_entry(history, Statement("a", "w", Answer.LICENCE, Outcome.ACCEPTED, seller="s0", since="2026-11-01"))
    add_entry(history, Statement("a", "<w>", Answer.LICENCE, seller="s1", since="2026-11-01"))
    call = ["report", findings, "--out", str(out)]
    assert main([*call, "--history", str(history), "--date", "2026-11-24"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said == [f"report with 3 findings, 0 with evidence: {out}", "1 finding left out, decided by a person"]
    text = out.read_text(encoding="utf-8")
    assert 'data-listing="L0"' not in text
    assert "3 listings: <b>2</b> flagged, <b>1</b> review." in " ".join(text.split())
    assert "Not flagged any more: <bdi>licence (open) since 2026-11-01, by a on " in text and ": &lt;w&gt; (" in text
    assert main([*call, "--quiet"]) == 0
    assert 'data-listing="L0"' in out.read_text(encoding="utf-8") and capsys.readouterr().err == ""


def test_a_listing_of_two_days_is_shown_once_by_its_last_finding(tmp_path: Path) -> None:
    days = [{"listing_id": "L1"}, {"listing_id": "L2"}, {"listing_id": "L1", "verdict": "clear"}]
    out = tmp_path / "r.html"
    assert main(["report", write_findings(tmp_path / "f.jsonl", *days), "--out", str(out), "--quiet"]) == 0
    text = out.read_text(encoding="utf-8")
    assert text.count("<article") == 2 and '<article class="clear"' in text


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("report {f} --out {t}/none/r.html", "there is no folder {t}/none"),
        ("report {f} --out {t}/r.pdf", "ends in .pdf; use .html or .htm"),
        ("report {f} --out {t}/r.html --history {t}/r.html", "is both --history and --out"),
        ("report {f} --out {t}/r.html --history {t}/none.jsonl", "there is no history"),
        ("shortlist {f} --most 1 --out {t}/none/s.csv", "there is no folder {t}/none"),
        ("shortlist {f} --most 1 --out {t}/s.xlsx", "ends in .xlsx; use .csv, .parquet or .jsonl"),
        ("cases {f} --out {t}/none/c.csv", "there is no folder {t}/none"),
        ("cases {f} --out {t}/c.csv --report {t}/c.txt", "ends in .txt; use .html or .htm"),
        ("bundle {f} --index {t}/none --out {t}/b.rar", "ends in .rar; a bundle is a .zip file, or a folder"),
        ("stats {f} --history {t}/none.jsonl", "there is no history"),
        ("history add {t} --seller s --answer other --who a --why b", "is a folder"),
    ],
)
def test_what_can_be_known_at_the_start_is_said_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], call: str, message: str
) -> None:
    findings = write_findings(tmp_path / "f.jsonl", {"listing_id": "L1"})
    assert main([word.format(f=findings, t=tmp_path) for word in call.split()]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and message.format(t=tmp_path) in said
    assert [path.name for path in tmp_path.iterdir()] == ["f.jsonl"]
