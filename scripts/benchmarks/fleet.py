"""Simulate a day of pictures on a fleet: queues between stages, machines that fail, arrivals that peak.

Rates are pictures a second and machine. With --bench they are read from `lookalike bench --json`: the embedding rate is
that of the whole pipeline, of all cores of the machine it ran on, and the search rate that of the engine named by
--search. The others, all prices and failures are assumptions unless given. Says for several sizes of the fleet the
backlog, the age of findings, the cost per million pictures, and what the next bottleneck is. The day follows upon
another like it, whose backlog it begins with. Equal seeds, equal days.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PRICES_OF = "2026-11-24"
"""The day on which the default prices were assumed; they are round numbers of the size of public price lists."""

DAY = 24 * 3600
STEP = 10
"""Seconds that are simulated at a time; no age below this can be told."""

Curve = NDArray[np.float64]


@dataclass(frozen=True)
class Stage:
    """One kind of machine: `rate` in pictures a second, for the `share` of pictures that come to it, at `price` USD/h.

    A machine fails every `mtbf` hours on average, is back after `restart` seconds, and then does what it had `in_hand`
    again. `known` says where the rate is from.
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
        """How many can do `arrivals` pictures a second."""
        return max(1, int(np.ceil(arrivals * self.share / self.rate)))


@dataclass(frozen=True)
class Day:
    """What became of a day: curves a step each, in pictures; `ages` in seconds, of the pictures that left, a step each.

    `busy` is the share of its capacity that each stage used over the day, failures taken off.
    """

    arrived: Curve
    left: Curve
    backlog: Mapping[str, Curve]
    ages: Curve
    busy: Mapping[str, float]
    failures: int

    def age(self, quantile: float) -> float:
        """The age in seconds at which that share of the pictures that left was done."""
        order = np.argsort(self.ages)
        share = np.cumsum(self.left[order]) / max(self.left.sum(), 1.0)
        at = min(int(np.searchsorted(share, quantile)), len(order) - 1)
        return float(self.ages[order[at]])


