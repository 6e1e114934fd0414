"""What promises lack, by a report of `lookalike monitor`, drawn for each from its own flags: the most lacking first.

Such a draw tests the one promise that decides its flags. It is no random part of all findings, so it is kept apart from
draws of those (see `lookalike.tables.reviews`): the promise over all, `tune` and others rest on what they rested on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookalike.errors import TableError
from lookalike.policy.policy import Policy
from lookalike.records import Verdict
from lookalike.tables.verdicts import Draw

from .findings import Item
from .queue import in_drawn_order
from .store import VerdictStore

_MOST_BYTES = 1 << 24


@dataclass(frozen=True)
class Lack:
    """How many more `flags` a promise lacks until it is shown anew; brand, territory and kind say which promise."""

    flags: int
    brand: str | None = None
    territory: str | None = None
    kind: str | None = None

    @property
    def name(self) -> str:
        """Which promise it is, for people."""
        return " ".join(part.replace("_", " ") for part in (self.brand, self.territory, self.kind) if part)


@dataclass(frozen=True)
class Lacks:
    """What the promises of `policy`, its name and hash, lack, the most first; `digest` names the report."""

    policy: str
    lacking: tuple[Lack, ...]
    digest: str


@dataclass(frozen=True)
class Renewal:
    """The findings drawn for one promise: their places in the order drawn, and the draw, stored with each verdict."""

    lack: Lack
    places: tuple[int, ...]
    draw: Draw


def read_lacks(report: str | Path) -> Lacks:
    """What promises lack, by what `lookalike monitor --json` wrote; without the one over all, and without broken ones.

    The one over all takes a draw from all findings. What is broken is tuned again. Raises TableError for another file.
    """
    path = Path(report)
    how = f"write one with: lookalike monitor FINDINGS VERDICTS --policy POLICY --json > {path}"
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise TableError(f"the report {path} can't be read ({error.strerror}); {how}") from error
    try:
        if len(data) > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES:,} bytes")
        said = json.loads(data)
        policy, lacking = said["policy"], [_lack(each) for each in said["promises"] if not each["broken"]]
        if not isinstance(policy, str):
            raise ValueError("its policy is no text")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TableError(f"{path} is no report of lookalike monitor ({error}); {how}") from error
    lacking = [each for each in lacking if each.flags and each.name]
    return Lacks(
        policy,
        tuple(sorted(lacking, key=lambda each: (-each.flags, each.name))),
        hashlib.sha256(data).hexdigest(),
    )


def _lack(said: dict[str, Any]) -> Lack:
    flags, place = said["needed"], [said[name] for name in ("brand", "territory", "kind")]
    if type(flags) is not int or flags < 0 or not all(part is None or isinstance(part, str) for part in place):
        raise ValueError("a promise of it lacks a number of flags, or has a name that is no text")
    return Lack(flags, *place)


def draw_lacks(
    lacks: Lacks, items: Sequence[Item], *, policy: Policy, seed: int, store: VerdictStore, apart: Collection[int] = ()
) -> list[Renewal]:
    """Draw for each promise as many of its flags as it lacks, in the order in which `draw_at_random` takes them.

    Flags at the places `apart`, of a draw from all, and those of earlier draws count for it anyway, so others are
    drawn. Listings that the policy was tuned on are no test of it, and are left out as well. Raises TableError if the
    report is about another policy than the findings.
    """
    if not policy.made(lacks.policy):
        raise TableError(
            f"the report is about the policy {lacks.policy}, and the findings were made by {policy}; write one about "
            "these findings and their policy"
        )
    flags: dict[tuple[str | None, str | None, str | None], list[Item]] = {}
    for item in items:
        if item.verdict == Verdict.FLAGGED and policy.made(item.policy):
            flags.setdefault(_decided_by(item, policy), []).append(item)
    return [
        _drawn(lack, flags.get((lack.brand, lack.territory, lack.kind), []), lacks.digest, policy, seed, store, apart)
        for lack in lacks.lacking
    ]


def _decided_by(item: Item, policy: Policy) -> tuple[str | None, str | None, str | None]:
    """The promise that decides a finding, as `check_promises` names it."""
    scope = policy.scope(item.brand, item.territory)
    return scope.brand, scope.territory, item.kind if item.kind in scope.kinds.own else None


def _drawn(
    lack: Lack,
    flags: Sequence[Item],
    report: str,
    policy: Policy,
    seed: int,
    store: VerdictStore,
    apart: Collection[int],
) -> Renewal:
    population = "\n".join(sorted(repr(item.finding) for item in flags))
    of = hashlib.sha256(f"{report}\n{lack}\n{population}".encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def is_new(item: Item) -> bool:
        if item.place in apart or (policy.tuned_on is not None and item.listing in policy.tuned_on):
            return False
        stands = store.about(item.finding)
        drawn = {draw.of for draw in (*stands.draws, *stands.renewals)} if stands is not None else set[str]()
        return not drawn or of in drawn

    chosen = [item for item in in_drawn_order(flags, seed) if is_new(item)][: lack.flags]
    draw = Draw(of, seed, len(chosen), len(flags), f"flagged, {lack.name}", len(flags))
    return Renewal(lack, tuple(item.place for item in chosen), draw)
