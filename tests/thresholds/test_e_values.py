"""The sequential test against integration, enumeration and sums done by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import beta

from lookalike.thresholds.e_values import START_SCALE, likely_start, log_evidence, start_weights


def draw(chance: float, *shape: int, seed: int = 0) -> NDArray[np.bool_]:
    return np.asarray(np.random.default_rng(seed).random(shape) < chance)


def evidence_by_sums(wrong: list[int], mixed: Callable[[int, int], float]) -> float:
    """The evidence as a sum over every start, where `mixed` gives a likelihood ratio of errors and verdicts."""
    count = len(wrong)
    weights = [0.5 * 1000 / ((i + 1000) * (i + 1001)) for i in range(count)]
    weights[0] += 0.5
    ratios = [mixed(sum(wrong[first:]), count - first) for first in range(count)]
    return float(np.dot(weights, ratios)) + 1 - sum(weights)


def test_evidence_is_the_sum_over_error_shares_and_starts() -> None:
    wrong = [0, 1, 0, 0, 1, 1, 0, 1, 0, 0, 1, 1]
    above = float(beta.sf(0.05, 2, 18))  # of mean 0.1, twice the usual
    shares = beta.isf(above * (np.arange(12) + 0.5) / 12, 2, 18)

    def mixed(errors: int, count: int) -> float:
        return float(np.mean((shares / 0.05) ** errors * ((1 - shares) / 0.95) ** (count - errors)))

    expected = np.log(evidence_by_sums(wrong, mixed))
    assert log_evidence(np.array(wrong, bool), 0.95)[-1] == pytest.approx(expected, rel=1e-9)


def test_evidence_is_near_the_one_integrated_over_all_error_shares() -> None:
    wrong = [int(i % 7 == 6) for i in range(70)]

    def mixed(errors: int, count: int) -> float:
        def integrand(q: float) -> float:
            return float(beta.pdf(q, 2, 18)) * (q / 0.05) ** errors * ((1 - q) / 0.95) ** (count - errors)

        return float(quad(integrand, 0.05, 1)[0] / beta.sf(0.05, 2, 18))

    evidence = np.exp(log_evidence(np.array(wrong, bool), 0.95)[-1])
    assert evidence > 5
    assert evidence == pytest.approx(evidence_by_sums(wrong, mixed), rel=0.02)


@pytest.mark.parametrize("promised", [0.3, 0.8, 0.99])
def test_evidence_is_a_fair_game_at_the_promise_and_a_losing_one_above_it(promised: float) -> None:
    """Over all 1,024 ways that ten verdicts can come, weighed by their chances."""
    ways = (np.arange(1024)[:, None] >> np.arange(10)) % 2 == 1
    errors = ways.sum(axis=1)
    for true, expected in ((promised, 1.0), (promised + 0.5 * (1 - promised), None)):
        chances = (1 - true) ** errors * true ** (10 - errors)
        mean = float(chances @ np.exp(log_evidence(ways, promised)[:, -1]))
        assert mean == pytest.approx(1.0) if expected else mean < 0.999


def test_the_weights_of_starts_and_of_later_ones_are_one_at_any_verdict() -> None:
    starts, rest = start_weights(5 * START_SCALE)
    np.testing.assert_allclose(starts.cumsum() + rest, 1)


def test_false_alarms_are_as_rare_as_promised() -> None:
    alarms = (log_evidence(draw(0.05, 300, 600), 0.95) >= np.log(20)).any(axis=1).sum()
    # at most 5 % of 300; a test that raised more often would give 24 or more in 2 % of seeds
    assert 1 <= alarms <= 23
    many = (log_evidence(draw(0.05, 300, 600), 0.95) >= np.log(2)).any(axis=1).mean()
    assert 0.2 <= many <= 0.5 + 0.06


def test_a_fall_after_a_good_time_is_raised_as_soon_as_one_at_once() -> None:
    fallen = draw(0.3, 50, 200, seed=1)
    late = np.concatenate([draw(0.02, 50, 2000, seed=2), fallen], axis=1)
    delays = [(log_evidence(wrong, 0.95)[:, -200:] >= np.log(20)).argmax(axis=1) for wrong in (fallen, late)]
    assert np.median(delays[0]) <= 25
    assert np.median(delays[1]) <= 50


def test_finds_where_the_errors_began() -> None:
    wrong = np.r_[draw(0.02, 500), np.ones(8, bool)]
    assert likely_start(wrong, 0.95) == 500
    assert likely_start(np.ones(5, bool), 0.95) == 0


def test_evidence_stays_finite_however_much_there_is() -> None:
    assert np.isfinite(log_evidence(np.ones(3000, bool), 0.99)).all()
    assert log_evidence(np.zeros(0, bool), 0.99).shape == (0,)
