"""Is the promise still kept? Watches reviewers' verdicts, the spread of similarities, and hits for each reference.

Verdicts are tested so that one may look after every single one. Drift and floods compare two findings tables, so each
such comparison has its own chance `alpha` of a false alarm, and must be large as well as significant.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import TableError
from lookalike.policy.policy import Policy, Scope, withdraw
from lookalike.records import Verdict
from lookalike.tables.inputs import Review

from .e_values import likely_start, log_evidence

DRIFT_LEAST = 200
"""Findings needed in both tables: with b bins the index of two equal distributions is about (b - 1)(1/n + 1/m), so
0.09 here (Yurdakul & Naranjo, "Statistical properties of the population stability index", 2020)."""
DRIFT_INDEX = 0.25
"""A large shift of the population stability index; a convention (Lewis, "An Introduction to Credit Scoring", 1994)."""

FLOOD_FACTOR, FLOOD_COUNT = 3.0, 10
"""Times as many hits, and how many of them, that make a flood. Above the 2 and 3 of Evans, Waller & Davis ("Use of
proportional reporting ratios for signal generation", 2001), as one seller's listings come together."""


@dataclass(frozen=True)
class ReviewedFlag:
    """A flagged listing that a person has judged: whether the flag was right, for which brand, where, and when."""

    right: bool
    brand: str | None = None
    territory: str | None = None
    day: date | None = None


@dataclass(frozen=True)
class Reviews:
    """The judged flags of one policy in the order of their first verdicts, and how many verdicts were of no use:
    of `other_policy`'s findings, of findings that were `not_flagged`, about an `other_product`, on `unknown` listings.
    """

    flags: tuple[ReviewedFlag, ...] = ()
    other_policy: int = 0
    not_flagged: int = 0
    other_product: int = 0
    unknown: int = 0


@dataclass(frozen=True)
class Observed:
    """What of a findings table is watched: how many `listings` could be read, the `similarity` float32 (n,) of those
    that have one, the `normalised` one of those that have one, `hits` (flagged or review) by reference_id, how many
    `references` were named at all, `encoders`, and the `asked` rows by listing_id."""

    listings: int
    similarity: NDArray[np.float32]
    normalised: NDArray[np.float32]
    hits: Mapping[str, int]
    references: int
    encoders: frozenset[str]
    asked: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class PromiseCheck:
    """What `reviewed` flags say of one promise: that of what is flagged at least `promised` (0 to 1) is right.

    `p` holds at any time: were the promise kept, the chance that it ever gets so small would be at most `p`. Where it
    is `broken`, that showed after `raised_after` verdicts, on the day `raised_on`; the errors most likely began on the
    day `since`, and from there on `stretch_wrong` of `stretch_reviewed` were wrong. Without brand and territory it is
    about all that is flagged.
    """

    promised: float
    reviewed: int = 0
    wrong: int = 0
    p: float = 1.0
    broken: bool = False
    brand: str | None = None
    territory: str | None = None
    raised_after: int | None = None
    raised_on: date | None = None
    since: date | None = None
    stretch_reviewed: int = 0
    stretch_wrong: int = 0

    def reason(self, day: date) -> str:
        """Why the flag band is withdrawn, for the policy.

        >>> check = PromiseCheck(0.95, 60, 14, 1e-6, broken=True, stretch_reviewed=60, stretch_wrong=14)
        >>> check.reason(date(2026, 11, 24))
        '2026-11-24: 14 of 60 reviewed flags were wrong, promised at most 5 %'
        """
        most = f"{100 * (1 - self.promised):.3g} %"
        counts = f"{self.stretch_wrong} of {self.stretch_reviewed} reviewed flags"
        since = f" since {self.since}" if self.since and self.stretch_reviewed < self.reviewed else ""
        return f"{day}: {counts}{since} were wrong, promised at most {most}"


@dataclass(frozen=True)
class Drift:
    """How far `now` similarities of a `column` have moved from `before` ones (counts).

    `ks` is the largest difference of the two cumulative shares (0 to 1), `p` its significance, `index` the population
    stability index over deciles of the earlier ones: 0 the same, from 0.25 a large shift, whatever the counts.
    """

    column: str
    before: int
    now: int
    median_before: float
    median_now: float
    ks: float
    p: float
    index: float
    raised: bool


@dataclass(frozen=True)
class Flood:
    """A reference hit `factor` times as often as before; `p` is corrected for the number of references (Holm)."""

    reference_id: str
    hits: int
    hits_before: int
    per_thousand: float
    per_thousand_before: float
    factor: float
    p: float


@dataclass(frozen=True)
class MonitorReport:
    """All that was found for `policy` (its name and hash); `drift` is None where there was nothing to compare with."""

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
    """Watch one policy: rows of findings (as `read_findings` gives them), verdicts on them, and earlier findings.

    `alpha` is the chance of a false alarm: once for all promises together however often one looks, and once for each
    comparison with `before`. `day` is the day of the report, today by default. Raises TableError where the two tables
    of findings are of different encoders, as their similarities then can't be compared.
    """
    now = observe(findings, asked={review.listing_id for review in reviews})
    judged = judge_flags(reviews, now, policy=str(policy))
    promises = check_promises(judged.flags, policy, alpha=alpha)
    report = MonitorReport(str(policy), day or date.today(), alpha, judged, promises)
    if before is None:
        return report
    earlier = observe(before)
    if earlier.encoders != now.encoders:
        raise TableError(
            f"the earlier findings are of encoder {', '.join(sorted(earlier.encoders))} and these of "
            f"{', '.join(sorted(now.encoders))}; scan the earlier listings again to compare them"
        )
    normalised = policy.cohort is not None and len(earlier.normalised) > 0 and len(now.normalised) > 0
    drift = measure_drift(earlier, now, normalised=normalised, alpha=alpha)
    return replace(report, drift=drift, floods=find_floods(earlier, now, alpha=alpha))


def withdraw_broken(policy: Policy, report: MonitorReport) -> Policy:
    """The policy with the flag band of every broken promise given to review, and why; all of it where the promise
    about all that is flagged is broken."""
    for check in sorted(report.broken, key=lambda check: check.brand is not None or check.territory is not None):
        policy = withdraw(policy, check.reason(report.day), brand=check.brand, territory=check.territory)
    return policy


def observe(findings: Iterable[Mapping[str, Any]], *, asked: Collection[str] = ()) -> Observed:
    """Take from rows of findings what is watched, keeping only the rows of `asked` listings; the last of each."""
    listings, hits, named, encoders = 0, Counter[str](), set[str](), set[str]()
    values: dict[str, list[float]] = {"similarity": [], "normalised_similarity": []}
    kept = {}
    for row in findings:
        encoders.add(str(row["encoder"]))
        listings += row["verdict"] != Verdict.UNREADABLE
        for name, column in values.items():
            if row.get(name) is not None:
                column.append(float(row[name]))
        if (reference := row.get("reference_id")) is not None:
            named.add(str(reference))
            hits[str(reference)] += row["verdict"] in (Verdict.FLAGGED, Verdict.REVIEW)
        if str(row["listing_id"]) in asked:
            kept[str(row["listing_id"])] = row
    similarity, normalised = (np.array(column, np.float32) for column in values.values())
    return Observed(listings, similarity, normalised, +hits, len(named), frozenset(encoders), kept)


def judge_flags(reviews: Sequence[Review], observed: Observed, *, policy: str) -> Reviews:
    """Which flags of that policy were right, in the order of their days, then of the table; undated ones come first.

    A flag is right where a person says look-alike, of the finding's product or of none in particular; one of another
    product only is wrong. Where a listing has several verdicts the last counts, in the place of the first: moved to
    the end, corrections would look like a run of errors.
    """
    flags: dict[str, ReviewedFlag] = {}
    useless: Counter[str] = Counter()
    for review in sorted(reviews, key=lambda review: review.day or date.min):
        row = observed.asked.get(review.listing_id)
        if row is None:
            useless["unknown"] += 1
        elif row["policy"] != policy:
            useless["other_policy"] += 1
        elif row["verdict"] != Verdict.FLAGGED:
            useless["not_flagged"] += 1
        else:
            same = review.product_id in (None, row.get("product_id"))
            known = flags.get(review.listing_id)
            if not same and (known is not None or not review.lookalike):
                useless["other_product"] += 1
                continue
            flags[review.listing_id] = ReviewedFlag(
                same and review.lookalike, row.get("brand"), row.get("territory"), known.day if known else review.day
            )
    return Reviews(tuple(flags.values()), **useless)


def check_promises(flags: Sequence[ReviewedFlag], policy: Policy, *, alpha: float = 0.05) -> tuple[PromiseCheck, ...]:
    """Test the policy's promise of precision over all flags, and in each scope that has a promise of its own.

    `flags` are in the order in which they were judged, and should be all flags or a random part: where people review
    doubtful ones only, the test is of those. All promises together are called broken wrongly with a chance of at most
    `alpha`, however often one looks: Holm's correction of the p that hold at any time, which needs no independence
    (averaging e-values would say only that some promise is broken, not which). Gives nothing where no precision is
    promised.
    """
    promised = policy.promise.precision if policy.promise else None
    if promised is None:
        return ()
    checks, streams = [PromiseCheck(promised)], [list(flags)]
    for scope in (scope for scope in policy.scopes if scope.has_own_promise):
        checks.append(PromiseCheck(promised, brand=scope.brand, territory=scope.territory))
        streams.append([flag for flag in flags if _place(policy.scope(flag.brand, flag.territory)) == _place(scope)])
    evidence = [log_evidence(_wrong(stream), promised) for stream in streams]
    needed = _holm([float(values.max(initial=0.0)) for values in evidence], alpha=alpha)
    return tuple(_checked(*one) for one in zip(checks, streams, evidence, needed, strict=True))


def _place(scope: Scope) -> tuple[str | None, str | None]:
    return scope.brand, scope.territory


def _holm(evidence: Sequence[float], *, alpha: float) -> list[float]:
    """The log evidence that each needs to be called broken, given the most that each has (Holm, 1979)."""
    order = sorted(range(len(evidence)), key=lambda i: -evidence[i])
    needed, open_ = [math.inf] * len(evidence), True
    for rank, i in enumerate(order):
        level = math.log((len(evidence) - rank) / alpha)
        open_ = open_ and evidence[i] >= level
        needed[i] = level if open_ else math.inf
    return needed


def _checked(
    check: PromiseCheck, flags: Sequence[ReviewedFlag], evidence: NDArray[np.float64], needed: float
) -> PromiseCheck:
    wrong = _wrong(flags)
    p = math.exp(-float(evidence.max(initial=0.0)))
    check = replace(check, reviewed=len(flags), wrong=int(wrong.sum()), p=p)
    above = np.flatnonzero(evidence >= needed)
    if not len(above):
        return check
    raised = int(above[0]) + 1
    start = likely_start(wrong[:raised], check.promised)
    return replace(
        check,
        broken=True,
        raised_after=raised,
        raised_on=flags[raised - 1].day,
        since=flags[start].day,
        stretch_reviewed=len(flags) - start,
        stretch_wrong=int(wrong[start:].sum()),
    )


def _wrong(flags: Sequence[ReviewedFlag]) -> NDArray[np.bool_]:
    return np.array([not flag.right for flag in flags], bool)


def measure_drift(before: Observed, now: Observed, *, normalised: bool = False, alpha: float = 0.05) -> Drift | None:
    """Compare the similarities, or the normalised ones, of two tables; None where one has none.

    Raised where both have DRIFT_LEAST or more, the two-sample Kolmogorov-Smirnov test gives p ≤ alpha, and the
    population stability index is DRIFT_INDEX or more. An index over deciles says little of a rare upper end: whether
    what is flagged is still right, only verdicts say.
    """
    from scipy.stats import ks_2samp

    was, are = (before.normalised, now.normalised) if normalised else (before.similarity, now.similarity)
    if not len(was) or not len(are):
        return None
    # the exact p takes minutes for large tables, and warns where it can't be had
    test = ks_2samp(was, are, method="asymp")
    index = stability_index(was, are)
    p = float(test.pvalue)
    return Drift(
        column="normalised_similarity" if normalised else "similarity",
        before=len(was),
        now=len(are),
        median_before=float(np.median(was)),
        median_now=float(np.median(are)),
        ks=float(test.statistic),
        p=p,
        index=index,
        raised=min(len(was), len(are)) >= DRIFT_LEAST and index >= DRIFT_INDEX and p <= alpha,
    )


def stability_index(before: NDArray[np.float32], now: NDArray[np.float32]) -> float:
    """The population stability index over deciles of the earlier values: Σ (now - before) ln(now / before) of shares.

    Half a value is added to each bin, so that an empty one counts but not without end. A value that fills a decile by
    itself is a bin of its own.

    >>> values = np.arange(100, dtype=np.float32)
    >>> stability_index(values, values), round(stability_index(values, values + 10), 2)
    (0.0, 0.35)
    """
    deciles, times = np.unique(np.quantile(before, np.linspace(0.1, 0.9, 9)), return_counts=True)
    edges = np.unique(np.concatenate([deciles, np.nextafter(deciles[times > 1], np.float32(np.inf))]))
    shares = []
    for values in (before, now):
        counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1) + 0.5
        shares.append(counts / counts.sum())
    return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))


