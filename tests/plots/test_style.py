"""Figures can be saved and shown, and say what is missing without matplotlib."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from drawn import CORRECT, RELATED, SIMILARITY
from PIL import Image

from lookalike.errors import MissingExtraError
from lookalike.plots.quality import plot_det, plot_similarities
from lookalike.thresholds.metrics import det_curve


def test_figures_are_saved_as_pictures(tmp_path: Path) -> None:
    curve = det_curve(SIMILARITY, CORRECT, related=RELATED)
    plot_det({"all": curve, "again": curve}, thresholds={"flag": 0.7}).savefig(tmp_path / "det.png", dpi=100)
    with Image.open(tmp_path / "det.png") as picture:
        assert picture.size == (650, 600)


def test_a_missing_matplotlib_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"lookalike\[notebook\]"):
        plot_similarities([0.9], [0.1])


def test_a_figure_shows_itself_in_a_notebook_as_a_picture() -> None:
    shown = plot_similarities([0.9], [0.1])._repr_png_()  # type: ignore[attr-defined]
    with Image.open(io.BytesIO(shown)) as picture:
        assert (picture.format, picture.size) == ("PNG", (800, 450))
