"""The findings that are worth a look: the strongest, or a list with few false ones."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.errors import TableError
from lookalike.tables.findings import HISTORY_COLUMNS, findings_at, last_places, read_findings, strength_of

from .guarantees import shortlist
from .labels import labels_of_findings

if TYPE_CHECKING:
    from numpy.typing import NDArray


_JUDGED_BY = ("probability", "normalised_similarity", "similarity", "suppressed_by")


@dataclass(frozen=True)
class Shortlist:
    """Rows of a findings table, the strongest first, chosen from `considered` listings that have a similarity.

    `settled` counts those that a person had decided about, which were left out. `contradicted` are listings whose
    labels contradict each other.
    """

    rows: tuple[Mapping[str, Any], ...]
    considered: int
    settled: int = 0
    contradicted: tuple[str, ...] = ()


def shortlist_findings(
    findings: str | Path,
    *,
    most: int | None = None,
    false_share: float | None = None,
    labels: str | Path | None = None,
    labelled: str | Path | None = None,
    settled: Callable[[Mapping[str, Any]], bool] | None = None,
) -> Shortlist:
    """Choose the strongest `most` findings, those of a list with few false ones, or the strongest of that list.

    With `false_share` and a labels table, at most that share of the list are no look-alikes, on average: conformal
    selection as in `guarantees.shortlist`, provided the labels are from the same stream. The labels are about the
    findings table `labelled`, by default `findings`. Findings that a harmless photo suppressed are left out, and of
    several findings of one listing all but the last. So are, in the end, those that are `settled`, as
    `lookalike.cases.history.Decisions.settle` says; the promised share is that of the list with them. Memory grows by a
    few bytes for each finding, and with the list. Raises TableError if nothing limits the list, and for tables that
    can't be read.
    """
    if most is None and false_share is None:
        raise TableError("nothing limits the list; give --most K, or --false-share SHARE with --labels LABELS")
    if (false_share is None) != (labels is None):
        raise TableError("--false-share SHARE and --labels LABELS need each other; give both")
    if false_share is not None and not 0 < false_share < 1:
        raise TableError(f"--false-share is {false_share}, expected a share between 0 and 1, such as 0.2")
    places, strength, decided = _considered(findings, settled)
    chosen = np.ones(len(places), bool)
    unclear: tuple[str, ...] = ()
    if labels is not None and false_share is not None:
        known = labels_of_findings(labels, labelled or findings)
        unclear, pairs = known.contradicted, known.pairs
        chosen = shortlist(strength, labelled=pairs.similarity, lookalike=pairs.lookalike, false_share=false_share)
    order = np.argsort(-strength, kind="stable")
    listed = places[order[(chosen & ~decided)[order]][:most]].tolist()
    rows = dict(findings_at(findings, frozenset(listed)))
    return Shortlist(tuple(rows[place] for place in listed), len(places), int(decided.sum()), unclear)


def _considered(
    findings: str | Path, settled: Callable[[Mapping[str, Any]], bool] | None
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """Where the last finding of each listing stands, how strong it is, and whether it is settled."""
    strength, decided, usable = array("d"), bytearray(), bytearray()

    def ids() -> Iterator[str]:
        for row in read_findings(findings, columns=(*_JUDGED_BY, *HISTORY_COLUMNS)):
            known = row["similarity"] is not None
            strength.append(strength_of(row) or 0.0 if known else math.nan)
            usable.append(known and not row["suppressed_by"])
            decided.append(settled is not None and settled(row))
            yield row["listing_id"] if known else ""

    places = last_places(ids())
    places = places[np.frombuffer(usable, np.bool_)[places]]
    return places, np.frombuffer(strength)[places], np.frombuffer(decided, np.bool_)[places]
