"""Photos compared point by point with the few references nearest to them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from lookalike.cores import one_core_each
from lookalike.errors import ImageReadError
from lookalike.records import ImageSource, Match, Verification

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

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
class Verifier:
    """Compares photos with their nearest references, several at a time. Pairs in `cache` are not compared again.

    Each photo is read once more, and must still have the bytes that were embedded. `opened` lists the sha256 of those.
    `held` has the bytes of photos by their sha256, which spares reading them again. With a `comparer`, which uses no
    cache, this thread does no more than that.
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

        def answer(photo: Photo) -> Verified:
            with one_core_each():
                return self._verified(photo, references)

        if self.comparer is not None:
            asked = [self._asked(self.comparer, photo, references, until) for photo in photos]
            return [_answered(photo, *each, until) for photo, each in zip(photos, asked, strict=True)]
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

    def _asked(
        self, comparer: Comparer, photo: Photo, references: int, until: float | None
    ) -> tuple[list[int], Future[list[Verification]]]:
        """The places of the matches that the photo is compared with, and what that will say."""
        stored = {at: self.index.features(photo.matches[at].reference.id)
                  for at in compared_first(photo.matches, references)}  # fmt: skip
        genuine = {at: features for at, features in stored.items() if features is not None}
        answer: Future[list[Verification]] = Future()
        if not genuine:
            answer.set_result([])
        elif until is None or time.monotonic() < until:
            try:
                answer = comparer.submit(self._picture(photo), list(genuine.values()))
            except ImageReadError as error:
                answer.set_exception(error)
        return list(genuine), answer

    def _verified(self, photo: Photo, references: int) -> Verified:
        listing = _Lazy(lambda: self._features(photo))
        matches, new = list(photo.matches), dict[str, bytes]()
        try:
            for at in compared_first(matches, references):
                found = self._compare(matches[at].reference.id, photo, listing, new)
                matches[at] = replace(matches[at], verification=found)
        except ImageReadError as error:
            return _not_compared(photo, error)
        if self.cache is not None and new:
            self.cache.put(new)
        return Verified(tuple(matches))

    def _compare(self, reference: str, photo: Photo, listing: _Lazy, new: dict[str, bytes]) -> Verification | None:
        """What comparing the photo with that reference says; if that was not in the cache, it is put into `new`."""
        from lookalike.model.local import VERSION, verify

        key = f"{_KIND} {VERSION} {photo.sha256} {self.index.image_sha256(reference)}"
        known = self.cache.get(key) if self.cache is not None else None
        if known is not None:
            return Verification.from_dict(json.loads(known))
        genuine = self.index.features(reference)
        if genuine is None:
            return None
        found = verify(genuine, listing.features) or NOTHING
        new[key] = json.dumps(asdict(found)).encode()
        return found

    def _features(self, photo: Photo) -> LocalFeatures:
        from lookalike.model.features import local_features

        return local_features(self._image(photo))

    def _picture(self, photo: Photo) -> NDArray[np.uint8]:
        from lookalike.model.features import grey_picture

        return grey_picture(self._image(photo))

    def _image(self, photo: Photo) -> Image.Image:
        from lookalike.model.images import read_image

        self.opened.append(photo.sha256)
        source = self.held.get(photo.sha256, photo.image)
        read = read_image(source, limits=self.reader.limits, access=self.reader.access)
        if read.sha256 != photo.sha256:
            raise ImageReadError("it changed during the scan; scan again", source="", reason="changed")
        return read.image


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


def _answered(photo: Photo, places: list[int], answer: Future[list[Verification]], until: float | None) -> Verified:
    """The photo's matches, those in `places` with what the answer says of them."""
    try:
        found = _result(answer, until)
    except ImageReadError as error:
        return _not_compared(photo, error)
    if found is None:
        return _late(photo)
    matches = list(photo.matches)
    for at, each in zip(places, found, strict=True):
        matches[at] = replace(matches[at], verification=each)
    return Verified(tuple(matches))


def _late(photo: Photo) -> Verified:
    return Verified(photo.matches, "was not compared point by point by the deadline; allow more time", late=True)


def _not_compared(photo: Photo, error: ImageReadError) -> Verified:
    return Verified(photo.matches, f"not compared point by point: {error}")


class _Lazy:
    """The features of the listing's photo, computed when the first comparison needs them."""

    def __init__(self, compute: Callable[[], LocalFeatures]) -> None:
        self._compute = compute
        self._features: LocalFeatures | None = None

    @property
    def features(self) -> LocalFeatures:
        if self._features is None:
            self._features = self._compute()
        return self._features
