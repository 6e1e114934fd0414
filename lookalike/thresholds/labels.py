"""Labels joined with what they are about: findings already made, or photos that are embedded and looked up now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from lookalike.errors import ReferenceIndexError, TableError
from lookalike.policy.fusion import Fusion, fit_fusion
from lookalike.policy.policy import Policy, Reach
from lookalike.records import Match, Reference
from lookalike.tables.findings import matches_of, read_findings
from lookalike.tables.inputs import Review, read_labels, read_listings, read_verdicts

from .tuning import LabelledPairs

if TYPE_CHECKING:
    from lookalike.index.embedding import PhotoReader
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.model.encoder import Encoder, Vectors
    from lookalike.policy.cohort import Cohort

T = TypeVar("T")

NO_REACH = Reach(references=0)

REACH_CONFIRMED, REACH_OTHERS = 0.95, 0.5
"""A fusion reaches down to where this share of the look-alikes that points confirm lie above, and at most this share of
the other photos does: comparing costs some ten times what embedding does."""


@dataclass(frozen=True)
class LabelledMatches:
    """What one photo, or one listing, is alike to, and the products of which that is right.

    `decided` is the match that a finding rests on, with the probability of its policy, if any.
    """

    matches: tuple[Match, ...]
    right: frozenset[str]
    territory: str | None = None
    day: date | None = None
    decided: Match | None = None

    def is_right(self, match: Match) -> bool:
        """Whether the photo shows or imitates the match's product."""
        return match.reference.product in self.right

    def answer(self, fusion: Fusion | None) -> Match:
        """The strongest match, by the fusion's probability or else by similarity; a suppressed one only if all are."""
        open_ones = [match for match in self.matches if match.suppressed_by is None] or self.matches
        weighed = (replace(match, probability=fusion.probability(match) if fusion else None) for match in open_ones)
        return max(weighed, key=lambda match: match.strength)


def pairs_of(photos: Iterable[LabelledMatches], fusion: Fusion | None = None) -> LabelledPairs:
    """The answer to each photo as a labelled pair; with a fusion, its strength is the probability."""
    return _pairs((photo, photo.answer(fusion)) for photo in photos if photo.matches)


def _pairs(answers: Iterable[tuple[LabelledMatches, Match]]) -> LabelledPairs:
    return LabelledPairs.of(
        (match.strength, photo.is_right(match), match.reference.brand, photo.territory, photo.day)
        for photo, match in answers
    )


@dataclass(frozen=True)
class Labels:
    """Labelled photos, and what could not be used: `unknown` labels of listings without a finding, `other` ones about
    another product than the finding's, and photos that could not be read, with the reason."""

    photos: tuple[LabelledMatches, ...] = field(default=(), repr=False)
    unknown: int = 0
    other: int = 0
    failed: tuple[str, ...] = ()

    @property
    def pairs(self) -> LabelledPairs:
        """Each photo with what its finding rests on, or without a finding with what it is most alike to."""
        return _pairs((photo, photo.decided or photo.answer(None)) for photo in self.photos if photo.matches)


def labels_of_findings(labels: str | Path, findings: str | Path, *, candidates: bool = False) -> Labels:
    """Labels (listing_id, lookalike; optional product_id, date) of findings already made; nothing is embedded.

    Of several labels of a listing the last one about the finding's product counts. A label that calls the listing a
    look-alike of another product than the finding's counts as an error of the finding. With `candidates` all that the
    listings are alike to is read, else only what decided. Raises TableError as reading either table does, and where no
    label is of a finding.
    """
    verdicts: dict[str, list[Review]] = {}
    for verdict in read_verdicts(labels):
        verdicts.setdefault(verdict.listing_id, []).append(verdict)
    photos: list[LabelledMatches] = []
    seen = other = 0
    for row in read_findings(findings):
        of_listing = verdicts.get(str(row["listing_id"]))
        if of_listing is None or row["similarity"] is None:
            continue
        seen += 1
        about = [v for v in of_listing if v.product_id in (None, row["product_id"])]
        verdict, same = (about or of_listing)[-1], bool(about)
        if not same and not verdict.lookalike:
            other += 1
            continue
        right = frozenset({str(verdict.product_id or row["product_id"])} if verdict.lookalike else ())
        photos.append(LabelledMatches(_matches(row, candidates), right, row["territory"], verdict.day, _decided(row)))
    if not photos:
        raise TableError(f"none of the {len(verdicts)} labels of {labels} is of a finding in {findings}")
    return Labels(tuple(photos), unknown=len(verdicts) - seen, other=other)


