"""From photos to matches: the nearest references of each photo, the likeliest compared point by point."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lookalike.cores import available_cores
from lookalike.errors import PolicyError, ReferenceIndexError
from lookalike.policy.terms import Reach
from lookalike.records import ImageSource, Listing, Match, photo_name

from .parts import joined_matches
from .verification import Photo, Verifier

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.index.embedding import EmbeddedPhoto, PhotoReader, Vector
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.index.vector_cache import VectorCache
    from lookalike.model.encoder import Encoder
    from lookalike.policy.cohort import Cohort, Level

NOT_COMPARED = Reach(references=0)
"""Compares no photo point by point."""

_SEARCHED_TOGETHER = 64


@dataclass(frozen=True)
class PhotoMatches:
    """One photo of a listing and its matches, best first; or, with `error`, why there are none.

    `harmless` holds the harmless photos nearest to the whole photo and to its parts, those with their region, if there
    are any; `sha256` is that of the photo's bytes. `late` says that there was no time to compare the photo point by
    point.
    """

    image: str
    matches: tuple[Match, ...] = ()
    harmless: tuple[Match, ...] = ()
    hint: str | None = None
    error: str | None = None
    sha256: str | None = None
    late: str | None = None


@dataclass(frozen=True)
class Seen:
    """A listing, the matches of its photos, and their vectors."""

    listing: Listing
    photos: tuple[PhotoMatches, ...]
    embedded: tuple[EmbeddedPhoto, ...]

    @property
    def strongest(self) -> tuple[Match, PhotoMatches] | None:
        """The most similar match and its photo, or None if no photo has a match."""
        matches = ((match, photo) for photo in self.photos for match in photo.matches)
        return max(matches, key=lambda pair: pair[0].compared_similarity, default=None)


@dataclass(frozen=True)
class Lookup:
    """Looks photos up in an index. Needs no policy. Several threads may use it at once.

    Each photo gets the `top` products nearest to it, or as many as `reach` compares if that is more. `reach` says which
    photos are compared point by point, with how many references, and how many parts of a photo are looked up as well;
    by default none are. If its `similarity` is None,
    all photos are compared. The index must hold local features for that. With a `cohort`, matches carry a normalised
    similarity. `harmless` holds photos that resemble genuine ones and yet are harmless.

    One call reads, embeds, searches and compares in at most `threads` threads: by default as many as the process has
    cores, and `Detector.check` then works in one. The process's own settings of torch and OpenMP stay as they are.

    Raises EncoderMismatchError if an index was built with another encoder, ReferenceIndexError if it holds no
    references, since nothing could be compared, PolicyError for a cohort of another dimension, and ValueError for fewer
    than one thread.
    """

    encoder: Encoder
    index: ReferenceIndex
    reader: PhotoReader
    top: int = 5
    harmless: ReferenceIndex | None = None
    reach: Reach = NOT_COMPARED
    cohort: Cohort | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.threads is not None:
            _limit(self, self.threads)
        self.index.require(self.encoder.spec)
        if not len(self.index):
            raise ReferenceIndexError("the index holds no references; add some with: lookalike add")
        if self.harmless is not None:
            self.harmless.require(self.encoder.spec)
        if self.cohort is not None and self.cohort.vectors.shape[1] != self.encoder.spec.dim:
            raise PolicyError(
                f"the cohort's vectors have {self.cohort.vectors.shape[1]} dimensions, but the encoder's have "
                f"{self.encoder.spec.dim}; tune the policy again with this encoder"
            )

    @classmethod
    def open(
        cls,
        index: str | Path,
        *,
        model: str | None = None,
        weights: str | Path | None = None,
        device: str | None = None,
        reader: PhotoReader | None = None,
        top: int = 5,
        reach: Reach = NOT_COMPARED,
        threads: int | None = None,
    ) -> Lookup:
        """Open an index folder with the encoder that it was built with.

        If the index is adapted, so is the encoder. `model` and `weights` are needed only if the index was built with
        weights of your own. `reader` sets which remote photos may be read (by default none) and the limits on pictures.
        Raises what loading the index and the encoder raise.
        """
        from lookalike.index.build import load_harmless
        from lookalike.index.embedding import PhotoReader
        from lookalike.index.reference_index import ReferenceIndex
        from lookalike.model.loading import load_encoder_of

        loaded = ReferenceIndex.load(index)
        encoder = load_encoder_of(loaded.spec, loaded.adapter, model=model, weights=weights, device=device)
        harmless = load_harmless(index, adapter=loaded.adapter)
        return cls(encoder, loaded, reader or PhotoReader(), top, harmless, reach, threads=threads)

    def look_up(self, images: Iterable[ImageSource]) -> Iterator[PhotoMatches]:
        """The matches of each photo, the nearest products first, in the order of `images`.

        Raises TypeError for what is no picture, and for one picture in place of several.
        """
        require_several(images, "images", "pictures")
        listings = (Listing("", (image,)) for image in images)
        return (seen.photos[0] for seen in self.see(listings))

    def see(
        self,
        listings: Iterable[Listing],
        *,
        cache: VectorCache | None = None,
        verifier: Verifier | None = None,
        until: float | None = None,
    ) -> Generator[Seen, None, None]:
        """The matches of listings' photos, in order and in bounded memory.

        Photos whose vector is in `cache` are not embedded again, and new vectors go there. What isn't done by `until`,
        a time of `time.monotonic`, is reported as an error or as late.
        """
        used = verifier or Verifier(self.index, self.reader)
        ready: list[tuple[Listing, list[EmbeddedPhoto]]] = []
        with closing(self._embedded(listings, cache, until)) as photos:
            for embedded in photos:
                ready.append(embedded)
                if len(ready) >= _SEARCHED_TOGETHER:
                    yield from self._searched(ready, used, until)
                    ready = []
        yield from self._searched(ready, used, until)

    def see_again(
        self,
        known: Sequence[tuple[Listing, Sequence[EmbeddedPhoto]]],
        *,
        verifier: Verifier | None = None,
        until: float | None = None,
    ) -> Iterator[Seen]:
        """The same for listings whose photos are embedded already.

        A picture is opened only to compare it point by point with a reference that it was not compared with before.
        """
        used = verifier or Verifier(self.index, self.reader)
        for start in range(0, len(known), _SEARCHED_TOGETHER):
            part = [(listing, list(photos)) for listing, photos in known[start : start + _SEARCHED_TOGETHER]]
            yield from self._searched(part, used, until)

    @property
    def looked_at(self) -> int:
        """How many products each photo is matched with."""
        return max(self.top, self.reach.references)

    def _embedded(
        self, listings: Iterable[Listing], cache: VectorCache | None, until: float | None
    ) -> Generator[tuple[Listing, list[EmbeddedPhoto]], None, None]:
        """Each listing with its photos, embedded."""
        from lookalike.index.embedding import embed_photos

        waiting: deque[Listing] = deque()

        def images() -> Iterator[ImageSource]:
            for listing in (_first_photos(each, self.reader.most_photos) for each in listings):
                waiting.append(listing)
                # no bytes stand for a listing without photos, so that it keeps its turn and waits for nobody
                yield from listing.images or (b"",)

        collected: list[EmbeddedPhoto] = []
        photos = embed_photos(images(), encoder=self.encoder, reader=self.reader, cache=cache, until=until,
                              parts=self.reach.parts)  # fmt: skip
        for photo in photos:
            if waiting[0].images:
                collected.append(photo)
            if len(collected) == len(waiting[0].images):
                yield waiting.popleft(), collected
                collected = []

    def _searched(
        self, ready: Sequence[tuple[Listing, list[EmbeddedPhoto]]], verifier: Verifier, until: float | None = None
    ) -> list[Seen]:
        """Each listing with the matches of its photos."""
        vectors = [vector for _, photos in ready for photo in photos for vector in photo_vectors(photo)]
        found = iter(self._matches(np.stack(vectors)) if vectors else ())
        searched: list[tuple[Listing, list[PhotoMatches]]] = []
        for listing, photos in ready:
            seen = []
            for image, photo in zip(listing.images, photos, strict=True):
                matches, harmless = ((), ()) if photo.vector is None else self._joined(photo, found)
                seen.append(PhotoMatches(photo_name(image, photo.sha256), matches, harmless, photo.hint, photo.error,
                                         photo.sha256))  # fmt: skip
            searched.append((listing, seen))
        self._verify(searched, verifier, until)
        return [
            Seen(listing, tuple(photos), tuple(embedded))
            for (listing, photos), (_, embedded) in zip(searched, ready, strict=True)
        ]

    def _joined(
        self, photo: EmbeddedPhoto, found: Iterator[tuple[tuple[Match, ...], Match | None]]
    ) -> tuple[tuple[Match, ...], tuple[Match, ...]]:
        """The matches of a photo, and the harmless photos nearest to it, from what was found for its vectors."""
        matches, nearest = next(found)
        harmless = [] if nearest is None else [nearest]
        parts = []
        for part in photo.parts:
            own, nearest = next(found)
            parts.append((part.region, own))
            harmless += [] if nearest is None else [replace(nearest, region=part.region)]
        if parts:
            matches = joined_matches(matches, parts, most=self.looked_at)
        return matches, tuple(harmless)

    def _verify(
        self, searched: Sequence[tuple[Listing, list[PhotoMatches]]], verifier: Verifier, until: float | None
    ) -> None:
        """Compare the photos in reach point by point, and put the results in their matches' place."""
        due = [(listing.images[at], photos, at) for listing, photos in searched for at in self._in_reach(photos)]
        asked = [Photo(image, photos[at].sha256 or "", photos[at].matches) for image, photos, at in due]
        answers = verifier.verify(asked, references=self.reach.references, until=until)
        for (_, photos, at), answer in zip(due, answers, strict=True):
            if answer.late:
                photos[at] = replace(photos[at], late=f"{photos[at].image}: {answer.trouble}")
                continue
            hint = "; ".join(filter(None, [photos[at].hint, answer.trouble])) or None
            photos[at] = replace(photos[at], matches=answer.matches, hint=hint)

    def _in_reach(self, photos: Sequence[PhotoMatches]) -> list[int]:
        """Which of a listing's photos are compared point by point."""
        if not self.reach.references or not self.index.has_features:
            return []
        nearest = {
            at: max(match.compared_similarity for match in photo.matches)
            for at, photo in enumerate(photos)
            if photo.matches
        }
        least = self.reach.similarity
        near = [(-value, at) for at, value in nearest.items() if least is None or value >= least]
        return [at for _, at in sorted(near)[: self.reach.photos]]

    def _matches(self, vectors: NDArray[np.float32]) -> Iterator[tuple[tuple[Match, ...], Match | None]]:
        """For each vector (n, width) the nearest products, and the nearest harmless photo."""
        from lookalike.index.comparison import threads_up_to

        with threads_up_to(self.threads or available_cores()):
            found = self.index.search(vectors, top=self.looked_at)
            harmless: list[Match | None] = [None] * len(found)
            if self.harmless is not None and len(self.harmless):
                harmless = [nearest[0] for nearest in self.harmless.search(vectors, top=1)]
        if self.cohort is not None:
            found = self._normalised(vectors, found, self.cohort)
        return iter([(with_margins(m), h) for m, h in zip(found, harmless, strict=True)])

    def _normalised(
        self, vectors: NDArray[np.float32], found: Sequence[tuple[Match, ...]], cohort: Cohort
    ) -> list[tuple[Match, ...]]:
        """The same matches, each with its normalised similarity."""
        flat = [match for matches in found for match in matches]
        own = self.encoder.spec.parts(vectors)[0]
        photos = cohort.level(own).of(np.repeat(np.arange(len(found)), [len(matches) for matches in found]))
        references = self._reference_level(flat) if cohort.method == "s-norm" else None
        similarity = np.array([match.similarity for match in flat], np.float32)
        normalised = iter(cohort.normalise(similarity, photos, references).tolist())
        return [tuple(replace(match, normalised_similarity=next(normalised)) for match in m) for m in found]

    def _reference_level(self, matches: Sequence[Match]) -> Level:
        """How near the matches' references are to the cohort. Raises PolicyError for one that was added since."""
        rows, level = self._reference_levels
        try:
            return level.of([rows[match.reference.id] for match in matches])
        except KeyError as error:
            raise PolicyError(f"reference {error} was added after the index was opened; open it again") from error

    @cached_property
    def _reference_levels(self) -> tuple[dict[str, int], Level]:
        """Each reference's row, and how near the rows are to the cohort."""
        assert self.cohort is not None, "asked for with a cohort only"
        names = self.index.catalogue["reference_id"].to_pylist()
        similarity_part = self.encoder.spec.parts(self.index.vectors)[0]
        return dict(zip(names, range(len(names)), strict=True)), self.cohort.level(similarity_part)


