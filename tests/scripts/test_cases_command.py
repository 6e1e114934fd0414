"""lookalike cases as a person calls it: tables, page, what it says, its exit status; and a case's evidence bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from toy import save_pictures

from lookalike.cases.history import add_entry
from lookalike.cases.statements import Answer, Outcome, Statement
from lookalike.cases.table import read_cases
from lookalike.disk import held
from lookalike.scripts.cases import main
from lookalike.scripts.cli import main as lookalike


def write_findings(path: Path, *rows: dict[str, Any]) -> str:
    row = {"verdict": "flagged", "kind": "same_print", "brand": "Acme", "product_id": "p1", "similarity": 0.9,
           "inliers": 20, "policy": "p", "encoder": "e", "currency": "EUR", "territory": "DE"}  # fmt: skip
    path.write_text("\n".join(json.dumps({"listing_id": f"L{k}", **row, **more}) for k, more in enumerate(rows)))
    return str(path)


def test_groups_by_keys_of_the_listings_and_keeps_ids(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    findings = write_findings(
        tmp_path / "f.jsonl",
        *({"seller_id": seller, "price": price} for seller, price in (("b", 10.0), ("a", 20.5), ("c", 0.25))),
    )
    (tmp_path / "l.csv").write_text("listing_id,image,seller_id,phone\nL0,a.jpg,b,1\nL1,b.jpg,a,\nL2,c.jpg,c,2\n")
    out = str(tmp_path / "cases.csv")
    call = [findings, "--out", out, "--listings", str(tmp_path / "l.csv"), "--join-on", "phone"]
    assert main(call) == 0
    assert "3 findings in 3 cases, 0 of several sellers, ranked by value" in capsys.readouterr().err
    first = {case.sellers[0]: case.id for case in read_cases(out)}
    (tmp_path / "l.csv").write_text("listing_id,image,seller_id,phone\nL0,a.jpg,b,1\nL1,b.jpg,a,1\nL2,c.jpg,c,2\n")
    (tmp_path / "old.csv").write_bytes(Path(out).read_bytes())
    assert main([*call, "--report", str(tmp_path / "page.html")]) == 0
    joined, alone = read_cases(out)
    kept, gone = sorted((first["a"], first["b"]))  # neither is older
    assert (joined.sellers, joined.id, joined.merged) == (("a", "b"), kept, (gone,))
    assert alone.id == first["c"]
    assert first["c"] in (tmp_path / "page.html").read_text()
    capsys.readouterr()
    assert main(["diff", str(tmp_path / "old.csv"), out, "--json"]) == 0
    diff = json.loads(capsys.readouterr().out)
    assert (diff["merged"], diff["unchanged"]) == ({gone: kept}, 1)
    assert diff["changed"][0]["sums"][1] == {"EUR": "30.50"}
    assert main(["diff", str(tmp_path / "old.csv"), out]) == 0
    assert f"{gone} is now part of {kept}" in capsys.readouterr().out


def test_a_history_takes_sellers_out_of_their_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    findings = write_findings(tmp_path / "f.jsonl", {"seller_id": "a"}, {"seller_id": "b"})
    history = tmp_path / "h.jsonl"
    add_entry(history, Statement("x", "y", Answer.LICENCE, Outcome.ACCEPTED, seller="a", since="2026-03-01"))
    call = [findings, "--out", str(tmp_path / "c.parquet"), "--history", str(history), "--quiet"]
    assert main([*call, "--date", "2026-03-01"]) == 0
    assert [case.sellers for case in read_cases(tmp_path / "c.parquet")] == [("b",)]
    assert main([*call, "--date", "2026-02-28"]) == 0
    assert len(read_cases(tmp_path / "c.parquet")) == 2
    capsys.readouterr()
    history.write_bytes(history.read_bytes().replace(b'"x"', b'"z"'))
    assert main(call) == 2
    assert "not as it was written" in capsys.readouterr().err


def test_rights_in_the_findings_are_the_rights_of_the_case(tmp_path: Path) -> None:
    rights = [{"ground": "right", "kind": "trademark", "number": f"{k}; {k}, {k}", "territory": "DE"} for k in range(4)]
    findings = write_findings(tmp_path / "f.jsonl", {"seller_id": "a", "rights": json.dumps(rights)})
    for out in ("c.csv", "c.jsonl", "c.parquet"):
        assert main([findings, "--out", str(tmp_path / out), "--quiet"]) == 0
        (case,) = read_cases(tmp_path / out)
        assert case.rights == {"DE": tuple(f"trademark {k}; {k}, {k} in DE" for k in range(4))}


def test_what_counts_one_is_singular(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    findings = write_findings(tmp_path / "f.jsonl", {"seller_id": "a"})
    assert main([findings, "--out", str(tmp_path / "c.csv"), "--report", str(tmp_path / "c.html")]) == 0
    said = capsys.readouterr().err
    assert said.startswith("1 finding in 1 case, 0 of several sellers") and "page with 1 case: " in said


def test_two_runs_do_not_write_one_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    findings, out = write_findings(tmp_path / "f.jsonl", {"seller_id": "a"}), tmp_path / "c.csv"
    with held(tmp_path / "c.csv.partial", RuntimeError("busy")):
        assert main([findings, "--out", str(out)]) == 2
    assert capsys.readouterr().err == (
        f"another process is writing {out}; wait until it is done, or choose another --out\n"
    )
    assert not out.exists() and main([findings, "--out", str(out), "--quiet"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.csv", "f.jsonl"]


def test_prices_that_cannot_be_used_end_with_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    findings = write_findings(tmp_path / "f.jsonl", {"seller_id": "a", "price": 1e15}, {"seller_id": "b", "price": 1.5})
    assert main([findings, "--out", str(tmp_path / "c.csv")]) == 1
    assert "Prices that can't be used: 1." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "Missing option '--out'; see cases find --help"),
        (["--out", "c.xls"], "ends in .xls; use .csv, .parquet or .jsonl"),
        (["--out", "c.csv", "--rates", "r.csv"], "belong together"),
        (["--out", "{folder}/c.csv", "--join-on", "colour"], "has no column colour to join on"),
        (["--out", "{folder}/c.csv", "--pair-minutes", "few"], "'few' is not a number of minutes"),
        (["--out", "{folder}/c.csv", "--most-sellers", "1"], "2 or more"),
        (["--out", "{folder}/c.csv", "--previous", "{folder}/none.csv"], "there is no table"),
        (["--out", "{folder}/c.csv", "--history", "{folder}/none.jsonl"], "there is no history"),
        (["--out", "{folder}/c.csv", "--index", "{folder}/none"], "there is no index"),
    ],
)
def test_a_wrong_call_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    findings = write_findings(tmp_path / "f.jsonl", {"seller_id": "a"})
    assert main([findings, *(word.format(folder=tmp_path) for word in more)]) == 2
    text = capsys.readouterr().err
    assert message in text and text.count("\n") == 1
    assert not (tmp_path / "c.csv").exists()


def test_compares_photos_and_bundles_a_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_pictures(tmp_path / "photos", 3)
    rows = "".join(f"r{k},photos/0-{k}.png,p{k},Brand\n" for k in range(3))
    (tmp_path / "references.csv").write_text("reference_id,image,product_id,brand\n" + rows)
    lines = "".join(f"L{k},photos/0-{k % 2}.png,s{k},DE,5.0,EUR\n" for k in range(4))
    (tmp_path / "listings.csv").write_text("listing_id,image,seller_id,territory,price,currency\n" + lines)
    index, findings, out = (str(tmp_path / name) for name in ("index", "findings.parquet", "cases.parquet"))
    assert lookalike(["build", str(tmp_path / "references.csv"), "--index", index, "--quiet"]) == 0
    assert lookalike(["scan", str(tmp_path / "listings.csv"), "--index", index, "--out", findings, "--quiet"]) == 0
    capsys.readouterr()
    call = ["cases", findings, "--out", out, "--index", index, "--listings", str(tmp_path / "listings.csv")]
    assert lookalike([*call, "--cache", str(tmp_path / "vectors.sqlite")]) == 0
    # each photo is shown by two sellers, and is a file of the brand's
    assert "2 photos: 0 of sellers' own that several show; of those near each other 2 are the brand's" in (
        capsys.readouterr().err
    )
    cases = read_cases(out)
    assert len(cases) == 4
    call = ["bundle", findings, "--index", index, "--out", str(tmp_path / "evidence"), "--cases", out, "--quiet"]
    assert lookalike([*call, "--case", "C0"]) == 2
    assert lookalike([*call, "--case", cases[0].id]) == 0
    bundled = [json.loads(line) for line in (tmp_path / "evidence" / "findings.jsonl").read_text().splitlines()]
    assert [row["listing_id"] for row in bundled] == list(cases[0].listings)
    assert lookalike(["bundle", "verify", str(tmp_path / "evidence"), "--quiet"]) == 0
