"""The detector: an encoder, an index and a policy that belong together, ready to be asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .decision import PhotoMatches, Policy, decide, default_policy
from .errors import PolicyError
from .records import Finding, ImageSource, Listing, Match

if TYPE_CHECKING:
    from lookalike.index.embedding import EmbeddedPhoto, PhotoReader
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.index.vector_cache import VectorCache
    from lookalike.model.encoder import Encoder

_SEARCHED_TOGETHER = 64


@dataclass(frozen=True)
class Detector:
    """Flags look-alike listings. Safe to be used from several threads at once.

    `top` is how many products each finding's matches name. Raises EncoderMismatchError and PolicyError
    when the three don't belong together.
    """

    encoder: Encoder
    index: ReferenceIndex
    policy: Policy
    reader: PhotoReader
    top: int = 5

    def __post_init__(self) -> None:
        self.index.require(self.encoder.spec)
        bound = self.policy.weights_sha256
        if bound is not None and bound != self.encoder.spec.weights_sha256:
            raise PolicyError(
                f"policy {self.policy.name} is for an encoder with weights {bound[:8]}, but the index's is "
                f"{self.encoder.spec}; use the policy that was tuned on this index"
            )

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
    ) -> Detector:
        """Open an index folder with the encoder that it was built with.

        Without `policy` the one shipped for that encoder is used. `model` and `weights` are needed only
        when the index was built with `weights` of yours. `reader` says which remote photos may be read, by
        default none, and the bounds on pictures. Raises what loading index, encoder and policy raise.
        """
        from lookalike.index.embedding import PhotoReader
        from lookalike.index.reference_index import ReferenceIndex
        from lookalike.model.encoder import load_encoder

        loaded = ReferenceIndex.load(index)
        encoder = load_encoder(model or loaded.spec.name, weights=weights, device=device)
        loaded.require(encoder.spec)
        return cls(encoder, loaded, _policy(policy, encoder), reader or PhotoReader(), top)

    def check(self, listing: Listing) -> Finding:
        """Judge one listing. A photo that can't be read is told of in the finding, not raised."""
        return next(iter(replace(self, reader=replace(self.reader, workers=1)).stream([listing])))

    def check_many(self, listings: Iterable[Listing]) -> list[Finding]:
        """Judge listings; findings in the same order. Faster than `check` in a loop."""
        return list(self.stream(listings))

    def stream(self, listings: Iterable[Listing], *, cache: VectorCache | None = None) -> Iterator[Finding]:
        """Judge any number of listings in bounded memory; findings come in the listings' order.

        Pictures that `cache` has a vector for are not embedded again, and new ones are put there.
        """
        from lookalike.index.embedding import embed_photos

        waiting: deque[Listing] = deque()

        def images() -> Iterator[ImageSource]:
            for listing in listings:
                waiting.append(listing)
                # a listing without any photo takes its turn with no bytes, so that it needn't wait for others' photos
                yield from listing.images or (b"",)

        photos = embed_photos(images(), encoder=self.encoder, reader=self.reader, cache=cache)
        ready: list[tuple[Listing, list[EmbeddedPhoto]]] = []
        collected: list[EmbeddedPhoto] = []
        for photo in photos:
            if waiting[0].images:
                collected.append(photo)
            if len(collected) == len(waiting[0].images):
                ready.append((waiting.popleft(), collected))
                collected = []
            if len(ready) >= _SEARCHED_TOGETHER:
                yield from self._judge(ready)
                ready = []
        yield from self._judge(ready)

    def _judge(self, ready: Sequence[tuple[Listing, list[EmbeddedPhoto]]]) -> Iterator[Finding]:
        vectors = [photo.vector for _, photos in ready for photo in photos if photo.vector is not None]
        found: Iterator[tuple[Match, ...]] = iter(())
        if vectors:
            found = iter(self.index.search(np.stack(vectors), top=self.top))
        for listing, photos in ready:
            judged = [
                PhotoMatches(
                    image=_name(image),
                    matches=() if photo.vector is None else next(found),
                    hint=photo.hint,
                    error=photo.error,
                )
                for image, photo in zip(listing.images, photos, strict=True)
            ]
            yield decide(listing, judged, policy=self.policy, encoder=str(self.encoder.spec))


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
    return str(image) if isinstance(image, str | Path) else "(given as pixels)"
