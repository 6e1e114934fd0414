"""Opens a review: the findings with their policy, the verdicts so far, the photos."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.errors import PolicyError
from lookalike.index.reference_index import ReferenceIndex
from lookalike.policy.shipped import open_policy, shipped_policies
from lookalike.records import photo_name
from lookalike.tables.findings import read_findings
from lookalike.tables.inputs import read_listings
from lookalike.tables.layout import PLAIN, Layout
from lookalike.tables.verdicts import Mode

from .app import ReviewApp, require_starlette
from .cases_page import CasesPage
from .evidence import Evidence
from .findings import OpenFindings
from .live import Tuning
from .live_page import LivePage
from .photos import Photos
from .pictures import Pictures
from .renewal import read_lacks
from .sellers import SellerCases
from .session import Session
from .store import VerdictStore

if TYPE_CHECKING:
    from lookalike.index.embedding import PhotoReader


@contextmanager
def open_review(
    findings: str | Path,
    verdicts: str | Path,
    who: str,
    *,
    index: str | Path,
    mode: Mode = Mode.TRIAGE,
    size: int = 300,
    seed: int = 0,
    report: str | Path | None = None,
    policy: str | Path | None = None,
    listings: str | Path | None = None,
    layout: Layout = PLAIN,
    reader: PhotoReader | None = None,
) -> Iterator[ReviewApp]:
    """Open a findings table for a person to review.

    `verdicts` is the file that is added to. `policy` made the findings, by default the one that ships for the index's
    encoder; if it is another one, thresholds are shown as far as findings carry them. With `mode` AUDIT, `size`
    findings are drawn by `seed`; with RENEWAL, what promises lack by a monitor's `report` comes before that draw.
    `listings` is the table that was scanned, for all photos of a listing. `reader` reads photos, by default local files
    only. Raises MissingExtraError without the extra, and what reading the tables raises; PolicyError if a report is
    given and the findings' policy isn't known.
    """
    from lookalike.index.embedding import PhotoReader

    require_starlette()
    lacks = None if report is None else read_lacks(report)
    loaded = ReferenceIndex.load(index)
    first = next(iter(read_findings(findings, columns=())))
    offered = shipped_policies() if policy is None else [open_policy(policy, encoder=first["encoder"])]
    known = next((each for each in offered if each.made(first["policy"])), None)
    if lacks is not None and known is None:
        raise PolicyError(f"the findings were made by {first['policy']}, which is not known; give it with --policy")
    store = VerdictStore(verdicts, who)
    photos_of = _photos_of(listings, layout) if listings is not None else lambda _: ()
    with ExitStack() as stack:
        opened = stack.enter_context(OpenFindings(findings, known))
        used = reader or PhotoReader()
        photos = Photos(used)
        evidence = Evidence(photos)
        stack.callback(evidence.close)
        lacking = None if lacks is None or known is None else (lacks, known)
        session = Session(opened, store, mode=mode, size=size, seed=seed, lacks=lacking)
        tuning = Tuning(opened, store, index=loaded, policy=known)
        out = store.path.with_name(f"{store.path.stem}-policy.toml")
        cases = SellerCases(opened, store)
        bundle = partial(cases.bundle, index=loaded, policy=Path(policy) if policy else None, reader=used)
        yield ReviewApp(
            session,
            Pictures(opened, photos, evidence, photos_of),
            live=LivePage(tuning, out),
            cases=CasesPage(cases, opened, store, bundle),
        )


def _photos_of(listings: str | Path, layout: Layout) -> Callable[[str], tuple[str, ...]]:
    """The photos of each listing of a table, by its id."""
    known = {
        listing.id: tuple(photo_name(image) for image in listing.images)
        for listing in read_listings(listings, columns=layout.columns, feed=layout.feed)
    }
    return lambda listing: known.get(listing, ())
