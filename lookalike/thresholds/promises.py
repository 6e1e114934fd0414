"""Is the promised precision still kept? Tested on reviewers' verdicts, in a way that allows a look after each one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from lookalike.binomial import trials_needed
from lookalike.policy.policy import Policy

from .e_values import likely_start, log_evidence
from .observed import ReviewedFlag
from .realised import promising


@dataclass(frozen=True)
class PromiseCheck:
    """What the `reviewed` flags say about one promise: that at least `promised` (0 to 1) of the flags are right.

    `p` holds at any time: while the promise is kept, the chance that it ever gets this small is at most `p`. If it is
    `broken`, that showed after `raised_after` verdicts, on the day `raised_on`; the errors most likely began on the day
    `since`, and from then on `stretch_wrong` of `stretch_reviewed` flags were wrong. Without brand, territory and
    kind the check is about all flags. `needed` is how many more flags must be judged, all of them right, to show anew,
    with the policy's confidence, that it is kept.
    """

    promised: float
    reviewed: int = 0
    wrong: int = 0
    p: float = 1.0
    broken: bool = False
    brand: str | None = None
    territory: str | None = None
    raised_after: int | None = None
    raised_on: date | None = None
    since: date | None = None
    stretch_reviewed: int = 0
    stretch_wrong: int = 0
    kind: str | None = None
    needed: int = 0

    @property
    def tested(self) -> bool:
        """Whether there is any verdict to test it by."""
        return self.reviewed > 0

    def reason(self, day: date) -> str:
        """Why the flag band is withdrawn, for the policy.

        >>> check = PromiseCheck(0.95, 60, 14, 1e-6, broken=True, stretch_reviewed=60, stretch_wrong=14)
        >>> check.reason(date(2026, 11, 24))
        '2026-11-24: 14 of 60 reviewed flags were wrong, promised at most 5 %'
        """
        most = f"{100 * (1 - self.promised):.3g} %"
        counts = f"{self.stretch_wrong} of {self.stretch_reviewed} reviewed flags"
        since = f" since {self.since}" if self.since and self.stretch_reviewed < self.reviewed else ""
        return f"{day}: {counts}{since} were wrong, promised at most {most}"


def check_promises(flags: Sequence[ReviewedFlag], policy: Policy, *, alpha: float = 0.05) -> tuple[PromiseCheck, ...]:
    """Test the policy's promise of precision over all flags, and in each scope or kind that has a promise of its own.

    `flags` come in the order in which they were judged, and should be all flags or a random part of them: if people
    review only doubtful ones, the test is about those. Flags of a renewal are a random part of what one promise
    decides, so they test that one, and not the one over all. The chance that any promise is wrongly called broken is
    at most `alpha`, however often one looks. That is Holm's correction of p-values that hold at any time, which needs
    no independence (averaging e-values would only say that some promise is broken, not which one). Returns nothing if
    no precision is promised.
    """
    promise = policy.promise
    promised = promise.precision if promise else None
    if promise is None or promised is None:
        return ()
    checks, streams = [PromiseCheck(promised)], [[flag for flag in flags if not flag.renewal]]
    for kind, scope in promising(policy):
        checks.append(PromiseCheck(promised, brand=scope.brand, territory=scope.territory, kind=kind))
        streams.append([flag for flag in flags if policy.scope(flag.brand, flag.territory).of(flag.kind) is scope])
    evidence = [log_evidence(_wrong(stream), promised) for stream in streams]
    needed = _holm([float(values.max(initial=0.0)) for values in evidence], alpha=alpha)
    found = (_checked(*one) for one in zip(checks, streams, evidence, needed, strict=True))
    return tuple(
        replace(check, needed=max(0, trials_needed(promised, promise.confidence, check.wrong) - check.reviewed))
        for check in found
    )


def _holm(evidence: Sequence[float], *, alpha: float) -> list[float]:
    """The log evidence at which each is called broken, given the most that each has (Holm, 1979)."""
    order = sorted(range(len(evidence)), key=lambda i: -evidence[i])
    needed, open_ = [math.inf] * len(evidence), True
    for rank, i in enumerate(order):
        level = math.log((len(evidence) - rank) / alpha)
        open_ = open_ and evidence[i] >= level
        needed[i] = level if open_ else math.inf
    return needed


def _checked(
    check: PromiseCheck, flags: Sequence[ReviewedFlag], evidence: NDArray[np.float64], needed: float
) -> PromiseCheck:
    wrong = _wrong(flags)
    p = math.exp(-float(evidence.max(initial=0.0)))
    check = replace(check, reviewed=len(flags), wrong=int(wrong.sum()), p=p)
    above = np.flatnonzero(evidence >= needed)
    if not len(above):
        return check
    raised = int(above[0]) + 1
    start = likely_start(wrong[:raised], check.promised)
    return replace(
        check,
        broken=True,
        raised_after=raised,
        raised_on=flags[raised - 1].day,
        since=flags[start].day,
        stretch_reviewed=len(flags) - start,
        stretch_wrong=int(wrong[start:].sum()),
    )


def _wrong(flags: Sequence[ReviewedFlag]) -> NDArray[np.bool_]:
    return np.array([not flag.right for flag in flags], bool)
