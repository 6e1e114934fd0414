"""Labels joined with the findings that they are about."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from lookalike.errors import TableError
from lookalike.model.adapter import Adapter
from lookalike.policy.fusion import Fusion
from lookalike.policy.tuned_on import TunedOn
from lookalike.records import Match, Reference, Verdict
from lookalike.tables.candidates import matches_of
from lookalike.tables.findings import FindingRow, last_findings, read_findings, said_by_similarity
from lookalike.tables.labels import ProductLabel, Review, contradicted, deciding_review, reviews_by_listing
from lookalike.tables.reviews import read_reviews

from .pairs import LabelledPairs


def is_named(reference: Reference, products: Container[ProductLabel]) -> bool:
    """Whether labels name the reference's product."""
    return reference.product in products or (reference.brand, reference.product) in products


def require_one_brand(labelled: Iterable[ProductLabel], known: Iterable[tuple[str, str]]) -> None:
    """Raise TableError for a label without a brand whose product_id several brands have in `known` (brand, product)."""
    brands: dict[str, set[str]] = {}
    for brand, product in known:
        brands.setdefault(product, set()).add(brand)
    for product in sorted(each for each in labelled if isinstance(each, str)):
        if len(brands.get(product, ())) > 1:
            raise TableError(
                f"product_id {product!r} in the labels is one of {', '.join(sorted(brands[product]))}; "
                "add a column brand to the labels that says which"
            )


@dataclass(frozen=True)
class LabelledMatches:
    """The matches of one photo, or of one listing, and the products that are right.

    `name` is the listing's id, or where the photo is, and `picture` the sha256 of the photo, if known. `decided` is the
    match that a finding rests on, with the probability of its policy, if any, and `flagged` whether that finding was
    flagged.
    """

    matches: tuple[Match, ...]
    right: frozenset[ProductLabel]
    territory: str | None = None
    day: date | None = None
    decided: Match | None = None
    name: str = ""
    flagged: bool | None = None
    picture: str | None = None

    def is_right(self, match: Match) -> bool:
        """Whether the photo shows or imitates the match's product."""
        return is_named(match.reference, self.right)

    def answer(self, fusion: Fusion | None) -> Match:
        """The strongest match, by the fusion's probability or else by similarity; a suppressed one only if all are."""
        open_ones = [match for match in self.matches if match.suppressed_by is None] or self.matches
        weighed = (replace(match, probability=fusion.probability(match) if fusion else None) for match in open_ones)
        return max(weighed, key=lambda match: match.strength)


def pairs_of(photos: Iterable[LabelledMatches], fusion: Fusion | None = None) -> LabelledPairs:
    """Each photo's answer as a labelled pair; with a fusion, its strength is the probability, and its kind is known."""
    answers = [(photo, photo.answer(fusion)) for photo in photos if photo.matches]
    return _pairs(answers, [match.kind for _, match in answers] if fusion is not None else None)


def _pairs(answers: Iterable[tuple[LabelledMatches, Match]], kinds: Sequence[str] | None = None) -> LabelledPairs:
    rows = (
        (match.strength, photo.is_right(match), match.reference.brand, photo.territory, photo.day)
        for photo, match in answers
    )
    return LabelledPairs.of(rows, kinds)


@dataclass(frozen=True)
class Labels:
    """Labelled photos, and what could not be used.

    `unknown` counts labels of listings without a finding, `other` those about another product or photo than the
    finding's. `failed` says why photos could not be read, and `remarks` which labels no promise may rest on.
    `contradicted` are listings whose labels contradict each other (see `lookalike.tables.inputs.contradicted`),
    `policies` the labels of the policies that made the findings, and `encoders` those of the encoders. `cross_fitted`
    counts photos that the index's adapter was fitted to, which were looked up by a map that was not.
    """

    photos: tuple[LabelledMatches, ...] = field(default=(), repr=False)
    unknown: int = 0
    other: int = 0
    failed: tuple[str, ...] = ()
    contradicted: tuple[str, ...] = ()
    policies: frozenset[str] = frozenset()
    encoders: frozenset[str] = frozenset()
    remarks: tuple[str, ...] = ()
    cross_fitted: int = 0

    @property
    def pairs(self) -> LabelledPairs:
        """Each photo with the match that its finding rests on, or without a finding with its strongest match."""
        return _pairs((photo, photo.decided or photo.answer(None)) for photo in self.photos if photo.matches)


