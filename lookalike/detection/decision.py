"""From matches to a finding: what a policy says about a listing's photos. No pictures, no vectors here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from lookalike.policy.policy import Policy
from lookalike.records import Finding, Listing, Match, Verdict

from .lookup import PhotoMatches

MOST_MATCHES = 8
"""How many matched products a finding keeps. Another policy can judge the finding again by these."""


_RANK = {Verdict.FLAGGED: 2, Verdict.REVIEW: 1, Verdict.CLEAR: 0}


def decide(listing: Listing, photos: Sequence[PhotoMatches], *, policy: Policy, encoder: str) -> Finding:
    """Judge a listing by the photo and product that get the strongest verdict from the policy.

    A photo that is closer to a harmless photo than to a reference, by similarity and by look, says nothing about that
    reference. If no photo can be read, the verdict is `unreadable`; otherwise the readable ones decide and the
    finding's `error` reports the others. The error also reports photos that there was no time to compare point by
    point.
    """
    troubles = [listing.error] if listing.error else []
    troubles += [trouble for photo in photos for trouble in (photo.error, photo.late) if trouble]
    error = "; ".join(dict.fromkeys(troubles)) or None
    hashes = tuple(photo.sha256 for photo in photos)
    readable = [photo for photo in photos if photo.error is None]
    if not readable:
        return Finding(listing, Verdict.UNREADABLE, str(policy), encoder, error=error or "it has no photo",
                       images_sha256=hashes)  # fmt: skip
    hint = "; ".join(f"{photo.image}: {photo.hint}" for photo in readable if photo.hint) or None
    first = readable[0]
    found = Finding(listing, Verdict.CLEAR, str(policy), encoder, image=first.image, image_sha256=first.sha256,
                    images_sha256=hashes, error=error, hint=hint)  # fmt: skip
    return judge(found, _candidates(readable, policy, listing.territory), policy=policy)


def judge(finding: Finding, matches: Iterable[Match], *, policy: Policy) -> Finding:
    """The finding that the policy makes of these matches."""
    territory = finding.listing.territory
    ordered = tuple(sorted((_judged(match, policy, territory) for match in matches), key=_weight, reverse=True))
    found = replace(finding, policy=str(policy), matches=ordered)
    return found if not ordered else decided_by(found, ordered[0])


def decided_by(finding: Finding, match: Match) -> Finding:
    """The finding with the verdict and the numbers of this match, which the policy has judged already."""
    assert match.verdict is not None, "a match that was judged has a verdict"
    return replace(
        finding,
        verdict=match.verdict,
        kind=None if match.verdict is Verdict.CLEAR else match.kind,
        product=match.reference.product,
        brand=match.reference.brand,
        similarity=match.similarity,
        normalised_similarity=match.normalised_similarity,
        look=match.look,
        probability=match.probability,
        threshold=match.threshold,
        flag_threshold=match.flag_threshold,
        suppressed_by=match.suppressed_by,
        image=match.image,
        image_sha256=match.image_sha256,
    )


def weighed(match: Match, policy: Policy) -> Match:
    """The match with the probability from the policy's fusion, or without one if there is no fusion."""
    probability = policy.fusion.probability(match) if policy.fusion is not None else None
    return match if match.probability == probability else replace(match, probability=probability)


def _weight(match: Match) -> tuple[int, float]:
    return _RANK[match.verdict or Verdict.CLEAR], match.strength


def _judged(match: Match, policy: Policy, territory: str | None) -> Match:
    known = weighed(match, policy)
    scope = policy.scope(match.reference.brand, territory).of(known.kind)
    verdict = Verdict.CLEAR if known.suppressed_by is not None else scope.verdict(known.strength)
    flag = None if scope.withdrawn is not None else scope.flag
    return replace(known, verdict=verdict, threshold=scope.threshold(verdict), flag_threshold=flag)


def _candidates(photos: Sequence[PhotoMatches], policy: Policy, territory: str | None) -> list[Match]:
    """Of each product the match with the strongest verdict, over all photos; a suppressed one only if all are."""
    best: dict[tuple[str, str], Match] = {}
    for photo in photos:
        for match in photo.matches:
            beside = (each for each in photo.harmless if each.region in (None, match.region))
            name = next((each.reference.id for each in beside if _is_closer(each, match)), None)
            seen = replace(match, image=photo.image, image_sha256=photo.sha256, suppressed_by=name)
            seen = _judged(seen, policy, territory)
            product = match.reference.brand, match.reference.product
            if product not in best or _merit(seen) > _merit(best[product]):
                best[product] = seen
    return sorted(best.values(), key=_merit, reverse=True)[:MOST_MATCHES]


def _is_closer(harmless: Match, match: Match) -> bool:
    """Whether a photo is closer to a harmless photo than to a reference: by similarity, and by look if there is one."""
    closer = harmless.similarity > match.similarity
    return closer and (harmless.look is None or match.look is None or harmless.look >= match.look)


def _merit(match: Match) -> tuple[bool, int, float]:
    return match.suppressed_by is None, *_weight(match)