def with_margins(matches: tuple[Match, ...]) -> tuple[Match, ...]:
    """The matches of one photo, each with its leads, by similarity and by look, over the best of the others.

    A lead is negative if the match trails.
    """
    margins = _leads([match.compared_similarity for match in matches])
    looks = [match.look for match in matches if match.look is not None]
    look_margins = _leads(looks) if len(looks) == len(matches) else [None] * len(matches)
    return tuple(
        replace(match, margin=margin, look_margin=look_margin)
        for match, margin, look_margin in zip(matches, margins, look_margins, strict=True)
    )


def _leads(values: Sequence[float]) -> list[float]:
    """How far each of the values is above the greatest of the others; 0 for a value alone.

    >>> _leads([0.75, 0.5, 0.25])
    [0.25, -0.25, -0.5]
    """
    return [value - max([*values[:at], *values[at + 1 :]], default=value) for at, value in enumerate(values)]


def photo_vectors(photo: EmbeddedPhoto) -> list[Vector]:
    """The vectors of a photo and its parts; none if it could not be read."""
    return [] if photo.vector is None else [photo.vector, *(part.vector for part in photo.parts)]


def require_several(given: object, name: str, expected: str) -> None:
    """Raise TypeError unless this can be several things: no text, bytes, mapping, array or single record."""
    alone = isinstance(given, str | bytes | bytearray | Mapping | Listing) or getattr(given, "ndim", 1) != 1
    if alone or not isinstance(given, Iterable):
        raise TypeError(f"{name} is {type(given).__name__}, expected a list or another iterable of {expected}")


def _limit(lookup: Lookup, threads: int) -> None:
    """Have the encoder and the reader of a new lookup use so many threads at most."""
    from lookalike.model.encoder import in_threads

    if threads < 1:
        raise ValueError(f"threads is {threads}, expected 1 or more")
    reader = replace(lookup.reader, workers=min(lookup.reader.workers, threads))
    object.__setattr__(lookup, "reader", reader)
    object.__setattr__(lookup, "encoder", in_threads(lookup.encoder, threads))


def _first_photos(listing: Listing, most: int) -> Listing:
    """The listing with the photos that are looked at; if there are others, its error says so."""
    if len(listing.images) <= most:
        return listing
    further = f"has {len(listing.images)} photos, of which the first {most} were compared"
    return replace(listing, images=listing.images[:most], error="; ".join(filter(None, [listing.error, further])))
