"""The promises hold where the truth is known, and the numbers are those of the exact binomial."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, norm

from lookalike.thresholds.guarantees import (
    Kept,
    Shortfall,
    budget_threshold,
    false_flag_threshold,
    precision_threshold,
    shortlist,
)

SHARE, RIGHT, WRONG = 0.3, norm(0.8, 0.1), norm(0.55, 0.08)


def draw(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    lookalike = rng.random(count) < SHARE
    return np.where(lookalike, RIGHT.rvs(count, random_state=rng), WRONG.rvs(count, random_state=rng)), lookalike


def true_precision(threshold: float) -> float:
    right = SHARE * RIGHT.sf(threshold)
    return float(right / (right + (1 - SHARE) * WRONG.sf(threshold)))


def test_eight_labels_promise_nothing_and_say_how_many_are_missing() -> None:
    assert precision_threshold(np.linspace(0.7, 0.9, 8), np.ones(8), precision=0.9, confidence=0.95) == Shortfall(21)
    assert precision_threshold([], [], precision=0.9, confidence=0.95) == Shortfall(29)


def test_twenty_nine_right_flags_promise_nine_in_ten() -> None:
    kept = precision_threshold(np.linspace(0.7, 0.9, 29), np.ones(29), precision=0.9, confidence=0.95)
    assert kept == Kept(0.7, 29, 0)
    assert precision_threshold(np.linspace(0.7, 0.9, 28), np.ones(28), precision=0.9, confidence=0.95) == Shortfall(1)


def test_what_is_missing_after_an_early_error_are_right_flags_above_it() -> None:
    similarity, right = np.linspace(0.9, 0.7, 40), np.ones(40, bool)
    right[3] = False
    assert precision_threshold(similarity, right, precision=0.9, confidence=0.95) == Shortfall(29 - 3)
    more, all_right = np.append(similarity, np.linspace(0.95, 0.91, 26)), np.append(right, np.ones(26, bool))
    assert isinstance(precision_threshold(more, all_right, precision=0.9, confidence=0.95), Kept)
    assert precision_threshold(more[:-1], all_right[:-1], precision=0.9, confidence=0.95) == Shortfall(1)


def test_the_precision_promised_is_broken_in_few_of_many_draws_and_the_naive_one_in_many() -> None:
    rng = np.random.default_rng(0)
    broken = naive = 0
    for _ in range(200):
        similarity, lookalike = draw(400, rng)
        kept = precision_threshold(similarity, lookalike, precision=0.9, confidence=0.95)
        assert isinstance(kept, Kept | Shortfall)
        broken += isinstance(kept, Kept) and true_precision(kept.threshold) < 0.9
        order = np.argsort(-similarity)
        precision = np.cumsum(lookalike[order]) / np.arange(1, 401)
        naive += true_precision(similarity[order][np.flatnonzero(precision >= 0.9)[-1]]) < 0.9
    assert broken <= 16, "5 % of 200 are 10; 16 or more have a probability of 0.04"
    assert naive > 60


def test_the_kept_threshold_counts_what_lies_at_it_or_above() -> None:
    similarity, lookalike = draw(2000, np.random.default_rng(1))
    kept = precision_threshold(similarity, lookalike, precision=0.9, confidence=0.95)
    assert isinstance(kept, Kept)
    above = similarity >= kept.threshold
    assert (kept.count, kept.errors) == (above.sum(), (above & ~lookalike).sum())
    assert binom.cdf(kept.errors, kept.count, 0.1) <= 0.05


def test_a_cap_on_false_flags_holds_in_all_but_few_draws() -> None:
    rng = np.random.default_rng(2)
    broken = 0
    for _ in range(300):
        kept = false_flag_threshold(WRONG.rvs(500, random_state=rng), share=0.02, confidence=0.95)
        assert isinstance(kept, Kept)
        broken += WRONG.sf(kept.threshold) > 0.02
    assert broken <= 22, "5 % of 300 are 15; 23 or more have a probability of 0.03"


def test_a_cap_needs_as_many_unrelated_ones_as_the_binomial_says() -> None:
    # by hand: 0.99^299 = 0.0495, 0.99^298 = 0.0500 and a little
    assert false_flag_threshold(np.linspace(0, 0.5, 298), share=0.01, confidence=0.95) == Shortfall(1)
    assert false_flag_threshold(np.linspace(0, 0.5, 299), share=0.01, confidence=0.95) == Kept(0.505, 0, 0)


def test_look_alikes_among_the_unrelated_only_make_the_cap_more_careful() -> None:
    unrelated = WRONG.rvs(1000, random_state=3)
    clean = false_flag_threshold(unrelated, share=0.02, confidence=0.95)
    mixed = false_flag_threshold(np.append(unrelated, np.full(10, 0.95)), share=0.02, confidence=0.95)
    assert isinstance(clean, Kept) and isinstance(mixed, Kept) and mixed.threshold >= clean.threshold


def test_a_shortlist_holds_no_larger_share_of_false_ones_than_asked_for_on_average() -> None:
    rng = np.random.default_rng(5)
    shares, found = [], []
    for _ in range(100):
        (known, right), (new, truth) = draw(400, rng), draw(300, rng)
        chosen = shortlist(new, labelled=known, lookalike=right, false_share=0.1)
        shares.append((chosen & ~truth).sum() / max(1, chosen.sum()))
        found.append((chosen & truth).sum() / truth.sum())
    assert np.mean(shares) <= 0.1
    assert np.mean(found) > 0.7
    assert shortlist([], labelled=known, lookalike=right, false_share=0.1).shape == (0,)


def test_a_budget_is_not_exceeded_even_by_ties() -> None:
    similarity = np.repeat([0.5, 0.6, 0.7], [900, 90, 10])
    threshold = budget_threshold(similarity, share=0.05)
    assert threshold == 0.605 and (similarity >= threshold).mean() <= 0.05


def test_refuses_arrays_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="expected two of the same"):
        precision_threshold([0.1, 0.2], [True], precision=0.9, confidence=0.95)
