"""Scanning with rights and sellers, and rechecking when they change, as a person does it."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy import save_pictures

from lookalike.scripts.cli import main
from lookalike.tables.files import read_rows
from lookalike.tables.findings import read_findings

RIGHTS = "brand,kind,number,territory,valid_from,valid_until\nAcme,copyright,,*,,2026-06-30\nAcme,tm,1,DE,,\n"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    save_pictures(folder / "photos", 4)
    rows = "".join(f"r{i},photos/0-{i}.png,p{i},{'Acme' if i < 3 else 'Other'}\n" for i in range(4))
    (folder / "references.csv").write_text("reference_id,image,product_id,brand\n" + rows)
    lines = "".join(f"L{i},photos/0-{i}.png,s{i},DE\n" for i in range(4))
    (folder / "listings.csv").write_text("listing_id,image,seller_id,territory\n" + lines)
    (folder / "rights.csv").write_text(RIGHTS)
    (folder / "sellers.csv").write_text("brand,seller_id,territory,valid_from,valid_until\nAcme,s1,EU,,\n")
    assert main(["build", str(folder / "references.csv"), "--index", str(folder / "index"), "--quiet"]) == 0
    return folder


def test_scans_with_rights_and_rechecks_when_one_has_lapsed(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = ["--rights", str(shop / "rights.csv"), "--sellers", str(shop / "sellers.csv")]
    scan = ["scan", str(shop / "listings.csv"), "--index", str(shop / "index"), *tables]
    out, later = tmp_path / "f.parquet", tmp_path / "later.parquet"
    assert main([*scan, "--date", "2026-06-30", "--out", str(out)]) == 1, "a row of the rights can't be used"
    said = capsys.readouterr().err
    assert "row 2 has kind 'tm'" in said and "could not use 1 rows; no claim rests on them" in said
    assert "the rights table names none of these 1 brands, spelt like this: Other" in said
    assert [row["verdict"] for row in read_findings(out)] == ["flagged", "authorised", "flagged", "unprotected"]
    assert main(["recheck", str(out), *tables, "--date", "2026-07-01", "--out", str(later)]) == 1
    said = capsys.readouterr().err
    assert "2 from flagged to unprotected" in said and "4 findings, 2 changed (0 only in their grounds)" in said
    changes = [line.values for line in read_rows(tmp_path / "later.changes.parquet")]
    assert [row["listing_id"] for row in changes] == ["L0", "L2"]
    assert {row["why"] for row in changes} == {"copyright everywhere ended on 2026-06-30; listing is in DE"}
    fresh = tmp_path / "fresh.parquet"
    assert main([*scan, "--date", "2026-07-01", "--out", str(fresh), "--quiet"]) == 1
    assert list(map(untimed, read_findings(fresh))) == list(map(untimed, read_findings(later)))


def untimed(row: dict[str, object]) -> dict[str, object]:
    return {**row, "scanned_at": None}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--date", "soon"], "Invalid value for '--date'"),
        (["--rights", "gone.csv"], "there is no table gone.csv"),
        (["--regions", "g.csv"], "came --regions g.csv without --rights or --sellers"),
        (["--policy", "gone.toml"], "policy gone.toml can't be read"),
    ],
)
def test_a_wrong_call_is_one_line(
    shop: Path, tmp_path: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "f.csv").write_text("listing_id,verdict,policy,encoder\nL,clear,mine@00000000,toy@00000000\n")
    call = ["recheck", str(tmp_path / "f.csv"), "--out", str(tmp_path / "g.csv"), *options]
    assert main(call) == 2
    said = capsys.readouterr().err
    assert message in said or "which is not a shipped policy; give its file" in said
    assert not (tmp_path / "g.csv").exists()
