"""The detector: a lookup, a policy and the rights that count, which turn listings into findings."""

from __future__ import annotations

import time
import warnings
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.errors import ChangedIndexWarning, ExpiredPolicyWarning, PolicyError, PolicyWarning
from lookalike.policy.policy import Policy
from lookalike.policy.shipped import default_policy, open_policy
from lookalike.records import Finding, Listing

from .arrivals import arrivals, close_source
from .decision import decide
from .lookup import Lookup, Seen, require_several
from .protection import protect
from .verification import Comparer, Verifier

if TYPE_CHECKING:
    from lookalike.index.blobs import BlobCache
    from lookalike.index.embedding import EmbeddedPhoto, PhotoReader
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.index.vector_cache import VectorCache
    from lookalike.model.encoder import Encoder
    from lookalike.rights.rights import Rights

_TOGETHER = 256  # listings, if none should wait for others


@dataclass(frozen=True)
class Detector:
    """Flags look-alike listings. Several threads may use it at once, and so may processes that are forked later.

    The policy decides what the lookup compares point by point and how it normalises, so `lookup` takes both from it.
    With `rights`, each finding also takes into account the rights in force on `day` (by default the day of the scan).

    Raises PolicyError if the policy belongs to another encoder, or decides by points and the index has no local
    features. Warns with ExpiredPolicyWarning if the policy has expired, and with ChangedIndexWarning if it was tuned on
    another index.
    """

    lookup: Lookup
    policy: Policy
    rights: Rights | None = None
    day: date | None = None

    def __post_init__(self) -> None:
        _require_fit(self.policy, self.lookup)
        compared = replace(self.lookup, reach=self.policy.compared, cohort=self.policy.cohort)
        object.__setattr__(self, "lookup", compared)
        for warning in _warnings(self.policy, self.lookup.index):
            warnings.warn(warning, stacklevel=3)

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
        threads: int | None = None,
    ) -> Detector:
        """Open an index folder with the encoder that it was built with.

        `policy` is a file, or the name of one that ships (see `open_policy`). Without it, the one that ships for that
        encoder is used. The other arguments are those of `Lookup.open`. Raises what loading the index, the encoder and
        the policy raise.
        """
        lookup = Lookup.open(index, model=model, weights=weights, device=device, reader=reader, top=top,
                             threads=threads)  # fmt: skip
        return cls(lookup, _policy(policy, lookup.encoder), rights, day)

    @property
    def encoder(self) -> Encoder:
        """The lookup's encoder."""
        return self.lookup.encoder

    @property
    def index(self) -> ReferenceIndex:
        """The lookup's index."""
        return self.lookup.index

    @property
    def reader(self) -> PhotoReader:
        """What reads the photos."""
        return self.lookup.reader

    def check(self, listing: Listing, *, deadline: float | None = None) -> Finding:
        """Judge one listing. A photo that can't be read is reported in the finding's `error`, not raised.

        `deadline` is how many seconds it may take. What isn't done by then is reported in the `error` too, and the rest
        decides. Without photos that were looked at, the verdict is `unreadable`. Works in one thread unless the lookup
        says otherwise; with a deadline, it reads several photos at once, because most of that is waiting. Raises
        TypeError for anything but a listing, and ValueError for a deadline of 0 or less.
        """
        _require_listing(listing)
        if deadline is not None and not deadline > 0:
            raise ValueError(f"deadline is {deadline}, expected more than 0 seconds")
        until = None if deadline is None else time.monotonic() + deadline
        with closing(self._for_one.see([listing], until=until)) as seen:
            return next(self.findings(seen))

    def judge(
        self,
        listing: Listing,
        photos: Sequence[EmbeddedPhoto],
        *,
        held: Mapping[str, bytes],
        until: float | None = None,
        comparer: Comparer | None = None,
    ) -> Finding:
        """Judge a listing whose photos were read and embedded elsewhere, one of `photos` for each of its images.

        `held` has the photos' bytes by their sha256. Works in one thread, or leaves most of it to a `comparer`. Photos
        that aren't compared point by point by `until`, a time of `time.monotonic`, are reported in the finding's
        `error`.
        """
        verifier = Verifier(self.index, self._alone.reader, held=held, comparer=comparer)
        return next(self.findings(self._alone.see_again([(listing, photos)], verifier=verifier, until=until)))

    def check_many(self, listings: Iterable[Listing]) -> list[Finding]:
        """Judge listings; the findings come in the same order. Faster than `check` in a loop.

        Raises TypeError for anything but listings.
        """
        return list(self.stream(listings))

    def stream(
        self,
        listings: Iterable[Listing],
        *,
        cache: VectorCache | None = None,
        verified: BlobCache | None = None,
        max_wait: float | None = None,
    ) -> Generator[Finding, None, None]:
        """Judge any number of listings in bounded memory; the findings come in the listings' order.

        Photos whose vector is in `cache` are not embedded again, and pairs in `verified` are not compared again; new
        results go there. Some hundred listings are looked at together, which is quick but keeps those waiting that come
        slowly: with `max_wait`, none waits longer than so many seconds for others. When this generator is closed, or
        ends with an error, its threads stop and `listings` is closed too. Raises TypeError for anything but listings,
        and ValueError for a `max_wait` of 0 or less.
        """
        require_several(listings, "listings", "Listing")
        if max_wait is not None and not max_wait > 0:
            raise ValueError(f"max_wait is {max_wait}, expected more than 0 seconds")
        return self._stream(listings, cache, Verifier(self.index, self.reader, verified), max_wait)

    def _stream(
        self, listings: Iterable[Listing], cache: VectorCache | None, verifier: Verifier, max_wait: float | None
    ) -> Generator[Finding, None, None]:
        def judged(group: Iterable[Listing]) -> Generator[Finding, None, None]:
            with closing(self.lookup.see(group, cache=cache, verifier=verifier)) as seen:
                yield from self.findings(seen)

        source = _only_listings(listings)
        if max_wait is None:
            with closing(source):
                yield from judged(source)
            return
        with closing(arrivals(source, most=_TOGETHER, max_wait=max_wait)) as groups:
            for group in groups:
                yield from judged(group)

    def findings(self, seen: Iterable[Seen]) -> Iterator[Finding]:
        """Judge listings by the matches of their photos, in order."""
        found = map(self._finding, seen)
        if self.rights is None:
            return found
        return protect(found, self.rights, claims=self.policy.claims, day=self.day)

    @cached_property
    def _for_one(self) -> Lookup:
        """For one listing: starting threads takes longer than reading a photo or two, and a service has threads."""
        return replace(self.lookup, threads=self.lookup.threads or 1)

    @cached_property
    def _alone(self) -> Lookup:
        """Looks up in the calling thread alone."""
        return replace(self.lookup, threads=1)

    def _finding(self, seen: Seen) -> Finding:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        found = decide(seen.listing, seen.photos, policy=self.policy, encoder=str(self.encoder.spec))
        return replace(found, scanned_at=now)


