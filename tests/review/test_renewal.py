"""What promises lack comes up first, drawn from each one's own flags, and nothing else rests on it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lookalike.errors import TableError
from lookalike.policy.policy import Policy
from lookalike.policy.terms import Evidence, Kinds, Promise, Scope, Thresholds
from lookalike.policy.tuned_on import TunedOn
from lookalike.review.findings import OpenFindings
from lookalike.review.queue import draw_at_random
from lookalike.review.renewal import read_lacks
from lookalike.review.session import Session
from lookalike.review.store import VerdictStore
from lookalike.scripts.monitor import said
from lookalike.tables.findings import read_findings, write_findings
from lookalike.tables.labels import Review
from lookalike.tables.reviews import read_reviews
from lookalike.tables.verdicts import Judgement, Mode, verdict_file
from lookalike.thresholds.monitor import MonitorReport, monitor_policy

OWN = Evidence("own", 300)
POLICY = Policy(
    "mine",
    0.8,
    0.5,
    scopes=(
        Scope(0.8, 0.5, brand="Acme", evidence=OWN),
        Scope(0.8, 0.5, brand="Brio", evidence=OWN, kinds=Kinds(copied_photo=Thresholds(0.7, 0.5, OWN))),
    ),
    promise=Promise(0.95, precision=0.9),
)
BRANDS = ("Acme", "Brio", "Cleo")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hundred flags of three brands, and as many that are in review."""
    path = tmp_path_factory.mktemp("findings") / "f.jsonl"
    write_findings(
        [
            {
                "listing_id": f"L{n}", "verdict": "flagged" if n % 2 else "review", "policy": str(POLICY),
                "encoder": "e", "brand": BRANDS[n % 3], "product_id": "p1", "similarity": 0.9 if n % 2 else 0.6,
                "threshold": 0.8 if n % 2 else 0.5, "kind": "copied_photo" if n % 5 == 0 else "same_print",
                "image_sha256": f"sha of {n}", "candidates": "[]",
            }
            for n in range(400)
        ],
        path,
    )  # fmt: skip
    return path


def monitored(table: Path, reviews: list[Review]) -> MonitorReport:
    return monitor_policy(read_findings(table), reviews, POLICY)


def report(folder: Path, table: Path, *reviews: Review) -> Path:
    path = folder / "monitor.json"
    path.write_text(json.dumps(said(monitored(table, list(reviews))), default=str))
    return path


class Desk:
    """A table that is reviewed by a monitor's report."""

    def __init__(self, findings: OpenFindings, folder: Path, *reviews: Review, policy: Policy = POLICY) -> None:
        self.findings, self.file, self.policy = findings, folder / "v.jsonl", policy
        self.report = report(folder, findings.path, *reviews)

    def session(self, who: str = "anna", *, mode: Mode = Mode.RENEWAL, size: int = 30, seed: int = 0) -> Session:
        lacks = (read_lacks(self.report), self.policy) if mode is Mode.RENEWAL else None
        store = VerdictStore(self.file, who)
        return Session(self.findings, store, mode=mode, size=size, seed=seed, lacks=lacks)

    def brands(self, places: list[int]) -> list[tuple[str | None, str]]:
        return [(self.findings.items[place].brand, self.findings.items[place].verdict) for place in places]


@pytest.fixture(scope="module")
def findings(table: Path) -> Iterator[OpenFindings]:
    with OpenFindings(table, POLICY) as opened:
        yield opened


@pytest.fixture
def desk(table: Path, findings: OpenFindings, tmp_path: Path) -> Desk:
    """Of Brio, ten flags of a print were judged already; Acme lacks as many as can be."""
    asked = [row["listing_id"] for row in read_findings(table)
             if (row["brand"], row["kind"], row["verdict"]) == ("Brio", "same_print", "flagged")]  # fmt: skip
    return Desk(findings, tmp_path, *(Review(listing, True) for listing in asked[:10]))


def judged(session: Session, most: int) -> list[int]:
    places = session.next(most)
    for place in places:
        session.judge(place, Judgement.LOOKALIKE)
    return places


