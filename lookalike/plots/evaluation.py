"""The figures of an evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lookalike.thresholds.evaluation import Evaluation
from lookalike.thresholds.metrics import det_curve

from .quality import plot_brands, plot_det, plot_precision_recall, plot_similarities

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_evaluation(evaluation: Evaluation) -> dict[str, Figure]:
    """Figures by name: similarities, precision-recall, det and brands, as far as there is something to draw."""
    answers = evaluation.answers
    similarity, correct, related = answers.similarity, answers.correct, answers.related
    marks = {evaluation.threshold_of or "": evaluation.threshold} if evaluation.threshold is not None else {}
    figures = {
        "similarities": plot_similarities(
            similarity[related], similarity[~related], thresholds=marks, unit=evaluation.unit
        )
    }
    if correct.any():
        figures["precision-recall"] = plot_precision_recall(similarity, correct, positives=int(related.sum()))
    if not related.all():
        figures["det"] = plot_det({"all photos": det_curve(similarity, correct, related=related)}, thresholds=marks)
    if evaluation.brands and evaluation.threshold is not None:
        figures["brands"] = plot_brands(evaluation.brands, threshold=evaluation.threshold)
    return figures
