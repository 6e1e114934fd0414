"""Labelled photos to figures: how well their products are found, how brands differ, and whether promises are kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookalike.detection.decision import decide
from lookalike.detection.detector import Detector
from lookalike.errors import TableError
from lookalike.policy.policy import Policy
from lookalike.policy.tuned_on import TunedOn
from lookalike.records import Listing, Match
from lookalike.tables.labels import LabelledPhoto, ProductLabel

from .brands import BrandFigures, Opis, Spread, brand_figures, opis, spread
from .labels import is_named, require_one_brand
from .metrics import Retrieval, evaluate_retrieval, most_hit, precision_at_budget
from .photos import Progress
from .realised import Realised, realised_promise

if TYPE_CHECKING:
    from lookalike.detection.lookup import Lookup, PhotoMatches
    from lookalike.index.reference_index import ReferenceIndex

_NOT_IN_INDEX = "(not in the index)"


@dataclass(frozen=True)
class Answers:
    """What n labelled photos were answered with, their strongest matches: arrays (n,).

    `related` photos have a right product, and `correct` answers name it. `similarity` is what answers are ranked by.
    `brand` is the right product's, or the strongest match's for an unrelated photo.
    """

    photos: tuple[LabelledPhoto, ...]
    related: NDArray[np.bool_]
    similarity: NDArray[np.float64]
    correct: NDArray[np.bool_]
    brand: NDArray[np.str_]


@dataclass(frozen=True)
class Evaluation:
    """All figures: of all photos and by stratum, by brand at one threshold, and against the policy's promise.

    `similarity` says what the answers are ranked by, `unit` of which kind it is: cosine, normalised or probability.
    `policy` is the policy's name and hash. Brands are compared at `threshold`, and `threshold_of` says which one that
    is; both are None if there is none. `tuned_on` counts photos that the policy was tuned on, and `fitted_on` those
    that the index's adapter was fitted to, whose figures flatter it; the promise isn't put to the test on either.
    `failed` says why photos could not be read; these count nowhere.
    """

    similarity: str
    unit: str
    policy: str | None
    overall: Retrieval
    strata: Mapping[str, Retrieval]
    budget: int | None
    precision_at_budget: float | None
    threshold: float | None
    threshold_of: str | None
    brands: tuple[BrandFigures, ...]
    recall_spread: Spread
    false_flags_spread: Spread
    opis: Opis
    answers: Answers = field(repr=False)
    realised: tuple[Realised, ...] = ()
    tuned_on: int = 0
    fitted_on: int = 0
    failed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The figures for JSON, those of all photos at the top level. NaN and infinity become None."""
        apart = {"overall", "answers", "failed"}
        figures = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in apart}
        realised = [{**asdict(each), "broken": each.broken} for each in self.realised]
        said: dict[str, Any] = plain({**asdict(self.overall), **figures, "realised": realised})
        return said


