"""What another policy would decide about stored findings. Nothing is embedded, searched or read again."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lookalike.errors import PolicyError
from lookalike.policy.policy import Policy
from lookalike.policy.shipped import shipped_policies
from lookalike.policy.terms import Reach
from lookalike.records import Finding, Match, Verdict
from lookalike.tables.candidates import matches_of
from lookalike.tables.findings import said_by_similarity, stored

from .decision import judge
from .verification import as_compared

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

    It is exactly that finding, before rights and sellers, if the row's policy has the same cohort and reaches as far,
    and for a listing with several photos the same fusion. Only the sha256 of a photo without a name is unknown. Raises
    TableError if the row's candidates can't be read.
    """
    return _judged(row, *stored(row), policy)


def _judged(row: Row, finding: Finding, matches: Sequence[Match], policy: Policy) -> Finding:
    if policy.cohort is None and any(match.normalised_similarity is not None for match in matches):
        matches = [replace(match, normalised_similarity=None) for match in matches]
    if not policy.made(row["policy"]):  # which may have compared more
        matches = as_compared(matches, policy.compared)
    return judge(finding, matches, policy=policy)


def compare_policies(
    rows: Iterable[Row],
    before: Policy,
    after: Policy,
    *,
    made_by: Policy | None = None,
    authorised: Callable[[Sequence[Finding]], int] | None = None,
) -> PolicyDiff:
    """Replay rows of a findings table under both policies.

    What the findings can tell depends on the policy that made them: `made_by`, one of the two, or one that ships. Both
    policies must have its cohort, and reach no further. If neither of these made them, the two are held against each
    other. `authorised` counts the findings whose seller may sell the brand (see `count_authorised`). Raises PolicyError
    if the findings can't tell, or one of the policies is for another encoder.
    """
    makers = _Makers((before, after), made_by)
    moved: Counter[tuple[str, str]] = Counter()
    gained: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    newly: list[Finding] = []
    allowed = 0
    for row in rows:
        makers.require(str(row["policy"]))
        require_fit(row, before, after)
        if said_by_similarity(row) not in _JUDGED:
            moved[row["verdict"], row["verdict"]] += 1
            continue
        kept = stored(row)
        old, new = _judged(row, *kept, before), _judged(row, *kept, after)
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


class _Makers:
    """The policies that may have made findings, and which of them were held against the two to compare."""

    def __init__(self, compared: tuple[Policy, Policy], made_by: Policy | None) -> None:
        self._compared = compared
        self._known = [*([made_by] if made_by is not None else []), *compared, *shipped_policies()]
        self._checked: set[str] = set()

    def require(self, label: str) -> None:
        """Raise PolicyError if findings with this label can't tell what the two policies would say."""
        if label in self._checked:
            return
        maker = next((policy for policy in self._known if policy.made(label)), None)
        before, after = self._compared
        if maker is not None:
            for policy in self._compared:
                _require_told(policy, maker)
        else:
            more = f", or give the policy that made them, {label}, with --made-by"
            for policy, other in ((before, after), (after, before)):
                _require_told(policy, other, more=more)
        self._checked.add(label)


def _require_told(policy: Policy, maker: Policy, *, more: str = "") -> None:
    """Raise PolicyError if findings of `maker` can't tell what the policy would say of the same listings."""
    if (policy.cohort.sha256 if policy.cohort else None) != (maker.cohort.sha256 if maker.cohort else None):
        why = f"{policy} and {maker} normalise with different cohorts"
    elif policy.reach.parts != maker.reach.parts:
        why = f"{policy} and {maker} look up other numbers of a photo's parts"
    elif policy.needs_points and not _reaches(maker, policy.compared):
        why = f"{policy} compares more photos point by point than {maker}"
    else:
        return
    raise PolicyError(f"{why}, so these findings can't tell what each would say; scan again with each{more}")


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
        if policy.needs_points and not policy.made(row["policy"]) and _lacks_points(row, policy.compared):
            raise PolicyError(
                f"policy {policy.name} also decides by matching points, but the findings by {row['policy']} were not "
                f"compared point by point that far (first: listing {str(row['listing_id'])[:60]}); scan again"
            )


def _lacks_points(row: Row, reach: Reach) -> bool:
    """Whether none of the row's matches was compared, although a scan with that reach compares the nearest."""
    if row.get("error") or row.get("hint") or not row.get("candidates"):  # they may say why
        return False
    matches = matches_of(row)
    nearest = max((match.compared_similarity for match in matches), default=-math.inf)
    within = reach.references > 0 and reach.photos > 0 and nearest >= (reach.similarity or -math.inf)
    return bool(matches) and within and not any(match.verification for match in matches)
