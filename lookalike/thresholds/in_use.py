"""The policy that made labelled findings, and what becomes of them by another one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lookalike.detection.decision import judge
from lookalike.detection.verification import as_compared
from lookalike.errors import PolicyError, TableError
from lookalike.model.encoder import EncoderSpec
from lookalike.policy.policy import Policy
from lookalike.policy.shipped import shipped_policies
from lookalike.records import Finding, Listing, Match, Verdict

from .labels import LabelledMatches, Labels


class Flags(NamedTuple):
    """How many of the labelled listings are flagged by a policy, and how many of those flags are right."""

    policy: str
    flagged: int
    right: int


def maker_of(policy: Policy | None, labels: Sequence[Labels], *, follow: bool) -> Policy | None:
    """The policy that made the labelled findings: the one given, or one that ships.

    It is None if it isn't known, and not needed: because its probability is not to be followed, or because it has none
    and doesn't normalise. Raises PolicyError if it is needed, and if another policy or several made the findings.
    """
    made = sorted(set().union(*(each.policies for each in labels)))
    known = shipped_policies() if policy is None else [policy]
    found = {label: next((each for each in known if each.made(label)), None) for label in made}
    strange = [label for label, each in found.items() if each is None]
    if policy is not None:
        if strange:
            raise PolicyError(
                f"the findings were made by {strange[0]}, not by {policy}; give the policy that made them"
            )
        return policy
    makers = {str(each): each for each in found.values() if each is not None}
    if len(makers) + len(strange) > 1:
        raise PolicyError(f"the findings were made by several policies ({', '.join(made)}); give those of one alone")
    decided = [photo.decided for each in labels for photo in each.photos if photo.decided]
    by = {
        "a normalised similarity": any(match.normalised_similarity is not None for match in decided),
        "a probability": follow and any(match.probability is not None for match in decided),
    }
    needed = next((name for name, used in by.items() if used), None)
    if strange and needed is not None:
        raise PolicyError(
            f"the findings were made by {strange[0]}, which judges by {needed} and is none that ships; give its file "
            "with --policy"
        )
    return next(iter(makers.values()), None)


def require_encoder(spec: EncoderSpec, labels: Sequence[Labels]) -> None:
    """Raise TableError if another encoder made the labelled findings: its similarities mean something else."""
    for made_by in sorted(set().union(*(each.encoders for each in labels))):
        if not made_by.endswith(f"@{spec.weights_sha256[:8]}"):
            raise TableError(
                f"the findings were made with the encoder {made_by}, but the index is of {spec}; scan again with this "
                "index, and tune on those findings"
            )


def flags_of(known: Labels, policy: Policy | None, tuned: Policy) -> Iterator[Flags]:
    """What of the labelled listings was flagged by the policy that made the findings, and is by the new one."""
    found = [
        (photo.decided, photo.is_right(photo.decided)) for photo in known.photos if photo.flagged and photo.decided
    ]
    if any(photo.flagged is not None for photo in known.photos):
        made_by = str(policy) if policy is not None else ", ".join(sorted(known.policies))
        yield Flags(made_by, len(found), sum(right for _, right in found))
    now = [photo.is_right(match) for photo in known.photos if (match := _flagged(photo, tuned)) is not None]
    yield Flags(str(tuned), len(now), sum(now))


def _flagged(photo: LabelledMatches, policy: Policy) -> Match | None:
    """The match for which the policy flags the listing, if it does."""
    listing = Listing(photo.name, (), territory=photo.territory)
    found = judge(Finding(listing, Verdict.CLEAR, "", ""), as_compared(photo.matches, policy.compared), policy=policy)
    return found.matches[0] if found.verdict is Verdict.FLAGGED else None
