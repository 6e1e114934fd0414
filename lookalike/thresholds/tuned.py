"""From tables of labels to a policy that is bound to its index: what `lookalike tune` does."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from lookalike.detection.lookup import NOT_COMPARED
from lookalike.errors import PolicyError, TableError
from lookalike.policy.cohort import Cohort
from lookalike.policy.policy import Policy
from lookalike.policy.shipped import default_policy
from lookalike.policy.terms import PARTS, Promise, Reach
from lookalike.policy.tuned_on import TunedOn
from lookalike.rights.claims import Claims
from lookalike.tables.layout import PLAIN, Layout

from .cross_fitting import CrossFittedLookup
from .fusing import Fused, fuse, within
from .in_use import Flags, flags_of, maker_of, require_encoder
from .labels import Labels, labels_of_findings, pairs_of, unrelated_findings, unseen_by
from .photos import Progress, labels_of_photos, listed_images, unrelated_photos, vectors_of
from .tuning import REVIEW_PRECISION, tune

if TYPE_CHECKING:
    from lookalike.detection.lookup import Lookup
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.model.encoder import Vectors

On: TypeAlias = Literal["similarity", "verification", "fused"]


@dataclass(frozen=True)
class Goal:
    """What a tuned policy should promise, and what its thresholds are set on. Shares are between 0 and 1.

    `precision` is the share of flags that should be right, `false_flags` the largest share of unrelated listings that
    may be flagged; each is kept with `confidence`. Without either, `precision` is 0.95. Review reaches down to the
    strongest `review_share` of the listings, or without that to where `review_precision` can be promised.

    Thresholds are `on` the similarity, on the probability that matching points give ("verification"), or on the
    probability from both ("fused"); it is fitted to half of the labels, unless `fusion` is a policy to take it from.
    None stands for what the policy in use judges by: its probability if it has one, which is taken over, else the
    similarity. The policy expires after `days`.

    Raises PolicyError for a share that isn't between 0 and 1, and for a `fusion` without a [fusion].
    """

    precision: float | None = None
    false_flags: float | None = None
    confidence: float = 0.95
    review_share: float | None = None
    review_precision: float = REVIEW_PRECISION
    on: On | None = None
    fusion: Policy | None = None
    days: int = 90

    def __post_init__(self) -> None:
        if self.precision is None and self.false_flags is None:
            object.__setattr__(self, "precision", 0.95)
        for name in ("precision", "false_flags", "confidence", "review_share", "review_precision"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise PolicyError(f"{name.replace('_', ' ')} is {value}; expected a share between 0 and 1, like 0.95")
        if self.fusion is not None and self.fusion.fusion is None:
            raise PolicyError(f"policy {self.fusion} has no [fusion] to take over; leave it out to fit one")

    @property
    def is_fused(self) -> bool:
        """Whether thresholds are on a probability, which needs photos compared point by point."""
        return self.on not in (None, "similarity") or self.fusion is not None

    def following(self, policy: Policy | None) -> Goal:
        """The goal as it is with this policy in use."""
        if self.on is not None or self.fusion is not None:
            return self
        return replace(self, on="fused" if policy and policy.fusion else "similarity",
                       fusion=policy if policy and policy.fusion else None)  # fmt: skip


@dataclass(frozen=True)
class Background:
    """Photos of a listings table to normalise similarities against (see `Cohort`); None takes the cohort's default."""

    listings: str | Path
    method: str = "subtract"
    nearest: int | None = None


@dataclass(frozen=True)
class Tuned:
    """A policy, the labels that it was tuned on, and why some photos could not be used.

    `flags` says what becomes of the labelled listings: by the policy in use if they are findings, and by the new one.
    `kept` is what there would be if the probability of the policy in use were kept; None if it is, or there is none.
    """

    policy: Policy
    labels: Labels
    unrelated: Labels | None
    failed: tuple[str, ...]
    flags: tuple[Flags, ...] = ()
    kept: Flags | None = None


