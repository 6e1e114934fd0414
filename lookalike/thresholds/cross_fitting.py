"""Labelled photos looked up by a map that has not seen them, so that thresholds may rest on them.

On labels that it was fitted to, an adapter does better than on others, so no promise may rest on what it says of them.
But each of its folds was fitted without a fifth of them (see `lookalike.model.adapter.Fold`). What a fold says of those
is about what the adapter says of photos of products that it doesn't know (Stone, "Cross-validatory choice and
assessment of statistical predictions", 1974). No theorem makes the thresholds hold for the adapter itself, which was
fitted to more labels than its folds; scripts/benchmarks/adapt.py counts how often they do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from lookalike.detection.verification import Verifier
from lookalike.errors import PolicyError
from lookalike.model.adapter import AdaptedEncoder, Adapter, unadapted
from lookalike.policy.tuned_on import TunedOn
from lookalike.records import Listing

if TYPE_CHECKING:
    from lookalike.detection.lookup import Lookup, PhotoMatches
    from lookalike.index.embedding import EmbeddedPhoto
    from lookalike.model.encoder import Vectors
    from lookalike.policy.cohort import Cohort

_TOGETHER = 320  # photos embedded before they are looked up: those of a fold are then about as many as one search takes


@dataclass(frozen=True)
class CrossFittedLookup:
    """Looks photos up as `lookup` does, but those that its adapter was fitted to by the fold that leaves them out.

    Query and references are mapped by the fold; all else is as in a search of the index. `background` are the vectors
    of the lookup's cohort as the encoder makes them, float32 (n, width), None if they aren't known.
    """

    lookup: Lookup
    background: Vectors | None = None

    def look_up(
        self, images: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> Iterator[tuple[PhotoMatches, bool]]:
        """The matches of each photo, in order, and whether it is one that the adapter was fitted to.

        `progress` is called with how many photos were just embedded. Raises PolicyError if there is a cohort for such a
        photo, and no `background`.
        """
        from lookalike.index.embedding import embed_photos

        told = progress or (lambda _: None)
        if self.lookup.index.adapter is None:
            for seen in self.lookup.look_up(images):
                told(1)
                yield seen, False
            return
        encoder, reader = unadapted(self.lookup.encoder), self.lookup.reader
        for batch in (images[start : start + _TOGETHER] for start in range(0, len(images), _TOGETHER)):
            photos = []
            for photo in embed_photos(batch, encoder=encoder, reader=reader, parts=self.lookup.reach.parts):
                told(1)
                photos.append(photo)
            folds = [self._fold_of(image, photo) for image, photo in zip(batch, photos, strict=True)]
            found: dict[int, PhotoMatches] = {}
            for fold in set(folds):
                rows = [row for row, own in enumerate(folds) if own == fold]
                by_fold = self._seen(fold, [batch[row] for row in rows], [photos[row] for row in rows])
                found.update(zip(rows, by_fold, strict=True))
            yield from ((found[row], fold is not None) for row, fold in enumerate(folds))

    def _seen(self, fold: int | None, images: Sequence[str], photos: Sequence[EmbeddedPhoto]) -> Iterator[PhotoMatches]:
        """These photos' matches by that fold, None for the adapter itself."""
        from lookalike.index.embedding import adapted_photo

        lookup = self.lookup if fold is None else self._by_fold[fold]
        adapter = lookup.index.adapter
        assert adapter is not None, "asked for in an adapted index only"
        known = [
            (Listing("", (image,)), [adapted_photo(photo, adapter)])
            for image, photo in zip(images, photos, strict=True)
        ]
        return (seen.photos[0] for seen in lookup.see_again(known, verifier=self._verifier))

    @cached_property
    def _by_fold(self) -> list[Lookup]:
        """The lookup through each fold."""
        lookup, adapter = self.lookup, self.lookup.index.adapter
        if lookup.cohort is not None and self.background is None:
            raise PolicyError(
                "the policy in use normalises similarities by a cohort, and the index's adapter was fitted to some of "
                "the labels; give the cohort's listings with --cohort, so that they can be mapped as those are"
            )
        through = [Adapter(adapter.spec, fold.matrix, fold.offset) for fold in adapter.folds] if adapter else []
        return [
            replace(
                lookup,
                encoder=AdaptedEncoder(unadapted(lookup.encoder), each),
                index=lookup.index.seen_through(each),
                harmless=None,
                cohort=self._cohort(each),
            )
            for each in through
        ]

    def _cohort(self, adapter: Adapter) -> Cohort | None:
        """The lookup's cohort as that adapter maps it."""
        if self.lookup.cohort is None or self.background is None:
            return None
        return replace(self.lookup.cohort, vectors=adapter.spec.parts(adapter.map(self.background))[0])

    def _fold_of(self, image: str, photo: EmbeddedPhoto) -> int | None:
        """The fold that leaves the photo out, by content or else by place; None if the adapter was not fitted to it."""
        for name in (photo.sha256, image):
            for number, left_out in enumerate(self._left_out):
                if name in left_out:
                    return number
        return None

    @cached_property
    def _left_out(self) -> list[TunedOn]:
        adapter = self.lookup.index.adapter
        return [TunedOn(fold.left_out) for fold in adapter.folds] if adapter is not None else []

    @cached_property
    def _verifier(self) -> Verifier:
        return Verifier(self.lookup.index, self.lookup.reader)
