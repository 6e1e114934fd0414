"""A policy file says all that it decides by, reads back as it was, and refuses what it doesn't know."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from toy import unit_vectors

from lookalike.errors import PolicyError
from lookalike.policy.cohort import Cohort
from lookalike.policy.policy import Evidence, Policy, Promise, Scope, default_policy, withdraw
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
    assert str(Policy.load(tmp_path / "p.toml")) == str(FULL)


def test_a_promise_says_how_surely_its_index_is_searched(tmp_path: Path) -> None:
    searched = replace(FULL, promise=replace(FULL.promise, search_agreeing=4093, search_probes=4096))
    searched.save(tmp_path / "p.toml")
    assert Policy.load(tmp_path / "p.toml") == searched
    assert str(searched.promise).endswith("by a search that decides 4,093 of 4,096 probes as an exact one")
    assert "search" not in str(FULL.promise)


def test_its_name_changes_with_anything_that_it_says() -> None:
    changes = [{"flag": 0.81}, {"scopes": FULL.scopes[:2]}, {"expires": date(2027, 2, 23)}, {"index_digest": None},
               {"promise": Promise(0.95, precision=0.91)}, {"claims": Claims()},
               {"claims": replace(FULL.claims, unknown_territory="unprotected")}]  # fmt: skip
    assert len({str(FULL), *(str(replace(FULL, **change)) for change in changes)}) == len(changes) + 1


def test_reads_a_file_written_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text('name = "n"\n[thresholds]\nflag = 0.9\nreview = 0.5\n[encoder]\nweights_sha256 = "ab"\n')
    assert Policy.load(path) == Policy(name="n", flag=0.9, review=0.5, weights_sha256="ab")
    path.write_text(
        'name = "n"\n[thresholds]\nreview = 0.5\n[claims]\nlookalike = ["patent"]\nunfair_competition_in = []\n'
    )
    assert Policy.load(path).claims == Claims(lookalike=("patent",), unfair_competition_in=())


def test_a_scope_is_found_by_brand_and_territory() -> None:
    assert FULL.scope("B", "DE").flag == 0.7
    assert FULL.scope("B", "FR").flag == 0.8, "a brand without thresholds of its own there has the policy's"
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


def test_keeps_its_cohort_beside_it_and_refuses_another(tmp_path: Path) -> None:
    policy = replace(FULL, cohort=Cohort(unit_vectors(12), "s-norm", nearest=4), flag=3.5, scopes=())
    policy.save(tmp_path / "p.toml")
    loaded = Policy.load(tmp_path / "p.toml")
    assert loaded.cohort is not None and np.array_equal(loaded.cohort.vectors, unit_vectors(12))
    assert str(loaded) == str(policy)
    np.save(tmp_path / "p.cohort.npy", unit_vectors(12, seed=1))
    with pytest.raises(PolicyError, match="is not the one that the policy"):
        Policy.load(tmp_path / "p.toml")
    (tmp_path / "p.cohort.npy").unlink()
    with pytest.raises(PolicyError, match="can't be read"):
        Policy.load(tmp_path / "p.toml")


def test_a_cohort_is_never_unpickled(tmp_path: Path) -> None:
    replace(FULL, cohort=Cohort(unit_vectors(12)), scopes=()).save(tmp_path / "p.toml")
    np.save(tmp_path / "p.cohort.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(PolicyError, match="can't be read"):
        Policy.load(tmp_path / "p.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flag = ", "is no TOML"),
        ("a = " + "[" * 3000, "is no TOML"),
        ("flag = 0.9", "unknown entries flag"),
        ("[thresholds]\nflag = 0.9", "needs .thresholds. with flag and review"),
        ('[thresholds]\nflag = "0.9"\nreview = 0.5', "flag = '0.9'; needed a number"),
        ("[thresholds]\nflag = 0.5\nreview = 0.9", "needed -1 <= review <= flag <= 1"),
        ('[thresholds]\nflag = 0.9\nreview = 0.5\n[encoder]\nweights = "ab"', "known: name, weights_sha256"),
        ("[thresholds]\nflag = nan\nreview = 0.9", "needed a number"),
        ("[thresholds]\nreview = 0.5\nflg = 0.9", "unknown entries flg"),
        ("[thresholds]\nreview = 0.5\n[promise]\nconfidence = 95", "needed shares between 0 and 1"),
        ("[thresholds]\nreview = 0.5\n[promise]\nconfidence = 0.9\nsearch_probes = 9", "needed two whole numbers"),
        ("promise = {confidence = 0.9, search_agreeing = 2, search_probes = 1}\n[thresholds]\nreview = 0.5", "not the"),
        ('[thresholds]\nreview = 0.5\n[[scopes]]\nbrand = "A"', "a scope without review"),
        ("scopes = [1]\n[thresholds]\nreview = 0.5", "needed a table"),
        ('expires = "soon"\n[thresholds]\nreview = 0.5', "needed a day like 2026-12-31"),
        ('[thresholds]\nreview = 0.5\n[cohort]\nfile = "../x.npy"', "needed the name of a file beside the policy"),
        ("claims = 1\n[thresholds]\nreview = 0.5", "needed a table .claims."),
        ('[thresholds]\nreview = 0.5\n[claims]\nsameprint = ["design"]', "unknown entries sameprint; known: cop"),
        ('[thresholds]\nreview = 0.5\n[claims]\nsame_print = "design"', "= 'design'; needed a list of texts"),
        ('[thresholds]\nreview = 0.5\n[claims]\nsame_print = ["tm"]', "p.toml: .* has 'tm' as same_print; needed of"),
        ('[thresholds]\nreview = 0.5\n[[scopes]]\nbrand = "A"\nreview = 0.5\n' * 1
         + '[[scopes]]\nbrand = "A"\nreview = 0.6\n', "two entries for the same brand"),
    ],
)  # fmt: skip
def test_refuses_a_wrong_policy_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(PolicyError, match=message) as caught:
        Policy.load(tmp_path / "p.toml")
    assert "\n" not in str(caught.value)


def test_the_shipped_policy_is_for_the_shipped_weights() -> None:
    from lookalike.model.encoder import load_encoder

    policy = default_policy(load_encoder("embedded", device="cpu").spec.weights_sha256)
    assert policy is not None and policy.flag is not None
    assert 0 < policy.review < policy.flag < 1
    assert default_policy("0" * 64) is None
