"""The detector: an encoder, an index and a policy that belong together, ready to be asked."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lookalike.errors import ExpiredPolicyWarning, PolicyError
from lookalike.policy.cohort import Level
from lookalike.policy.policy import Policy, default_policy
from lookalike.records import NAMELESS, Finding, ImageSource, Listing, Match

from .decision import PhotoMatches, decide
from .protection import protect
from .verification import Photo, Verifier

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.index.blobs import BlobCache
    from lookalike.index.embedding import EmbeddedPhoto, PhotoReader
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.index.vector_cache import VectorCache
    from lookalike.model.encoder import Encoder
    from lookalike.policy.cohort import Cohort
    from lookalike.rights.rights import Rights

_SEARCHED_TOGETHER = 64


@dataclass(frozen=True)
class Seen:
    """A listing, what its photos are alike to, and their vectors."""

    listing: Listing
    photos: tuple[PhotoMatches, ...]
    embedded: tuple[EmbeddedPhoto, ...]


@dataclass(frozen=True)
class Detector:
    """Flags look-alike listings. Safe to be used from several threads at once.

    `top` is how many products are looked at for each photo, at least; photos in the policy's reach are compared point
    by point with the nearest of them, where the index has their local features. `harmless` holds photos that are alike
    to genuine ones and yet harmless. With `rights` findings are what they have them be on `day`, by default the day
    that they are made. Raises EncoderMismatchError and PolicyError when these don't belong together,
    and warns with ExpiredPolicyWarning of a policy that has expired.
    """

    encoder: Encoder
    index: ReferenceIndex
    policy: Policy
    reader: PhotoReader
    top: int = 5
    harmless: ReferenceIndex | None = None
    rights: Rights | None = None
    day: date | None = None

    def __post_init__(self) -> None:
        self.index.require(self.encoder.spec)
        if self.harmless is not None:
            self.harmless.require(self.encoder.spec)
        bound = self.policy.weights_sha256
        if bound is not None and bound != self.encoder.spec.weights_sha256:
            raise PolicyError(
                f"policy {self.policy.name} is for an encoder with weights {bound[:8]}, but the index's is "
                f"{self.encoder.spec}; use the policy that was tuned on this index"
            )
        if self.policy.index_digest is not None and self.policy.index_digest != self.index.digest:
            raise PolicyError(
                f"policy {self.policy.name} was tuned on the index {self.policy.index_digest[:8]}, but this one is "
                f"{self.index.digest[:8]}; tune it again, or take it over with: lookalike policy bind"
            )
        if self.policy.fusion is not None and len(self.index) and not self.index.has_features:
            raise PolicyError(
                f"policy {self.policy.name} decides by the points that agree as well, but the index has no local "
                "features; build it again with them, or give a policy without [fusion]"
            )
        if self.policy.cohort is not None and self.policy.cohort.vectors.shape[1] != self.encoder.spec.dim:
            raise PolicyError(f"the cohort of policy {self.policy.name} is {self.policy.cohort.vectors.shape[1]} wide, "
                              f"but the encoder's vectors {self.encoder.spec.dim}; tune it again")  # fmt: skip
        if self.policy.expired(date.today()):
            warnings.warn(f"policy {self.policy.name} expired on {self.policy.expires}; its promise holds no longer, "
                          "tune it again on newer labels", ExpiredPolicyWarning, stacklevel=3)  # fmt: skip

    @classmethod
    def open(
        cls,
        index: str | Path,
        *,
        policy: str | Path | Policy | None = None,
        model: str | None = None,
        weights: str | Path | None = None,
        device: str | None = None,
        reader: PhotoReader | None = None,
        top: int = 5,
        rights: Rights | None = None,
        day: date | None = None,
    ) -> Detector:
        """Open an index folder with the encoder that it was built with.

        Without `policy` the one shipped for that encoder is used. `model` and `weights` are needed only
        when the index was built with `weights` of yours. `reader` says which remote photos may be read, by
        default none, and the bounds on pictures. Raises what loading index, encoder and policy raise.
        """
        from lookalike.index.build import load_harmless
        from lookalike.index.embedding import PhotoReader
        from lookalike.index.reference_index import ReferenceIndex
        from lookalike.model.encoder import load_encoder

        loaded = ReferenceIndex.load(index)
        encoder = load_encoder(model or loaded.spec.name, weights=weights, device=device)
        loaded.require(encoder.spec)
        harmless = load_harmless(index)
        used = _policy(policy, encoder)
        return cls(encoder, loaded, used, reader or PhotoReader(), top, harmless, rights, day)

    def check(self, listing: Listing) -> Finding:
        """Judge one listing. A photo that can't be read is told of in the finding, not raised."""
        return next(self._stream([listing], None, replace(self.reader, workers=1)))

    def check_many(self, listings: Iterable[Listing]) -> list[Finding]:
        """Judge listings; findings in the same order. Faster than `check` in a loop."""
        return list(self.stream(listings))

    def stream(
        self,
        listings: Iterable[Listing],
        *,
        cache: VectorCache | None = None,
        verified: BlobCache | None = None,
    ) -> Iterator[Finding]:
        """Judge any number of listings in bounded memory; findings come in the listings' order.

        Pictures that `cache` has a vector for are not embedded again, and new ones are put there; the same for
        pairs that were compared point by point and `verified`.
        """
        return self._stream(listings, cache, self.reader, verified)

    def look_up(self, images: Iterable[ImageSource]) -> Iterator[PhotoMatches]:
        """What each photo is alike to, the nearest products first, compared point by point where the policy says so.

        In order, and without a verdict: that is for `decide`, or for whoever tunes thresholds.
        """
        listings = (Listing("", (image,)) for image in images)
        return (seen.photos[0] for seen in self.see(listings))

    def see(
        self,
        listings: Iterable[Listing],
        *,
        cache: VectorCache | None = None,
        verifier: Verifier | None = None,
    ) -> Iterator[Seen]:
        """What the photos of listings are alike to, in order and in bounded memory; `findings` judges it."""
        return self._looked_up(listings, cache, self.reader, verifier or Verifier(self.index, self.reader))

    def see_again(
        self, known: Sequence[tuple[Listing, Sequence[EmbeddedPhoto]]], *, verifier: Verifier | None = None
    ) -> Iterator[Seen]:
        """The same for listings whose photos were embedded before: no picture is opened, but to compare it by points
        with references that it was not compared with yet."""
        for start in range(0, len(known), _SEARCHED_TOGETHER):
            part = [(listing, list(photos)) for listing, photos in known[start : start + _SEARCHED_TOGETHER]]
            yield from self._searched(part, verifier or Verifier(self.index, self.reader))

    def findings(self, seen: Iterable[Seen]) -> Iterator[Finding]:
        """Judge listings by what their photos are alike to, in order."""
        found = map(self._finding, seen)
        if self.rights is None:
            return found
        return protect(found, self.rights, claims=self.policy.claims, day=self.day)

    def _finding(self, seen: Seen) -> Finding:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        found = decide(seen.listing, seen.photos, policy=self.policy, encoder=str(self.encoder.spec))
        return replace(found, scanned_at=now)

    def _stream(
        self,
        listings: Iterable[Listing],
        cache: VectorCache | None,
        reader: PhotoReader,
        verified: BlobCache | None = None,
    ) -> Iterator[Finding]:
        return self.findings(self._looked_up(listings, cache, reader, Verifier(self.index, reader, verified)))

    def _looked_up(
        self,
        listings: Iterable[Listing],
        cache: VectorCache | None,
        reader: PhotoReader,
        verifier: Verifier,
    ) -> Iterator[Seen]:
        from lookalike.index.embedding import embed_photos

        waiting: deque[Listing] = deque()

        def images() -> Iterator[ImageSource]:
            for listing in listings:
                waiting.append(listing)
                # a listing without any photo takes its turn with no bytes, so that it needn't wait for others' photos
                yield from listing.images or (b"",)

        photos = embed_photos(images(), encoder=self.encoder, reader=reader, cache=cache)
        ready: list[tuple[Listing, list[EmbeddedPhoto]]] = []
        collected: list[EmbeddedPhoto] = []
        for photo in photos:
            if waiting[0].images:
                collected.append(photo)
            if len(collected) == len(waiting[0].images):
                ready.append((waiting.popleft(), collected))
                collected = []
            if len(ready) >= _SEARCHED_TOGETHER:
                yield from self._searched(ready, verifier)
                ready = []
        yield from self._searched(ready, verifier)

    def _searched(self, ready: Sequence[tuple[Listing, list[EmbeddedPhoto]]], verifier: Verifier) -> list[Seen]:
        """Each listing with what its photos are alike to."""
        vectors = [photo.vector for _, photos in ready for photo in photos if photo.vector is not None]
        found = iter(self._matches(np.stack(vectors)) if vectors else ())
        searched: list[tuple[Listing, list[PhotoMatches]]] = []
        for listing, photos in ready:
            seen = []
            for image, photo in zip(listing.images, photos, strict=True):
                matches, harmless = ((), None) if photo.vector is None else next(found)
                seen.append(PhotoMatches(_name(image), matches, harmless, photo.hint, photo.error, photo.sha256))
            searched.append((listing, seen))
        self._verify(searched, verifier)
        return [
            Seen(listing, tuple(photos), tuple(embedded))
            for (listing, photos), (_, embedded) in zip(searched, ready, strict=True)
        ]

    def _verify(self, searched: Sequence[tuple[Listing, list[PhotoMatches]]], verifier: Verifier) -> None:
        """Compare the photos in reach point by point, and put what was found in their matches' place."""
        due = [
            (listing.images[at], photos, at) for listing, photos in searched for at in self._in_reach(listing, photos)
        ]
        asked = [Photo(image, photos[at].sha256 or "", photos[at].matches) for image, photos, at in due]
        answers = verifier.verify(asked, references=self.policy.reach.references)
        for (_, photos, at), answer in zip(due, answers, strict=True):
            hint = "; ".join(filter(None, [photos[at].hint, answer.trouble])) or None
            photos[at] = replace(photos[at], matches=answer.matches, hint=hint)

    def _in_reach(self, listing: Listing, photos: Sequence[PhotoMatches]) -> list[int]:
        """Which of a listing's photos are compared point by point."""
        reach = self.policy.reach
        if not reach.references or not self.index.has_features:
            return []

        def needed(match: Match) -> float:
            if reach.similarity is not None:
                return reach.similarity
            return self.policy.scope(match.reference.brand, listing.territory).review

        near = [
            (-max(match.compared_similarity for match in photo.matches), at)
            for at, photo in enumerate(photos)
            if any(match.compared_similarity >= needed(match) for match in photo.matches)
        ]
        return [at for _, at in sorted(near)[: reach.photos]]

    @property
    def looked_at(self) -> int:
        """How many products are looked at for each photo."""
        return max(self.top, self.policy.reach.references)

    def _matches(self, vectors: NDArray[np.float32]) -> Iterator[tuple[tuple[Match, ...], Match | None]]:
        """For each vector (n, dim) the nearest products, and the nearest harmless photo."""
        found = self.index.search(vectors, top=self.looked_at)
        if self.policy.cohort is not None:
            found = self._normalised(vectors, found, self.policy.cohort)
        found = [_with_margins(matches) for matches in found]
        if self.harmless is None or not len(self.harmless):
            return ((matches, None) for matches in found)
        return ((m, h[0]) for m, h in zip(found, self.harmless.search(vectors, top=1), strict=True))

    def _normalised(
        self, vectors: NDArray[np.float32], found: Sequence[tuple[Match, ...]], cohort: Cohort
    ) -> list[tuple[Match, ...]]:
        """The same matches, each with its normalised similarity."""
        flat = [match for matches in found for match in matches]
        photos = cohort.level(vectors).of(np.repeat(np.arange(len(found)), [len(matches) for matches in found]))
        references = self._reference_level(flat) if cohort.method == "s-norm" else None
        similarity = np.array([match.similarity for match in flat], np.float32)
        normalised = iter(cohort.normalise(similarity, photos, references).tolist())
        return [tuple(replace(match, normalised_similarity=next(normalised)) for match in m) for m in found]

    def _reference_level(self, matches: Sequence[Match]) -> Level:
        """How near the matches' references are to the cohort. Raises PolicyError for one added since."""
        try:
            return self._reference_levels[1].of([self._reference_levels[0][match.reference.id] for match in matches])
        except KeyError as error:
            raise PolicyError(f"reference {error} was added after this detector was opened; open it again") from error

    @cached_property
    def _reference_levels(self) -> tuple[dict[str, int], Level]:
        """Each reference's row, and how near the rows are to the cohort."""
        assert self.policy.cohort is not None, "asked for with a cohort only"
        names = self.index.catalogue["reference_id"].to_pylist()
        return dict(zip(names, range(len(names)), strict=True)), self.policy.cohort.level(self.index.vectors)


def _with_margins(matches: tuple[Match, ...]) -> tuple[Match, ...]:
    """The matches of one photo, each with how much more alike it is than the most alike of the others."""
    values = [match.compared_similarity for match in matches]
    return tuple(
        replace(match, margin=value - max(values[:at] + values[at + 1 :], default=value))
        for at, (match, value) in enumerate(zip(matches, values, strict=True))
    )


def _policy(policy: str | Path | Policy | None, encoder: Encoder) -> Policy:
    if isinstance(policy, Policy):
        return policy
    if policy is not None:
        return Policy.load(policy)
    shipped = default_policy(encoder.spec.weights_sha256)
    if shipped is None:
        raise PolicyError(
            f"no thresholds are known for {encoder.spec}, because similarities of another encoder mean "
            "something else; give a policy.toml with thresholds set on labelled listings of yours"
        )
    return shipped


def _name(image: ImageSource) -> str:
    return str(image) if isinstance(image, str | Path) else NAMELESS