def _require_listing(given: object) -> None:
    if not isinstance(given, Listing):
        raise TypeError(f"what is to be judged is {type(given).__name__}, expected a Listing")


def _only_listings(given: Iterable[Listing]) -> Generator[Listing, None, None]:
    """The same listings; the source is closed with this. Raises TypeError for anything else in it."""
    source = iter(given)
    try:
        for listing in source:
            _require_listing(listing)
            yield listing
    finally:
        close_source(source)


def _require_fit(policy: Policy, lookup: Lookup) -> None:
    """Raise PolicyError unless the policy can judge what this lookup finds."""
    spec, index = lookup.encoder.spec, lookup.index
    if policy.weights_sha256 not in (None, spec.weights_sha256):
        raise PolicyError(
            f"policy {policy.name} is for an encoder with weights {str(policy.weights_sha256)[:8]}, but the index was "
            f"built with {spec}; use a policy that was tuned on this index"
        )
    if policy.needs_points and not index.has_features:
        raise PolicyError(
            f"policy {policy.name} also decides by matching points, but the index has no local features; "
            "build it again with them, or use a policy without [fusion] and thresholds by kind"
        )


def _warnings(policy: Policy, index: ReferenceIndex) -> Iterator[PolicyWarning]:
    """Why the policy's promise doesn't hold on this index today."""
    if policy.expired(date.today()):
        yield ExpiredPolicyWarning(
            f"policy {policy.name} expired on {policy.expires}, so its promise no longer holds; "
            "tune it again on newer labels"
        )
    if policy.index_digest not in (None, index.digest):
        yield ChangedIndexWarning(
            f"policy {policy.name} was tuned on the index {str(policy.index_digest)[:8]} and this one is "
            f"{index.digest[:8]}, so its promise was made on another index; tune it again to renew the promise, or "
            "accept the change with: lookalike policy bind"
        )


def _policy(policy: str | Path | Policy | None, encoder: Encoder) -> Policy:
    if isinstance(policy, Policy):
        return policy
    if policy is not None:
        return open_policy(policy, encoder=str(encoder.spec))
    shipped = default_policy(encoder.spec.weights_sha256)
    if shipped is None:
        raise PolicyError(
            f"no thresholds ship for {encoder.spec}; similarities mean something else with every encoder, so give a "
            "policy.toml with thresholds set on your own labelled listings"
        )
    return shipped
