"""Watches a policy: is its promise still kept, have similarities drifted, is one reference flooded?

Verdicts are tested so that one may look after every single one. Drift and floods compare two findings tables: each such
comparison has its own chance `alpha` of a false alarm, and a change must be large as well as significant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from lookalike.errors import TableError
from lookalike.policy.policy import Policy, withdraw
from lookalike.tables.labels import Review

from .drift import Drift, measure_drift
from .floods import Flood, find_floods
from .observed import Reviews, judge_flags, observe
from .promises import PromiseCheck, check_promises


@dataclass(frozen=True)
class MonitorReport:
    """All that was found for `policy` (its name and hash); `drift` is None if there was nothing to compare with."""

    policy: str
    day: date
    alpha: float
    reviews: Reviews
    promises: tuple[PromiseCheck, ...]
    drift: Drift | None = None
    floods: tuple[Flood, ...] = ()

    @property
    def broken(self) -> tuple[PromiseCheck, ...]:
        """The promises that are broken."""
        return tuple(check for check in self.promises if check.broken)

    @property
    def untested(self) -> bool:
        """Whether precision is promised, and there isn't one verdict to test that by."""
        return bool(self.promises) and not any(check.tested for check in self.promises)

    @property
    def raised(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self.broken or self.floods or (self.drift and self.drift.raised))


def monitor_policy(
    findings: Iterable[Mapping[str, Any]],
    reviews: Sequence[Review],
    policy: Policy,
    *,
    before: Iterable[Mapping[str, Any]] | None = None,
    alpha: float = 0.05,
    day: date | None = None,
) -> MonitorReport:
    """Watch one policy: rows of findings (as `read_findings` yields them), verdicts on them, and earlier findings.

    `alpha` is the chance of a false alarm: once for all promises together, however often one looks, and once for each
    comparison with `before`. `day` is the day of the report, by default today. Raises TableError if the two tables of
    findings come from different encoders, as their similarities can't be compared then.
    """
    now = observe(findings, asked={review.listing_id for review in reviews})
    judged = judge_flags(reviews, now, policy=policy)
    promises = check_promises(judged.flags, policy, alpha=alpha)
    report = MonitorReport(str(policy), day or date.today(), alpha, judged, promises)
    if before is None:
        return report
    earlier = observe(before)
    if earlier.encoders != now.encoders:
        raise TableError(
            f"the earlier findings come from encoder {', '.join(sorted(earlier.encoders))} and these from "
            f"{', '.join(sorted(now.encoders))}; scan the earlier listings again to compare them"
        )
    normalised = policy.cohort is not None and len(earlier.normalised) > 0 and len(now.normalised) > 0
    drift = measure_drift(earlier, now, normalised=normalised, alpha=alpha)
    return replace(report, drift=drift, floods=find_floods(earlier, now, alpha=alpha))


def withdraw_broken(policy: Policy, report: MonitorReport) -> Policy:
    """The policy with the flag band of every broken promise given to review, and why.

    If the promise about all flags is broken, every flag band is.
    """
    for check in sorted(report.broken, key=lambda check: (check.brand, check.territory, check.kind) != (None,) * 3):
        reason = check.reason(report.day)
        policy = withdraw(policy, reason, brand=check.brand, territory=check.territory, kind=check.kind)
    return policy
