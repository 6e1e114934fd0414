"""One person's review of one findings table: what comes next, what was said, what can be taken back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from lookalike.entries import Entry
from lookalike.policy.policy import Policy
from lookalike.tables.verdicts import Draw, Judgement, Mode, ReviewVerdict

from .findings import Item, OpenFindings, ReviewError
from .queue import Queue, draw_at_random, teach, triage
from .renewal import Lacks, Renewal, draw_lacks
from .store import CARRIED_OVER, VerdictStore

EDITABLE = 10
"""How many of the last decisions can be changed on the page."""

_PACE = 20
_LONGEST = 300.0
"""Seconds; a longer look was a break, and tells nothing about the pace."""


@dataclass(frozen=True)
class Progress:
    """How far a review is: `judged` of `total` findings, those per hour at the last pace, and the minutes left.

    The last two are None until two findings were judged.
    """

    judged: int
    total: int
    per_hour: float | None
    minutes_left: float | None


class Session:
    """The findings that wait for one person in one order, and the verdicts given.

    With mode RENEWAL, what the promises of `policy`, which made the findings, lack by a monitor's report comes first,
    then the draw of an audit. Raises TableError as the draws do.
    """

    def __init__(
        self,
        findings: OpenFindings,
        store: VerdictStore,
        *,
        mode: Mode = Mode.TRIAGE,
        size: int = 300,
        seed: int = 0,
        lacks: tuple[Lacks, Policy] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.findings, self.store, self.mode = findings, store, mode
        self.draws: dict[int, Draw] = {}
        self.renewals: Sequence[Renewal] = ()
        self._renewed: frozenset[int] = frozenset()
        self._clock = clock
        self._times: list[float] = []
        self._lock = threading.RLock()
        order = self._order(size, seed, lacks)
        self.carried = self._carry_over()
        self.total = len(order)
        self.queue = Queue(place for place in order if not self._is_judged(findings.items[place]))

    def _order(self, size: int, seed: int, lacks: tuple[Lacks, Policy] | None) -> list[int]:
        items = self.findings.items
        if self.mode in (Mode.AUDIT, Mode.RENEWAL):
            order, self.draws = draw_at_random(items, size=size, seed=seed)
            return [*self._renewal(*lacks, seed=seed), *order] if lacks is not None else order
        if self.mode is Mode.CONFLICT:
            places = (self.findings.by_finding.get(each.verdicts[0].said.finding) for each in self.store.standing()
                      if each.conflicts)  # fmt: skip
            return [place for place in places if place is not None]
        on_probability = any(self._on_probability(item) for item in items[:1])
        return (teach if self.mode is Mode.TEACH else triage)(items, on_probability=on_probability)

    def _renewal(self, lacks: Lacks, policy: Policy, *, seed: int) -> list[int]:
        """Draw what promises lack, apart from the draw that there is; the places in the order in which they come up."""
        self.renewals = draw_lacks(
            lacks, self.findings.items, policy=policy, seed=seed, store=self.store, apart=self.draws
        )
        own = {place: each.draw for each in self.renewals for place in each.places}
        self._renewed = frozenset(own)
        self.draws |= own
        return list(own)

    def _carry_over(self) -> int:
        """Have this person's earlier verdicts on findings of the draw count for it; gives how many.

        Which findings are drawn doesn't depend on what was said of them, so nobody need say it twice, as after a scan
        that changed the findings and so the draw.
        """
        said = []
        for place, draw in self.draws.items():
            entry = self.store.mine(self.findings.items[place].finding)
            if entry is None or entry.said.mode is Mode.CONFLICT:
                continue  # what settles a conflict stays as it is
            if entry.said.draw is None or entry.said.draw.key != draw.key:
                said.append(
                    replace(entry.said, draw=draw, mode=self._drawn_as(place), reason=CARRIED_OVER, origin=None)
                )
        if said:
            self.store.add(said)
        return len(said)

    def _on_probability(self, item: Item) -> bool:
        return self.findings.row(item.place)["probability"] is not None

    def _is_judged(self, item: Item) -> bool:
        """Whether it waits no more: in triage and to teach, if anybody has judged it; in a draw, if this person has.

        A finding of another photo or product is another finding, so that it comes up again after such a change.
        """
        stands = self.store.about(item.finding)
        if stands is None:
            return False
        if self.mode is Mode.CONFLICT:
            return not stands.conflicts
        if self.mode in (Mode.TRIAGE, Mode.TEACH):
            return True
        drawn = self.draws[item.place].key
        return any(e.said.who == self.store.who and e.said.draw and e.said.draw.key == drawn for e in stands.verdicts)

    @property
    def general(self) -> list[Draw]:
        """The draw of each finding that was drawn from all of them, not to renew one promise."""
        return [draw for place, draw in self.draws.items() if place not in self._renewed]

    def next(self, most: int = 1) -> list[int]:
        """The places of the next findings."""
        with self._lock:
            return self.queue.first(most)

    def group(self, place: int) -> list[int]:
        """The findings that wait with the same photo file and product, this one first."""
        item = self.findings.items[place]
        others = self.findings.groups.get(item.group, []) if item.group is not None else []
        return [place, *(other for other in others if other != place and other in self.queue)]

    def judge(
        self,
        place: int,
        verdict: Judgement,
        *,
        note: str = "",
        seconds: float | None = None,
        instead: int | None = None,
        whole_group: bool = False,
    ) -> list[Entry[ReviewVerdict]]:
        """Give a verdict on a finding, or on all that wait of its group; it is on disk when this returns.

        `instead` is the place among the finding's matches of the product that it is, for OTHER_PRODUCT. Raises
        ReviewError for a finding or match that doesn't exist, and HistoryError as `VerdictStore.add` does.
        """
        self.findings.known(place)
        with self._lock:
            places = self.group(place) if whole_group else [place]
            product, brand = self._instead(place, instead)
            first = self.findings.items[place].listing
            said = [
                self._verdict(
                    self.findings.items[each],
                    verdict,
                    note=note,
                    seconds=seconds if each == place else None,
                    instead=(product, brand),
                    reason="" if each == place else f"same photo and product as listing {first}"[:1000],
                )
                for each in places
            ]
            added = self.store.add(said)
            for each in places:
                self.queue.take(each)
            self._times.append(self._clock())
            return added

    def _instead(self, place: int, instead: int | None) -> tuple[str | None, str | None]:
        from lookalike.tables.candidates import matches_of

        if instead is None:
            return None, None
        matches = matches_of(self.findings.row(place))
        if not 0 <= instead < len(matches):
            raise ReviewError(f"finding {place} has no candidate {instead}; reload the page")
        reference = matches[instead].reference
        return reference.product, reference.brand

    def _verdict(
        self,
        item: Item,
        verdict: Judgement,
        *,
        note: str,
        seconds: float | None,
        instead: tuple[str | None, str | None],
        reason: str,
    ) -> ReviewVerdict:
        draw = self.draws.get(item.place)
        drawing = self.mode in (Mode.AUDIT, Mode.RENEWAL)
        mode = (Mode.TRIAGE if draw is None else self._drawn_as(item.place)) if drawing else self.mode
        return ReviewVerdict(
            item.listing,
            verdict,
            self.store.who,
            product=item.product,
            brand=item.brand,
            reason=reason,
            note=note,
            seconds=seconds,
            mode=mode,
            policy=item.policy,
            photo=item.photo,
            instead_product=instead[0],
            instead_brand=instead[1],
            draw=draw,
        )

    def _drawn_as(self, place: int) -> Mode:
        return Mode.RENEWAL if place in self._renewed else Mode.AUDIT

    def skip(self, place: int) -> None:
        """Have a finding come up again at the end. Raises ReviewError if it doesn't wait."""
        with self._lock:
            if place not in self.queue:
                raise ReviewError(f"finding {place} waits no more; reload the page")
            self.queue.put_last(place)

    def undo(self) -> int | None:
        """Withdraw this person's last decision, with all of its group; the finding is the next one again."""
        with self._lock:
            recent = self.store.recent(1)
            if not recent:
                return None
            given = self._given_with(recent[0])
            self.store.withdraw(given)
            for entry in given:
                self._wait_again(entry)
            return self.findings.by_finding.get(given[-1].said.finding)

    def reopen(self, number: int) -> int:
        """Show one of the last decisions again, to change it; it stands until then. Raises ReviewError for others."""
        with self._lock:
            for entry in self.store.recent(EDITABLE):
                place = self.findings.by_finding.get(entry.said.finding)
                if entry.number == number and place is not None:
                    self.queue.put_first(place)
                    return place
        raise ReviewError(f"verdict {number} is not one of the last {EDITABLE}; look it up in the table")

    def _given_with(self, last: Entry[ReviewVerdict]) -> list[Entry[ReviewVerdict]]:
        """The entries of one decision, the first one last: a verdict, and those that followed for its group."""
        if not last.said.reason:
            return [last]
        together = (last.said.when, last.said.who)
        return [each for each in reversed(self.store.entries) if (each.said.when, each.said.who) == together]

    def _wait_again(self, entry: Entry[ReviewVerdict]) -> None:
        place = self.findings.by_finding.get(entry.said.finding)
        if place is not None:
            self.queue.put_first(place)

    def recent(self) -> Sequence[Entry[ReviewVerdict]]:
        """The last decisions, which can be changed."""
        return self.store.recent(EDITABLE)

    def progress(self) -> Progress:
        """How far the review is."""
        with self._lock:
            waiting = len(self.queue)
            paces = [later - earlier for earlier, later in pairwise(self._times[-_PACE - 1 :])]
        usual = [pace for pace in paces if pace < _LONGEST]
        total = max(self.total, waiting)
        if not usual:
            return Progress(total - waiting, total, None, None)
        pace = max(median(usual), 1e-3)
        return Progress(total - waiting, total, 3600 / pace, waiting * pace / 60)
