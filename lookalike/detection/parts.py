"""A photo looked up as a whole and in parts: what is found in each becomes one list of matches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeAlias

from lookalike.records import Match

LEAD = 0.2
"""How much nearer a part must be than the whole photo to stand for a product, in similarity and look together.

A photo has several parts, one of which is a little nearer to anything by chance. Of 546 edited copies of held-out
photos, 97.3 % find their product by the whole photo, 96.3 % with parts and no lead, 96.9 % with this one (embedded
encoder, fused with matching points).
"""

Region: TypeAlias = tuple[float, float, float, float]


def joined_matches(
    whole: Sequence[Match], parts: Iterable[tuple[Region, Sequence[Match]]], *, most: int
) -> tuple[Match, ...]:
    """For each product the match of the whole photo or of the part that is nearer to it, the most similar first.

    A part is nearer if its sum of similarity and look is greater by `LEAD`; its match carries its region. Those of the
    `most` nearest products by similarity are kept and, if there is a look, of as many by look.
    """
    best = {_product(match): match for match in whole}
    for region, matches in parts:
        for match in matches:
            known = best.get(_product(match))
            if known is None or _nearness(match) > _nearness(known) + (0.0 if known.region else LEAD):
                best[_product(match)] = replace(match, region=region)
    ordered = sorted(best.values(), key=lambda match: match.similarity, reverse=True)
    by_look = sorted(ordered, key=lambda match: -2.0 if match.look is None else match.look, reverse=True)
    kept = {_product(match) for match in (*ordered[:most], *(each for each in by_look[:most] if each.look is not None))}
    return tuple(match for match in ordered if _product(match) in kept)


def _product(match: Match) -> tuple[str, str]:
    return match.reference.brand, match.reference.product


def _nearness(match: Match) -> float:
    return match.similarity + (match.look or 0.0)
