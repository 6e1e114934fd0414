"""People's verdicts on findings: what one says, the file that keeps them, and which of them stand.

The file is only ever added to, under a chain of hashes (see `lookalike.entries`). A later verdict of the same person on
the same finding takes the place of an earlier one, and one that is withdrawn counts no more.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from lookalike.chain import plain
from lookalike.entries import LINE_BYTES, UNREADABLE, Entry, parse_entry
from lookalike.errors import HistoryError, TableError
from lookalike.ledger import Ledger

from .inputs import Review, read_verdicts

Finding = tuple[str, str | None, str | None, str | None]
"""What a verdict is about: listing, brand, product, and the sha256 of the photo."""

MOST_TEXT = 4000
"""How many characters a note may have."""


class Judgement(StrEnum):
    """What a person says about a finding: about its photo and the product that it was matched with."""

    LOOKALIKE = "lookalike"
    NOT_LOOKALIKE = "not_lookalike"
    OTHER_PRODUCT = "other_product"
    HARMLESS = "harmless"
    AUTHORISED = "authorised"
    UNSURE = "unsure"

    @property
    def in_words(self) -> str:
        """As people read it."""
        return _IN_WORDS[self]


_IN_WORDS = {
    Judgement.LOOKALIKE: "look-alike",
    Judgement.NOT_LOOKALIKE: "not a look-alike",
    Judgement.OTHER_PRODUCT: "other product",
    Judgement.HARMLESS: "harmless photo",
    Judgement.AUTHORISED: "authorised seller",
    Judgement.UNSURE: "unsure",
}
_SHOWS_THE_PRODUCT = frozenset({Judgement.LOOKALIKE, Judgement.AUTHORISED})


class Mode(StrEnum):
    """In which order the finding came up: the most urgent first, drawn at random, or because two people disagree."""

    TRIAGE = "triage"
    AUDIT = "audit"
    CONFLICT = "conflict"


@dataclass(frozen=True)
class Draw:
    """A random draw of `size` from `population` findings, which `seed` makes again; `of` names that population.

    `stratum` is the part of the population that this finding is from, and `stratum_size` how many are in that.
    """

    of: str
    seed: int
    size: int
    population: int
    stratum: str
    stratum_size: int

    @property
    def key(self) -> tuple[str, int, int]:
        """What the findings of one draw have in common."""
        return self.of, self.seed, self.size


@dataclass(frozen=True)
class ReviewVerdict:
    """What an entry of the file says: who judged which finding, how, when, and what was seen.

    `product` and `brand` are the finding's, `photo` is the sha256 of its photo, `policy` the label of its policy.
    `instead_product` and `instead_brand` name the product that it is a look-alike of, for OTHER_PRODUCT, if that is
    known. `when` is a time in UTC, `seconds` how long it took. `reason` says why it was judged without a look of its
    own. `withdraws` is the hash of an entry that counts no more; `origin` that of this one in the file that it was
    merged from. Raises HistoryError for a verdict that lacks something or contradicts itself.
    """

    listing: str
    verdict: Judgement
    who: str
    product: str | None = None
    brand: str | None = None
    reason: str = ""
    note: str = ""
    when: str = ""
    seconds: float | None = None
    mode: Mode = Mode.TRIAGE
    policy: str | None = None
    photo: str | None = None
    instead_product: str | None = None
    instead_brand: str | None = None
    draw: Draw | None = None
    withdraws: str | None = None
    origin: str | None = None

    def __post_init__(self) -> None:
        texts = [getattr(self, each.name) for each in fields(self) if each.type in ("str", "str | None")]
        if not all(text is None or isinstance(text, str) for text in texts) or None in (self.listing, self.who):
            raise HistoryError("a verdict has a value that is no text")
        if not self.who.strip():
            raise HistoryError("a verdict needs a who; say who judges with --who NAME")
        if max(len(text or "") for text in texts) > MOST_TEXT:
            raise HistoryError(f"a verdict has a text of more than {MOST_TEXT:,} characters; shorten the note")
        if self.instead_product is not None and self.verdict is not Judgement.OTHER_PRODUCT:
            raise HistoryError(f"a verdict {self.verdict} names another product; only {Judgement.OTHER_PRODUCT} does")
        if (self.draw is not None) != (self.mode is Mode.AUDIT):
            raise HistoryError("a verdict belongs to a draw if its mode is audit, and to none otherwise")

    @property
    def about(self) -> str:
        """The listing, as one line."""
        return f"listing {plain(self.listing)}"

    @property
    def finding(self) -> Finding:
        """The finding that it is about: another photo, or another product, is another finding."""
        return self.listing, self.brand, self.product, self.photo

    @property
    def label(self) -> bool | None:
        """Whether the listing shows or imitates the finding's product; None if that is not decided."""
        return None if self.verdict is Judgement.UNSURE else self.verdict in _SHOWS_THE_PRODUCT

    def review(self) -> Review:
        """The verdict as a label; an undecided one says no."""
        other = self.instead_product is not None
        return Review(
            self.listing,
            bool(self.label) or other,
            self.instead_product if other else self.product,
            datetime.fromisoformat(self.when).date() if self.when else None,
            self.instead_brand if other else self.brand,
            photo=self.photo,
            judgement=str(self.verdict),
            who=self.who,
            note=self.note,
        )


def verdict_of(said: Mapping[str, Any]) -> ReviewVerdict:
    """The verdict of an entry's values. Raises ValueError, KeyError, TypeError or HistoryError if it is none."""
    draw = said["draw"]
    seconds = said["seconds"]
    if seconds is not None and not isinstance(seconds, int | float):
        raise ValueError("the seconds of a verdict are a number")
    datetime.fromisoformat(said["when"])
    return ReviewVerdict(**{
        **said,
        "verdict": Judgement(said["verdict"]),
        "mode": Mode(said["mode"]),
        "draw": None if draw is None else Draw(**draw),
    })  # fmt: skip


def verdict_file(path: str | Path) -> Ledger[ReviewVerdict]:
    """The file of verdicts at that path, which need not be there yet."""
    start = f"lookalike review FINDINGS --index DIR --verdicts {path} --who NAME"
    return Ledger(Path(path), verdict_of, "file of verdicts", "lookalike verdicts verify", start)


def is_verdict_file(path: str | Path) -> bool:
    """Whether a file is one of verdicts, by its first line, and not a table of labels."""
    path = Path(path)
    if path.suffix.lower() != ".jsonl" or not path.is_file():
        return False
    with open(path, "rb") as file:
        first = file.readline(LINE_BYTES + 1)
    try:
        parse_entry(first, verdict_of)
    except UNREADABLE:
        try:
            return {"number", "said", "previous", "hash"} <= set(json.loads(first))
        except (ValueError, RecursionError, TypeError):
            return False
    return True


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
