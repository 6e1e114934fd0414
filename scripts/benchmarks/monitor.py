"""Measure after how many verdicts the monitor raises an alarm when a promise breaks, and how often it does so wrongly.

Simulates months of verdicts on flagged listings. The similarities of look-alikes and of other listings follow two
normal distributions; the threshold is where a little more than promised is right. After some quiet days the others'
similarities move up, so that more of what is flagged is wrong. `--compare` adds other tests: Robbins' beta mixture from
the first verdict on, and MAPIE's RiskMonitoring (two seconds a run).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lookalike.binomial import Share
from lookalike.scripts.timing import show_table
from lookalike.thresholds.drift import measure_drift
from lookalike.thresholds.e_values import log_evidence
from lookalike.thresholds.observed import Observed

LOOKALIKES, LOOKALIKE, OTHER = 0.1, (0.85, 0.06), (0.55, 0.08)
"""The share of look-alikes among listings; mean and standard deviation of their similarities and of the others'."""
SHIFTS = (0.01, 0.02, 0.04, 0.08)
LISTINGS = 2000  # judged a day, of which some are flagged
DRIFT_RUNS = 50

Test = Callable[[NDArray[np.bool_]], NDArray[np.bool_]]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--promised", type=float, default=0.95)
    parser.add_argument("--before", type=float, default=0.97, help="true precision until the shift (default 0.97)")
    parser.add_argument("--alpha", type=float, default=0.05)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--quiet-days", type=int, default=10, help="days before the shift (default 10)")
    parser.add_argument("--verdicts", type=int, default=200, help="a day (default 200)")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compare", type=int, metavar="RUNS", help="also run other tests, this often")
    arguments = parser.parse_args(argv)
    ours: Test = lambda wrong: log_evidence(wrong, arguments.promised) >= -math.log(arguments.alpha)  # noqa: E731
    show_shifts(arguments, ours, np.random.default_rng(arguments.seed))
    show_quiet(arguments, ours, np.random.default_rng(arguments.seed))
    if arguments.compare:
        show_comparison(arguments, ours, np.random.default_rng(arguments.seed))
    return 0


def show_shifts(arguments: argparse.Namespace, test: Test, rng: np.random.Generator) -> None:
    """Verdicts from the shift to the alarm, and whether a day's similarities show the shift as drift."""
    threshold = threshold_of(arguments.before)
    quiet = arguments.quiet_days * arguments.verdicts
    after = (arguments.days - arguments.quiet_days) * arguments.verdicts
    print(f"promised {arguments.promised:g}; {quiet:,} verdicts at {arguments.before:g}, then {after:,} shifted")
    rows = []
    for shift in SHIFTS:
        share = 1 - precision(threshold, shift)
        chances = np.repeat([1 - arguments.before, share], [quiet, after])
        delays = first(test(rng.random((arguments.runs, quiet + after)) < chances)) - quiet
        soon = delays <= 0
        index, drifted = drift_of(shift, rng)
        shares = f"{1 - share:.3f}", f"{np.isfinite(delays[~soon]).mean():.1%}", f"{soon.mean():.1%}"
        rows.append((f"+{shift:g}", *shares, *spread(delays[~soon]), f"{index:.2f}", f"{drifted:.0%}"))
    show_table(
        ("shift", "precision", "raised", "too soon", "median verdicts", "10-90 %", "stability index", "drift"), rows
    )


def show_quiet(arguments: argparse.Namespace, test: Test, rng: np.random.Generator) -> None:
    """False alarms while the promise is kept, with their exact 95 % interval."""
    rows = []
    for true in (arguments.promised, arguments.before):
        for count in (2000, arguments.days * arguments.verdicts):
            alarms = test(rng.random((arguments.runs, count)) < 1 - true).any(axis=1)
            share = Share.of(int(alarms.sum()), arguments.runs)
            interval = f"{share.low:.1%} to {share.high:.1%}"
            rows.append((f"{true:g}", f"{count:,}", f"{share.total:,}", f"{share.value:.1%}", interval))
    show_table(("true precision", "verdicts", "quiet runs", "false alarms", "95 % interval"), rows)


