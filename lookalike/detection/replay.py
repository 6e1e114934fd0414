"""What another policy would decide about stored findings. Nothing is embedded, searched or read again."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lookalike.errors import PolicyError
from lookalike.policy.policy import Policy
from lookalike.policy.terms import Reach
from lookalike.records import Finding, Match, Verdict
from lookalike.tables.findings import said_by_similarity, stored

from .decision import judge

Row = Mapping[str, Any]
_COUNTED_TOGETHER = 4096
_JUDGED = (Verdict.FLAGGED, Verdict.REVIEW, Verdict.CLEAR)


@dataclass(frozen=True)
class PolicyDiff:
    """What a change of policy does to findings.

    `moved` counts findings by (verdict before, verdict after), including those that stay the same. `gained` and `lost`
    count flags by brand. `authorised` is how many of the newly flagged listings are of sellers who may sell the brand
    there.
    """

    before: str
    after: str
    moved: Mapping[tuple[str, str], int]
    gained: Mapping[str, int]
    lost: Mapping[str, int]
    authorised: int

    def total(self, verdict: Verdict, *, after: bool) -> int:
        """How many findings have that verdict before or after the change."""
        return sum(count for pair, count in self.moved.items() if pair[after] == verdict)


def replay(row: Row, policy: Policy) -> Finding:
    """The finding that a scan with that policy would make of the listing in this row of a findings table.

    It is exactly that finding, before rights and sellers, if the row's policy has the same cohort and the same reach,
    and for a listing with several photos the same fusion. Only the sha256 of a photo without a name is unknown. Raises
    TableError if the row's candidates can't be read.
    """
    return _judged(*stored(row), policy)


def _judged(finding: Finding, matches: list[Match], policy: Policy) -> Finding:
    if policy.cohort is None and any(match.normalised_similarity is not None for match in matches):
        matches = [replace(match, normalised_similarity=None) for match in matches]
    return judge(finding, matches, policy=policy)


def compare_policies(
    rows: Iterable[Row],
    before: Policy,
    after: Policy,
    *,
    authorised: Callable[[Sequence[Finding]], int] | None = None,
) -> PolicyDiff:
    """Replay rows of a findings table under both policies.

    `authorised` counts the findings whose seller may sell the brand (see `count_authorised`). Raises PolicyError if the
    findings can't tell: the policies have different cohorts, the fusion of one reaches further than the other, or one
    is for another encoder.
    """
    if (before.cohort.sha256 if before.cohort else None) != (after.cohort.sha256 if after.cohort else None):
        raise PolicyError(
            f"{before} and {after} normalise with different cohorts, so these findings can't compare them; "
            "scan again with each"
        )
    if before.reach.parts != after.reach.parts:
        raise PolicyError(
            f"{before} and {after} look up other numbers of a photo's parts, so these findings can't compare them; "
            "scan again with each"
        )
    for policy, other in ((before, after), (after, before)):
        if policy.needs_points and not _reaches(other, policy.reach):
            raise PolicyError(
                f"{policy} compares more photos point by point than {other}, so these findings can't compare them; "
                "scan again"
            )
    moved: Counter[tuple[str, str]] = Counter()
    gained: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    newly: list[Finding] = []
    allowed = 0
    for row in rows:
        require_fit(row, before, after)
        if said_by_similarity(row) not in _JUDGED:
            moved[row["verdict"], row["verdict"]] += 1
            continue
        kept = stored(row)
        old, new = _judged(*kept, before), _judged(*kept, after)
        moved[str(old.verdict), str(new.verdict)] += 1
        if new.verdict is Verdict.FLAGGED and old.verdict is not Verdict.FLAGGED:
            gained[new.brand or ""] += 1
            newly += [new] if authorised is not None else []
        elif old.verdict is Verdict.FLAGGED and new.verdict is not Verdict.FLAGGED:
            lost[old.brand or ""] += 1
        if authorised is not None and len(newly) >= _COUNTED_TOGETHER:
            allowed += authorised(newly)
            newly.clear()
    if authorised is not None and newly:
        allowed += authorised(newly)
    return PolicyDiff(str(before), str(after), dict(moved), dict(gained), dict(lost), allowed)


def _reaches(policy: Policy, reach: Reach) -> bool:
    """Whether the policy compares everything within that reach."""
    own = policy.compared
    near, far = (each.similarity if each.similarity is not None else -math.inf for each in (reach, own))
    return far <= near and own.references >= reach.references and own.photos >= reach.photos


def require_fit(row: Row, *policies: Policy) -> None:
    """Raise PolicyError for a policy that can't judge the finding in this row."""
    for policy in policies:
        weights = policy.weights_sha256
        if weights is not None and not str(row["encoder"]).endswith(f"@{weights[:8]}"):
            raise PolicyError(
                f"policy {policy.name} is for an encoder with weights {weights[:8]}, but the findings were made with "
                f"{row['encoder']}; scan again with the policy's encoder"
            )
        if policy.cohort is not None and row.get("candidates") and row.get("normalised_similarity") is None:
            raise PolicyError(
                f"policy {policy.name} normalises similarities, but the findings by {row['policy']} are not "
                "normalised; scan again"
            )
