"""Which of people's verdicts stand, and which of them a promise may rest on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lookalike.entries import Entry
from lookalike.errors import TableError

from .inputs import Review, read_verdicts
from .verdicts import Draw, Finding, Judgement, Mode, ReviewVerdict, is_verdict_file, verdict_file


@dataclass(frozen=True)
class Standing:
    """What stands about one finding: the last verdict of each person, and the one that `decides`, None in a conflict.

    People disagree if one of them says that it shows the product and another says no. A verdict given on the conflict
    settles it; whoever is unsure contradicts nobody.
    """

    verdicts: tuple[Entry[ReviewVerdict], ...]
    decides: ReviewVerdict | None
    draw: Draw | None = None

    @property
    def conflicts(self) -> bool:
        """Whether people disagree, and nobody has settled it."""
        return self.decides is None


def standing(entries: Iterable[Entry[ReviewVerdict]]) -> list[Standing]:
    """What stands about each finding, in the order of the first verdicts; `entries` are in their order in time."""
    entries = list(entries)
    withdrawn = {entry.said.withdraws for entry in entries if entry.said.withdraws is not None}
    findings: dict[Finding, dict[str, Entry[ReviewVerdict]]] = {}
    draws: dict[Finding, Draw] = {}
    for entry in entries:
        said = entry.said
        if said.withdraws is None and not {entry.hash, said.origin} & withdrawn:
            mine = findings.setdefault(said.finding, {})
            mine.pop(said.who, None)  # the latest one comes last
            mine[said.who] = entry
            if said.draw is not None:
                draws[said.finding] = said.draw
    return [_stands(tuple(each.values()), draws.get(finding)) for finding, each in findings.items()]


def _stands(verdicts: tuple[Entry[ReviewVerdict], ...], draw: Draw | None) -> Standing:
    said = [entry.said for entry in verdicts]
    settled = [each for each in said if each.mode is Mode.CONFLICT]
    sure = [each for each in said if each.label is not None]
    if settled:
        return Standing(verdicts, settled[-1], draw)
    if len({each.label for each in sure}) > 1:
        return Standing(verdicts, None, draw)
    return Standing(verdicts, (sure or said)[-1], draw)


@dataclass(frozen=True)
class Verdicts:
    """People's verdicts as labels, and counts of the findings that are left out.

    Of a file of verdicts, those are findings judged in triage (`triage`), those of draws of which some are not judged
    yet (`unfinished`), and `undecided` ones, about which a person is unsure or people disagree. `chosen` counts those
    of triage that are not left out.
    """

    reviews: tuple[Review, ...]
    triage: int = 0
    unfinished: int = 0
    undecided: int = 0
    chosen: int = 0

    def remarks(self) -> list[str]:
        """What is left out, and what the others don't tell, one line each."""
        said = {
            "chosen by triage, so no promise rests on them": self.triage,
            "of a draw that is not judged to its end": self.unfinished,
            "about which a person is unsure, or people disagree": self.undecided,
        }
        lines = [f"verdicts left out: {count:,} {why}" for why, count in said.items() if count]
        if self.chosen:
            lines.append(
                f"triage chose {self.chosen:,} of the findings, so shares of them are not those of all findings"
            )
        return lines


def read_reviews(path: str | Path, *, promise: bool = False) -> Verdicts:
    """People's verdicts from a file of verdicts, or from a table of labels as `read_verdicts` reads it.

    With `promise`, only those of a file's findings are given that were drawn at random, in a draw of which all are
    judged: a promise holds for labels drawn at random, and not if one stops when they look good. Among them, undecided
    ones count as wrong. Raises HistoryError for a file that is not as it was written, and TableError as `read_verdicts`
    does, and if there is no verdict for a promise.
    """
    if not is_verdict_file(path):
        return Verdicts(tuple(read_verdicts(path)))
    stands = standing(verdict_file(path).entries())
    if not promise:
        return decided(stands)
    read = drawn(stands)
    if not read.reviews:
        raise TableError(f"no promise can rest on {path}: {no_promise(stands)}")
    return read


def decided(stands: Sequence[Standing]) -> Verdicts:
    """The verdicts that decide something about findings."""
    found = [(each.decides, each.draw) for each in stands if each.decides is not None]
    said = [decides for decides, _ in found if decides.label is not None]
    chosen = sum(decides.label is not None and draw is None for decides, draw in found)
    return Verdicts(tuple(each.review() for each in said), undecided=len(stands) - len(said), chosen=chosen)


def drawn(stands: Sequence[Standing]) -> Verdicts:
    """The verdicts on findings that were drawn at random, in draws that are judged to their end."""
    judged = _judged(stands)
    of_draws = [each for each in stands if each.draw is not None]
    finished = [each for each in of_draws if each.draw is not None and judged[each.draw.key] >= each.draw.size]
    reviews = tuple((each.decides or _undecided(each)).review() for each in finished)
    return Verdicts(reviews, triage=len(stands) - len(of_draws), unfinished=len(of_draws) - len(finished))


def no_promise(stands: Sequence[Standing]) -> str:
    """Why no promise can rest on verdicts of which `drawn` gives none."""
    go_on = "lookalike review FINDINGS --order audit"
    judged = _judged(stands)
    if not judged:
        return (
            f"triage chose their {len(stands):,} findings, and a promise holds for findings drawn at random; "
            f"judge such a draw with: {go_on}"
        )
    (_, _, size), count = max(judged.items(), key=lambda each: each[1])
    return f"{count:,} of the {size:,} findings of the draw are judged, and it takes all of them; go on with: {go_on}"


def _judged(stands: Iterable[Standing]) -> Counter[tuple[str, int, int]]:
    """How many findings of each draw are judged."""
    return Counter(each.draw.key for each in stands if each.draw is not None)


def _undecided(each: Standing) -> ReviewVerdict:
    return replace(each.verdicts[-1].said, verdict=Judgement.UNSURE, instead_product=None, instead_brand=None)
