"""Labelled pairs to a policy: for every brand the lowest thresholds that keep the promise, or how much is missing.

A brand with too few labels borrows the thresholds of its category, or else of all brands together, and its entry says
so: the promise is then about those, not about the brand.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import TableError
from lookalike.policy.cohort import Cohort
from lookalike.policy.fusion import Fusion
from lookalike.policy.policy import Policy
from lookalike.policy.terms import Evidence, Promise, Reach, Scope

from .guarantees import Kept, Shortfall, budget_threshold, false_flag_threshold, precision_threshold
from .pairs import LabelledPairs

ALL = "all"
_MOST_LOG_ODDS = 30.0
REVIEW_PRECISION = 0.25


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
    """A policy whose flags keep `promise`: for all brands together, and for each brand with enough labels of its own.

    `unrelated` are listings known or believed to be no look-alikes, for the promise's `false_flags`; pairs labelled so
    count with them. `categories` maps brands to a category to borrow from. `brands` without a label get an entry, too.
    The review band reaches down to what `review_share` of the listings (pairs and unrelated) reach, or without it to
    where `review_precision` can still be promised. `cohort` is what the similarities were normalised with; with a
    `fusion` they are its probabilities, and `reach` says which photos it covers. The promise's confidence holds for
    each brand alone, not for all brands at once. Raises TableError where there is nothing to tune on.
    """
    if not len(pairs) and unrelated is None:
        raise TableError("there are no labelled pairs to tune on; label some findings first")
    if promise.precision is None and promise.false_flags is None:
        raise TableError("nothing is promised; give a precision, a cap on false flags, or both")
    others = unrelated if unrelated is not None else LabelledPairs.of([])
    if fusion is not None:
        # probabilities crowd below 1, where steps of a fixed size can't tell them apart
        pairs, others = _as_log_odds(pairs), _as_log_odds(others)
    stream = np.concatenate([pairs.similarity, others.similarity])
    budget = budget_threshold(stream, share=review_share) if review_share is not None else None
    asked = _Asked(pairs, others, promise, review_precision, budget)
    scopes = [asked.everywhere, *_scopes(asked, dict(categories or {}), brands)]
    if fusion is not None:
        scopes = [_as_probabilities(scope) for scope in scopes]
    rest, *own = scopes
    return Policy(
        name=name,
        flag=rest.flag,
        review=rest.review,
        scopes=tuple(own),
        fusion=fusion,
        reach=reach or Reach(),
        promise=promise,
        cohort=cohort,
        evidence=rest.evidence,
        created=date.today(),
    )


@dataclass(frozen=True)
class Band:
    """What one group of pairs (a brand, a category, all) supports: thresholds, or how many labels are missing.

    `review` is at most the flag threshold, and None only where nothing supports either.
    """

    of: str
    flag: Kept | None
    review: float | None
    more_needed: int
    pairs: LabelledPairs = field(repr=False)

    def scope(
        self, review: float, *, brand: str | None = None, territory: str | None = None, more_needed: int = 0
    ) -> Scope:
        """The thresholds as an entry of a policy, with `review` where the pairs support none."""
        flag = self.flag.threshold if self.flag else None
        own = self.review if self.review is not None else review
        return Scope(flag, own, brand, territory, self._evidence(more_needed))

    def _evidence(self, more_needed: int) -> Evidence:
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


@dataclass(frozen=True)
class _Asked:
    """What is promised of which pairs; `budget` is the threshold that reviewers have time for."""

    pairs: LabelledPairs
    unrelated: LabelledPairs
    promise: Promise
    review_precision: float
    budget: float | None

    @cached_property
    def everything(self) -> Band:
        """What all pairs together support."""
        return self.band(ALL, self.pairs, self.unrelated.similarity)

    @cached_property
    def everywhere(self) -> Scope:
        """The thresholds of all brands without their own."""
        return self.everything.scope(_least_alike(self.pairs), more_needed=self.everything.more_needed)

    def band_of(self, name: str, brands: Iterable[str]) -> Band:
        """What the pairs of some brands support."""
        members = list(brands)
        pairs, unrelated = (_of(group, rows, members) for group, rows in self._groups)
        return self.band(name, pairs, unrelated.similarity)

    @cached_property
    def _groups(self) -> list[tuple[LabelledPairs, Mapping[str, NDArray[np.intp]]]]:
        return [(group, group.by_brand()) for group in (self.pairs, self.unrelated)]

    def band(self, of: str, pairs: LabelledPairs, unrelated: NDArray[np.float64]) -> Band:
        """The lowest thresholds that the pairs of one group support, and similarities of unrelated listings."""
        results: list[Kept | Shortfall] = []
        confidence = self.promise.confidence
        if self.promise.precision is not None:
            results.append(precision_threshold(
                pairs.similarity, pairs.lookalike, precision=self.promise.precision, confidence=confidence
            ))  # fmt: skip
        if self.promise.false_flags is not None:
            values = np.concatenate([pairs.similarity[~pairs.lookalike], unrelated])
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


def _scopes(asked: _Asked, category_of: Mapping[str, str], brands: Sequence[str]) -> list[Scope]:
    """Each brand's own thresholds or those it borrows, and those of its territories."""
    shared: dict[str, Band] = {}
    for category in sorted(set(category_of.values())):
        members = [brand for brand, of in category_of.items() if of == category]
        shared[category] = asked.band_of(f"category {category}", members)
    scopes = []
    for brand in sorted({*asked.pairs.brand.tolist(), *brands} - {""}):
        own = asked.band_of(brand, [brand])
        group = shared.get(category_of.get(brand, ""))
        lender = group if group is not None and group.flag else asked.everything
        used = own if own.flag is not None else lender
        scopes.append(used.scope(asked.everywhere.review, brand=brand, more_needed=own.more_needed))
        scopes += _territories(own, asked) if own.flag is not None else []
    return scopes


def _territories(brand: Band, asked: _Asked) -> list[Scope]:
    """Thresholds of the brand in each territory with enough labels, if the brand has several territories."""
    territories = np.unique(brand.pairs.territory[brand.pairs.territory != ""])
    scopes = []
    for territory in territories.tolist() if len(territories) > 1 else []:
        here = brand.pairs[brand.pairs.territory == territory]
        band = asked.band(f"{brand.of} in {territory}", here, np.empty(0))
        if band.flag is not None:
            scopes.append(band.scope(asked.everywhere.review, brand=brand.of, territory=territory))
    return scopes


def _of(pairs: LabelledPairs, rows: Mapping[str, NDArray[np.intp]], brands: Sequence[str]) -> LabelledPairs:
    return pairs[np.concatenate([np.empty(0, np.intp), *(rows[brand] for brand in brands if brand in rows)])]


def _as_log_odds(pairs: LabelledPairs) -> LabelledPairs:
    from scipy.special import logit

    return replace(pairs, similarity=np.clip(logit(pairs.similarity), -_MOST_LOG_ODDS, _MOST_LOG_ODDS))


def _as_probabilities(scope: Scope) -> Scope:
    flag = None if scope.flag is None else _as_probability(scope.flag)
    return replace(scope, flag=flag, review=_as_probability(scope.review))


def _as_probability(log_odds: float) -> float:
    """The probability, rounded up to what people read: a threshold is never below the one tested."""
    return min(1.0, math.ceil(1e6 / (1 + math.exp(-log_odds))) / 1e6)


def _least_alike(pairs: LabelledPairs) -> float:
    """Where review begins while nothing can be promised: at the least similar of the known look-alikes."""
    known = pairs.similarity[pairs.lookalike]
    return float(np.floor(known.min() * 1000) / 1000) if len(known) else 1.0
