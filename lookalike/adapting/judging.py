"""Is a map better? Cross-validated by product, with an interval, and how many more labels it would take."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.thresholds.metrics import Retrieval, evaluate_retrieval

from .fitting import LabelledVectors, answers
from .folds import Answered, CrossFitted

_ROUNDS = 2000
_TOGETHER = 100  # rounds in memory at once


@dataclass(frozen=True)
class Gain:
    """What a map, or another encoder, gains in µAP on products that it wasn't fitted to: `low` to `high` with 95 %.

    `before` and `after` are all metrics without and with it, of `photos` labelled photos that show one of `products`,
    or none. `more_needed` is about how many more labels like these it takes until the interval is above zero: 0 if it
    is, None if more of them are not expected to help.
    """

    before: Retrieval
    after: Retrieval
    low: float
    high: float
    photos: int
    products: int
    more_needed: int | None

    @property
    def value(self) -> float:
        """The gain in µAP."""
        return self.after.micro_average_precision - self.before.micro_average_precision

    @property
    def is_certain(self) -> bool:
        """Whether the map is better with confidence."""
        return self.low > 0


def judge_map(labelled: LabelledVectors, crossed: CrossFitted, *, seed: int = 0) -> Gain:
    """The gain of the map that these labels ask for, on the counted ones, each answered by the map that left it out.

    The interval is that of a paired bootstrap by product, as `lookalike.thresholds.metrics.bootstrap_retrieval` draws
    them; `seed` draws the rounds.
    """
    rows = np.flatnonzero(labelled.counted)
    return gain_of(
        answers(labelled, rows),
        crossed.answers(labelled, rows),
        related=labelled.related[rows],
        groups=labelled.groups[rows],
        rng=np.random.default_rng(seed),
    )


def gain_of(
    before: Answered,
    after: Answered,
    *,
    related: NDArray[np.bool_],
    groups: NDArray[np.int64],
    rng: np.random.Generator,
) -> Gain:
    """What other answers to the same photos gain; `related` and `groups`, both (n,), are those of `LabelledVectors`."""
    drawn = _drawn_gains(before, after, related, groups, rng)
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    was, now = (evaluate_retrieval(values, right, related=related) for values, right in (before, after))
    value = now.micro_average_precision - was.micro_average_precision
    products = len(np.unique(groups[related]))
    return Gain(was, now, low, high, len(related), products, _more_needed(value, low, len(related)))


def _drawn_gains(
    before: Answered,
    after: Answered,
    related: NDArray[np.bool_],
    groups: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """The gain in µAP of each round, in which whole groups are drawn with replacement."""
    number = np.unique(groups, return_inverse=True)[1]
    count = int(number.max()) + 1
    gains = []
    for _ in range(_ROUNDS // _TOGETHER):
        times = rng.multinomial(count, np.full(count, 1 / count), _TOGETHER)[:, number]
        gains.append(average_precision(*after, related, times) - average_precision(*before, related, times))
    found = np.concatenate(gains)
    return found[np.isfinite(found)]


def average_precision(
    similarity: NDArray[np.float64], right: NDArray[np.bool_], related: NDArray[np.bool_], times: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The µAP (rounds,) if each of n answers counted as many `times`, int (rounds, n); NaN without a related one.

    Of answers of equal similarity, wrong ones come first, so that their order can't flatter.

    >>> average_precision(np.array([0.9, 0.8]), np.array([True, False]), np.ones(2, bool), np.array([[1, 1], [1, 0]]))
    array([0.5, 1. ])
    """
    order = np.lexsort((right, -similarity))
    times, correct = times[:, order], right[order]
    found = np.cumsum(times * correct, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(times * correct > 0, found / np.cumsum(times, axis=1), 0.0)
        return np.asarray((precision * times * correct).sum(axis=1) / (times * related[order]).sum(axis=1))


def _more_needed(gain: float, low: float, labels: int) -> int | None:
    """How many more labels until the interval is above zero, if it narrows with the root of their number."""
    if low > 0:
        return 0
    if gain <= 0:
        return None
    return math.ceil(labels * ((gain - low) / gain) ** 2) - labels
