"""Floods against values worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from math import comb
from typing import Any

import pytest
from scipy.stats import binomtest
from watched import finding

from lookalike.thresholds.floods import find_floods
from lookalike.thresholds.observed import observe


def listings(count: int, hits: Mapping[str, int]) -> Any:
    rows = [finding(i, verdict="clear", reference_id="other") for i in range(count - sum(hits.values()))]
    for name, number in hits.items():
        rows += [finding(i, verdict="flagged" if i % 2 else "review", reference_id=name) for i in range(number)]
    return observe(rows)


def test_a_reference_with_far_more_hits_is_a_flood() -> None:
    """By hand: 4 of 2,000 listings before, 30 of 1,000 now, 15 times the rate; of 2 references hit, p is doubled."""
    before, now = listings(2000, {"a": 4, "b": 20}), listings(1000, {"a": 30, "b": 12})
    # the average of the 3 references named before had 8 hits, more than a's own 4
    (flood,) = find_floods(before, now)
    assert (flood.reference_id, flood.hits, flood.hits_before) == ("a", 30, 4)
    assert (flood.per_thousand, flood.per_thousand_before) == (30, 2)
    assert flood.factor == pytest.approx(30 / 1000 / (8 / 2000))
    p = sum(comb(38, k) * 2 ** (38 - k) for k in range(30, 39)) / 3**38
    assert flood.p == pytest.approx(2 * p)
    assert flood.p == pytest.approx(2 * binomtest(30, 38, 1 / 3, alternative="greater").pvalue)


def test_a_reference_never_hit_before_is_held_to_the_average_one() -> None:
    before = listings(2000, {"a": 10, "b": 10})
    assert [flood.reference_id for flood in find_floods(before, listings(2000, {"new": 40}))] == ["new"]
    assert find_floods(before, listings(2000, {"new": 12})) == ()


def test_a_flood_takes_a_count_a_factor_and_significance() -> None:
    before = listings(20_000, {f"r{i}": 1 for i in range(50)})
    assert find_floods(before, listings(2000, {"r1": 9})) == ()
    assert len(find_floods(before, listings(2000, {"r1": 10}))) == 1
    assert find_floods(listings(1000, {"a": 400}), listings(1000, {"a": 800})) == ()
    assert find_floods(listings(30, {"a": 2}), listings(40, {"a": 10})) == ()


def test_unreadable_listings_are_not_counted_and_an_empty_table_floods_nothing() -> None:
    none = observe([finding(i, verdict="unreadable", reference_id=None, similarity=None) for i in range(5)])
    assert none.listings == 0
    assert find_floods(none, listings(100, {"a": 50})) == ()
