"""The policy: what flags, for which brand and territory, and what was promised when that was set.

A policy is a file, policy.toml, that people read, review and keep under version control. `str(policy)` is its label:
its name with a hash of what it judges with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from lookalike.errors import PolicyError
from lookalike.records import Verdict
from lookalike.rights.claims import Claims

from .cohort import Cohort
from .cohort_file import load_cohort
from .file import parse_file, read_text, write_file
from .fusion import Fusion
from .terms import Evidence, Kinds, Promise, Reach, Scope, Thresholds
from .tuned_on import TunedOn


@dataclass(frozen=True)
class Policy:
    """Two thresholds on the similarity: a listing at `flag` or above is flagged, one at `review` or above is reviewed.

    `scopes` have thresholds of their own, and so may the `kinds` of likeness. `weights_sha256` and `index_digest` bind
    the policy to the encoder and the index that its thresholds were set on; None leaves that to you. With a `cohort`,
    thresholds apply to the normalised similarity. With a `fusion`, they apply to its probability, with or without a
    cohort. `reach` says which photos are compared point by point, for the fusion and for the kind of a finding.
    `claims` says which rights can support a match, if rights are looked up. `tuned_on` are the labels that the
    thresholds were set on.

    >>> policy = Policy(name="mine", flag=0.8, review=0.7)
    >>> policy.verdict(0.8), policy.verdict(0.75), policy.verdict(0.1)
    (<Verdict.FLAGGED: 'flagged'>, <Verdict.REVIEW: 'review'>, <Verdict.CLEAR: 'clear'>)

    Raises PolicyError if a scope's review threshold is above its flag threshold or either is out of range, if two
    scopes have the same brand and territory, or if there is a fusion but nothing to compare for it.
    """

    name: str
    flag: float | None
    review: float
    weights_sha256: str | None = None
    index_digest: str | None = None
    scopes: tuple[Scope, ...] = ()
    cohort: Cohort | None = None
    reach: Reach = field(default_factory=Reach)
    fusion: Fusion | None = None
    promise: Promise | None = None
    evidence: Evidence | None = None
    withdrawn: str | None = None
    created: date | None = None
    expires: date | None = None
    about: str = ""
    claims: Claims = field(default_factory=Claims)
    kinds: Kinds = field(default_factory=Kinds)
    tuned_on: TunedOn | None = None
    _by_place: Mapping[tuple[str | None, str | None], Scope] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        own = Scope(self.flag, self.review, evidence=self.evidence, withdrawn=self.withdrawn, kinds=self.kinds)
        places = {(scope.brand, scope.territory): scope for scope in (own, *self.scopes)}
        if len(places) != len(self.scopes) + 1:
            raise PolicyError("two scopes have the same brand and territory; keep one")
        if self.fusion is not None and self.reach.references < 1:
            raise PolicyError("there is a [fusion], but [verification] has 0 references to compare with; set 1 or more")
        low, high = (0.0, 1.0) if self.fusion else (-1.0, 1.0) if self.cohort is None else (-100.0, 100.0)
        for kind, scope in ((kind, place.of(kind)) for place in places.values() for kind in (None, *place.kinds.own)):
            if not (low <= scope.review <= high and (scope.flag is None or scope.review <= scope.flag <= high)):
                where = " ".join(filter(None, (scope.brand, scope.territory, kind)))
                raise PolicyError(
                    f"flag is {scope.flag} and review {scope.review}{where and f' for {where}'}, "
                    f"expected {low:g} <= review <= flag <= {high:g}"
                )
        object.__setattr__(self, "_by_place", places)

    def __str__(self) -> str:
        return self._label

    def made(self, label: object) -> bool:
        """Whether a finding that carries this label was made with this policy.

        Older findings carry a hash of the whole file, which counts as well.
        """
        return label in (self._label, self._label_of_file)

    @cached_property
    def _label(self) -> str:
        alike = json.loads(json.dumps(self._judging()), parse_int=float)  # 1 judges as 1.0 does
        return f"{self.name}@{_hash(alike)}"

    @cached_property
    def _label_of_file(self) -> str:
        return f"{self.name}@{_hash(self._tables())}"

    def scope(self, brand: str | None = None, territory: str | None = None) -> Scope:
        """The thresholds for a brand in a territory: those for both, else the brand's, the territory's, the policy's.

        >>> policy = Policy("mine", 0.8, 0.7, scopes=(Scope(0.9, 0.7, brand="Acme"),))
        >>> policy.scope("Acme", "DE").flag, policy.scope("Other", "DE").flag
        (0.9, 0.8)
        """
        for place in ((brand, territory), (brand, None), (None, territory)):
            if place in self._by_place:
                return self._by_place[place]
        return self._by_place[None, None]

    def verdict(
        self, strength: float, *, brand: str | None = None, territory: str | None = None, kind: str | None = None
    ) -> Verdict:
        """The verdict for a similarity, normalised if there is a cohort, or for a probability if there is a fusion.

        Without a `kind`, by the thresholds of kinds without their own.
        """
        return self.scope(brand, territory).of(kind).verdict(strength)

    @property
    def needs_points(self) -> bool:
        """Whether its verdicts depend on matching points: by its fusion, or because kinds have their own thresholds."""
        return self.fusion is not None or any(scope.kinds.own for scope in self._by_place.values())

    @property
    def lowest_review(self) -> float:
        """The lowest review threshold of all its scopes and their kinds."""
        scopes = self._by_place.values()
        return min(scope.of(kind).review for scope in scopes for kind in (None, *scope.kinds.own))

    @property
    def compared(self) -> Reach:
        """What is compared point by point: without a similarity of its own, whatever may reach review.

        With a fusion that is any photo, since points alone may decide.
        """
        if self.reach.similarity is not None or self.fusion is not None:
            return self.reach
        return replace(self.reach, similarity=self.lowest_review)

    def expired(self, today: date) -> bool:
        """Whether the policy's last day has passed."""
        return self.expires is not None and today > self.expires

    @classmethod
    def load(cls, path: str | Path) -> Policy:
        """Read a policy.toml, and its cohort beside it.

        Raises PolicyError, naming the file and the entry, if the file can't be read or parsed, if an entry is missing,
        unknown or out of bounds, or if the cohort isn't the one that the policy names.
        """
        path = Path(path)
        return parse(read_text(path), source=str(path), folder=path.parent)

    def save(self, path: str | Path) -> None:
        """Write the policy, and its cohort beside it; each file appears whole or not at all."""
        path = Path(path)
        tables = self._tables()
        if self.cohort is not None:
            tables["cohort"]["file"] = f"{path.stem}.cohort.npy"
            self.cohort.save(path.with_name(tables["cohort"]["file"]))
        write_file(tables, path)

    def _tables(self) -> dict[str, Any]:
        """Everything that the file says except where the cohort is. Labels of older findings rest on the order."""
        tables: dict[str, Any] = {"name": self.name, "about": self.about or None, "created": self.created,
                                  "expires": self.expires}  # fmt: skip
        tables["thresholds"] = _thresholds(self._by_place[None, None])
        tables["promise"] = _promise(self.promise) if self.promise else None
        tables["encoder"] = {"weights_sha256": self.weights_sha256}
        tables["index"] = {"digest": self.index_digest}
        tables["cohort"] = self.cohort.to_dict() if self.cohort else None
        tables["verification"] = _reach(self.reach) if self.reach != Reach() else None
        tables["fusion"] = self.fusion.to_dict() if self.fusion else None
        tables["claims"] = self.claims.to_dict() if self.claims != Claims() else None
        tables["scopes"] = [
            {"brand": scope.brand, "territory": scope.territory, **_thresholds(scope)} for scope in self.scopes
        ] or None
        tables["tuned_on"] = asdict(self.tuned_on) if self.tuned_on else None
        shown: dict[str, Any] = _without_none(tables)
        return shown

    def _judging(self) -> dict[str, Any]:
        """What verdicts depend on. What the thresholds rest on, what was promised and when, is left out."""
        return {
            "scopes": [
                [*place, scope.flag, scope.review, scope.withdrawn is not None, *_judging_kinds(scope)]
                for place, scope in sorted(self._by_place.items(), key=lambda item: [each or "" for each in item[0]])
            ],
            "weights_sha256": self.weights_sha256,
            "cohort": self.cohort.to_dict() if self.cohort else None,
            "reach": _reach(self.reach),
            "fusion": {**self.fusion.to_dict(), "labels": None} if self.fusion else None,
            "claims": self.claims.to_dict(),
        }


