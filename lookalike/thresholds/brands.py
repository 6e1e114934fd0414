"""How differently brands fare at one threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookalike.binomial import Share

from .metrics import as_queries, most_hit, share_from


@dataclass(frozen=True)
class BrandFigures:
    """What one threshold does for one brand.

    `recall`: of the queries that show or imitate the brand's products, those answered with the right one at the
    threshold or above. `false_flags`: of the unrelated queries that are nearest to the brand, those at it or above.
    """

    brand: str
    recall: Share
    false_flags: Share


def brand_figures(
    similarity: ArrayLike, correct: ArrayLike, *, related: ArrayLike, brand: ArrayLike, threshold: float
) -> list[BrandFigures]:
    """The figures of every brand at one threshold, by name; takes what `evaluate_retrieval` takes.

    `brand` str (n,) is the right product's for a related query, and the nearest product's for an unrelated one.
    Raises ValueError for shapes that differ.
    """
    similarities, right, could = as_queries(similarity, correct, related)
    brands, hit = as_brands(brand, similarities), similarities >= threshold
    figures = []
    for name in np.unique(brands).tolist():
        mine = brands == name
        recall = Share.of(int((mine & right & hit & could).sum()), int((mine & could).sum()))
        false_flags = Share.of(int((mine & ~could & hit).sum()), int((mine & ~could).sum()))
        figures.append(BrandFigures(name, recall, false_flags))
    return figures


@dataclass(frozen=True)
class Spread:
    """How far brands lie apart: the `count` of values, the lowest, the median, the highest and the deviation.

    `deviation` is the standard deviation. All but the count are NaN if there are no values.
    """

    count: int
    lowest: float
    median: float
    highest: float
    deviation: float


def spread(values: ArrayLike) -> Spread:
    """The spread of values (n,), leaving out NaN: brands without such queries.

    >>> spread([0.5, 1.0, float("nan"), 0.0])
    Spread(count=3, lowest=0.0, median=0.5, highest=1.0, deviation=0.408248290463863)
    """
    known = np.asarray(values, float)
    known = known[~np.isnan(known)]
    if not len(known):
        return Spread(0, *[float("nan")] * 4)
    return Spread(len(known), float(known.min()), float(np.median(known)), float(known.max()), float(known.std()))


@dataclass(frozen=True)
class Opis:
    """Operating-point inconsistency: `score` is the mean of the brands' contributions (`by_brand`); 0 is best.

    It covers thresholds from `lowest` to `highest`. The numbers are NaN and there are no brands if fewer than two have
    enough queries.
    """

    score: float
    lowest: float
    highest: float
    by_brand: Mapping[str, float]


def opis(
    similarity: ArrayLike,
    correct: ArrayLike,
    *,
    related: ArrayLike,
    brand: ArrayLike,
    fpir: tuple[float, float] = (0.01, 0.1),
    least: int = 5,
) -> Opis:
    """How differently one threshold works for the brands: the variance of its utility over brands; 0 is best.

    Takes what `brand_figures` takes. The utility U_b(t) of the threshold t for the brand b is the harmonic mean
    2·TAR·TRR / (TAR + TRR): TAR is the share of the brand's related queries answered rightly at t or above, and TRR the
    share of the unrelated queries nearest to the brand that stay below t (0 if both are 0). With Ū the mean over
    the B brands, the score is 1/B Σ_b 1/(t₁−t₀) ∫ (U_b(t) − Ū(t))² dt over the calibration range t₀ to t₁. The
    integral is exact, as utilities are step functions. If t₀ = t₁ the score is the variance at that threshold.

    Source: Zhang et al., "Threshold-Consistent Margin Loss for Open-World Deep Metric Learning", arXiv 2307.04047.
    Unlike there, brands stand for classes, answers to queries for all pairs of photos, and similarity for distance. The
    range goes from the lowest threshold that hits at most `fpir[1]` of all unrelated queries to the lowest that hits at
    most `fpir[0]`; these shares are a choice of this library. Brands with fewer than `least` related or unrelated
    queries are left out: their utility is mostly chance, and so would the score be.

    Raises ValueError for shapes that differ, and unless 0 ≤ fpir[0] ≤ fpir[1] < 1.
    """
    similarities, right, could = as_queries(similarity, correct, related)
    brands = as_brands(brand, similarities)
    if not 0 <= fpir[0] <= fpir[1] < 1:
        raise ValueError(f"got {fpir} as the range of false hits; expected 0 <= first <= second < 1")
    names = [name for name in np.unique(brands).tolist()
             if min((could & (brands == name)).sum(), (~could & (brands == name)).sum()) >= least]  # fmt: skip
    if len(names) < 2:
        return Opis(float("nan"), float("nan"), float("nan"), {})
    low, high = (float(np.nextafter(most_hit(similarities[~could], share), np.inf)) for share in reversed(fpir))
    # between two neighbouring similarities nothing changes, so the integral is a sum over those in the range
    between = similarities[(similarities > low) & (similarities < high)]
    edges = np.unique(np.concatenate([[low], between, [high]]))
    thresholds, widths = (edges[1:], np.diff(edges)) if high > low else (edges[:1], np.ones(1))
    utility = np.stack([_utility(similarities, right, could, brands == name, thresholds) for name in names])
    apart = ((utility - utility.mean(axis=0)) ** 2 * widths).sum(axis=1) / widths.sum()
    return Opis(float(apart.mean()), low, high, dict(zip(names, apart.tolist(), strict=True)))


def as_brands(brand: ArrayLike, similarities: NDArray[np.float64]) -> NDArray[np.str_]:
    """The brands as an array of str (n,). Raises ValueError unless there is one for each similarity (n,)."""
    brands = np.asarray(brand, str)
    if brands.shape != similarities.shape:
        raise ValueError(f"got brands of {brands.shape} for similarities of {similarities.shape}; expected one each")
    return brands


def _utility(
    similarities: NDArray[np.float64],
    right: NDArray[np.bool_],
    could: NDArray[np.bool_],
    mine: NDArray[np.bool_],
    thresholds: NDArray[np.float64],
) -> NDArray[np.float64]:
    accepted = share_from(similarities[mine & could & right], thresholds, (mine & could).sum())
    refused = 1 - share_from(similarities[mine & ~could], thresholds, (mine & ~could).sum())
    both = accepted + refused
    return np.asarray(2 * accepted * refused / np.where(both > 0, both, 1), float)
