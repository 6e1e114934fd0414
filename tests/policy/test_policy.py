"""A policy decides by its scopes, is named by what it judges with, and reads back as it was saved."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from toy import unit_vectors

from lookalike.errors import PolicyError
from lookalike.policy.binding import bind_policy
from lookalike.policy.cohort import Cohort
from lookalike.policy.fusion import Fusion
from lookalike.policy.policy import Policy, parse, withdraw
from lookalike.policy.shipped import default_policy, default_policy_text, shipped_policies
from lookalike.policy.terms import Evidence, Promise, Reach, Scope
from lookalike.records import Verdict
from lookalike.rights.claims import Claims

FULL = Policy(
    name="full",
    flag=0.8,
    review=0.6,
    weights_sha256="ab" * 32,
    index_digest="cd" * 32,
    scopes=(
        Scope(0.9, 0.6, brand='Brand "A" = [x]', evidence=Evidence('Brand "A" = [x]', 200, 60, 1)),
        Scope(0.7, 0.6, brand="B", territory="DE", withdrawn="2026-11-24: 5 of 20 were wrong"),
        Scope(None, 0.5, brand="C", evidence=Evidence("all", 8, more_needed=21)),
    ),
    promise=Promise(0.95, precision=0.9, false_flags=0.01),
    evidence=Evidence("all", 500, 120, 3, 0, date(2026, 1, 1), date(2026, 2, 1)),
    created=date(2026, 11, 24),
    expires=date(2027, 2, 22),
    about="Tuned\non labels.",
    claims=Claims(lookalike=("design",), unfair_competition_in=()),
)


def test_reads_back_what_it_wrote(tmp_path: Path) -> None:
    FULL.save(tmp_path / "p.toml")
    assert Policy.load(tmp_path / "p.toml") == FULL
    assert str(Policy.load(tmp_path / "p.toml")) == str(FULL) == "full@43244e78"


def test_a_promise_says_how_surely_its_index_is_searched(tmp_path: Path) -> None:
    searched = replace(FULL, promise=replace(FULL.promise, search_agreeing=4093, search_probes=4096))
    searched.save(tmp_path / "p.toml")
    assert Policy.load(tmp_path / "p.toml") == searched
    assert str(searched.promise).endswith("by a search that decides 4,093 of 4,096 probes as an exact one")
    assert "search" not in str(FULL.promise)


def test_its_label_changes_with_anything_that_it_judges_with() -> None:
    fused = {"fusion": Fusion(0, 1, 1, 1, 1), "reach": Reach(0.5)}
    background = unit_vectors(3, 8)
    changes = [{"flag": 0.81}, {"flag": None}, {"review": 0.59}, {"scopes": FULL.scopes[:2]}, {"claims": Claims()},
               {"scopes": (replace(FULL.scopes[0], territory="DE"), *FULL.scopes[1:])}, {"withdrawn": "broken"},
               {"claims": replace(FULL.claims, unknown_territory="unprotected")}, {"weights_sha256": "ac" * 32},
               {"reach": Reach(0.5)}, {"reach": Reach(photos=3)}, fused,
               {**fused, "fusion": Fusion(0, 1, 1, 1, 2)}, {"cohort": Cohort(background)},
               {"cohort": Cohort(background[:2])}, {"cohort": Cohort(background, share=0.4)}]  # fmt: skip
    assert len({str(FULL), *(str(replace(FULL, **change)) for change in changes)}) == len(changes) + 1


def test_what_it_rests_on_is_not_part_of_its_label() -> None:
    fused = replace(FULL, fusion=Fusion(0, 1, 1, 1, 1, labels=100), reach=Reach(0.5))
    renewed = replace(fused, about="new", created=date(2026, 12, 1), expires=None, index_digest="ef" * 32, promise=None,
                      evidence=None, scopes=tuple(replace(scope, evidence=None) for scope in reversed(fused.scopes)),
                      fusion=replace(fused.fusion, labels=200))  # fmt: skip
    assert str(renewed) == str(fused)
    assert bind_policy(FULL, weights_sha256="ab" * 32, index_digest="ef" * 32).made(str(FULL))
    assert str(Policy("mine", 1, 0)) == str(Policy("mine", 1.0, 0.0)), "a whole number comes back from a file as 1.0"
    reasons = [replace(FULL, withdrawn=reason) for reason in ("2 of 5 were wrong", "3 of 5 were wrong")]
    assert str(reasons[0]) == str(reasons[1]) != str(FULL)


def test_knows_the_findings_that_it_made() -> None:
    assert FULL.made(str(FULL))
    assert FULL.made("full@7396064a"), "older findings carry a hash of the whole file"
    assert not FULL.made("full@00000000") and not FULL.made(None)
    assert not replace(FULL, flag=0.81).made(str(FULL)) and not replace(FULL, name="other").made(str(FULL))


def test_a_scope_is_found_by_brand_and_territory() -> None:
    assert FULL.scope("B", "DE").flag == 0.7
    assert FULL.scope("B", "FR").flag == 0.8, "a brand without thresholds there has the policy's"
    assert FULL.scope('Brand "A" = [x]', "DE").flag == 0.9


def test_without_a_flag_or_with_it_withdrawn_a_person_looks() -> None:
    assert FULL.verdict(0.99, brand="C") is Verdict.REVIEW
    assert FULL.verdict(0.49, brand="C") is Verdict.CLEAR
    assert FULL.verdict(0.99, brand="B", territory="DE") is Verdict.REVIEW
    taken = withdraw(FULL, "broken")
    assert {scope.withdrawn for scope in (taken.scope(), *taken.scopes)} == {"broken"}
    one = withdraw(FULL, "broken", brand='Brand "A" = [x]')
    assert (one.scope().withdrawn, one.scopes[0].withdrawn) == (None, "broken")
    german = withdraw(replace(FULL, scopes=(Scope(0.9, 0.6, territory="DE"), *FULL.scopes)), "broken", territory="DE")
    assert [scope.withdrawn for scope in (german.scope(), *german.scopes)][:3] == [None, "broken", None]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flag": 0.5}, "flag is 0.5 and review 0.6, expected -1 <= review <= flag <= 1"),
        ({"flag": 1.5}, "flag is 1.5 and review 0.6, expected -1 <= review <= flag <= 1"),
        ({"flag": float("inf")}, "flag is inf and review 0.6, expected"),
        ({"review": float("nan")}, "flag is 0.8 and review nan, expected"),
        ({"scopes": (Scope(0.4, 0.5, "Acme", "DE"),)}, "flag is 0.4 and review 0.5 for Acme DE, expected -1 <="),
        ({"scopes": (Scope(0.9, 0.5, "A"), Scope(0.8, 0.5, "A"))}, "two scopes have the same brand and territory"),
        ({"scopes": (Scope(0.9, 0.5),)}, "two scopes have the same brand and territory"),
        ({"fusion": Fusion(0, 1, 1, 1, 1), "reach": Reach(0.5, references=0)}, "has 0 references to compare with"),
        ({"fusion": Fusion(0, 1, 1, 1, 1), "reach": Reach(0.5), "review": -0.1}, "expected 0 <= review <= flag <= 1"),
        ({"cohort": Cohort(unit_vectors(4)), "flag": 101.0}, "expected -100 <= review <= flag <= 100"),
    ],
)
def test_refuses_thresholds_that_can_not_decide(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        replace(FULL, **{"scopes": (), **changes})
    assert message in str(caught.value)


@pytest.mark.parametrize(("agreeing", "probes"), [(1, None), (None, 1), (2, 1)])
def test_refuses_a_promise_of_more_agreement_than_probes(agreeing: int | None, probes: int | None) -> None:
    with pytest.raises(PolicyError, match="expected neither or both"):
        Promise(0.95, 0.9, search_agreeing=agreeing, search_probes=probes)


def test_the_shipped_policy_is_for_the_shipped_weights() -> None:
    from lookalike.model.loading import load_encoder

    policy = default_policy(load_encoder("embedded", device="cpu").spec.weights_sha256)
    assert policy is not None and policy.flag is not None
    assert 0 < policy.review < policy.flag < 1
    assert default_policy("0" * 64) is None and default_policy_text("0" * 64) is None
    assert policy in shipped_policies()
    text = default_policy_text(policy.weights_sha256 or "")
    assert text is not None and parse(text, source="p.toml", folder=None) == policy
    assert str(policy) == "embedded-default@9129ab48", "findings name the policy that they were made by"


def test_policies_that_shipped_for_earlier_weights_still_judge_their_findings() -> None:
    earlier = default_policy("bc6688742e2a8d8ecb74cf5250839682f83472dc041da43944b79eb9fcf2be91")
    assert earlier is not None and str(earlier) == "embedded-default@b9ab868b"
    assert earlier.made("embedded-default@977c9934"), "older findings carry a hash of the whole file"
