"""Whole tables: references to an index, listings to findings. What `lookalike build` and `lookalike scan` do."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.detection.detector import Detector
from lookalike.policy.shipped import is_shipped
from lookalike.tables.files import require_ending, table_fingerprint
from lookalike.tables.inputs import read_listings, read_references, require_listings, require_references
from lookalike.tables.layout import PLAIN, Layout

from .changes import scan_changes
from .parts import ScanSummary
from .run import RescanSummary
from .scan import scan_listings

if TYPE_CHECKING:
    from lookalike.index.build import BuildSummary
    from lookalike.index.embedding import PhotoReader
    from lookalike.index.vector_cache import VectorCache
    from lookalike.model.encoder import Encoder
    from lookalike.rights.rights import Rights

    from .cluster import Cluster

Progress = Callable[[int], None]
"""Called with how many rows were just done."""


@dataclass(frozen=True)
class DetectorSettings:
    """What a detector is opened with. It holds only paths and numbers, so every worker can open its own.

    `rights`, `sellers` and `regions` are tables (see `Rights.load`); the rest is as for `Detector.open`.
    """

    index: Path
    policy: Path | None = None
    model: str | None = None
    weights: str | Path | None = None
    device: str | None = None
    reader: PhotoReader | None = None
    rights: Path | None = None
    sellers: Path | None = None
    regions: Path | None = None
    day: date | None = None

    def open(self, rights: Rights | None = None) -> Detector:
        """Open the detector. If the tables of rights were loaded already, `rights` spares a second reading."""
        from lookalike.rights.rights import Rights

        if rights is None and (self.rights is not None or self.sellers is not None):
            rights = Rights.load(rights=_whole(self.rights), sellers=_whole(self.sellers), regions=_whole(self.regions))
        return Detector.open(
            self.index.absolute(),
            policy=self.policy if self.policy is None or is_shipped(self.policy) else _whole(self.policy),
            model=self.model,
            weights=self.weights,
            device=self.device,
            reader=self.reader,
            rights=rights,
            day=self.day,
        )


def build_from_table(
    references: Path,
    *,
    index: Path,
    open_encoder: Callable[[], Encoder],
    reader: PhotoReader,
    features: bool = True,
    exact_up_to: int | None = None,
    cache: Path | None = None,
    cluster: Cluster | None = None,
    progress: Progress | None = None,
    layout: Layout = PLAIN,
) -> BuildSummary:
    """Build an index of a references table, in this process or on a Ray `cluster`.

    `cache` is the file that keeps vectors between runs; `layout` is that of the table. Raises what `build_index` or
    `build_on_ray` raises, and TableError for a table without the columns, before any picture is opened.
    """
    from lookalike.index.build import build_index
    from lookalike.index.reference_index import EXACT_UP_TO

    require_references(references, layout)
    if cluster is not None:
        from .ray import build_on_ray

        return build_on_ray(
            read_references(references, columns=layout.columns, feed=layout.feed),
            index=index,
            open_encoder=open_encoder,
            reader=reader,
            cluster=cluster,
            fingerprint=table_fingerprint(references, layout),
            progress=progress,
            features=features,
            exact_up_to=exact_up_to,
            cache=cache,
        )
    encoder = open_encoder()
    with ExitStack() as stack:
        return build_index(
            read_references(references, columns=layout.columns, feed=layout.feed),
            index=index,
            encoder=encoder,
            reader=reader,
            progress=progress,
            features=features,
            exact_up_to=EXACT_UP_TO if exact_up_to is None else exact_up_to,
            cache=_opened(cache, encoder, stack),
        )


def scan_table(
    listings: Path,
    out: Path,
    *,
    settings: DetectorSettings,
    rights: Rights | None = None,
    cache: Path | None = None,
    cluster: Cluster | None = None,
    progress: Progress | None = None,
    layout: Layout = PLAIN,
) -> ScanSummary:
    """Judge every listing of a table and write the findings to `out`, in this process or on a Ray `cluster`.

    An interrupted scan resumes with the same call. `cache` is the file that keeps vectors between runs; `rights` are
    those of the settings if they were loaded already; `layout` is that of the table. Raises TableError before any
    picture is opened if `listings` lacks the columns or `out` has another ending, and what opening the detector raises.
    """
    require_ending(out)
    require_listings(listings, layout)
    if cluster is not None:
        from .ray import scan_on_ray

        return scan_on_ray(
            read_listings(listings, columns=layout.columns, feed=layout.feed),
            open_detector=settings.open,
            out=out,
            cluster=cluster,
            fingerprint=table_fingerprint(listings, layout),
            progress=progress,
            cache=cache,
        )
    detector = settings.open(rights)
    with ExitStack() as stack:
        return scan_listings(
            read_listings(listings, columns=layout.columns, feed=layout.feed),
            detector=detector,
            out=out,
            fingerprint=table_fingerprint(listings, layout),
            progress=progress,
            cache=_opened(cache, detector.encoder, stack),
        )


def scan_changed_table(
    listings: Path,
    out: Path,
    *,
    settings: DetectorSettings,
    since: Path,
    rights: Rights | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
    layout: Layout = PLAIN,
) -> RescanSummary:
    """Write the findings of all listings to `out`, but look only at those that changed since the last scan.

    `since` is the folder with that scan's state (see `scan_changes`); the rest is as for `scan_table`.
    """
    require_ending(out)
    require_listings(listings, layout)
    detector = settings.open(rights)
    with ExitStack() as stack:
        return scan_changes(
            read_listings(listings, columns=layout.columns, feed=layout.feed),
            detector=detector,
            since=since,
            out=out,
            progress=progress,
            cache=_opened(cache, detector.encoder, stack),
        )


def _opened(cache: Path | None, encoder: Encoder, stack: ExitStack) -> VectorCache | None:
    from lookalike.index.vector_cache import VectorCache

    return None if cache is None else stack.enter_context(VectorCache(cache, encoder.spec, optional=True))


def _whole(path: Path | None) -> Path | None:
    """The path as workers in other folders find it."""
    return None if path is None else path.absolute()
