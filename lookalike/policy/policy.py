"""The policy: what flags, for which brand and territory, and what was promised when that was set.

A policy is a file, policy.toml, that people read, review and keep under version control; `str(policy)` names it with
a hash of all that it says.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from lookalike.errors import PolicyError
from lookalike.records import Verdict
from lookalike.rights.claims import Claims

from .cohort import Cohort, load_cohort
from .fusion import Fusion

_EXAMPLE = 'name = "mine"  [thresholds] flag = 0.8 review = 0.7  [encoder] weights_sha256 = "…"'
_LARGEST = 1 << 24
_MOST_COMPARED = 50  # references a photo, and photos a listing: the cost of a listing stays bounded
_LARGEST_COEFFICIENT = 1e4


@dataclass(frozen=True)
class Evidence:
    """What a threshold rests on: labelled pairs of `of` (a brand, a category, or "all"), and what they showed.

    Of `labels` pairs, `flags` were at the flag threshold or above, `errors` of those not look-alikes. `more_needed`
    is how many more labelled pairs above it, without an error, a promise for this scope itself would take; 0 where
    the promise is its own. `since` and `until` are the first and last day that the labels are of.
    """

    of: str
    labels: int
    flags: int = 0
    errors: int = 0
    more_needed: int = 0
    since: date | None = None
    until: date | None = None


@dataclass(frozen=True)
class Scope:
    """Thresholds for one brand, or one brand in one territory, or (with neither) for all the rest.

    From `flag` on a listing is flagged, None flags nothing; from `review` on a person looks. `withdrawn` says why the
    flag band has been given to review until the policy is tuned again.
    """

    flag: float | None
    review: float
    brand: str | None = None
    territory: str | None = None
    evidence: Evidence | None = None
    withdrawn: str | None = None

    @property
    def has_own_promise(self) -> bool:
        """Whether its flags keep a promise of its own: not borrowed, and with nothing missing."""
        return self.flag is not None and self.evidence is not None and self.evidence.more_needed == 0

    def verdict(self, strength: float) -> Verdict:
        """What the thresholds say of that similarity, which is the normalised one where the policy normalises."""
        if strength >= self.review or (self.flag is not None and strength >= self.flag):
            flagged = self.flag is not None and self.withdrawn is None and strength >= self.flag
            return Verdict.FLAGGED if flagged else Verdict.REVIEW
        return Verdict.CLEAR

    def threshold(self, verdict: Verdict) -> float:
        """The threshold that the verdict rests on: for a clear listing the one that it stayed below."""
        return self.flag if verdict is Verdict.FLAGGED and self.flag is not None else self.review


@dataclass(frozen=True)
class Promise:
    """What `lookalike tune` was asked to keep, each with `confidence` (0 to 1): that of what is flagged at least
    `precision` is right, and that of unrelated listings at most `false_flags` are flagged.

    It was kept on what the index's search found. Of a partitioned index that search decided `search_agreeing` of
    `search_probes` probes as an exact one does; both are None for exact search.

    >>> print(Promise(0.95, precision=0.9, search_agreeing=4093, search_probes=4096))
    at least 90% of flags right, with 95% confidence; by a search that decides 4,093 of 4,096 probes as an exact one
    """

    confidence: float
    precision: float | None = None
    false_flags: float | None = None
    search_agreeing: int | None = None
    search_probes: int | None = None

    def __str__(self) -> str:
        parts = []
        if self.precision is not None:
            parts.append(f"at least {self.precision:.0%} of flags right")
        if self.false_flags is not None:
            parts.append(f"at most {self.false_flags:.2%} of unrelated listings flagged")
        each = "each " if len(parts) > 1 else ""
        said = f"{' and '.join(parts)}, {each}with {self.confidence:.0%} confidence"
        if self.search_agreeing is None:
            return said
        probes = f"{self.search_agreeing:,} of {self.search_probes:,} probes"
        return f"{said}; by a search that decides {probes} as an exact one"


@dataclass(frozen=True)
class Reach:
    """Which photos are compared point by point, and with how many of the references nearest to them.

    Those that are at least so alike to one: `similarity`, the normalised one where the policy normalises, None for the
    review threshold. Of a listing, its `photos` most alike ones at most.
    """

    similarity: float | None = None
    references: int = 8
    photos: int = 4


@dataclass(frozen=True)
class Policy:
    """Two thresholds on the similarity: from `flag` on a listing is flagged, from `review` on a person looks.

    `scopes` have thresholds of their own. `weights_sha256` and `index_digest` bind the policy to the encoder and the
    index whose similarities its thresholds were set on; None leaves that to you. With a `cohort` the thresholds are
    on the normalised similarity; with a `fusion` on the probability that it gives, whatever else there is. `reach` says
    which photos are compared point by point, for the fusion and for the kind of a finding. `claims` says which
    rights a match may rest on, where rights are asked for.

    >>> policy = Policy(name="mine", flag=0.8, review=0.7)
    >>> policy.verdict(0.8), policy.verdict(0.75), policy.verdict(0.1)
    (<Verdict.FLAGGED: 'flagged'>, <Verdict.REVIEW: 'review'>, <Verdict.CLEAR: 'clear'>)

    Raises PolicyError unless review ≤ flag for all scopes, no two are of the same brand and territory, and a fusion
    comes with the similarity that it reaches down to.
    """

    name: str
    flag: float | None
    review: float
    weights_sha256: str | None = None
    index_digest: str | None = None
    scopes: tuple[Scope, ...] = ()
    cohort: Cohort | None = None
    reach: Reach = Reach()
    fusion: Fusion | None = None
    promise: Promise | None = None
    evidence: Evidence | None = None
    withdrawn: str | None = None
    created: date | None = None
    expires: date | None = None
    about: str = ""
    claims: Claims = field(default_factory=Claims)
    _by_place: Mapping[tuple[str | None, str | None], Scope] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        own = Scope(self.flag, self.review, evidence=self.evidence, withdrawn=self.withdrawn)
        places = {(scope.brand, scope.territory): scope for scope in (own, *self.scopes)}
        if len(places) != len(self.scopes) + 1:
            raise PolicyError(f"policy {self.name} has two entries for the same brand and territory; keep one")
        if self.fusion is not None and (self.reach.similarity is None or self.reach.references < 1):
            raise PolicyError(
                f"policy {self.name} has a [fusion]; needed a similarity and references in [verification]"
            )
        low, high = (-1.0, 1.0) if self.cohort is None else (-100.0, 100.0)
        if self.fusion is not None:
            low, high = 0.0, 1.0
        for scope in places.values():
            if not (low <= scope.review <= high and (scope.flag is None or scope.review <= scope.flag <= high)):
                where = f" for {scope.brand or 'all'} {scope.territory or ''}".rstrip() if scope is not own else ""
                raise PolicyError(
                    f"policy {self.name}: flag is {scope.flag} and review {scope.review}{where}; "
                    f"needed {low:g} <= review <= flag <= {high:g}"
                )
        object.__setattr__(self, "_by_place", places)

    def __str__(self) -> str:
        return self._label

    @cached_property
    def _label(self) -> str:
        return f"{self.name}@{hashlib.sha256(json.dumps(self._said(), default=str).encode()).hexdigest()[:8]}"

    def scope(self, brand: str | None = None, territory: str | None = None) -> Scope:
        """The thresholds for that brand there: its own in that territory, else its own, else the policy's.

        >>> policy = Policy("mine", 0.8, 0.7, scopes=(Scope(0.9, 0.7, brand="Acme"),))
        >>> policy.scope("Acme", "DE").flag, policy.scope("Other", "DE").flag
        (0.9, 0.8)
        """
        for place in ((brand, territory), (brand, None), (None, territory)):
            if place in self._by_place:
                return self._by_place[place]
        return self._by_place[None, None]

    def verdict(self, strength: float, *, brand: str | None = None, territory: str | None = None) -> Verdict:
        """What the thresholds say of that similarity, the normalised one where there is a cohort."""
        return self.scope(brand, territory).verdict(strength)

    @property
    def lowest_review(self) -> float:
        """The lowest review threshold of all its scopes."""
        return min(scope.review for scope in self._by_place.values())

    def expired(self, today: date) -> bool:
        """Whether its day has passed."""
        return self.expires is not None and today > self.expires

    @classmethod
    def load(cls, path: str | Path) -> Policy:
        """Read a policy.toml, and its cohort beside it.

        Raises PolicyError for one that is missing, no TOML, lacks a threshold or has an entry unknown here, and for a
        cohort that is missing or not what the policy says.
        """
        path = Path(path)
        try:
            if path.stat().st_size > _LARGEST:
                raise PolicyError(f"the policy {path} is larger than {_LARGEST >> 20} MiB, so it is none")
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PolicyError(f"the policy {path} can't be read: {error}") from error
        return parse(text, source=str(path), folder=path.parent)

    def save(self, path: str | Path) -> None:
        """Write the policy, and its cohort beside it, each in one step."""
        import tomli_w

        path = Path(path)
        said = self._said()
        if self.cohort is not None:
            said["cohort"]["file"] = f"{path.stem}.cohort.npy"
            self.cohort.save(path.with_name(said["cohort"]["file"]))
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_text(tomli_w.dumps(said, multiline_strings=True), encoding="utf-8")
        temporary.replace(path)

    def _said(self) -> dict[str, Any]:
        """All that the file says, but where the cohort lies; nothing that is None."""
        said: dict[str, Any] = {"name": self.name, "about": self.about or None, "created": self.created,
                                "expires": self.expires}  # fmt: skip
        said["thresholds"] = _scope_said(self._by_place[None, None])
        said["promise"] = asdict(self.promise) if self.promise else None
        said["encoder"] = {"weights_sha256": self.weights_sha256}
        said["index"] = {"digest": self.index_digest}
        said["cohort"] = self.cohort.said() if self.cohort else None
        said["verification"] = asdict(self.reach) if self.reach != Reach() else None
        said["fusion"] = asdict(self.fusion) if self.fusion else None
        said["claims"] = self.claims.said() if self.claims != Claims() else None
        said["scopes"] = [
            {"brand": scope.brand, "territory": scope.territory, **_scope_said(scope)} for scope in self.scopes
        ] or None
        shown: dict[str, Any] = _without_none(said)
        return shown


def default_policy(weights_sha256: str) -> Policy | None:
    """The policy that ships for the encoder of those weights, or None."""
    text = default_policy_text(weights_sha256)
    return None if text is None else parse(text, source="the one shipped", folder=None)


def shipped_policies() -> list[Policy]:
    """All policies that ship."""
    texts = (entry.read_text(encoding="utf-8") for entry in (files("lookalike.policy") / "shipped").iterdir())
    return [parse(text, source="the one shipped", folder=None) for text in texts]


def default_policy_text(weights_sha256: str) -> str | None:
    """The file of the policy that ships for the encoder of those weights, or None."""
    for entry in (files("lookalike.policy") / "shipped").iterdir():
        text = entry.read_text(encoding="utf-8")
        if parse(text, source=entry.name, folder=None).weights_sha256 == weights_sha256:
            return text
    return None


def parse(text: str, *, source: str, folder: Path | None) -> Policy:
    """A policy of its text; a cohort is read from `folder`. Raises PolicyError as `Policy.load` does."""
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise PolicyError(f"the policy {source} is no TOML: {error}") from error
    read = _Reader(source)
    read.only(
        values, "name", "about", "created", "expires", "thresholds", "promise", "encoder", "index", "cohort",
        "verification", "fusion", "claims", "scopes",
    )  # fmt: skip
    thresholds, scopes = values.get("thresholds"), values.get("scopes", [])
    if not isinstance(thresholds, dict) or "review" not in thresholds:
        raise PolicyError(f"the policy {source} needs [thresholds] with flag and review, like: {_EXAMPLE}")
    if not isinstance(scopes, list):
        raise PolicyError(f"the policy {source} needs scopes as [[scopes]] tables with brand, flag and review")
    own = read.scope(thresholds)
    if own.brand or own.territory:
        raise PolicyError(f"the policy {source} has a brand or territory in [thresholds]; needed under [[scopes]]")
    encoder, index = read.table(values, "encoder", "name", "weights_sha256"), read.table(values, "index", "digest")
    cohort = read.table(values, "cohort", "file", "sha256", "method", "nearest", "share", "count")
    return Policy(
        name=read.text(values, "name") or Path(source).stem,
        flag=own.flag,
        review=own.review,
        weights_sha256=read.text(encoder, "weights_sha256"),
        index_digest=read.text(index, "digest"),
        scopes=tuple(read.scope(entry) for entry in scopes),
        cohort=load_cohort(cohort, folder=folder, source=source) if cohort else None,
        reach=read.reach(values),
        fusion=read.fusion(values),
        promise=read.promise(values),
        evidence=own.evidence,
        withdrawn=own.withdrawn,
        created=read.day(values, "created"),
        expires=read.day(values, "expires"),
        about=read.text(values, "about") or "",
        claims=read.claims(values),
    )


@dataclass(frozen=True)
class _Reader:
    """Takes values out of a policy's tables, and says of which file and entry it is when one is wrong."""

    source: str

    def only(self, table: Mapping[str, Any], *known: str) -> None:
        if unknown := sorted(set(table) - set(known)):
            raise PolicyError(
                f"the policy {self.source} has unknown entries {', '.join(unknown)}; known: {', '.join(sorted(known))}"
            )

    def table(self, values: Mapping[str, Any], name: str, *known: str) -> dict[str, Any]:
        table = values.get(name, {})
        if not isinstance(table, dict):
            raise PolicyError(f"the policy {self.source} has {name} = {table!r}; needed a table [{name}]")
        self.only(table, *known)
        return table

    def scope(self, entry: Any) -> Scope:
        if not isinstance(entry, dict):
            raise PolicyError(f"the policy {self.source} has {entry!r} among scopes; needed a table")
        self.only(entry, *(f.name for f in fields(Scope)))
        review = self.number(entry, "review")
        if review is None:
            raise PolicyError(f"the policy {self.source} has a scope without review; needed a number")
        return Scope(
            flag=self.number(entry, "flag"),
            review=review,
            brand=self.text(entry, "brand"),
            territory=self.text(entry, "territory"),
            evidence=self.evidence(entry),
            withdrawn=self.text(entry, "withdrawn"),
        )

    def evidence(self, entry: Mapping[str, Any]) -> Evidence | None:
        table = self.table(entry, "evidence", *(f.name for f in fields(Evidence)))
        if not table:
            return None
        counts = {name: int(self.number(table, name) or 0) for name in ("labels", "flags", "errors", "more_needed")}
        return Evidence(
            self.text(table, "of") or "all", since=self.day(table, "since"), until=self.day(table, "until"), **counts
        )

    def promise(self, values: Mapping[str, Any]) -> Promise | None:
        table = self.table(values, "promise", *(f.name for f in fields(Promise)))
        if not table:
            return None
        shares = {name: self.number(table, name) for name in ("confidence", "precision", "false_flags")}
        if shares["confidence"] is None or not all(value is None or 0 < value < 1 for value in shares.values()):
            raise PolicyError(f"the policy {self.source} has {table} as [promise]; needed shares between 0 and 1")
        searched = tuple(table.get(name) for name in ("search_agreeing", "search_probes"))
        if searched == (None, None):
            return Promise(shares["confidence"], shares["precision"], shares["false_flags"])
        agreeing, probes = searched
        if type(agreeing) is not int or type(probes) is not int or not 0 <= agreeing <= probes:
            raise PolicyError(
                f"the policy {self.source} has search_agreeing = {agreeing!r} and search_probes = {probes!r} in "
                "[promise]; needed two whole numbers, the second not the smaller"
            )
        return Promise(shares["confidence"], shares["precision"], shares["false_flags"], agreeing, probes)

    def reach(self, values: Mapping[str, Any]) -> Reach:
        table = self.table(values, "verification", *(f.name for f in fields(Reach)))
        counts = {name: self.number(table, name) for name in ("references", "photos") if name in table}
        for name, value in counts.items():
            if value is None or not 0 <= value <= _MOST_COMPARED or value != int(value):
                raise PolicyError(
                    f"the policy {self.source} has {name} = {value:g} in [verification]; needed 0 to {_MOST_COMPARED}"
                )
        return Reach(self.number(table, "similarity"), **{name: int(value or 0) for name, value in counts.items()})

    def fusion(self, values: Mapping[str, Any]) -> Fusion | None:
        names = [f.name for f in fields(Fusion)]
        table = self.table(values, "fusion", *names)
        if not table:
            return None
        numbers = {name: self.number(table, name) for name in names if name != "labels"}
        if any(value is None or abs(value) > _LARGEST_COEFFICIENT for value in numbers.values()):
            raise PolicyError(
                f"the policy {self.source} has {table} as [fusion]; needed the numbers {', '.join(numbers)}"
            )
        return Fusion(
            **{name: value or 0.0 for name, value in numbers.items()}, labels=int(self.number(table, "labels") or 0)
        )

    def claims(self, values: Mapping[str, Any]) -> Claims:
        table = self.table(values, "claims", *Claims.names())
        lists = {name: self.texts(table, name) for name in Claims.names() if name != "unknown_territory"}
        said = {name: names for name, names in lists.items() if names is not None}
        unknown = self.text(table, "unknown_territory") or Claims.unknown_territory
        try:
            return Claims(unknown_territory=unknown, **said)
        except PolicyError as error:
            raise PolicyError(f"the policy {self.source}: {error}") from None

    def texts(self, table: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
        values = table.get(name)
        if values is None:
            return None
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise PolicyError(f"the policy {self.source} has {name} = {values!r}; needed a list of texts in quotes")
        return tuple(values)

    def number(self, table: Mapping[str, Any], name: str) -> float | None:
        value = table.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
            raise PolicyError(f"the policy {self.source} has {name} = {value!r}; needed a number")
        return float(value)

    def text(self, table: Mapping[str, Any], name: str) -> str | None:
        value = table.get(name)
        if value is not None and not isinstance(value, str):
            raise PolicyError(f"the policy {self.source} has {name} = {value!r}; needed text in quotes")
        return value

    def day(self, table: Mapping[str, Any], name: str) -> date | None:
        value = table.get(name)
        if value is not None and type(value) is not date:
            raise PolicyError(f"the policy {self.source} has {name} = {value!r}; needed a day like 2026-12-31")
        return value


def _scope_said(scope: Scope) -> dict[str, Any]:
    evidence = asdict(scope.evidence) if scope.evidence else None
    return {"flag": scope.flag, "review": scope.review, "withdrawn": scope.withdrawn, "evidence": evidence}


def _without_none(value: Any) -> Any:
    """The tables without entries that are None, and without tables that have none left."""
    if isinstance(value, Mapping):
        kept = {name: _without_none(v) for name, v in value.items()}
        return {name: v for name, v in kept.items() if v is not None and v != {}}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_none(entry) for entry in value]
    return value


def withdraw(policy: Policy, reason: str, *, brand: str | None = None, territory: str | None = None) -> Policy:
    """The policy with that scope's flag band given to review, and why; without brand and territory all of it."""
    everything = brand is None and territory is None
    scopes = tuple(
        replace(
            scope,
            withdrawn=reason if everything or (scope.brand, scope.territory) == (brand, territory) else scope.withdrawn,
        )
        for scope in policy.scopes
    )
    return replace(policy, scopes=scopes, withdrawn=reason if everything else policy.withdrawn)
