"""The findings that are worth a look: the strongest, or a list with few false ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.errors import TableError
from lookalike.tables.findings import last_findings, read_findings, strength_of

from .guarantees import shortlist
from .labels import labels_of_findings


@dataclass(frozen=True)
class Shortlist:
    """Rows of a findings table, the strongest first, chosen from `considered` rows that have a similarity."""

    rows: tuple[Mapping[str, Any], ...]
    considered: int


def shortlist_findings(
    findings: str | Path,
    *,
    most: int | None = None,
    false_share: float | None = None,
    labels: str | Path | None = None,
    labelled: str | Path | None = None,
) -> Shortlist:
    """Choose the strongest `most` findings, those of a list with few false ones, or the strongest of that list.

    With `false_share` and a labels table, at most that share of the list are no look-alikes, on average: conformal
    selection as in `guarantees.shortlist`, provided the labels are from the same stream. The labels are about the
    findings table `labelled`, by default `findings`. Findings that a harmless photo suppressed are left out, and of
    several findings of one listing all but the last.
    Raises TableError if nothing limits the list, and for tables that can't be read.
    """
    if most is None and false_share is None:
        raise TableError("nothing limits the list; give --most K, or --false-share SHARE with --labels LABELS")
    if (false_share is None) != (labels is None) or (false_share is not None and not 0 < false_share < 1):
        raise TableError(
            f"got --false-share {false_share} and --labels {labels}; give both, with a share between 0 and 1"
        )
    found = last_findings(row for row in read_findings(findings) if row["similarity"] is not None)
    rows = [row for row in found if not row.get("suppressed_by")]
    strength = np.array([strength_of(row) for row in rows], float)
    chosen = np.ones(len(rows), bool)
    if labels is not None and false_share is not None:
        known = labels_of_findings(labels, labelled or findings).pairs
        chosen = shortlist(strength, labelled=known.similarity, lookalike=known.lookalike, false_share=false_share)
    order = [int(at) for at in np.argsort(-strength, kind="stable") if chosen[at]][:most]
    return Shortlist(tuple(rows[at] for at in order), len(rows))
