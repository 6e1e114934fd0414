"""Kinds of likeness may have thresholds of their own: the policy keeps them, judges by them and names them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lookalike.errors import PolicyError
from lookalike.policy.policy import Policy, withdraw
from lookalike.policy.terms import Evidence, Kinds, Promise, Scope, Thresholds
from lookalike.records import KINDS, Verdict

POLICY = Policy(
    "mine",
    0.9,
    0.5,
    kinds=Kinds(copied_photo=Thresholds(0.6, 0.4), lookalike=Thresholds(None, 0.8, Evidence("all, lookalike", 80))),
    scopes=(
        Scope(0.7, 0.3, brand="Acme", kinds=Kinds(same_print=Thresholds(0.95, 0.9))),
        Scope(0.8, 0.2, "Acme", "DE"),
    ),
    promise=Promise(0.95, 0.9, by_kind=True),
)


@pytest.mark.parametrize(
    ("kind", "place", "flag", "review"),
    [
        ("copied_photo", {}, 0.6, 0.4),
        ("same_print", {}, 0.9, 0.5),
        ("lookalike", {}, None, 0.8),
        (None, {}, 0.9, 0.5),
        ("copied_photo", {"brand": "Acme"}, 0.7, 0.3),
        ("same_print", {"brand": "Acme"}, 0.95, 0.9),
        ("same_print", {"brand": "Acme", "territory": "DE"}, 0.8, 0.2),
    ],
)
def test_a_kind_without_thresholds_of_its_own_uses_those_of_its_scope(
    kind: str | None, place: dict[str, str], flag: float | None, review: float
) -> None:
    scope = POLICY.scope(**place).of(kind)
    assert (scope.flag, scope.review) == (flag, review)
    assert POLICY.verdict(review, kind=kind, **place) is Verdict.REVIEW
    assert POLICY.verdict(review - 0.01, kind=kind, **place) is Verdict.CLEAR
    assert POLICY.verdict(1.0, kind=kind, **place) is (Verdict.REVIEW if flag is None else Verdict.FLAGGED)


def test_the_file_keeps_them_readable(tmp_path: Path) -> None:
    POLICY.save(tmp_path / "p.toml")
    assert Policy.load(tmp_path / "p.toml") == POLICY
    text = (tmp_path / "p.toml").read_text()
    assert "[thresholds.kinds.copied_photo]\nflag = 0.6\nreview = 0.4\n" in text
    assert "by_kind = true" in text
    plain = replace(POLICY, kinds=Kinds(), scopes=(), promise=Promise(0.95, 0.9))
    plain.save(tmp_path / "plain.toml")
    assert not {"kinds", "by_kind"} & set((tmp_path / "plain.toml").read_text().replace("\n", " ").split())


def test_the_label_covers_thresholds_by_kind_but_not_what_they_rest_on() -> None:
    own = POLICY.kinds
    labels = {
        str(replace(POLICY, kinds=kinds))
        for kinds in (
            own,
            Kinds(),
            replace(own, copied_photo=Thresholds(0.61, 0.4)),
            replace(own, copied_photo=Thresholds(0.6, 0.41)),
            replace(own, copied_photo=Thresholds(0.6, 0.4, withdrawn="broken")),
            Kinds(same_print=own.copied_photo, lookalike=own.lookalike),
        )
    }
    assert len(labels) == 6
    assert str(replace(POLICY, kinds=replace(own, lookalike=Thresholds(None, 0.8)))) == str(POLICY)


def test_refuses_thresholds_of_a_kind_that_no_strength_can_meet() -> None:
    with pytest.raises(PolicyError, match="flag is 0.3 and review 0.4 for lookalike, expected -1 <= review <= flag"):
        replace(POLICY, kinds=Kinds(lookalike=Thresholds(0.3, 0.4)))
    with pytest.raises(PolicyError, match=r"review -2 for Acme same_print"):
        replace(POLICY, scopes=(Scope(0.9, 0.5, "Acme", kinds=Kinds(same_print=Thresholds(None, -2))),))


def test_the_lowest_review_threshold_is_that_of_any_kind() -> None:
    assert POLICY.lowest_review == 0.2
    assert replace(POLICY, scopes=()).lowest_review == 0.4


def test_a_withdrawn_kind_goes_to_review_and_the_others_stay() -> None:
    withdrawn = withdraw(POLICY, "17 of 40 were wrong", kind="copied_photo")
    assert withdrawn.verdict(0.99, kind="copied_photo") is Verdict.REVIEW
    assert withdrawn.verdict(0.99, kind="same_print") is Verdict.FLAGGED
    acme = withdraw(POLICY, "broken", brand="Acme", kind="same_print")
    assert acme.verdict(0.99, brand="Acme", kind="same_print") is Verdict.REVIEW
    assert acme.verdict(0.99, brand="Acme", kind="copied_photo") is Verdict.FLAGGED
    assert acme.kinds == POLICY.kinds
    everything = withdraw(POLICY, "broken")
    assert {everything.verdict(0.99, kind=kind) for kind in KINDS} == {Verdict.REVIEW}


def test_a_promise_by_kind_says_so() -> None:
    assert str(POLICY.promise) == "at least 90% of flags of each kind right, with 95% confidence"


def test_points_are_needed_where_kinds_have_thresholds_of_their_own() -> None:
    assert POLICY.needs_points and not replace(POLICY, kinds=Kinds(), scopes=()).needs_points