def tune_on_photos(
    labels: str | Path | None,
    *,
    lookup: Lookup,
    goal: Goal,
    unrelated: str | Path | None = None,
    background: Background | None = None,
    policy: Policy | None = None,
    name: str = "tuned",
    progress: Progress | None = None,
    layout: Layout = PLAIN,
) -> Tuned:
    """Tune on labelled photos (image, product_id, lookalike), which are embedded and looked up.

    A photo that the index's adapter was fitted to is looked up by a map that was not (see `CrossFittedLookup`).
    `unrelated` is a table of listings believed to be unrelated; `layout` is that of tables of listings. `policy` is the
    one in use, by default the one that ships for the lookup's encoder. Raises TableError for tables that can't be used
    and for too few labels, PolicyError for what can't be normalised or compared.
    """
    _require_labels(labels, unrelated, goal)
    policy = policy or default_policy(lookup.encoder.spec.weights_sha256)
    asked, goal = goal, goal.following(policy)
    _require_features(lookup, asked, goal)
    _require_one_scale(background, asked, goal)
    parts = PARTS if goal.fusion is None else goal.fusion.reach.parts
    compared = Reach(similarity=None) if goal.is_fused else NOT_COMPARED
    used = replace(lookup, reach=replace(compared, parts=parts), cohort=policy.cohort if policy else None)
    vectors, failed = None, list[str]()
    if background is not None:
        vectors, failed = vectors_of(listed_images(background.listings, layout), lookup=lookup, progress=progress)
        used = replace(used, cohort=_cohort(vectors, background, lookup.index))
    unseen = CrossFittedLookup(used, vectors)
    known = labels_of_photos(labels, lookup=unseen, progress=progress) if labels is not None else Labels()
    others = (
        unrelated_photos(unrelated, lookup=unseen, progress=progress, layout=layout) if unrelated is not None else None
    )
    tuned = _tuned(
        known, others, index=lookup.index, goal=goal, cohort=used.cohort, name=name, parts=parts, policy=policy
    )
    return replace(tuned, failed=(*failed, *tuned.failed))


def tune_on_findings(
    labels: str | Path | None,
    findings: str | Path,
    *,
    index: ReferenceIndex,
    goal: Goal,
    unrelated: str | Path | None = None,
    policy: Policy | None = None,
    name: str = "tuned",
) -> Tuned:
    """Tune on labels of findings (listing_id, lookalike; optional product_id, date). Nothing is embedded.

    `unrelated` is a findings table of listings believed to be unrelated. `policy` made the findings; it is needed if it
    doesn't ship, and judges by a probability or normalises. Raises what `tune_on_photos` does, and PolicyError if
    another policy made the findings.
    """
    _require_labels(labels, unrelated, goal)
    known = Labels() if labels is None else labels_of_findings(labels, findings, candidates=goal.is_fused)
    others = unrelated_findings(unrelated, candidates=goal.is_fused) if unrelated is not None else None
    return tune_on_labels(known, others, index=index, goal=goal, policy=policy, name=name)


def tune_on_labels(
    known: Labels,
    others: Labels | None = None,
    *,
    index: ReferenceIndex,
    goal: Goal,
    policy: Policy | None = None,
    name: str = "tuned",
) -> Tuned:
    """Tune on labelled matches of findings, and unrelated `others`; see `tune_on_findings`.

    Labels that the index's adapter was fitted to are left out (see `unseen_by`).
    """
    require_encoder(index.spec, [each for each in (known, others) if each])
    known = unseen_by(index.adapter, known)
    others = None if others is None else unseen_by(index.adapter, others)
    follow = goal.on is None and goal.fusion is None
    policy = maker_of(policy, [each for each in (known, others) if each], follow=follow)
    followed = goal.following(policy)
    cohort = policy.cohort if policy is not None else None
    parts = policy.reach.parts if policy is not None else _parts_of(known, others)
    tune_for = partial(_tuned, known, others, index=index, cohort=cohort, name=name, parts=parts, policy=policy)
    tuned = tune_for(goal=followed)
    if policy is None or policy.fusion is None or tuned.policy.fusion == policy.fusion:
        return tuned
    kept = tune_for(goal=replace(goal, on=None, fusion=None).following(policy))
    return replace(tuned, kept=kept.flags[-1])


def _require_features(lookup: Lookup, asked: Goal, goal: Goal) -> None:
    if goal.is_fused and not asked.is_fused and not lookup.index.has_features:
        raise PolicyError(
            f"the policy in use, {goal.fusion}, also judges by matching points, but the index has no local features; "
            "build it again with them, or set thresholds --on similarity"
        )


