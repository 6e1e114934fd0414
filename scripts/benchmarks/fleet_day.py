"""A day of pictures on a fleet, step by step: queues between stages, and machines that fail and come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DAY = 24 * 3600
STEP = 10
"""Seconds in a step of the simulation; ages are no finer than this."""

Curve = NDArray[np.float64]


@dataclass(frozen=True)
class Stage:
    """One kind of machine: it does `rate` pictures a second, gets a `share` of all pictures, and costs `price` USD/h.

    A machine fails every `mtbf` hours on average, is back after `restart` seconds, and then repeats the pictures that
    it had `in_hand`. `known` says where the rate comes from.
    """

    name: str
    rate: float
    share: float
    price: float
    mtbf: float = 24 * 30
    restart: float = 120.0
    in_hand: int = 256
    known: str = "assumed"

    def machines(self, arrivals: float) -> int:
        """How many machines it takes for `arrivals` pictures a second."""
        return max(1, int(np.ceil(arrivals * self.share / self.rate)))


@dataclass(frozen=True)
class Day:
    """How a day went, with one value a step: pictures that `arrived` and `left`, and the `backlog` of each stage.

    `ages` are those of the pictures that left, in seconds. `busy` is the share of its capacity, less failures, that
    each stage used over the day.
    """

    arrived: Curve
    left: Curve
    backlog: Mapping[str, Curve]
    ages: Curve
    busy: Mapping[str, float]
    failures: int

    def age(self, quantile: float) -> float:
        """The age in seconds by which this share of the pictures was done."""
        order = np.argsort(self.ages)
        share = np.cumsum(self.left[order]) / max(self.left.sum(), 1.0)
        at = min(int(np.searchsorted(share, quantile)), len(order) - 1)
        return float(self.ages[order[at]])


def arrivals_of_a_day(pictures: float, peak: float, *, seed: int = 0) -> Curve:
    """Pictures arriving in each step of a day whose busiest moment has `peak` times (1 or more) the mean.

    They are Poisson distributed around a von Mises curve that is busiest at 20 h.

    >>> day = arrivals_of_a_day(600e6, 3)
    >>> bool(abs(day.sum() / 600e6 - 1) < 0.001), round(float(day.max() / day.mean()), 1)
    (True, 3.0)
    """
    low, high = 0.0, 50.0
    for _ in range(60):  # exp(k) / I0(k) is the curve's peak over its mean, and grows with k
        middle = (low + high) / 2
        low, high = (middle, high) if np.exp(middle) / np.i0(middle) < peak else (low, middle)
    hours = np.arange(0, DAY, STEP) / 3600
    curve = np.exp(low * np.cos((hours - 20) / 24 * 2 * np.pi))
    day: Curve = np.random.default_rng(seed).poisson(curve / curve.sum() * pictures).astype(np.float64)
    return day


def simulate(
    arrived: Curve, stages: Sequence[Stage], machines: Sequence[int], *, hold: float, seed: int = 0, before: int = 0
) -> Day:
    """Pass the pictures through the stages, first come, first served.

    Each queue but the first has room for `hold` seconds of mean arrivals. A stage waits while the next queue is full,
    so a backlog grows in front of the first stage. The first `before` steps are simulated but not reported, except
    for what they leave waiting.
    """
    rng = np.random.default_rng(seed)
    room = hold * arrived.mean() / STEP
    queues = np.zeros(len(stages))
    kinds = [_Machines(stage, count, len(arrived)) for stage, count in zip(stages, machines, strict=True)]
    backlog = np.zeros((len(stages), len(arrived)))
    left, used, could, failures = np.zeros(len(arrived)), np.zeros(len(stages)), np.zeros(len(stages)), 0
    for step, pictures in enumerate(arrived):
        queues[0] += pictures
        for at in range(len(stages) - 1, -1, -1):
            failed, capacity = kinds[at].work(step, rng)
            free = np.inf if at == len(stages) - 1 else room - queues[at + 1]
            done = max(min(queues[at], capacity, free), 0.0)
            queues[at] -= done
            if at == len(stages) - 1:
                left[step] = done
            else:
                queues[at + 1] += done
            if step >= before:
                failures += failed
                used[at] += done
                could[at] += capacity
        backlog[:, step] = queues
    names = [stage.name for stage in stages]
    busy = dict(zip(names, (used / could).tolist(), strict=True))
    waiting = dict(zip(names, backlog[:, before:], strict=True))
    return Day(arrived[before:], left[before:], waiting, _ages(arrived, left)[before:], busy, failures)


class _Machines:
    """The machines of a stage: how many are up, and in which step those that failed come back."""

    def __init__(self, stage: Stage, count: int, steps: int) -> None:
        self._stage, self._up = stage, count
        self._away = int(np.ceil(stage.restart / STEP))
        self._back = np.zeros(steps + 1 + self._away, int)

    def work(self, step: int, rng: np.random.Generator) -> tuple[int, float]:
        """How many fail in this step, and how many pictures that arrive the others can take along."""
        stage = self._stage
        self._up += self._back[step]
        failed = int(rng.binomial(self._up, -np.expm1(-STEP / 3600 / stage.mtbf)))
        self._up -= failed
        self._back[step + self._away] += failed
        return failed, max(self._up * stage.rate / stage.share * STEP - failed * stage.in_hand, 0.0)


def _ages(arrived: Curve, left: Curve) -> Curve:
    """The age in seconds of the last picture that left in each step."""
    came, went = np.cumsum(arrived), np.cumsum(left)
    first = np.searchsorted(came, went - 1e-6)
    now = np.arange(len(left))
    ages: Curve = ((now - np.minimum(first, now) + 1.0) * STEP).astype(np.float64)
    return ages


def cost_per_million(stages: Sequence[Stage], machines: Sequence[int], pictures: float) -> float:
    """USD for a day of these machines, per million pictures of the day."""
    return sum(stage.price * count for stage, count in zip(stages, machines, strict=True)) * 24 / pictures * 1e6
