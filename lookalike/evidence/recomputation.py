"""The numbers of an evidence bundle, computed again from its photos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.chain import Disagreement, canonical, plain
from lookalike.detection.verification import NOTHING
from lookalike.errors import TableError
from lookalike.model.images import ImageLimits
from lookalike.records import Verification
from lookalike.tables.candidates import match_of
from lookalike.tables.findings import said_by_similarity

from .manifest import Entry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.model.encoder import Encoder
    from lookalike.policy.policy import Policy

    from .archive import Archive

    Vector = NDArray[np.float32]

TOLERANCE = 1e-4
"""How much a similarity may differ when it is computed again: machines and batches differ in the last bits."""

INLIERS_TOLERANCE = 0.1
"""How much the number of matching points may differ, as a share of it: releases of OpenCV differ a little."""

BUNDLED = ImageLimits(max_pixels=10**9, max_side_ratio=10**5, truncated=True)
"""Photos are in a bundle because they could be read, so what was accepted then is accepted again."""

DAMAGE = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, IndexError, TableError)
"""The exceptions that reading a stranger's values can raise."""


def check_index(
    findings: Sequence[Entry], head: Mapping[str, Any], index: ReferenceIndex, harmless: ReferenceIndex | None
) -> Iterator[Disagreement]:
    """Where the index differs from the bundle's, or lacks its genuine photos."""
    value = head.get("index")
    said = value if isinstance(value, dict) else {}
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
            yield Disagreement(entry.place, f"the genuine photo {plain(reference)} is a different one in the index")


def _of_row(entry: Entry, name: str) -> object:
    row = entry.said.get("finding")
    return row.get(name) if isinstance(row, dict) else None


def _state(entry: Entry, part: str) -> object:
    said = entry.said.get(part)
    return said.get("state") if isinstance(said, dict) else None


class Numbers:
    """Computes numbers of findings again and adds disagreements to `found`; `computed` counts the similarities."""

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
        """Compare each finding's numbers with what its photos give."""
        if not self._is_encoder(encoder):
            what = f"the bundle's is not {encoder.spec}, so no similarity was computed"
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
        """The findings whose two photos are in the bundle and unchanged, with the photos' vectors."""
        from lookalike.index.embedding import PhotoReader, embed_photos

        whole = [
            (entry, listing.name, reference.name)
            for entry in findings
            if (listing := entry.file("listing")) is not None and (reference := entry.file("reference")) is not None
            if "changed" not in (_state(entry, "listing_photo"), _state(entry, "reference_photo"))
        ]
        sources = (self._archive.read(name) for _, *names in whole for name in names)
        reader = PhotoReader(limits=BUNDLED)
        photos = embed_photos(sources, encoder=encoder, reader=reader)
        for entry, *_ in whole:
            listing_photo, reference_photo = next(photos), next(photos)
            if listing_photo.vector is None or reference_photo.vector is None:
                why = plain(listing_photo.error or reference_photo.error)
                self._found.append(Disagreement(entry.place, f"one of its photos can't be read ({why})"))
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
            indexed_similarity = float(listing @ indexed)
            yield f"its photos give {similarity:.6f}, but its photo and the index's vector {indexed_similarity:.6f}"
        strength, slack = self._normalised(similarity, listing, reference)
        if strength is not None and _off(strength, row["normalised_similarity"], slack):
            stored = plain(row["normalised_similarity"])
            yield f"its normalised similarity is {stored}, but its photos give {strength:.6f}"
        if harmless is not None and len(harmless):
            yield from _suppression(row, similarity, listing, harmless)
        verdict = said_by_similarity(row)
        if self._policy is not None and verdict in ("flagged", "review", "clear") and not row["suppressed_by"]:
            computed = similarity if strength is None else strength
            scope = self._policy.scope(row["brand"], row["territory"])
            # at the threshold itself the last bits decide, which says nothing about the bundle
            verdicts = [str(scope.verdict(self._compared(row, computed + off))) for off in (0, -slack, slack)]
            if verdict not in verdicts:
                yield f"its verdict is {verdict}, but its photos give {verdicts[0]}"

    def _compared(self, row: Mapping[str, Any], similarity: float) -> float:
        """The number that the policy's thresholds apply to, for this similarity and the row's points and margin."""
        if self._policy is None or self._policy.fusion is None:
            return similarity
        match = match_of(row)
        return self._policy.fusion.probability(replace(match, similarity=similarity, normalised_similarity=None))

    def _points(self, entry: Entry, row: Mapping[str, Any]) -> Iterator[str]:
        """Where the comparison point by point differs from what the two photos give."""
        from lookalike.model.features import local_features, reference_features
        from lookalike.model.images import read_image
        from lookalike.model.local import verify

        files = [entry.file(role) for role in ("reference", "listing")]
        reference, listing = (read_image(self._archive.read(file.name), limits=BUNDLED) for file in files if file)
        found = verify(reference_features(reference.image), local_features(listing.image)) or NOTHING
        inliers = int(row["inliers"])
        if abs(found.inliers - inliers) > max(2, INLIERS_TOLERANCE * inliers):
            yield f"it says that {plain(inliers)} points of its photos match, but {found.inliers} do"
            return
        stored = match_of(row).verification or NOTHING
        # the same number of points must lead to the same conclusions
        if found.inliers == inliers and (found.kind, found.mirrored) != (stored.kind, stored.mirrored):
            yield f"it says that its photos are {_in_words(stored)}, but they are {_in_words(found)}"

    def _normalised(self, similarity: float, listing: Vector, reference: Vector) -> tuple[float | None, float]:
        """The normalised similarity, None if the policy has no cohort, and how much it may differ."""
        cohort = self._policy.cohort if self._policy is not None else None
        if cohort is None or cohort.vectors.shape[1] != len(listing):
            return None, TOLERANCE
        photo, other = cohort.level(listing[None]), cohort.level(reference[None])
        value = float(cohort.normalise(np.array([similarity], np.float32), photo, other)[0])
        if cohort.method == "subtract":
            return value, TOLERANCE * (1 + cohort.share)
        # a standard score divides the similarity's tolerance by the spread
        return value, TOLERANCE * 2 / max(float(min(photo.spread[0], other.spread[0])), 1e-3)


def _indexed_vectors(index: ReferenceIndex | None) -> dict[str, Vector]:
    if index is None:
        return {}
    return dict(zip(index.catalogue["reference_id"].to_pylist(), index.vectors, strict=True))


def _suppression(row: Mapping[str, Any], similarity: float, listing: Vector, harmless: ReferenceIndex) -> Iterator[str]:
    nearest = harmless.search(listing[None], top=1)[0][0]
    margin = nearest.similarity - similarity
    if abs(margin) > TOLERANCE and (margin > 0) != (row["suppressed_by"] is not None):
        said = "nothing" if row["suppressed_by"] is None else plain(row["suppressed_by"])
        yield (
            f"it says it is suppressed by {said}, but its photo has a similarity of {similarity:.6f} to the genuine "
            f"photo and {nearest.similarity:.6f} to the harmless photo {plain(nearest.reference.id)}"
        )


def _in_words(verification: Verification) -> str:
    return f"{plain(verification.kind)}, {'mirrored' if verification.mirrored else 'not mirrored'}"


def _off(value: float, said: Any, tolerance: float) -> bool:
    return said is None or not abs(value - said) <= tolerance
