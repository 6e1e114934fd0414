"""People's verdicts on findings: what one says, and the file that keeps them.

The file is only ever added to, under a chain of hashes (see `lookalike.entries`). A later verdict of the same person on
the same finding takes the place of an earlier one, and one that is withdrawn counts no more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from lookalike.chain import plain
from lookalike.entries import LINE_BYTES, UNREADABLE, parse_entry
from lookalike.errors import HistoryError
from lookalike.ledger import Ledger

from .labels import Review

Finding = tuple[str, str | None, str | None, str | None]
"""What a verdict is about: listing, brand, product, and the sha256 of the photo."""

MOST_TEXT = 4000
"""How many characters a note may have."""


class Judgement(StrEnum):
    """What a person says about a finding: about its photo and the product that it was matched with."""

    LOOKALIKE = "lookalike"
    NOT_LOOKALIKE = "not_lookalike"
    OTHER_PRODUCT = "other_product"
    HARMLESS = "harmless"
    AUTHORISED = "authorised"
    UNSURE = "unsure"

    @property
    def in_words(self) -> str:
        """As people read it."""
        return _IN_WORDS[self]


_IN_WORDS = {
    Judgement.LOOKALIKE: "look-alike",
    Judgement.NOT_LOOKALIKE: "not a look-alike",
    Judgement.OTHER_PRODUCT: "other product",
    Judgement.HARMLESS: "harmless photo",
    Judgement.AUTHORISED: "authorised seller",
    Judgement.UNSURE: "unsure",
}
_SHOWS_THE_PRODUCT = frozenset({Judgement.LOOKALIKE, Judgement.AUTHORISED})


class Mode(StrEnum):
    """In which order the finding came up: the most urgent first, what teaches an adapter most, drawn at random from
    all, drawn at random from the flags of one promise, or because two people disagree.
    """

    TRIAGE = "triage"
    TEACH = "teach"
    AUDIT = "audit"
    RENEWAL = "renewal"
    CONFLICT = "conflict"


@dataclass(frozen=True)
class Draw:
    """A random draw of `size` from `population` findings, which `seed` makes again; `of` names that population.

    `stratum` is the part of the population that this finding is from, and `stratum_size` how many are in that.
    """

    of: str
    seed: int
    size: int
    population: int
    stratum: str
    stratum_size: int

    @property
    def key(self) -> tuple[str, int, int]:
        """What the findings of one draw have in common."""
        return self.of, self.seed, self.size


@dataclass(frozen=True)
class ReviewVerdict:
    """What an entry of the file says: who judged which finding, how, when, and what was seen.

    `product` and `brand` are the finding's, `photo` is the sha256 of its photo, `policy` the label of its policy.
    `instead_product` and `instead_brand` name the product that it is a look-alike of, for OTHER_PRODUCT, if that is
    known. `when` is a time in UTC, `seconds` how long it took. `reason` says why it was judged without a look of its
    own. `withdraws` is the hash of an entry that counts no more; `origin` that of this one in the file that it was
    merged from. Raises HistoryError for a verdict that lacks something or contradicts itself.
    """

    listing: str
    verdict: Judgement
    who: str
    product: str | None = None
    brand: str | None = None
    reason: str = ""
    note: str = ""
    when: str = ""
    seconds: float | None = None
    mode: Mode = Mode.TRIAGE
    policy: str | None = None
    photo: str | None = None
    instead_product: str | None = None
    instead_brand: str | None = None
    draw: Draw | None = None
    withdraws: str | None = None
    origin: str | None = None

    def __post_init__(self) -> None:
        texts = [getattr(self, each.name) for each in fields(self) if each.type in ("str", "str | None")]
        if not all(text is None or isinstance(text, str) for text in texts) or None in (self.listing, self.who):
            raise HistoryError("a verdict has a value that is no text")
        if not self.who.strip():
            raise HistoryError("a verdict needs a who; say who judges with --who NAME")
        if max(len(text or "") for text in texts) > MOST_TEXT:
            raise HistoryError(f"a verdict has a text of more than {MOST_TEXT:,} characters; shorten the note")
        if self.instead_product is not None and self.verdict is not Judgement.OTHER_PRODUCT:
            raise HistoryError(f"a verdict {self.verdict} names another product; only {Judgement.OTHER_PRODUCT} does")
        if (self.draw is not None) != (self.mode in (Mode.AUDIT, Mode.RENEWAL)):
            raise HistoryError("a verdict belongs to a draw if its mode is audit or renewal, and to none otherwise")

    @property
    def about(self) -> str:
        """The listing, as one line."""
        return f"listing {plain(self.listing)}"

    @property
    def finding(self) -> Finding:
        """The finding that it is about: another photo, or another product, is another finding."""
        return self.listing, self.brand, self.product, self.photo

    @property
    def label(self) -> bool | None:
        """Whether the listing shows or imitates the finding's product; None if that is not decided."""
        return None if self.verdict is Judgement.UNSURE else self.verdict in _SHOWS_THE_PRODUCT

    def review(self) -> Review:
        """The verdict as a label; an undecided one says no."""
        other = self.instead_product is not None
        return Review(
            self.listing,
            bool(self.label) or other,
            self.instead_product if other else self.product,
            datetime.fromisoformat(self.when).date() if self.when else None,
            self.instead_brand if other else self.brand,
            photo=self.photo,
            judgement=str(self.verdict),
            who=self.who,
            note=self.note,
        )


def verdict_of(said: Mapping[str, Any]) -> ReviewVerdict:
    """The verdict of an entry's values. Raises ValueError, KeyError, TypeError or HistoryError if it is none."""
    draw = said["draw"]
    seconds = said["seconds"]
    if seconds is not None and not isinstance(seconds, int | float):
        raise ValueError("the seconds of a verdict are a number")
    datetime.fromisoformat(said["when"])
    return ReviewVerdict(**{
        **said,
        "verdict": Judgement(said["verdict"]),
        "mode": Mode(said["mode"]),
        "draw": None if draw is None else Draw(**draw),
    })  # fmt: skip


def verdict_file(path: str | Path) -> Ledger[ReviewVerdict]:
    """The file of verdicts at that path, which need not be there yet."""
    start = f"lookalike review FINDINGS --index DIR --verdicts {path} --who NAME"
    return Ledger(Path(path), verdict_of, "file of verdicts", "lookalike verdicts verify", start)


def is_verdict_file(path: str | Path) -> bool:
    """Whether a file is one of verdicts, by its first line, and not a table of labels."""
    path = Path(path)
    if path.suffix.lower() != ".jsonl" or not path.is_file():
        return False
    with open(path, "rb") as file:
        first = file.readline(LINE_BYTES + 1)
    try:
        parse_entry(first, verdict_of)
    except UNREADABLE:
        try:
            return {"number", "said", "previous", "hash"} <= set(json.loads(first))
        except (ValueError, RecursionError, TypeError):
            return False
    return True
