"""Two people's verdicts: files merged into one, and how far people agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from lookalike.entries import Entry
from lookalike.errors import TableError
from lookalike.tables.reviews import Standing, standing
from lookalike.tables.verdicts import Judgement, ReviewVerdict, verdict_file


@dataclass(frozen=True)
class Agreement:
    """How two people agree on the findings that both judged.

    `table` counts them by (what `one` said, what `other` said). `conflicts` are those where one says that it shows the
    product and the other says no, settled or not.
    """

    one: str
    other: str
    table: Counter[tuple[Judgement, Judgement]]
    conflicts: int

    @property
    def both(self) -> int:
        """How many findings both judged."""
        return self.table.total()

    @property
    def same(self) -> int:
        """How many both judged alike."""
        return sum(count for (one, other), count in self.table.items() if one is other)

    @property
    def kappa(self) -> float | None:
        """Cohen's κ: agreement beyond what chance gives, 1 at most; None without findings, or if chance gives all.

        Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20, 1960.

        >>> yes, no = Judgement.LOOKALIKE, Judgement.NOT_LOOKALIKE
        >>> counts = Counter({(yes, yes): 20, (yes, no): 5, (no, yes): 10, (no, no): 15})
        >>> round(Agreement("anna", "ben", counts, 15).kappa, 3)
        0.4
        """
        if not self.both:
            return None
        ones, others = Counter[Judgement](), Counter[Judgement]()
        for (one, other), count in self.table.items():
            ones[one] += count
            others[other] += count
        chance = sum(ones[each] * others[each] for each in ones) / self.both**2
        return None if chance == 1 else (self.same / self.both - chance) / (1 - chance)


def agreements(stands: Iterable[Standing]) -> list[Agreement]:
    """How each two people agree, by their own last verdicts; those that settle a conflict are left out."""
    tables: dict[tuple[str, str], Counter[tuple[Judgement, Judgement]]] = {}
    conflicts: Counter[tuple[str, str]] = Counter()
    for each in stands:
        own = {entry.said.who: entry.said for entry in each.verdicts if entry.said.mode != "conflict"}
        for one, other in combinations(sorted(own), 2):
            said = own[one], own[other]
            tables.setdefault((one, other), Counter())[said[0].verdict, said[1].verdict] += 1
            conflicts[one, other] += {said[0].label, said[1].label} == {True, False}
    return [Agreement(one, other, table, conflicts[one, other]) for (one, other), table in sorted(tables.items())]


def merge_verdicts(paths: Sequence[str | Path], out: str | Path) -> tuple[int, int]:
    """Add to `out` the verdicts of several files that it lacks, in the order of their times.

    Each says by `origin` which entry it was, so a file can be merged again when it has grown. Gives how many were added
    and how many were there. Raises HistoryError for a file that is not as it was written, TableError for `out` among
    the files.
    """
    if Path(out).resolve() in {Path(path).resolve() for path in paths}:
        raise TableError(f"{out} is one of the files to merge; give another --out")
    file = verdict_file(out)
    known = file.entries() if file.path.exists() and file.path.stat().st_size else ()
    there = {_name(entry) for entry in known}
    found: dict[str, ReviewVerdict] = {}
    before = 0
    for path in paths:
        for entry in verdict_file(path).entries():
            if _name(entry) in there or _name(entry) in found:
                before += 1
            else:
                found[_name(entry)] = replace(entry.said, origin=_name(entry))
    ordered = sorted(found.values(), key=lambda said: said.when)
    if ordered:
        file.add(lambda _: ordered)
    return len(ordered), before


def _name(entry: Entry[ReviewVerdict]) -> str:
    """What names an entry in every file that it is in: its hash in the first one."""
    return entry.said.origin or entry.hash


def agreement_in(path: str | Path) -> tuple[list[Agreement], list[Standing]]:
    """How people agree in a file of verdicts, and the findings about which they disagree, unsettled."""
    stands = standing(verdict_file(path).entries())
    return agreements(stands), [each for each in stands if each.conflicts]
