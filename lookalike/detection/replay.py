"""What another policy would say of findings already made: nothing is embedded, searched or read again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lookalike.errors import PolicyError
from lookalike.policy.policy import Policy, Reach
from lookalike.records import Finding, Match, Verdict
from lookalike.tables.findings import said_by_similarity, stored

from .decision import judge

Row = Mapping[str, Any]
_COUNTED_TOGETHER = 4096
_JUDGED = (Verdict.FLAGGED, Verdict.REVIEW, Verdict.CLEAR)


@dataclass(frozen=True)
class PolicyDiff:
    """What going from one policy to another does to findings.

    `moved` counts them by (verdict before, verdict after), those that stay as they are among them. `gained` and `lost`
    count flags by brand. `authorised` is how many of the newly flagged are of sellers that may sell that brand there.
    """

    before: str
    after: str
    moved: Mapping[tuple[str, str], int]
    gained: Mapping[str, int]
    lost: Mapping[str, int]
    authorised: int

    def total(self, verdict: Verdict, *, after: bool) -> int:
        """How many findings have that verdict, before or after."""
        return sum(count for pair, count in self.moved.items() if pair[after] == verdict)


def replay(row: Row, policy: Policy) -> Finding:
    """The finding that a scan with that policy would make of the listing of this row of a findings table.

    Exactly that, provided the row's policy has the same cohort, if any, and the same reach, and for a listing of
    several photos the same fusion, and rights and sellers not yet asked for; but the sha256 is not known of a photo
    without a name. Raises TableError for a row without candidates that can be read.
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

    `authorised` counts the findings whose seller may sell that brand. Raises PolicyError where the findings
    can't tell: policies of different cohorts, one whose fusion reaches further than the other, or one for another
    encoder than the findings'.
    """
    if (before.cohort.sha256 if before.cohort else None) != (after.cohort.sha256 if after.cohort else None):
        raise PolicyError(
            f"{before} and {after} normalise by different cohorts, which the findings can't tell; scan again with each"
        )
    for policy, other in ((before, after), (after, before)):
        if policy.fusion is not None and not _reaches(other, policy.reach):
            raise PolicyError(
                f"{policy} compares more photos point by point than {other}, which the findings can't tell; scan again"
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
    """Whether the policy compares all that this reach asks for."""
    own = policy.reach.similarity if policy.reach.similarity is not None else policy.lowest_review
    asked = reach.similarity if reach.similarity is not None else -1.0
    return own <= asked and policy.reach.references >= reach.references and policy.reach.photos >= reach.photos


def require_fit(row: Row, *policies: Policy) -> None:
    """Raise PolicyError for a policy that a finding of this row can't be judged by."""
    for policy in policies:
        weights = policy.weights_sha256
        if weights is not None and not str(row["encoder"]).endswith(f"@{weights[:8]}"):
            raise PolicyError(
                f"policy {policy.name} is for an encoder with weights {weights[:8]}, but the findings are of "
                f"{row['encoder']}; scan again with the policy's encoder"
            )
        if policy.cohort is not None and row.get("candidates") and row.get("normalised_similarity") is None:
            raise PolicyError(
                f"policy {policy.name} normalises, but the findings of {row['policy']} are not normalised; scan again"
            )
