"""How brands differ, against brute force and values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike.thresholds.brands import brand_figures, opis, spread

Queries = tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], NDArray[np.str_]]


def queries(count: int = 600, *, seed: int = 0) -> Queries:
    """Similarity with many ties, correct, related and brand of random queries."""
    rng = np.random.default_rng(seed)
    related = rng.random(count) < 0.4
    similarity = np.round(np.where(related, rng.normal(0.7, 0.1, count), rng.normal(0.5, 0.1, count)), 2)
    return similarity, related & (rng.random(count) < 0.8), related, rng.choice(["Acme", "Brio", "Corso"], count)


def test_figures_of_each_brand_at_one_threshold() -> None:
    figures = brand_figures(
        [0.8, 0.7, 0.9, 0.8, 0.6, 0.9],
        [True, True, False, False, False, True],
        related=[True, True, True, False, False, True],
        brand=["Acme", "Acme", "Acme", "Acme", "Acme", "Brio"],
        threshold=0.8,
    )
    acme, brio = figures
    assert (acme.brand, brio.brand) == ("Acme", "Brio")
    assert (acme.recall.count, acme.recall.total) == (1, 3)  # one right at the threshold, one below it, one wrong
    assert (acme.false_flags.count, acme.false_flags.total) == (1, 2)
    assert (brio.recall.value, brio.false_flags.total) == (1, 0)


def test_brands_add_up_to_all() -> None:
    similarity, correct, related, brand = queries()
    figures = brand_figures(similarity, correct, related=related, brand=brand, threshold=0.6)
    assert sum(each.recall.count for each in figures) == (correct & (similarity >= 0.6)).sum()
    assert sum(each.false_flags.count for each in figures) == (~related & (similarity >= 0.6)).sum()


def test_the_spread_of_brands_without_a_value_is_unknown() -> None:
    assert spread([float("nan")]).count == 0
    assert np.isnan(spread([]).deviation)
    apart = spread([0.2, float("nan"), 0.4, 0.9])
    assert (apart.lowest, apart.median, apart.highest) == (0.2, 0.4, 0.9)
    assert apart.deviation == pytest.approx(np.std([0.2, 0.4, 0.9]))


def brute_force_opis(data: Queries, low: float, high: float, steps: int) -> float:
    similarity, correct, related, brand = data
    total = 0.0
    middles = low + (np.arange(steps) + 0.5) * (high - low) / steps
    for threshold in middles:
        utility = []
        for name in np.unique(brand):
            mine = brand == name
            tar = (correct[mine & related] & (similarity[mine & related] >= threshold)).mean()
            trr = (similarity[mine & ~related] < threshold).mean()
            utility.append(2 * tar * trr / (tar + trr) if tar + trr else 0.0)
        total += float(np.var(utility))
    return total / steps


def test_inconsistency_is_the_variance_of_utility_over_the_calibration_range() -> None:
    data = queries(900, seed=1)
    similarity, correct, related, brand = data
    found = opis(similarity, correct, related=related, brand=brand, fpir=(0.01, 0.2))
    # the range, by brute force: the lowest thresholds that hit at most these shares
    candidates = np.append(np.unique(similarity), np.inf)
    for edge, share in ((found.lowest, 0.2), (found.highest, 0.01)):
        hit = [(similarity[~related] >= threshold).mean() for threshold in candidates]
        assert (similarity[~related] >= edge).mean() == max(h for h in hit if h <= share)
        assert (similarity[~related] >= edge - 1e-9).mean() > share
    assert found.score == pytest.approx(brute_force_opis(data, found.lowest, found.highest, 20_000), rel=1e-3)
    assert found.score == pytest.approx(np.mean(list(found.by_brand.values())))


def test_inconsistency_of_a_small_example() -> None:
    # one threshold, just above 0.5 (no unrelated may be hit): Acme is found, Brio is not; utilities 1 and 0
    similarity = [0.9] * 5 + [0.4] * 5 + [0.5] * 10
    related, brand = [True] * 10 + [False] * 10, ["Acme"] * 5 + ["Brio"] * 5 + ["Acme"] * 5 + ["Brio"] * 5
    found = opis(similarity, related, related=related, brand=brand, fpir=(0.0, 0.0))
    assert found.score == pytest.approx(0.25)
    assert found.by_brand == pytest.approx({"Acme": 0.25, "Brio": 0.25})


def test_brands_that_behave_alike_are_consistent_and_shifted_ones_are_not() -> None:
    similarity, correct, related, _ = queries(500)
    twice = (np.tile(correct, 2), np.tile(related, 2), np.repeat(["Acme", "Brio"], 500))
    alike = opis(np.tile(similarity, 2), twice[0], related=twice[1], brand=twice[2])
    apart = opis(np.concatenate([similarity, similarity - 0.1]), twice[0], related=twice[1], brand=twice[2])
    assert alike.score == pytest.approx(0, abs=1e-12)
    assert apart.score > 0.005


def test_inconsistency_of_too_few_queries_is_unknown() -> None:
    similarity, correct, related, brand = queries(20)
    found = opis(similarity, correct, related=related, brand=brand, least=50)
    assert np.isnan(found.score)
    assert found.by_brand == {}


def test_refuses_queries_without_a_brand_and_a_range_that_descends() -> None:
    with pytest.raises(ValueError, match="expected one each"):
        brand_figures([0.1], [True], related=[True], brand=[], threshold=0.5)
    with pytest.raises(ValueError, match="range of false hits"):
        opis([0.1], [True], related=[True], brand=["Acme"], fpir=(0.2, 0.1))