def _require_one_scale(background: Background | None, asked: Goal, goal: Goal) -> None:
    if background is not None and goal.fusion is not None and asked.fusion is None:
        raise PolicyError(
            f"--cohort normalises similarities, and the probability of the policy in use, {goal.fusion}, was fitted to "
            "others; say what thresholds are set on with --on"
        )


def _cohort(vectors: Vectors, background: Background, index: ReferenceIndex) -> Cohort:
    """The cohort of photos with these vectors, adapted as those of the index are."""
    adapted = vectors if index.adapter is None else index.adapter.map(vectors)
    more = {} if background.nearest is None else {"nearest": background.nearest}
    return Cohort(index.spec.parts(adapted)[0], background.method, **more)


def _parts_of(*labels: Labels | None) -> int:
    """How many parts of a photo were looked up for these findings, as far as their matches tell."""
    matches = (match for each in labels if each for photo in each.photos for match in photo.matches)
    return PARTS if any(match.region is not None for match in matches) else 0


def brand_categories(index: ReferenceIndex) -> dict[str, str]:
    """Each brand's most frequent category, if the references' table has a column `category`."""
    if "category" not in index.catalogue.column_names:
        return {}
    counts: dict[str, Counter[Any]] = {}
    for row in index.catalogue.select(["brand", "category"]).to_pylist():
        if row["category"]:
            counts.setdefault(row["brand"], Counter())[str(row["category"])] += 1
    return {brand: count.most_common(1)[0][0] for brand, count in counts.items()}


def _require_labels(labels: str | Path | None, unrelated: str | Path | None, goal: Goal) -> None:
    if labels is None and (unrelated is None or goal.false_flags is None):
        raise TableError(
            "without labels, only a cap on false flags can be promised; give labels, or false flags and unrelated "
            "listings"
        )


def _tuned(
    known: Labels,
    others: Labels | None,
    *,
    index: ReferenceIndex,
    goal: Goal,
    cohort: Cohort | None,
    name: str,
    parts: int,
    policy: Policy | None,
) -> Tuned:
    basis = _basis(known, others, goal, parts, policy)
    searched = index.agreement
    tuned = tune(
        pairs_of(basis.photos, basis.fusion),
        promise=Promise(
            goal.confidence,
            goal.precision,
            goal.false_flags,
            search_agreeing=searched.agreeing if searched else None,
            search_probes=searched.probes if searched else None,
            cross_fitted=sum(each.cross_fitted for each in (known, others) if each) or None,
        ),
        name=name,
        unrelated=pairs_of(basis.unrelated, basis.fusion) if others else None,
        categories=brand_categories(index),
        brands=sorted(set(index.catalogue["brand"].to_pylist())),
        review_share=goal.review_share,
        review_precision=goal.review_precision,
        cohort=cohort,
        fusion=basis.fusion,
        reach=basis.reach,
    )
    bound = replace(
        tuned,
        weights_sha256=index.spec.weights_sha256,
        index_digest=index.digest,
        expires=date.today() + timedelta(days=goal.days),
        claims=policy.claims if policy is not None else Claims(),
        tuned_on=TunedOn.of(photo.name for each in (known, others) if each for photo in each.photos).joined(
            index.adapter.fitted_on if index.adapter is not None else ""
        ),
    )
    failed = known.failed + (others.failed if others else ())
    return Tuned(bound, known, others, failed, flags=tuple(flags_of(known, policy, bound)))


def _basis(known: Labels, others: Labels | None, goal: Goal, parts: int, policy: Policy | None) -> Fused:
    """What thresholds are set on: the similarity, a fusion fitted to half of the labels, or one taken over."""
    unrelated = others.photos if others is not None else ()
    if goal.fusion is not None:
        reach = goal.fusion.reach
        near = [tuple(within(photo, reach) for photo in group) for group in (known.photos, unrelated)]
        return Fused(goal.fusion.fusion, reach, *near)
    if goal.on == "similarity":
        kept = policy.reach if policy is not None and policy.fusion is None else Reach()
        return Fused(None, replace(kept, parts=parts), known.photos, unrelated)
    return fuse(known.photos, unrelated, similarity=goal.on == "fused", parts=parts)