def show_comparison(arguments: argparse.Namespace, ours: Test, rng: np.random.Generator) -> None:
    """Median verdicts to the alarm of three tests, on the same runs."""
    tests: dict[str, Test] = {
        "library": ours,
        "Robbins from the first": lambda wrong: robbins(wrong, arguments.promised) >= -math.log(arguments.alpha),
        "MAPIE": lambda wrong: mapie(wrong, arguments.promised, arguments.alpha),
    }
    runs, rows = arguments.compare, []
    for quiet in (0, 1000):
        for then, count in ((0.9, 3000), (0.85, 1500), (0.7, 800)):
            chances = np.repeat([1 - arguments.before, 1 - then], [quiet, count])
            wrong = rng.random((runs, len(chances))) < chances
            delays = [first(test(wrong)) - quiet for test in tests.values()]
            rows.append((f"{quiet:,}", f"{then:g}", *("{} ({})".format(*spread(d[d > 0])) for d in delays)))
    wrong = rng.random((runs, 2000)) < 1 - arguments.promised
    alarms = [f"{test(wrong).any(axis=1).mean():.1%}" for test in tests.values()]
    rows.append(("2,000 at the promise", "false alarms", *alarms))
    show_table(("quiet before", "precision then", *tests), rows)


def robbins(wrong: NDArray[np.bool_], promised: float) -> NDArray[np.float64]:
    """The log evidence (..., n), from the first verdict on, of a Beta(2, 18) of error shares above 1 - promised."""
    from scipy.special import betaincc, betaln

    a, b, usual = 2.0, 18.0, 1 - promised
    count, errors = np.arange(1, wrong.shape[-1] + 1), wrong.cumsum(axis=-1)
    right = count - errors
    with np.errstate(divide="ignore"):
        above = np.log(betaincc(a + errors, b + right, usual)) - np.log(betaincc(a, b, usual))
    ratio = errors * math.log(usual) + right * math.log1p(-usual)
    return np.asarray(betaln(a + errors, b + right) - betaln(a, b) + above - ratio)


def mapie(wrong: NDArray[np.bool_], promised: float, alpha: float) -> NDArray[np.bool_]:
    """Whether MAPIE's lower bound of the risk exceeds what was promised, (runs, n)."""
    from mapie.exchangeability_testing import RiskMonitoring

    rows = []
    for row in wrong:
        # it halves the level, to leave a half for a reference set that isn't used here
        watch = RiskMonitoring(risk="precision", test_level=2 * alpha, threshold=1 - promised, warn=False)
        watch.update((~row).astype(int), np.ones(len(row), int))
        rows.append(watch.online_risk_lower_bound_sequence_history > 1 - promised)
    return np.array(rows)


def precision(threshold: float, shift: float = 0.0) -> float:
    """The share of look-alikes among listings at or above the threshold, with the others' similarities moved up."""
    from scipy.stats import norm

    right = LOOKALIKES * norm.sf(threshold, *LOOKALIKE)
    wrong = (1 - LOOKALIKES) * norm.sf(threshold, OTHER[0] + shift, OTHER[1])
    return float(right / (right + wrong))


def threshold_of(wanted: float) -> float:
    """The threshold with this precision before any shift."""
    from scipy.optimize import brentq

    return float(brentq(lambda threshold: precision(threshold) - wanted, 0.6, 0.95))


def drift_of(shift: float, rng: np.random.Generator) -> tuple[float, float]:
    """The median stability index of a shifted day after ten quiet ones, and the share of runs that report drift."""
    drifts = [measure_drift(day(10 * LISTINGS, 0.0, rng), day(LISTINGS, shift, rng)) for _ in range(DRIFT_RUNS)]
    known = [drift for drift in drifts if drift is not None]
    return float(np.median([drift.index for drift in known])), float(np.mean([drift.raised for drift in known]))


def day(count: int, shift: float, rng: np.random.Generator) -> Observed:
    """The similarities of this many listings, as the monitor sees them."""
    alike = rng.random(count) < LOOKALIKES
    values = np.where(alike, rng.normal(*LOOKALIKE, count), rng.normal(OTHER[0] + shift, OTHER[1], count))
    return Observed(count, values.astype(np.float32), np.empty(0, np.float32), {}, 0, frozenset(), {})


def first(raised: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The number (from 1) of the verdict that raises the alarm in each run; infinite if none does."""
    return np.where(raised.any(axis=1), raised.argmax(axis=1) + 1.0, np.inf)


def spread(delays: NDArray[np.float64]) -> tuple[str, str]:
    """The median as text, and the 10 and 90 % points; "-" where the alarm did not come in time."""
    points = np.quantile(delays, (0.1, 0.5, 0.9), method="nearest")
    low, middle, high = ("-" if math.isinf(point) else f"{point:,.0f}" for point in points)
    return middle, f"{low}-{high}"


if __name__ == "__main__":
    raise SystemExit(main())