def unrelated_findings(findings: str | Path, *, candidates: bool = False) -> Labels:
    """Findings of listings believed to be unrelated, each with what it is nevertheless alike to."""
    rows = (row for row in read_findings(findings) if row["similarity"] is not None)
    return Labels(
        tuple(
            LabelledMatches(_matches(row, candidates), frozenset(), row["territory"], decided=_decided(row))
            for row in rows
        )
    )


def _matches(row: dict[str, Any], candidates: bool) -> tuple[Match, ...]:
    """All matches of a finding; without `candidates` the one that decided, if it did so by similarity."""
    return tuple(matches_of(row)) if candidates or row["probability"] is not None else (_decided(row),)


def _decided(row: dict[str, Any]) -> Match:
    reference = Reference(
        str(row["reference_id"]), str(row["product_id"]), row["brand"] or "", row["reference_image"] or ""
    )
    return Match(
        reference,
        row["similarity"],
        normalised_similarity=row["normalised_similarity"],
        probability=row["probability"],
    )


@dataclass(frozen=True)
class Fused:
    """A fusion fitted to labels (None: similarity alone), how far it reaches, and photos that it was not fitted to."""

    fusion: Fusion | None
    reach: Reach
    photos: tuple[LabelledMatches, ...]
    unrelated: tuple[LabelledMatches, ...]


def fuse(
    photos: Sequence[LabelledMatches],
    unrelated: Sequence[LabelledMatches] = (),
    *,
    similarity: bool = True,
    references: int = Reach().references,
    seed: int = 0,
) -> Fused:
    """Fit a fusion to half of the labelled photos, drawn by `seed`; thresholds are to be set on the other half.

    Without `similarity` it rests on points that agree alone. Raises TableError for too few labels, and where none of
    the photos was compared point by point.
    """
    rng = np.random.default_rng(seed)
    fitted, left = _halves(photos, rng)
    strangers, others = _halves(unrelated, rng)
    reach = reach_of([*fitted, *strangers], references=references)
    seen = [within(photo, reach) for photo in (*fitted, *strangers)]
    fusion = fit_fusion(((photo.matches, photo.is_right) for photo in seen), similarity=similarity)
    return Fused(fusion, reach, *(tuple(within(photo, reach) for photo in half) for half in (left, others)))


def within(photo: LabelledMatches, reach: Reach) -> LabelledMatches:
    """The photo as a scan with that reach would have compared it, provided it was compared at least so far."""
    values = sorted((match.compared_similarity for match in photo.matches), reverse=True)
    near = bool(values) and reach.similarity is not None and values[0] >= reach.similarity
    least = values[min(reach.references, len(values)) - 1] if near and reach.references else float("inf")
    return replace(photo, matches=tuple(
        match if match.compared_similarity >= least else replace(match, verification=None) for match in photo.matches
    ))  # fmt: skip


def _halves(
    photos: Sequence[LabelledMatches], rng: np.random.Generator
) -> tuple[list[LabelledMatches], list[LabelledMatches]]:
    order = rng.permutation(len(photos)).tolist()
    return [photos[at] for at in order[::2]], [photos[at] for at in order[1::2]]


