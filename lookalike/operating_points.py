"""What one threshold does: the trade between misses and false flags, and how differently brands fare by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .evaluation import most_hit


@dataclass(frozen=True)
class Share:
    """`count` of `total`: `value` is their share, `low` and `high` the ends of its exact 95 % interval (all 0 to 1).

    The interval is Clopper and Pearson's (Biometrika 26, 1934), which is never too narrow. Of a total of 0 the value
    is NaN and the interval 0 to 1.
    """

    count: int
    total: int
    value: float
    low: float
    high: float

    @classmethod
    def of(cls, count: int, total: int) -> Share:
        """The share with its interval. Raises ValueError unless 0 ≤ count ≤ total.

        >>> share = Share.of(0, 29)
        >>> share.value, round(share.high, 3)
        (0.0, 0.119)
        """
        if not 0 <= count <= total:
            raise ValueError(f"came {count} of {total}; needed 0 <= count <= total")
        if not total:
            return cls(0, 0, float("nan"), 0.0, 1.0)
        from scipy.stats import binomtest

        interval = binomtest(count, total).proportion_ci(0.95, method="exact")
        return cls(count, total, count / total, float(interval.low), float(interval.high))


@dataclass(frozen=True)
class DetCurve:
    """False positive and false negative identification rate, `fpir` and `fnir` (m,), at each `threshold` (m,).

    Thresholds ascend through all similarities that occur, each counting from its own value on; the last is infinite
    and hits nothing. So `fpir` falls from 1 to 0 and `fnir` rises to 1. Read-only arrays of float64.
    """

    fpir: NDArray[np.float64]
    fnir: NDArray[np.float64]
    threshold: NDArray[np.float64]


def det_curve(similarity: ArrayLike, correct: ArrayLike, *, related: ArrayLike) -> DetCurve:
    """Misses against false hits over all thresholds (ISO/IEC 19795-1); takes what `evaluate_retrieval` takes.

    A query answered with a wrong product is missed at every threshold. The least `fnir` of the points with
    `fpir` ≤ s is `fnir_at_fpir(…, s)`. Raises ValueError for shapes that differ, and unless some queries are related
    and some are not.

    >>> curve = det_curve([0.9, 0.5, 0.7, 0.1], [True, True, False, False], related=[True, True, False, False])
    >>> curve.threshold.tolist(), curve.fpir.tolist(), curve.fnir.tolist()
    ([0.1, 0.5, 0.7, 0.9, inf], [1.0, 0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5, 1.0])
    """
    similarities, right, could = as_queries(similarity, correct, related)
    if not could.any() or could.all():
        raise ValueError(
            f"{could.sum()} of {len(could)} queries are related; needed some that are and some that aren't"
        )
    thresholds = np.append(np.unique(similarities), np.inf)
    fpir = _share_from(similarities[~could], thresholds, (~could).sum())
    fnir = 1 - _share_from(similarities[right & could], thresholds, could.sum())
    for array in (fpir, fnir, thresholds):
        array.flags.writeable = False
    return DetCurve(fpir, fnir, thresholds)


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
    """The figures of every brand at ONE threshold, by name; takes what `evaluate_retrieval` takes.

    `brand` str (n,) is, of a related query, that of its right product, and of an unrelated one that of its nearest.
    Raises ValueError for shapes that differ.
    """
    similarities, right, could = as_queries(similarity, correct, related)
    brands, hit = as_brands(brand, similarities), similarities >= threshold
    figures = []
    for name in np.unique(brands).tolist():
        mine = brands == name
        recall = Share.of(int((mine & right & hit & could).sum()), int((mine & could).sum()))
        figures.append(
            BrandFigures(name, recall, Share.of(int((mine & ~could & hit).sum()), int((mine & ~could).sum())))
        )
    return figures


@dataclass(frozen=True)
class Spread:
    """How far the brands lie apart: `count` values, the lowest, the middle and the highest, and their deviation.

    `deviation` is the standard deviation of the values there are; all are NaN where there are none.
    """

    count: int
    lowest: float
    median: float
    highest: float
    deviation: float


def spread(values: ArrayLike) -> Spread:
    """The spread of values (n,); NaN, a brand without such queries, is left out.

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
    """Operating-point inconsistency: `score` is the mean of what each brand contributes (`by_brand`), 0 is best.

    Of thresholds from `lowest` to `highest`. NaN and no brands where fewer than two have queries enough.
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
    """How differently one threshold works for the brands: the variance over brands of its utility; 0 is best.

    Takes what `brand_figures` takes. The utility U_b(t) of the threshold t for the brand b is the harmonic mean
    2·TAR·TRR / (TAR + TRR): TAR, the share of the brand's related queries answered rightly at t or above, and TRR, the
    share of the unrelated queries nearest to the brand that stay below t (0 where both are 0). With Ū the mean over
    the B brands, the score is 1/B Σ_b 1/(t₁−t₀) ∫ (U_b(t) − Ū(t))² dt over the calibration range t₀ to t₁, exactly,
    as the utilities are steps. Where t₀ = t₁ it is the variance at that threshold.

    Source: Zhang et al., "Threshold-Consistent Margin Loss for Open-World Deep Metric Learning", arXiv 2307.04047.
    Different from there: brands stand for classes; answers to queries for all pairs of photos; similarity for
    distance. The range goes from the lowest threshold that hits at most `fpir[1]` of all unrelated queries to the
    lowest that hits at most `fpir[0]`; these shares are a choice of this library. Brands with fewer than `least`
    related or unrelated queries are left out: their utility is mostly chance, and so would the score be.

    Raises ValueError for shapes that differ, and for shares that are not 0 ≤ first ≤ second < 1.
    """
    similarities, right, could = as_queries(similarity, correct, related)
    brands = as_brands(brand, similarities)
    if not 0 <= fpir[0] <= fpir[1] < 1:
        raise ValueError(f"the range of false hits is {fpir}; needed 0 <= first <= second < 1")
    names = [name for name in np.unique(brands).tolist()
             if min((could & (brands == name)).sum(), (~could & (brands == name)).sum()) >= least]  # fmt: skip
    if len(names) < 2:
        return Opis(float("nan"), float("nan"), float("nan"), {})
    low, high = (float(np.nextafter(most_hit(similarities[~could], share), np.inf)) for share in reversed(fpir))
    # between two similarities that occur nothing changes, so the integral is a sum over those in the range
    between = similarities[(similarities > low) & (similarities < high)]
    edges = np.unique(np.concatenate([[low], between, [high]]))
    thresholds, widths = (edges[1:], np.diff(edges)) if high > low else (edges[:1], np.ones(1))
    utility = np.stack([_utility(similarities, right, could, brands == name, thresholds) for name in names])
    apart = ((utility - utility.mean(axis=0)) ** 2 * widths).sum(axis=1) / widths.sum()
    return Opis(float(apart.mean()), low, high, dict(zip(names, apart.tolist(), strict=True)))


def as_queries(
    similarity: ArrayLike, correct: ArrayLike, related: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """The three as arrays (n,): similarity float64, correct and related bool. Raises ValueError for other shapes."""
    similarities, right, could = np.asarray(similarity, float), np.asarray(correct, bool), np.asarray(related, bool)
    if similarities.ndim != 1 or not similarities.shape == right.shape == could.shape:
        raise ValueError(f"came {similarities.shape}, {right.shape} and {could.shape}, needed three arrays of (n,)")
    return similarities, right, could


def as_brands(brand: ArrayLike, similarities: NDArray[np.float64]) -> NDArray[np.str_]:
    """The brands as an array of str (n,). Raises ValueError unless there is one for each similarity (n,)."""
    brands = np.asarray(brand, str)
    if brands.shape != similarities.shape:
        raise ValueError(f"came brands of {brands.shape} for similarities of {similarities.shape}; needed one each")
    return brands


def _share_from(values: NDArray[np.float64], thresholds: NDArray[np.float64], total: int) -> NDArray[np.float64]:
    """What share of the total the values at each threshold or above are."""
    return np.asarray((len(values) - np.searchsorted(np.sort(values), thresholds, "left")) / total, float)


def _utility(
    similarities: NDArray[np.float64],
    right: NDArray[np.bool_],
    could: NDArray[np.bool_],
    mine: NDArray[np.bool_],
    thresholds: NDArray[np.float64],
) -> NDArray[np.float64]:
    accepted = _share_from(similarities[mine & could & right], thresholds, (mine & could).sum())
    refused = 1 - _share_from(similarities[mine & ~could], thresholds, (mine & ~could).sum())
    both = accepted + refused
    return np.asarray(2 * accepted * refused / np.where(both > 0, both, 1), float)
