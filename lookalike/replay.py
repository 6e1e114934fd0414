"""What another policy would say of findings already made: nothing is embedded, searched or read again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .decision import NAMELESS, judge
from .errors import PolicyError, TableError
from .policy import Policy, Reach
from .records import Finding, Listing, Match, Reference, Verdict
from .verification import from_json

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


def said_by_similarity(row: Row) -> str:
    """The verdict of a row before rights and sellers were asked for."""
    return str(row.get("similarity_verdict") or row["verdict"])


def stored(row: Row) -> tuple[Finding, list[Match]]:
    """The finding of a row, and what its photos are alike to."""
    listing = Listing(
        id=str(row["listing_id"]),
        images=(),
        seller=row.get("seller_id"),
        territory=row.get("territory"),
        price=row.get("price"),
        currency=row.get("currency"),
        title=row.get("title"),
        url=row.get("url"),
    )
    finding = Finding(
        listing,
        Verdict(said_by_similarity(row)),
        str(row["policy"]),
        str(row["encoder"]),
        image=row.get("image"),
        error=row.get("error"),
        hint=row.get("hint"),
        image_sha256=row.get("image_sha256"),
        scanned_at=row.get("scanned_at"),
    )
    return finding, [] if finding.verdict is Verdict.UNREADABLE else matches_of(row)


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


def matches_of(row: Row) -> list[Match]:
    """What the photos of a finding's row are alike to. Raises TableError for candidates that can't be read."""
    text = row.get("candidates")
    if text is None:
        if row.get("similarity") is not None:
            raise TableError(
                f"the finding of listing {row['listing_id']} has no candidates; scan again with this version"
            )
        return []
    try:
        entries = json.loads(text)
        if not isinstance(entries, list):
            raise TypeError(f"{type(entries).__name__} is no list")
        return [
            Match(
                reference=Reference(
                    id=str(entry["reference_id"]),
                    product=str(entry["product_id"]),
                    brand=str(entry["brand"]),
                    image=str(entry["reference_image"]),
                ),
                similarity=float(entry["similarity"]),
                normalised_similarity=_number(entry["normalised_similarity"]),
                image=entry["image"],
                margin=_number(entry.get("margin")),
                verification=from_json(entry["verification"]) if entry.get("verification") else None,
                suppressed_by=entry["suppressed_by"],
                image_sha256=_sha256(row, entry),
                probability=_number(entry.get("probability")),
                verdict=Verdict(entry["verdict"]) if entry.get("verdict") else None,
                threshold=_number(entry.get("threshold")),
            )
            for entry in entries
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TableError(
            f"the candidates of listing {row['listing_id']} can't be read ({type(error).__name__}); scan again"
        ) from error


def match_of(row: Row) -> Match:
    """The one of a row's matches that decided. Raises TableError as `matches_of` does, and where it is none of them."""
    for match in matches_of(row):
        if (match.reference.brand, match.reference.product) == (row["brand"], row["product_id"]):
            return match
    raise TableError(f"the candidates of listing {row['listing_id']} lack what it is alike to; scan again")


def _sha256(row: Row, entry: Row) -> str | None:
    """That of the candidate's photo, which the row has where it is the finding's own; of nameless photos none."""
    own = row.get("image_sha256") if entry["image"] == row.get("image") else entry.get("image_sha256")
    return None if own is None or entry["image"] == NAMELESS else str(own)


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))
