"""Simulate a day of pictures on a fleet: queues between stages, machines that fail, arrivals with a peak.

Rates are pictures a second and machine. With --bench they are read from the file of `lookalike bench --json`: the
embedding rate is that of the whole pipeline on all cores of that machine, and the search rate that of the engine named
by --search. Everything else, prices and failures included, is an assumption unless given. For several sizes of the
fleet it reports the backlog, the age of findings, the cost per million pictures, and the bottlenecks. The day follows
another like it and starts with the backlog of that day. The same seed gives the same day.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.plots.style import CURVES, DASHES, new_figure
from lookalike.scripts.benchmarks.fleet_day import (
    DAY,
    STEP,
    Curve,
    Day,
    Stage,
    arrivals_of_a_day,
    cost_per_million,
    simulate,
)

PRICES_OF = "2026-11-24"
"""The day of the default prices, which are round numbers near public price lists."""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--bench", type=Path, help="file that lookalike bench --json wrote")
    parser.add_argument("--search", default="lookalike", help="the engine whose queries/s of --bench count")
    parser.add_argument("--rate", action="append", default=[], metavar="STAGE=PICTURES/S", help="of one machine")
    parser.add_argument(
        "--share", action="append", default=[], metavar="STAGE=SHARE", help="of pictures that get there"
    )
    parser.add_argument("--price", action="append", default=[], metavar="STAGE=USD/H", help="of one machine")
    parser.add_argument("--pictures", type=float, default=600e6, help="a day")
    parser.add_argument("--peak", type=float, default=3.0, help="the busiest moment, as a multiple of the mean")
    parser.add_argument(
        "--sizes", type=float, nargs="+", default=[1.1, 1.5, 2.0, 3.3], help="capacity, as multiples of mean arrivals"
    )
    parser.add_argument("--mtbf", type=float, default=24 * 30, help="hours between failures of a machine (assumed)")
    parser.add_argument("--restart", type=float, default=120.0, help="seconds until a machine is back (assumed)")
    parser.add_argument(
        "--hold", type=float, default=60.0, help="seconds of mean arrivals that a queue between stages holds"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", type=Path, help="picture to draw, .png or .svg")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args(argv)
    try:
        stages = [replace(s, mtbf=arguments.mtbf, restart=arguments.restart) for s in _stages(arguments)]
    except ValueError as error:
        parser.error(str(error))
    fleets = _simulated(stages, arguments)
    if arguments.json:
        figures = [_figures(stages, each, arguments.pictures) for each in fleets]
        arguments.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    if arguments.plot:
        _draw(fleets, arguments.plot)
    return 0


@dataclass(frozen=True)
class _Fleet:
    """A fleet for `size` times the mean arrivals: machines of each stage, and how the day went."""

    size: float
    machines: Sequence[int]
    day: Day


def _simulated(stages: Sequence[Stage], arguments: argparse.Namespace) -> list[_Fleet]:
    """The day on each size of the fleet, after another day like it; prints what goes in and what comes out."""
    eve, arrived = (
        arrivals_of_a_day(arguments.pictures, arguments.peak, seed=arguments.seed + later) for later in (1, 0)
    )
    mean, most = arrived.mean() / STEP, arrived.max() / STEP
    print(f"{arguments.pictures:,.0f} pictures a day, {mean:,.0f} a second, at most {most:,.0f}; "
          f"prices as assumed on {PRICES_OF}")  # fmt: skip
    for s in stages:
        print(f"  {s.name:7} {s.rate:>10,.0f} pictures/s a machine ({s.known}), {s.share:.0%} of them, {s.price} USD/h")
    both, found = np.concatenate([eve, arrived]), []
    for size in arguments.sizes:
        machines = [stage.machines(size * mean) for stage in stages]
        day = simulate(both, stages, machines, hold=arguments.hold, seed=arguments.seed, before=len(eve))
        found.append(_Fleet(size, machines, day))
        _print(_figures(stages, found[-1], arguments.pictures))
    return found


def _stages(arguments: argparse.Namespace) -> list[Stage]:
    """The stages with the rates, shares and prices that were given. Raises ValueError for one that is not valid."""
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
                raise ValueError(f"got stage {name!r}; choose from {', '.join(stages)}")
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
        raise ValueError(f"{what} is {text!r}; give a number above 0")
    return value


def _figures(stages: Sequence[Stage], fleet: _Fleet, pictures: float) -> dict[str, Any]:
    day, waiting = fleet.day, np.sum(list(fleet.day.backlog.values()), axis=0)
    order = sorted(day.busy, key=day.busy.__getitem__, reverse=True)
    return {
        "size": fleet.size,
        "machines": {stage.name: count for stage, count in zip(stages, fleet.machines, strict=True)},
        "usd_per_million": cost_per_million(stages, fleet.machines, pictures),
        "most_waiting": float(waiting.max()),
        "waiting_at_the_end": float(waiting[-1]),
        "age_p50": day.age(0.5),
        "age_p99": day.age(0.99),
        "failures": day.failures,
        "busy": day.busy,
        "bottleneck": order[0],
        "next_bottleneck": order[1] if len(order) > 1 else None,
    }


def _print(f: Mapping[str, Any]) -> None:
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


def _draw(fleets: Sequence[_Fleet], path: Path) -> None:
    figure = new_figure(9, 6.5)
    rate, waiting = figure.subplots(2, 1, sharex=True)
    minute = 60 // STEP
    hours = np.arange(0, DAY, 60) / 3600

    def minutes(curve: Curve) -> Curve:
        means: Curve = curve.reshape(-1, minute).mean(axis=1)
        return means

    rate.fill_between(hours, minutes(fleets[0].day.arrived) / STEP, color="0.85", label="arriving")
    for fleet, colour, dash in zip(fleets, CURVES * 9, DASHES * 9, strict=False):
        rate.plot(
            hours, minutes(fleet.day.left) / STEP, dash, color=colour, label=f"done, for {fleet.size:g} × the mean"
        )
        backlog = np.sum(list(fleet.day.backlog.values()), axis=0)
        waiting.plot(hours, minutes(backlog) / 1e6, dash, color=colour)
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
