"""Which verdicts count, in which order, and what they say about the flags."""

from __future__ import annotations

from datetime import date
from typing import Any

from watched import DAY, POLICY, finding

from lookalike.tables.labels import Review
from lookalike.thresholds.observed import judge_flags, observe


def judged(*reviews: Review, **values: Any) -> Any:
    rows = [finding(i, **values) for i in range(5)]
    return judge_flags(reviews, observe(rows, asked={f"L{i}" for i in range(5)}), policy=POLICY)


def test_judges_flags_in_the_order_of_their_days_then_of_the_table() -> None:
    days = (date(2026, 11, 3), date(2026, 11, 1), date(2026, 11, 1), None)
    rights = (True, False, True, False)
    result = judged(
        *(Review(f"L{i}", right, None, day) for i, (right, day) in enumerate(zip(rights, days, strict=True)))
    )
    assert [(flag.day, flag.right) for flag in result.flags] == [
        (days[3], False), (days[1], False), (days[2], True), (days[0], True)
    ]  # fmt: skip
    assert result.flags[0].brand == "Acme"


def test_the_last_verdict_on_a_listing_counts_in_the_place_of_the_first() -> None:
    result = judged(Review("L0", True), Review("L1", True), Review("L0", False, "p1"))
    assert [flag.right for flag in result.flags] == [False, True]
    (flag,) = judged(Review("L0", True, None, date(2026, 11, 1)), Review("L0", False, None, DAY)).flags
    assert (flag.right, flag.day) == (False, date(2026, 11, 1))


def test_a_look_alike_of_another_product_only_is_a_wrong_flag() -> None:
    result = judged(
        Review("L0", True, "p2"), Review("L1", True, "p1"), Review("L1", True, "p2"), Review("L2", False, "p2")
    )
    assert [flag.right for flag in result.flags] == [False, True]
    assert result.other_product == 2
    assert [flag.right for flag in judged(Review("L0", True, "p2"), Review("L0", True, "p1")).flags] == [True]


def test_a_look_alike_of_the_same_product_id_of_another_brand_is_a_wrong_flag() -> None:
    reviews = (Review(f"L{i}", True, "p1", DAY, brand) for i, brand in enumerate(("Acme", "Zeta", None)))
    assert [flag.right for flag in judged(*reviews).flags] == [True, False, True]


def test_only_flags_of_the_policy_itself_count_and_the_others_are_counted() -> None:
    review = Review("L0", False)
    assert judged(review, policy="mine@00000000").other_policy == 1
    assert judged(review, verdict="review").not_flagged == 1
    assert judged(Review("L9", False)).unknown == 1
    assert not judged(review, policy="mine@00000000").flags
