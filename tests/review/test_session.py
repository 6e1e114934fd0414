"""What comes up in which order, and that a verdict can be given, taken back, changed, and is asked for again."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lookalike.errors import HistoryError, TableError
from lookalike.review.findings import OpenFindings, ReviewError
from lookalike.review.queue import draw_at_random, drawable, strata_of
from lookalike.review.session import Session
from lookalike.review.store import VerdictStore
from lookalike.tables.findings import write_findings
from lookalike.tables.reviews import read_reviews
from lookalike.tables.verdicts import Judgement, Mode, verdict_file


def finding(listing: str, probability: float | None, **more: Any) -> dict[str, Any]:
    verdict = "unreadable" if probability is None else "flagged" if probability >= 0.8 else "review"
    return {
        "listing_id": listing, "verdict": verdict, "policy": "p@1", "encoder": "e", "brand": "Acme",
        "product_id": "p1", "similarity": probability, "probability": probability, "threshold": 0.8,
        "flag_threshold": 0.8,
        "image_sha256": f"sha of {listing}", "seller_id": "s1", "kind": "same_print", "candidates": "[]", **more,
    }  # fmt: skip


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "f.jsonl"
    write_findings(
        [
            finding("far", 0.999),
            finding("near", 0.81, price="10", currency="EUR"),
            finding("dear", 0.83, price="400", currency="EUR"),
            finding("usual", 0.9, price="10", currency="EUR"),
            finding("clear", 0.95, verdict="clear"),
            finding("unread", None),
        ],
        path,
    )
    return path


@pytest.fixture
def findings(table: Path) -> Iterator[OpenFindings]:
    with OpenFindings(table) as opened:
        yield opened


def names(findings: OpenFindings, places: list[int]) -> list[str]:
    return [findings.items[place].listing for place in places]


def session(findings: OpenFindings, path: Path, who: str = "anna", **more: Any) -> Session:
    return Session(findings, VerdictStore(path / "v.jsonl", who), **more)


def test_what_is_nearest_the_threshold_and_dearest_comes_first(findings: OpenFindings, tmp_path: Path) -> None:
    opened = session(findings, tmp_path)
    assert names(findings, opened.next(9)) == ["dear", "near", "usual", "far"]

    def urgency(probability: float, stake: float) -> float:
        distance = abs(math.log(probability / (1 - probability)) - math.log(4)) / 2
        return math.exp(-distance) * (1 + math.log2(1 + stake))

    assert urgency(0.83, 40) > urgency(0.81, 1) > urgency(0.9, 1) > urgency(0.999, 1)


def test_a_verdict_takes_the_finding_off_the_queue_and_is_on_disk(findings: OpenFindings, tmp_path: Path) -> None:
    opened = session(findings, tmp_path)
    first = opened.next()[0]
    opened.judge(first, Judgement.LOOKALIKE, note="same stamp", seconds=3.5)
    (entry,) = verdict_file(tmp_path / "v.jsonl").entries()
    assert (entry.said.listing, entry.said.note, entry.said.seconds, entry.said.who) == (
        "dear", "same stamp", 3.5, "anna",
    )  # fmt: skip
    assert (entry.said.photo, entry.said.policy, entry.said.mode) == ("sha of dear", "p@1", Mode.TRIAGE)
    assert names(findings, opened.next(9)) == ["near", "usual", "far"]
    assert names(findings, session(findings, tmp_path).next(9)) == ["near", "usual", "far"], "after a restart as well"


def test_undo_brings_the_last_finding_back_to_the_front(findings: OpenFindings, tmp_path: Path) -> None:
    opened = session(findings, tmp_path)
    first, second = opened.next(2)
    opened.judge(first, Judgement.LOOKALIKE)
    opened.judge(second, Judgement.HARMLESS)
    assert opened.undo() == second
    assert opened.undo() == first
    assert opened.undo() is None
    assert names(findings, opened.next(9)) == ["dear", "near", "usual", "far"]
    assert read_reviews(tmp_path / "v.jsonl").reviews == ()


def test_skip_puts_a_finding_to_the_end(findings: OpenFindings, tmp_path: Path) -> None:
    opened = session(findings, tmp_path)
    opened.skip(opened.next()[0])
    assert names(findings, opened.next(9)) == ["near", "usual", "far", "dear"]
    with pytest.raises(ReviewError, match="waits no more"):
        opened.skip(99)


def test_a_decision_can_be_changed_and_stands_until_then(findings: OpenFindings, tmp_path: Path) -> None:
    opened = session(findings, tmp_path)
    first = opened.next()[0]
    (entry,) = opened.judge(first, Judgement.LOOKALIKE)
    assert opened.reopen(entry.number) == first == opened.next()[0]
    assert [review.lookalike for review in read_reviews(tmp_path / "v.jsonl").reviews] == [True]
    opened.judge(first, Judgement.NOT_LOOKALIKE)
    assert [review.lookalike for review in read_reviews(tmp_path / "v.jsonl").reviews] == [False]
    with pytest.raises(ReviewError, match="not one of the last 10"):
        opened.reopen(entry.number)


def test_the_group_of_a_photo_and_product_is_judged_at_once_and_undone_at_once(tmp_path: Path) -> None:
    rows = [finding(f"L{n}", 0.81 + n / 100, image_sha256="same" if n < 3 else f"other {n}") for n in range(4)]
    rows.append(finding("L4", 0.9, image_sha256="same", product_id="p2"))
    write_findings(rows, tmp_path / "f.jsonl")
    with OpenFindings(tmp_path / "f.jsonl") as findings:
        opened = session(findings, tmp_path)
        assert names(findings, opened.group(0)) == ["L0", "L1", "L2"]
        opened.judge(0, Judgement.LOOKALIKE, whole_group=True, seconds=4)
        entries = verdict_file(tmp_path / "v.jsonl").entries()
        assert [(e.said.listing, e.said.reason, e.said.seconds) for e in entries] == [
            ("L0", "", 4), ("L1", "same photo and product as listing L0", None),
            ("L2", "same photo and product as listing L0", None),
        ]  # fmt: skip
        assert names(findings, opened.next(9)) == ["L3", "L4"]
        assert opened.undo() == 0
        assert names(findings, opened.next(9)) == ["L0", "L1", "L2", "L3", "L4"]


@pytest.mark.parametrize("change", [{"image_sha256": "new photo"}, {"product_id": "p2"}, {"brand": "Brio"}])
def test_a_finding_comes_back_when_its_photo_or_product_changed(
    findings: OpenFindings, tmp_path: Path, change: dict[str, str]
) -> None:
    opened = session(findings, tmp_path)
    for place in opened.next(9):
        opened.judge(place, Judgement.LOOKALIKE)
    assert session(findings, tmp_path).next(9) == []
    write_findings([finding("far", 0.999), finding("near", 0.81, **change)], tmp_path / "g.jsonl")
    with OpenFindings(tmp_path / "g.jsonl") as again:
        assert names(again, session(again, tmp_path).next(9)) == ["near"]


def test_in_triage_one_persons_verdict_is_enough_and_a_draw_is_for_each(findings: OpenFindings, tmp_path: Path) -> None:
    opened = session(findings, tmp_path, mode=Mode.AUDIT, size=2, seed=3)
    for place in opened.next(2):
        opened.judge(place, Judgement.LOOKALIKE)
    assert len(session(findings, tmp_path, "ben").queue) == 4 - sum(
        findings.items[place].verdict != "clear" for place in opened.draws
    )
    assert len(session(findings, tmp_path, "ben", mode=Mode.AUDIT, size=2, seed=3).queue) == 2


def test_conflicts_come_up_and_are_settled(findings: OpenFindings, tmp_path: Path) -> None:
    place = findings.by_listing["near"]
    session(findings, tmp_path).judge(place, Judgement.LOOKALIKE)
    session(findings, tmp_path, "ben").judge(place, Judgement.NOT_LOOKALIKE)
    opened = session(findings, tmp_path, "cleo", mode=Mode.CONFLICT)
    assert names(findings, opened.next(9)) == ["near"]
    opened.judge(place, Judgement.LOOKALIKE)
    assert [review.lookalike for review in read_reviews(tmp_path / "v.jsonl").reviews] == [True]
    assert session(findings, tmp_path, "cleo", mode=Mode.CONFLICT).next(9) == []


def test_two_who_add_to_one_file_see_each_others_verdicts(findings: OpenFindings, tmp_path: Path) -> None:
    one, two = VerdictStore(tmp_path / "v.jsonl", "anna"), VerdictStore(tmp_path / "v.jsonl", "ben")
    first, second = (Session(findings, each) for each in (one, two))
    for n, each in enumerate([first, second, first, second]):
        each.judge(n, Judgement.LOOKALIKE)
    assert [entry.said.who for entry in two.entries] == ["anna", "ben", "anna", "ben"]
    assert len(verdict_file(tmp_path / "v.jsonl").entries()) == 4
    with pytest.raises(HistoryError, match="only they can withdraw it"):
        two.withdraw([two.entries[0]])


def many(path: Path, count: int) -> OpenFindings:
    rows = [finding(f"L{n}", 0.3 + 0.69 * n / count, kind=("same_print", "copied_photo")[n % 2]) for n in range(count)]
    write_findings(rows, path / "many.jsonl")
    return OpenFindings(path / "many.jsonl")


def test_a_draw_is_the_same_again_and_every_verdict_says_what_it_was_drawn_from(tmp_path: Path) -> None:
    with many(tmp_path, 400) as findings:
        places, draws = draw_at_random(findings.items, size=100, seed=5)
        assert (places, draws) == draw_at_random(findings.items, size=100, seed=5)
        assert places != draw_at_random(findings.items, size=100, seed=6)[0]
        assert len(set(places)) == 100
        opened = session(findings, tmp_path, mode=Mode.AUDIT, size=100, seed=5)
        opened.judge(places[0], Judgement.LOOKALIKE)
        said = verdict_file(tmp_path / "v.jsonl").entries()[0].said
        assert said.draw == draws[places[0]] and said.mode is Mode.AUDIT
        assert (said.draw.population, said.draw.size, said.draw.seed) == (400, 100, 5)
        kinds = {item.place: f"{item.verdict}, {item.kind.replace('_', ' ')}" for item in findings.items}
        counted = {name: list(kinds.values()).count(name) for name in kinds.values()}
        assert {name: size for name, _, size in strata_of(draws.values())} == counted
        assert sum(drawn for _, drawn, _ in strata_of(draws.values())) == 100


def test_what_was_judged_before_counts_for_a_draw_and_undo_leaves_it_alone(tmp_path: Path) -> None:
    with many(tmp_path, 60) as findings:
        first = session(findings, tmp_path)
        chosen = [place for place in draw_at_random(findings.items, size=20, seed=4)[0] if place in first.queue][:5]
        for place in chosen:
            first.judge(place, Judgement.NOT_LOOKALIKE, note="seen")
        audit = session(findings, tmp_path, mode=Mode.AUDIT, size=20, seed=4)
        assert (audit.carried, len(audit.queue)) == (5, 15)
        assert session(findings, tmp_path, mode=Mode.AUDIT, size=20, seed=4).carried == 0, "only once"
        assert session(findings, tmp_path, "ben", mode=Mode.AUDIT, size=20, seed=4).carried == 0, "nobody else's"
        place = audit.next()[0]
        audit.judge(place, Judgement.LOOKALIKE)
        assert audit.undo() == place
        for place in audit.next(20):
            audit.judge(place, Judgement.LOOKALIKE)
    read = read_reviews(tmp_path / "v.jsonl", promise=True)
    assert len(read.reviews) == 20 and sum(not review.lookalike for review in read.reviews) == 5


def test_every_finding_is_drawn_equally_often(tmp_path: Path) -> None:
    with many(tmp_path, 40) as findings:
        times = [0] * 40
        for seed in range(2000):
            for place in draw_at_random(findings.items, size=10, seed=seed)[0]:
                times[place] += 1
    # 2,000 draws at 1/4 each: 500, with a standard deviation of 19
    assert min(times) > 500 - 5 * 19.4 and max(times) < 500 + 5 * 19.4


def test_a_draw_is_from_all_that_are_as_strong_as_the_weakest_in_review(findings: OpenFindings, tmp_path: Path) -> None:
    assert names(findings, [item.place for item in drawable(findings.items)]) == [
        "far",
        "near",
        "dear",
        "usual",
        "clear",
    ]
    write_findings([finding("L", 0.5, verdict="clear")], tmp_path / "g.jsonl")
    with OpenFindings(tmp_path / "g.jsonl") as nothing, pytest.raises(TableError, match="nothing to draw from"):
        draw_at_random(nothing.items, size=10, seed=1)


def test_progress_says_how_many_an_hour_and_leaves_out_breaks(findings: OpenFindings, tmp_path: Path) -> None:
    times = iter([0.0, 10.0, 5000.0])
    opened = session(findings, tmp_path, clock=lambda: next(times))
    assert (opened.progress().judged, opened.progress().total, opened.progress().per_hour) == (0, 4, None)
    for _ in range(3):
        opened.judge(opened.next()[0], Judgement.LOOKALIKE)
    progress = opened.progress()
    assert (progress.judged, progress.total, progress.per_hour) == (3, 4, 360)
    assert progress.minutes_left == pytest.approx(10 / 60)


def test_a_changed_file_is_not_added_to(findings: OpenFindings, tmp_path: Path) -> None:
    session(findings, tmp_path).judge(0, Judgement.LOOKALIKE)
    file = tmp_path / "v.jsonl"
    file.write_bytes(file.read_bytes().replace(b"anna", b"anne"))
    with pytest.raises(HistoryError, match="not as it was written"):
        session(findings, tmp_path)


def taught(folder: Path) -> OpenFindings:
    """Findings of three products, some without a price, at several distances from the threshold of 0.8."""
    of = {"p1": (0.805, 0.79, 0.85, 0.99), "p2": (0.83, 0.6), "p3": (0.97,)}
    rows = [finding(f"{product} {value}", value, product_id=product, price="10" if value > 0.9 else None)
            for product, values in of.items() for value in values]  # fmt: skip
    rows.append(finding("clear", 0.8, product_id="p4", verdict="clear"))
    write_findings(rows[::-1], folder / "t.jsonl")
    return OpenFindings(folder / "t.jsonl")


def test_to_teach_each_product_comes_once_by_turns_nearest_the_threshold_first(tmp_path: Path) -> None:
    with taught(tmp_path) as findings:
        opened = session(findings, tmp_path, mode=Mode.TEACH)
        order = names(findings, opened.next(9))
        assert order == ["p1 0.805", "p2 0.83", "p3 0.97", "p1 0.79", "p2 0.6", "p1 0.85", "p1 0.99"]
        for place in opened.next(2):
            opened.judge(place, Judgement.LOOKALIKE)
        assert names(findings, session(findings, tmp_path, mode=Mode.TEACH).next(9)) == order[2:], "after a restart"
        assert names(findings, session(findings, tmp_path, "ben", mode=Mode.TEACH).next(9)) == order[2:]
        session(findings, tmp_path).judge(opened.next()[0], Judgement.LOOKALIKE)
        assert names(findings, session(findings, tmp_path, mode=Mode.TEACH).next(9)) == order[3:], "judged in triage"


def test_two_brands_with_one_product_id_are_two_products_to_teach(tmp_path: Path) -> None:
    rows = [finding("A", 0.81), finding("A again", 0.82), finding("B", 0.9, brand="Brio")]
    write_findings(rows, tmp_path / "t.jsonl")
    with OpenFindings(tmp_path / "t.jsonl") as findings:
        assert names(findings, session(findings, tmp_path, mode=Mode.TEACH).next(9)) == ["A", "B", "A again"]


def test_no_promise_rests_on_what_was_judged_to_teach_and_an_audit_takes_it_over(tmp_path: Path) -> None:
    with taught(tmp_path) as findings:
        opened = session(findings, tmp_path, mode=Mode.TEACH)
        for place in opened.next(9):
            opened.judge(place, Judgement.LOOKALIKE)
        assert {entry.said.mode for entry in verdict_file(tmp_path / "v.jsonl").entries()} == {Mode.TEACH}
        with pytest.raises(TableError, match="a promise holds for findings drawn at random"):
            read_reviews(tmp_path / "v.jsonl", promise=True)
        assert len(read_reviews(tmp_path / "v.jsonl").reviews) == 7
        audit = session(findings, tmp_path, mode=Mode.AUDIT, size=8)
        assert (audit.carried, len(audit.queue)) == (7, 1)
        audit.judge(audit.next()[0], Judgement.NOT_LOOKALIKE)
    assert len(read_reviews(tmp_path / "v.jsonl", promise=True).reviews) == 8
