"""What became of findings, in figures for the public: counts, how many were upheld, errors, times to decide.

docs/cases.md says which figure answers what in the yearly report that the EU's Digital Services Act asks platforms for
(Regulation (EU) 2022/2065, articles 15 and 24).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from lookalike.binomial import Share
from lookalike.errors import TableError
from lookalike.tables.findings import FindingRow, last_findings, read_last_findings
from lookalike.tables.labels import Review, deciding_review, reviews_by_listing

from .history import History, HistoryEntry, apply_history
from .statements import Answer, Outcome
from .times import read_time

GROUPS = ("brand", "territory", "kind", "seller_id")
"""The columns that figures are given by."""

_COUNTED = ("product_id", "scanned_at", "image_sha256", *GROUPS)

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Times:
    """Days from one event to another in `count` cases: the quartiles, None if there are no cases."""

    count: int
    lower_quartile: float | None
    median: float | None
    upper_quartile: float | None

    @classmethod
    def of(cls, days: Sequence[float]) -> Times:
        """The quartiles of these days, interpolated between neighbours (Hyndman and Fan's type 7).

        >>> Times.of([1, 2, 4])
        Times(count=3, lower_quartile=1.5, median=2.0, upper_quartile=3.0)
        """
        if not days:
            return cls(0, None, None, None)
        import numpy as np

        low, middle, high = (round(float(value), 3) for value in np.quantile(days, (0.25, 0.5, 0.75)))
        return cls(len(days), low, middle, high)


@dataclass(frozen=True)
class Figures:
    """What became of findings: of all, or of those with one value in a column.

    `verdicts` count findings as they stand. `flagged` counts those that the scan flagged: `withdrawn` ones have another
    verdict by the history, `reviewed` ones have a person's verdict, which `upheld` or `errors` says was right or wrong.
    `notices` count sellers' answers by what they say, `outcomes` by what became of them.
    """

    findings: int
    verdicts: Mapping[str, int]
    flagged: int
    withdrawn: int
    reviewed: int
    upheld: Share
    errors: Share
    notices: Mapping[str, int]
    outcomes: Mapping[str, int]
    days_to_verdict: Times
    days_to_decision: Times

    def to_json(self) -> dict[str, Any]:
        """The figures as plain JSON values; a share of nothing is null."""
        values = asdict(self)
        for name in ("upheld", "errors"):
            if not values[name]["total"]:
                values[name]["value"] = None
        return values


@dataclass(frozen=True)
class Stats:
    """Figures of all findings, and by the values of columns; `first` and `last` are when the findings were made.

    `unknown` counts listings with a person's verdict but without a finding, `elsewhere` notices about none of these
    findings.
    """

    first: str | None
    last: str | None
    all: Figures
    by: Mapping[str, Mapping[str, Figures]]
    unknown: int
    elsewhere: int

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON values."""
        by = {column: {name: each.to_json() for name, each in groups.items()} for column, groups in self.by.items()}
        return {
            "period": {"first": self.first, "last": self.last},
            "confidence": 0.95,
            "all": self.all.to_json(),
            "by": by,
            "verdicts_without_finding": self.unknown,
            "notices_without_finding": self.elsewhere,
        }


def count_table(
    findings: str | Path,
    *,
    reviews: Iterable[Review] = (),
    history: History | None = None,
    day: date | None = None,
    by: Sequence[str] = ("brand", "territory", "kind"),
) -> Stats:
    """The figures of a findings table, as `count_findings`; the table is read twice, and little of it is held."""
    rows = read_last_findings(findings, columns=_COUNTED)
    return _counted(rows, reviews=reviews, history=history, day=day, by=by)


def count_findings(
    rows: Iterable[FindingRow],
    *,
    reviews: Iterable[Review] = (),
    history: History | None = None,
    day: date | None = None,
    by: Sequence[str] = ("brand", "territory", "kind"),
) -> Stats:
    """The figures of findings, in one pass over the rows; memory grows with listings.

    A listing counts once, by its last row. `reviews` are people's verdicts. If a listing has several, the last one
    about the finding's product counts; a look-alike of another product is an error of the finding. `history` is applied
    as of `day`, by default today. Raises TableError for a column that figures are not given by.
    """
    return _counted(last_findings(rows), reviews=reviews, history=history, day=day, by=by)


def _counted(
    rows: Iterable[Row], *, reviews: Iterable[Review], history: History | None, day: date | None, by: Sequence[str]
) -> Stats:
    if unknown := [column for column in by if column not in GROUPS]:
        raise TableError(f"figures are not given by {', '.join(unknown)}; choose from {', '.join(GROUPS)}")
    history = history or History()
    count = _Count(by, reviews_by_listing(reviews), history)
    for row in apply_history(rows, history, day or datetime.now(UTC).date()):
        count.add(row)
    return count.stats()


class _Count:
    """Counts rows for all findings and for each group, and what it met on the way."""

    def __init__(self, by: Sequence[str], reviews: Mapping[str, Sequence[Review]], history: History) -> None:
        self._reviews = reviews
        self._notices = _Notices(history)
        self._all = _Tally()
        self._groups: dict[str, dict[str, _Tally]] = {column: {} for column in by}
        self._first: datetime | None = None
        self._last: datetime | None = None
        self._reviewed = 0

    def add(self, row: Row) -> None:
        time = read_time(row.get("scanned_at"), f"the finding of listing {row['listing_id']}")
        if time is not None:
            self._first, self._last = min(self._first or time, time), max(self._last or time, time)
        reviews = self._reviews.get(str(row["listing_id"]))
        self._reviewed += reviews is not None
        seen = (row.get("product_id"), row.get("brand"), row.get("image_sha256"))
        review = None if reviews is None else deciding_review(reviews, *seen)
        notices = {entry.number: entry for entry in self._notices.about(row)}
        of_groups = (groups.setdefault(str(row.get(column) or ""), _Tally()) for column, groups in self._groups.items())
        for tally in (self._all, *of_groups):
            tally.add(row, review, time)
            tally.notices.update(notices)

    def stats(self) -> Stats:
        decisions = self._notices.decisions
        return Stats(
            first=None if self._first is None else self._first.isoformat(timespec="seconds"),
            last=None if self._last is None else self._last.isoformat(timespec="seconds"),
            all=self._all.figures(decisions),
            by={
                column: {name: tally.figures(decisions) for name, tally in sorted(tallies.items())}
                for column, tallies in self._groups.items()
            },
            unknown=len(self._reviews) - self._reviewed,
            elsewhere=self._notices.count - len(self._all.notices),
        )


@dataclass
class _Tally:
    """The counts of one group of findings."""

    verdicts: Counter[str] = field(default_factory=Counter)
    flagged: int = 0
    withdrawn: int = 0
    right: int = 0
    wrong: int = 0
    days_to_verdict: list[float] = field(default_factory=list)
    notices: dict[int, HistoryEntry] = field(default_factory=dict)

    def add(self, row: Row, review: Review | None, time: datetime | None) -> None:
        """Count a finding, the review that counts for it, and when it was made."""
        self.verdicts[str(row["verdict"])] += 1
        if (row.get("verdict_before") or row["verdict"]) != "flagged":
            return
        self.flagged += 1
        self.withdrawn += row["verdict"] != "flagged"
        if review is None:
            return
        right = review.lookalike and review.is_about(row.get("product_id"), row.get("brand"))
        self.right += right
        self.wrong += not right
        if review.day is not None and time is not None:
            days = float((review.day - time.date()).days)
            if days >= 0:  # a verdict of before is about an earlier finding of the listing, whose time isn't known
                self.days_to_verdict.append(days)

    def figures(self, decisions: Mapping[int, HistoryEntry]) -> Figures:
        """The tally's figures; `decisions` has the last entry that decides a notice, by the notice's number."""
        days, outcomes = [], Counter({str(outcome): 0 for outcome in Outcome})
        for number, notice in self.notices.items():
            decision = decisions.get(number, notice)
            outcomes[str(decision.said.outcome)] += 1
            if decision is not notice and decision.said.outcome is not Outcome.OPEN:
                span = _days(notice, decision)
                days += [span] if span >= 0 else []  # an entry's time may be given, and be wrong
        answers = Counter(str(notice.said.answer) for notice in self.notices.values())
        reviewed = self.right + self.wrong
        return Figures(
            findings=self.verdicts.total(),
            verdicts=dict(sorted(self.verdicts.items())),
            flagged=self.flagged,
            withdrawn=self.withdrawn,
            reviewed=reviewed,
            upheld=Share.of(self.right, reviewed),
            errors=Share.of(self.wrong, reviewed),
            notices={str(answer): answers[str(answer)] for answer in Answer},
            outcomes=dict(outcomes),
            days_to_verdict=Times.of(self.days_to_verdict),
            days_to_decision=Times.of(days),
        )


class _Notices:
    """Sellers' answers, found by the listing or seller that they are about, and the last decision about each.

    An answer that was decided when it was entered decides itself.
    """

    def __init__(self, history: History) -> None:
        self.decisions = {entry.said.notice: entry for entry in history.entries if entry.said.notice is not None}
        self.count = 0
        self._by: dict[tuple[str, str], list[HistoryEntry]] = {}
        for entry in history.entries:
            said = entry.said
            if said.notice is None:
                self.count += 1
                key = ("listing_id", said.listing) if said.listing is not None else ("seller_id", str(said.seller))
                self._by.setdefault(key, []).append(entry)

    def about(self, row: Row) -> Iterator[HistoryEntry]:
        """Those that are about this finding, on whatever day."""
        for column in ("listing_id", "seller_id"):
            if row.get(column) is not None:
                yield from (e for e in self._by.get((column, str(row[column])), ()) if e.said.is_about(row))


def _days(notice: HistoryEntry, decision: HistoryEntry) -> float:
    start, end = (read_time(entry.said.when, f"entry {entry.number}") for entry in (notice, decision))
    assert start is not None and end is not None, "an entry that was read has its time"
    return (end - start).total_seconds() / 86_400
