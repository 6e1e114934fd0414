"""Exact intervals, bounds and chances against sums of binomial coefficients, scipy and published values."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from lookalike.binomial import (
    Share,
    chance_of_at_least,
    chance_of_at_most,
    lower_bound,
    trials_needed,
    upper_bound,
)


def chance(counts: range, total: int, share: float) -> float:
    """The chance of one of these counts, summed term by term."""
    return sum(comb(total, k) * share**k * (1 - share) ** (total - k) for k in counts)


def test_a_share_has_the_interval_of_clopper_and_pearson() -> None:
    # by definition: at the ends 2.5 % remain for a count as high, or as low
    share = Share.of(7, 40)
    assert share.value == 7 / 40
    assert chance(range(7, 41), 40, share.low) == pytest.approx(0.025)
    assert chance(range(8), 40, share.high) == pytest.approx(0.025)
    assert (Share.of(0, 10).low, Share.of(10, 10).high) == (0, 1)
    nothing = Share.of(0, 0)
    assert np.isnan(nothing.value)
    assert (nothing.low, nothing.high) == (0, 1)


@pytest.mark.parametrize(("count", "total"), [(0, 1), (1, 1), (1, 8), (5, 5), (40, 100), (3, 5000), (4095, 4096)])
def test_the_interval_is_that_of_scipy(count: int, total: int) -> None:
    expected = binomtest(count, total).proportion_ci(0.95, method="exact")
    assert (Share.of(count, total).low, Share.of(count, total).high) == pytest.approx(tuple(expected), abs=1e-9)


@pytest.mark.parametrize(("count", "total"), [(-1, 3), (4, 3)])
def test_refuses_more_than_there_are(count: int, total: int) -> None:
    with pytest.raises(ValueError, match="expected 0 <= count <= total"):
        Share.of(count, total)
    with pytest.raises(ValueError, match="expected 0 <= count <= total"):
        upper_bound([1, count], [3, total], confidence=0.95)


def test_one_sided_bounds_leave_the_rest_of_the_confidence() -> None:
    counts, totals = np.array([0, 1, 20, 29]), np.array([29, 29, 40, 29])
    low, high = lower_bound(counts, totals, confidence=0.9), upper_bound(counts, totals, confidence=0.9)
    assert (low[0], high[3]) == (0, 1)
    assert low[3] == pytest.approx(0.1 ** (1 / 29)), "29 of 29 have a chance of share ** 29"
    assert high[0] == pytest.approx(1 - 0.1 ** (1 / 29))
    assert chance(range(20, 41), 40, low[2]) == pytest.approx(0.1)
    assert chance(range(21), 40, high[2]) == pytest.approx(0.1)
    assert chance(range(2), 29, high[1]) == pytest.approx(0.1)


def test_chances_are_sums_of_binomial_terms() -> None:
    counts = np.arange(13)
    most, least = chance_of_at_most(counts, 12, 0.3), chance_of_at_least(counts, 12, 0.3)
    assert most == pytest.approx([chance(range(count + 1), 12, 0.3) for count in counts])
    assert least == pytest.approx([chance(range(count, 13), 12, 0.3) for count in counts])


@pytest.mark.parametrize(("share", "misses", "needed"), [(0.9, 0, 29), (0.95, 0, 59), (0.9, 1, 46), (0.95, 2, 124)])
def test_trials_needed_are_those_of_the_exact_binomial(share: float, misses: int, needed: int) -> None:
    assert trials_needed(share, 0.95, misses) == needed
    # by hand: 0.9^29 = 0.0471 and 0.9^28 = 0.0523; 0.95^59 = 0.0485 and 0.95^58 = 0.0510
    assert binom.cdf(misses, needed, 1 - share) <= 0.05 < binom.cdf(misses, needed - 1, 1 - share)


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.95, 0.999])
@pytest.mark.parametrize("misses", [0, 3, 40])
@pytest.mark.parametrize("share", [0.2, 0.9, 0.999])
def test_one_trial_fewer_is_never_enough(share: float, misses: int, confidence: float) -> None:
    needed = trials_needed(share, confidence, misses)
    assert binom.cdf(misses, needed, 1 - share) <= 1 - confidence
    assert needed == misses + 1 or binom.cdf(misses, needed - 1, 1 - share) > 1 - confidence


def test_a_chance_that_is_met_exactly_is_enough() -> None:
    # 0.5 ** 2 is the 0.25 that a confidence of 0.75 leaves
    assert trials_needed(0.5, 0.75) == 2
