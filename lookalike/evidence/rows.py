"""The rows of a bundle's table beside those in its manifest: which were changed, removed, added or moved."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence

from lookalike.chain import Disagreement, canonical, plain

from .bundle import FINDINGS
from .manifest import MANIFEST, Entry
from .recomputation import DAMAGE

_COLUMNS_SHOWN = 8


def compare_rows(entries: Sequence[Entry], lines: Sequence[str]) -> Iterator[Disagreement]:
    """Where the lines of the table differ from the findings that `entries` contain."""
    wanted = [canonical(entry.said.get("finding")) for entry in entries]
    if wanted == list(lines):
        return
    places: defaultdict[str, deque[int]] = defaultdict(deque)
    for place, line in enumerate(lines):
        places[line].append(place)
    found = [places[text].popleft() if places.get(text) else None for text in wanted]
    strays = {place for left in places.values() for place in left}
    in_order = _longest_rising([place for place in found if place is not None])
    last = -1
    for entry, text, at in zip(entries, wanted, found, strict=True):
        if at is None and last + 1 in strays:
            last += 1
            strays.remove(last)
            yield Disagreement(entry.place, _difference(text, lines[last], last + 1))
        elif at is None:
            yield Disagreement(entry.place, f"its row is missing from {FINDINGS}")
        elif at in in_order:
            last = at
        else:
            yield Disagreement(entry.place, f"its row was moved in {FINDINGS}, to row {at + 1}")
    for place in sorted(strays):
        yield Disagreement(FINDINGS, f"row {place + 1} belongs to no finding in {MANIFEST}")


def _longest_rising(places: Sequence[int]) -> set[int]:
    """The longest run of these numbers in rising order, by patience sorting; the others were moved.

    >>> sorted(_longest_rising([0, 3, 1, 2]))
    [0, 1, 2]
    """
    ends: list[int] = []
    before: dict[int, int | None] = {}
    for place in places:
        at = bisect_right(ends, place)
        before[place] = ends[at - 1] if at else None
        ends[at : at + 1] = [place]
    kept: set[int] = set()
    last = ends[-1] if ends else None
    while last is not None:
        kept.add(last)
        last = before[last]
    return kept


def _difference(wanted: str, line: str, number: int) -> str:
    """How a row of the table differs from the one in the manifest, column by column."""
    where = f"row {number} of {FINDINGS}"
    try:
        old, new = json.loads(wanted), json.loads(line)
        names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    except (*DAMAGE, RecursionError):
        return f"its row, {where}, can't be read any more"
    if not names:
        return f"its row, {where}, was rewritten with the same values"
    parts = [
        f"{plain(name)} is different"
        if name == "candidates"
        else f"{plain(name)} is {plain(new.get(name))}, but {plain(old.get(name))} in {MANIFEST}"
        for name in names[:_COLUMNS_SHOWN]
    ]
    return f"in its row, {where}, {'; '.join(parts)}"
