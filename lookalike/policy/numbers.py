"""The numbers of a finding for people to read: each threshold beside the number that it applies to, the others after.

The verdict rests on one number only, and a threshold beside another one misleads: with a fusion, the similarity of a
flagged finding may well be below the probability from which listings are flagged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lookalike.records import Verdict
from lookalike.tables.findings import said_by_similarity

from .fusion import probability_text


@dataclass(frozen=True)
class Number:
    """A number of a finding, and the thresholds that apply to it by what they lead to, "review" or "flag".

    >>> print(Number("similarity", 0.812, {"review": 0.8, "flag": 0.9}))
    similarity 0.812, review from 0.800, flag from 0.900
    """

    name: str
    value: float
    thresholds: Mapping[str, float]

    @property
    def shown(self) -> str:
        """The number as people read it."""
        return probability_text(self.value) if self.name == "probability" else f"{self.value:.3f}"

    @property
    def asked(self) -> str:
        """Its thresholds in words."""
        return ", ".join(f"{band} from {threshold:.3f}" for band, threshold in self.thresholds.items())

    def __str__(self) -> str:
        return ", ".join(filter(None, (f"{self.name} {self.shown}", self.asked)))


def numbers_of(row: Mapping[str, Any]) -> tuple[Number, ...]:
    """The numbers of a row of a findings table, the one that its verdict rests on first; none without a similarity.

    >>> row = {"verdict": "flagged", "similarity": 0.759, "probability": 0.98, "threshold": 0.877}
    >>> [str(number) for number in numbers_of(row)]
    ['probability 0.980, flag from 0.877', 'similarity 0.759']
    """
    names = {"probability": "probability", "normalised_similarity": "normalised similarity", "similarity": "similarity",
             "look": "look"}  # fmt: skip
    known = [(shown, value) for name, shown in names.items() if (value := row.get(name)) is not None]
    return tuple(Number(name, value, {} if at else _thresholds(row)) for at, (name, value) in enumerate(known))


def in_words(row: Mapping[str, Any]) -> str:
    """All numbers of a row of a findings table in one line."""
    return " · ".join(map(str, numbers_of(row)))


def _thresholds(row: Mapping[str, Any]) -> dict[str, float]:
    said = said_by_similarity(row)
    bands = {"flag": row.get("threshold")} if said == Verdict.FLAGGED else {
        "review": row.get("threshold"), "flag": row.get("flag_threshold"),
    }  # fmt: skip
    return {band: threshold for band, threshold in bands.items() if threshold is not None}
