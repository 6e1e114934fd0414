"""What was decided about findings after the scan: a file that is only ever added to, and the verdicts it changes.

See `lookalike.ledger` for the file, `statements` for what an entry says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from lookalike.entries import START, Audit, Entry
from lookalike.errors import HistoryError
from lookalike.ledger import Ledger
from lookalike.records import Verdict
from lookalike.tables.labels import Review, deciding_review, reviews_by_listing

from .people import reviewed
from .statements import Outcome, Statement, statement_of

_CHANGEABLE = frozenset({Verdict.FLAGGED, Verdict.REVIEW})

Row = Mapping[str, Any]
HistoryEntry = Entry[Statement]


def _ledger(path: str | Path) -> Ledger[Statement]:
    start = f"lookalike history add {path} …"
    return Ledger(Path(path), statement_of, "history", "lookalike history verify", start)


@dataclass(frozen=True)
class History:
    """The entries of an intact history, in order."""

    entries: tuple[HistoryEntry, ...] = ()

    @classmethod
    def load(cls, path: str | Path) -> History:
        """Read a history. Raises HistoryError if there is none, or if it is not as it was written."""
        return cls(_ledger(path).entries())

    @property
    def seal(self) -> str:
        """The last entry's hash; noted elsewhere, it proves later that nothing was cut off before it."""
        return self.entries[-1].hash if self.entries else START


def verify_history(path: str | Path, *, seal: str | None = None) -> Audit:
    """Compute all hashes again and name each line that is not as it was written.

    With `seal`, noted at an addition, lines cut off at the end show as well. Raises HistoryError if there is no file,
    or one too large to be a history.
    """
    return _ledger(path).audit(seal)


@dataclass(frozen=True)
class Addition:
    """An entry added, and the file `torn` with the remains of an addition that was cut short before, if any."""

    entry: HistoryEntry
    torn: Path | None = None


def add_entry(path: str | Path, statement: Statement) -> Addition:
    """Append an entry; it is on disk when this returns. Several processes may add at once.

    `when` is set to now, and an empty `since` to today. With `notice`, what the statement leaves out is taken from that
    entry. A last line that a killed process left unfinished was never an entry; it is moved to a file beside. Raises
    HistoryError for a history that is not as it was written, and for a notice that doesn't exist.
    """
    ledger = _ledger(path)
    added = ledger.add(lambda last: [_completed(statement, ledger, last)])
    return Addition(added.entries[0], added.torn)


def _completed(statement: Statement, ledger: Ledger[Statement], last: HistoryEntry | None) -> Statement:
    """The statement with its time and first day, and with what it leaves out taken from the notice that it decides."""
    now = datetime.now(UTC)
    said = replace(statement, when=now.isoformat(timespec="seconds"), since=statement.since or now.date().isoformat())
    if said.notice is None:
        return said
    count = 0 if last is None else last.number
    if not 1 <= said.notice <= count:
        raise HistoryError(f"there is no entry {said.notice} to decide; the history has {count:,}")
    noticed = ledger.at(said.notice).said
    for name in ("listing", "seller", "brand", "territory"):
        if getattr(said, name) not in (None, getattr(noticed, name)):
            raise HistoryError(
                f"entry {said.notice} is about {name} {getattr(noticed, name)}, but the decision about "
                f"{getattr(said, name)}; leave it out, or give the same"
            )
    return replace(
        said,
        listing=noticed.listing,
        seller=noticed.seller,
        brand=noticed.brand,
        territory=noticed.territory,
        answer=noticed.answer,
        until=said.until or noticed.until,
    )


class Decisions:
    """What a history says about findings on one day, and where it says nothing, what people's verdicts (`reviews`) say.

    If several entries apply to a row of a findings table, one about the listing comes before one about the seller, then
    the one with the later first day, then the later entry. Only rows that are flagged or in review change.
    """

    def __init__(self, history: History, day: date, reviews: Iterable[Review] = ()) -> None:
        self._day = day
        self._reviews = reviews_by_listing(reviews)
        self._by_listing: dict[str, list[HistoryEntry]] = {}
        self._by_seller: dict[str, list[HistoryEntry]] = {}
        for entry in history.entries:
            if entry.said.listing is not None:
                self._by_listing.setdefault(entry.said.listing, []).append(entry)
            elif entry.said.seller is not None:
                self._by_seller.setdefault(entry.said.seller, []).append(entry)

    def applied(self, row: Row) -> dict[str, Any]:
        """The row with the verdict that the history gives it.

        A changed row has the new `verdict`, the scan's as `verdict_before`, and a `reason`: who said what, and when.
        """
        entry = self._deciding(row)
        review = self._review(row)
        if entry is None and review is not None:
            return reviewed(row, review)
        verdict = entry.said.verdict if entry is not None else None
        if entry is None or verdict is None:
            return dict(row)
        return {**row, "verdict": str(verdict), "verdict_before": row["verdict"], "reason": reason_of(entry)}

    def settle(self, row: Row) -> bool:
        """Whether a person has decided about the row, so that nobody need look at it again.

        That is an accepted answer, a rejected one about this very listing (a seller whose licence was rejected may show
        more tomorrow), or where there is no answer, a verdict.
        """
        entry = self._deciding(row)
        if entry is None:
            return self._review(row) is not None
        if entry.said.outcome is Outcome.OPEN:
            return False
        return entry.said.outcome is Outcome.ACCEPTED or entry.said.listing is not None

    def _deciding(self, row: Row) -> HistoryEntry | None:
        if row["verdict"] not in _CHANGEABLE:
            return None
        about_listing = self._latest(self._by_listing.get(str(row["listing_id"]), ()), row)
        if about_listing is not None or row.get("seller_id") is None:
            return about_listing
        return self._latest(self._by_seller.get(str(row["seller_id"]), ()), row)

    def _review(self, row: Row) -> Review | None:
        reviews = self._reviews.get(str(row["listing_id"]))
        if reviews is None or row["verdict"] not in _CHANGEABLE:
            return None
        return deciding_review(reviews, row.get("product_id"), row.get("brand"), row.get("image_sha256"))

    def _latest(self, entries: Sequence[HistoryEntry], row: Row) -> HistoryEntry | None:
        applying = (entry for entry in entries if entry.said.applies(row, self._day))
        return max(applying, key=lambda entry: (entry.said.since, entry.number), default=None)


def apply_history(
    rows: Iterable[Row], history: History, day: date, reviews: Iterable[Review] = ()
) -> Iterator[dict[str, Any]]:
    """Rows of a findings table with the verdicts that the history gives them on that day (see `Decisions.applied`)."""
    return map(Decisions(history, day, reviews).applied, rows)


class Undecided:
    """Rows of a findings table as the history has them, without the settled ones, which `left_out` counts."""

    def __init__(self, rows: Iterable[Row], decisions: Decisions) -> None:
        self._rows, self._decisions = rows, decisions
        self.left_out = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for row in self._rows:
            if self._decisions.settle(row):
                self.left_out += 1
            else:
                yield self._decisions.applied(row)


def reason_of(entry: HistoryEntry) -> str:
    """An entry as the reason of a verdict, in words."""
    said = entry.said
    answer = said.answer.replace("_", " ")
    when = f"since {said.since}, by {said.who} on {said.when[:10]}"
    return f"{answer} ({said.outcome}) {when}: {said.why} (entry {entry.number})"
