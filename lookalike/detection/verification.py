"""Photos compared point by point with the few references nearest to them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from lookalike.cores import one_core_each
from lookalike.errors import ImageReadError
from lookalike.records import ImageSource, Match, Verification

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lookalike.index.blobs import BlobCache
    from lookalike.index.embedding import PhotoReader
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.model.features import LocalFeatures
    from lookalike.policy.terms import Reach

NOTHING = Verification(inliers=0, coverage=0.0, mirrored=False, kind="lookalike", outline=())
"""The verification of a pair that was compared and shares no points."""

_KIND = "verification"
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Photo:
    """A photo to compare: where it is, the sha256 of the bytes that were embedded, and its nearest references."""

    image: ImageSource = field(repr=False)
    sha256: str
    matches: tuple[Match, ...]


@dataclass(frozen=True)
class Verified:
    """The photo's matches with their verification, or without it and with the `trouble` that prevented it.

    `late` is true if there was no time for it.
    """

    matches: tuple[Match, ...]
    trouble: str | None = None
    late: bool = False


class Comparer(Protocol):
    """Does elsewhere, for example in another process, what `compared` does."""

    def submit(self, picture: NDArray[np.uint8], references: Sequence[LocalFeatures]) -> Future[list[Verification]]:
        """What `compared` returns for these. The future raises ImageReadError if it can't be done."""


def compared(picture: NDArray[np.uint8], references: Sequence[LocalFeatures]) -> list[Verification]:
    """What comparing a photo with each reference says; `picture` is the photo's `grey_picture`."""
    from lookalike.model.features import features_in
    from lookalike.model.local import verify

    with one_core_each():
        listing = features_in(picture)
        return [verify(each, listing) or NOTHING for each in references]


@dataclass(frozen=True)
class _Pairs:
    """A photo, and by the place of its match what is `known` of a reference, or the features with which it is `due`."""

    photo: Photo
    known: dict[int, Verification] = field(default_factory=dict)
    due: dict[int, LocalFeatures] = field(default_factory=dict)


@dataclass(frozen=True)
class Verifier:
    """Compares photos with their nearest references, several at a time. Pairs in `cache` are not compared again.

    Each photo is read once more, and must still have the bytes that were embedded. `opened` lists the sha256 of those.
    `held` has the bytes of photos by their sha256, which spares reading them again. With a `comparer`, this thread does
    no more than that.
    """

    index: ReferenceIndex
    reader: PhotoReader
    cache: BlobCache | None = None
    opened: list[str] = field(default_factory=list)
    held: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    comparer: Comparer | None = None

    def verify(self, photos: Sequence[Photo], *, references: int, until: float | None = None) -> list[Verified]:
        """Compare each photo with its first matches (see `compared_first`); the answers come in the photos' order.

        Photos that are not compared by `until`, a time of `time.monotonic`, are late. Raises IndexDamagedError if the
        index's features are damaged.
        """
        if self.comparer is not None:
            return self._verified_elsewhere(self.comparer, photos, references, until)
        answer = partial(self._verified, references=references)
        if until is not None:
            return self._verified_until(until, photos, answer)
        if self.reader.workers <= 1 or len(photos) <= 1:
            return [answer(photo) for photo in photos]
        with ThreadPoolExecutor(self.reader.workers, thread_name_prefix="lookalike-verify") as pool:
            return list(pool.map(answer, photos))

    def _verified_until(
        self, until: float, photos: Sequence[Photo], answer: Callable[[Photo], Verified]
    ) -> list[Verified]:
        pool = ThreadPoolExecutor(self.reader.workers, thread_name_prefix="lookalike-verify")
        try:
            answers = [pool.submit(answer, photo) for photo in photos]
            return [_result(future, until) or _late(photo) for photo, future in zip(photos, answers, strict=True)]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _verified_elsewhere(
        self, comparer: Comparer, photos: Sequence[Photo], references: int, until: float | None
    ) -> list[Verified]:
        pairs = [self._pairs(photo, references) for photo in photos]
        asked = [self._asked(comparer, each, until) for each in pairs]
        return [self._answered(each, answer, until) for each, answer in zip(pairs, asked, strict=True)]

    def _asked(self, comparer: Comparer, pairs: _Pairs, until: float | None) -> Future[list[Verification]]:
        answer: Future[list[Verification]] = Future()
        if not pairs.due:
            answer.set_result([])
        elif until is None or time.monotonic() < until:
            try:
                answer = comparer.submit(self._picture(pairs.photo), list(pairs.due.values()))
            except ImageReadError as error:
                answer.set_exception(error)
        return answer

    def _answered(self, pairs: _Pairs, answer: Future[list[Verification]], until: float | None) -> Verified:
        try:
            found = _result(answer, until)
        except ImageReadError as error:
            return _not_compared(pairs.photo, error)
        return _late(pairs.photo) if found is None else self._complete(pairs, found)

    def _verified(self, photo: Photo, references: int) -> Verified:
        pairs = self._pairs(photo, references)
        try:
            found = compared(self._picture(photo), list(pairs.due.values())) if pairs.due else []
        except ImageReadError as error:
            return _not_compared(photo, error)
        return self._complete(pairs, found)

    def _pairs(self, photo: Photo, references: int) -> _Pairs:
        pairs = _Pairs(photo)
        for at in compared_first(photo.matches, references):
            reference = photo.matches[at].reference.id
            known = self.cache.get(self._key(photo, reference)) if self.cache is not None else None
            if known is not None:
                pairs.known[at] = Verification.from_dict(json.loads(known))
            elif (genuine := self.index.features(reference)) is not None:
                pairs.due[at] = genuine
        return pairs

    def _complete(self, pairs: _Pairs, found: Sequence[Verification]) -> Verified:
        """The photo's matches with what was known of them and what was `found` of those that were due."""
        photo, new = pairs.photo, dict(zip(pairs.due, found, strict=True))
        if self.cache is not None and new:
            self.cache.put({
                self._key(photo, photo.matches[at].reference.id): json.dumps(asdict(each)).encode()
                for at, each in new.items()
            })  # fmt: skip
        matches = list(photo.matches)
        for at, each in (pairs.known | new).items():
            matches[at] = replace(matches[at], verification=each)
        return Verified(tuple(matches))

    def _key(self, photo: Photo, reference: str) -> str:
        from lookalike.model.local import VERSION

        return f"{_KIND} {VERSION} {photo.sha256} {self.index.image_sha256(reference)}"

    def _picture(self, photo: Photo) -> NDArray[np.uint8]:
        from lookalike.model.features import grey_picture
        from lookalike.model.images import read_image

        self.opened.append(photo.sha256)
        source = self.held.get(photo.sha256, photo.image)
        read = read_image(source, limits=self.reader.limits, access=self.reader.access)
        if read.sha256 != photo.sha256:
            raise ImageReadError("it changed during the scan; scan again", source="", reason="changed")
        return grey_picture(read.image)


