"""The numbers of an evidence bundle computed anew, from its photos: similarities, and what the policy makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.chain import Disagreement, canonical, plain
from lookalike.detection.verification import NOTHING
from lookalike.errors import TableError
from lookalike.records import Verification
from lookalike.tables.findings import match_of, said_by_similarity

from .manifest import Entry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.model.encoder import Encoder
    from lookalike.policy.policy import Policy

    from .archive import Archive

    Vector = NDArray[np.float32]

TOLERANCE = 1e-4
"""How far a similarity computed again may lie off: machines and batches differ in the last bits."""

INLIERS_TOLERANCE = 0.1
"""How far the number of points that agree may lie off, as a share of it: releases of OpenCV differ a little."""

DAMAGE = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, IndexError, TableError)
"""What reading values raises that a stranger put together."""


def check_index(
    findings: Sequence[Entry], head: Mapping[str, Any], index: ReferenceIndex, harmless: ReferenceIndex | None
) -> Iterator[Disagreement]:
    """Whether the index is the bundle's, and holds its genuine photos."""
    told = head.get("index")
    said = told if isinstance(told, dict) else {}
    for what, name, loaded in (("index", "digest", index), ("index of harmless photos", "harmless_digest", harmless)):
        digest = loaded.digest if loaded is not None else None
        if said.get(name) != digest:
            yield Disagreement(f"the {what}", f"the bundle's is {plain(said.get(name))}, but the one given is {digest}")
    catalogue = index.catalogue
    hashes = dict(zip(catalogue["reference_id"].to_pylist(), catalogue["sha256"].to_pylist(), strict=True))
    for entry in findings:
        file, reference = entry.file("reference"), _of_row(entry, "reference_id")
        if file is None or _state(entry, "reference_photo") == "changed":
            continue
        if not isinstance(reference, str) or reference not in hashes:
            yield Disagreement(entry.place, f"the index has no genuine photo {plain(reference)}")
        elif hashes[reference] != file.sha256:
            yield Disagreement(entry.place, f"the index has another genuine photo {plain(reference)}")


def _of_row(entry: Entry, name: str) -> object:
    row = entry.said.get("finding")
    return row.get(name) if isinstance(row, dict) else None


def _state(entry: Entry, part: str) -> object:
    said = entry.said.get(part)
    return said.get("state") if isinstance(said, dict) else None


