"""From tables of labels to a policy that is bound to its index: what `lookalike tune` does."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from lookalike.detection.lookup import NOT_COMPARED
from lookalike.errors import PolicyError, TableError
from lookalike.policy.cohort import Cohort
from lookalike.policy.policy import Policy
from lookalike.policy.terms import PARTS, Promise, Reach
from lookalike.tables.layout import PLAIN, Layout

from .fusing import Fused, fuse, within
from .labels import Labels, labels_of_findings, pairs_of, unrelated_findings
from .photos import Progress, labels_of_photos, listed_images, unrelated_photos, vectors_of
from .tuning import REVIEW_PRECISION, tune

if TYPE_CHECKING:
    from lookalike.detection.lookup import Lookup
    from lookalike.index.reference_index import ReferenceIndex

On: TypeAlias = Literal["similarity", "verification", "fused"]


@dataclass(frozen=True)
class Goal:
    """What a tuned policy should promise, and what its thresholds are set on. Shares are between 0 and 1.

    `precision` is the share of flags that should be right, `false_flags` the largest share of unrelated listings that
    may be flagged; each is kept with `confidence`. Without either, `precision` is 0.95. Review reaches down to the
    strongest `review_share` of the listings, or without that to where `review_precision` can be promised.

    Thresholds are `on` the similarity, on the probability that matching points give ("verification"), or on the
    probability from both ("fused"); it is fitted to half of the labels, unless `fusion` is a policy to take it from.
    The policy expires after `days`.

    Raises PolicyError for a share that isn't between 0 and 1, and for a `fusion` without a [fusion].
    """

    precision: float | None = None
    false_flags: float | None = None
    confidence: float = 0.95
    review_share: float | None = None
    review_precision: float = REVIEW_PRECISION
    on: On = "similarity"
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
        return self.on != "similarity" or self.fusion is not None


@dataclass(frozen=True)
class Background:
    """Photos of a listings table to normalise similarities against (see `Cohort`); None takes the cohort's default."""

    listings: str | Path
    method: str = "subtract"
    nearest: int | None = None


@dataclass(frozen=True)
class Tuned:
    """A policy, the labels that it was tuned on, and why some photos could not be used."""

    policy: Policy
    labels: Labels
    unrelated: Labels | None
    failed: tuple[str, ...]


def tune_on_photos(
    labels: str | Path | None,
    *,
    lookup: Lookup,
    goal: Goal,
    unrelated: str | Path | None = None,
    background: Background | None = None,
    name: str = "tuned",
    progress: Progress | None = None,
    layout: Layout = PLAIN,
) -> Tuned:
    """Tune on labelled photos (image, product_id, lookalike), which are embedded and looked up.

    `unrelated` is a table of listings believed to be unrelated; `layout` is that of tables of listings. Raises
    TableError for tables that can't be used and for too few labels, PolicyError for what can't be normalised.
    """
    _require_labels(labels, unrelated, goal)
    parts = PARTS if goal.fusion is None else goal.fusion.reach.parts
    compared = Reach(similarity=None) if goal.is_fused else NOT_COMPARED
    used = replace(lookup, reach=replace(compared, parts=parts))
    failed: list[str] = []
    if background is not None:
        vectors, failed = vectors_of(listed_images(background.listings, layout), lookup=lookup, progress=progress)
        more = {} if background.nearest is None else {"nearest": background.nearest}
        used = replace(used, cohort=Cohort(vectors, background.method, **more))
    known = labels_of_photos(labels, lookup=used, progress=progress) if labels is not None else Labels()
    others = (
        unrelated_photos(unrelated, lookup=used, progress=progress, layout=layout) if unrelated is not None else None
    )
    tuned = _tuned(known, others, index=lookup.index, goal=goal, cohort=used.cohort, name=name, parts=parts)
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
    normalises. Raises what `tune_on_photos` does.
    """
    _require_labels(labels, unrelated, goal)
    known = Labels() if labels is None else labels_of_findings(labels, findings, candidates=goal.is_fused)
    others = unrelated_findings(unrelated, candidates=goal.is_fused) if unrelated is not None else None
    cohort = policy.cohort if policy is not None else None
    parts = policy.reach.parts if policy is not None else _parts_of(known, others)
    return _tuned(known, others, index=index, goal=goal, cohort=cohort, name=name, parts=parts)


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
) -> Tuned:
    basis = _basis(known, others, goal, parts)
    searched = index.agreement
    tuned = tune(
        pairs_of(basis.photos, basis.fusion),
        promise=Promise(
            goal.confidence,
            goal.precision,
            goal.false_flags,
            search_agreeing=searched.agreeing if searched else None,
            search_probes=searched.probes if searched else None,
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
    )
    return Tuned(bound, known, others, known.failed + (others.failed if others else ()))


def _basis(known: Labels, others: Labels | None, goal: Goal, parts: int) -> Fused:
    """What thresholds are set on: the similarity, a fusion fitted to half of the labels, or one taken over."""
    unrelated = others.photos if others is not None else ()
    if goal.fusion is not None:
        reach = goal.fusion.reach
        near = [tuple(within(photo, reach) for photo in group) for group in (known.photos, unrelated)]
        return Fused(goal.fusion.fusion, reach, *near)
    if goal.on == "similarity":
        return Fused(None, Reach(parts=parts), known.photos, unrelated)
    return fuse(known.photos, unrelated, similarity=goal.on == "fused", parts=parts)
