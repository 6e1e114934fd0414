"""What all figures share: text sizes, colours, axes. Made without pyplot, so that nothing is shown or kept open.

The colours are from Okabe and Ito's palette, which colour-blind people can tell apart.
"""

from __future__ import annotations

import io
import textwrap
from functools import cache
from typing import TYPE_CHECKING

from lookalike.binomial import Share
from lookalike.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, VERMILION, GREEN, PURPLE, SKY, ORANGE = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"
CURVES = (BLUE, VERMILION, GREEN, PURPLE, SKY, ORANGE)
DASHES = ("-", "--", "-.", ":")
TEXT = 11  # points


def require_matplotlib() -> None:
    """Raise MissingExtraError if matplotlib is missing, so that a wrong call fails before long work."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("matplotlib", "notebook") from error


@cache
def _shown_figure() -> type[Figure]:
    """Figures that Jupyter shows; without this it shows only those made by pyplot."""
    from matplotlib.figure import Figure

    class Shown(Figure):
        def _repr_png_(self) -> bytes:
            data = io.BytesIO()
            self.savefig(data, format="png")
            return data.getvalue()

    return Shown


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that size in inches. Raises MissingExtraError without matplotlib."""
    require_matplotlib()
    return _shown_figure()(figsize=(width, height), layout="constrained")


def new_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of that size in inches with one set of axes, with a grid and without a frame."""
    figure = new_figure(width, height)
    axes = figure.add_subplot()
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def whole_numbers(axes: Axes) -> None:
    """Ticks on the x axis at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))


def draw_share(axes: Axes, row: int, share: Share, *, colour: str) -> None:
    """A dot at the share in per cent, with its interval as a bar behind it; nothing for a total of 0."""
    if share.total:
        axes.plot([100 * share.low, 100 * share.high], [row, row], color=colour, alpha=0.4, linewidth=4)
        axes.plot(100 * share.value, row, "o", color=colour, markersize=6)


def add_legend(axes: Axes) -> None:
    """A legend if there is something to name."""
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="best", frameon=False, fontsize=TEXT - 1)


def percent(share: float) -> str:
    """A share (0 to 1) in per cent, without trailing zeros."""
    return f"{100 * share:g} %"


def wrapped(text: str, width: int) -> str:
    """The text in lines of at most this many characters."""
    return "\n".join(textwrap.fill(line, width) for line in text.splitlines())
