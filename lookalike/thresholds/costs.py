"""What the verdicts of a policy cost: wrong flags, look-alikes that nobody sees, and people's minutes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lookalike.records import Verdict


@dataclass(frozen=True)
class Prices:
    """What an error and a minute cost, in one currency: a `wrong_flag`, a `miss`, and a `minute` of a person's time.

    A finding in review takes `minutes`.
    """

    wrong_flag: float
    miss: float
    minute: float
    minutes: float = 0.5


@dataclass(frozen=True)
class Costs:
    """The costs of some findings, by what causes them."""

    wrong_flags: float = 0.0
    misses: float = 0.0
    review: float = 0.0

    @property
    def total(self) -> float:
        """All of them together."""
        return self.wrong_flags + self.misses + self.review


def costs_of(verdicts: Sequence[str], right: Sequence[bool], related: Sequence[bool], prices: Prices) -> Costs:
    """The costs of n findings: their `verdicts`, and whether each names the `right` product.

    `related` says whether there is such a product at all. A look-alike in review isn't missed, as a person sees it; one
    that is clear is. Raises ValueError for lengths that differ.

    >>> verdicts, right = ["flagged", "flagged", "review", "clear"], [True, False, True, True]
    >>> costs_of(verdicts, right, [True] * 4, Prices(wrong_flag=20, miss=50, minute=1))
    Costs(wrong_flags=20.0, misses=50.0, review=0.5)
    """
    cases = list(zip(verdicts, right, related, strict=True))
    wrong = _count(verdict == Verdict.FLAGGED and not named for verdict, named, _ in cases)
    missed = _count(verdict == Verdict.CLEAR and alike for verdict, _, alike in cases)
    reviewed = _count(verdict == Verdict.REVIEW for verdict, _, _ in cases)
    return Costs(wrong * prices.wrong_flag, missed * prices.miss, reviewed * prices.minutes * prices.minute)


def _count(which: Iterable[bool]) -> float:
    return float(sum(which))