def test_the_promise_that_lacks_most_comes_first_then_the_draw_from_all(desk: Desk) -> None:
    session = desk.session()
    lacking = [(each.lack.name, each.lack.flags, each.draw.size) for each in session.renewals]
    drawn_of_kind = min(29, sum(each.kind == "copied_photo" and each.brand == "Brio" and each.verdict == "flagged"
                                for each in desk.findings.items))  # fmt: skip
    assert [each[:2] for each in lacking] == [("Acme", 29), ("Brio copied photo", 29), ("Brio", 19)]
    assert [each[2] for each in lacking][::2] == [29, 19] and lacking[1][2] <= drawn_of_kind < 29
    order = session.next(1000)
    counts = [size for _, _, size in lacking]
    assert desk.brands(order[:29]) == [("Acme", "flagged")] * 29
    assert desk.brands(order[29 : sum(counts)]) == [("Brio", "flagged")] * sum(counts[1:])
    assert order[sum(counts) :] == draw_at_random(desk.findings.items, size=30, seed=0)[0]
    assert len(set(order)) == len(order)


def test_within_a_brand_the_draw_takes_what_a_draw_from_all_would_take_next(desk: Desk) -> None:
    places, _ = draw_at_random(desk.findings.items, size=400, seed=0)
    acme = [place for place in places[30:] if desk.brands([place]) == [("Acme", "flagged")]]
    assert list(desk.session().renewals[0].places) == acme[:29]


def test_every_flag_of_a_brand_is_drawn_equally_often(desk: Desk) -> None:
    times: Counter[int] = Counter()
    for seed in range(400):
        session = desk.session(size=1, seed=seed)
        times.update(session.renewals[0].places)
    acme = [item.place for item in desk.findings.items if item.brand == "Acme" and item.verdict == "flagged"]
    expected = 400 * 29 / len(acme)
    assert set(times) == set(acme)
    assert max(abs(times[place] - expected) for place in acme) < 5 * (expected * (1 - 29 / len(acme))) ** 0.5


def test_a_review_that_was_killed_goes_on_in_the_same_order(desk: Desk) -> None:
    first = desk.session()
    order = first.next(1000)
    judged(first, 40)
    assert desk.session().next(1000) == order[40:]
    judged(desk.session(), 60)
    assert desk.session().next(1000) == order[100:]
    assert len(desk.session("ben").queue) == len(order), "each person judges a draw for themselves"


def test_verdicts_of_a_renewal_test_their_promise_and_no_other(desk: Desk) -> None:
    """Of Acme's renewal each third is wrong: that breaks Acme's promise, and doesn't test the one over all."""
    session = desk.session()
    for n, place in enumerate(session.renewals[0].places):
        session.judge(place, Judgement.NOT_LOOKALIKE if n % 3 == 0 else Judgement.LOOKALIKE)
    everywhere, acme, *_ = monitored(
        desk.findings.path, list(read_reviews(desk.file, promise=True, renewals=True).reviews)
    ).promises
    assert (everywhere.reviewed, acme.reviewed, acme.wrong) == (0, 29, 10)
    assert acme.broken and not everywhere.broken


def test_what_a_promise_from_all_rests_on_is_the_same_with_a_renewal_and_without(desk: Desk, tmp_path: Path) -> None:
    with_it, without = desk.session(), Desk(desk.findings, tmp_path)
    without.file = tmp_path / "audit.jsonl"
    judged(with_it, 1000)
    judged(without.session(mode=Mode.AUDIT), 1000)
    read = read_reviews(desk.file, promise=True)
    assert {replace(each, day=None) for each in read.reviews} == {
        replace(each, day=None) for each in read_reviews(without.file, promise=True).reviews
    }
    assert len(read.reviews) == 30
    renewed = sum(each.draw.size for each in with_it.renewals)
    assert read.remarks() == [
        f"verdicts left out: {renewed} drawn to renew one promise each, which is for monitor alone"
    ]
    assert [entry.said.mode for entry in verdict_file(desk.file).entries()] == [
        *[Mode.RENEWAL] * renewed,
        *[Mode.AUDIT] * 30,
    ]


