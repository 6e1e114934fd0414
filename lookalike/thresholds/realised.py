"""What a policy's flags turn out to be on labelled queries, against what it promised when it was tuned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookalike.binomial import Share
from lookalike.policy.policy import Policy
from lookalike.policy.terms import Scope
from lookalike.records import Verdict

from .brands import as_brands
from .metrics import as_queries


@dataclass(frozen=True)
class Realised:
    """What a policy's flags turned out to be on labelled queries: on all of them, or on those of one of its scopes.

    `precision`: the share of its flags that were right. `false_flags`: the share of the unrelated queries that it
    flagged. The promised shares are None if nothing was promised.
    """

    of: str
    precision: Share
    false_flags: Share
    promised_precision: float | None
    promised_false_flags: float | None

    @property
    def errors(self) -> int:
        """How many flags were wrong."""
        return self.precision.total - self.precision.count

    @property
    def precision_broken(self) -> bool:
        """Whether even the upper end of the realised precision's 95 % interval is below the promised one."""
        return self.promised_precision is not None and self.precision.high < self.promised_precision

    @property
    def false_flags_broken(self) -> bool:
        """Whether even the lower end of the realised false flags' 95 % interval is above the promised share."""
        return self.promised_false_flags is not None and self.false_flags.low > self.promised_false_flags

    @property
    def broken(self) -> bool:
        """Whether the queries are evidence against the promise. If not, there may just be too few of them to tell."""
        return self.precision_broken or self.false_flags_broken


def realised_promise(
    similarity: ArrayLike,
    correct: ArrayLike,
    brand: Sequence[str],
    *,
    related: ArrayLike,
    policy: Policy,
    territory: Sequence[str | None] | None = None,
    kind: Sequence[str | None] | None = None,
) -> list[Realised]:
    """What the policy flags of n answers and how much of that is right: of all, then of each scope with a promise.

    `similarity` (n,) is the one that the policy's thresholds are on, `brand` belongs to each answer's product,
    `territory` to the listing, None where unknown, `kind` to the answer. `correct` and `related` are as for
    `evaluate_retrieval`. A scope, or a kind in it, has a promise of its own if its evidence says that no more labels
    are needed; it is measured on the answers that it decides. The policy must not have been tuned on these queries.
    Raises ValueError for shapes that differ.
    """
    similarities, right, could = as_queries(similarity, correct, related)
    territories = [None] * len(right) if territory is None else territory
    kinds = [None] * len(right) if kind is None else kind
    places = zip(as_brands(brand, similarities).tolist(), territories, kinds, strict=True)
    scopes = [policy.scope(brand, territory).of(kind) for brand, territory, kind in places]
    verdicts = [scope.verdict(float(value)) for scope, value in zip(scopes, similarities, strict=True)]
    flagged = np.array([verdict is Verdict.FLAGGED for verdict in verdicts], bool)
    promise = policy.promise

    def of(name: str, rows: NDArray[np.bool_]) -> Realised:
        return Realised(
            of=name,
            precision=Share.of(int((rows & flagged & right).sum()), int((rows & flagged).sum())),
            false_flags=Share.of(int((rows & flagged & ~could).sum()), int((rows & ~could).sum())),
            promised_precision=promise.precision if promise else None,
            promised_false_flags=promise.false_flags if promise else None,
        )

    everything = of("all", np.ones(len(right), bool))
    own = [(kind, scope) for kind, scope in promising(policy) if scope.withdrawn is None] if promise else []
    rows = [np.array([decided is scope for decided in scopes], bool) for _, scope in own]
    return [everything, *(of(_named(*each), decided) for each, decided in zip(own, rows, strict=True))]


def promising(policy: Policy) -> Iterator[tuple[str | None, Scope]]:
    """The scopes with a promise of their own, except the one for all, and the kinds that have one, with the kind."""
    general = policy.scope()
    for scope in (general, *policy.scopes):
        for kind in (None, *scope.kinds.own):
            decided = scope.of(kind)
            if decided.has_own_promise and decided is not general:
                yield kind, decided


def _named(kind: str | None, scope: Scope) -> str:
    place = " in ".join(part for part in (scope.brand or "all", scope.territory) if part)
    return place if kind is None else f"{place}, {kind}"
