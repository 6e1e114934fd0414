"""What a review leaves is read as it is by tune, monitor, stats, shortlist, cases and report."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from reviewed import Shop, shop_in

from lookalike.cases.history import add_entry
from lookalike.cases.statements import Answer, Outcome, Statement
from lookalike.policy.policy import Policy
from lookalike.policy.terms import Evidence, Promise, Scope
from lookalike.scripts.cli import main
from lookalike.tables.findings import read_findings
from lookalike.tables.verdicts import Judgement, Mode


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return shop_in(tmp_path_factory.mktemp("shop"), 160)


@pytest.fixture
def triage(shop: Shop, tmp_path: Path) -> Path:
    """Verdicts of every kind, the first six that triage shows."""
    file = tmp_path / "triage.jsonl"
    with shop.review(file) as app:
        for place, verdict in zip(app.session.next(6), Judgement, strict=True):
            app.session.judge(place, verdict, instead=1 if verdict is Judgement.OTHER_PRODUCT else None)
    return file


@pytest.fixture
def audit(shop: Shop, tmp_path: Path) -> Path:
    """All findings judged as a draw: what is flagged is right."""
    file = tmp_path / "audit.jsonl"
    with shop.review(file, mode=Mode.AUDIT, size=1000) as app:
        for place in app.session.next(1000):
            flagged = app.session.findings.items[place].verdict == "flagged"
            app.session.judge(place, Judgement.LOOKALIKE if flagged else Judgement.NOT_LOOKALIKE)
    return file


def listing_of(shop: Shop, file: Path) -> dict[str, str]:
    """The listing of each verdict."""
    return {
        entry["said"]["verdict"]: entry["said"]["listing"] for entry in map(json.loads, file.read_text().splitlines())
    }


def test_tune_sets_thresholds_on_a_finished_draw_and_refuses_triage(
    shop: Shop, triage: Path, audit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "policy.toml"
    call = ["--index", str(shop.index), "--findings", str(shop.findings), "--out", str(out), "--precision", "0.8"]
    call += ["--policy", str(shop.policy)]
    assert main(["tune", str(triage), *call]) == 2
    assert "a promise holds for findings drawn at random" in capsys.readouterr().err
    assert not out.exists()
    assert main(["tune", str(audit), *call]) == 0
    assert Policy.load(out).flag == pytest.approx(0.9, abs=0.02)


def test_monitor_tests_the_promise_on_drawn_verdicts_alone(
    shop: Shop, triage: Path, audit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["--policy", str(shop.policy), "--json"]
    assert main(["monitor", str(shop.findings), str(triage), *call]) == 2
    assert "drawn at random" in capsys.readouterr().err
    assert main(["monitor", str(shop.findings), str(audit), *call]) == 0
    flagged = sum(row["verdict"] == "flagged" for row in read_findings(shop.findings))
    assert json.loads(capsys.readouterr().out)["reviews"]["flags"] == flagged


def test_what_monitor_says_is_lacking_is_reviewed_first_and_then_lacks_no_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = Scope(0.9, 0.5, brand="Brand1", evidence=Evidence("Brand1", 300))
    shop = shop_in(tmp_path, 160, policy=Policy("toy", 0.9, 0.5, scopes=(scope,), promise=Promise(0.95, precision=0.9)))
    file, report = tmp_path / "v.jsonl", tmp_path / "monitor.json"

    def monitor(status: int) -> dict[str | None, int]:
        call = ["monitor", str(shop.findings), str(file), "--policy", str(shop.policy), "--json"]
        assert main(call) == status
        report.write_text(capsys.readouterr().out)
        return {each["brand"]: each["needed"] for each in json.loads(report.read_text())["promises"]}

    with shop.review(file, mode=Mode.AUDIT, size=10) as app:
        for place in app.session.next(10):
            app.session.judge(place, Judgement.LOOKALIKE)
    lacking = monitor(0)
    assert 0 < lacking[None] <= lacking["Brand1"]
    with shop.review(file, mode=Mode.RENEWAL, report=report, size=10) as app:
        (renewal,) = app.session.renewals
        assert len(app.session.next(1000)) == renewal.lack.flags == lacking["Brand1"], "the draw from all is judged"
        for place in app.session.next(1000):
            assert app.session.findings.items[place].brand == "Brand1"
            app.session.judge(place, Judgement.LOOKALIKE)
    monkeypatch.setattr("lookalike.review.server.serve", lambda *_, **__: None)
    call = [str(shop.findings), "--index", str(shop.index), "--policy", str(shop.policy), "--verdicts", str(file)]
    assert main(["review", *call, "--who", "anna", "--order", "renewal", "--report", str(report), "--size", "10"]) == 0
    said = capsys.readouterr().err
    assert (
        f"Brand1: {lacking['Brand1']} flags drawn\n" in said and f"0 of {lacking['Brand1'] + 10} findings wait" in said
    )
    assert monitor(0) == {None: lacking[None], "Brand1": 0}
    assert main(["tune", str(file), "--index", str(shop.index), "--findings", str(shop.findings), "--policy",
                 str(shop.policy), "--out", str(tmp_path / "p.toml"), "--precision", "0.5"]) == 0  # fmt: skip
    assert f"{lacking['Brand1']} drawn to renew one promise each" in capsys.readouterr().err


def test_a_renewal_and_a_report_go_together(shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = [
        "review",
        str(shop.findings),
        "--index",
        str(shop.index),
        "--verdicts",
        str(tmp_path / "v.jsonl"),
        "--who",
        "a",
    ]
    for more in (["--order", "renewal"], ["--report", str(tmp_path / "m.json")]):
        assert main([*call, *more]) == 2
        assert "--order renewal and --report go together" in capsys.readouterr().err


def test_stats_counts_what_people_upheld(shop: Shop, audit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stats", str(shop.findings), "--verdicts", str(audit), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["all"]
    assert figures["reviewed"] == figures["flagged"] == figures["upheld"]["count"]


def test_cases_hold_what_people_confirmed_as_they_said_it(
    shop: Shop, triage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said, out = listing_of(shop, triage), tmp_path / "cases.jsonl"
    assert main(["cases", str(shop.findings), "--out", str(out), "--verdicts", str(triage), "--quiet"]) == 0
    inside = {
        listing for line in out.read_text().splitlines() for listing in json.loads(json.loads(line)["listing_ids"])
    }
    assert {said["lookalike"], said["other_product"]} <= inside
    assert not {said["not_lookalike"], said["harmless"], said["authorised"]} & inside


def test_shortlist_and_report_leave_out_what_is_decided_and_keep_what_is_unsure(
    shop: Shop, triage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said, out = listing_of(shop, triage), tmp_path / "today.jsonl"
    call = ["shortlist", str(shop.findings), "--most", "1000", "--out", str(out), "--verdicts", str(triage)]
    assert main(call) == 0
    assert f"5 findings left out, decided by {triage}" in capsys.readouterr().err
    listed = {json.loads(line)["listing_id"] for line in out.read_text().splitlines()}
    assert {verdict for verdict, listing in said.items() if listing in listed} == {"unsure"}
    page = tmp_path / "report.html"
    call = ["report", str(shop.findings), "--out", str(page), "--verdicts", str(triage), "--evidence", "0"]
    assert main(call) == 0
    shown = page.read_text(encoding="utf-8")
    assert {verdict for verdict, listing in said.items() if f'data-listing="{listing}"' in shown} == {"unsure"}


def test_an_answer_in_the_history_comes_before_a_verdict(
    shop: Shop, triage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said, history, out = listing_of(shop, triage), tmp_path / "h.jsonl", tmp_path / "cases.jsonl"
    add_entry(history, Statement("ben", "contract 7", Answer.LICENCE, Outcome.ACCEPTED, listing=said["lookalike"]))
    call = ["cases", str(shop.findings), "--out", str(out), "--verdicts", str(triage), "--history", str(history)]
    assert main([*call, "--quiet"]) == 0
    inside = {
        listing for line in out.read_text().splitlines() for listing in json.loads(json.loads(line)["listing_ids"])
    }
    assert said["lookalike"] not in inside and said["other_product"] in inside


def test_a_file_of_verdicts_that_was_changed_is_refused_by_all(
    shop: Shop, triage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    triage.write_bytes(triage.read_bytes().replace(b"anna", b"anne", 1))
    findings, out = str(shop.findings), str(tmp_path / "o")
    for call in (
        ["tune", str(triage), "--index", str(shop.index), "--findings", findings, "--out", f"{out}.toml"],
        ["monitor", findings, str(triage), "--policy", str(shop.policy)],
        ["stats", findings, "--verdicts", str(triage)],
        ["shortlist", findings, "--most", "5", "--out", f"{out}.csv", "--verdicts", str(triage)],
        ["cases", findings, "--out", f"{out}.csv", "--verdicts", str(triage)],
        ["report", findings, "--out", f"{out}.html", "--verdicts", str(triage)],
        ["review", findings, "--index", str(shop.index), "--verdicts", str(triage), "--who", "anna"],
    ):
        assert main(call) == 2, call
        assert "is not as it was written: entry 1" in capsys.readouterr().err, call


def test_without_the_extra_review_says_what_to_install(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    call = ["review", str(shop.findings), "--index", str(shop.index), "--verdicts", str(tmp_path / "v.jsonl")]
    assert main([*call, "--who", "anna"]) == 2
    assert "pip install 'lookalike[review]'" in capsys.readouterr().err


def test_review_refuses_a_call_that_can_only_fail_in_one_line(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["review", str(shop.findings), "--index", str(shop.index), "--verdicts", str(tmp_path / "v.jsonl")]
    for more, message in (
        (["--who", " "], "say who judges with --who NAME"),
        (["--who", "anna", "--policy", str(tmp_path / "none.toml")], "none.toml"),
        (["--who", "anna", "--verdicts", str(shop.findings)], "is both FINDINGS and --verdicts"),
    ):
        assert main([*call, *more]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
