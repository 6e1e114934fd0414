"""Figures of how well look-alikes are told from unrelated goods. Each function returns a Figure.

Needs matplotlib, which comes with the extra `notebook`; without it every function raises MissingExtraError. A notebook
shows a figure at the end of a cell, and `figure.savefig("a.png")` saves it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookalike.binomial import Share
from lookalike.thresholds.brands import BrandFigures
from lookalike.thresholds.metrics import DetCurve

from .style import BLUE, CURVES, DASHES, TEXT, VERMILION, add_legend, draw_share, new_axes, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


_TICKS = (0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.97, 0.99, 0.999)


def plot_similarities(
    lookalike: ArrayLike,
    unrelated: ArrayLike,
    *,
    thresholds: Mapping[str, float] | None = None,
    unit: str = "cosine",
    bins: int = 40,
    names: tuple[str, str] = ("look-alikes", "unrelated"),
) -> Figure:
    """Histogram of the similarities of look-alikes (n,) and of unrelated listings (m,), with named thresholds on it.

    `names` says what else the two groups are. Each is drawn as shares of itself, as one may be much larger. `unit`
    labels the axis; "probability", that of a fusion, makes it run from 0 to 1. Raises ValueError if both are empty.
    """
    groups = dict(zip(names, (np.asarray(lookalike, float), np.asarray(unrelated, float)), strict=True))
    together = np.concatenate(list(groups.values()))
    if not len(together):
        raise ValueError("there are no similarities to draw; expected at least one")
    fused = unit == "probability"
    low, high = (0.0, 1.0) if fused else (float(together.min()) - 1e-9, float(together.max()) + 1e-9)
    edges = np.linspace(low, high, bins + 1)
    figure, axes = new_axes(8, 4.5)
    for (name, values), colour in zip(groups.items(), (BLUE, VERMILION), strict=True):
        shares = 100 * np.histogram(values, edges)[0] / max(1, len(values))
        axes.stairs(shares, edges, fill=True, alpha=0.35, color=colour)
        axes.stairs(shares, edges, color=colour, linewidth=1.5, label=f"{name} ({len(values):,})")
    for (name, value), dashes in zip(
        (thresholds or {}).items(), ("--", ":", "-.") * len(thresholds or ()), strict=False
    ):
        axes.axvline(value, color="black", linestyle=dashes, linewidth=1.2, label=f"{name} {value:.3f}")
    axes.set_xlabel("probability of a look-alike (0 to 1)" if fused else f"similarity ({unit})", fontsize=TEXT)
    axes.set_ylabel("share of the group per bin (%)", fontsize=TEXT)
    axes.set_ylim(bottom=0)
    add_legend(axes)
    return figure


def plot_precision_recall(similarity: ArrayLike, correct: ArrayLike, *, positives: int) -> Figure:
    """Precision over recall of n answers as the threshold falls: `similarity` (n,), `correct` (n,).

    `positives` is how many queries have a right product, so recall also counts those that no threshold finds. Raises
    ValueError if no answer is right.
    """
    from sklearn.metrics import precision_recall_curve

    right = np.asarray(correct, bool)
    if not right.any():
        raise ValueError("no answer is right, so there is no precision to draw")
    precision, recall, _ = precision_recall_curve(right, np.asarray(similarity, float))
    figure, axes = new_axes(6, 4.8)
    # the last point, at no answers at all, is a convention and not a measurement
    axes.plot(100 * recall[:-1] * right.sum() / positives, 100 * precision[:-1], color=BLUE, linewidth=2)
    for share in (90, 95):
        axes.axhline(share, color="grey", linewidth=0.8, linestyle=":")
        axes.annotate(
            f"{share} %", (100, share), xytext=(-2, 2), textcoords="offset points", ha="right", color="dimgrey"
        )
    axes.set_xlabel(f"recall (% of the {positives:,} photos that have a match)", fontsize=TEXT)
    axes.set_ylabel("precision (% of answers that are right)", fontsize=TEXT)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 101)
    return figure


def plot_det(curves: Mapping[str, DetCurve], *, thresholds: Mapping[str, float] | None = None) -> Figure:
    """DET curves by name, on normal-deviate axes, with named thresholds as points on each.

    On these axes two normal distributions of similarities give a straight line (Martin et al., "The DET curve in
    assessment of detection task performance", Eurospeech 1997). Rates of 0 and 1 lie at infinity, so they are left out.
    """
    figure, axes = new_axes(6.5, 6)
    drawn: list[NDArray[np.float64]] = []
    for number, (name, curve) in enumerate(curves.items()):
        finite = (curve.fpir > 0) & (curve.fpir < 1) & (curve.fnir > 0) & (curve.fnir < 1)
        points = np.stack([curve.fpir[finite], curve.fnir[finite]])
        drawn.append(points)
        colour, dashes = CURVES[number % len(CURVES)], DASHES[number % len(DASHES)]
        axes.plot(*_deviates(points), linewidth=2, drawstyle="steps-pre", label=name, color=colour, linestyle=dashes)
    points = np.concatenate([np.empty((2, 0)), *drawn], axis=1)
    _mark(axes, curves, thresholds or {})
    axes.set_xlim(_deviate_ticks(axes.xaxis, points[0], 0.6))  # nobody would accept more
    axes.set_ylim(_deviate_ticks(axes.yaxis, points[1], 1))
    axes.set_xlabel("false positive identification rate: unrelated hit (%)", fontsize=TEXT)
    axes.set_ylabel("false negative identification rate: look-alikes missed (%)", fontsize=TEXT)
    add_legend(axes)
    return figure


def plot_brands(figures: Sequence[BrandFigures], *, threshold: float, most: int = 40) -> Figure:
    """Recall and share of false flags of every brand at one threshold, least recall on top, with 95 % intervals.

    A dashed line marks the median brand. If there are more than `most` brands, those with the least recall are drawn.
    Raises ValueError without brands.
    """
    if not figures:
        raise ValueError("there are no brands to draw; expected at least one")
    # a brand without photos that it should be found on stands last, as nothing is known about its recall
    ordered = sorted(figures, key=lambda each: (not each.recall.total, each.recall.value, each.brand))
    shown = ordered[:most]
    figure, (left, right) = _panels(len(shown))
    _draw_shares(left, [each.recall for each in shown], [each.recall for each in figures], colour=BLUE)
    _draw_shares(right, [each.false_flags for each in shown], [each.false_flags for each in figures], colour=VERMILION)
    left.set_xlabel("recall: look-alikes flagged (%)", fontsize=TEXT)
    right.set_xlabel("false flags: unrelated flagged (%)", fontsize=TEXT)
    left.set_xlim(-2, 102)
    # brands with a handful of unrelated photos have intervals up to 100 %, which may run out of the picture
    values = [each.false_flags for each in shown if each.false_flags.total]
    widest = max([each.value for each in values] + [float(np.median([each.high for each in values] or [0.01]))])
    right.set_xlim(-3 * widest, 102 * min(1.0, 1.7 * widest))
    left.set_yticks(range(len(shown)), [f"{each.brand} ({each.recall.total:,})" for each in shown])
    left.set_ylim(len(shown) - 0.5, -0.5)
    left.set_ylabel("brand", fontsize=TEXT)
    left_out = f"; {len(ordered) - len(shown):,} more left out" if len(ordered) > len(shown) else ""
    figure.suptitle(
        f"one threshold, {threshold:.3f}, for all brands (photos in brackets); bars: 95 % intervals{left_out}",
        fontsize=TEXT,
    )
    return figure


def _draw_shares(axes: Axes, shown: Sequence[Share], all_shares: Sequence[Share], *, colour: str) -> None:
    """A row for each share shown: a dot with its interval. The median is that of all shares, shown or not."""
    for row, share in enumerate(shown):
        draw_share(axes, row, share, colour=colour)
    known = [100 * share.value for share in all_shares if share.total]
    if known:
        middle = float(np.median(known))
        axes.axvline(middle, color="black", linestyle="--", linewidth=1, label=f"median brand {middle:.1f} %")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False, fontsize=TEXT - 1)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)


def _panels(rows: int) -> tuple[Figure, tuple[Axes, Axes]]:
    figure = new_figure(9, 1.8 + 0.28 * rows)
    left, right = figure.subplots(1, 2, sharey=True)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return figure, (left, right)


def _deviates(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.stats import norm

    return np.asarray(norm.ppf(shares), float)


def _mark(axes: Axes, curves: Mapping[str, DetCurve], thresholds: Mapping[str, float]) -> None:
    """A point where each threshold lies on each curve, if the axes can show it."""
    for (name, value), marker in zip(thresholds.items(), "os^Dv" * len(thresholds), strict=False):
        rates = [(curve.fpir[at], curve.fnir[at]) for curve in curves.values()
                 if (at := int(np.searchsorted(curve.threshold, value))) < len(curve.threshold)]  # fmt: skip
        finite = np.array([rate for rate in rates if min(rate) > 0 and max(rate) < 1]).reshape(-1, 2).T
        if finite.size:
            axes.plot(*_deviates(finite), marker, color="black", markersize=7, label=f"{name} {value:.3f}")


def _deviate_ticks(axis: Axis, values: NDArray[np.float64], most: float) -> tuple[float, float]:
    """Put ticks in per cent from below the least value to above the greatest, or `most`; returns the axis' limits."""
    ticks = np.array(_TICKS)
    if values.size:
        first = max(0, int(np.searchsorted(ticks, min(values.min(), most), "right")) - 1)
        last = min(len(ticks) - 1, int(np.searchsorted(ticks, values.max())))
        ticks = ticks[first : last + 1]
    ticks = ticks[ticks <= most]
    places = _deviates(ticks)
    axis.set_ticks(places.tolist(), [f"{100 * tick:g}" for tick in ticks])
    return float(places[0]) - 0.05, float(places[-1]) + 0.05
