"""A fusion is calibrated on the answers that it selects, and uses only the numbers that it should."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lookalike.detection.verification import NOTHING
from lookalike.errors import PolicyError, TableError
from lookalike.policy.fusion import Fusion, fit_fusion
from lookalike.policy.policy import Policy, parse
from lookalike.policy.terms import Reach, Scope
from lookalike.records import KINDS, Match, Reference, Verdict, Verification
from lookalike.thresholds.fusing import fuse, reach_of, within
from lookalike.thresholds.labels import LabelledMatches, pairs_of
from lookalike.thresholds.tuning import Promise, tune

PHOTOS = 2000


def simulated(count: int = PHOTOS, *, seed: int = 0) -> list[LabelledMatches]:
    """Photos with three matches each; half have a right one, and points agree with most of the right ones."""
    rng = np.random.default_rng(seed)
    photos = []
    for number in range(count):
        related = number % 2 == 0
        similarity = rng.normal(0.5, 0.1, 3)
        agrees = rng.random(3) < 0.05
        if related:
            similarity[1] += rng.normal(0.15, 0.1)
            agrees[1] = rng.random() < 0.8
        margins = [value - max(np.delete(similarity, at)) for at, value in enumerate(similarity)]
        matches = [
            Match(
                Reference(f"r{at}", f"p{at}", "Brand", ""),
                float(similarity[at]),
                Verification(int(rng.integers(5, 60)), float(rng.random()), False, "same_print", ())
                if agrees[at]
                else NOTHING,
                margin=float(margins[at]),
            )
            for at in range(3)
        ]
        ordered = sorted(matches, key=lambda match: -match.similarity)
        photos.append(LabelledMatches(tuple(ordered), frozenset({"p1"} if related else ())))
    return photos


def asked(photos: list[LabelledMatches]) -> list[tuple[tuple[Match, ...], Callable[[Match], bool]]]:
    return [(photo.matches, photo.is_right) for photo in photos]


def test_the_probability_is_calibrated_on_photos_it_was_not_fitted_to() -> None:
    fusion = fit_fusion(asked(simulated()))
    pairs = pairs_of(simulated(seed=1), fusion)
    for low, high in ((0.0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.0)):
        band = (pairs.similarity >= low) & (pairs.similarity < high)
        if band.sum() >= 50:
            share, told = pairs.lookalike[band].mean(), pairs.similarity[band].mean()
            assert share == pytest.approx(told, abs=3 * np.sqrt(0.25 / band.sum()))
    assert pairs.lookalike.mean() > pairs_of(simulated(seed=1)).lookalike.mean() + 0.05


def test_without_similarity_only_points_count() -> None:
    fusion = fit_fusion(asked(simulated()), similarity=False)
    assert (fusion.similarity, fusion.margin) == (0, 0)
    match = simulated()[0].matches[0]
    assert fusion.probability(match) == fusion.probability(replace(match, similarity=-1.0, margin=-1.0))


def test_too_few_labels_are_one_clear_line() -> None:
    with pytest.raises(TableError, match="expected at least 10 of each"):
        fit_fusion(asked(simulated(12)))
    nothing = [
        replace(photo, matches=tuple(replace(m, verification=None) for m in photo.matches)) for photo in simulated()
    ]
    with pytest.raises(TableError, match="confirmed point by point"):
        fuse(nothing)


def test_thresholds_are_set_on_photos_that_the_fusion_was_not_fitted_to() -> None:
    photos = simulated(200)
    fused = fuse(photos)
    assert len(fused.photos) == 100 and fused.fusion is not None and fused.fusion.labels == 100
    kept = {id(photo.matches[0].reference) for photo in fused.photos}
    assert len(kept) == 100
    again = fuse(photos)
    assert again.fusion == fused.fusion


def test_a_fusion_reaches_as_far_down_as_its_labels_were_compared() -> None:
    photos = simulated()
    assert reach_of(photos) == Reach(None)
    nearest = sorted(max(match.similarity for match in photo.matches) for photo in photos)
    least = nearest[len(photos) // 2]
    unseen = [within(photo, Reach(least)) for photo in photos]
    reach = reach_of(unseen, references=5)
    assert reach.references == 5 and reach.similarity is not None
    assert nearest[len(photos) // 2 - 1] < reach.similarity <= least + 0.001, "what lies below was not compared"


def test_what_is_out_of_reach_counts_as_not_compared() -> None:
    (photo,) = simulated(1)
    verified = replace(photo, matches=tuple(replace(m, verification=Verification(9, 0.5, False, "same_print", ()))
                                            for m in photo.matches))  # fmt: skip
    best = verified.matches[0].similarity
    assert [m.agrees for m in within(verified, Reach(best, references=2)).matches] == [True, True, False]
    assert not any(m.agrees for m in within(verified, Reach(best + 0.01)).matches)
    assert [m.agrees for m in within(verified, Reach(None, references=1)).matches] == [True, False, False]


def test_a_promise_is_made_for_the_probability() -> None:
    fused = fuse(simulated(4000))
    policy = tune(pairs_of(fused.photos, fused.fusion), promise=Promise(0.95, precision=0.9), fusion=fused.fusion,
                  reach=fused.reach)  # fmt: skip
    scopes = [scope for kind in KINDS if (scope := policy.scope().of(kind)).flag is not None]
    assert policy.fusion == fused.fusion and scopes
    assert all(0 < scope.review <= scope.flag <= 1 for scope in scopes)  # type: ignore[operator]
    fresh = pairs_of((within(photo, fused.reach) for photo in simulated(20_000, seed=5)), fused.fusion)
    pairs = zip(fresh.similarity.tolist(), fresh.kind.tolist(), strict=True)
    flagged = np.array([policy.verdict(value, kind=kind) is Verdict.FLAGGED for value, kind in pairs])
    assert flagged.sum() > 2000 and fresh.lookalike[flagged].mean() >= 0.895


def test_a_policy_keeps_its_fusion_and_reach_in_its_file(tmp_path: Path) -> None:
    fusion = Fusion(-8.1, 8.2, 9.1, 0.37, 6.3, labels=1414)
    policy = Policy("mine", 0.9, 0.3, reach=Reach(0.6, 5, 2), fusion=fusion, scopes=(Scope(0.95, 0.5, brand="Acme"),))
    policy.save(tmp_path / "policy.toml")
    assert Policy.load(tmp_path / "policy.toml") == policy
    assert str(replace(policy, fusion=replace(fusion, margin=9.0))) != str(policy)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[fusion]\nintercept = 1.0\n", "fusion.similarity is missing"),
        ("[fusion]\nintercept = 'a'\n", "fusion.intercept is 'a', expected a number"),
        (
            "[fusion]\nintercept=1.0\nsimilarity=1.0\nmargin=1.0\ninliers=1.0\ncoverage=1e9\n",
            "coverage is .*, expected",
        ),
        (
            "[fusion]\nintercept=1.0\nsimilarity=1.0\nmargin=1.0\ninliers=1.0\ncoverage=1.0\n[verification]\nreferences=0\n",
            "has 0 references to compare with",
        ),
        ("[verification]\nreferences = 1000\n", "references is 1000, expected a whole number from 0 to 50"),
        ("[verification]\nphotos = 1.5\n", "photos is 1.5, expected a whole number from 0 to 50"),
        ("[verification]\ninliers = 3\n", "verification.inliers is unknown"),
    ],
)
def test_a_wrong_entry_is_one_clear_line(text: str, wrong: str) -> None:
    with pytest.raises(PolicyError, match=wrong):
        parse(f"[thresholds]\nflag = 0.9\nreview = 0.5\n{text}", source="p.toml", folder=None)


def test_look_counts_where_there_is_one_and_is_left_out_of_the_file_where_there_is_none(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    with_look = [
        replace(
            photo,
            matches=tuple(
                replace(match, look=float(rng.normal(0.8 if photo.is_right(match) else 0.4, 0.1)))
                for match in photo.matches
            ),
        )
        for photo in simulated()
    ]
    fusion, plain = fit_fusion(asked(with_look)), fit_fusion(asked(simulated()))
    assert fusion.look > 5 and plain.look == 0
    match = replace(with_look[0].matches[0], verification=NOTHING, look=0.5)
    assert fusion.probability(match) > fusion.probability(replace(match, look=-1.0))
    agrees = replace(match, verification=Verification(9, 0.5, False, "same_print", ()))
    assert fusion.probability(agrees) == fusion.probability(replace(agrees, look=-1.0)), "points say more"
    assert plain.probability(match) == plain.probability(replace(match, look=None))
    for each in (fusion, plain):
        policy = Policy("mine", 0.9, 0.3, reach=Reach(0.6), fusion=each)
        policy.save(tmp_path / "p.toml")
        assert Policy.load(tmp_path / "p.toml") == policy
        assert ("look" in (tmp_path / "p.toml").read_text().split()) is (each is fusion)
    assert fit_fusion(asked(with_look), similarity=False).look == 0
