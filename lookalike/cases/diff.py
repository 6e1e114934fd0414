"""What is new about cases since the last run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from lookalike.tables.amounts import plain_decimal

from .case import Case


@dataclass(frozen=True)
class CaseChange:
    """What changed about a case: listings and sellers added and gone, cases merged into it, sums before and after."""

    id: str
    listings_added: tuple[str, ...]
    listings_gone: tuple[str, ...]
    sellers_added: tuple[str, ...]
    sellers_gone: tuple[str, ...]
    merged: tuple[str, ...]
    sums: tuple[Mapping[str, Decimal], Mapping[str, Decimal]]

    def to_json(self) -> dict[str, Any]:
        """The change as plain JSON values."""
        sums = [{name: plain_decimal(value) for name, value in each.items()} for each in self.sums]
        return {**vars(self), "sums": sums}


@dataclass(frozen=True)
class CaseDiff:
    """Cases that are `new`, `gone`, merged into another (`merged`, by id) or `changed` since the last run."""

    new: tuple[Case, ...]
    gone: tuple[Case, ...]
    merged: Mapping[str, str]
    changed: tuple[CaseChange, ...]
    unchanged: int

    def to_json(self) -> dict[str, Any]:
        """The differences as plain JSON values; new and gone cases by their ids."""
        return {
            "new": [case.id for case in self.new],
            "gone": [case.id for case in self.gone],
            "merged": dict(self.merged),
            "unchanged": self.unchanged,
            "changed": [change.to_json() for change in self.changed],
        }


def compare_cases(old: Sequence[Case], new: Sequence[Case]) -> CaseDiff:
    """What changed between two runs' cases, by their ids."""
    before, after = {case.id: case for case in old}, {case.id: case for case in new}
    into = {name: case.id for case in new for name in case.merged if name in before}
    both = [(before[name], case) for name, case in after.items() if name in before]
    changed = [_change(was, case) for was, case in both if _matter(was) != _matter(case)]
    return CaseDiff(
        new=tuple(case for name, case in after.items() if name not in before),
        gone=tuple(case for name, case in before.items() if name not in after and name not in into),
        merged=into,
        changed=tuple(changed),
        unchanged=len(both) - len(changed),
    )


def _matter(case: Case) -> tuple[object, ...]:
    """What makes a case a changed one if it differs."""
    return frozenset(case.listings), frozenset(case.sellers), frozenset(case.merged), dict(case.values)


def _change(was: Case, case: Case) -> CaseChange:
    return CaseChange(
        case.id,
        listings_added=_missing(was.listings, case.listings),
        listings_gone=_missing(case.listings, was.listings),
        sellers_added=_missing(was.sellers, case.sellers),
        sellers_gone=_missing(case.sellers, was.sellers),
        merged=_missing(was.merged, case.merged),
        sums=(was.values, case.values),
    )


def _missing(here: Sequence[str], there: Sequence[str]) -> tuple[str, ...]:
    """What is there and not here, sorted."""
    return tuple(sorted(set(there) - set(here)))
