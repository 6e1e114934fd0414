"""What `lookalike bench` shows of its figures: tables on stdout, and bars with their spread as a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lookalike.disk import written
from lookalike.plots.style import VERMILION, new_figure
from lookalike.scripts.bench_pipeline import EMBEDDING
from lookalike.scripts.terminal import print_line
from lookalike.scripts.timing import Spread, show_table


def write_json(figures: object, path: Path) -> None:
    """Write figures as JSON; the file appears whole or not at all."""
    with written(path) as temporary:
        temporary.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def show(figures: dict[str, Any]) -> None:
    """Print the tables of a measurement, as `bench --json` writes it."""
    ours = figures["rates"]["lookalike"]["median"]
    rows = []
    for name, rate in figures["rates"].items():
        peak, cores = figures["peak_bytes"].get(name), figures["core_ms"].get(name)
        other = "" if figures["same_model"].get(name, True) else " (no vectors)"
        rows.append(
            (name + other, *_cells(rate), f"{ours / rate['median']:.2f}",
             "" if cores is None else f"{cores['median']:.1f}", "" if peak is None else f"{peak / 1e6:.0f}")
        )  # fmt: skip
    limit = figures["limit"]
    if limit is not None:
        share = f"{ours / limit:.2f}"
        rows.append((f"limit of {figures['precision']} products", f"{limit:.1f}", "", "", share, "", ""))
    show_table(
        ("files to index, pictures/s", "median", "least", "most", "lookalike is × that", "core ms each", "peak MB"),
        rows,
    )
    used = (
        ""
        if limit is None
        else f", of which the encoder alone uses {figures['rates'][EMBEDDING]['median'] / limit:.0%}"
    )
    work = "" if limit is None else f"{figures['gflop_per_picture']:.2f} GFLOP a picture. "
    print_line(
        f"{figures['encoder']}, {figures['arithmetic']} on {figures['device']}: {work}"
        f"The device reaches {figures['peak_gflops']:,.0f} GFLOP/s in {figures['precision']}{used}, and copies "
        f"{figures['copy_gbytes']:,.1f} GB/s. The slower half of the pipeline is: {figures['waits_for']}."
    )
    if figures["search"]:
        show_table(
            ("search, queries/s", "median", "least", "most", "nearest found"),
            [(name, *_cells(rate, ".0f"), f"{rate['nearest']:.3f}") for name, rate in figures["search"].items()],
        )


def _cells(rate: dict[str, float], form: str = ".1f") -> tuple[str, str, str]:
    return Spread(rate["median"], rate["least"], rate["most"]).cells(form)


def draw(figures: dict[str, Any], path: Path) -> None:
    """Draw the rates as bars. Raises MissingExtraError without matplotlib."""
    figure = new_figure(11, 3.6)
    panes = figure.subplots(1, 2 if figures["search"] else 1, squeeze=False)[0]
    _bars(panes[0], figures["rates"], f"files to index with {figures['encoder']}, pictures/s")
    if figures["limit"] is not None:
        panes[0].axvline(figures["limit"], color="0.3", linestyle="--", linewidth=1)
        panes[0].set_xlabel("dashed: the most that matrix products allow", fontsize=8)
    if figures["search"]:
        _bars(panes[1], figures["search"], "search, queries/s")
    with written(path) as temporary:
        figure.savefig(temporary, dpi=150, format=path.suffix[1:])


def _bars(pane: Any, rates: dict[str, dict[str, float]], title: str) -> None:
    names = list(rates)[::-1]
    medians = [rates[name]["median"] for name in names]
    spread = [
        [m - rates[name]["least"] for m, name in zip(medians, names, strict=True)],
        [rates[name]["most"] - m for m, name in zip(medians, names, strict=True)],
    ]
    colours = [VERMILION if name == "lookalike" else "0.65" for name in names]
    pane.barh(names, medians, xerr=spread, color=colours, ecolor="0.3", capsize=2)
    for at, value in enumerate(medians):
        pane.annotate(f"{value:,.0f}", (value, at), xytext=(4, 6), textcoords="offset points", fontsize=8)
    pane.set_title(title, fontsize=10)
    pane.spines[["top", "right"]].set_visible(False)
