"""From matches to a finding: thresholds from a policy file, nothing else. No pictures, no vectors here."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from .errors import PolicyError
from .records import Finding, Listing, Match, Verdict

_EXAMPLE = 'name = "mine"  [thresholds] flag = 0.8 review = 0.7  [encoder] weights_sha256 = "…"'


@dataclass(frozen=True)
class Policy:
    """Two thresholds on the similarity: from `flag` on a listing is flagged, from `review` on a person looks.

    `weights_sha256` binds the policy to the encoder whose similarities its thresholds were set on;
    None leaves that to you.

    >>> policy = Policy(name="mine", flag=0.8, review=0.7)
    >>> policy.verdict(0.8), policy.verdict(0.75), policy.verdict(0.1)
    (<Verdict.FLAGGED: 'flagged'>, <Verdict.REVIEW: 'review'>, <Verdict.CLEAR: 'clear'>)

    Raises PolicyError unless −1 ≤ review ≤ flag ≤ 1.
    """

    name: str
    flag: float
    review: float
    weights_sha256: str | None = None

    def __post_init__(self) -> None:
        if not -1 <= self.review <= self.flag <= 1:
            raise PolicyError(
                f"policy {self.name}: flag is {self.flag} and review {self.review}; needed -1 <= review <= flag <= 1"
            )

    def __str__(self) -> str:
        values = [self.name, self.flag, self.review, self.weights_sha256]
        return f"{self.name}@{hashlib.sha256(json.dumps(values).encode()).hexdigest()[:8]}"

    def verdict(self, similarity: float) -> Verdict:
        """What the thresholds say of that similarity."""
        if similarity >= self.flag:
            return Verdict.FLAGGED
        return Verdict.REVIEW if similarity >= self.review else Verdict.CLEAR

    def threshold(self, verdict: Verdict) -> float:
        """The threshold that the verdict rests on: for a clear listing the one that it stayed below."""
        return self.flag if verdict is Verdict.FLAGGED else self.review

    @classmethod
    def load(cls, path: str | Path) -> Policy:
        """Read a policy.toml. Raises PolicyError for one that is missing, no TOML, or lacks a threshold."""
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PolicyError(f"the policy {path} can't be read: {error}") from error
        return _parse(text, source=str(path))


@dataclass(frozen=True)
class PhotoMatches:
    """One photo of a listing and what it is alike to, best first; or, with `error`, why nothing is known."""

    image: str
    matches: tuple[Match, ...] = ()
    hint: str | None = None
    error: str | None = None


def default_policy(weights_sha256: str) -> Policy | None:
    """The policy that ships for the encoder of those weights, or None."""
    for entry in (files("lookalike") / "policies").iterdir():
        policy = _parse(entry.read_text(encoding="utf-8"), source=entry.name)
        if policy.weights_sha256 == weights_sha256:
            return policy
    return None


def decide(listing: Listing, photos: Sequence[PhotoMatches], *, policy: Policy, encoder: str) -> Finding:
    """Judge a listing by the photo of it that is most alike to a reference.

    A listing of which no photo could be read is `unreadable`; where some could, those decide and the
    others are told of in the finding's `error`.
    """
    troubles = [listing.error] if listing.error else []
    troubles += [photo.error for photo in photos if photo.error]
    error = "; ".join(dict.fromkeys(troubles)) or None
    readable = [photo for photo in photos if photo.error is None]
    if not readable:
        return Finding(listing, Verdict.UNREADABLE, str(policy), encoder, error=error or "it has no photo")
    strongest = max(readable, key=lambda photo: photo.matches[0].similarity if photo.matches else -1.0)
    hint = "; ".join(f"{photo.image}: {photo.hint}" for photo in readable if photo.hint) or None
    if not strongest.matches:
        return Finding(listing, Verdict.CLEAR, str(policy), encoder, image=strongest.image, error=error, hint=hint)
    best = strongest.matches[0]
    verdict = policy.verdict(best.similarity)
    return Finding(
        listing=listing,
        verdict=verdict,
        policy=str(policy),
        encoder=encoder,
        kind=None if verdict is Verdict.CLEAR else "lookalike",
        product=best.reference.product,
        brand=best.reference.brand,
        similarity=best.similarity,
        threshold=policy.threshold(verdict),
        matches=strongest.matches,
        image=strongest.image,
        error=error,
        hint=hint,
    )


def _parse(text: str, *, source: str) -> Policy:
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"the policy {source} is no TOML: {error}") from error
    known = {"name", "thresholds", "encoder", "about"}
    if unknown := set(values) - known:
        raise PolicyError(
            f"the policy {source} has unknown entries {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}"
        )
    thresholds, encoder = values.get("thresholds", {}), values.get("encoder", {})
    if not isinstance(thresholds, dict) or set(thresholds) != {"flag", "review"}:
        raise PolicyError(f"the policy {source} needs [thresholds] with flag and review, like: {_EXAMPLE}")
    if not isinstance(encoder, dict) or not set(encoder) <= {"name", "weights_sha256"}:
        raise PolicyError(f"the policy {source} may have in [encoder] only name and weights_sha256, like: {_EXAMPLE}")
    return Policy(
        name=str(values.get("name", Path(source).stem)),
        flag=_number(thresholds["flag"], source),
        review=_number(thresholds["review"], source),
        weights_sha256=str(encoder["weights_sha256"]) if "weights_sha256" in encoder else None,
    )


def _number(value: Any, source: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PolicyError(f"the policy {source} has the threshold {value!r}; needed a number from -1 to 1")
    return float(value)
