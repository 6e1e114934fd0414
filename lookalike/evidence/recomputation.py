"""The numbers of an evidence bundle, computed again from its photos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.chain import Disagreement, canonical, plain
from lookalike.detection.verification import NOTHING
from lookalike.errors import ImageReadError, TableError
from lookalike.model.images import ImageLimits
from lookalike.records import ImageSource, Match, Verification
from lookalike.tables.candidates import kind_of, match_of, region_in
from lookalike.tables.findings import said_by_similarity

from .manifest import Entry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.model.encoder import Encoder, EncoderSpec
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
        for entry, views, reference in self._vectors(findings, encoder):
            try:
                row = entry.said["finding"]
                self.computed += 1
                own = _Pair.of(encoder.spec, views, reference, vectors.get(str(row["reference_id"])))
                for what in self._compare(row, own, harmless):
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

    def _vectors(self, findings: Sequence[Entry], encoder: Encoder) -> Iterator[tuple[Entry, list[Vector], Vector]]:
        """The findings whose two photos are in the bundle and unchanged, with the photos' vectors.

        If a part of the listing's photo was found, the part's vector comes after that of the whole.
        """
        from lookalike.index.embedding import PhotoReader, embed_photos

        whole = [
            (entry, listing.name, reference.name)
            for entry in findings
            if (listing := entry.file("listing")) is not None and (reference := entry.file("reference")) is not None
            if "changed" not in (_state(entry, "listing_photo"), _state(entry, "reference_photo"))
        ]
        parts = [region_in(_row(entry)) for entry, *_ in whole]
        sources = (
            source
            for (_, listing, reference), part in zip(whole, parts, strict=True)
            for source in (*_views(self._archive.read(listing), part), self._archive.read(reference))
        )
        reader = PhotoReader(limits=BUNDLED)
        photos = embed_photos(sources, encoder=encoder, reader=reader)
        for (entry, *_), part in zip(whole, parts, strict=True):
            *views, reference_photo = (next(photos) for _ in range(2 if part is None else 3))
            vectors = [view.vector for view in views if view.vector is not None]
            if len(vectors) < len(views) or reference_photo.vector is None:
                why = plain(next(photo.error for photo in (*views, reference_photo) if photo.error))
                self._found.append(Disagreement(entry.place, f"one of its photos can't be read ({why})"))
            else:
                yield entry, vectors, reference_photo.vector

    def _compare(self, row: Mapping[str, Any], pair: _Pair, harmless: ReferenceIndex | None) -> Iterator[str]:
        similarity = pair.similarity
        if _off(similarity, row["similarity"], TOLERANCE):
            yield f"its similarity is {plain(row['similarity'])}, but its photos give {similarity:.6f}"
        # findings of an earlier version say nothing of a look
        if pair.look is not None and row.get("look") is not None and _off(pair.look, row["look"], TOLERANCE):
            yield f"its look is {plain(row['look'])}, but its photos give {pair.look:.6f}"
        if pair.indexed is not None and _off(similarity, pair.indexed, TOLERANCE):
            yield f"its photos give {similarity:.6f}, but its photo and the index's vector {pair.indexed:.6f}"
        strength, slack = self._normalised(similarity, pair.listing, pair.reference)
        if strength is not None and _off(strength, row["normalised_similarity"], slack):
            stored = plain(row["normalised_similarity"])
            yield f"its normalised similarity is {stored}, but its photos give {strength:.6f}"
        if harmless is not None and len(harmless):
            yield from _suppression(row, pair, harmless)
        verdict = said_by_similarity(row)
        if self._policy is not None and verdict in ("flagged", "review", "clear") and not row["suppressed_by"]:
            computed = similarity if strength is None else strength
            scope = self._policy.scope(row["brand"], row["territory"]).of(kind_of(row))
            # at the threshold itself the last bits decide, which says nothing about the bundle
            offs = (0, -slack, slack)
            verdicts = [str(scope.verdict(self._compared(row, computed + off, pair.look))) for off in offs]
            if verdict not in verdicts:
                yield f"its verdict is {verdict}, but its photos give {verdicts[0]}"

    def _compared(self, row: Mapping[str, Any], similarity: float, look: float | None) -> float:
        """The number that the policy's thresholds apply to, for these cosines and the row's points and margin."""
        if self._policy is None or self._policy.fusion is None:
            return similarity
        match = match_of(row)
        seen = replace(match, similarity=similarity, normalised_similarity=None, look=look)
        return self._policy.fusion.probability(seen)

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


@dataclass(frozen=True)
class _Pair:
    """A finding's two photos: the vectors of both for similarity, (dim,), and what these and the rest give.

    `indexed` is the similarity to the index's vector, `views` the vectors of the listing's photo, (n, width), and of
    the part of it that was found, if any.
    """

    listing: Vector
    reference: Vector
    views: Vector
    similarity: float
    look: float | None
    indexed: float | None

    @classmethod
    def of(cls, spec: EncoderSpec, views: Sequence[Vector], reference: Vector, indexed: Vector | None) -> _Pair:
        """The pair of two photos with these vectors, (width,); the last of `views` was found."""
        own, other = spec.parts(views[-1][None]), spec.parts(reference[None])
        cosines = [float(mine[0] @ theirs[0]) for mine, theirs in zip(own, other, strict=True)]
        by_index = None if indexed is None else float(own[0][0] @ spec.parts(indexed[None])[0][0])
        look = cosines[1] if len(cosines) > 1 else None
        return cls(own[0][0], other[0][0], np.stack(views), cosines[0], look, by_index)


def _indexed_vectors(index: ReferenceIndex | None) -> dict[str, Vector]:
    if index is None:
        return {}
    return dict(zip(index.catalogue["reference_id"].to_pylist(), index.vectors, strict=True))


def _suppression(row: Mapping[str, Any], pair: _Pair, harmless: ReferenceIndex) -> Iterator[str]:
    similarity = pair.similarity
    found = [nearest[0] for nearest in harmless.search(pair.views, top=1)]
    margins = [_margins(nearest, pair) for nearest in found]
    clear = all(abs(margin) > TOLERANCE for own in margins for margin in own)
    closer = [all(margin > 0 for margin in own) for own in margins]
    if clear and any(closer) != (row["suppressed_by"] is not None):
        nearest = found[closer.index(True)] if any(closer) else found[-1]
        said = "nothing" if row["suppressed_by"] is None else plain(row["suppressed_by"])
        yield (
            f"it says it is suppressed by {said}, but its photo has a similarity of {similarity:.6f} to the genuine "
            f"photo and {nearest.similarity:.6f} to the harmless photo {plain(nearest.reference.id)}"
        )


def _margins(harmless: Match, pair: _Pair) -> list[float]:
    """How much closer the harmless photo is than the genuine one, by similarity and, if there is one, by look."""
    looks = [] if pair.look is None or harmless.look is None else [harmless.look - pair.look]
    return [harmless.similarity - pair.similarity, *looks]


def _views(photo: bytes, part: tuple[float, float, float, float] | None) -> Iterator[ImageSource]:
    """The photo and, if it was found by a part, that part of it."""
    from lookalike.model.images import read_image
    from lookalike.model.regions import cut, working_picture

    yield photo
    if part is not None:
        try:
            yield cut(working_picture(read_image(photo, limits=BUNDLED).image), part)
        except ImageReadError:  # as for the photo itself, which is reported
            yield photo


def _row(entry: Entry) -> Mapping[str, Any]:
    row = entry.said.get("finding")
    return row if isinstance(row, dict) else {}


def _in_words(verification: Verification) -> str:
    return f"{plain(verification.kind)}, {'mirrored' if verification.mirrored else 'not mirrored'}"


def _off(value: float, said: Any, tolerance: float) -> bool:
    return said is None or not abs(value - said) <= tolerance
