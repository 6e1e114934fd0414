"""The figures of an evaluation are drawn from its answers, as far as there is something to draw."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from drawn import BRAND, CORRECT, RELATED, SIMILARITY, xy

from lookalike.plots.evaluation import plot_evaluation
from lookalike.tables.labels import LabelledPhoto
from lookalike.thresholds.brands import brand_figures, opis, spread
from lookalike.thresholds.evaluation import Answers, Evaluation
from lookalike.thresholds.metrics import det_curve, evaluate_retrieval


def evaluation(rows: Any = slice(None), **changes: Any) -> Evaluation:
    similarity, correct, related, brand = SIMILARITY[rows], CORRECT[rows], RELATED[rows], BRAND[rows]
    figures = brand_figures(similarity, correct, related=related, brand=brand, threshold=0.7)
    made = Evaluation(
        similarity="cosine",
        unit="cosine",
        policy=None,
        overall=evaluate_retrieval(similarity, correct, related=related),
        strata={},
        budget=None,
        precision_at_budget=None,
        threshold=0.7,
        threshold_of="flag of autumn",
        brands=tuple(figures),
        recall_spread=spread([]),
        false_flags_spread=spread([]),
        opis=opis(similarity, correct, related=related, brand=brand),
        answers=Answers((LabelledPhoto("a.jpg"),) * len(similarity), related, similarity, correct, brand),
    )
    return replace(made, **changes)


def test_draws_the_answers_with_the_threshold_on_them() -> None:
    figures = plot_evaluation(evaluation())
    assert list(figures) == ["similarities", "precision-recall", "det", "brands"]
    (axes,) = figures["similarities"].axes
    assert (axes.get_xlabel(), xy(axes.lines[0])[0, 0]) == ("similarity (cosine)", 0.7)
    assert axes.get_legend().get_texts()[-1].get_text() == "flag of autumn 0.700"
    curve = det_curve(SIMILARITY, CORRECT, related=RELATED)
    inside = (curve.fpir > 0) & (curve.fpir < 1) & (curve.fnir > 0) & (curve.fnir < 1)
    assert len(xy(figures["det"].axes[0].lines[0])) == inside.sum()
    assert len(figures["brands"].axes[0].get_yticklabels()) == 12


def test_says_what_a_fusion_ranks_by() -> None:
    (axes,) = plot_evaluation(evaluation(similarity="by autumn", unit="probability"))["similarities"].axes
    assert axes.get_xlabel() == "probability of a look-alike (0 to 1)"


@pytest.mark.parametrize(
    ("rows", "drawn"), [(RELATED, ["similarities", "precision-recall"]), (~CORRECT, ["similarities", "det"])]
)
def test_leaves_out_what_there_is_nothing_to_draw_for(rows: Any, drawn: list[str]) -> None:
    assert list(plot_evaluation(evaluation(rows, threshold=None, threshold_of=None, brands=()))) == drawn
