"""Figures of how well look-alikes are told from unrelated goods; each function gives a Figure.

Needs matplotlib, which the extra `notebook` brings; without it every function raises MissingExtraError. Figures are
made without pyplot, so nothing is shown or kept open: a notebook shows the last one, `figure.savefig("a.png")` keeps
it. Colours are of Okabe and Ito's palette, which colour-blind people can tell apart.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import ImageReadError, MissingExtraError
from .guarantees import Kept, flags_needed, precision_threshold
from .operating_points import BrandFigures, DetCurve, Share
from .policy import Policy, Scope
from .records import ImageSource
from .tuning import ALL, LabelledPairs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

_BLUE, _VERMILION, _GREEN, _PURPLE, _SKY, _ORANGE = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"
_CURVES = (_BLUE, _VERMILION, _GREEN, _PURPLE, _SKY, _ORANGE)
_DASHES = ("-", "--", "-.", ":")
_TICKS = (0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.97, 0.99, 0.999)
_TEXT = 11
_SIDE = 320


def plot_similarities(
    lookalike: ArrayLike,
    unrelated: ArrayLike,
    *,
    thresholds: Mapping[str, float] | None = None,
    unit: str = "cosine",
    bins: int = 40,
) -> Figure:
    """Histogram of the similarities of look-alikes (n,) and of unrelated listings (m,), with named thresholds on it.

    Each group is drawn as shares of itself, as there may be many more of one. `unit` says what the similarity is, for
    the axis. Raises ValueError where both are empty.
    """
    groups = {"look-alikes": np.asarray(lookalike, float), "unrelated": np.asarray(unrelated, float)}
    together = np.concatenate(list(groups.values()))
    if not len(together):
        raise ValueError("there are no similarities to draw; needed at least one")
    edges = np.linspace(together.min() - 1e-9, together.max() + 1e-9, bins + 1)
    figure, axes = _figure(8, 4.5)
    for (name, values), colour in zip(groups.items(), (_BLUE, _VERMILION), strict=True):
        shares = 100 * np.histogram(values, edges)[0] / max(1, len(values))
        axes.stairs(shares, edges, fill=True, alpha=0.35, color=colour)
        axes.stairs(shares, edges, color=colour, linewidth=1.5, label=f"{name} ({len(values):,})")
    for (name, value), dashes in zip(
        (thresholds or {}).items(), ("--", ":", "-.") * len(thresholds or ()), strict=False
    ):
        axes.axvline(value, color="black", linestyle=dashes, linewidth=1.2, label=f"{name} {value:.3f}")
    axes.set_xlabel(f"similarity ({unit})", fontsize=_TEXT)
    axes.set_ylabel("share of the group per bin (%)", fontsize=_TEXT)
    axes.set_ylim(bottom=0)
    _legend(axes)
    return figure


def plot_precision_recall(similarity: ArrayLike, correct: ArrayLike, *, positives: int) -> Figure:
    """Precision over recall of n answers as the threshold falls: `similarity` (n,), `correct` (n,).

    `positives` is how many queries have a right product: the recall counts those that no threshold finds, too. Raises
    ValueError where no answer is right.
    """
    from sklearn.metrics import precision_recall_curve

    right = np.asarray(correct, bool)
    if not right.any():
        raise ValueError("no answer is right, so there is no precision to draw")
    precision, recall, _ = precision_recall_curve(right, np.asarray(similarity, float))
    figure, axes = _figure(6, 4.8)
    # the last point, at no answers at all, is a convention and no measurement
    axes.plot(100 * recall[:-1] * right.sum() / positives, 100 * precision[:-1], color=_BLUE, linewidth=2)
    for share in (90, 95):
        axes.axhline(share, color="grey", linewidth=0.8, linestyle=":")
        axes.annotate(
            f"{share} %", (100, share), xytext=(-2, 2), textcoords="offset points", ha="right", color="dimgrey"
        )
    axes.set_xlabel(f"recall (% of the {positives:,} photos that have a match)", fontsize=_TEXT)
    axes.set_ylabel("precision (% of answers that are right)", fontsize=_TEXT)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 101)
    return figure


def plot_det(curves: Mapping[str, DetCurve], *, thresholds: Mapping[str, float] | None = None) -> Figure:
    """DET curves by name, on normal-deviate axes, with named thresholds as points on each.

    On these axes two normal distributions of similarities give a straight line (Martin et al., "The DET curve in
    assessment of detection task performance", Eurospeech 1997). Rates of 0 and 1 lie at infinity and are left out.
    """
    figure, axes = _figure(6.5, 6)
    drawn: list[NDArray[np.float64]] = []
    for number, (name, curve) in enumerate(curves.items()):
        finite = (curve.fpir > 0) & (curve.fpir < 1) & (curve.fnir > 0) & (curve.fnir < 1)
        points = np.stack([curve.fpir[finite], curve.fnir[finite]])
        drawn.append(points)
        colour, dashes = _CURVES[number % len(_CURVES)], _DASHES[number % len(_DASHES)]
        axes.plot(*_deviates(points), linewidth=2, drawstyle="steps-pre", label=name, color=colour, linestyle=dashes)
    points = np.concatenate([np.empty((2, 0)), *drawn], axis=1)
    _mark(axes, curves, thresholds or {})
    axes.set_xlim(_deviate_ticks(axes.xaxis, points[0], 0.6))  # nobody lives with more
    axes.set_ylim(_deviate_ticks(axes.yaxis, points[1], 1))
    axes.set_xlabel("false positive identification rate: unrelated hit (%)", fontsize=_TEXT)
    axes.set_ylabel("false negative identification rate: look-alikes missed (%)", fontsize=_TEXT)
    _legend(axes)
    return figure


def plot_brands(figures: Sequence[BrandFigures], *, threshold: float, most: int = 40) -> Figure:
    """Recall and share of false flags of every brand at one threshold, least recall on top, with 95 % intervals.

    A dashed line marks the middle brand. Of more than `most` brands, those of the least recall are drawn. Raises
    ValueError where there are none.
    """
    if not figures:
        raise ValueError("there are no brands to draw; needed at least one")
    # a brand without photos that it should be found on stands last, as nothing is known of its recall
    ordered = sorted(figures, key=lambda each: (not each.recall.total, each.recall.value, each.brand))
    shown = ordered[:most]
    figure, (left, right) = _panels(len(shown))
    for axes, colour, name, title in (
        (left, _BLUE, "recall", "recall: look-alikes flagged (%)"),
        (right, _VERMILION, "false_flags", "false flags: unrelated flagged (%)"),
    ):
        shares = [getattr(each, name) for each in shown]
        for row, share in enumerate(shares):
            if share.total:
                axes.plot([100 * share.low, 100 * share.high], [row, row], color=colour, alpha=0.4, linewidth=4)
                axes.plot(100 * share.value, row, "o", color=colour, markersize=6)
        known = [100 * getattr(each, name).value for each in figures if getattr(each, name).total]
        if known:
            middle = float(np.median(known))
            axes.axvline(middle, color="black", linestyle="--", linewidth=1, label=f"middle brand {middle:.1f} %")
            axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False, fontsize=_TEXT - 1)
        axes.set_xlabel(title, fontsize=_TEXT)
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
    left.set_xlim(-2, 102)
    # brands with a handful of unrelated photos have intervals up to 100 %, which may run out of the picture
    values = [each.false_flags for each in shown if each.false_flags.total]
    widest = max([each.value for each in values] + [float(np.median([each.high for each in values] or [0.01]))])
    right.set_xlim(-3 * widest, 102 * min(1.0, 1.7 * widest))
    left.set_yticks(range(len(shown)), [f"{each.brand} ({each.recall.total:,})" for each in shown])
    left.set_ylim(len(shown) - 0.5, -0.5)
    left.set_ylabel("brand", fontsize=_TEXT)
    left_out = f"; {len(ordered) - len(shown):,} more left out" if len(ordered) > len(shown) else ""
    figure.suptitle(
        f"one threshold, {threshold:.3f}, for all brands (photos in brackets); bars: 95 % intervals{left_out}",
        fontsize=_TEXT,
    )
    return figure


def plot_promises(
    similarity: ArrayLike, correct: ArrayLike, *, positives: int, precisions: Sequence[float], confidence: float
) -> Figure:
    """Precision over recall with its lower confidence bound, and from where on each of the `precisions` is promised.

    Takes what `plot_precision_recall` takes. The bound is Clopper and Pearson's, one-sided, for each threshold by
    itself; a promise is that of `precision_threshold`, and where none can be kept it says how many flags are missing.
    """
    values, right = np.asarray(similarity, float), np.asarray(correct, bool)
    thresholds = np.unique(values)[::-1]
    flags = np.array([(values >= threshold).sum() for threshold in thresholds], int)
    hits = np.array([(right & (values >= threshold)).sum() for threshold in thresholds], int)
    figure, axes = _figure(8, 4.8)
    recall = 100 * hits / positives
    axes.plot(recall, 100 * hits / np.maximum(flags, 1), color=_BLUE, linewidth=2, label="measured on these labels")
    bound = 100 * _lower_bound(hits, flags, confidence)
    name = f"lower bound with {_percent(confidence)} confidence"
    axes.plot(recall, bound, color=_VERMILION, linewidth=2, linestyle="--", label=name)
    for precision in precisions:
        axes.axhline(100 * precision, color="grey", linewidth=0.8, linestyle=":")
        found = precision_threshold(values, right, precision=precision, confidence=confidence)
        if isinstance(found, Kept):
            place = 100 * (found.count - found.errors) / positives
            axes.plot(place, 100 * precision, "o", color="black", markersize=7)
            said = f"{_percent(precision)}: from {found.threshold:.3f} on"
        else:
            said = f"{_percent(precision)}: {found.needed:,} more needed"
        axes.annotate(
            said, (1, 100 * precision), (6, 0), ("axes fraction", "data"), "offset points", va="center", fontsize=_TEXT
        )
    axes.set_xlabel(f"recall (% of the {positives:,} listings that have a match)", fontsize=_TEXT)
    axes.set_ylabel("precision (% of flags that are right)", fontsize=_TEXT)
    axes.set_xlim(0, 101)
    axes.set_ylim(0, 102)
    axes.legend(loc="lower right", frameon=False, fontsize=_TEXT - 1)
    return figure


def plot_flags_needed(
    precisions: Sequence[float],
    *,
    confidence: float,
    similarity: ArrayLike = (),
    correct: ArrayLike = (),
    most_errors: int = 5,
) -> Figure:
    """How many flags with so many errors show each of the `precisions`, and how many the labelled pairs (n,) have.

    A square stands at the flags that the pairs have before one error more; where it is below a curve at every count of
    errors that promise is not possible, and an arrow shows the least that is missing.
    """
    values, right = np.asarray(similarity, float), np.asarray(correct, bool)
    errors = np.arange(most_errors + 1)
    wrong = np.cumsum(~right[np.argsort(-values, kind="stable")])
    known = errors[: int(wrong[-1]) + 1 if len(wrong) else 0]
    reached = np.searchsorted(wrong, known, "right")
    figure, axes = _figure(8, 4.8)
    for number, precision in enumerate(precisions):
        needed = np.array([flags_needed(precision, confidence, int(count)) for count in errors])
        colour, dashes = _CURVES[number % len(_CURVES)], _DASHES[number % len(_DASHES)]
        axes.plot(
            errors, needed, "o", color=colour, linestyle=dashes, linewidth=2, label=f"needed for {_percent(precision)}"
        )
        missing = needed[: len(known)] - reached
        if len(known) and missing.min() > 0:
            at = int(missing.argmin())
            # two promises may be short by the same count of errors, so their arrows stand side by side
            place = at + 0.06 * (number + 1)
            axes.annotate(
                "", (place, needed[at]), (place, reached[at]), arrowprops={"arrowstyle": "->", "color": colour}
            )
            middle = (needed[at] + reached[at]) / 2
            axes.annotate(f"{missing[at]:,} more", (place, middle), (5, 0), textcoords="offset points", va="center")
    if len(known):
        axes.plot(known, reached, "s", color="black", markersize=7, label=f"reached by these {len(values):,} labels")
    axes.set_xlabel("errors among the flags", fontsize=_TEXT)
    axes.set_ylabel(f"labelled flags ({_percent(confidence)} confidence)", fontsize=_TEXT)
    axes.set_xticks(errors)
    axes.set_xlim(-0.2, most_errors + 0.4)
    axes.set_ylim(bottom=0)
    _legend(axes)
    return figure


def plot_scopes(policy: Policy, pairs: LabelledPairs) -> Figure:
    """Each brand's thresholds and from whom they are, what its flags came to with 95 % intervals, and what is missing.

    `pairs` are those that the policy was tuned on. Brands with most labels stand on top. Raises ValueError for a policy
    that has no brands.
    """
    scopes = [scope for scope in policy.scopes if scope.territory is None and scope.brand is not None]
    if not scopes:
        raise ValueError(f"policy {policy.name} has no brands to draw; tune it on pairs with brands")
    scopes.sort(key=lambda scope: (-int((pairs.brand == scope.brand).sum()), scope.brand))
    figure = _new_figure(11, 2 + 0.3 * len(scopes))
    left, middle, right = figure.subplots(1, 3, sharey=True, width_ratios=(1.1, 1, 0.85))
    drawn: set[str] = set()
    for row, scope in enumerate(scopes):
        _, kind, colour, marker = _lender(scope)
        if scope.flag is not None:
            label = None if kind in drawn else f"flag, {kind}"
            left.plot(scope.flag, row, marker, color=colour, markersize=8, linestyle="none", label=label)
            drawn.add(kind)
        review = "review" if row == 0 else None
        left.plot(scope.review, row, "|", color="black", markersize=10, markeredgewidth=1.5, ls="none", label=review)
        mine = (pairs.brand == scope.brand) & (pairs.similarity >= (np.inf if scope.flag is None else scope.flag))
        share = Share.of(int((mine & pairs.lookalike).sum()), int(mine.sum()))
        if share.total:
            middle.plot([100 * share.low, 100 * share.high], [row, row], color=_BLUE, alpha=0.4, linewidth=4)
            middle.plot(100 * share.value, row, "o", color=_BLUE, markersize=6)
        needed = scope.evidence.more_needed if scope.evidence else 0
        right.barh(row, needed, color=_ORANGE, height=0.6)
        right.annotate(f"{needed:,}", (needed, row), (3, 0), textcoords="offset points", va="center")
    if policy.promise is not None and policy.promise.precision is not None:
        promised = policy.promise.precision
        middle.axvline(100 * promised, color="black", ls="--", linewidth=1, label=f"promised {_percent(promised)}")
    for axes, text in (
        (left, "threshold on the similarity"),
        (middle, "flags that are right (%), 95 % interval"),
        (right, "more labelled flags needed"),
    ):
        axes.set_xlabel(text, fontsize=_TEXT)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
    middle.set_xlim(-2, 102)
    right.margins(x=0.2)
    _whole_numbers(right)
    for axes, columns in ((left, 2), (middle, 1)):
        if axes.get_legend_handles_labels()[1]:
            axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False, fontsize=_TEXT - 1, ncols=columns)
    left.set_ylabel("brand (its labels), whose thresholds", fontsize=_TEXT)
    counts = [int((pairs.brand == scope.brand).sum()) for scope in scopes]
    names = [f"{s.brand} ({n:,}), {_lender(s)[0]}" for s, n in zip(scopes, counts, strict=True)]
    left.set_yticks(range(len(scopes)), names)
    left.set_ylim(len(scopes) - 0.5, -0.5)
    return figure


def plot_counts(
    counts: Mapping[str, Mapping[str, int]], *, group: str, unit: str = "listings", legend: str = ""
) -> Figure:
    """A bar for each entry of `counts`, made up of its parts with their numbers in them; first entry on top.

    `group` says what the entries are, `unit` what is counted, `legend` what the parts are. Raises ValueError where
    there are no entries.
    """
    if not counts:
        raise ValueError("there are no counts to draw; needed at least one")
    parts = list(dict.fromkeys(part for each in counts.values() for part in each))
    figure, axes = _figure(8, 1.8 + 0.42 * len(counts))
    axes.grid(visible=False, axis="y")
    done = np.zeros(len(counts))
    colours = (_VERMILION, _ORANGE, _SKY, _BLUE, _GREEN, _PURPLE)
    for number, part in enumerate(parts):
        amounts = np.array([each.get(part, 0) for each in counts.values()], float)
        colour = colours[number % len(colours)]
        bars = axes.barh(range(len(counts)), amounts, 0.7, done, color=colour, edgecolor="white", label=part)
        dark = colour in (_BLUE, _VERMILION, _GREEN)
        numbers = [f"{int(amount):,}" if amount else "" for amount in amounts]
        axes.bar_label(bars, numbers, label_type="center", color="white" if dark else "black", fontsize=_TEXT - 1)
        done += amounts
    axes.set_xlabel(unit, fontsize=_TEXT)
    axes.set_ylabel(_wrapped(group, 20), fontsize=_TEXT)
    axes.set_yticks(range(len(counts)), list(counts))
    axes.set_ylim(len(counts) - 0.5, -0.5)
    _whole_numbers(axes)
    axes.legend(
        loc="lower center",
        bbox_to_anchor=(0.5, 1),
        ncols=len(parts),
        frameon=False,
        title=legend or None,
        fontsize=_TEXT - 1,
    )
    return figure


def plot_pictures(cases: Mapping[str, Mapping[str, ImageSource]], *, columns: int = 2, most: int = 4) -> Figure:
    """Pictures to be compared, those of one case side by side under its title, each with its caption.

    `cases` gives for each title its pictures by caption; the first `most` are drawn. A picture that can't be read is
    told of in its place. No cases give a figure that says so.
    """
    cases = dict(islice(cases.items(), most))
    columns = max(1, min(columns, len(cases)))
    rows, slots = -(-len(cases) // columns), max((len(pictures) for pictures in cases.values()), default=1)
    figure = _new_figure(columns * (1.75 * slots + 0.25), max(1, rows) * 2.75)
    if not cases:
        figure.set_size_inches(6, 1)
        figure.text(0.5, 0.5, "there are none", ha="center", va="center", fontsize=_TEXT)
        return figure
    panels = figure.subfigures(rows, columns, squeeze=False, wspace=0.04, hspace=0.04).ravel()
    for panel, (title, pictures) in zip(panels, cases.items(), strict=False):
        panel.suptitle(_wrapped(title, 24 * slots), x=0.02, ha="left", fontsize=_TEXT - 1)
        row = panel.subplots(1, slots, squeeze=False)[0]
        for axes in row:
            axes.axis("off")
        for axes, (caption, picture) in zip(row, pictures.items(), strict=False):
            axes.set_title(_wrapped(caption, 24), fontsize=_TEXT - 3)
            _draw_picture(axes, picture)
    return figure


def require_matplotlib() -> None:
    """Raise MissingExtraError where matplotlib is missing, so that a wrong call fails before long work."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("matplotlib", "notebook") from error


@cache
def _shown_figure() -> type[Figure]:
    """Figures that Jupyter shows: it knows by itself those of pyplot only."""
    from matplotlib.figure import Figure

    class Shown(Figure):
        def _repr_png_(self) -> bytes:
            data = io.BytesIO()
            self.savefig(data, format="png")
            return data.getvalue()

    return Shown


def _new_figure(width: float, height: float) -> Figure:
    require_matplotlib()
    return _shown_figure()(figsize=(width, height), layout="constrained")


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = _new_figure(width, height)
    axes = figure.add_subplot()
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _panels(rows: int) -> tuple[Figure, tuple[Axes, Axes]]:
    figure = _new_figure(9, 1.8 + 0.28 * rows)
    left, right = figure.subplots(1, 2, sharey=True)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return figure, (left, right)


def _whole_numbers(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="best", frameon=False, fontsize=_TEXT - 1)


def _lower_bound(hits: NDArray[np.int_], flags: NDArray[np.int_], confidence: float) -> NDArray[np.float64]:
    """Clopper and Pearson's one-sided bound on the share that hits are of flags (n,); 0 without a hit."""
    from scipy.stats import beta

    bound = beta.ppf(1 - confidence, np.maximum(hits, 1), flags - hits + 1)
    return np.asarray(np.where(hits > 0, bound, 0), float)


def _lender(scope: Scope) -> tuple[str, str, str, str]:
    """Whose the scope's thresholds are, what kind of lender that is, and its colour and marker."""
    of = scope.evidence.of if scope.evidence else scope.brand
    if of == scope.brand:
        return "its own", "its own", _GREEN, "o"
    if of == ALL:
        return ALL, "of all brands", _VERMILION, "^"
    return str(of), "of its category", _BLUE, "s"


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.fill(line, width) for line in text.splitlines())


