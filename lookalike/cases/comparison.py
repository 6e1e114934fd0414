"""Sellers' photos compared by their pictures: which are one photograph, edited or not, and which are the brand's.

A photo is the brand's if a finding says `copied_photo`, if its file is one of the references, or if it matches one of
its nearest references place by place. Two sellers' photos are one photograph if their vectors are near and they match
place by place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from lookalike.errors import ImageReadError
from lookalike.model.adapter import unadapted

from .shared_photos import SellerPhoto, SharedPhoto, SharedPhotos, photograph_name

if TYPE_CHECKING:
    from lookalike.index.embedding import PhotoReader
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.index.vector_cache import VectorCache
    from lookalike.model.encoder import Encoder, EncoderSpec
    from lookalike.model.features import LocalFeatures
    from lookalike.records import Reference

NEAR = 0.85
"""Similarity from which two photos are compared point by point, with the embedded encoder.

Of rendered validation photos with one edit, 97 % or more of the mirrored, blurred, noisy, recompressed copies and
screenshots reach it, 80 % of the recoloured, 75 % of the cropped and 65 % of those with text; so do 6 of 14,028 pairs
of different photographs.
"""

SAME_SHARE, SAME_DISPLACEMENT = 0.5, 0.002
"""Two photos are one photograph if over half of their details agree, displaced by at most this share of the side."""

BRAND_DISPLACEMENT, BRAND_NEAR_DISPLACEMENT = 0.002, 0.0045
"""The same for a photo and a reference; the second if they are `near`, too.

The bound is looser because showing the brand's photo must join nobody, however it was edited: blurred, noisy and
recompressed copies of rendered validation packshots are displaced by up to 0.0045. Set on few pairs; see docs/cases.md.
"""

_NEAREST_REFERENCES = 3
_FEATURES_KEPT = 2_000
_MOST_COMPARED = 64  # pairs of one photo


def find_shared(
    photos: Iterable[SellerPhoto],
    *,
    index: ReferenceIndex,
    encoder: Encoder,
    reader: PhotoReader,
    cache: VectorCache | None = None,
    near: float = NEAR,
    verified: bool = True,
    progress: Callable[[int], None] | None = None,
) -> SharedPhotos:
    """Photographs that several sellers show, edited or not, and that are not the brand's.

    Every photo is read; photos whose vector is in `cache` are not embedded again. `near` is the similarity from which
    a pair is compared point by point. With `verified` false it decides alone, and a photo that near to a reference is
    the brand's. Of an adapted index, the vectors before are compared. `progress` is called with the number of photos
    read. Raises EncoderMismatchError if the index was built
    with another encoder.
    """
    index.require(encoder.spec)
    if index.adapter is not None:  # whether two pictures are one photograph is no question of a catalogue
        index, encoder = index.adapted(None), unadapted(encoder)
    by_image: dict[str, list[SellerPhoto]] = {}
    for photo in photos:
        by_image.setdefault(photo.image, []).append(photo)
    files, unread = _files(by_image, encoder, reader, cache, progress)
    if not files:
        return SharedPhotos(photos=len(by_image), unread=unread)
    judge = _Judge(index, reader, near=near, verified=verified)
    shared = []
    for members in _photographs(files, judge, near, encoder.spec):
        sellers: dict[str, str] = {}
        for file in members:
            sellers = {**file.images, **sellers}
        if len(sellers) > 1 and not any(judge.is_brands(file) for file in members):
            shared.append(SharedPhoto(photograph_name([file.sha256 for file in members]), sellers))
    return SharedPhotos(
        tuple(sorted(shared, key=lambda photo: photo.name)),
        photos=len(by_image),
        unread=unread,
        brands=sum(file.brands is True for file in files) - judge.unproven,
        unproven=judge.unproven,
        compared=judge.compared,
    )


@dataclass
class _File:
    """One file: its vector, the sellers that show it and where, and whether it is the brand's, once that is known."""

    sha256: str
    vector: np.ndarray
    images: dict[str, str] = field(default_factory=dict)
    copied: bool = False
    brands: bool | None = None


def _files(
    by_image: dict[str, list[SellerPhoto]],
    encoder: Encoder,
    reader: PhotoReader,
    cache: VectorCache | None,
    progress: Callable[[int], None] | None,
) -> tuple[list[_File], int]:
    """The different files that could be read, by sha256, and how many photos could not."""
    from lookalike.index.embedding import embed_photos

    files: dict[str, _File] = {}
    unread = 0
    for image, found in zip(by_image, embed_photos(by_image, encoder=encoder, reader=reader, cache=cache), strict=True):
        if progress is not None:
            progress(1)
        if found.vector is None or found.sha256 is None:
            unread += 1
            continue
        file = files.setdefault(found.sha256, _File(found.sha256, found.vector))
        for photo in by_image[image]:
            file.images.setdefault(photo.seller, image)
            file.copied |= photo.copied
    return [files[key] for key in sorted(files)], unread


