"""Figures of what labels allow to be promised, for which brand, and what is missing. Each function returns a Figure.

Needs matplotlib, like all of `plots`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from lookalike.binomial import Share, lower_bound, trials_needed
from lookalike.policy.policy import Policy
from lookalike.policy.terms import Evidence, Scope
from lookalike.records import KINDS
from lookalike.thresholds.guarantees import Kept, precision_threshold
from lookalike.thresholds.pairs import LabelledPairs
from lookalike.thresholds.tuning import ALL, OTHER_KINDS

from .style import (
    BLUE,
    CURVES,
    DASHES,
    GREEN,
    ORANGE,
    TEXT,
    VERMILION,
    add_legend,
    draw_share,
    new_axes,
    new_figure,
    percent,
    whole_numbers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_promises(
    similarity: ArrayLike, correct: ArrayLike, *, positives: int, precisions: Sequence[float], confidence: float
) -> Figure:
    """Precision over recall with its lower confidence bound, and where each of the `precisions` can be promised.

    Takes what `plot_precision_recall` takes. The bound is exact, one-sided, and holds for each threshold alone.
    Promises are those of `precision_threshold`; if one can't be kept, the figure says how many flags are missing.
    """
    values, right = np.asarray(similarity, float), np.asarray(correct, bool)
    thresholds = np.unique(values)[::-1]
    flags = np.array([(values >= threshold).sum() for threshold in thresholds], int)
    hits = np.array([(right & (values >= threshold)).sum() for threshold in thresholds], int)
    figure, axes = new_axes(8, 4.8)
    recall = 100 * hits / positives
    axes.plot(recall, 100 * hits / np.maximum(flags, 1), color=BLUE, linewidth=2, label="measured on these labels")
    bound = 100 * lower_bound(hits, flags, confidence=confidence)
    name = f"lower bound with {percent(confidence)} confidence"
    axes.plot(recall, bound, color=VERMILION, linewidth=2, linestyle="--", label=name)
    for precision in precisions:
        axes.axhline(100 * precision, color="grey", linewidth=0.8, linestyle=":")
        found = precision_threshold(values, right, precision=precision, confidence=confidence)
        if isinstance(found, Kept):
            place = 100 * (found.count - found.errors) / positives
            axes.plot(place, 100 * precision, "o", color="black", markersize=7)
            said = f"{percent(precision)}: from {found.threshold:.3f} on"
        else:
            said = f"{percent(precision)}: {found.needed:,} more needed"
        axes.annotate(
            said, (1, 100 * precision), (6, 0), ("axes fraction", "data"), "offset points", va="center", fontsize=TEXT
        )
    axes.set_xlabel(f"recall (% of the {positives:,} listings that have a match)", fontsize=TEXT)
    axes.set_ylabel("precision (% of flags that are right)", fontsize=TEXT)
    axes.set_xlim(0, 101)
    axes.set_ylim(0, 102)
    axes.legend(loc="lower right", frameon=False, fontsize=TEXT - 1)
    return figure


def plot_flags_needed(
    precisions: Sequence[float],
    *,
    confidence: float,
    similarity: ArrayLike = (),
    correct: ArrayLike = (),
    most_errors: int = 5,
) -> Figure:
    """How many flags each of the `precisions` takes at each count of errors, and how many the labelled pairs (n,) have.

    A square stands at the flags that the pairs have before one more error. If the squares lie below a curve at every
    count of errors, that promise is not possible yet, and an arrow shows the least that is missing.
    """
    values, right = np.asarray(similarity, float), np.asarray(correct, bool)
    errors = np.arange(most_errors + 1)
    wrong = np.cumsum(~right[np.argsort(-values, kind="stable")])
    known = errors[: int(wrong[-1]) + 1 if len(wrong) else 0]
    reached = np.searchsorted(wrong, known, "right")
    figure, axes = new_axes(8, 4.8)
    for number, precision in enumerate(precisions):
        needed = np.array([trials_needed(precision, confidence, int(count)) for count in errors])
        colour, dashes = CURVES[number % len(CURVES)], DASHES[number % len(DASHES)]
        axes.plot(
            errors, needed, "o", color=colour, linestyle=dashes, linewidth=2, label=f"needed for {percent(precision)}"
        )
        missing = needed[: len(known)] - reached
        if len(known) and missing.min() > 0:
            at = int(missing.argmin())
            # two promises may fall short at the same count of errors, so their arrows stand side by side
            place = at + 0.06 * (number + 1)
            axes.annotate(
                "", (place, needed[at]), (place, reached[at]), arrowprops={"arrowstyle": "->", "color": colour}
            )
            middle = (needed[at] + reached[at]) / 2
            axes.annotate(f"{missing[at]:,} more", (place, middle), (5, 0), textcoords="offset points", va="center")
    if len(known):
        axes.plot(known, reached, "s", color="black", markersize=7, label=f"reached by these {len(values):,} labels")
    axes.set_xlabel("errors among the flags", fontsize=TEXT)
    axes.set_ylabel(f"labelled flags ({percent(confidence)} confidence)", fontsize=TEXT)
    axes.set_xticks(errors)
    axes.set_xlim(-0.2, most_errors + 0.4)
    axes.set_ylim(bottom=0)
    add_legend(axes)
    return figure


def plot_scopes(policy: Policy, pairs: LabelledPairs) -> Figure:
    """Each brand's thresholds and whose they are, its flags on these pairs with 95 % intervals, and what is missing.

    `pairs` are those that the policy was tuned on. The brands with the most labels stand on top. Raises ValueError for
    a policy without brands.
    """
    scopes = [scope for scope in policy.scopes if scope.territory is None and scope.brand is not None]
    if not scopes:
        raise ValueError(f"policy {policy.name} has no brands to draw; tune it on pairs with brands")
    scopes.sort(key=lambda scope: (-int((pairs.brand == scope.brand).sum()), scope.brand))
    rows = [_Row.of(scope, kind, pairs) for scope in scopes for kind in (*scope.kinds.own, None)]
    figure = new_figure(11, 2 + 0.3 * len(rows))
    left, middle, right = figure.subplots(1, 3, sharey=True, width_ratios=(1.1, 1, 0.85))
    _draw_thresholds(left, [row.scope for row in rows])
    _draw_flags(middle, rows)
    _draw_missing(right, [row.scope for row in rows])
    if policy.promise is not None and policy.promise.precision is not None:
        promised = policy.promise.precision
        middle.axvline(100 * promised, color="black", ls="--", linewidth=1, label=f"promised {percent(promised)}")
    left.set_xlabel(f"threshold on the {'similarity' if policy.fusion is None else 'probability'}", fontsize=TEXT)
    for axes in (left, middle, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
    for axes, columns in ((left, 2), (middle, 1)):
        if axes.get_legend_handles_labels()[1]:
            axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False, fontsize=TEXT - 1, ncols=columns)
    left.set_ylabel("brand (its labels), whose thresholds", fontsize=TEXT)
    left.set_yticks(range(len(rows)), [f"{row.name} ({len(row.pairs):,}), {_lender(row.scope)[0]}" for row in rows])
    left.set_ylim(len(rows) - 0.5, -0.5)
    return figure


@dataclass(frozen=True)
class _Row:
    """A brand, or one kind of likeness in it: its name, the thresholds that count, and its pairs."""

    name: str
    scope: Scope
    pairs: LabelledPairs

    @classmethod
    def of(cls, scope: Scope, kind: str | None, pairs: LabelledPairs) -> _Row:
        own = scope.kinds.own
        of_kind = pairs.kind == kind if kind is not None else ~np.isin(pairs.kind, list(own))
        name = kind or ("other kinds" if own else None)
        mine = pairs[(pairs.brand == scope.brand) & of_kind]
        return cls(", ".join(filter(None, [scope.brand, name])), scope.of(kind), mine)


def _draw_thresholds(axes: Axes, scopes: Sequence[Scope]) -> None:
    drawn: set[str] = set()
    for row, scope in enumerate(scopes):
        _, kind, colour, marker = _lender(scope)
        if scope.flag is not None:
            label = None if kind in drawn else f"flag, {kind}"
            axes.plot(scope.flag, row, marker, color=colour, markersize=8, linestyle="none", label=label)
            drawn.add(kind)
        review = "review" if row == 0 else None
        axes.plot(scope.review, row, "|", color="black", markersize=10, markeredgewidth=1.5, ls="none", label=review)


def _draw_flags(axes: Axes, rows: Sequence[_Row]) -> None:
    for at, row in enumerate(rows):
        flagged = row.pairs.similarity >= (np.inf if row.scope.flag is None else row.scope.flag)
        share = Share.of(int((flagged & row.pairs.lookalike).sum()), int(flagged.sum()))
        draw_share(axes, at, share, colour=BLUE)
    axes.set_xlabel("flags that are right (%), 95 % interval", fontsize=TEXT)
    axes.set_xlim(-2, 102)


def _draw_missing(axes: Axes, scopes: Sequence[Scope]) -> None:
    for row, scope in enumerate(scopes):
        evidence = scope.evidence or Evidence()
        needed = evidence.more_needed + evidence.unrelated_needed
        said = evidence.missing if evidence.unrelated_needed else f"{needed:,}"
        axes.barh(row, needed, color=ORANGE, height=0.6)
        axes.annotate(said, (needed, row), (3, 0), textcoords="offset points", va="center")
    axes.set_xlabel("more labelled flags needed", fontsize=TEXT)
    axes.margins(x=0.2)
    whole_numbers(axes)


def _lender(scope: Scope) -> tuple[str, str, str, str]:
    """Whose the scope's thresholds are, what kind of lender that is, and its colour and marker."""
    of = scope.evidence.of if scope.evidence else scope.brand
    for kind in (*KINDS, OTHER_KINDS):
        of = str(of).removesuffix(f", {kind}")
    if of == scope.brand:
        return "its own", "its own", GREEN, "o"
    if of == ALL:
        return ALL, "of all brands", VERMILION, "^"
    return str(of), "of its category", BLUE, "s"
