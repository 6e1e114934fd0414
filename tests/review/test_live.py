"""What tuning would give is what tuning gives, and from triage verdicts nothing is promised."""

from __future__ import annotations

from pathlib import Path

import pytest
from reviewed import POLICY, Shop, served, shop_in

from lookalike.errors import TableError
from lookalike.index.reference_index import ReferenceIndex
from lookalike.policy.policy import Policy
from lookalike.review.app import ReviewApp
from lookalike.review.findings import ReviewError
from lookalike.review.live import Tuning
from lookalike.review.live_page import LEAST, MOST, precision_of
from lookalike.scripts.policy import main as policy_command
from lookalike.scripts.tune import main as tune_command
from lookalike.tables.findings import read_findings
from lookalike.tables.verdicts import Judgement, Mode


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return shop_in(tmp_path_factory.mktemp("shop"), 160)


def judge_all(app: ReviewApp, *, wrong: int = 3) -> None:
    """Every finding that waits is right, but each so many-th of those below 0.9."""
    for at, place in enumerate(app.session.next(10_000)):
        strength = app.session.findings.items[place].strength or 0.0
        no = strength < 0.9 and at % wrong == 0
        app.session.judge(place, Judgement.NOT_LOOKALIKE if no else Judgement.LOOKALIKE, seconds=6.0)


def tuning_of(app: ReviewApp, shop: Shop) -> Tuning:
    session, index = app.session, ReferenceIndex.load(shop.index)
    return Tuning(session.findings, session.store, index=index, policy=Policy.load(shop.policy))


def test_figures_are_those_that_a_count_by_hand_gives(shop: Shop, tmp_path: Path) -> None:
    with shop.review(tmp_path / "v.jsonl", mode=Mode.AUDIT, size=1000) as app:
        judge_all(app)
        live = tuning_of(app, shop).live(0.9)
    rows = [row for row in read_findings(shop.findings) if row["similarity"] is not None]
    flagged = [row for row in rows if row["similarity"] >= POLICY.flag]
    review = [row for row in rows if POLICY.review <= row["similarity"] < POLICY.flag]
    assert live.now.all.verdicts["flagged"] == len(flagged) and live.now.all.verdicts["review"] == len(review)
    assert live.now.all.stake == {"EUR": sum(row["price"] for row in flagged)}
    assert live.now.minutes == pytest.approx(len(review) * 6 / 60)
    assert (live.now.all.right, live.now.all.judged) == (len(flagged), len(flagged))
    assert sum(group.verdicts["flagged"] for group in live.now.brands.values()) == len(flagged)
    assert sum(group.verdicts["flagged"] for group in live.now.kinds.values()) == len(flagged)
    assert live.tuned is not None and live.after is not None and live.refusal is None
    scopes = live.tuned.policy
    by_hand = sum(
        scopes.verdict(row["similarity"], brand=row["brand"], territory="DE", kind=None) == "flagged" for row in rows
    )
    assert live.after.all.verdicts["flagged"] == by_hand > 0


def test_from_triage_nothing_is_promised_and_the_page_says_why(shop: Shop, tmp_path: Path) -> None:
    with shop.review(tmp_path / "v.jsonl") as app, served(app) as client:
        judge_all(app)
        text = client.ask("/live/figures?precision=0.95")[2].decode()
        assert "No promise can rest on these verdicts yet: their " in text
        assert "they were not drawn at random, so shares among them say nothing" in text
        assert "After tuning" not in text
        status, _, body = client.ask("/live/save", {"precision": 0.95})
        assert status == 400 and b"drawn at random" in body
        assert client.ask("/live/compare", {"precision": 0.95})[0] == 400
    assert not (tmp_path / "v-policy.toml").exists()


def test_a_draw_gives_no_promise_before_its_end(shop: Shop, tmp_path: Path) -> None:
    with shop.review(tmp_path / "v.jsonl", mode=Mode.AUDIT, size=60) as app:
        for place in app.session.next(59):
            app.session.judge(place, Judgement.LOOKALIKE)
        tuning = tuning_of(app, shop)
        assert tuning.live(0.5).tuned is None
        with pytest.raises(TableError, match="59 of the 60 findings of the draw are judged, and it takes all of them"):
            tuning.tune(0.5)
        app.session.judge(app.session.next()[0], Judgement.LOOKALIKE)
        assert tuning.live(0.5).tuned is not None


def test_save_policy_is_tune_and_compare_is_policy_diff(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "v.jsonl"
    with shop.review(file, mode=Mode.AUDIT, size=1000) as app, served(app) as client:
        judge_all(app)
        said = client.json("/live/save", {"precision": 0.9})["said"]
        shown = client.json("/live/compare", {"precision": 0.9})["html"]
    assert "at least 90% of flags right" in said
    call = [file, "--index", shop.index, "--findings", shop.findings, "--out", tmp_path / "v-policy-tuned.toml"]
    assert tune_command([*map(str, call), "--precision", "0.9", "--policy", str(shop.policy), "--quiet"]) == 0
    saved, tuned = (Policy.load(tmp_path / name) for name in ("v-policy.toml", "v-policy-tuned.toml"))
    assert (saved.flag, saved.review, saved.scopes, saved.promise) == (
        tuned.flag, tuned.review, tuned.scopes, tuned.promise,
    )  # fmt: skip
    capsys.readouterr()
    policies = [str(shop.policy), str(tmp_path / "v-policy.toml")]
    assert policy_command(["diff", *policies, "--findings", str(shop.findings)]) == 0
    printed = capsys.readouterr().out
    for line in printed.splitlines():
        cells = line.split()
        if cells and cells[0] in ("flagged", "review", "clear"):
            assert (
                f'<tr><td>{cells[0]}</td><td class="number">{cells[1]}</td><td class="number">{cells[2]}</td></tr>'
                in shown
            )


def test_without_the_findings_policy_nothing_is_tuned(shop: Shop, tmp_path: Path) -> None:
    Policy("other", 0.7, 0.6).save(tmp_path / "other.toml")
    other = Shop(shop.findings, shop.index, tmp_path / "other.toml")
    with other.review(tmp_path / "v.jsonl", mode=Mode.AUDIT, size=60) as app, served(app) as client:
        judge_all(app)
        assert "policy is not known; give it with --policy" in client.ask("/live/figures?precision=0.9")[2].decode()
        state = client.json("/next" if app.session.queue else "/finding/0")
        assert "flag from" in state["html"] or "review from" in state["html"], "what findings carry is still shown"


@pytest.mark.parametrize("value", ["0.4", "1", "nan", "inf", "x", "", None, "0.95; drop"])
def test_a_precision_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(ReviewError, match=f"choose one between {LEAST} and {MOST}"):
        precision_of(value)
