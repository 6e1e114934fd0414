"""Scanning with rights and sellers, and rechecking when they change, as a person does it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import lookalike
from lookalike.scripts.cli import main
from lookalike.tables.files import read_rows
from lookalike.tables.findings import read_findings

RIGHTS = "brand,kind,number,territory,valid_from,valid_until\nAcme,copyright,,*,,2026-06-30\nAcme,tm,1,DE,,\n"

SAMPLE = Path(lookalike.__file__).with_name("sample")
PICTURES = ("chovolme-field-watch", "elphenne-tote-bag", "kweniska-olive-oil", "jaskyra-plum-butter")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "photos").mkdir()
    for at, picture in enumerate(PICTURES):
        shutil.copy(SAMPLE / "images" / f"{picture}-front.jpg", folder / "photos" / f"{at}.jpg")
    rows = "".join(f"r{i},photos/{i}.jpg,p{i},{'Acme' if i < 3 else 'Other'}\n" for i in range(4))
    (folder / "references.csv").write_text("reference_id,image,product_id,brand\n" + rows)
    lines = "".join(f"L{i},photos/{i}.jpg,s{i},DE\n" for i in range(4))
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
    assert "row 2 has kind 'tm'" in said and "could not use 1 row; no claim rests on them" in said
    assert "the rights table names none of 1 brand, spelt like this: Other" in said
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


def test_a_scan_of_changes_or_references_never_forgets_rights_and_sellers(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = ["--rights", str(shop / "rights.csv"), "--sellers", str(shop / "sellers.csv")]
    common = ["--since", str(tmp_path / "state"), "--index", str(shop / "index"), "--quiet"]
    scan, rescan = ["scan", str(shop / "listings.csv"), *common], ["rescan", *common]
    first, then, out = tmp_path / "first.csv", tmp_path / "then.csv", tmp_path / "out.csv"
    assert main([*scan, *tables, "--date", "2026-06-30", "--out", str(first)]) == 1, "a row of the rights can't be used"
    capsys.readouterr()
    state = (tmp_path / "state" / "state.json").read_bytes()
    for command in (scan, rescan):
        for given, lacking in ((tables[:2], "--sellers"), (tables[2:], "--rights"), ([], "--rights --sellers")):
            assert main([*command, *given, "--date", "2026-06-30", "--out", str(out)]) == 2
            said = capsys.readouterr().err.splitlines()
            assert said[-1].endswith(f"state rest on tables that are not given; add {lacking}")
    assert not out.exists() and (tmp_path / "state" / "state.json").read_bytes() == state
    assert main([*rescan, *tables, "--date", "2026-06-30", "--out", str(then)]) == 1
    verdicts = [row["verdict"] for row in read_findings(first)]
    assert verdicts == ["flagged", "authorised", "flagged", "unprotected"]
    assert list(map(untimed, read_findings(then))) == list(map(untimed, read_findings(first)))
    assert main([*rescan, *tables, "--date", "2026-07-01", "--out", str(then)]) == 1, "another day is judged again"
    assert [row["verdict"] for row in read_findings(then)] == [
        "unprotected",
        "authorised",
        "unprotected",
        "unprotected",
    ]


@pytest.mark.parametrize("spelling", ["same", "dotted", "linked", "hard link"])
@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("listings.csv", "scan listings.csv --index index --out X"),
        ("listings.csv", "scan listings.csv --index index --out f.csv --cache X"),
        ("rights.csv", "scan listings.csv --index index --rights rights.csv --out X"),
        ("listings.csv", "scan listings.csv --index index --out f.csv --report X"),
        ("sellers.csv", "rescan --since state --index index --sellers sellers.csv --out X"),
        ("f.csv", "recheck f.csv --policy p.toml --out X"),
        ("rights.csv", "recheck f.csv --rights rights.csv --out o.csv --changes X"),
        ("f.csv", "report f.csv --out X"),
        ("f.csv", "shortlist f.csv --out X"),
        ("labels.csv", "shortlist f.csv --out X --false-share 0.1 --labels labels.csv"),
        ("p.toml", "tune labels.csv --index index --policy p.toml --findings f.csv --out X"),
        ("p.toml", "policy bind p.toml --index index --out X"),
        ("f.csv", "cases f.csv --out X"),
        ("f.csv", "cases f.csv --out c.csv --report X"),
        ("photos/0.jpg", "explain photos/0.jpg --index index --out X"),
        ("labels.csv", "evaluate labels.csv --index index --plots X"),
        ("p.toml", "monitor f.csv labels.csv --policy p.toml --out X"),
        ("references.csv", "build references.csv --index new --cache X"),
        ("references.csv", "add references.csv --index index --cache X"),
    ],
)
def test_never_writes_over_what_it_reads(
    shop: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    command: str,
    spelling: str,
) -> None:
    folder = tmp_path / "own"
    shutil.copytree(shop, folder)
    for other in ("f.csv", "labels.csv", "p.toml"):
        (folder / other).write_text("precious")
    monkeypatch.chdir(folder)
    linked = f"link{Path(name).suffix}"
    if spelling == "linked":
        Path(linked).symlink_to(folder / name)
    elif spelling == "hard link":
        Path(linked).hardlink_to(folder / name)
    path = {"same": name, "dotted": f"index/../{name}"}.get(spelling, linked)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main(command.replace("X", path).split()) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"{path} is both " in said and said.endswith("; give two different paths\n")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "command",
    [
        "scan listings.csv --index index --out f.csv --report ./f.csv",
        "scan listings.csv --index index --out f.csv --since index",
        "rescan --since state --index index --out f.csv --report f.csv",
        "recheck f.csv --out o.csv --changes own/../o.csv",
        "recheck x.changes.csv --out x.csv",
        "cases f.csv --out c.csv --report c.csv",
    ],
)
def test_never_writes_two_results_to_one_path(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.chdir(shop)
    assert main(command.split()) == 2
    assert capsys.readouterr().err.endswith("; give two different paths\n")
    assert not (shop / "f.csv").exists()


@pytest.mark.parametrize("where", ["/proc/nohome", "/dev/null"])
def test_goes_on_without_a_cache_that_can_not_be_written(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: Path(where) / name)
    index, out = str(tmp_path / "index"), tmp_path / "f.csv"
    assert main(["build", str(shop / "references.csv"), "--index", index, "--quiet"]) == 0
    assert main(["scan", str(shop / "listings.csv"), "--index", index, "--out", str(out), "--quiet"]) == 0
    assert [row["verdict"] for row in read_findings(out)] == ["flagged"] * 4
    assert len(caplog.messages) == 3, "vectors for each command, and compared pairs for the scan"
    names = [f"{where}/lookalike/{name}.sqlite can't be used" for name in ("vectors", "vectors", "vectors.pairs")]
    assert all(name in message for name, message in zip(names, caplog.messages, strict=True))