def _photographs(files: Sequence[_File], judge: _Judge, near: float, spec: EncoderSpec) -> list[list[_File]]:
    """The files, those of one photograph together; files of the brand's, and files of one seller, stay alone."""
    from scipy.cluster.hierarchy import DisjointSet

    from lookalike.index.neighbours import near_pairs

    vectors = spec.parts(np.stack([file.vector for file in files]))[0]
    pairs, similarities = near_pairs(vectors, threshold=near)
    groups = DisjointSet(range(len(files)))
    tried = [0] * len(files)
    for (left, right), similarity in zip(pairs.tolist(), similarities.tolist(), strict=True):
        a, b = files[left], files[right]
        if groups.connected(left, right) or len(a.images.keys() | b.images.keys()) < 2:
            continue
        if judge.is_brands(a) or judge.is_brands(b) or max(tried[left], tried[right]) >= _MOST_COMPARED:
            continue
        tried[left] += 1
        tried[right] += 1
        if judge.same(a, b, similarity):
            groups.merge(left, right)
    return [[files[member] for member in sorted(members)] for members in groups.subsets()]


class _Judge:
    """Compares photos point by point, and keeps the features of those that it saw last."""

    def __init__(self, index: ReferenceIndex, reader: PhotoReader, *, near: float, verified: bool) -> None:
        self._index, self._reader, self._near, self._verified = index, reader, near, verified
        self._references = frozenset(index.catalogue["sha256"].to_pylist())
        self._features: dict[str, LocalFeatures | None] = {}
        self.compared = self.unproven = 0

    def is_brands(self, file: _File) -> bool:
        """Whether the file is a copy of one of the brand's photos."""
        if file.brands is None:
            file.brands = file.copied or file.sha256 in self._references or self._on_reference(file)
        return file.brands

    def _on_reference(self, file: _File) -> bool:
        if not len(self._index):
            return False
        matches = self._index.search(file.vector[None], top=_NEAREST_REFERENCES)[0]
        if not self._verified:
            return bool(matches) and matches[0].similarity >= self._near
        own = self._of(next(iter(file.images.values())))
        references = [self._of_reference(match.reference) for match in matches]
        if own is None or not any(features is not None for features in references):
            self.unproven += 1
            return True
        return any(
            self._lies_on(
                features, own, BRAND_NEAR_DISPLACEMENT if match.similarity >= self._near else BRAND_DISPLACEMENT
            )
            for match, features in zip(matches, references, strict=True)
            if features is not None
        )

    def same(self, a: _File, b: _File, similarity: float) -> bool:
        """Whether both are copies of one photograph."""
        if not self._verified:
            return similarity >= self._near
        left, right = (self._of(next(iter(file.images.values()))) for file in (a, b))
        if left is None or right is None:
            return False
        return self._lies_on(left, right, SAME_DISPLACEMENT)

    def _lies_on(self, first: LocalFeatures, second: LocalFeatures, displacement: float) -> bool:
        from lookalike.model.appearance import compare
        from lookalike.model.local import verify_and_align

        self.compared += 1
        found = verify_and_align(first, second)
        if found is None:
            return False
        agreement = compare(first, second, found[1].matrix, found[1].reference_points)
        return agreement is not None and agreement.share >= SAME_SHARE and agreement.displacement <= displacement

    def _of_reference(self, reference: Reference) -> LocalFeatures | None:
        """The reference's features as the index keeps them, or else those of its photo."""
        kept = self._index.features(reference.id)
        return kept if kept is not None else self._of(str(reference.image))

    def _of(self, image: str) -> LocalFeatures | None:
        """The features of a photo; None if it can't be read (any more)."""
        from lookalike.model.features import local_features
        from lookalike.model.images import read_image

        if image not in self._features:
            if len(self._features) >= _FEATURES_KEPT:
                del self._features[next(iter(self._features))]
            try:
                photo = read_image(image, limits=self._reader.limits, access=self._reader.access)
            except ImageReadError:  # the caller counts it as unproven
                self._features[image] = None
            else:
                self._features[image] = local_features(photo.image)
        return self._features[image]