def compared_first(matches: Sequence[Match], references: int) -> list[int]:
    """Which of a photo's matches are compared point by point, by their place.

    They are the first `references` matches of the whole photo, and as many of its parts: what a part resembles doesn't
    take the place of what the whole does.

    >>> from lookalike.records import Reference
    >>> whole, part = (Match(Reference("r", "p", "b", "r.jpg"), 0.5, region=region) for region in (None, (0, 0, 1, 1)))
    >>> compared_first([part, part, whole, part, whole], 2)
    [0, 1, 2, 4]
    """
    left = {True: references, False: references}
    chosen = []
    for at, match in enumerate(matches):
        if left[match.region is None] > 0:
            left[match.region is None] -= 1
            chosen.append(at)
    return chosen


def as_compared(matches: Sequence[Match], reach: Reach) -> tuple[Match, ...]:
    """A listing's matches as a scan with that reach would have compared them, if they were compared as far as that."""
    photos: dict[str | None, list[int]] = {}  # the most similar first
    for at in sorted(range(len(matches)), key=lambda at: matches[at].compared_similarity, reverse=True):
        photos.setdefault(matches[at].image, []).append(at)
    kept: set[int] = set()
    for places in list(photos.values())[: reach.photos]:
        nearest = [matches[at] for at in places]
        if reach.similarity is None or nearest[0].compared_similarity >= reach.similarity:
            kept |= {places[at] for at in compared_first(nearest, reach.references)}
    return tuple(match if at in kept else replace(match, verification=None) for at, match in enumerate(matches))


def compared_pair(key: str) -> tuple[str, str]:
    """The sha256 of the photo and of the reference whose comparison is in a cache under that key.

    Both are empty for a key that this version doesn't use.
    """
    from lookalike.model.local import VERSION

    kind, version, photo, reference = (*key.split(" "), "", "", "")[:4]
    return (photo, reference) if (kind, version) == (_KIND, str(VERSION)) else ("", "")


def _result(answer: Future[_Result], until: float | None) -> _Result | None:
    """What comes by then, or None."""
    try:
        return answer.result(timeout=None if until is None else max(0.0, until - time.monotonic()))
    except TimeoutError:
        answer.cancel()
        return None


def _late(photo: Photo) -> Verified:
    return Verified(photo.matches, "was not compared point by point by the deadline; allow more time", late=True)


def _not_compared(photo: Photo, error: ImageReadError) -> Verified:
    return Verified(photo.matches, f"not compared point by point: {error}")
