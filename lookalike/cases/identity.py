"""Names of cases that stay from run to run, although sellers come, go, join and part."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .case import Case

_ID_DIGITS = 10


@dataclass(frozen=True)
class Identity:
    """A case's id, and its history as `Case` tells it."""

    id: str
    merged: tuple[str, ...] = ()
    split_from: str | None = None
    first_seen: str | None = None


def case_id(seller: str, attempt: int = 0) -> str:
    """The id of a new case, from the seller that sorts first in it.

    >>> case_id("outlet4u")
    'C12b61cfca5'
    """
    text = seller if not attempt else f"{seller}\0{attempt}"
    return "C" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_ID_DIGITS]


def identify(groups: Sequence[Sequence[str]], previous: Sequence[Case]) -> list[Identity]:
    """An identity for each group of sellers; the ids of the previous run's cases are kept.

    A group keeps the id of the oldest case that its sellers were in (by `first_seen`, then by id), and the other cases
    merge into that one. If the sellers of a case are now in several groups, the group with most of them keeps it.
    """
    known = {case.id: case for case in previous}
    of_seller = {seller: case.id for case in previous for seller in case.sellers}
    before = [Counter(of_seller[seller] for seller in sellers if seller in of_seller) for sellers in groups]
    keeper: dict[str, int] = {}
    for at, counts in enumerate(before):
        for name, count in counts.items():
            if name not in keeper or count > before[keeper[name]][name]:
                keeper[name] = at
    taken = set(known) | {name for case in previous for name in case.merged}
    identities = []
    for at, sellers in enumerate(groups):
        cases = sorted((known[name] for name in before[at]), key=_age)
        mine = [case for case in cases if keeper[case.id] == at]
        if mine:
            identities.append(_continued(mine))
            continue
        name = _free_id(sellers[0], taken)
        taken.add(name)
        identities.append(Identity(name, split_from=cases[0].id if cases else None))
    return identities


def _continued(cases: Sequence[Case]) -> Identity:
    """The identity of the oldest case, which comes first, with the others merged into it."""
    oldest = cases[0]
    merged = {name for case in cases for name in (case.id, *case.merged)} - {oldest.id}
    first = min((case.first_seen for case in cases if case.first_seen), default=None)
    return Identity(oldest.id, tuple(sorted(merged)), oldest.split_from, first)


def _free_id(seller: str, taken: set[str]) -> str:
    attempt = 0
    while (name := case_id(seller, attempt)) in taken:
        attempt += 1
    return name


def _age(case: Case) -> tuple[str, str]:
    return case.first_seen or "9", case.id