def arrivals_of_a_day(pictures: float, peak: float, *, seed: int = 0) -> Curve:
    """Pictures that arrive in each step of a day whose busiest moment has `peak` times the mean; Poisson around it.

    The day is a von Mises curve, busiest at 20 h. `peak` is at least 1.

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
    """Let the pictures through the stages, first come, first served; each queue but the first holds `hold` s of mean.

    A stage whose successor's queue is full waits, so that what can't be done waits before the first one. The first
    `before` steps are simulated, but told of only by what they leave waiting.
    """
    rng = np.random.default_rng(seed)
    room = hold * arrived.mean() / STEP
    queues = np.zeros(len(stages))
    up = list(machines)
    back = [np.zeros(len(arrived) + 1 + int(np.ceil(stage.restart / STEP)), int) for stage in stages]
    backlog = {stage.name: np.zeros(len(arrived)) for stage in stages}
    left, used, could, failures = np.zeros(len(arrived)), np.zeros(len(stages)), np.zeros(len(stages)), 0
    for step, pictures in enumerate(arrived):
        queues[0] += pictures
        for at in range(len(stages) - 1, -1, -1):
            stage = stages[at]
            up[at] += back[at][step]
            failed = int(rng.binomial(up[at], -np.expm1(-STEP / 3600 / stage.mtbf)))
            up[at] -= failed
            failures += failed * (step >= before)
            back[at][step + int(np.ceil(stage.restart / STEP))] += failed
            capacity = max(up[at] * stage.rate / stage.share * STEP - failed * stage.in_hand, 0.0)
            free = np.inf if at == len(stages) - 1 else room - queues[at + 1]
            done = max(min(queues[at], capacity, free), 0.0)
            queues[at] -= done
            used[at] += done * (step >= before)
            could[at] += capacity * (step >= before)
            if at == len(stages) - 1:
                left[step] = done
            else:
                queues[at + 1] += done
        for stage, queue in zip(stages, queues, strict=True):
            backlog[stage.name][step] = queue
    busy = {stage.name: float(used[at] / could[at]) for at, stage in enumerate(stages)}
    waiting = {name: curve[before:] for name, curve in backlog.items()}
    return Day(arrived[before:], left[before:], waiting, _ages(arrived, left)[before:], busy, failures)


def _ages(arrived: Curve, left: Curve) -> Curve:
    """How long the last picture that left in each step had been there, in seconds."""
    came, went = np.cumsum(arrived), np.cumsum(left)
    first = np.searchsorted(came, went - 1e-6)
    now = np.arange(len(left))
    ages: Curve = ((now - np.minimum(first, now) + 1.0) * STEP).astype(np.float64)
    return ages


def cost_per_million(stages: Sequence[Stage], machines: Sequence[int], pictures: float) -> float:
    """USD for the machines of a day, per million pictures of that day."""
    return sum(stage.price * count for stage, count in zip(stages, machines, strict=True)) * 24 / pictures * 1e6


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--bench", type=Path, help="figures of lookalike bench --json")
    parser.add_argument("--search", default="lookalike", help="which engine's queries/s of --bench count")
    parser.add_argument("--rate", action="append", default=[], metavar="STAGE=PICTURES/S", help="of one machine")
    parser.add_argument(
        "--share", action="append", default=[], metavar="STAGE=SHARE", help="of pictures that come there"
    )
    parser.add_argument("--price", action="append", default=[], metavar="STAGE=USD/H", help="of one machine")
    parser.add_argument("--pictures", type=float, default=600e6, help="a day")
    parser.add_argument("--peak", type=float, default=3.0, help="the busiest moment, over the mean")
    parser.add_argument(
        "--sizes", type=float, nargs="+", default=[1.1, 1.5, 2.0, 3.3], help="capacity over mean arrivals"
    )
    parser.add_argument("--mtbf", type=float, default=24 * 30, help="hours between failures of a machine (assumed)")
    parser.add_argument("--restart", type=float, default=120.0, help="seconds until a machine is back (assumed)")
    parser.add_argument("--hold", type=float, default=60.0, help="seconds of mean arrivals that a queue between holds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", type=Path, help="picture to draw, .png or .svg")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args(argv)
    try:
        stages = [replace(s, mtbf=arguments.mtbf, restart=arguments.restart) for s in _stages(arguments)]
    except (ValueError, KeyError) as error:
        parser.error(str(error))
    arrived = arrivals_of_a_day(arguments.pictures, arguments.peak, seed=arguments.seed)
    eve = arrivals_of_a_day(arguments.pictures, arguments.peak, seed=arguments.seed + 1)
    print(f"{arguments.pictures:,.0f} pictures a day, {arrived.mean() / STEP:,.0f} a second, at most "
          f"{arrived.max() / STEP:,.0f}; prices as assumed on {PRICES_OF}")  # fmt: skip
    for s in stages:
        print(f"  {s.name:7} {s.rate:>10,.0f} pictures/s a machine ({s.known}), {s.share:.0%} of them, {s.price} USD/h")
    days, figures = [], []
    for size in arguments.sizes:
        machines = [stage.machines(size * arrived.mean() / STEP) for stage in stages]
        both = np.concatenate([eve, arrived])
        day = simulate(both, stages, machines, hold=arguments.hold, seed=arguments.seed, before=len(eve))
        days.append((size, day))
        figures.append(_figures(size, stages, machines, day, cost_per_million(stages, machines, arguments.pictures)))
        _say(figures[-1])
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    if arguments.plot:
        _draw(days, arguments.plot)
    return 0


def _stages(arguments: argparse.Namespace) -> list[Stage]:
    """The stages with the rates that are known. Raises ValueError or KeyError for what is not one of them."""
    stages = {
        stage.name: stage
        for stage in (
            Stage("fetch", 2_000, 1.0, 0.20),
            Stage("embed", 140, 0.7, 0.10),
            Stage("search", 10_000, 1.0, 0.80),
            Stage("verify", 20, 0.03, 0.10),
            Stage("write", 20_000, 1.0, 0.20),
        )
    }
    if arguments.bench:
        figures = json.loads(arguments.bench.read_text(encoding="utf-8"))
        known = f"measured: {arguments.bench.name}, {figures['cores']} cores, load {figures['load'][0]:.0f}"
        found = {"embed": figures["rates"]["lookalike"], "search": figures["search"].get(arguments.search)}
        for name, rate in found.items():
            if rate is not None:
                stages[name] = replace(stages[name], rate=float(rate["median"]), known=known)
    for option, field in ((arguments.rate, "rate"), (arguments.share, "share"), (arguments.price, "price")):
        for name, value in (each.partition("=")[::2] for each in option):
            if name not in stages:
                raise ValueError(f"there is no stage {name!r}, but {', '.join(stages)}")
            changed: dict[str, Any] = {field: _positive(value, f"the {field} of {name}")}
            if field == "rate":
                changed["known"] = "given"
            stages[name] = replace(stages[name], **changed)
    return list(stages.values())


def _positive(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not (value > 0 and np.isfinite(value)):
        raise ValueError(f"{what} is {text!r}, needed a number above 0")
    return value


def _figures(size: float, stages: Sequence[Stage], machines: Sequence[int], day: Day, cost: float) -> dict[str, Any]:
    waiting = np.sum(list(day.backlog.values()), axis=0)
    order = sorted(day.busy, key=day.busy.__getitem__, reverse=True)
    return {
        "size": size,
        "machines": {stage.name: count for stage, count in zip(stages, machines, strict=True)},
        "usd_per_million": cost,
        "most_waiting": float(waiting.max()),
        "waiting_at_the_end": float(waiting[-1]),
        "age_p50": day.age(0.5),
        "age_p99": day.age(0.99),
        "failures": day.failures,
        "busy": day.busy,
        "bottleneck": order[0],
        "next_bottleneck": order[1] if len(order) > 1 else None,
    }


def _say(f: Mapping[str, Any]) -> None:
    machines = ", ".join(f"{count:,} {name}" for name, count in f["machines"].items())
    print(
        f"for {f['size']:.2f} × the mean: {machines}: {f['usd_per_million']:.2f} USD a million; at most "
        f"{f['most_waiting']:,.0f} wait, {f['waiting_at_the_end']:,.0f} at midnight; age of findings p50 "
        f"{_span(f['age_p50'])}, p99 {_span(f['age_p99'])}; {f['failures']} failures; {f['bottleneck']} is the "
        f"bottleneck ({f['busy'][f['bottleneck']]:.0%} busy), then {f['next_bottleneck']}"
    )


def _span(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )


def _draw(days: Sequence[tuple[float, Day]], path: Path) -> None:
    from lookalike.plots.style import CURVES, DASHES, new_figure

    figure = new_figure(9, 6.5)
    rate, waiting = figure.subplots(2, 1, sharex=True)
    minute = 60 // STEP
    hours = np.arange(0, DAY, 60) / 3600

    def minutes(curve: Curve) -> Curve:
        means: Curve = curve.reshape(-1, minute).mean(axis=1)
        return means

    rate.fill_between(hours, minutes(days[0][1].arrived) / STEP, color="0.85", label="arriving")
    for (size, day), colour, dash in zip(days, CURVES * 9, DASHES * 9, strict=False):
        rate.plot(hours, minutes(day.left) / STEP, dash, color=colour, label=f"done, for {size:g} × the mean")
        waiting.plot(hours, minutes(np.sum(list(day.backlog.values()), axis=0)) / 1e6, dash, color=colour)
    rate.set_ylabel("pictures a second")
    waiting.set_ylabel("pictures waiting, million")
    waiting.set_xlabel("hour of the day")
    waiting.set_xticks(range(0, 25, 3))
    for axes in (rate, waiting):
        axes.grid(alpha=0.3)
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, 24)
        axes.spines[["top", "right"]].set_visible(False)
    rate.legend(frameon=False, loc="upper center")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    raise SystemExit(main())