class Numbers:
    """Computes findings' numbers again and appends to `found` what doesn't agree; `computed` counts them."""

    def __init__(
        self, archive: Archive, head: Mapping[str, Any], policy: Policy | None, found: list[Disagreement]
    ) -> None:
        self._archive, self._head, self._policy, self._found = archive, head, policy, found
        self.computed = 0

    def check(
        self,
        findings: Sequence[Entry],
        *,
        encoder: Encoder,
        index: ReferenceIndex | None,
        harmless: ReferenceIndex | None,
    ) -> None:
        """Compare each finding's similarity, normalised similarity and suppression with what its photos give."""
        if not self._is_encoder(encoder):
            what = f"the bundle's is another than {encoder.spec}, so that no similarity was computed"
            self._found.append(Disagreement("the encoder", what))
            return
        vectors = _indexed_vectors(index)
        for entry, listing, reference in self._vectors(findings, encoder):
            try:
                row = entry.said["finding"]
                self.computed += 1
                for what in self._compare(row, listing, reference, vectors.get(str(row["reference_id"])), harmless):
                    self._found.append(Disagreement(entry.place, what))
                if row["inliers"] is not None:
                    for what in self._points(entry, row):
                        self._found.append(Disagreement(entry.place, what))
            except DAMAGE as error:
                self._found.append(Disagreement(entry.place, f"its numbers can't be compared ({plain(error)})"))

    def _is_encoder(self, encoder: Encoder) -> bool:
        spec = self._head.get("encoder")
        if not isinstance(spec, dict):
            return False
        return canonical({**spec, "name": ""}) == canonical({**encoder.spec.to_json(), "name": ""})

    def _vectors(self, findings: Sequence[Entry], encoder: Encoder) -> Iterator[tuple[Entry, Vector, Vector]]:
        """Findings of which both photos are there and as they were, with their listing's and reference's vector."""
        from lookalike.index.embedding import PhotoReader, embed_photos
        from lookalike.model.images import ImageLimits

        whole = [
            (entry, listing.name, reference.name)
            for entry in findings
            if (listing := entry.file("listing")) is not None and (reference := entry.file("reference")) is not None
            if "changed" not in (_state(entry, "listing_photo"), _state(entry, "reference_photo"))
        ]
        sources = (self._archive.read(name) for _, *names in whole for name in names)
        # a photo is in the bundle because it could be read, so what was accepted then is accepted now
        reader = PhotoReader(limits=ImageLimits(truncated=True))
        photos = embed_photos(sources, encoder=encoder, reader=reader)
        for entry, *_ in whole:
            listing_photo, reference_photo = next(photos), next(photos)
            if listing_photo.vector is None or reference_photo.vector is None:
                why = plain(listing_photo.error or reference_photo.error)
                self._found.append(Disagreement(entry.place, f"a photo of it is none that can be read ({why})"))
            else:
                yield entry, listing_photo.vector, reference_photo.vector

    def _compare(
        self,
        row: Mapping[str, Any],
        listing: Vector,
        reference: Vector,
        indexed: Vector | None,
        harmless: ReferenceIndex | None,
    ) -> Iterator[str]:
        similarity = float(listing @ reference)
        if _off(similarity, row["similarity"], TOLERANCE):
            yield f"its similarity is {plain(row['similarity'])}, but its photos give {similarity:.6f}"
        if indexed is not None and _off(similarity, float(listing @ indexed), TOLERANCE):
            yield f"its photos give {similarity:.6f}, but with the index's vector {float(listing @ indexed):.6f}"
        strength, slack = self._normalised(similarity, listing, reference)
        if strength is not None and _off(strength, row["normalised_similarity"], slack):
            told = plain(row["normalised_similarity"])
            yield f"its normalised similarity is {told}, but its photos give {strength:.6f}"
        if harmless is not None and len(harmless):
            yield from _suppression(row, similarity, listing, harmless)
        said = said_by_similarity(row)
        if self._policy is not None and said in ("flagged", "review", "clear") and not row["suppressed_by"]:
            held = similarity if strength is None else strength
            scope = self._policy.scope(row["brand"], row["territory"])
            # on the threshold itself the last bits decide, and nothing is to be made of that
            verdicts = [str(scope.verdict(self._held(row, held + off))) for off in (0, -slack, slack)]
            if said not in verdicts:
                yield f"its verdict is {said}, but by what its photos give it is {verdicts[0]}"

    def _held(self, row: Mapping[str, Any], similarity: float) -> float:
        """What the policy's thresholds are held against, for that similarity and the row's own points and margin."""
        if self._policy is None or self._policy.fusion is None:
            return similarity
        match = match_of(row)
        return self._policy.fusion.probability(replace(match, similarity=similarity, normalised_similarity=None))

    def _points(self, entry: Entry, row: Mapping[str, Any]) -> Iterator[str]:
        """What of the comparison point by point doesn't agree with what the two photos give."""
        from lookalike.model.features import local_features, reference_features
        from lookalike.model.images import ImageLimits, read_image
        from lookalike.model.local import verify

        limits = ImageLimits(truncated=True)
        files = [entry.file(role) for role in ("reference", "listing")]
        reference, listing = (read_image(self._archive.read(file.name), limits=limits) for file in files if file)
        found = verify(reference_features(reference.image), local_features(listing.image)) or NOTHING
        told = int(row["inliers"])
        if abs(found.inliers - told) > max(2, INLIERS_TOLERANCE * told):
            yield f"in its photos {plain(told)} points are said to agree, but {found.inliers} do"
            return
        told_of = match_of(row).verification or NOTHING
        # where the very same points agree, so must what is made of them
        if found.inliers == told and (found.kind, found.mirrored) != (told_of.kind, told_of.mirrored):
            yield f"its photos are said to be {_told(told_of)}, but are {_told(found)}"

    def _normalised(self, similarity: float, listing: Vector, reference: Vector) -> tuple[float | None, float]:
        """The normalised similarity, where the policy has a cohort, and how far it may lie off."""
        cohort = self._policy.cohort if self._policy is not None else None
        if cohort is None or cohort.vectors.shape[1] != len(listing):
            return None, TOLERANCE
        photo, other = cohort.level(listing[None]), cohort.level(reference[None])
        value = float(cohort.normalise(np.array([similarity], np.float32), photo, other)[0])
        if cohort.method == "subtract":
            return value, TOLERANCE * (1 + cohort.share)
        # a standard score divides what the similarity may lie off by the spread
        return value, TOLERANCE * 2 / max(float(min(photo.spread[0], other.spread[0])), 1e-3)


def _indexed_vectors(index: ReferenceIndex | None) -> dict[str, Vector]:
    if index is None:
        return {}
    return dict(zip(index.catalogue["reference_id"].to_pylist(), index.vectors, strict=True))


def _suppression(row: Mapping[str, Any], similarity: float, listing: Vector, harmless: ReferenceIndex) -> Iterator[str]:
    nearest = harmless.search(listing[None], top=1)[0][0]
    margin = nearest.similarity - similarity
    if abs(margin) > TOLERANCE and (margin > 0) != (row["suppressed_by"] is not None):
        told = "nothing" if row["suppressed_by"] is None else plain(row["suppressed_by"])
        yield (
            f"it is suppressed by {told}, but its photo has {similarity:.6f} to the genuine one and "
            f"{nearest.similarity:.6f} to the harmless photo {plain(nearest.reference.id)}"
        )


def _told(verification: Verification) -> str:
    return f"{plain(verification.kind)}, {'mirrored' if verification.mirrored else 'not mirrored'}"


def _off(value: float, told: Any, tolerance: float) -> bool:
    return told is None or not abs(value - told) <= tolerance
