"""Labelled pairs to a policy: for every brand the lowest thresholds that keep the promise, or how much is missing.

A brand with too few labels borrows the thresholds of its category, or else of all brands together, and its entry says
so: the promise is then about those, not about the brand. Where the kinds of likeness are known, those with enough
labels get thresholds of their own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from lookalike.binomial import trials_needed
from lookalike.errors import TableError
from lookalike.policy.cohort import Cohort
from lookalike.policy.fusion import Fusion
from lookalike.policy.policy import Policy
from lookalike.policy.terms import Evidence, Kinds, Promise, Reach, Scope, Thresholds
from lookalike.records import KINDS

from .guarantees import Kept, Shortfall, budget_threshold, false_flag_threshold, precision_threshold
from .pairs import LabelledPairs

T = TypeVar("T", Scope, Thresholds)

ALL, OTHER_KINDS = "all", "other kinds"
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
    each brand alone, not for all brands at once; within a brand, it holds for all kinds of likeness at once. Raises
    TableError where there is nothing to tune on.
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
    by_kind = promise.precision is not None and any(scope.kinds.own for scope in scopes)
    return Policy(
        name=name,
        flag=rest.flag,
        review=rest.review,
        scopes=tuple(own),
        fusion=fusion,
        reach=reach or Reach(),
        promise=replace(promise, by_kind=by_kind),
        cohort=cohort,
        evidence=rest.evidence,
        created=date.today(),
        kinds=rest.kinds,
    )


class Lacking(NamedTuple):
    """How many labels are missing for a promise: labelled flags, all of them right, and unrelated listings."""

    flags: int
    unrelated: int


@dataclass(frozen=True)
class Band:
    """What the pairs of one group, or those of one kind in it, support: thresholds, or how many labels are missing.

    A group is a brand, a category, or all. `review` is at most the flag threshold, and None only where nothing supports
    either.
    """

    of: str
    flag: Kept | None
    review: float | None
    lacking: Lacking
    pairs: LabelledPairs = field(repr=False)

    def thresholds(self, review: float, lacking: Lacking) -> Thresholds:
        """The thresholds as entries of a policy, with `review` where the pairs support none."""
        flag = self.flag.threshold if self.flag else None
        own = self.review if self.review is not None else review
        return Thresholds(flag, own, self._evidence(lacking))

    def _evidence(self, lacking: Lacking) -> Evidence:
        days = self.pairs.day[~np.isnat(self.pairs.day)]
        flagged = self.pairs.similarity >= self.flag.threshold if self.flag else np.zeros(len(self.pairs), bool)
        return Evidence(
            of=self.of,
            labels=len(self.pairs),
            flags=int(flagged.sum()),
            errors=int((flagged & ~self.pairs.lookalike).sum()),
            more_needed=lacking.flags,
            unrelated_needed=lacking.unrelated,
            since=days.min().item() if len(days) else None,
            until=days.max().item() if len(days) else None,
        )


@dataclass(frozen=True)
class Bands:
    """What one group of pairs supports: `kinds` with enough labels by themselves, and the `rest` together."""

    rest: Band
    kinds: Mapping[str, Band] = field(default_factory=dict)

    def of(self, kind: str) -> Band:
        """The band that counts for findings of that kind."""
        return self.kinds.get(kind, self.rest)

    @property
    def flags(self) -> bool:
        """Whether any of the bands flags anything."""
        return any(band.flag is not None for band in (self.rest, *self.kinds.values()))

    def or_else(self, lender: Bands) -> Bands:
        """For each kind the own band if it flags anything, otherwise the lender's."""
        rest = self.rest if self.rest.flag is not None else lender.rest
        used = {kind: self.of(kind) if self.of(kind).flag is not None else lender.of(kind) for kind in KINDS}
        return Bands(rest, {kind: band for kind, band in used.items() if band is not rest})

    def scope(self, review: float, own: Bands, *, brand: str | None = None, territory: str | None = None) -> Scope:
        """The thresholds as an entry of a policy, with `review` where the pairs support none.

        The entry says how many labels the brand's `own` bands lack.
        """
        rest = self.rest.thresholds(review, own.rest.lacking)
        kinds = {kind: band.thresholds(review, own.of(kind).lacking) for kind, band in self.kinds.items()}
        return Scope(rest.flag, rest.review, brand, territory, rest.evidence, kinds=Kinds(**kinds))


