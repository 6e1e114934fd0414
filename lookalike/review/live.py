"""What tuning would give now: flags, how many of them are right, what is left to people, what is at stake."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import median
from typing import TYPE_CHECKING

from lookalike.binomial import Share
from lookalike.errors import LookalikeError, TableError
from lookalike.policy.policy import Policy
from lookalike.policy.terms import Scope
from lookalike.records import KINDS, Verdict
from lookalike.tables.labels import Review, deciding_review, reviews_by_listing
from lookalike.tables.reviews import decided, drawn, no_promise
from lookalike.thresholds.labels import labels_of_rows
from lookalike.thresholds.tuned import Goal, Tuned, tune_on_labels

from .findings import Item, OpenFindings
from .store import VerdictStore

if TYPE_CHECKING:
    from lookalike.index.reference_index import ReferenceIndex

_JUDGED = (Verdict.FLAGGED, Verdict.REVIEW, Verdict.CLEAR)
_SECONDS = 30.0
"""What a look takes while no verdict says how long it took."""


@dataclass
class Group:
    """The figures of some findings: how many are flagged, in review and clear, and the sums of the flagged prices.

    `right` counts those of the judged flags that a person confirmed.
    """

    verdicts: Counter[str] = field(default_factory=Counter)
    judged: int = 0
    right: int = 0
    stake: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    def add(self, item: Item, verdict: str, review: Review | None) -> None:
        """Count a finding with its verdict, and what a person said of it."""
        self.verdicts[verdict] += 1
        if verdict != Verdict.FLAGGED:
            return
        if item.price is not None:
            self.stake[item.currency] += item.price
        if review is not None:
            self.judged += 1
            self.right += review.lookalike and review.is_about(item.product, item.brand)

    @property
    def share(self) -> Share:
        """The share of right ones among the judged flags."""
        return Share.of(self.right, self.judged)


@dataclass(frozen=True)
class Figures:
    """The figures of all findings under one policy, by brand and by kind; `minutes` is what those in review take."""

    all: Group
    brands: Mapping[str, Group]
    kinds: Mapping[str, Group]
    minutes: float


@dataclass(frozen=True)
class Live:
    """What the findings' policy does, and what tuning would do.

    `tuned` and `after` are None if there is nothing to tune on, and `refusal` says why. `more_needed` is how many more
    right flags among the verdicts a promise takes. `random` says whether verdicts were drawn at random, so that shares
    among them are those among all findings.
    """

    now: Figures
    random: bool
    verdicts: int
    tuned: Tuned | None = None
    after: Figures | None = None
    more_needed: int = 0
    refusal: str | None = None


class Tuning:
    """Tunes on the verdicts of a review, as `lookalike tune` does. `policy` is the findings' own, if it is known."""

    def __init__(
        self, findings: OpenFindings, store: VerdictStore, *, index: ReferenceIndex, policy: Policy | None
    ) -> None:
        self.findings, self.policy = findings, policy
        self._store, self._index = store, index

    def live(self, precision: float) -> Live:
        """What tuning for that precision would give now."""
        stands = self._store.standing()
        known, said = drawn(stands), decided(stands)
        reviews = known.reviews or said.reviews
        now = self._figures(self.policy, reviews)
        random = bool(known.reviews)
        if self.policy is None:
            return Live(now, random, len(reviews), refusal="the findings' policy is not known; give it with --policy")
        try:
            tuned = self.tune(precision)
        except LookalikeError as error:
            return Live(now, random, len(reviews), refusal=str(error))
        evidence = tuned.policy.scope().evidence
        needed = evidence.more_needed if evidence is not None else 0
        return Live(now, random, len(reviews), tuned, self._figures(tuned.policy, reviews), needed)

    def tune(self, precision: float, name: str = "reviewed") -> Tuned:
        """The policy for that precision. Raises TableError if no promise can rest on the verdicts."""
        stands = self._store.standing()
        known = drawn(stands)
        if not known.reviews:
            raise TableError(f"no promise can rest on these verdicts yet: {no_promise(stands)}")
        places = (self.findings.by_listing.get(review.listing_id) for review in known.reviews)
        rows = self.findings.rows(place for place in places if place is not None)
        labels = labels_of_rows(known.reviews, rows, candidates=True)
        if not labels.photos:
            raise TableError("no promise yet: all verdicts are about other photos or products than these findings")
        return tune_on_labels(labels, index=self._index, goal=Goal(precision=precision), policy=self.policy, name=name)

    def _figures(self, policy: Policy | None, reviews: Iterable[Review]) -> Figures:
        """Each finding by its deciding match; `policy diff` weighs the other candidates as well."""
        by_listing = reviews_by_listing(reviews)
        verdict_of = _judging(policy)
        all_ = Group()
        brands: dict[str, Group] = defaultdict(Group)
        kinds: dict[str, Group] = defaultdict(Group)
        for item in self.findings.items:
            if item.said not in _JUDGED or item.strength is None:
                continue
            known = by_listing.get(item.listing)
            review = None if known is None else deciding_review(known, item.product, item.brand, item.photo)
            verdict = verdict_of(item)
            for group in (all_, brands[item.brand or ""], kinds[item.kind]):
                group.add(item, verdict, review)
        return Figures(all_, dict(brands), _in_order(kinds), self._minutes(all_.verdicts[Verdict.REVIEW]))

    def _minutes(self, count: int) -> float:
        seconds = [entry.said.seconds for entry in self._store.entries[-500:] if entry.said.seconds]
        return count * (median(seconds) if seconds else _SECONDS) / 60


def _judging(policy: Policy | None) -> Callable[[Item], str]:
    """What the policy says of a finding by its deciding match; without a policy, what the finding says."""
    scopes: dict[tuple[str | None, str | None, str], Scope] = {}

    def verdict(item: Item) -> str:
        if policy is None or item.suppressed or item.strength is None:
            return item.said
        place = (item.brand, item.territory, item.kind)
        if place not in scopes:
            scopes[place] = policy.scope(item.brand, item.territory).of(item.kind or None)
        return scopes[place].verdict(item.strength)

    return verdict


def _in_order(kinds: Mapping[str, Group]) -> dict[str, Group]:
    return {kind: kinds[kind] for kind in (*KINDS, "") if kind in kinds}