def _draw_picture(axes: Axes, picture: ImageSource) -> None:
    from lookalike.model.images import read_image

    try:
        small = read_image(picture).image.copy()
    except ImageReadError:
        axes.text(0.5, 0.5, "can't be read", ha="center", va="center", fontsize=_TEXT - 2, transform=axes.transAxes)
        return
    small.thumbnail((_SIDE, _SIDE))
    axes.imshow(small)


def _deviates(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.stats import norm

    return np.asarray(norm.ppf(shares), float)


def _mark(axes: Axes, curves: Mapping[str, DetCurve], thresholds: Mapping[str, float]) -> None:
    """A point on each curve where the threshold lies on it, as far as that is on the paper."""
    for (name, value), marker in zip(thresholds.items(), "os^Dv" * len(thresholds), strict=False):
        rates = [(curve.fpir[at], curve.fnir[at]) for curve in curves.values()
                 if (at := int(np.searchsorted(curve.threshold, value))) < len(curve.threshold)]  # fmt: skip
        finite = np.array([rate for rate in rates if min(rate) > 0 and max(rate) < 1]).reshape(-1, 2).T
        if finite.size:
            axes.plot(*_deviates(finite), marker, color="black", markersize=7, label=f"{name} {value:.3f}")


def _deviate_ticks(axis: Axis, values: NDArray[np.float64], most: float) -> tuple[float, float]:
    """Put ticks in per cent from below the least value to above the greatest, or `most`; gives the axis' limits."""
    ticks = np.array(_TICKS)
    if values.size:
        first = max(0, int(np.searchsorted(ticks, min(values.min(), most), "right")) - 1)
        last = min(len(ticks) - 1, int(np.searchsorted(ticks, values.max())))
        ticks = ticks[first : last + 1]
    ticks = ticks[ticks <= most]
    places = _deviates(ticks)
    axis.set_ticks(places.tolist(), [f"{100 * tick:g}" for tick in ticks])
    return float(places[0]) - 0.05, float(places[-1]) + 0.05