@dataclass(frozen=True)
class _Asked:
    """What is promised of which pairs; `budget` is the threshold that reviewers have time for."""

    pairs: LabelledPairs
    unrelated: LabelledPairs
    promise: Promise
    review_precision: float
    budget: float | None

    @cached_property
    def everything(self) -> Bands:
        """What all pairs together support."""
        return self.bands(ALL, self.pairs, self.unrelated.similarity)

    @cached_property
    def everywhere(self) -> Scope:
        """The thresholds of all brands without their own."""
        return self.everything.scope(_least_alike(self.pairs), self.everything)

    def bands_of(self, name: str, brands: Iterable[str]) -> Bands:
        """What the pairs of some brands support."""
        members = list(brands)
        pairs, unrelated = (_of(group, rows, members) for group, rows in self._groups)
        return self.bands(name, pairs, unrelated.similarity)

    @cached_property
    def _groups(self) -> list[tuple[LabelledPairs, Mapping[str, NDArray[np.intp]]]]:
        return [(group, group.by_brand()) for group in (self.pairs, self.unrelated)]

    def bands(self, of: str, pairs: LabelledPairs, unrelated: NDArray[np.float64]) -> Bands:
        """The lowest thresholds that the pairs of one group support, and similarities of unrelated listings.

        A kind gets a band of its own if it has enough labels, whatever they say, so that the choice tells nothing about
        how many of them are right. Each of the bands, that of the rest among them, gets an equal part of the chance of
        error (Bonferroni). So all of them keep the promise at once with its confidence, and so do all flags together.
        The cap on false flags is for all kinds together.
        """
        floor = None
        if self.promise.false_flags is not None:
            values = np.concatenate([pairs.similarity[~pairs.lookalike], unrelated])
            floor = false_flag_threshold(values, share=self.promise.false_flags, confidence=self.promise.confidence)
        own = self._kinds_with_enough(pairs)
        rest = ~np.isin(pairs.kind, own)
        parts = [(f"{of}, {kind}", pairs[pairs.kind == kind]) for kind in own]
        if len(own) + bool(rest.any()) < 2:
            return Bands(self._band(of, pairs, floor, self.promise.confidence))
        confidence = 1 - (1 - self.promise.confidence) / (len(own) + bool(rest.any()))
        name = f"{of}, {OTHER_KINDS}"
        kinds = dict(zip(own, (self._band(*part, floor, confidence) for part in parts), strict=True))
        return Bands(self._band(name, pairs[rest], floor, confidence), kinds)

    def _kinds_with_enough(self, pairs: LabelledPairs) -> list[str]:
        if self.promise.precision is None:
            return []
        least = trials_needed(self.promise.precision, 1 - (1 - self.promise.confidence) / len(KINDS))
        return [kind for kind in KINDS if (pairs.kind == kind).sum() >= least]

    def _band(self, of: str, pairs: LabelledPairs, floor: Kept | Shortfall | None, confidence: float) -> Band:
        precise = None
        if self.promise.precision is not None:
            precise = precision_threshold(
                pairs.similarity, pairs.lookalike, precision=self.promise.precision, confidence=confidence
            )
        lacking = Lacking(*(each.needed if isinstance(each, Shortfall) else 0 for each in (precise, floor)))
        kept = [result for result in (precise, floor) if isinstance(result, Kept)]
        flag = max(kept, key=lambda k: k.threshold) if not any(lacking) else None
        return Band(of, flag, self._review(pairs, flag, confidence), lacking, pairs)

    def _review(self, pairs: LabelledPairs, flag: Kept | None, confidence: float) -> float | None:
        if self.budget is not None:
            return self.budget if flag is None else min(self.budget, flag.threshold)
        found = precision_threshold(
            pairs.similarity, pairs.lookalike, precision=self.review_precision, confidence=confidence
        )
        if isinstance(found, Shortfall):
            return None if flag is None else flag.threshold
        return found.threshold if flag is None else min(found.threshold, flag.threshold)


