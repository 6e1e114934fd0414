"""What the index benchmark shows: a row for each contestant and size, and how each cost grows with the size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lookalike.plots.style import CURVES, new_figure
from lookalike.scripts.benchmarks.contestants import CONTESTANTS, EXACT, OURS
from lookalike.scripts.timing import show_table

_HEAD = (
    "vectors", "n", "", "queries/s", "least–most", "× Flat", "p50 ms", "p99 ms", "B in memory", "B on disk", "build s",
    "open s", "decisions", "nearest", "add s", "remove s", "load",
)  # fmt: skip
_PANELS = {
    "rate": "queries a second, batch", "p99_ms": "a single query, 99th percentile (ms)",
    "memory": "memory (bytes a vector)", "build_s": "build (s)",
}  # fmt: skip


def show(results: Sequence[dict[str, Any]]) -> None:
    """Print one row for each contestant and size."""
    ordered = sorted(results, key=lambda result: (result["data"], result["size"]))
    show_table(_HEAD, [_cells(each, _flat_beside(each, results)) for each in ordered], width=200)
    for each in ordered:
        if half := each.get("half"):
            print(
                f"{each['data']} {each['size']:,}: in half precision, similarities would be off by up to "
                f"{half['most_off']:.1e}, {half['misses']} of {half['probes']} probes would find another reference, "
                f"{half['decisions']:.5f} of decisions would be equal, and comparing candidates would take "
                f"{half['half_s'] / half['full_s']:.1f} times as long"
            )


def _flat_beside(result: dict[str, Any], results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Exact search as it ran in the same turns."""
    if "beside" in result:
        return dict(result["beside"][EXACT.name])
    key = (result["data"], result["size"], EXACT.name)
    return next(each for each in results if (each["data"], each["size"], each["name"]) == key)


def _cells(each: dict[str, Any], flat: dict[str, Any]) -> list[str]:
    return [
        f"{each['data']} {each['dim']}", f"{each['size']:,}", each["name"], f"{each['rate']:,.0f}",
        f"{each['rate_least']:,.0f}–{each['rate_most']:,.0f}", f"{each['rate'] / flat['rate']:.1f}",
        f"{each['p50_ms']:.2f}", f"{each['p99_ms']:.2f}", f"{each['memory']:,.0f}", f"{each['disk']:,.0f}",
        f"{each['build_s']:.1f}", f"{each['open_s']:.2f}", f"{each['decisions']:.5f}", f"{each['nearest']:.4f}",
        *(f"{each[key]:.2f}" if key in each else "" for key in ("add_s", "remove_s")), f"{each['load']:.1f}",
    ]  # fmt: skip


def draw(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw four costs by the number of vectors, all axes logarithmic. Raises MissingExtraError without matplotlib."""
    figure = new_figure(11, 8)
    axes = figure.subplots(2, 2)
    for axis, (key, label) in zip(axes.flat, _PANELS.items(), strict=True):
        for name, style, colour in zip(CONTESTANTS, ("o-", "s-", "^--", "v--", "d--"), CURVES, strict=False):
            points = sorted((each["size"], each[key]) for each in results if each["name"] == name)
            if points:
                width = 2.2 if name == OURS.name else 1.4
                axis.plot(*zip(*points, strict=True), style, color=colour, label=name, linewidth=width)
        axis.set(xscale="log", yscale="log", xlabel="vectors", ylabel=label)
        axis.grid(alpha=0.3, which="both")
    axes[0, 0].legend(frameon=False)
    first = results[0]
    figure.suptitle(f"Search by size: {first['data']} vectors of {first['dim']} numbers, {first['threads']} threads")
    figure.savefig(path, dpi=110)
