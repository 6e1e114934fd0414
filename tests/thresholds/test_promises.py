"""Which promises are broken, after which verdict, and that no more are called so than the corrected level allows."""

from __future__ import annotations

from datetime import date

import numpy as np
from watched import DAY, POLICY, flags

from lookalike.binomial import lower_bound
from lookalike.policy.policy import Policy
from lookalike.policy.terms import Evidence, Promise, Scope
from lookalike.thresholds.e_values import log_evidence
from lookalike.thresholds.observed import ReviewedFlag
from lookalike.thresholds.promises import check_promises


def test_a_promise_is_broken_for_all_or_where_a_scope_has_its_own() -> None:
    everything, acme = check_promises(flags((200, 0), brand="Other") + flags((60, 14)), POLICY)
    assert (everything.brand, everything.reviewed, everything.wrong) == (None, 260, 14)
    assert (acme.brand, acme.reviewed, acme.wrong, acme.broken) == ("Acme", 60, 14, True)
    assert acme.p < 0.025


def test_a_borrowed_promise_counts_only_over_all() -> None:
    places = [check.brand for check in check_promises(flags((60, 14), brand="Beta"), POLICY)]
    assert places == [None, "Acme"]


def test_says_after_which_verdict_and_for_which_stretch() -> None:
    days = [date(2026, 11, 1)] * 1000 + [date(2026, 11, 20)] * 50
    stream = [ReviewedFlag(i < 1000 and i != 10, "Acme", day=day) for i, day in enumerate(days)]
    (check,) = check_promises(stream, Policy("one", 0.8, 0.7, promise=Promise(0.95, precision=0.95)))
    evidence = log_evidence(np.array([not flag.right for flag in stream]), 0.95)
    after = int(np.flatnonzero(evidence >= np.log(20))[0]) + 1
    assert (check.raised_after, check.raised_on, check.since) == (after, days[-1], days[-1])
    assert (check.stretch_reviewed, check.stretch_wrong) == (50, 50)
    assert check.reason(DAY) == (
        "2026-11-24: 50 of 50 reviewed flags since 2026-11-20 were wrong, promised at most 5 %"
    )


def test_holm_asks_the_most_of_the_strongest_and_stops_at_the_first_that_lacks_it() -> None:
    """Both promises are looked at on the same verdicts, so have the same p; the first needs alpha / 2, then alpha."""
    for alpha in (0.05, 1e-3, 1e-5):
        checks = check_promises(flags((20, 5)), POLICY, alpha=alpha)
        assert checks[0].p == checks[1].p
        assert {check.broken for check in checks} == {checks[0].p <= alpha / 2}
    p = check_promises(flags((20, 5)), POLICY)[0].p
    mixed = flags((20, 5)) + flags((400, 0), brand="Other")
    everything, acme = check_promises(mixed, POLICY, alpha=2.01 * p)
    assert (everything.broken, acme.broken) == (True, True)
    assert not any(check.broken for check in check_promises(mixed, POLICY, alpha=1.99 * p))
    shared = [ReviewedFlag(True, "Other") for _ in range(40)] + flags((20, 5))
    weak, strong = check_promises(shared, POLICY)
    between = check_promises(shared, POLICY, alpha=2.01 * strong.p)
    assert weak.p > 2.01 * strong.p
    assert [check.broken for check in between] == [False, True]
    assert strong.p <= 0.75 * weak.p
    assert all(check.broken for check in check_promises(shared, POLICY, alpha=1.5 * weak.p))


def test_without_a_promised_precision_nothing_is_tested() -> None:
    for promise in (None, Promise(0.95, false_flags=0.01)):
        assert check_promises(flags((60, 60)), Policy("none", 0.8, 0.7, promise=promise)) == ()


def test_says_how_many_more_right_flags_show_the_promise_anew() -> None:
    flags = [ReviewedFlag(right=at > 0, brand="Acme") for at in range(30)]
    policy = Policy("p", 0.8, 0.7, scopes=(Scope(0.85, 0.7, brand="Acme", evidence=Evidence("Acme", 300)),),
                    promise=Promise(0.95, precision=0.95))  # fmt: skip
    everywhere, acme = check_promises(flags, policy)
    assert (everywhere.needed, acme.needed) == (63, 63)  # 93 with one error show 95 % (Clopper and Pearson)
    assert float(lower_bound(92, 93, confidence=0.95)) >= 0.95 > float(lower_bound(91, 92, confidence=0.95))
    enough = [ReviewedFlag(right=True, brand="Acme") for _ in range(59)]
    assert [check.needed for check in check_promises(enough, policy)] == [0, 0]
    assert [check.needed for check in check_promises(enough[:58], policy)] == [1, 1]
