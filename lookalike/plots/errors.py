"""Figures of what went wrong: counts by kind, and pictures side by side. Each function returns a Figure.

Needs matplotlib, like all of `plots`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from lookalike.errors import ImageReadError
from lookalike.records import ImageSource

from .style import BLUE, GREEN, ORANGE, PURPLE, SKY, TEXT, VERMILION, new_axes, new_figure, whole_numbers, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_SIDE = 320  # pixels of a picture's longer side
_NARROW = 0.05  # of the longest bar: a number would not fit into such a part
_IN_A_ROW = 4  # parts that the legend names side by side


def plot_counts(
    counts: Mapping[str, Mapping[str, int]], *, group: str, unit: str = "listings", legend: str = ""
) -> Figure:
    """A bar for each entry of `counts`, the first on top, stacked from its parts, with their numbers where they fit.

    `group` says what the entries are, `unit` what is counted, `legend` what the parts are. Raises ValueError without
    entries.
    """
    if not counts:
        raise ValueError("there are no counts to draw; expected at least one")
    parts = list(dict.fromkeys(part for each in counts.values() for part in each))
    rows = -(-len(parts) // _IN_A_ROW)
    figure, axes = new_axes(8, 1.55 + 0.25 * rows + 0.42 * len(counts))
    narrow = _NARROW * max(sum(each.values()) for each in counts.values())
    axes.grid(visible=False, axis="y")
    done = np.zeros(len(counts))
    colours = (VERMILION, ORANGE, SKY, BLUE, GREEN, PURPLE)
    for number, part in enumerate(parts):
        amounts = np.array([each.get(part, 0) for each in counts.values()], float)
        colour = colours[number % len(colours)]
        bars = axes.barh(range(len(counts)), amounts, 0.7, done, color=colour, edgecolor="white", label=part)
        dark = colour in (BLUE, VERMILION, GREEN)
        numbers = [f"{int(amount):,}" if amount > narrow else "" for amount in amounts]
        axes.bar_label(bars, numbers, label_type="center", color="white" if dark else "black", fontsize=TEXT - 1)
        done += amounts
    axes.set_xlabel(unit, fontsize=TEXT)
    axes.set_ylabel(wrapped(group, 20), fontsize=TEXT)
    axes.set_yticks(range(len(counts)), list(counts))
    axes.set_ylim(len(counts) - 0.5, -0.5)
    whole_numbers(axes)
    axes.legend(
        loc="lower center",
        bbox_to_anchor=(0.5, 1),
        ncols=-(-len(parts) // rows),
        frameon=False,
        title=legend or None,
        fontsize=TEXT - 1,
    )
    return figure


def plot_pictures(cases: Mapping[str, Mapping[str, ImageSource]], *, columns: int = 2, most: int = 4) -> Figure:
    """Pictures to compare: those of one case side by side under its title, each with its caption.

    `cases` maps each title to its pictures by caption; the first `most` cases are drawn. Where a picture can't be
    read, the figure says so. Without cases it says that there are none.
    """
    cases = dict(islice(cases.items(), most))
    columns = max(1, min(columns, len(cases)))
    rows, slots = -(-len(cases) // columns), max((len(pictures) for pictures in cases.values()), default=1)
    figure = new_figure(columns * (1.75 * slots + 0.25), max(1, rows) * 2.75)
    if not cases:
        figure.set_size_inches(6, 1)
        figure.text(0.5, 0.5, "there are none", ha="center", va="center", fontsize=TEXT)
        return figure
    figure.set_layout_engine("constrained", h_pad=0.08)  # inches, so that titles of three lines stay off the captions
    panels = figure.subfigures(rows, columns, squeeze=False, wspace=0.04, hspace=0.04).ravel()
    for panel, (title, pictures) in zip(panels, cases.items(), strict=False):
        panel.suptitle(wrapped(title, 24 * slots), x=0.02, ha="left", fontsize=TEXT - 1)
        row = panel.subplots(1, slots, squeeze=False)[0]
        for axes in row:
            axes.axis("off")
        for axes, (caption, picture) in zip(row, pictures.items(), strict=False):
            axes.set_title(wrapped(caption, 24), fontsize=TEXT - 3)
            _draw_picture(axes, picture)
    return figure


def _draw_picture(axes: Axes, picture: ImageSource) -> None:
    from lookalike.model.images import read_image

    try:
        small = read_image(picture).image.copy()
    except ImageReadError:
        axes.text(0.5, 0.5, "can't be read", ha="center", va="center", fontsize=TEXT - 2, transform=axes.transAxes)
        return
    small.thumbnail((_SIDE, _SIDE))
    axes.imshow(small)
