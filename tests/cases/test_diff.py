"""What is new about cases since the last run."""

from __future__ import annotations

from decimal import Decimal

from flagged import row

from lookalike.cases.diff import compare_cases
from lookalike.cases.grouping import build_cases
from lookalike.cases.identity import case_id


def test_the_diff_says_what_is_new_gone_and_changed() -> None:
    old = build_cases([row("L1", "a"), row("L2", "b"), row("L3", "c")]).cases
    new = build_cases([row("L1", "a"), row("L9", "b", 12.0), row("L4", "d")], previous=old).cases
    diff = compare_cases(old, new)
    assert ([case.sellers for case in diff.new], [case.sellers for case in diff.gone]) == ([("d",)], [("c",)])
    (change,) = diff.changed
    assert (change.id, change.listings_added, change.listings_gone) == (case_id("b"), ("L9",), ("L2",))
    assert change.sums == ({"EUR": Decimal("10.0")}, {"EUR": Decimal("12.0")})
    assert diff.unchanged == 1