def reach_of(photos: Sequence[LabelledMatches], *, references: int = Reach().references) -> Reach:
    """Down to which similarity comparing pays (see REACH_CONFIRMED). Raises TableError where no points agree."""
    nearest = [max(match.compared_similarity for match in photo.matches) for photo in photos if photo.matches]
    confirmed = [
        any(match.agrees and photo.is_right(match) for match in photo.matches) for photo in photos if photo.matches
    ]
    values, found = np.array(nearest), np.array(confirmed, bool)
    if not found.any():
        raise TableError(
            "none of the labelled look-alikes was confirmed point by point; needed an index with local features (build "
            "it again) and, with --findings, findings of this version that reach down to them; or tune on similarity"
        )
    low = np.quantile(values[found], 1 - REACH_CONFIRMED)
    others = np.quantile(values[~found], 1 - REACH_OTHERS) if (~found).any() else -1.0
    return Reach(float(np.floor(1000 * max(low, others)) / 1000), references)


@dataclass(frozen=True)
class Lookup:
    """Embeds photos and finds what each is alike to; compared point by point down to `reach`, by default not at all."""

    index: ReferenceIndex
    encoder: Encoder
    reader: PhotoReader
    progress: Callable[[int], None] | None = None
    reach: Reach = NO_REACH

    def labels(self, labels: str | Path, *, cohort: Cohort | None = None) -> Labels:
        """Labels of photos (image, product_id, lookalike), each photo with what it is alike to.

        Raises TableError as reading the table does, and where no photo could be read; ReferenceIndexError for an index
        that holds nothing.
        """
        right = read_labels(labels)
        photos, failed = self._looked_up(list(right), [frozenset(products) for products in right.values()], cohort)
        if not photos:
            raise TableError(f"none of the photos of {labels} could be read; the first: {failed[0]}")
        return Labels(photos, failed=failed)

    def unrelated(self, listings: str | Path, *, cohort: Cohort | None = None) -> Labels:
        """All photos of a listings table whose listings are believed to be unrelated."""
        images = [str(image) for listing in read_listings(listings) for image in listing.images]
        photos, failed = self._looked_up(images, [frozenset[str]()] * len(images), cohort)
        if not photos:
            raise TableError(f"none of the photos of {listings} could be read")
        return Labels(photos, failed=failed)

    def embed(self, images: Iterable[str]) -> tuple[Vectors, list[str]]:
        """The vectors, float32 (n, dim), of the photos that could be read, and why the others could not."""
        from lookalike.index.embedding import embed_photos

        vectors, failed = [], []
        for photo in self._told(embed_photos(images, encoder=self.encoder, reader=self.reader)):
            if photo.vector is None:
                failed.append(str(photo.error))
            else:
                vectors.append(photo.vector)
        return np.array(vectors, np.float32).reshape(len(vectors), self.encoder.spec.dim), failed

    def _looked_up(
        self, images: Sequence[str], right: Sequence[frozenset[str]], cohort: Cohort | None
    ) -> tuple[tuple[LabelledMatches, ...], tuple[str, ...]]:
        from lookalike.detection.detector import Detector

        if not len(self.index):
            raise ReferenceIndexError("the index holds no references any more; add some with: lookalike add")
        policy = Policy("looking up", flag=None, review=-1.0, cohort=cohort, reach=self.reach)
        detector = Detector(self.encoder, self.index, policy, self.reader, top=max(1, self.reach.references))
        found, failed = [], []
        for photo, products in zip(self._told(detector.look_up(images)), right, strict=True):
            if photo.error is not None:
                failed.append(photo.error)
            else:
                found.append(LabelledMatches(photo.matches, products))
        return tuple(found), tuple(failed)

    def _told(self, photos: Iterable[T]) -> Iterator[T]:
        for photo in photos:
            if self.progress is not None:
                self.progress(1)
            yield photo


def brand_categories(index: ReferenceIndex) -> dict[str, str]:
    """Each brand's commonest category, where the references' table has a column `category`."""
    if "category" not in index.catalogue.column_names:
        return {}
    counts: dict[str, Counter[Any]] = {}
    for row in index.catalogue.select(["brand", "category"]).to_pylist():
        if row["category"]:
            counts.setdefault(row["brand"], Counter())[str(row["category"])] += 1
    return {brand: count.most_common(1)[0][0] for brand, count in counts.items()}
