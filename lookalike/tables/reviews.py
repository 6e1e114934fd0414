"""Which of people's verdicts stand, and which of them a promise may rest on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lookalike.entries import Entry
from lookalike.errors import TableError

from .labels import Review, read_verdicts
from .verdicts import Draw, Finding, Judgement, Mode, ReviewVerdict, is_verdict_file, verdict_file


@dataclass(frozen=True)
class Standing:
    """What stands about one finding: the last verdict of each person, and the one that `decides`, None in a conflict.

    People disagree if one of them says that it shows the product and another says no. A verdict given on the conflict
    settles it; whoever is unsure contradicts nobody. `draws` are those from all findings that it is in, `renewals`
    those from the flags of one promise.
    """

    verdicts: tuple[Entry[ReviewVerdict], ...]
    decides: ReviewVerdict | None
    draws: tuple[Draw, ...] = ()
    renewals: tuple[Draw, ...] = ()

    @property
    def conflicts(self) -> bool:
        """Whether people disagree, and nobody has settled it."""
        return self.decides is None


def standing(entries: Iterable[Entry[ReviewVerdict]]) -> list[Standing]:
    """What stands about each finding, in the order of the first verdicts; `entries` are in their order in time."""
    entries = list(entries)
    withdrawn = {entry.said.withdraws for entry in entries if entry.said.withdraws is not None}
    findings: dict[Finding, dict[str, Entry[ReviewVerdict]]] = {}
    draws: dict[Finding, dict[tuple[str, int, int], ReviewVerdict]] = {}
    for entry in entries:
        said = entry.said
        if said.withdraws is None and not {entry.hash, said.origin} & withdrawn:
            mine = findings.setdefault(said.finding, {})
            mine.pop(said.who, None)  # the latest one comes last
            mine[said.who] = entry
            if said.draw is not None:
                draws.setdefault(said.finding, {})[said.draw.key] = said
    return [_stands(tuple(each.values()), draws.get(finding, {}).values()) for finding, each in findings.items()]


def _stands(verdicts: tuple[Entry[ReviewVerdict], ...], drawn: Collection[ReviewVerdict]) -> Standing:
    said = [entry.said for entry in verdicts]
    settled = [each for each in said if each.mode is Mode.CONFLICT]
    sure = [each for each in said if each.label is not None]
    decides = None if len({each.label for each in sure}) > 1 else (sure or said)[-1]
    draws, renewals = (
        tuple(each.draw for each in drawn if each.draw is not None and each.mode is mode)
        for mode in (Mode.AUDIT, Mode.RENEWAL)
    )
    return Standing(verdicts, settled[-1] if settled else decides, draws, renewals)


@dataclass(frozen=True)
class Verdicts:
    """People's verdicts as labels, and counts of the findings that are left out.

    Of a file of verdicts, those are findings judged in triage or to teach (`triage`), those of draws of which some are
    not judged yet (`unfinished`), those of `renewals`, which count for one promise each, and `undecided` ones, about
    which a person is unsure or people disagree. `chosen` counts those that are given and were not drawn from all.
    """

    reviews: tuple[Review, ...]
    triage: int = 0
    unfinished: int = 0
    undecided: int = 0
    chosen: int = 0
    renewals: int = 0

    def remarks(self) -> list[str]:
        """What is left out, and what the others don't tell, one line each."""
        said = {
            "chosen by triage or to teach, so no promise rests on them": self.triage,
            "of a draw that is not judged to its end": self.unfinished,
            "drawn to renew one promise each, which is for monitor alone": self.renewals,
            "about which a person is unsure, or people disagree": self.undecided,
        }
        lines = [f"verdicts left out: {count:,} {why}" for why, count in said.items() if count]
        if self.chosen:
            lines.append(
                f"findings not drawn from all: {self.chosen:,}, so shares of the verdicts are not those of all findings"
            )
        return lines


def read_reviews(path: str | Path, *, promise: bool = False, renewals: bool = False) -> Verdicts:
    """People's verdicts from a file of verdicts, or from a table of labels as `read_verdicts` reads it.

    With `promise`, only those of a file's findings are given that were drawn at random, in a draw of which all are
    judged: a promise holds for labels drawn at random, and not if one stops when they look good. Among them, undecided
    ones count as wrong. With `renewals`, those drawn from one promise's flags are given too, and say so: they test that
    promise, and are no random part of all findings. Raises HistoryError for a file that is not as it was written, and
    TableError as `read_verdicts` does, and if there is no verdict for a promise.
    """
    if not is_verdict_file(path):
        return Verdicts(tuple(read_verdicts(path)))
    stands = standing(verdict_file(path).entries())
    if not promise:
        return decided(stands)
    read = drawn(stands, renewals=renewals)
    if not read.reviews:
        raise TableError(f"no promise can rest on {path}: {no_promise(stands)}")
    return read


def decided(stands: Sequence[Standing]) -> Verdicts:
    """The verdicts that decide something about findings."""
    found = [(each.decides, each.draws) for each in stands if each.decides is not None]
    said = [decides for decides, _ in found if decides.label is not None]
    chosen = sum(decides.label is not None and not draws for decides, draws in found)
    return Verdicts(tuple(each.review() for each in said), undecided=len(stands) - len(said), chosen=chosen)


def drawn(stands: Sequence[Standing], *, renewals: bool = False) -> Verdicts:
    """The verdicts on findings that were drawn at random, in draws that are judged to their end.

    With `renewals`, those of finished draws from one promise's flags as well.
    """
    judged = _judged(stands)

    def is_finished(draws: Iterable[Draw]) -> bool:
        return any(judged[draw.key] >= draw.size for draw in draws)

    reviews, renewed = list[Review](), 0
    for each in stands:
        of_all = is_finished(each.draws)
        only_renewed = not of_all and is_finished(each.renewals)
        renewed += only_renewed
        if of_all or (only_renewed and renewals):
            reviews.append(replace((each.decides or _undecided(each)).review(), renewal=only_renewed))
    triage = sum(not each.draws and not each.renewals for each in stands)
    left = 0 if renewals else renewed
    return Verdicts(tuple(reviews), triage=triage, unfinished=len(stands) - triage - len(reviews) - left, renewals=left)


def no_promise(stands: Sequence[Standing]) -> str:
    """Why no promise can rest on verdicts of which `drawn` gives none."""
    go_on = "lookalike review FINDINGS --order audit"
    judged = _judged(stands)
    if not judged:
        return (
            f"their {len(stands):,} findings were chosen, by triage or to teach, and a promise holds for findings "
            f"drawn at random; judge such a draw with: {go_on}"
        )
    unfinished = {key: count for key, count in judged.items() if count < key[-1]}
    if not unfinished:
        return (
            f"their {len(stands):,} findings were drawn to renew single promises, and not from all; judge a draw from "
            f"all with: {go_on}"
        )
    (_, _, size), count = max(unfinished.items(), key=lambda each: each[1])
    return f"{count:,} of the {size:,} findings of the draw are judged, and it takes all of them; go on with: {go_on}"


def _judged(stands: Iterable[Standing]) -> Counter[tuple[str, int, int]]:
    """How many findings of each draw are judged."""
    return Counter(draw.key for each in stands for draw in (*each.draws, *each.renewals))


def _undecided(each: Standing) -> ReviewVerdict:
    return replace(each.verdicts[-1].said, verdict=Judgement.UNSURE, instead_product=None, instead_brand=None)
