"""Photographs of sellers' own that more than one of them shows: what joins sellers, and what must not.

Whoever sells a brand's goods may show the brand's own photos, so those join nobody. A photo counts as the brand's where
a finding says `copied_photo`, where its file is one of the references, or where it lies on one of its nearest
references place by place. Two sellers' photos count as one photograph where their vectors are near and they lie on each
other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from lookalike.errors import ImageReadError

if TYPE_CHECKING:
    from lookalike.index.embedding import PhotoReader
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.index.vector_cache import VectorCache
    from lookalike.model.encoder import Encoder
    from lookalike.model.features import LocalFeatures
    from lookalike.records import Reference

NEAR = 0.85
"""Similarity from which two photos are compared point by point, with the embedded encoder.

Of copies of rendered validation photos with one edit, 97 % or more of the mirrored, blurred, noisy, recompressed ones
and screenshots are as alike or more, 80 % of the recoloured, 75 % of the cropped and 65 % of those with text; and some
6 of 14,028 pairs of different photographs.
"""

SAME_SHARE, SAME_DISPLACEMENT = 0.5, 0.002
"""Two photos are one photograph when over half of their details agree, displaced by at most so much of the side."""

BRAND_DISPLACEMENT, BRAND_NEAR_DISPLACEMENT = 0.002, 0.0045
"""The same of a photo and a reference; the second where they are `near`, too.

Looser, for whoever shows the brand's photo must not be joined, whatever was done to it: blurred, noisy and recompressed
copies of rendered validation packshots are displaced by up to 0.0045. Set on few pairs; see docs/cases.md.
"""

_NEAREST_REFERENCES = 3
_FEATURES_KEPT = 2_000
_MOST_COMPARED = 64  # pairs of one photo


@dataclass(frozen=True)
class SellerPhoto:
    """A photo of a seller: where it is, the sha256 of its bytes if known, and what a finding of it says.

    `copied`: that it is a copy of the brand's. `own`: that it was compared, and shows no picture or print of the
    brand's.
    """

    seller: str
    image: str
    sha256: str | None = None
    copied: bool = False
    own: bool = False


@dataclass(frozen=True)
class SharedPhoto:
    """A photograph that several sellers show, not the brand's: its `sellers`, and of each one `image` that shows it."""

    name: str
    images: dict[str, str]

    @property
    def sellers(self) -> tuple[str, ...]:
        """Who shows it, sorted."""
        return tuple(sorted(self.images))


@dataclass(frozen=True)
class SharedPhotos:
    """What was found: photographs that sellers share, how many photos were looked at, `unread`, and the brand's.

    Only photos that could join sellers are asked whether they are the brand's. `unproven` are those of which no nearest
    reference could be read any more to tell; they join nobody. `compared` counts comparisons point by point.
    """

    shared: tuple[SharedPhoto, ...] = ()
    photos: int = 0
    unread: int = 0
    brands: int = 0
    unproven: int = 0
    compared: int = 0