def find_floods(before: Observed, now: Observed, *, alpha: float = 0.05) -> tuple[Flood, ...]:
    """The references with far more hits for each listing than they had before, the largest factor first.

    Given its hits in both tables, those of a reference whose rate has not changed are binomial with the share of
    listings that is in the later one (the exact test of two Poisson rates; Przyborowski & Wilenski, 1940); Holm's
    correction is over all references hit. A reference is taken to have had no fewer hits than the average one had, nor
    than one: so one never hit before, which may be new, has a rate, too.
    """
    from scipy.stats import binom

    if not before.listings or not now.listings:
        return ()
    names = sorted({*before.hits, *now.hits})
    had = np.array([before.hits.get(name, 0) for name in names])
    hits = np.array([now.hits.get(name, 0) for name in names])
    usual = np.maximum(had, max(1, math.ceil(had.sum() / max(1, before.references))))
    p = binom.sf(hits - 1, hits + usual, now.listings / (now.listings + before.listings))
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(names))
    corrected[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(names), 0, -1)))
    factor = (hits / now.listings) / (usual / before.listings)
    raised = (corrected <= alpha) & (factor >= FLOOD_FACTOR) & (hits >= FLOOD_COUNT)
    thousands, thousands_before = 1000 * hits / now.listings, 1000 * had / before.listings
    columns = (hits, had, thousands, thousands_before, factor, corrected)
    floods = [Flood(names[i], *(column[i].item() for column in columns)) for i in np.flatnonzero(raised)]
    return tuple(sorted(floods, key=lambda flood: -flood.factor))
