"""The shipped thresholds leave unrelated pictures alone as often as they should, and find the most that this allows."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from lookalike.records import Match, Reference
from lookalike.scripts.training.set_default_policy import WANTED, Answers, rival_of
from lookalike.thresholds.labels import LabelledMatches


def answers(seed: int = 0, unrelated: int = 200) -> Answers:
    """Copies mostly with points, imitations mostly without, and unrelated pictures of both kinds."""
    rng = np.random.default_rng(seed)
    strata = np.array(["edited"] * 80 + ["other photo"] * 40 + ["imitation"] * 60 + ["unrelated"] * unrelated)
    shown = strata != "unrelated"
    alike = rng.random(len(strata)) < np.where(strata == "edited", 0.1, np.where(strata == "imitation", 0.9, 0.8))
    strength = np.clip(rng.normal(np.where(shown, np.where(alike, 0.4, 0.8), np.where(alike, 0.1, 0.3)), 0.12), 0, 1)
    return Answers(strength, shown & (rng.random(len(strata)) < 0.9), alike, strata)


def found(given: Answers, points: float, alike: float) -> float:
    hits = (given.strength >= np.where(given.alike, alike, points)) & given.right
    return float(np.mean([hits[given.strata == stratum].mean() for stratum in WANTED]))


def false(given: Answers, points: float, alike: float) -> int:
    hits = given.strength >= np.where(given.alike, alike, points)
    return int(hits[given.strata == "unrelated"].sum())


@pytest.mark.parametrize("share", [0.005, 0.05])
@pytest.mark.parametrize("seed", range(3))
def test_no_other_pair_of_thresholds_finds_more(share: float, seed: int) -> None:
    given = answers(seed)
    pair = given.thresholds(share, least=0.05)
    assert false(given, *pair) <= share * 200
    grid = np.arange(0.05, 1, 0.01)
    best = max(found(given, *other) for other in product(grid, grid) if false(given, *other) <= share * 200)
    assert found(given, *pair) >= best


def test_review_begins_no_higher_than_flag() -> None:
    for seed in range(20):
        given = answers(seed)
        flags = given.thresholds(0.005, least=0.5)
        reviews = given.thresholds(0.05, least=0.05, most=flags)
        assert all(review <= flag for review, flag in zip(reviews, flags, strict=True)) and min(flags) >= 0.5
        assert false(given, *reviews) <= 10


def test_says_what_it_was_set_on_and_what_it_finds() -> None:
    given = answers()
    flags = given.thresholds(0.005, least=0.5)
    text = " ".join(given.about(90, flags, given.thresholds(0.05, least=0.05, most=flags)).split())
    assert "Set on 90 references, 80 edited copies of them, 40 other photos" in text
    shown = given.strata == "imitation"
    hits = (given.strength >= np.where(given.alike, flags[1], flags[0])) & given.right
    assert f"imitations: {hits[shown].mean():.1%} reach flag" in text


def test_a_picture_without_its_product_is_a_rivals() -> None:
    matches = tuple(
        Match(Reference(name, name, "", ""), similarity, margin=0.0)
        for name, similarity in (("a", 0.9), ("b", 0.7), ("c", 0.4))
    )
    rival = rival_of(LabelledMatches(matches, frozenset({"a"})), "a")
    assert rival is not None and not rival.right
    assert [(match.reference.id, match.margin) for match in rival.matches] == [
        ("b", pytest.approx(0.3)),
        ("c", pytest.approx(-0.3)),
    ]
    assert not any(rival.is_right(match) for match in rival.matches)
    assert rival_of(LabelledMatches(matches, frozenset({"clothes 1"})), "clothes 1") is None
    assert rival_of(LabelledMatches(matches, frozenset()), "") is None, "it is a rival's already"
