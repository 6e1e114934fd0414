"""Counts show their numbers, and pictures stand side by side."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from drawn import annotations

from lookalike.plots.errors import plot_counts, plot_pictures


def test_counts_are_stacked_and_say_their_numbers() -> None:
    (axes,) = plot_counts({"before": {"flagged": 3, "clear": 0}, "after": {"clear": 5}}, group="verdict").axes
    flagged, clear = axes.containers
    assert [bar.get_width() for bar in flagged] == [3, 0]  # type: ignore[attr-defined]
    assert [(bar.get_x(), bar.get_width()) for bar in clear] == [(3, 0), (0, 5)]  # type: ignore[attr-defined]
    assert annotations(axes) == ["3", "5"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["before", "after"]
    with pytest.raises(ValueError, match="no counts"):
        plot_counts({}, group="verdict")


def test_a_narrow_part_has_no_number_and_a_long_legend_several_rows() -> None:
    parts = {f"part {k}": 100 for k in range(6)} | {"narrow": 2}
    figure = plot_counts({"before": parts}, group="verdict")
    (axes,) = figure.axes
    assert annotations(axes) == ["100"] * 6
    figure.savefig(BytesIO())  # which makes room for the legend
    legend = axes.get_legend()
    assert legend is not None and [text.get_text() for text in legend.get_texts()] == list(parts)
    box, page = legend.get_window_extent(), figure.bbox
    assert box.x0 >= 0 and box.x1 <= page.x1 and box.y1 <= page.y1
    assert axes.bbox.width > page.width / 2


def test_pictures_of_a_case_stand_side_by_side_without_ticks() -> None:
    red, green = np.full((40, 60, 3), (255, 0, 0), np.uint8), np.full((800, 20, 3), (0, 255, 0), np.uint8)
    cases = {f"case {k}\nof some": {"listing": red, "nearest": green, "gone": "no-such-file.jpg"} for k in range(5)}
    figure = plot_pictures(cases, columns=2, most=3)
    assert [panel.get_suptitle() for panel in figure.subfigs[:3]] == [f"case {k}\nof some" for k in range(3)]  # type: ignore[attr-defined]
    axes = [each for each in figure.axes if each.get_title()]
    assert [each.get_title() for each in axes] == ["listing", "nearest", "gone"] * 3
    assert not any(each.axison for each in figure.axes)
    assert np.asarray(axes[0].images[0].get_array())[0, 0].tolist() == [255, 0, 0]
    assert np.asarray(axes[1].images[0].get_array()).shape[0] == 320  # a thumbnail of it
    assert annotations(axes[2]) == ["can't be read"]


def test_no_pictures_are_a_figure_that_says_so() -> None:
    assert plot_pictures({}).texts[0].get_text() == "there are none"
