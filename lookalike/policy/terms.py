"""The terms of a policy: thresholds and what they rest on, what they promise, and which photos are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated

from lookalike.errors import PolicyError
from lookalike.records import KINDS, Verdict

from .entries import Compared, Count, Day, NoneIfMissing, Number, OptionalTable, Parts, Share, Truth

PARTS = 8
"""How many parts of a photo new policies look up."""


@dataclass(frozen=True)
class Evidence:
    """The labelled pairs that a threshold rests on, and what they showed.

    `of` says which pairs: those of a brand, of a category, or "all". Of `labels` pairs, `flags` reached the flag
    threshold, and `errors` of those were not look-alikes. `more_needed` is how many more labelled pairs above the
    threshold, all of them look-alikes, this scope needs for a promise of its own, and `unrelated_needed` how many more
    listings known or believed to be unrelated, for a cap on false flags; both are 0 if it has one. `since` and `until`
    are the first and the last day of the labels.
    """

    of: str = "all"
    labels: Count = 0
    flags: Count = 0
    errors: Count = 0
    more_needed: Count = 0
    since: Day | None = None
    until: Day | None = None
    unrelated_needed: Count = 0

    @property
    def suffices(self) -> bool:
        """Whether it is enough for a promise of its own."""
        return not self.more_needed and not self.unrelated_needed

    @property
    def missing(self) -> str:
        """What is missing for a promise of its own, in words; nothing if it has one.

        >>> Evidence(more_needed=1, unrelated_needed=218).missing
        '1 flag, 218 unrelated'
        """
        flags = f"{self.more_needed:,} {'flag' if self.more_needed == 1 else 'flags'}" if self.more_needed else ""
        unrelated = f"{self.unrelated_needed:,} unrelated" if self.unrelated_needed else ""
        return ", ".join(filter(None, (flags, unrelated)))


@dataclass(frozen=True)
class Thresholds:
    """Thresholds for findings of one kind; the entries mean what those of a `Scope` mean."""

    flag: Annotated[Number | None, NoneIfMissing()]
    review: Number
    evidence: OptionalTable[Evidence] = None
    withdrawn: str | None = None


@dataclass(frozen=True)
class Kinds:
    """Thresholds by kind of likeness; a kind with None uses those of its scope."""

    copied_photo: OptionalTable[Thresholds] = None
    same_print: OptionalTable[Thresholds] = None
    lookalike: OptionalTable[Thresholds] = None

    @property
    def own(self) -> Mapping[str, Thresholds]:
        """The kinds that have thresholds of their own."""
        return {kind: thresholds for kind in KINDS if (thresholds := getattr(self, kind)) is not None}


@dataclass(frozen=True)
class Scope:
    """Thresholds for a brand, a territory, a brand in a territory, or (with neither) everything else.

    A listing at `flag` or above is flagged; None flags nothing. At `review` or above, a person looks at it.
    `withdrawn` says why listings at `flag` go to review until the policy is tuned again. `kinds` may have thresholds of
    their own.
    """

    flag: Annotated[Number | None, NoneIfMissing()]
    review: Number
    brand: str | None = None
    territory: str | None = None
    evidence: OptionalTable[Evidence] = None
    withdrawn: str | None = None
    kinds: Kinds = field(default_factory=Kinds)

    def of(self, kind: str | None) -> Scope:
        """The scope with the thresholds that count for findings of that kind.

        >>> scope = Scope(0.9, 0.5, kinds=Kinds(copied_photo=Thresholds(0.6, 0.4)))
        >>> scope.of("copied_photo").flag, scope.of("lookalike").flag
        (0.6, 0.9)
        """
        return self if kind is None else self._by_kind.get(kind, self)

    @cached_property
    def _by_kind(self) -> Mapping[str, Scope]:
        return {
            kind: replace(self, flag=own.flag, review=own.review, evidence=own.evidence,
                          withdrawn=self.withdrawn or own.withdrawn, kinds=Kinds())
            for kind, own in self.kinds.own.items()
        }  # fmt: skip

    @property
    def has_own_promise(self) -> bool:
        """Whether its flags keep a promise of its own, not one borrowed from other brands."""
        return self.flag is not None and self.evidence is not None and self.evidence.suffices

    def verdict(self, strength: float) -> Verdict:
        """The verdict for a similarity, normalised if the policy normalises, or for a probability if it fuses.

        `of` gives the scope that says it for a kind.
        """
        if strength >= self.review or (self.flag is not None and strength >= self.flag):
            flagged = self.flag is not None and self.withdrawn is None and strength >= self.flag
            return Verdict.FLAGGED if flagged else Verdict.REVIEW
        return Verdict.CLEAR

    def threshold(self, verdict: Verdict) -> float:
        """The threshold that a verdict rests on; for a clear listing, the one that it didn't reach."""
        return self.flag if verdict is Verdict.FLAGGED and self.flag is not None else self.review


