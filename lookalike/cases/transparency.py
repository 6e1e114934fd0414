"""What became of findings, in figures for the public: counts, how many were upheld, errors, times to decide.

What the EU's Digital Services Act asks of platforms in a year's report (Regulation (EU) 2022/2065, articles 15 and 24)
is told beside each figure in docs/cases.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from lookalike.binomial import Share
from lookalike.errors import TableError
from lookalike.tables.inputs import Review

from .history import Answer, History, HistoryEntry, Outcome

GROUPS = ("brand", "territory", "kind", "seller_id")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Times:
    """Days from one event to another of `count` cases: the quartiles; None where there is none."""

    count: int
    lower_quartile: float | None
    median: float | None
    upper_quartile: float | None

    @classmethod
    def of(cls, days: Sequence[float]) -> Times:
        """The quartiles of these days, between neighbours by their distance (Hyndman and Fan's type 7).

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
    """What became of findings: of all, or of one value of a column.

    `verdicts` count findings as they stand, `reviewed` are flagged ones (by the scan) with a person's verdict; `upheld`
    is how many of those it called right, `errors` wrong. `notices` count sellers' answers by what they say, and
    `outcomes` by what became of them; `withdrawn` are findings flagged by the scan that the history makes something
    else.
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


@dataclass
class _Tally:
    verdicts: Counter[str] = field(default_factory=Counter)
    flagged: int = 0
    withdrawn: int = 0
    right: int = 0
    wrong: int = 0
    days_to_verdict: list[float] = field(default_factory=list)
    notices: dict[int, HistoryEntry] = field(default_factory=dict)

    def figures(self, decided: Mapping[int, HistoryEntry]) -> Figures:
        """The tally's figures; `decided` has the last entry that decides a notice, by the notice's number."""
        days, outcomes = [], Counter({str(outcome): 0 for outcome in Outcome})
        for number, notice in self.notices.items():
            decision = decided.get(number, notice)
            outcomes[str(decision.said.outcome)] += 1
            if decision is not notice and decision.said.outcome is not Outcome.OPEN:
                days.append(_days(_instant(notice.said.when), _instant(decision.said.when)))
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


@dataclass(frozen=True)
class Stats:
    """Figures of all findings, and by the values of columns; `first` and `last` are when the findings were made.

    `unknown` are verdicts of listings without a finding, `elsewhere` notices about no finding of these.
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


def count_findings(
    rows: Iterable[Row],
    *,
    reviews: Iterable[Review] = (),
    history: History | None = None,
    day: date | None = None,
    by: Sequence[str] = ("brand", "territory", "kind"),
) -> Stats:
    """The figures of findings, in one pass over the rows.

    `reviews` are people's verdicts; of several of a listing the last about the finding's product counts, and a
    look-alike of another product is an error of the finding. `history` is asked for `day`, by default today. Raises
    TableError for a column that figures are not given by.
    """
    from .history import apply_history

    if unknown := [column for column in by if column not in GROUPS]:
        raise TableError(f"figures are not given by {', '.join(unknown)}; choose from {', '.join(GROUPS)}")
    verdicts: dict[str, list[Review]] = {}
    for review in reviews:
        verdicts.setdefault(review.listing_id, []).append(review)
    history = history or History()
    notices, decided = _notices(history)
    total = _Tally()
    groups: dict[str, dict[str, _Tally]] = {column: {} for column in by}
    first = last = None
    seen = 0
    for row in apply_history(rows, history, day or datetime.now(UTC).date()):
        tallies = [total, *(groups[column].setdefault(str(row.get(column) or ""), _Tally()) for column in by)]
        before = str(row.get("verdict_before") or row["verdict"])
        time = _instant(row.get("scanned_at"))
        if time is not None:
            first, last = min(first or time, time), max(last or time, time)
        of_listing = verdicts.get(str(row["listing_id"]))
        seen += of_listing is not None
        about = {entry.number: entry for entry in notices.about(row)}
        for tally in tallies:
            tally.verdicts[str(row["verdict"])] += 1
            tally.notices.update(about)
            if before != "flagged":
                continue
            tally.flagged += 1
            tally.withdrawn += row["verdict"] != "flagged"
            if of_listing is not None:
                _review(tally, row, of_listing, time)
    return Stats(
        first=None if first is None else first.isoformat(timespec="seconds"),
        last=None if last is None else last.isoformat(timespec="seconds"),
        all=total.figures(decided),
        by={column: {name: tally.figures(decided) for name, tally in sorted(tallies.items())}
            for column, tallies in groups.items()},
        unknown=len(verdicts) - seen,
        elsewhere=notices.count - len(total.notices),
    )  # fmt: skip


def _review(tally: _Tally, row: Row, of_listing: Sequence[Review], time: datetime | None) -> None:
    about = [review for review in of_listing if review.product_id in (None, row.get("product_id"))]
    review = (about or of_listing)[-1]
    if not about and not review.lookalike:
        return
    right = review.lookalike and bool(about)
    tally.right += right
    tally.wrong += not right
    if review.day is not None and time is not None:
        tally.days_to_verdict.append(float((review.day - time.date()).days))


class _Notices:
    """Sellers' answers, found by the listing or the seller that they are about."""

    def __init__(self, entries: Sequence[HistoryEntry]) -> None:
        self.count = len(entries)
        self._by: dict[tuple[str, str], list[HistoryEntry]] = {}
        for entry in entries:
            said = entry.said
            key = ("listing_id", said.listing) if said.listing is not None else ("seller_id", str(said.seller))
            self._by.setdefault(key, []).append(entry)

    def about(self, row: Row) -> Iterable[HistoryEntry]:
        """Those that are about this finding, whenever they hold."""
        for column in ("listing_id", "seller_id"):
            if row.get(column) is not None:
                yield from (e for e in self._by.get((column, str(row[column])), ()) if e.said.is_about(row))


def _notices(history: History) -> tuple[_Notices, dict[int, HistoryEntry]]:
    """The answers, and what decided each last; an answer that was decided when it was entered decides itself."""
    decided = {entry.said.notice: entry for entry in history.entries if entry.said.notice is not None}
    return _Notices([entry for entry in history.entries if entry.said.notice is None]), decided


def _days(start: datetime | None, end: datetime | None) -> float:
    assert start is not None and end is not None, "an entry that was read has its time"
    return (end - start).total_seconds() / 86_400


def _instant(text: object) -> datetime | None:
    if text in (None, ""):
        return None
    try:
        time = text if isinstance(text, datetime) else datetime.fromisoformat(str(text))
    except ValueError as error:
        raise TableError(f"the time {str(text)[:40]!r} is none; needed one like 2026-11-24T09:05:00+00:00") from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)
