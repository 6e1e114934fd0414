"""One report of everything that is watched, and what is withdrawn after it."""

from __future__ import annotations

import numpy as np
import pytest
from watched import DAY, POLICY, finding

from lookalike.errors import TableError
from lookalike.policy.policy import Policy
from lookalike.tables.labels import Review
from lookalike.thresholds.monitor import monitor_policy, withdraw_broken


def test_withdraws_only_what_is_broken() -> None:
    rows = [finding(i, brand="Acme") for i in range(60)] + [finding(i, brand="Other") for i in range(60, 1000)]
    reviews = [Review(f"L{i}", lookalike=i >= 60 or i < 40) for i in [*range(60, 1000), *range(60)]]
    report = monitor_policy(rows, reviews[:940] + reviews[940:970], POLICY, day=DAY)
    assert not report.raised
    report = monitor_policy(rows, reviews, POLICY, day=DAY)
    broken = {check.brand for check in report.broken}
    assert "Acme" in broken
    withdrawn = withdraw_broken(POLICY, report)
    assert withdrawn.scope("Acme").withdrawn is not None
    assert (withdrawn.withdrawn is None) == (None not in broken)
    assert str(withdrawn) != str(POLICY)


def test_compares_the_normalised_similarity_where_the_policy_has_a_cohort() -> None:
    from lookalike.policy.cohort import Cohort

    policy = Policy("n", 2.0, 1.0, cohort=Cohort(np.eye(10, dtype=np.float32)))
    rows = [finding(i, normalised_similarity=i / 100) for i in range(300)]
    report = monitor_policy(rows, [], policy, before=rows, day=DAY)
    assert report.drift is not None
    assert (report.drift.column, report.drift.median_now) == ("normalised_similarity", pytest.approx(1.495))
    old = [{name: value for name, value in row.items() if name != "normalised_similarity"} for row in rows]
    report = monitor_policy(rows, [], policy, before=old, day=DAY)
    assert report.drift is not None
    assert report.drift.column == "similarity"


def test_refuses_to_compare_findings_of_two_encoders() -> None:
    with pytest.raises(TableError, match="come from encoder other and these from e; scan the earlier listings again"):
        monitor_policy([finding(1)], [], POLICY, before=[finding(1, encoder="other")])