def _scopes(asked: _Asked, category_of: Mapping[str, str], brands: Sequence[str]) -> list[Scope]:
    """Each brand's own thresholds or those it borrows, and those of its territories."""
    shared: dict[str, Bands] = {}
    for category in sorted(set(category_of.values())):
        members = [brand for brand, of in category_of.items() if of == category]
        shared[category] = asked.bands_of(f"category {category}", members)
    scopes = []
    for brand in sorted({*asked.pairs.brand.tolist(), *brands} - {""}):
        own = asked.bands_of(brand, [brand])
        group = shared.get(category_of.get(brand, ""))
        lender = group if group is not None and group.flags else asked.everything
        used = own.or_else(lender)
        scopes.append(used.scope(asked.everywhere.review, own, brand=brand))
        scopes += _territories(brand, used, asked) if own.flags else []
    return scopes


def _territories(brand: str, lender: Bands, asked: _Asked) -> list[Scope]:
    """Thresholds of the brand in each territory with enough labels, if the brand has several territories."""
    pairs = asked.pairs[asked.pairs.brand == brand]
    territories = np.unique(pairs.territory[pairs.territory != ""])
    scopes = []
    for territory in territories.tolist() if len(territories) > 1 else []:
        here = pairs[pairs.territory == territory]
        own = asked.bands(f"{brand} in {territory}", here, np.empty(0))
        if own.flags:
            used = own.or_else(lender)
            scopes.append(used.scope(asked.everywhere.review, own, brand=brand, territory=territory))
    return scopes


def _of(pairs: LabelledPairs, rows: Mapping[str, NDArray[np.intp]], brands: Sequence[str]) -> LabelledPairs:
    return pairs[np.concatenate([np.empty(0, np.intp), *(rows[brand] for brand in brands if brand in rows)])]


def _as_log_odds(pairs: LabelledPairs) -> LabelledPairs:
    from scipy.special import logit

    return replace(pairs, similarity=np.clip(logit(pairs.similarity), -_MOST_LOG_ODDS, _MOST_LOG_ODDS))


def _as_probabilities(scope: Scope) -> Scope:
    kinds = {kind: _on_probability(own) for kind, own in scope.kinds.own.items()}
    return replace(_on_probability(scope), kinds=Kinds(**kinds))


def _on_probability(thresholds: T) -> T:
    flag = None if thresholds.flag is None else _as_probability(thresholds.flag)
    return replace(thresholds, flag=flag, review=_as_probability(thresholds.review))


def _as_probability(log_odds: float) -> float:
    """The probability, rounded up a little: a threshold is never below the one tested.

    Of what it lacks to 1, six digits are kept. Millionths would be too coarse, as the probabilities of plain copies may
    all lie in the last one.

    >>> _as_probability(0.0), _as_probability(2.0), _as_probability(20.0) < 1
    (0.5, 0.880798, True)
    """
    lacks = 1 / (1 + math.exp(log_odds))
    unit = 10.0 ** (math.floor(math.log10(lacks)) - 5)
    return 1 - math.floor(lacks / unit) * unit


def _least_alike(pairs: LabelledPairs) -> float:
    """Where review begins while nothing can be promised: at the least similar of the known look-alikes."""
    known = pairs.similarity[pairs.lookalike]
    return float(np.floor(known.min() * 1000) / 1000) if len(known) else 1.0
