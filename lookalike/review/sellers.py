"""Findings by seller: what is at stake, what people said, how far each case is, and its evidence in a bundle."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.chain import plain
from lookalike.entries import Entry
from lookalike.errors import HistoryError
from lookalike.ledger import Ledger
from lookalike.records import Verdict
from lookalike.tables.verdicts import MOST_TEXT, Judgement

from .findings import Item, OpenFindings, ReviewError
from .store import VerdictStore

if TYPE_CHECKING:
    from lookalike.evidence.bundle import BundleSummary
    from lookalike.index.embedding import PhotoReader
    from lookalike.index.reference_index import ReferenceIndex

STATUSES = "-cases.jsonl"
"""How the name of a file of statuses ends, beside the file of verdicts."""

_OPEN = (Verdict.FLAGGED, Verdict.REVIEW)
_DISMISSED = frozenset({Judgement.NOT_LOOKALIKE, Judgement.HARMLESS, Judgement.AUTHORISED})


class Status(StrEnum):
    """How far a case is: nothing was done yet, the seller was given notice, or it is closed."""

    OPEN = "open"
    NOTICED = "noticed"
    CLOSED = "closed"


@dataclass(frozen=True)
class CaseStatus:
    """What an entry of the file of statuses says. Raises HistoryError for texts that are too long."""

    seller: str
    status: Status
    who: str
    when: str

    def __post_init__(self) -> None:
        texts = (self.seller, self.who, self.when)
        if not all(isinstance(text, str) for text in texts) or max(map(len, texts)) > MOST_TEXT:
            raise HistoryError("a case's status has a value that is no text, or one that is too long")

    @property
    def about(self) -> str:
        """The seller, as one line."""
        return f"seller {plain(self.seller)}"


def status_of(said: Mapping[str, Any]) -> CaseStatus:
    """The status of an entry's values. Raises ValueError, KeyError, TypeError or HistoryError if it is none."""
    return CaseStatus(**{**said, "status": Status(said["status"])})


def status_file(path: Path) -> Ledger[CaseStatus]:
    """The file of statuses at that path, which need not be there yet."""
    return Ledger(path, status_of, "file of statuses", "lookalike verdicts verify", "lookalike review")


@dataclass(frozen=True)
class SellerCase:
    """A seller's findings that are flagged or in review, the dearest first, without those that people dismissed.

    `judged` counts what people said of all of the seller's findings, `value` sums the prices by currency, and `stake`
    sums them in parts of the median price.
    """

    seller: str
    places: tuple[int, ...]
    verdicts: Mapping[str, int]
    judged: Mapping[Judgement, int]
    brands: Mapping[str, int]
    value: Mapping[str, Decimal]
    stake: float
    status: Status


class SellerCases:
    """The cases of a review. Statuses are kept in a file beside the verdicts, which is only added to."""

    def __init__(self, findings: OpenFindings, store: VerdictStore) -> None:
        self._findings, self._store = findings, store
        path = store.path.with_name(store.path.stem + STATUSES)
        self._file = status_file(path)
        entries: Sequence[Entry[CaseStatus]] = self._file.entries() if path.exists() and path.stat().st_size else ()
        self._statuses = {entry.said.seller: entry.said.status for entry in entries}

    def all(self) -> list[SellerCase]:
        """All cases, those with the most at stake first, closed ones last."""
        found = [self._case(seller, places) for seller, places in self._findings.by_seller.items()]
        cases = [case for case in found if case.places]
        return sorted(cases, key=lambda case: (case.status is Status.CLOSED, -case.stake, case.seller))

    def of(self, seller: str) -> SellerCase:
        """The case of one seller. Raises ReviewError if there is none."""
        places = self._findings.by_seller.get(seller)
        if places is None:
            raise ReviewError(f"no finding is of the seller {plain(seller)}; reload the page")
        return self._case(seller, places)

    def note(self, seller: str, status: Status) -> None:
        """Keep how far the case of a seller is; it is on disk when this returns."""
        self.of(seller)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._file.add(lambda _: [CaseStatus(seller, status, self._store.who, now)])
        self._statuses[seller] = status

    def _case(self, seller: str, places: Sequence[int]) -> SellerCase:
        judged: Counter[Judgement] = Counter()
        kept: list[Item] = []
        value: dict[str, Decimal] = defaultdict(Decimal)
        for item in (self._findings.items[place] for place in places):
            stands = self._store.about(item.finding)
            said = stands.decides.verdict if stands is not None and stands.decides is not None else None
            if said is not None:
                judged[said] += 1
            if item.verdict in _OPEN and said not in _DISMISSED:
                kept.append(item)
                if item.price is not None:
                    value[item.currency] += item.price
        kept.sort(key=lambda item: (-item.stake, item.place))
        return SellerCase(
            seller,
            tuple(item.place for item in kept),
            Counter(item.verdict for item in kept),
            judged,
            Counter(item.brand or "" for item in kept),
            dict(value),
            sum(item.stake for item in kept),
            self._statuses.get(seller, Status.OPEN),
        )

    def bundle(
        self, seller: str, *, index: ReferenceIndex, policy: Path | None, reader: PhotoReader
    ) -> tuple[Path, BundleSummary]:
        """Write the evidence for a seller's case to a ZIP beside the verdicts, as `lookalike bundle` does."""
        from lookalike.evidence.bundle import select_findings, write_bundle
        from lookalike.evidence.explain import draw_finding

        case = self.of(seller)
        rows = select_findings(self._findings.rows(case.places), verdicts=_OPEN)
        name = re.sub(r"[^A-Za-z0-9-]+", "-", seller)[:40].strip("-") or "seller"
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        out = self._store.path.with_name(f"{self._store.path.stem}-{name}-{now}.zip")
        return out, write_bundle(rows, out, index=index, policy=policy, reader=reader, picture=draw_finding)