def same_files(photos: Iterable[SellerPhoto]) -> SharedPhotos:
    """Photographs shared byte for byte, by their sha256 alone: nothing is read, edited copies are not found.

    Only what findings call `own` of every seller joins: that two show the same print may be because one wholesaler
    edited the brand's photo, and only the pictures could tell.
    """
    groups: dict[str, dict[str, str]] = {}
    doubtful: set[str] = set()
    for photo in photos:
        if photo.sha256 is None:
            continue
        groups.setdefault(photo.sha256, {}).setdefault(photo.seller, photo.image)
        if photo.copied or not photo.own:
            doubtful.add(photo.sha256)
    shared = [SharedPhoto(_name([key]), images) for key, images in groups.items()
              if len(images) > 1 and key not in doubtful]  # fmt: skip
    return SharedPhotos(tuple(sorted(shared, key=lambda photo: photo.name)), photos=len(groups))


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

    Every photo is read; vectors that `cache` has are not computed again. `near` is the similarity from which a pair is
    compared point by point; with `verified` false it decides alone, and a photo as near as that to a reference is the
    brand's. `progress` is told of photos read. Raises EncoderMismatchError for another encoder than the index's.
    """
    from lookalike.index.embedding import embed_photos
    from lookalike.index.neighbours import near_pairs

    index.require(encoder.spec)
    by_image: dict[str, list[SellerPhoto]] = {}
    for photo in photos:
        by_image.setdefault(photo.image, []).append(photo)
    nodes: dict[str, _Node] = {}
    unread = 0
    for image, found in zip(by_image, embed_photos(by_image, encoder=encoder, reader=reader, cache=cache), strict=True):
        if progress is not None:
            progress(1)
        if found.vector is None or found.sha256 is None:
            unread += 1
            continue
        node = nodes.setdefault(found.sha256, _Node(found.sha256, found.vector))
        for photo in by_image[image]:
            node.images.setdefault(photo.seller, image)
            node.copied |= photo.copied
    listed = [nodes[key] for key in sorted(nodes)]
    if not listed:
        return SharedPhotos(photos=len(by_image), unread=unread)
    pairs, similarities = near_pairs(np.stack([node.vector for node in listed]), threshold=near)
    judge = _Judge(index, reader, near=near, verified=verified)
    groups = _Groups(len(listed))
    tried = [0] * len(listed)
    for (left, right), similarity in zip(pairs.tolist(), similarities.tolist(), strict=True):
        a, b = listed[left], listed[right]
        if groups.of(left) == groups.of(right) or len(a.images.keys() | b.images.keys()) < 2:
            continue
        if judge.is_brands(a) or judge.is_brands(b) or max(tried[left], tried[right]) >= _MOST_COMPARED:
            continue
        tried[left] += 1
        tried[right] += 1
        if judge.same(a, b, similarity):
            groups.join(left, right)
    shared = []
    for members in groups.all():
        sellers: dict[str, str] = {}
        for node in (listed[member] for member in members):
            sellers.update({seller: image for seller, image in node.images.items() if seller not in sellers})
        if len(sellers) > 1 and not any(judge.is_brands(listed[member]) for member in members):
            shared.append(SharedPhoto(_name([listed[member].sha256 for member in members]), sellers))
    brands = sum(node.brands is True for node in listed)
    return SharedPhotos(
        tuple(sorted(shared, key=lambda photo: photo.name)),
        photos=len(by_image),
        unread=unread,
        brands=brands - judge.unproven,
        unproven=judge.unproven,
        compared=judge.compared,
    )


def _name(hashes: Sequence[str]) -> str:
    """A photograph's name: the start of the least sha256 among its copies."""
    return min(hashes)[:16]


@dataclass
class _Node:
    """One file: its vector, who shows it, where, and whether it is the brand's, once that is known."""

    sha256: str
    vector: np.ndarray
    images: dict[str, str] = field(default_factory=dict)
    copied: bool = False
    brands: bool | None = None


class _Groups:
    """Rows joined in groups (disjoint sets; Tarjan, JACM 1975)."""

    def __init__(self, count: int) -> None:
        self._above = list(range(count))

    def of(self, row: int) -> int:
        while self._above[row] != row:
            self._above[row] = self._above[self._above[row]]
            row = self._above[row]
        return row

    def join(self, left: int, right: int) -> None:
        first, second = sorted((self.of(left), self.of(right)))
        self._above[second] = first

    def all(self) -> list[list[int]]:
        groups: dict[int, list[int]] = {}
        for row in range(len(self._above)):
            groups.setdefault(self.of(row), []).append(row)
        return list(groups.values())


class _Judge:
    """Compares photos point by point, and remembers the features of those it saw last."""

    def __init__(self, index: ReferenceIndex, reader: PhotoReader, *, near: float, verified: bool) -> None:
        catalogue = index.catalogue
        self._index, self._reader, self._near, self._verified = index, reader, near, verified
        self._references = frozenset(catalogue["sha256"].to_pylist())
        self._features: dict[str, LocalFeatures | None] = {}
        self.compared = self.unproven = 0

    def is_brands(self, node: _Node) -> bool:
        """Whether the photo is a copy of one of the brand's."""
        if node.brands is None:
            node.brands = node.copied or node.sha256 in self._references or self._on_reference(node)
        return node.brands

    def _on_reference(self, node: _Node) -> bool:
        if not len(self._index):
            return False
        matches = self._index.search(node.vector[None], top=_NEAREST_REFERENCES)[0]
        if not self._verified:
            return bool(matches) and matches[0].similarity >= self._near
        own = self._of(next(iter(node.images.values())))
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

    def same(self, a: _Node, b: _Node, similarity: float) -> bool:
        """Whether both are copies of one photograph."""
        if not self._verified:
            return similarity >= self._near
        left, right = (self._of(next(iter(node.images.values()))) for node in (a, b))
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
        """What the index keeps of the reference, or else the features of its photo."""
        kept = self._index.features(reference.id)
        return kept if kept is not None else self._of(str(reference.image))

    def _of(self, image: str) -> LocalFeatures | None:
        """The features of a photo; None where it can't be read (any more)."""
        from lookalike.model.features import local_features
        from lookalike.model.images import read_image

        if image not in self._features:
            if len(self._features) >= _FEATURES_KEPT:
                del self._features[next(iter(self._features))]
            try:
                photo = read_image(image, limits=self._reader.limits, access=self._reader.access)
            except ImageReadError:  # who asks counts it as unproven
                self._features[image] = None
            else:
                self._features[image] = local_features(photo.image)
        return self._features[image]
