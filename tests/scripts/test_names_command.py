"""`lookalike names` notes what labels say, changes nothing else, and refuses to begin without the extra."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from lookalike.model import text
from lookalike.scripts.command import Exit
from lookalike.scripts.names import main
from lookalike.scripts.report import main as report
from lookalike.tables.findings import read_findings, typed_row, write_findings
from lookalike.tables.names import name_in


def drawn(path: Path, name: str) -> str:
    picture = Image.new("RGB", (400, 300), (244, 226, 190))
    ImageDraw.Draw(picture).text((200, 150), name, (90, 20, 60), ImageFont.load_default(60), anchor="mm")
    picture.save(path)
    return str(path)


@pytest.fixture
def findings(tmp_path: Path) -> Path:
    genuine, other = drawn(tmp_path / "genuine.png", "Quorlith"), drawn(tmp_path / "other.png", "Zembada")
    common = {"policy": "p", "encoder": "e", "brand": "Quorlith", "product_id": "tea", "reference_image": genuine}
    rows = [
        {**common, "listing_id": "1", "verdict": "flagged", "image": genuine},
        {**common, "listing_id": "2", "verdict": "review", "image": other},
        {**common, "listing_id": "3", "verdict": "clear", "image": other},
        {**common, "listing_id": "4", "verdict": "flagged", "image": str(tmp_path / "gone.png")},
    ]
    write_findings(map(typed_row, rows), tmp_path / "findings.parquet")
    return tmp_path / "findings.parquet"


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_notes_what_the_labels_of_findings_say(
    findings: Path, tmp_path: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / f"named.{ending}"
    assert main([str(findings), "--out", str(out)]) == Exit.SOME_ROWS_FAILED
    before, after = list(read_findings(findings)), list(read_findings(out))
    readings = [name_in(row["label_name"]) for row in after]
    assert [reading and reading.answer for reading in readings] == ["same", "another name", None, None]
    assert [{**row, "label_name": None} for row in after] == before
    said = "labels of 3 findings read: 1 the same name, 1 another name, 1 whose photos can't be read any more"
    assert said in capsys.readouterr().err


def test_the_report_shows_it(findings: Path, tmp_path: Path) -> None:
    named, page = tmp_path / "named.parquet", tmp_path / "report.html"
    assert main([str(findings), "--out", str(named), "--quiet"]) == Exit.SOME_ROWS_FAILED
    assert report([str(named), "--out", str(page), "--evidence", "0", "--quiet"]) == Exit.DONE
    assert "another name: the label says “Zembada”, the genuine one “Quorlith”" in page.read_text(encoding="utf-8")


def test_what_a_label_says_is_escaped_in_the_report(findings: Path, tmp_path: Path) -> None:
    cell = '{"answer": "another name", "reference": "Quorlith", "listing": "<script>alert(1)</script>"}'
    rows = [{**row, "label_name": cell} for row in read_findings(findings)]
    write_findings(rows, tmp_path / "named.csv")
    page = tmp_path / "report.html"
    assert report([str(tmp_path / "named.csv"), "--out", str(page), "--evidence", "0", "--quiet"]) == Exit.DONE
    said = page.read_text(encoding="utf-8")
    assert "<script>alert(1)" not in said and "&lt;script&gt;alert(1)" in said


def test_refuses_to_begin_without_the_extra(
    findings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(text, "find_spec", lambda _: None)
    assert main([str(findings), "--out", str(tmp_path / "named.csv")]) == Exit.WRONG_CALL
    assert "install it with: pip install 'lookalike[ocr]'" in capsys.readouterr().err
    assert not (tmp_path / "named.csv").exists()
