"""Drift against scipy and an index computed from a histogram."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import ks_2samp
from watched import finding

from lookalike.thresholds.drift import measure_drift, stability_index
from lookalike.thresholds.observed import observe


def spread(values: NDArray[np.float64], **columns: Any) -> Any:
    return observe([finding(i, similarity=value, **columns) for i, value in enumerate(values)])


def test_drift_is_kolmogorov_smirnov_and_an_index_over_deciles() -> None:
    rng = np.random.default_rng(0)
    was, are = rng.normal(0.5, 0.1, 3000).astype(np.float32), rng.normal(0.58, 0.1, 2000).astype(np.float32)
    drift = measure_drift(spread(was), spread(are))
    assert drift is not None
    assert (drift.ks, drift.p) == pytest.approx(tuple(ks_2samp(was, are, method="asymp")))
    edges = [-np.inf, *np.quantile(was, np.arange(1, 10) / 10), np.inf]
    shares = [(np.histogram(values, edges)[0] + 0.5) / (len(values) + 5) for values in (was, are)]
    assert drift.index == pytest.approx(sum((b - a) * np.log(b / a) for a, b in zip(*shares, strict=True)))
    assert drift.raised


def test_a_shift_that_is_significant_and_small_is_no_drift() -> None:
    was, are = (np.random.default_rng(0).normal(mean, 0.1, 10_000) for mean in (0.5, 0.51))
    drift = measure_drift(spread(was), spread(are))
    assert drift is not None
    assert (drift.p < 1e-4, drift.index < 0.05, drift.raised) == (True, True, False)


def test_a_large_shift_of_few_findings_is_no_drift() -> None:
    drift = measure_drift(spread(np.linspace(0, 1, 500)), spread(np.linspace(0.5, 1, 199)))
    assert drift is not None
    assert (drift.index > 0.25, drift.raised) == (True, False)
    assert measure_drift(spread(np.linspace(0, 1, 500)), spread(np.array([]))) is None


def test_a_value_that_fills_deciles_alone_is_a_bin_of_its_own() -> None:
    same = np.full(1000, 0.5, np.float32)
    assert stability_index(same, same) == 0
    assert stability_index(same, same + np.float32(0.1)) > 5
    assert stability_index(same, same - np.float32(0.1)) > 5
