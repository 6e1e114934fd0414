"""Labels joined with the findings that they are about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from lookalike.errors import TableError
from lookalike.policy.fusion import Fusion
from lookalike.records import Match, Reference
from lookalike.tables.findings import matches_of, read_findings
from lookalike.tables.inputs import deciding_review, read_verdicts, reviews_by_listing

from .pairs import LabelledPairs


@dataclass(frozen=True)
class LabelledMatches:
    """The matches of one photo, or of one listing, and the products that are right.

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
    """Each photo's answer as a labelled pair; with a fusion, its strength is the probability."""
    return _pairs((photo, photo.answer(fusion)) for photo in photos if photo.matches)


def _pairs(answers: Iterable[tuple[LabelledMatches, Match]]) -> LabelledPairs:
    return LabelledPairs.of(
        (match.strength, photo.is_right(match), match.reference.brand, photo.territory, photo.day)
        for photo, match in answers
    )


@dataclass(frozen=True)
class Labels:
    """Labelled photos, and what could not be used.

    `unknown` counts labels of listings without a finding, `other` those about another product than the finding's, and
    `failed` says why photos could not be read.
    """

    photos: tuple[LabelledMatches, ...] = field(default=(), repr=False)
    unknown: int = 0
    other: int = 0
    failed: tuple[str, ...] = ()

    @property
    def pairs(self) -> LabelledPairs:
        """Each photo with the match that its finding rests on, or without a finding with its strongest match."""
        return _pairs((photo, photo.decided or photo.answer(None)) for photo in self.photos if photo.matches)


def labels_of_findings(labels: str | Path, findings: str | Path, *, candidates: bool = False) -> Labels:
    """Labels (listing_id, lookalike; optional product_id, date) of findings already made; nothing is embedded.

    If a listing has several labels, the last one about the finding's product counts. A label that calls the listing a
    look-alike of another product counts as an error of the finding. With `candidates`, all matches of the listings are
    read, otherwise only the one that decided. Raises TableError as reading either table does, and if no label is about
    any of the findings.
    """
    verdicts = reviews_by_listing(read_verdicts(labels))
    photos: list[LabelledMatches] = []
    seen = other = 0
    for row in read_findings(findings):
        of_listing = verdicts.get(str(row["listing_id"]))
        if of_listing is None or row["similarity"] is None:
            continue
        seen += 1
        verdict = deciding_review(of_listing, row["product_id"])
        if verdict is None:
            other += 1
            continue
        right = frozenset({str(verdict.product_id or row["product_id"])} if verdict.lookalike else ())
        photos.append(LabelledMatches(_matches(row, candidates), right, row["territory"], verdict.day, _decided(row)))
    if not photos:
        raise TableError(f"none of the {len(verdicts)} labels of {labels} is about a finding in {findings}")
    return Labels(tuple(photos), unknown=len(verdicts) - seen, other=other)


def unrelated_findings(findings: str | Path, *, candidates: bool = False) -> Labels:
    """Findings of listings believed to be unrelated, each with what it matched nevertheless."""
    rows = (row for row in read_findings(findings) if row["similarity"] is not None)
    return Labels(
        tuple(
            LabelledMatches(_matches(row, candidates), frozenset(), row["territory"], decided=_decided(row))
            for row in rows
        )
    )


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