def test_a_renewal_counts_once_it_is_judged_to_its_end(desk: Desk) -> None:
    session = desk.session()
    judged(session, 28)
    with pytest.raises(TableError, match="28 of the 29 findings of the draw are judged"):
        read_reviews(desk.file, promise=True, renewals=True)
    judged(session, 1)
    assert len(read_reviews(desk.file, promise=True, renewals=True).reviews) == 29
    with pytest.raises(TableError, match=r"29 findings were drawn to renew single promises, and not from all"):
        read_reviews(desk.file, promise=True)


def test_the_next_report_draws_flags_that_no_draw_had_before(desk: Desk, tmp_path: Path) -> None:
    session = desk.session()
    before = set(judged(session, 1000))
    desk.report = report(tmp_path, desk.findings.path)  # another report: what was judged before is not in it
    again = desk.session()
    assert not before & set(again.renewals[0].places)
    assert {item.place for item in desk.findings.items if item.brand == "Acme" and item.verdict == "flagged"} >= set(
        again.renewals[0].places
    )


def test_a_draw_that_shares_findings_with_another_leaves_both_finished(desk: Desk) -> None:
    judged(desk.session(mode=Mode.AUDIT, size=200, seed=1), 200)
    judged(desk.session(mode=Mode.AUDIT, size=200, seed=2), 200)
    both = {place for seed in (1, 2) for place in draw_at_random(desk.findings.items, size=200, seed=seed)[0]}
    assert len(both) < 400
    assert len(read_reviews(desk.file, promise=True).reviews) == len(both)


def test_what_the_policy_was_tuned_on_is_not_drawn_again(findings: OpenFindings, tmp_path: Path) -> None:
    known = [f"L{n}" for n in range(0, 300)]
    tuned = replace(POLICY, tuned_on=TunedOn.of(known))
    session = Desk(findings, tmp_path, policy=tuned).session()
    drawn = {session.findings.items[place].listing for each in session.renewals for place in each.places}
    assert drawn and not drawn & set(known)


def test_a_report_about_another_policy_is_refused(desk: Desk) -> None:
    values = json.loads(desk.report.read_text())
    desk.report.write_text(json.dumps({**values, "policy": "other@12345678"}))
    with pytest.raises(TableError, match=r"about the policy other@12345678, and the findings were made by mine@"):
        desk.session()


def test_broken_promises_and_that_over_all_are_not_renewed_flag_by_flag(desk: Desk) -> None:
    values = json.loads(desk.report.read_text())
    assert values["promises"][0]["needed"] > 0
    for each in values["promises"]:
        each["broken"] = each["brand"] == "Acme"
    desk.report.write_text(json.dumps(values))
    assert [lack.name for lack in read_lacks(desk.report).lacking] == ["Brio copied photo", "Brio"]


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", "[" * 100_000, '{"policy": 7, "promises": []}', '{"policy": "p", "promises": [1]}',
        '{"policy": "p", "promises": [{"brand": "A", "territory": null, "kind": null, "broken": false, "needed": -1}]}',
        '{"policy": "p", "promises": [{"brand": [], "territory": null, "kind": null, "broken": false, "needed": 1}]}',
        '{"policy": "p", "promises": [{"brand": "A", "kind": null, "broken": false, "needed": 1}]}',
    ],
)  # fmt: skip
def test_a_file_that_is_no_report_is_refused_in_a_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(
        TableError, match=r"no report of lookalike monitor .*; write one with: lookalike monitor"
    ) as told:
        read_lacks(tmp_path / "m.json")
    assert "\n" not in str(told.value)


def test_a_report_that_is_missing_or_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TableError, match="can't be read"):
        read_lacks(tmp_path / "none.json")
    monkeypatch.setattr("lookalike.review.renewal._MOST_BYTES", 10)
    (tmp_path / "m.json").write_text(" " * 11)
    with pytest.raises(TableError, match="more than 10 bytes"):
        read_lacks(tmp_path / "m.json")
