"""What the monitor watches: findings, and reviewers' verdicts on the flagged ones."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookalike.policy.policy import Policy
from lookalike.records import Verdict
from lookalike.tables.labels import Review, in_order

OBSERVED = (
    "similarity", "normalised_similarity", "reference_id", "product_id", "brand", "territory", "kind", "image_sha256",
)  # fmt: skip
"""The columns of a findings table that are watched, besides those that every one has."""


class AskedFinding(NamedTuple):
    """What is needed of a finding to judge the verdicts on it."""

    policy: str
    verdict: str
    product: str | None
    brand: str | None
    territory: str | None
    kind: str | None
    photo: str | None


@dataclass(frozen=True)
class Observed:
    """What is watched of a findings table.

    `listings` is how many could be read, `similarity` float32 (n,) the values of those that have one, `normalised`
    float32 (m,) likewise. `hits` counts by reference_id the listings flagged or sent to review, `references` is how
    many were named at all, `encoders` which encoders made the findings. `asked` holds the findings asked for,
    by listing_id.
    """

    listings: int
    similarity: NDArray[np.float32]
    normalised: NDArray[np.float32]
    hits: Mapping[str, int]
    references: int
    encoders: frozenset[str]
    asked: Mapping[str, AskedFinding]


def observe(findings: Iterable[Mapping[str, Any]], *, asked: Collection[str] = ()) -> Observed:
    """Take what is watched from rows of findings, and the last finding of each of the `asked` listings.

    Memory grows with the numbers, four bytes each, with the references and with the `asked` listings.
    """
    listings, hits, named, encoders = 0, Counter[str](), set[str](), set[str]()
    values = {"similarity": array("f"), "normalised_similarity": array("f")}
    kept: dict[str, AskedFinding] = {}
    names = set(asked)
    for row in findings:
        encoders.add(str(row["encoder"]))
        listings += row["verdict"] != Verdict.UNREADABLE
        for name, column in values.items():
            if row.get(name) is not None:
                column.append(float(row[name]))
        if (reference := row.get("reference_id")) is not None:
            named.add(str(reference))
            hits[str(reference)] += row["verdict"] in (Verdict.FLAGGED, Verdict.REVIEW)
        if str(row["listing_id"]) in names:
            place = (row.get("product_id"), row.get("brand"), row.get("territory"), row.get("kind"),
                     row.get("image_sha256"))  # fmt: skip
            kept[str(row["listing_id"])] = AskedFinding(str(row["policy"]), str(row["verdict"]), *place)
    similarity, normalised = (np.array(column, np.float32) for column in values.values())
    return Observed(listings, similarity, normalised, +hits, len(named), frozenset(encoders), kept)


@dataclass(frozen=True)
class ReviewedFlag:
    """A flagged listing that a person has judged: whether the flag was right, for which brand, where, when, of which
    kind; and whether it was drawn in a `renewal`, from the flags of the one promise that decides it.
    """

    right: bool
    brand: str | None = None
    territory: str | None = None
    day: date | None = None
    kind: str | None = None
    renewal: bool = False


@dataclass(frozen=True)
class Reviews:
    """The judged flags of one policy in the order of their first verdicts, and counts of the verdicts left out.

    Left out are verdicts on listings that the policy was `tuned_on`, on findings of an `other_policy`, on findings that
    were `not_flagged`, about an `other_product`, on an `other_photo`, and on `unknown` listings.
    """

    flags: tuple[ReviewedFlag, ...] = ()
    other_policy: int = 0
    not_flagged: int = 0
    other_product: int = 0
    unknown: int = 0
    tuned_on: int = 0
    other_photo: int = 0


def judge_flags(reviews: Sequence[Review], observed: Observed, *, policy: Policy) -> Reviews:
    """Which flags of that policy were right, ordered by day and then as in the table; undated ones come first.

    A flag is right if a person says look-alike, of the finding's product or of none in particular. One said to be a
    look-alike of another product only is wrong. If a listing has several verdicts the last one counts, in the place of
    the first: moved to the end, corrections would look like a run of errors.
    """
    flags: dict[str, ReviewedFlag] = {}
    useless: Counter[str] = Counter()
    for review in in_order(reviews):
        found = observed.asked.get(review.listing_id)
        if policy.tuned_on is not None and review.listing_id in policy.tuned_on:
            useless["tuned_on"] += 1
        elif found is None:
            useless["unknown"] += 1
        elif not policy.made(found.policy):
            useless["other_policy"] += 1
        elif found.verdict != Verdict.FLAGGED:
            useless["not_flagged"] += 1
        elif not review.saw(found.photo):
            useless["other_photo"] += 1
        else:
            same = review.is_about(found.product, found.brand)
            known = flags.get(review.listing_id)
            if not same and (known is not None or not review.lookalike):
                useless["other_product"] += 1
                continue
            flags[review.listing_id] = ReviewedFlag(
                same and review.lookalike,
                found.brand,
                found.territory,
                known.day if known else review.day,
                found.kind,
                review.renewal,
            )
    return Reviews(tuple(flags.values()), **useless)