def parse(text: str, *, source: str, folder: Path | None) -> Policy:
    """The policy that a text says; `source` names the file in errors, and its cohort is read from `folder`.

    Raises PolicyError as `Policy.load` does.
    """
    file = parse_file(text, source=source)
    own = file.thresholds
    try:
        return Policy(
            name=file.name or Path(source).stem,
            flag=own.flag,
            review=own.review,
            weights_sha256=file.encoder.weights_sha256,
            index_digest=file.index.digest,
            scopes=file.scopes,
            cohort=load_cohort(file.cohort, folder=folder) if file.cohort else None,
            reach=file.verification,
            fusion=file.fusion,
            promise=file.promise,
            evidence=own.evidence,
            withdrawn=own.withdrawn,
            created=file.created,
            expires=file.expires,
            about=file.about,
            claims=file.claims,
            kinds=own.kinds,
            tuned_on=file.tuned_on,
        )
    except PolicyError as error:
        raise PolicyError(f"policy {source}: {error}") from error.__cause__


def withdraw(
    policy: Policy, reason: str, *, brand: str | None = None, territory: str | None = None, kind: str | None = None
) -> Policy:
    """The policy with a scope's flags going to review, and the reason; without brand and territory, all scopes'.

    With a `kind` that has thresholds of its own, only flags by those.
    """
    everything = brand is None and territory is None
    if kind is not None:
        here = tuple(
            _without_kind(scope, reason, kind) if (scope.brand, scope.territory) == (brand, territory) else scope
            for scope in policy.scopes
        )
        kinds = _without_kind(policy.scope(), reason, kind).kinds if everything else policy.kinds
        return replace(policy, scopes=here, kinds=kinds)
    scopes = tuple(
        replace(scope, withdrawn=reason)
        if everything or (scope.brand, scope.territory) == (brand, territory)
        else scope
        for scope in policy.scopes
    )
    return replace(policy, scopes=scopes, withdrawn=reason if everything else policy.withdrawn)


