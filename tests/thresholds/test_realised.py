"""Realised against promised error, counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lookalike.policy.policy import Policy, withdraw
from lookalike.policy.terms import Evidence, Promise, Scope
from lookalike.thresholds.realised import realised_promise

OWN, BORROWED = Evidence("Acme", 100, 40), Evidence("all", 3, more_needed=20)
POLICY = Policy(
    "autumn",
    flag=0.8,
    review=0.5,
    promise=Promise(0.95, precision=0.9, false_flags=0.01),
    scopes=(
        Scope(0.9, 0.5, "Acme", evidence=OWN),
        Scope(0.7, 0.5, "Acme", "DE", evidence=OWN),
        Scope(0.8, 0.5, "Brio", evidence=BORROWED),
    ),
)
#             Acme anywhere: 0.9     Acme in DE: 0.7      Brio: 0.8          others: 0.8
SIMILARITY = [0.95, 0.9, 0.9, 0.85, 0.75, 0.70, 0.65, 0.85, 0.80, 0.75, 0.95, 0.80, 0.79]
CORRECT = [True, True, False, True, True, False, True, True, False, False, True, False, True]
RELATED = [True, True, True, True, True, False, True, True, False, False, True, False, True]
BRAND = ["Acme"] * 7 + ["Brio"] * 3 + ["Corso"] * 3
TERRITORY = ["FR", None, "FR", "FR", "DE", "DE", "DE", "DE", None, "FR", "DE", None, "FR"]


def counts(policy: Policy) -> dict[str, tuple[int, int, int, int]]:
    """Right flags, flags, unrelated flagged and unrelated, of all and by scope."""
    found = realised_promise(SIMILARITY, CORRECT, BRAND, related=RELATED, policy=policy, territory=TERRITORY)
    return {
        each.of: (each.precision.count, each.precision.total, each.false_flags.count, each.false_flags.total)
        for each in found
    }


def test_counts_what_each_scope_flags_at_its_own_threshold() -> None:
    assert counts(POLICY) == {
        "all": (5, 9, 3, 4),  # Acme 2 of 3, Acme in DE 1 of 2, Brio 1 of 2, Corso 1 of 2
        "Acme": (2, 3, 0, 0),
        "Acme in DE": (1, 2, 1, 1),
    }


def test_a_scope_that_borrows_its_thresholds_has_no_promise_of_its_own() -> None:
    assert "Brio" not in counts(POLICY)
    own = replace(POLICY, scopes=(Scope(0.8, 0.5, "Brio", evidence=replace(BORROWED, more_needed=0)),))
    assert counts(own)["Brio"] == (1, 2, 1, 2)


def test_what_was_withdrawn_flags_nothing_and_promises_nothing() -> None:
    assert counts(withdraw(POLICY, "too many errors")) == {"all": (0, 0, 0, 4)}


def test_without_territories_the_brand_decides() -> None:
    everything, acme, acme_in_germany = realised_promise(SIMILARITY, CORRECT, BRAND, related=RELATED, policy=POLICY)
    assert (acme.precision.count, acme.precision.total) == (2, 3)
    assert acme_in_germany.precision.total == 0
    assert (everything.errors, everything.precision.total) == (3, 7)


@pytest.mark.parametrize(("errors", "broken"), [(14, False), (20, True)])
def test_a_promise_is_broken_when_its_interval_excludes_it(errors: int, broken: bool) -> None:
    # of 100 flags: 86 right reach up to 0.92, 80 right to 0.87, and 0.9 was promised
    right = np.arange(100) >= errors
    (found,) = realised_promise(
        np.full(100, 0.9), right, ["Corso"] * 100, related=[True] * 100, policy=replace(POLICY, scopes=())
    )
    assert (found.errors, found.promised_precision, found.precision_broken) == (errors, 0.9, broken)
    assert (found.false_flags_broken, found.broken) == (False, broken)


def test_false_flags_are_held_against_their_own_promise() -> None:
    # 10 of 200 unrelated: the interval begins at 0.024, above the 0.01 that were promised
    similarity = np.where(np.arange(200) < 10, 0.9, 0.3)
    wrong = np.zeros(200, bool)
    policy = replace(POLICY, scopes=(), promise=Promise(0.95, false_flags=0.01))
    (found,) = realised_promise(similarity, wrong, ["Corso"] * 200, related=wrong, policy=policy)
    assert (found.false_flags.value, found.promised_precision) == (0.05, None)
    assert (found.precision_broken, found.false_flags_broken, found.broken) == (False, True, True)


def test_a_policy_without_a_promise_is_counted_and_not_judged() -> None:
    found = realised_promise(
        SIMILARITY, CORRECT, BRAND, related=RELATED, policy=replace(POLICY, promise=None), territory=TERRITORY
    )
    assert [(each.of, each.errors, each.promised_precision, each.broken) for each in found] == [("all", 4, None, False)]
