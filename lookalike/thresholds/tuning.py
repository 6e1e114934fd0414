"""Labelled pairs to a policy: for every brand the lowest thresholds that keep the promise, or how much is missing.

A brand with too few labels borrows the thresholds of its category, then of all brands together, and its entry says so:
the promise is then about those, not about the brand.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import overload

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import TableError
from lookalike.policy.cohort import Cohort
from lookalike.policy.fusion import Fusion
from lookalike.policy.policy import Evidence, Policy, Promise, Reach, Scope

from .guarantees import Kept, Shortfall, budget_threshold, false_flag_threshold, precision_threshold

ALL = "all"
_MOST_LOG_ODDS = 30.0
REVIEW_PRECISION = 0.25


@dataclass(frozen=True)
class LabelledPairs:
    """n listings' photos, each with the product that it is most alike to, and whether that is so.

    `similarity` float (n,) is the normalised one where the policy normalises, the probability where it has a fusion.
    `lookalike` bool (n,): the listing shows or imitates that product. `brand` str (n,) is the product's; `territory`
    str (n,) the listing's, "" where unknown. `day` datetime64[D] (n,) of the label, NaT where unknown.
    """

    similarity: NDArray[np.float64]
    lookalike: NDArray[np.bool_]
    brand: NDArray[np.str_]
    territory: NDArray[np.str_]
    day: NDArray[np.datetime64]

    def __len__(self) -> int:
        return len(self.similarity)

    @classmethod
    def of(cls, rows: Iterable[tuple[float, bool, str | None, str | None, date | None]]) -> LabelledPairs:
        """From rows of similarity, lookalike, brand, territory, day."""
        columns = list(zip(*rows, strict=True)) or [(), (), (), (), ()]
        return cls(
            np.array(columns[0], float),
            np.array(columns[1], bool),
            np.array([value or "" for value in columns[2]], str),
            np.array([value or "" for value in columns[3]], str),
            np.array([value or "NaT" for value in columns[4]], "datetime64[D]"),
        )

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> LabelledPairs:
        return LabelledPairs(
            self.similarity[rows], self.lookalike[rows], self.brand[rows], self.territory[rows], self.day[rows]
        )


@dataclass(frozen=True)
class Band:
    """What one group of pairs (a brand, a category, all) supports: thresholds, or how many labels are missing."""

    of: str
    flag: Kept | None
    review: float | None
    more_needed: int
    pairs: LabelledPairs = field(repr=False)

    def evidence(self, more_needed: int) -> Evidence:
        """What the flag threshold rests on, for the policy."""
        days = self.pairs.day[~np.isnat(self.pairs.day)]
        flagged = self.pairs.similarity >= self.flag.threshold if self.flag else np.zeros(len(self.pairs), bool)
        return Evidence(
            of=self.of,
            labels=len(self.pairs),
            flags=int(flagged.sum()),
            errors=int((flagged & ~self.pairs.lookalike).sum()),
            more_needed=more_needed,
            since=days.min().item() if len(days) else None,
            until=days.max().item() if len(days) else None,
        )


def tune(
    pairs: LabelledPairs,
    *,
    promise: Promise,
    name: str = "tuned",
    unrelated: LabelledPairs | None = None,
    categories: Mapping[str, str] | None = None,
    brands: Sequence[str] = (),
    review_share: float | None = None,
    review_precision: float = REVIEW_PRECISION,
    cohort: Cohort | None = None,
    fusion: Fusion | None = None,
    reach: Reach | None = None,
) -> Policy:
    """A policy whose flags keep `promise`, for all brands, and for each that has labels enough of its own.

    `unrelated` are listings known or believed to be no look-alikes, for the promise's `false_flags`; the pairs
    labelled so count with them. `categories` maps brands to a category to borrow from. `brands` without a label get
    an entry, too. The review band reaches down to what `review_share` of the listings (pairs and unrelated) reach, or
    without that to where `review_precision` can still be promised. `cohort` is what the similarities were normalised
    with; with a `fusion` they are its probabilities, and `reach` is how far it reaches. Each brand's promise holds with
    the promise's confidence by itself, not for all brands at once. Raises TableError where there is nothing to tune on.
    """
    if not len(pairs) and unrelated is None:
        raise TableError("there are no labelled pairs to tune on; label some findings first")
    if promise.precision is None and promise.false_flags is None:
        raise TableError("nothing was promised; give a precision, a cap on false flags, or both")
    budget = None
    if fusion is not None:
        # probabilities crowd below 1, where steps of a fixed size would tell them apart no more
        pairs, unrelated = _as_log_odds(pairs), _as_log_odds(unrelated) if unrelated is not None else None
    if review_share is not None:
        stream = [pairs.similarity] + ([unrelated.similarity] if unrelated is not None else [])
        budget = budget_threshold(np.concatenate(stream), share=review_share)
    ask = _Asked(promise, review_precision, budget)
    everything = ask.band(ALL, pairs, unrelated)
    category_of = dict(categories or {})
    rows, negatives = _by_brand(pairs), _by_brand(unrelated) if unrelated is not None else {}
    shared: dict[str, Band] = {}
    for category in sorted(set(category_of.values())):
        members = [brand for brand, of in category_of.items() if of == category]
        shared[category] = ask.band(
            f"category {category}", _of(pairs, rows, members), _of(unrelated, negatives, members)
        )
    scopes = []
    for brand in sorted({*rows, *brands} - {""}):
        own = ask.band(brand, _of(pairs, rows, [brand]), _of(unrelated, negatives, [brand]))
        lender = next((b for b in (shared.get(category_of.get(brand, "")), everything) if b and b.flag), everything)
        scopes.append(_scope(own, lender, brand=brand))
        scopes += _territories(own, ask, scopes[-1]) if own.flag is not None else []
    review = everything.review if everything.review is not None else _least_alike(pairs)
    flag = everything.flag.threshold if everything.flag else None
    own_review = review if flag is None else min(review, flag)
    everywhere = [replace(scope, review=review) if np.isnan(scope.review) else scope for scope in scopes]
    if fusion is not None:
        flag, own_review = _as_probability(flag), _as_probability(own_review)
        everywhere = [
            replace(scope, flag=_as_probability(scope.flag), review=_as_probability(scope.review))
            for scope in everywhere
        ]
    return Policy(
        name=name,
        flag=flag,
        review=own_review,
        scopes=tuple(everywhere),
        fusion=fusion,
        reach=reach or Reach(),
        promise=promise,
        cohort=cohort,
        evidence=everything.evidence(everything.more_needed),
        created=date.today(),
    )


@dataclass(frozen=True)
class _Asked:
    promise: Promise
    review_precision: float
    budget: float | None

    def band(self, of: str, pairs: LabelledPairs, unrelated: LabelledPairs | None) -> Band:
        """The lowest thresholds that the pairs of one group support."""
        results: list[Kept | Shortfall] = []
        confidence = self.promise.confidence
        if self.promise.precision is not None:
            results.append(precision_threshold(
                pairs.similarity, pairs.lookalike, precision=self.promise.precision, confidence=confidence
            ))  # fmt: skip
        if self.promise.false_flags is not None:
            known = pairs.similarity[~pairs.lookalike]
            values = known if unrelated is None else np.concatenate([known, unrelated.similarity])
            results.append(false_flag_threshold(values, share=self.promise.false_flags, confidence=confidence))
        needed = max((result.needed for result in results if isinstance(result, Shortfall)), default=0)
        kept = [result for result in results if isinstance(result, Kept)]
        flag = max(kept, key=lambda k: k.threshold) if not needed else None
        return Band(of, flag, self._review(pairs, flag), needed, pairs)

    def _review(self, pairs: LabelledPairs, flag: Kept | None) -> float | None:
        if self.budget is not None:
            return self.budget if flag is None else min(self.budget, flag.threshold)
        found = precision_threshold(
            pairs.similarity, pairs.lookalike, precision=self.review_precision, confidence=self.promise.confidence
        )
        if isinstance(found, Shortfall):
            return None if flag is None else flag.threshold
        return found.threshold if flag is None else min(found.threshold, flag.threshold)


def _scope(own: Band, lender: Band, *, brand: str) -> Scope:
    """The brand's own thresholds, or those it borrows. A review of NaN stands for that of all brands."""
    used = own if own.flag is not None else lender
    review = used.review if used.review is not None else float("nan")
    flag = used.flag.threshold if used.flag else None
    return Scope(flag, review, brand, evidence=used.evidence(own.more_needed))


