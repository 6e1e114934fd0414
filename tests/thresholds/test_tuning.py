"""Brands with labels enough have thresholds of their own; the others borrow, and say from whom and what is missing."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from lookalike.binomial import trials_needed
from lookalike.errors import TableError
from lookalike.policy.policy import Policy
from lookalike.policy.terms import Promise
from lookalike.thresholds.guarantees import precision_threshold
from lookalike.thresholds.pairs import LabelledPairs
from lookalike.thresholds.tuning import tune

NINETY = Promise(0.95, precision=0.9)


def pairs(brand: str, count: int, *, seed: int = 0, middle: float = 0.8, territory: str = "") -> LabelledPairs:
    rng = np.random.default_rng(seed)
    alike = rng.random(count) < 0.5
    similarity = np.clip(np.where(alike, rng.normal(middle, 0.05, count), rng.normal(middle - 0.3, 0.05, count)), -1, 1)
    return LabelledPairs.of(
        (s, a, brand, territory, date(2026, 1, 1 + k % 28))
        for k, (s, a) in enumerate(zip(similarity, alike, strict=True))
    )


def joined(*parts: LabelledPairs) -> LabelledPairs:
    columns = ("similarity", "lookalike", "brand", "territory", "day", "kind")
    return LabelledPairs(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))


def test_a_brand_with_labels_enough_has_its_own_threshold() -> None:
    large, other = pairs("Acme", 400), pairs("Other", 400, seed=1, middle=0.6)
    policy = tune(joined(large, other), promise=NINETY)
    own = precision_threshold(large.similarity, large.lookalike, precision=0.9, confidence=0.95)
    scope = policy.scope("Acme")
    assert scope.flag == own.threshold  # type: ignore[union-attr]
    evidence = scope.evidence
    assert evidence is not None and (evidence.of, evidence.labels, evidence.more_needed) == ("Acme", 400, 0)
    assert (evidence.since, evidence.until) == (date(2026, 1, 1), date(2026, 1, 28))
    assert evidence.flags == (large.similarity >= scope.flag).sum()
    other_flag = policy.scope("Other").flag
    assert other_flag is not None and scope.flag is not None and other_flag < scope.flag - 0.1


def test_a_brand_with_eight_labels_borrows_and_says_how_many_are_missing() -> None:
    few = LabelledPairs.of((0.9, True, "Small", "", None) for _ in range(8))
    policy = tune(joined(pairs("Acme", 400), few), promise=NINETY)
    scope = policy.scope("Small")
    assert scope.flag == policy.flag
    assert scope.evidence is not None and (scope.evidence.of, scope.evidence.more_needed) == ("all", 29 - 8)


def test_borrows_from_its_category_before_all() -> None:
    shoes = joined(pairs("A", 100), pairs("B", 100, seed=1))
    bags = pairs("C", 400, seed=2, middle=0.6)
    few = LabelledPairs.of((0.8, True, "New", "", None) for _ in range(3))
    policy = tune(
        joined(shoes, bags, few), promise=NINETY, categories={"A": "shoes", "B": "shoes", "New": "shoes", "C": "bags"}
    )
    scope = policy.scope("New")
    assert scope.evidence is not None and scope.evidence.of == "category shoes"
    shoes_only = tune(joined(shoes, few), promise=NINETY)
    assert scope.flag == shoes_only.flag


def test_with_too_few_labels_altogether_nothing_is_flagged() -> None:
    few = LabelledPairs.of((0.75 + 0.01 * k, True, "Small", "", None) for k in range(8))
    policy = tune(few, promise=NINETY, brands=["Unlabelled"])
    assert policy.flag is None and all(scope.flag is None for scope in policy.scopes)
    assert policy.evidence is not None and policy.evidence.more_needed == 21
    unlabelled = policy.scope("Unlabelled").evidence
    assert unlabelled is not None and unlabelled.more_needed == trials_needed(0.9, 0.95) == 29
    assert policy.review == 0.75, "people look from the least alike look-alike on"


def test_a_cap_needs_no_confirmed_look_alike() -> None:
    unrelated = LabelledPairs.of((s, False, "Acme", "", None) for s in np.linspace(0.2, 0.6, 500))
    policy = tune(LabelledPairs.of([]), promise=Promise(0.95, false_flags=0.01), unrelated=unrelated, review_share=0.05)
    assert policy.flag is not None and 0.59 < policy.flag < 0.61
    assert (unrelated.similarity >= policy.review).mean() <= 0.05


def test_both_promises_take_the_stricter_threshold() -> None:
    labelled = pairs("Acme", 400)
    unrelated = LabelledPairs.of((s, False, "Acme", "", None) for s in np.linspace(0.5, 0.9, 500))
    precise, capped, both = (
        tune(labelled, promise=p, unrelated=unrelated)
        for p in (NINETY, Promise(0.95, false_flags=0.02), Promise(0.95, 0.9, 0.02))
    )
    assert precise.flag is not None and capped.flag is not None
    assert both.flag == max(precise.flag, capped.flag) == capped.flag


def test_a_territory_with_labels_enough_has_its_own_threshold() -> None:
    german, french = pairs("Acme", 300, territory="DE"), pairs("Acme", 300, seed=1, middle=0.6, territory="FR")
    policy = tune(joined(german, french, pairs("Acme", 5, territory="IT")), promise=NINETY)
    flags = [policy.scope("Acme", territory).flag for territory in ("DE", "FR", "IT")]
    assert None not in flags and flags[0] != flags[1]
    assert flags[2] == policy.scope("Acme").flag


def test_review_never_lies_above_flag() -> None:
    for seed in range(5):
        policy: Policy = tune(pairs("Acme", 150, seed=seed), promise=NINETY, review_share=0.001)
        assert all(scope.flag is None or scope.review <= scope.flag for scope in (policy.scope(), *policy.scopes))


def test_refuses_to_tune_on_nothing() -> None:
    with pytest.raises(TableError, match="no labelled pairs"):
        tune(LabelledPairs.of([]), promise=NINETY)
    with pytest.raises(TableError, match="nothing is promised"):
        tune(pairs("Acme", 50), promise=Promise(0.95))