@dataclass(frozen=True)
class Promise:
    """What `lookalike tune` was asked to guarantee, each with `confidence` (0 to 1).

    At least the share `precision` of what is flagged is right, and at most the share `false_flags` of unrelated
    listings is flagged. If it is `by_kind`, that share is right of each kind with thresholds of its own, and of the
    other kinds together: of all of these at once, with that confidence, and so of all that is flagged. The promise
    covers what the index's search found. In a partitioned index, that search decided `search_agreeing` of
    `search_probes` probes as an exact search does; both are None if the search is exact. `cross_fitted` counts labels
    that the index's adapter was fitted to, each looked up by a map that was not; it is None if there are none.

    >>> print(Promise(0.95, precision=0.9, search_agreeing=4093, search_probes=4096))
    at least 90% of flags right, with 95% confidence; by a search that decides 4,093 of 4,096 probes as an exact one

    Raises PolicyError if only one of `search_agreeing` and `search_probes` is given, or the first is larger.
    """

    confidence: Share
    precision: Share | None = None
    false_flags: Share | None = None
    search_agreeing: Count | None = None
    search_probes: Count | None = None
    by_kind: Truth = False
    cross_fitted: Count | None = None

    def __post_init__(self) -> None:
        agreeing, probes = self.search_agreeing, self.search_probes
        if (agreeing is None) != (probes is None) or (agreeing or 0) > (probes or 0):
            raise PolicyError(
                f"promise.search_agreeing is {agreeing} and search_probes {probes}, expected neither or both, and no "
                "more agreeing than there are probes"
            )

    def __str__(self) -> str:
        parts = []
        if self.precision is not None:
            each = " of each kind" if self.by_kind else ""
            parts.append(f"at least {self.precision:.0%} of flags{each} right")
        if self.false_flags is not None:
            parts.append(f"at most {self.false_flags:.2%} of unrelated listings flagged")
        each = "each " if len(parts) > 1 else ""
        text = f"{' and '.join(parts)}, {each}with {self.confidence:.0%} confidence"
        if self.search_agreeing is not None:
            probes = f"{self.search_agreeing:,} of {self.search_probes:,} probes"
            text = f"{text}; by a search that decides {probes} as an exact one"
        if self.cross_fitted is not None:
            text = f"{text}; {self.cross_fitted:,} of the labels are cross-fitted"
        return text


@dataclass(frozen=True)
class Reach:
    """Which photos are compared point by point, and with how many of their nearest references.

    A photo is compared if its similarity to a reference, normalised if the policy normalises, is at least
    `similarity`. None means whatever its similarity if there is a fusion, else the review threshold. At most `photos`
    photos of a listing are compared, the most similar first. That bounds what a listing costs: about 20 ms of a core
    for each photo and 1.5 ms for each of its references. It counts photos and not time, so that findings don't depend
    on how busy a machine is. Of each photo up to `parts` parts are looked up as well as the whole (see
    `model.regions`).
    """

    similarity: Number | None = None
    references: Compared = 8
    photos: Compared = 4
    parts: Parts = 0