def evaluate(
    photos: Iterable[LabelledPhoto],
    lookup: Lookup,
    policy: Policy | None = None,
    *,
    budget: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Look up labelled photos, each as a listing of its own, and measure how well they are answered.

    With a `policy`, photos are compared point by point and normalised as it says, answers are ranked by what its
    thresholds are on, and its promise is put to the test. It must not have been tuned on these photos. Without one,
    answers are ranked by the lookup's similarity. Brands are compared at the policy's flag threshold, or else where 1 %
    of the unrelated photos are hit. `budget` is how many photos a person has time to look at.

    Raises TableError if no photo with a right product can be read, and for a product without a brand that several
    brands have; and what `Detector` raises if the policy doesn't fit the lookup.
    """
    if policy is not None:
        lookup = Detector(lookup, policy).lookup
    labelled = list(photos)
    require_one_brand(set().union(*(photo.products for photo in labelled)), lookup.index.products)
    found, failed = _looked_up(labelled, lookup, policy, progress)
    answers = _answers(found, lookup.index)
    if not answers.related.any():
        why = f"; the first: {failed[0]}" if failed else ""
        raise TableError(f"none of the photos that show a product could be read{why}")
    unit, similarity = _ranked_by(lookup, policy)
    measured = _measured(answers, policy, unit=unit, similarity=similarity, budget=budget)
    adapter = lookup.index.adapter
    tuned, fitted = (policy.tuned_on if policy else None), (TunedOn(adapter.fitted_on) if adapter else None)
    fresh = [each for each in found if not each.is_of(tuned) and not each.is_of(fitted)]
    realised = _realised(fresh, policy) if policy is not None and policy.promise and fresh else []
    return replace(
        measured,
        realised=tuple(realised),
        tuned_on=sum(each.is_of(tuned) for each in found),
        fitted_on=sum(each.is_of(fitted) for each in found),
        failed=tuple(failed),
    )


def _measured(answers: Answers, policy: Policy | None, *, unit: str, similarity: str, budget: int | None) -> Evaluation:
    threshold, threshold_of = _threshold(answers, policy)
    similarities, correct, related = answers.similarity, answers.correct, answers.related
    brands = [] if threshold is None else brand_figures(
        similarities, correct, related=related, brand=answers.brand, threshold=threshold
    )  # fmt: skip
    return Evaluation(
        similarity=similarity,
        unit=unit,
        policy=None if policy is None else str(policy),
        overall=evaluate_retrieval(similarities, correct, related=related),
        strata=dict(_by_stratum(answers)),
        budget=budget,
        precision_at_budget=precision_at_budget(similarities, correct, budget) if budget else None,
        threshold=threshold,
        threshold_of=threshold_of,
        brands=tuple(brands),
        recall_spread=spread([each.recall.value for each in brands]),
        false_flags_spread=spread([each.false_flags.value for each in brands]),
        opis=opis(similarities, correct, related=related, brand=answers.brand),
        answers=answers,
    )


class _Found(NamedTuple):
    """A photo with the sha256 of its bytes, its strongest match, and the match that decides.

    They differ if a weaker match has lower thresholds of its own, or if a harmless photo is nearer than the strongest.
    """

    photo: LabelledPhoto
    picture: str | None
    strongest: Match
    deciding: Match

    def is_right(self, match: Match) -> bool:
        return is_named(match.reference, self.photo.products)

    def is_of(self, labels: TunedOn | None) -> bool:
        """Whether it is one of these labels, by where the photo is or by its content."""
        return labels is not None and (self.photo.image in labels or self.picture in labels)


def _looked_up(
    photos: Sequence[LabelledPhoto], lookup: Lookup, policy: Policy | None, progress: Progress | None
) -> tuple[list[_Found], list[str]]:
    """What was found of each photo that could be read, and why the others could not."""
    found, failed = [], []
    for photo, seen in zip(photos, lookup.look_up(photo.image for photo in photos), strict=True):
        if progress is not None:
            progress(1)
        if seen.error is not None:
            failed.append(seen.error)
        else:
            matches = _matches(photo, seen, lookup, policy)
            strongest = max(matches, key=lambda match: match.strength)
            found.append(_Found(photo, seen.sha256, strongest, matches[0]))
    return found, failed


def _matches(photo: LabelledPhoto, seen: PhotoMatches, lookup: Lookup, policy: Policy | None) -> Sequence[Match]:
    """A photo's matches, the one that decides first."""
    if policy is None:
        return seen.matches
    listing = Listing(photo.image, (photo.image,), territory=photo.territory)
    return decide(listing, [seen], policy=policy, encoder=str(lookup.encoder.spec)).matches


def _answers(found: Sequence[_Found], index: ReferenceIndex) -> Answers:
    known = index.products
    brands: dict[ProductLabel, str] = {product: brand for brand, product in known} | {pair: pair[0] for pair in known}

    def brand(each: _Found) -> str:
        if not each.photo.products or each.is_right(each.strongest):
            return each.strongest.reference.brand
        return min((brands[product] for product in each.photo.products if product in brands), default=_NOT_IN_INDEX)

    return Answers(
        photos=tuple(each.photo for each in found),
        related=np.array([bool(each.photo.products) for each in found], bool),
        similarity=np.array([each.strongest.strength for each in found], float),
        correct=np.array([each.is_right(each.strongest) for each in found], bool),
        brand=np.array([brand(each) for each in found], str),
    )


def _threshold(answers: Answers, policy: Policy | None) -> tuple[float, str] | tuple[None, None]:
    """The threshold to compare brands at, and which one that is."""
    if policy is not None and policy.flag is not None:
        return policy.flag, f"flag of {policy.name}"
    if answers.related.all():
        return None, None
    hit = most_hit(answers.similarity[~answers.related], 0.01)
    return float(np.nextafter(hit, np.inf)), "1 % of the unrelated are hit"


def _ranked_by(lookup: Lookup, policy: Policy | None) -> tuple[str, str]:
    """The unit of what answers are ranked by, and a name for people."""
    if policy is not None and policy.fusion is not None:
        return "probability", f"probability by {policy.name}"
    if lookup.cohort is None:
        return "cosine", "cosine"
    return "normalised", f"normalised by the cohort of {policy.name if policy is not None else 'the lookup'}"


def _by_stratum(answers: Answers) -> Iterator[tuple[str, Retrieval]]:
    """The metrics of each stratum that has a photo to be found, beside all unrelated photos."""
    for name in sorted({stratum for photo in answers.photos if photo.products for stratum in photo.strata}):
        rows = ~answers.related | np.array([name in photo.strata for photo in answers.photos])
        yield name, evaluate_retrieval(answers.similarity[rows], answers.correct[rows], related=answers.related[rows])


def _realised(found: Sequence[_Found], policy: Policy) -> list[Realised]:
    """The promise, put to the test on the matches that decide; one that a harmless photo suppresses flags nothing."""
    deciding = [each.deciding for each in found]
    return realised_promise(
        [match.strength if match.suppressed_by is None else -math.inf for match in deciding],
        [each.is_right(each.deciding) for each in found],
        [match.reference.brand for match in deciding],
        related=[bool(each.photo.products) for each in found],
        policy=policy,
        territory=[each.photo.territory for each in found],
        kind=[match.kind for match in deciding],
    )


def plain(value: Any) -> Any:
    """The same in JSON's own types; NaN and infinity become None."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
