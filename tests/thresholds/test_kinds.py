"""Kinds with labels enough get thresholds of their own, at a confidence that covers all kinds at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lookalike.binomial import trials_needed
from lookalike.policy.fusion import Fusion
from lookalike.policy.policy import Policy
from lookalike.policy.terms import Promise
from lookalike.records import KINDS
from lookalike.thresholds.guarantees import precision_threshold
from lookalike.thresholds.monitor import monitor_policy, withdraw_broken
from lookalike.thresholds.observed import ReviewedFlag
from lookalike.thresholds.pairs import LabelledPairs
from lookalike.thresholds.promises import check_promises
from lookalike.thresholds.realised import realised_promise
from lookalike.thresholds.tuning import tune

NINETY = Promise(0.95, precision=0.9)
WRONG_BELOW = {"copied_photo": 0.2, "same_print": 0.8, "lookalike": 0.6}
"""From this similarity on, pairs of a kind are right."""


def pairs(seed: int = 0, brand: str = "", **counts: int) -> LabelledPairs:
    rng = np.random.default_rng(seed)
    rows, kinds = [], []
    for kind, count in counts.items():
        for value in rng.random(count).tolist():
            rows.append((value, value > WRONG_BELOW.get(kind, 0.5), brand, "", None))
            kinds.append(kind)
    return LabelledPairs.of(rows, kinds)


def together(*parts: LabelledPairs) -> LabelledPairs:
    return LabelledPairs(*(np.concatenate(columns) for columns in zip(*(vars(p).values() for p in parts), strict=True)))


def flags(policy: Policy, brand: str | None = None) -> dict[str, float | None]:
    return {kind: policy.scope(brand).of(kind).flag for kind in KINDS}


def test_each_kind_with_labels_enough_has_the_threshold_that_its_own_labels_support() -> None:
    labelled = pairs(copied_photo=400, same_print=400, lookalike=400)
    policy = tune(labelled, promise=NINETY)
    for kind in KINDS:
        own = labelled[labelled.kind == kind]
        kept = precision_threshold(own.similarity, own.lookalike, precision=0.9, confidence=1 - 0.05 / 3)
        assert flags(policy)[kind] == kept.threshold, "a third of the chance of error for each"  # type: ignore[union-attr]
        evidence = policy.scope().of(kind).evidence
        assert evidence is not None and (evidence.of, evidence.labels) == (f"all, {kind}", 400)
    assert policy.promise is not None and policy.promise.by_kind
    assert flags(policy)["copied_photo"] < 0.3 < 0.7 < flags(policy)["same_print"]  # type: ignore[operator]


def test_kinds_with_few_labels_are_tested_together_and_not_with_the_others() -> None:
    few = {"same_print": 20, "lookalike": 20}
    policy = tune(pairs(copied_photo=400, **few), promise=NINETY)
    found = flags(policy)
    assert found["copied_photo"] is not None
    assert found["same_print"] is found["lookalike"] is policy.flag is None, "400 right copies vouch for no other kind"
    evidence = policy.evidence
    assert evidence is not None and evidence.of == "all, other kinds" and evidence.labels == 40
    assert evidence.more_needed > 0
    enough = tune(pairs(copied_photo=400, same_print=38, lookalike=38), promise=NINETY)
    assert enough.kinds.own.keys() == {"copied_photo"}


def test_how_many_labels_are_enough_depends_on_no_label() -> None:
    least = trials_needed(0.9, 1 - 0.05 / 3)
    for number, own in ((least, True), (least - 1, False)):
        wrong = LabelledPairs.of([(0.9, False, "Acme", "", None)] * number, ["same_print"] * number)
        policy = tune(together(wrong, pairs(copied_photo=400)), promise=NINETY)
        assert ("same_print" in policy.kinds.own) is own
        assert flags(policy)["same_print"] is None


@pytest.mark.parametrize("counts", [{"copied_photo": 400}, {"": 400}, {"same_print": 10, "lookalike": 15}])
def test_labels_of_one_kind_or_of_few_or_unknown_kinds_are_tuned_as_before(counts: dict[str, int]) -> None:
    labelled = pairs(**counts)
    policy = tune(labelled, promise=NINETY)
    assert not policy.kinds.own and not policy.promise.by_kind  # type: ignore[union-attr]
    kept = precision_threshold(labelled.similarity, labelled.lookalike, precision=0.9, confidence=0.95)
    assert policy.flag == getattr(kept, "threshold", None)


def test_a_cap_on_false_flags_is_for_all_kinds_together() -> None:
    labelled = pairs(copied_photo=400, same_print=400)
    unrelated = LabelledPairs.of(((s, False, "Acme", "", None) for s in np.linspace(0, 0.4, 500)), ["lookalike"] * 500)
    policy = tune(labelled, promise=Promise(0.95, precision=0.9, false_flags=0.2), unrelated=unrelated)
    wrong = np.concatenate([labelled.similarity[~labelled.lookalike], unrelated.similarity])
    thresholds = [flag for flag in flags(policy).values() if flag is not None]
    assert thresholds and max((wrong >= flag).mean() for flag in thresholds) <= 0.2


def test_a_brand_uses_its_own_thresholds_for_some_kinds_and_borrows_for_the_others() -> None:
    mine, others = (
        pairs(brand="Acme", copied_photo=400),
        pairs(1, "Other", copied_photo=400, same_print=400, lookalike=400),
    )
    policy = tune(together(mine, others), promise=NINETY)
    own = precision_threshold(mine.similarity, mine.lookalike, precision=0.9, confidence=0.95)
    assert flags(policy, "Acme")["copied_photo"] == own.threshold  # type: ignore[union-attr]
    few = pairs(brand="Acme", copied_photo=80, same_print=20)
    policy = tune(together(few, others), promise=NINETY)
    assert flags(policy, "Acme")["same_print"] == flags(policy)["same_print"] is not None
    assert flags(policy, "Acme")["lookalike"] == flags(policy)["lookalike"]


def test_the_promise_is_kept_for_all_kinds_at_once_as_often_as_it_says() -> None:
    truth = {kind: pairs(99, **{kind: 20_000}) for kind in KINDS}
    broken = 0
    for seed in range(200):
        labelled = _noisy(pairs(seed, copied_photo=150, same_print=150, lookalike=60), seed)
        policy = tune(labelled, promise=NINETY)
        worst = 1.0
        for kind, flag in flags(policy).items():
            everything = _noisy(truth[kind], 1000)
            above = everything.similarity >= (2.0 if flag is None else flag)
            worst = min(worst, everything.lookalike[above].mean() if above.any() else 1.0)
        broken += worst < 0.9
    assert broken <= 16, "5 % of 200, and as many more as chance allows once in a hundred times"


def _noisy(labelled: LabelledPairs, seed: int) -> LabelledPairs:
    """The same with some right pairs wrong, the more the lower they are."""
    rng = np.random.default_rng(10_000 + seed)
    right = labelled.lookalike & (rng.random(len(labelled)) > 0.3 * (1 - labelled.similarity))
    return replace(labelled, lookalike=right)


def test_a_broken_promise_of_one_kind_is_found_and_withdrawn_for_that_kind() -> None:
    policy = tune(pairs(copied_photo=400, same_print=400), promise=NINETY)
    reviewed = [ReviewedFlag(True, kind="copied_photo")] * 300 + [
        ReviewedFlag(number % 3 > 0, kind="same_print") for number in range(60)
    ]
    checks = {check.kind: check for check in check_promises(reviewed, policy)}
    assert {kind: (check.broken, check.wrong) for kind, check in checks.items() if kind} == {
        "copied_photo": (False, 0),
        "same_print": (True, 20),
    }
    report = replace(monitor_policy([], [], policy), promises=(checks["same_print"],))
    judged = withdraw_broken(policy, report)
    assert judged.kinds.same_print.withdrawn and not judged.kinds.copied_photo.withdrawn  # type: ignore[union-attr]


def test_what_a_kind_promised_is_measured_on_its_own_flags() -> None:
    policy = tune(pairs(copied_photo=400, same_print=400), promise=NINETY)
    fresh = pairs(5, copied_photo=300, same_print=300)
    found = realised_promise(
        fresh.similarity, fresh.lookalike, fresh.brand.tolist(), related=fresh.lookalike, policy=policy,
        kind=fresh.kind.tolist(),
    )  # fmt: skip
    named = {each.of: each for each in found}
    assert {"all", "all, copied_photo", "all, same_print"} <= named.keys()
    for kind in ("copied_photo", "same_print"):
        flagged = (fresh.kind == kind) & (fresh.similarity >= flags(policy)[kind])
        precision = named[f"all, {kind}"].precision
        assert (precision.count, precision.total) == ((flagged & fresh.lookalike).sum(), flagged.sum())


def test_a_threshold_on_probabilities_that_crowd_below_1_flags_what_it_was_tested_on() -> None:
    log_odds = np.linspace(14, 25, 120)
    pairs = LabelledPairs.of((1 / (1 + np.exp(-each)), True, "Acme", None, None) for each in log_odds)
    policy = tune(pairs, promise=Promise(0.95, 0.9), fusion=Fusion(0.0, 1.0, 0.0, 0.0, 0.0))
    assert policy.flag is not None and policy.evidence is not None
    assert int((pairs.similarity >= policy.flag).sum()) == policy.evidence.flags == 120