def unseen_by(adapter: Adapter | None, labels: Labels) -> Labels:
    """The labels of findings that an index's adapter was not fitted to, by the labels' names and the photos' content.

    The adapter itself made the findings, and it does better on photos that it was fitted to than on others, so no
    promise may rest on those. A remark counts them. Raises TableError if all are.
    """
    if adapter is None:
        return labels
    fitted = TunedOn(adapter.fitted_on)
    photos = tuple(photo for photo in labels.photos if photo.name not in fitted and photo.picture not in fitted)
    seen = len(labels.photos) - len(photos)
    if seen and not photos:
        raise TableError(
            f"the index's adapter was fitted to all {seen} labels, so no promise may rest on findings that it made of "
            "them; label others too, or give labels of photos without --findings, which are looked up anew"
        )
    remark = f"labels left out: {seen:,} that the index's adapter, which made the findings, was fitted to"
    return replace(labels, photos=photos, remarks=(*labels.remarks, remark)) if seen else labels


def labels_of_findings(labels: str | Path, findings: str | Path, *, candidates: bool = False) -> Labels:
    """Labels (listing_id, lookalike; optional product_id, brand, date) of findings already made; nothing is embedded.

    They may be a file of verdicts, of which those count that a promise may rest on (see `read_reviews`).
    A listing counts once, by its last finding with a similarity. If it has several labels, the last one about the
    finding's product counts. A label that calls the listing a look-alike of another product counts as an error of the
    finding. With `candidates`, all matches of the listings are read, otherwise only the one that decided. Raises
    TableError as reading either table does, if no label is about any of the findings, and for a label of another
    product than the finding's that doesn't say of which of its candidates' brands.
    """
    read = read_reviews(labels, promise=True)
    found = labels_of_rows(read.reviews, read_findings(findings), candidates=candidates)
    if not found.photos:
        raise TableError(f"none of the {len(read.reviews)} labels of {labels} is about a finding in {findings}")
    return replace(found, remarks=tuple(read.remarks()))


def labels_of_rows(reviews: Sequence[Review], rows: Iterable[FindingRow], *, candidates: bool = False) -> Labels:
    """Labels of rows of a findings table; see `labels_of_findings`."""
    verdicts = reviews_by_listing(reviews)
    policies: set[str] = set()
    encoders: set[str] = set()
    photos: list[LabelledMatches] = []
    seen = other = 0
    found = (row for row in rows if row["similarity"] is not None and row["listing_id"] in verdicts)
    for row in last_findings(found):
        seen += 1
        known = verdicts[row["listing_id"]]
        verdict = deciding_review(known, row["product_id"], row["brand"], row["image_sha256"])
        if verdict is None:
            other += 1
            continue
        matches = _matches(row, candidates)
        right = _right(verdict, _decided(row).reference, matches)
        policies.add(row["policy"])
        encoders.add(str(row["encoder"]))
        photos.append(_labelled(row, matches, right, verdict.day))
    return Labels(tuple(photos), unknown=len(verdicts) - seen, other=other,
                  contradicted=tuple(contradicted(reviews)), policies=frozenset(policies),
                  encoders=frozenset(encoders))  # fmt: skip


def _labelled(
    row: FindingRow, matches: tuple[Match, ...], right: frozenset[ProductLabel], day: date | None = None
) -> LabelledMatches:
    flagged = said_by_similarity(row) == Verdict.FLAGGED
    decided, name, picture = _decided(row), row["listing_id"], row["image_sha256"]
    return LabelledMatches(matches, right, row["territory"], day, decided, name, flagged, picture)


def _right(review: Review, found: Reference, matches: Sequence[Match]) -> frozenset[ProductLabel]:
    """The products that a review of a finding calls right; without a brand, it means the found product if it can."""
    if not review.lookalike:
        return frozenset()
    if review.is_about(found.product, found.brand):
        return frozenset({(found.brand, found.product)})
    if review.product_id is None:
        return frozenset()
    label = (review.brand, review.product_id) if review.brand is not None else review.product_id
    require_one_brand([label], {(match.reference.brand, match.reference.product) for match in matches})
    return frozenset({label})


def unrelated_findings(findings: str | Path, *, candidates: bool = False) -> Labels:
    """Listings believed to be unrelated, each with what it matched nevertheless, by the last finding."""
    photos, policies, encoders = {}, set(), set()
    for row in read_findings(findings):
        if row["similarity"] is not None:
            photos[row["listing_id"]] = _labelled(row, _matches(row, candidates), frozenset())
            policies.add(row["policy"])
            encoders.add(str(row["encoder"]))
    return Labels(tuple(photos.values()), policies=frozenset(policies), encoders=frozenset(encoders))


def _matches(row: Mapping[str, Any], candidates: bool) -> tuple[Match, ...]:
    """All matches of a finding; without `candidates` only the one that decided, if it did so by similarity."""
    return tuple(matches_of(row)) if candidates or row["probability"] is not None else (_decided(row),)


def _decided(row: Mapping[str, Any]) -> Match:
    reference = Reference(
        str(row["reference_id"]), str(row["product_id"]), row["brand"] or "", row["reference_image"] or ""
    )
    return Match(
        reference,
        row["similarity"],
        normalised_similarity=row["normalised_similarity"],
        probability=row["probability"],
    )
