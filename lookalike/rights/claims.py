"""Which kinds of right can support a match: the [claims] table of a policy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container
from dataclasses import asdict, dataclass
from typing import Any

from lookalike.errors import PolicyError

from .territories import CODES

RIGHT_KINDS = ("trademark", "design", "copyright", "patent")
UNFAIR_COMPETITION = "unfair_competition"
MATCH_KINDS = ("copied_photo", "same_print", "lookalike")
_UNKNOWN = ("flagged", "review", "unprotected")


@dataclass(frozen=True)
class Claims:
    """For each kind of match, the kinds of right that could support a claim, the strongest first.

    `unfair_competition` is not a right that can be registered. It sends a match that it supports to review if the
    listing is in one of the territories in `unfair_competition_in`. `unknown_territory` is the strongest verdict for a
    listing whose territory is unknown: flagged, review or unprotected. docs/rights.md gives the reasons.

    >>> Claims().of("same_print")
    ('trademark', 'design')

    Raises PolicyError for an unknown kind of right, territory or verdict, and for one that is named twice.
    """

    copied_photo: tuple[str, ...] = ("copyright", "trademark", "design")
    same_print: tuple[str, ...] = ("trademark", "design")
    lookalike: tuple[str, ...] = ("design", UNFAIR_COMPETITION)
    unfair_competition_in: tuple[str, ...] = ("DE", "ES", "FR", "IT", "JP")
    unknown_territory: str = "review"

    def __post_init__(self) -> None:
        known = (*RIGHT_KINDS, UNFAIR_COMPETITION)
        for name in MATCH_KINDS:
            _require(name, self.of(name), known, f"one of {', '.join(known)}")
        _require("unfair_competition_in", self.unfair_competition_in, CODES, "an ISO 3166 code like DE")
        if self.unknown_territory not in _UNKNOWN:
            raise PolicyError(
                f"claims.unknown_territory is {self.unknown_territory[:40]!r}, expected one of {', '.join(_UNKNOWN)}"
            )

    def of(self, kind: str) -> tuple[str, ...]:
        """The kinds of right that could support a match of this kind."""
        rights: tuple[str, ...] = getattr(self, kind)
        return rights

    def to_dict(self) -> dict[str, Any]:
        """The entries of a policy's [claims] table."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @property
    def digest(self) -> str:
        """The start of the entries' sha256."""
        return hashlib.sha256(json.dumps(self.to_dict()).encode()).hexdigest()[:8]


def _require(name: str, values: tuple[str, ...], known: Container[str], expected: str) -> None:
    if wrong := [value for value in values if value not in known]:
        raise PolicyError(f"claims.{name} has {wrong[0][:40]!r}, expected {expected}")
    if len(set(values)) != len(values):
        raise PolicyError(f"claims.{name} has the same value twice; keep one")
