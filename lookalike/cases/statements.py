"""What sellers say against findings, what became of it, and which findings it is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from lookalike.chain import plain
from lookalike.errors import HistoryError
from lookalike.records import Verdict

_MOST_TEXT = 4000

Row = Mapping[str, Any]


class Answer(StrEnum):
    """What a seller says against a finding."""

    LICENCE = "licence"
    OWN_PHOTOGRAPH = "own_photograph"
    EXHAUSTED_RIGHT = "exhausted_right"
    OTHER = "other"


class Outcome(StrEnum):
    """What became of an answer. While it is open, the listing waits for a person."""

    OPEN = "open"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


_ACCEPTED = {
    Answer.LICENCE: Verdict.AUTHORISED,
    Answer.EXHAUSTED_RIGHT: Verdict.AUTHORISED,
    Answer.OWN_PHOTOGRAPH: Verdict.CLEAR,
    Answer.OTHER: Verdict.CLEAR,
}


@dataclass(frozen=True)
class Statement:
    """What an entry of a history says: who, when, why, about which listing or seller, and for which days.

    `brand` and `territory` narrow it. It applies from `since` to `until`, the last day. `notice` is the number of the
    entry that it decides. Days are ISO 8601, `when` is a time in UTC. Raises HistoryError for a statement that lacks
    something or contradicts itself.
    """

    who: str
    why: str
    answer: Answer = Answer.OTHER
    outcome: Outcome = Outcome.OPEN
    listing: str | None = None
    seller: str | None = None
    brand: str | None = None
    territory: str | None = None
    since: str = ""
    until: str | None = None
    notice: int | None = None
    when: str = ""

    def __post_init__(self) -> None:
        for name in ("who", "why"):
            if not getattr(self, name).strip():
                raise HistoryError(f"an entry needs a {name}; say who decides, and why")
        texts = [value for value in vars(self).values() if isinstance(value, str)]
        if max(map(len, texts)) > _MOST_TEXT:
            raise HistoryError(
                f"an entry has a text of more than {_MOST_TEXT:,} characters; keep it elsewhere, and say where"
            )
        if self.listing is None and self.seller is None and self.notice is None:
            raise HistoryError("an entry is about a listing or a seller, or decides a notice; give one of them")
        since, until = _day(self.since), _day(self.until)
        if since is not None and until is not None and until < since:
            raise HistoryError(f"an entry applies from {since} until {until}, which is earlier; give a later last day")

    @property
    def about(self) -> str:
        """The listing or seller that it is about, as one line."""
        return f"listing {plain(self.listing)}" if self.listing is not None else f"seller {plain(self.seller)}"

    def applies(self, row: Row, day: date) -> bool:
        """Whether it is about that row of a findings table, and applies on that day."""
        since, until = _day(self.since), _day(self.until)
        return (since is None or since <= day) and (until is None or day <= until) and self.is_about(row)

    def is_about(self, row: Row) -> bool:
        """Whether it is about that row of a findings table, on whatever day."""
        wanted = {
            "listing_id": self.listing,
            "seller_id": self.seller,
            "brand": self.brand,
            "territory": self.territory,
        }
        return all(
            value is None or (row.get(name) is not None and str(row[name]) == value) for name, value in wanted.items()
        )

    @property
    def verdict(self) -> Verdict | None:
        """The verdict that it gives a flagged finding, None if the scan's verdict stands.

        An open answer means review, so the finding isn't flagged until a person has looked. An accepted licence or
        exhausted right means authorised, an own photograph or anything else clear. After a rejection the scan's verdict
        stands.
        """
        if self.outcome is Outcome.REJECTED:
            return None
        return Verdict.REVIEW if self.outcome is Outcome.OPEN else _ACCEPTED[self.answer]


def statement_of(said: Mapping[str, Any]) -> Statement:
    """The statement of an entry's values. Raises ValueError, KeyError, TypeError or HistoryError if it is none."""
    statement = Statement(**{**said, "answer": Answer(said["answer"]), "outcome": Outcome(said["outcome"])})
    texts = (statement.who, statement.why, statement.since, statement.when)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("it lacks parts of an entry, or has others")
    return statement


def _day(text: str | None) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except (ValueError, TypeError) as error:
        raise HistoryError(f"the day {plain(text)!r} is not valid; write it like 2026-11-24") from error