def _territories(own: Band, ask: _Asked, brand: Scope) -> list[Scope]:
    """Thresholds of the brand in those territories that have labels enough, where the brand has several."""
    territories = np.unique(own.pairs.territory[own.pairs.territory != ""])
    scopes = []
    for territory in territories.tolist() if len(territories) > 1 else []:
        band = ask.band(f"{own.of} in {territory}", own.pairs[own.pairs.territory == territory], None)
        if band.flag is not None:
            review = band.review if band.review is not None else brand.review
            scopes.append(
                Scope(band.flag.threshold, min(review, band.flag.threshold), brand.brand, territory, band.evidence(0))
            )
    return scopes


def _by_brand(pairs: LabelledPairs) -> dict[str, NDArray[np.intp]]:
    names, number = np.unique(pairs.brand, return_inverse=True)
    members = np.split(np.argsort(number, kind="stable"), np.cumsum(np.bincount(number, minlength=len(names)))[:-1])
    return dict(zip(names.tolist(), members, strict=True)) if len(names) else {}


def _of(pairs: LabelledPairs | None, rows: Mapping[str, NDArray[np.intp]], brands: Iterable[str]) -> LabelledPairs:
    chosen = [rows[brand] for brand in brands if brand in rows]
    if pairs is None:
        return LabelledPairs.of([])
    return pairs[np.concatenate([np.empty(0, np.intp), *chosen])]


def _as_log_odds(pairs: LabelledPairs) -> LabelledPairs:
    from scipy.special import logit

    return replace(pairs, similarity=np.clip(logit(pairs.similarity), -_MOST_LOG_ODDS, _MOST_LOG_ODDS))


@overload
def _as_probability(log_odds: float) -> float: ...
@overload
def _as_probability(log_odds: None) -> None: ...
def _as_probability(log_odds: float | None) -> float | None:
    """The probability, rounded up to what people read; a bound is never below what was tested."""
    return None if log_odds is None else min(1.0, math.ceil(1e6 / (1 + math.exp(-log_odds))) / 1e6)


def _least_alike(pairs: LabelledPairs) -> float:
    """Where review begins as long as nothing can be promised: at the least alike of the known look-alikes."""
    known = pairs.similarity[pairs.lookalike]
    return float(np.floor(known.min() * 1000) / 1000) if len(known) else 1.0
