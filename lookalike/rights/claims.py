"""Which kind of right a match may rest on: a table of the policy."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from lookalike.errors import PolicyError

from .territories import CODES

RIGHT_KINDS = ("trademark", "design", "copyright", "patent")
UNFAIR_COMPETITION = "unfair_competition"
MATCH_KINDS = ("copied_photo", "same_print", "lookalike")


@dataclass(frozen=True)
class Claims:
    """For each kind of match the kinds of right that could carry a claim, the strongest first.

    `unfair_competition` is no right that could be registered: where a match may rest on it, and the listing is in one
    of the territories of `unfair_competition_in`, a person looks. `unknown_territory` is the strongest verdict for a
    listing whose territory is not known: flagged, review or unprotected. docs/rights.md gives the reasons.

    >>> Claims().of("same_print")
    ('trademark', 'design')

    Raises PolicyError for a kind of right, a territory or a verdict that there is not.
    """

    copied_photo: tuple[str, ...] = ("copyright", "trademark", "design")
    same_print: tuple[str, ...] = ("trademark", "design")
    lookalike: tuple[str, ...] = ("design", UNFAIR_COMPETITION)
    unfair_competition_in: tuple[str, ...] = ("DE", "ES", "FR", "IT", "JP")
    unknown_territory: str = "review"

    def __post_init__(self) -> None:
        known = (*RIGHT_KINDS, UNFAIR_COMPETITION)
        for name in MATCH_KINDS:
            _require(name, self.of(name), known)
        _require("unfair_competition_in", self.unfair_competition_in, sorted(CODES))
        _require("unknown_territory", (self.unknown_territory,), ("flagged", "review", "unprotected"))

    def of(self, kind: str) -> tuple[str, ...]:
        """The kinds of right that could carry a claim of that kind of match."""
        rights: tuple[str, ...] = getattr(self, kind)
        return rights

    def said(self) -> dict[str, Any]:
        """What a policy's [claims] says."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def __str__(self) -> str:
        return f"claims@{hashlib.sha256(json.dumps(self.said()).encode()).hexdigest()[:8]}"

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The entries of a policy's [claims]."""
        return tuple(field.name for field in fields(cls))


def _require(name: str, values: tuple[str, ...], known: tuple[str, ...] | list[str]) -> None:
    if wrong := [value for value in values if value not in known]:
        shown = ", ".join(known) if len(known) < 10 else "ISO 3166 codes like DE"
        raise PolicyError(f"the policy's [claims] has {wrong[0]!r} as {name}; needed of: {shown}")
    if len(set(values)) != len(values):
        raise PolicyError(f"the policy's [claims] names the same twice as {name}; keep one")