def _without_kind(scope: Scope, reason: str, kind: str) -> Scope:
    own = scope.kinds.own[kind]
    return replace(scope, kinds=replace(scope.kinds, **{kind: replace(own, withdrawn=reason)}))


def _judging_kinds(scope: Scope) -> list[dict[str, Any]]:
    """What verdicts by kind depend on; nothing if no kind has thresholds of its own."""
    kinds = {kind: [own.flag, own.review, own.withdrawn is not None] for kind, own in scope.kinds.own.items()}
    return [kinds] if kinds else []


def _reach(reach: Reach) -> dict[str, Any]:
    """The entries of a reach; those that came later only if they are used, so that policies keep their labels."""
    first, default = ("similarity", "references", "photos"), Reach()
    return {name: value for name, value in asdict(reach).items() if name in first or value != getattr(default, name)}


def _promise(promise: Promise) -> dict[str, Any]:
    return asdict(promise) | {"by_kind": promise.by_kind or None}


def _hash(said: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, default=str).encode()).hexdigest()[:8]


def _thresholds(scope: Scope | Thresholds) -> dict[str, Any]:
    evidence = asdict(scope.evidence) if scope.evidence else None
    if evidence is not None:
        evidence["unrelated_needed"] = evidence["unrelated_needed"] or None
    own = scope.kinds.own if isinstance(scope, Scope) else {}
    return {
        "flag": scope.flag,
        "review": scope.review,
        "withdrawn": scope.withdrawn,
        "evidence": evidence,
        "kinds": {kind: _thresholds(thresholds) for kind, thresholds in own.items()},
    }


def _without_none(value: Any) -> Any:
    """The tables without the entries that are None, and without the tables that this leaves empty."""
    if isinstance(value, Mapping):
        kept = {name: _without_none(each) for name, each in value.items()}
        return {name: each for name, each in kept.items() if each is not None and each != {}}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_none(entry) for entry in value]
    return value
