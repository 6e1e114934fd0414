"""The detector: a lookup, a policy and the rights that count, which turn listings into findings."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.errors import ChangedIndexWarning, ExpiredPolicyWarning, PolicyError, PolicyWarning
from lookalike.policy.policy import Policy
from lookalike.policy.shipped import default_policy
from lookalike.policy.terms import Reach
from lookalike.records import Finding, Listing

from .decision import decide
from .lookup import Lookup, Seen
from .protection import protect
from .verification import Verifier

if TYPE_CHECKING:
    from lookalike.index.blobs import BlobCache
    from lookalike.index.embedding import PhotoReader
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.index.vector_cache import VectorCache
    from lookalike.model.encoder import Encoder
    from lookalike.rights.rights import Rights


@dataclass(frozen=True)
class Detector:
    """Flags look-alike listings. Several threads may use it at once.

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
        compared = replace(self.lookup, reach=_reach(self.policy), cohort=self.policy.cohort)
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
    ) -> Detector:
        """Open an index folder with the encoder that it was built with.

        Without `policy`, the policy that ships for that encoder is used. The other arguments are those of
        `Lookup.open`. Raises what loading the index, the encoder and the policy raise.
        """
        lookup = Lookup.open(index, model=model, weights=weights, device=device, reader=reader, top=top)
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

    def check(self, listing: Listing) -> Finding:
        """Judge one listing. A photo that can't be read is reported in the finding's `error`, not raised."""
        return next(self.findings(self._without_threads.see([listing])))

    def check_many(self, listings: Iterable[Listing]) -> list[Finding]:
        """Judge listings; the findings come in the same order. Faster than `check` in a loop."""
        return list(self.stream(listings))

    def stream(
        self,
        listings: Iterable[Listing],
        *,
        cache: VectorCache | None = None,
        verified: BlobCache | None = None,
    ) -> Iterator[Finding]:
        """Judge any number of listings in bounded memory; the findings come in the listings' order.

        Photos whose vector is in `cache` are not embedded again, and pairs in `verified` are not compared again; new
        results go there.
        """
        return self.findings(
            self.lookup.see(listings, cache=cache, verifier=Verifier(self.index, self.reader, verified))
        )

    def findings(self, seen: Iterable[Seen]) -> Iterator[Finding]:
        """Judge listings by the matches of their photos, in order."""
        found = map(self._finding, seen)
        if self.rights is None:
            return found
        return protect(found, self.rights, claims=self.policy.claims, day=self.day)

    @cached_property
    def _without_threads(self) -> Lookup:
        """For one listing: starting threads takes longer than reading a photo or two."""
        return replace(self.lookup, reader=replace(self.reader, workers=1))

    def _finding(self, seen: Seen) -> Finding:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        found = decide(seen.listing, seen.photos, policy=self.policy, encoder=str(self.encoder.spec))
        return replace(found, scanned_at=now)


def _reach(policy: Policy) -> Reach:
    """What the policy has compared point by point: without a similarity of its own, whatever may reach review."""
    if policy.reach.similarity is not None:
        return policy.reach
    return replace(policy.reach, similarity=policy.lowest_review)


def _require_fit(policy: Policy, lookup: Lookup) -> None:
    """Raise PolicyError unless the policy can judge what this lookup finds."""
    spec, index = lookup.encoder.spec, lookup.index
    if policy.weights_sha256 not in (None, spec.weights_sha256):
        raise PolicyError(
            f"policy {policy.name} is for an encoder with weights {str(policy.weights_sha256)[:8]}, but the index was "
            f"built with {spec}; use a policy that was tuned on this index"
        )
    if policy.fusion is not None and not index.has_features:
        raise PolicyError(
            f"policy {policy.name} also decides by matching points, but the index has no local features; "
            "build it again with them, or use a policy without [fusion]"
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
        return Policy.load(policy)
    shipped = default_policy(encoder.spec.weights_sha256)
    if shipped is None:
        raise PolicyError(
            f"no thresholds ship for {encoder.spec}; similarities mean something else with every encoder, so give a "
            "policy.toml with thresholds set on your own labelled listings"
        )
    return shipped
