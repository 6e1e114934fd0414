"""lookalike monitor as a person calls it: what it prints, writes, and its exit status."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lookalike.policy.policy import Policy
from lookalike.policy.terms import Evidence, Promise, Scope
from lookalike.policy.tuned_on import TunedOn
from lookalike.scripts.monitor import main
from lookalike.tables.labels import read_verdicts

POLICY = Policy(
    "mine",
    0.8,
    0.7,
    scopes=(Scope(0.85, 0.7, brand="Acme", evidence=Evidence("Acme", 300)),),
    promise=Promise(0.95, precision=0.95),
)


def write_findings(path: Path, count: int, **values: Any) -> Path:
    row = {"verdict": "flagged", "brand": "Acme", "product_id": "p1", "reference_id": "r1", "similarity": 0.9,
           "policy": str(POLICY), "encoder": "e", "territory": "DE"}  # fmt: skip
    rows = [{"listing_id": f"L{i}", **row, **values} for i in range(count)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with a policy, findings, and verdicts of which 14 of 60 are wrong."""
    POLICY.save(tmp_path / "policy.toml")
    write_findings(tmp_path / "findings.jsonl", 300)
    lines = [f"L{i},{'false' if i % 4 == 3 and i < 56 else 'true'},2026-11-{1 + i // 10:02}" for i in range(60)]
    (tmp_path / "verdicts.csv").write_text("listing_id,lookalike,date\n" + "\n".join(lines))
    (tmp_path / "right.csv").write_text("listing_id,lookalike\n" + "\n".join(f"L{i},true" for i in range(60)))
    return tmp_path


def call(desk: Path, labels: str, *more: str) -> list[str]:
    return [str(desk / "findings.jsonl"), str(desk / labels), "--policy", str(desk / "policy.toml"), *more]


def test_a_broken_promise_is_written_to_the_policy(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = desk / "new.toml"
    assert main(call(desk, "verdicts.csv", "--out", str(out))) == 1
    captured = capsys.readouterr()
    assert "14 of 60 reviewed flags were wrong, promised at most 5 %" in captured.out
    assert str(out) in captured.err
    written = Policy.load(out)
    for scope in (written.scope("Acme"), written.scope("Other")):
        assert "14 of 60 reviewed flags were wrong, promised at most 5 %" in str(scope.withdrawn)
    assert [str(written.verdict(0.9, brand=brand)) for brand in ("Acme", "Other")] == ["review", "review"]
    assert Policy.load(desk / "policy.toml") == POLICY


def test_a_kept_promise_raises_and_writes_nothing(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = desk / "new.toml"
    assert main(call(desk, "right.csv", "--out", str(out), "--before", str(desk / "findings.jsonl"))) == 0
    assert not out.exists()
    assert "not shown to be broken" in capsys.readouterr().out


def test_says_as_json_what_was_found(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = write_findings(desk / "before.jsonl", 300, reference_id="r2", similarity=0.5, verdict="clear")
    assert main(call(desk, "verdicts.csv", "--before", str(before), "--json")) == 1
    values = json.loads(capsys.readouterr().out)
    assert [(check["brand"], check["reviewed"], check["wrong"], check["broken"]) for check in values["promises"]] == [
        (None, 60, 14, True), ("Acme", 60, 14, True)
    ]  # fmt: skip
    assert values["promises"][0]["raised_on"].startswith("2026-11-0")
    assert (values["reviews"]["flags"], values["raised"], values["drift"]["raised"]) == (60, True, True)
    assert [(flood["reference_id"], flood["per_thousand"]) for flood in values["floods"]] == [("r1", 1000)]


def test_drift_and_floods_alone_raise(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = write_findings(desk / "before.jsonl", 300, reference_id="r2", similarity=0.5, verdict="clear")
    assert main(call(desk, "right.csv", "--before", str(before), "--out", str(desk / "new.toml"))) == 1
    out = capsys.readouterr().out
    assert "similarity: drifted; median 0.500 -> 0.900" in out
    assert "reference r1: 1,000.0 hits per 1,000 listings (300), before 0.0 (0)" in out
    assert not (desk / "new.toml").exists()


def test_tells_of_verdicts_on_another_policys_findings(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_findings(desk / "findings.jsonl", 50, policy="mine@00000000")
    assert main(call(desk, "verdicts.csv")) == 1
    said = capsys.readouterr()
    error = said.err
    assert "not tested" in said.out and "not shown to be broken" not in said.out
    assert f"there is no verdict on a flag of {POLICY}, so it isn't known whether its promise is kept" in error
    assert f"50 on findings of another policy than {POLICY}" in error
    assert "10 on listings without a finding" in error


def test_labels_that_the_policy_was_tuned_on_are_no_test_of_its_promise(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [review.listing_id for review in read_verdicts(desk / "verdicts.csv")]
    tuned = replace(POLICY, tuned_on=TunedOn.of(names[:-7]))
    tuned.save(desk / "policy.toml")
    main([*call(desk, "verdicts.csv"), "--json"])
    said = capsys.readouterr()
    reviews = json.loads(said.out)["reviews"]
    assert (reviews["flags"], reviews["tuned_on"]) == (7, len(names) - 7)
    assert f"{len(names) - 7} on listings that {tuned} was tuned on" in said.err


def test_says_so_where_no_precision_is_promised(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Policy("plain", 0.8, 0.7).save(desk / "policy.toml")
    assert main(call(desk, "verdicts.csv")) == 0
    assert "promises no precision" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("listing_id,lookalike\nL1,true\nL2,maybe\n", "row 2 needs a listing_id, and true or false as lookalike"),
        ("listing_id,lookalike,date\nL1,true,yesterday\n", "the date 'yesterday' is not valid"),
    ],
)
def test_one_wrong_row_is_one_line_and_status_2(
    desk: Path, capsys: pytest.CaptureFixture[str], labels: str, message: str
) -> None:
    (desk / "wrong.csv").write_text(labels)
    assert main(call(desk, "wrong.csv")) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
