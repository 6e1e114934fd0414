"""What a listing's label says beside what the genuine one says: a column of JSON, and a line of words."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

COLUMN = "label_name"
"""The column of a findings table that holds a reading."""

ANSWERS = {
    "same": "the same name",
    "one letter off": "one letter off",
    "another name": "another name",
    "covered": "the name can't be seen",
    "unreadable": "the name can't be read",
}
"""Each answer in words."""

_MOST_LETTERS = 80


@dataclass(frozen=True)
class NameReading:
    """What two labels say. None of it is a verdict: letters may be misread.

    `answer` is one of ANSWERS; `reference` and `listing` are the names that were read, None where none was;
    `similarity` is that of the two, 0 to 1: 1 less the share of letters that would have to change.
    """

    answer: str
    reference: str | None = None
    listing: str | None = None
    similarity: float | None = None

    def to_cell(self) -> str:
        """The reading as a cell of a table.

        >>> NameReading("one letter off", "Quorlith", "Quorlilh", 0.875).to_cell()
        '{"answer": "one letter off", "reference": "Quorlith", "listing": "Quorlilh", "similarity": 0.875}'
        """
        return json.dumps(asdict(self), ensure_ascii=False)

    @property
    def in_words(self) -> str:
        """One line of text for people.

        >>> NameReading("one letter off", "Quorlith", "Quorlilh", 0.875).in_words
        'one letter off: the label says “Quorlilh”, the genuine one “Quorlith”'
        """
        words = ANSWERS[self.answer]
        if self.listing is None or self.answer in ("covered", "unreadable"):
            return words if self.reference is None else f"{words}; the genuine label says “{self.reference}”"
        return f"{words}: the label says “{self.listing}”, the genuine one “{self.reference}”"


def name_in(cell: object) -> NameReading | None:
    """The reading in a cell; None for an empty one, and for anything else that `NameReading.to_cell` doesn't write.

    >>> name_in('{"answer": "covered"}'), name_in("{}"), name_in(None)
    (NameReading(answer='covered', reference=None, listing=None, similarity=None), None, None)
    """
    if not isinstance(cell, str):
        return None
    try:
        values = json.loads(cell)
    except (ValueError, RecursionError):
        return None
    answer = values.get("answer") if isinstance(values, dict) else None
    if not isinstance(answer, str) or answer not in ANSWERS:
        return None
    similarity = values.get("similarity")
    known = type(similarity) in (int, float) and 0 <= similarity <= 1
    return NameReading(
        answer, _text(values.get("reference")), _text(values.get("listing")), similarity if known else None
    )


def _text(value: object) -> str | None:
    return value[:_MOST_LETTERS] if isinstance(value, str) and value else None
