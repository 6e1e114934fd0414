"""Similarity, look and matching points, fused into one probability that the listing is a look-alike of the product.

This is a logistic model of a few numbers, readable in the policy and fitted by `lookalike tune`. It is calibrated
because it is fitted to the answers that it selects itself, one for each photo (Platt scaling with some numbers).

One model serves all kinds of likeness. Among matches without agreeing points, which are look-alikes at most, it ranks
by similarity, look and their margins. The lack of points makes their probabilities lower than those of copies, which is
why a policy may have thresholds by kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import TableError
from lookalike.records import Match

from .entries import Coefficient, Count

_ROUNDS = 4  # of selecting an answer for each photo and fitting to the answers
_LEAST = 10  # labels of either kind: some numbers can't be fitted to fewer
_NUMBERS, _POINTS, _ALIKE = 6, [2, 3], [0, 4]  # how many there are; those of matching points, and the two cosines


@dataclass(frozen=True)
class Fusion:
    """Coefficients of the probability p: log(p / (1 − p)) is `intercept` plus products of coefficient and number.

    The numbers are the similarity, normalised if the policy normalises; the margin, which is how much more similar the
    photo is to this product than to any other (negative if another is nearer); the natural logarithm of 1 + inliers;
    the coverage, which is the share of the reference found again; the look, and its margin. The last two count only
    where no points agree, since those say more, and are 0 for an encoder without a second head. `labels` is how many
    photos it was fitted to.
    """

    intercept: Coefficient
    similarity: Coefficient
    margin: Coefficient
    inliers: Coefficient
    coverage: Coefficient
    labels: Count = 0
    look: Coefficient = 0.0
    look_margin: Coefficient = 0.0

    def probability(self, match: Match) -> float:
        """The probability, 0 to 1, that the photo is a look-alike of the match's product.

        >>> from lookalike.records import Reference
        >>> fusion = Fusion(-2.0, 2.0, 0.0, 1.0, 0.0)
        >>> fusion.probability(Match(Reference("r", "p", "b", "r.jpg"), 1.0))
        0.5
        """
        log_odds = self.intercept + float(np.dot(_numbers(match), self._coefficients))
        return 1 / (1 + math.exp(-min(max(log_odds, -500.0), 500.0)))

    def to_dict(self) -> dict[str, float]:
        """The entries of a policy's [fusion] table; those for look only if they count, so that policies keep labels."""
        return {name: value for name, value in asdict(self).items() if value or not name.startswith("look")}

    @property
    def _coefficients(self) -> tuple[float, ...]:
        return self.similarity, self.margin, self.inliers, self.coverage, self.look, self.look_margin


def probability_text(probability: float) -> str:
    """The probability for people to read; nothing is certain.

    >>> probability_text(0.8812), probability_text(0.99999)
    ('0.881', 'over 0.999')
    """
    return "over 0.999" if probability > 0.999 else f"{probability:.3f}"


def fit_fusion(photos: Iterable[tuple[Sequence[Match], Callable[[Match], bool]]], *, similarity: bool = True) -> Fusion:
    """Fit a fusion to labelled photos: each photo's matches, with their margins, and which of them are right.

    Without `similarity`, only the verification counts. Raises TableError if there are too few labels of either kind.
    """
    used = [*range(_NUMBERS)] if similarity else _POINTS
    labelled = [
        (np.array([_numbers(match) for match in matches])[:, used], np.array([bool(right(match)) for match in matches]))
        for matches, right in photos
        if matches
    ]
    # the first choice, without a model: the most matching points, then the greatest sum of similarity and look
    points, alike = used.index(_POINTS[0]), [used.index(each) for each in _ALIKE if each in used]
    chosen = [int(np.lexsort((numbers[:, alike].sum(axis=1), numbers[:, points]))[-1]) for numbers, _ in labelled]
    for _ in range(_ROUNDS):
        rows = np.array([numbers[at] for (numbers, _), at in zip(labelled, chosen, strict=True)])
        truth = np.array([right[at] for (_, right), at in zip(labelled, chosen, strict=True)], bool)
        intercept, coefficients = _fit(rows, truth)
        chosen = [int(np.argmax(numbers @ coefficients)) for numbers, _ in labelled]
    weights = np.zeros(_NUMBERS)
    weights[used] = coefficients
    similar, margin, inliers, coverage, look, look_margin = (round(float(weight), 4) for weight in weights)
    return Fusion(round(intercept, 4), similar, margin, inliers, coverage, len(labelled), look, look_margin)


def _numbers(match: Match) -> tuple[float, ...]:
    verification = match.verification
    look, look_margin = (0.0, 0.0) if match.agrees else (match.look or 0.0, match.look_margin or 0.0)
    return (
        match.compared_similarity,
        match.margin or 0.0,
        math.log1p(verification.inliers) if verification else 0.0,
        verification.coverage if verification else 0.0,
        look,
        look_margin,
    )


def _fit(rows: NDArray[np.float64], truth: NDArray[np.bool_]) -> tuple[float, NDArray[np.float64]]:
    from sklearn.linear_model import LogisticRegression

    if min(truth.sum(), (~truth).sum()) < _LEAST:
        raise TableError(
            f"got {truth.sum()} photos of look-alikes and {(~truth).sum()} others, expected at least {_LEAST} of each "
            "to fit the fused probability; label more, or tune on similarity"
        )
    spread = np.maximum(rows.std(axis=0), 1e-6)
    model = LogisticRegression(C=10.0, max_iter=1000).fit(rows / spread, truth)
    coefficients = model.coef_[0] / spread
    return float(model.intercept_[0]), coefficients
