"""What the service answers with: an index and a policy of certain versions, swapped as a whole when one changes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakSet

import numpy as np
from PIL import Image

from lookalike.detection.detector import Detector
from lookalike.detection.lookup import Lookup
from lookalike.errors import LookalikeError, PolicyError
from lookalike.index import store
from lookalike.index.build import harmless_folder, load_harmless
from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.loading import load_encoder_of
from lookalike.policy.policy import Policy
from lookalike.policy.shipped import default_policy, is_shipped, open_policy
from lookalike.records import Listing, Verdict
from lookalike.rights.rights import Rights

from .storage import Storage

if TYPE_CHECKING:
    from lookalike.model.encoder import Encoder

    from .settings import Settings

_log = logging.getLogger(__name__)

_AGAIN = 30.0  # seconds after which loading that failed is tried again, though nothing changed

Signature = tuple[object, ...]
"""What the files look like from outside; it differs if one of them was replaced or written to."""


@dataclass(frozen=True)
class Versions:
    """Which versions an answer was made with: digests, labels, and of tables of rights the start of their sha256."""

    index: str
    harmless: str | None
    policy: str
    encoder: str
    rights: Mapping[str, str] | None = None


@dataclass(frozen=True, eq=False)
class Serving:
    """One state of everything that judges. It never changes; whoever took it keeps it until the answer is made."""

    detector: Detector
    versions: Versions
    opened: datetime

    @property
    def policy(self) -> Policy:
        """The policy."""
        return self.detector.policy


class Holder:
    """Holds what is open now, and replaces it when its files change.

    Loading happens beside what is open, and only what passed its self-check takes its place. If that fails, the old
    stays, and `failures` counts. The old is dropped with the last answer that uses it. Several threads may use this.
    """

    def __init__(self, settings: Settings, *, encoder: Encoder | None = None) -> None:
        self._settings, self._encoder = settings, encoder
        self._lock = threading.Lock()
        self._open: WeakSet[Serving] = WeakSet()
        self.current: Serving | None = None
        self._tried: tuple[Signature, float] | None = None
        self.reloads = self.failures = 0
        self.error: str | None = None

    def borrow(self) -> Serving:
        """What is open now, for one answer: all of the answer is made with it. Raises LookalikeError if nothing is."""
        current = self.current
        if current is None:
            raise LookalikeError(
                f"nothing is open yet{f' ({self.error})' if self.error else ''}; wait until it is ready"
            )
        return current

    @property
    def versions_open(self) -> int:
        """How many states are in memory: one, and those that answers still use."""
        return len(self._open)

    def open(self) -> Serving:
        """Open everything for the first time. Raises what loading it raises."""
        with self._lock:
            signature = _signature(self._settings)
            self.current = self._load()
            self._tried = signature, time.monotonic()
            return self.current

    def refresh(self, *, force: bool = False) -> bool:
        """Load what has changed, if anything has; whether something else is open now.

        With `force`, load in any case, and raise what that raises. Otherwise an error is counted and kept in `error`.
        """
        with self._lock:
            try:
                signature = _signature(self._settings)
                if not (force or self._due(signature)):
                    return False
                self._tried = signature, time.monotonic()
                fresh = self._load()
            except Exception as error:  # damaged files make libraries raise anything; what is open must stay
                self.failures += 1
                self.error = str(error) or type(error).__name__
                _log.error("what is open stays, because the new could not be loaded: %s", self.error)
                if force:
                    raise
                return False
            self.error = None
            if self.current is not None and fresh.versions == self.current.versions and not force:
                return False
            self.current = fresh
            self.reloads += 1
            _log.info("opened index %s, policy %s", fresh.versions.index[:8], fresh.versions.policy)
            return True

    def _due(self, signature: Signature) -> bool:
        if self._tried is None or self._tried[0] != signature:
            return True
        return self.error is not None and time.monotonic() - self._tried[1] >= _AGAIN

    def _load(self) -> Serving:
        loaded = load(self._settings, encoder=self._encoder)
        self_check(loaded)
        self._encoder = loaded.detector.encoder  # the next state shares it, unless it needs another
        self._open.add(loaded)
        return loaded


def located(source: str, settings: Settings) -> Path:
    """Where an index folder or a policy lies on this machine; what is in object storage is copied first."""
    return storage_of(settings).local_copy(source)


def storage_of(settings: Settings) -> Storage:
    """What copies from and to object storage."""
    return Storage(settings.state / "copies", settings.protocols)


def load(settings: Settings, *, encoder: Encoder | None = None) -> Serving:
    """Open index, harmless photos, policy and rights; `encoder` is used if the index was built with it.

    Raises what loading each of them raises.
    """
    folder = located(settings.index, settings)
    index = ReferenceIndex.load(folder)
    encoder = load_encoder_of(
        index.spec,
        index.adapter,
        model=settings.model,
        weights=settings.weights,
        device=settings.device,
        loaded=encoder,
    )
    harmless = load_harmless(folder, adapter=index.adapter)
    rights = None
    if settings.rights is not None or settings.sellers is not None:
        rights = Rights.load(rights=settings.rights, sellers=settings.sellers, regions=settings.regions)
    lookup = Lookup(encoder, index, settings.reader, harmless=harmless, threads=settings.threads)
    detector = Detector(lookup, _policy(settings, encoder), rights)
    versions = Versions(index.digest, None if harmless is None else harmless.digest, str(detector.policy),
                        str(encoder.spec), None if rights is None else rights.tables)  # fmt: skip
    return Serving(detector, versions, datetime.now(UTC))


def _policy(settings: Settings, encoder: Encoder) -> Policy:
    given = settings.policy
    if given is not None:
        return open_policy(given if is_shipped(given) else located(given, settings), encoder=str(encoder.spec))
    shipped = default_policy(encoder.spec.weights_sha256)
    if shipped is None:
        raise PolicyError(f"no thresholds ship for {encoder.spec}; name a policy that was tuned for it")
    return shipped


def self_check(serving: Serving) -> None:
    """Judge a picture from end to end, and find a stored reference by its own vector.

    Raises LookalikeError if either doesn't work.
    """
    index = serving.detector.index
    found = index.search(index.vectors_at([0]), top=1)[0]
    if not found or found[0].similarity < 0.99:
        raise LookalikeError(
            "the self-check failed: a stored reference isn't found by its own vector; build the index again"
        )
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    finding = serving.detector.check(Listing("self-check", Image.fromarray(pixels)))
    if finding.verdict is Verdict.UNREADABLE or finding.error:
        raise LookalikeError(f"the self-check failed: {finding.error}; look at the encoder and the index")
    if not finding.matches or not all(-1 <= match.similarity <= 1 for match in finding.matches):
        raise LookalikeError("the self-check failed: the encoder's vectors make no sense; look at its weights")


def _signature(settings: Settings) -> Signature:
    folder = located(settings.index, settings)
    policy = settings.policy
    paths = [folder / store.MANIFEST, harmless_folder(folder) / store.MANIFEST]
    paths += [] if policy is None or is_shipped(policy) else [located(policy, settings)]
    paths += [path for path in (settings.rights, settings.sellers, settings.regions) if path is not None]
    return tuple(map(_seen, paths))


def _seen(path: Path) -> Signature:
    try:
        status = path.stat()
    except FileNotFoundError:
        return (str(path),)
    return str(path), status.st_ino, status.st_mtime_ns, status.st_size
