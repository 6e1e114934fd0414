"""A listing is judged by its most similar photo, and the finding tells all that the verdict rests on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lookalike.detection.decision import decide
from lookalike.detection.lookup import PhotoMatches
from lookalike.policy.cohort import Cohort
from lookalike.policy.policy import Policy
from lookalike.policy.terms import Scope
from lookalike.records import Finding, Listing, Match, Reference, Verdict

POLICY = Policy(name="test", flag=0.8, review=0.6)
LISTING = Listing("L", ("a", "b"))


def photo(name: str, *similarities: float) -> PhotoMatches:
    return PhotoMatches(name, tuple(Match(Reference(f"r{s}", f"p{s}", "B", f"{s}.jpg"), s) for s in similarities))


def judge(*photos: PhotoMatches) -> Finding:
    return decide(LISTING, photos, policy=POLICY, encoder="toy@0")


@pytest.mark.parametrize(
    ("similarity", "verdict", "threshold"),
    [
        (0.8, Verdict.FLAGGED, 0.8),
        (0.7999, Verdict.REVIEW, 0.6),
        (0.6, Verdict.REVIEW, 0.6),
        (0.5999, Verdict.CLEAR, 0.6),
    ],
)
def test_a_threshold_counts_from_its_own_value_on(similarity: float, verdict: Verdict, threshold: float) -> None:
    finding = judge(photo("a", similarity))
    assert (finding.verdict, finding.threshold) == (verdict, threshold)


def test_a_finding_also_says_from_where_one_like_it_is_flagged() -> None:
    policy = Policy("p", 0.9, 0.5, scopes=(Scope(0.7, 0.6, brand="B"), Scope(0.7, 0.6, brand="C", withdrawn="broken")))
    matches = [Match(Reference(brand, brand, brand, "r.jpg"), 0.65) for brand in "ABC"]
    found = [decide(LISTING, [PhotoMatches("a", (match,))], policy=policy, encoder="e") for match in matches]
    assert [finding.threshold for finding in found] == [0.5, 0.6, 0.6]
    assert [finding.flag_threshold for finding in found] == [0.9, 0.7, None]


def test_the_strongest_photo_decides_and_is_named() -> None:
    finding = judge(photo("a", 0.5, 0.4), photo("b", 0.9, 0.7), photo("c", 0.8))
    assert (finding.image, finding.similarity, finding.product, finding.kind) == ("b", 0.9, "p0.9", "lookalike")
    assert [match.similarity for match in finding.matches] == [0.9, 0.8, 0.7, 0.5, 0.4], "of all its photos"


def test_an_unreadable_photo_is_told_of_while_the_others_decide() -> None:
    finding = judge(PhotoMatches("a", error="a: is damaged"), photo("b", 0.9))
    assert (finding.verdict, finding.error) == (Verdict.FLAGGED, "a: is damaged")


def test_a_listing_without_a_readable_photo_is_unreadable() -> None:
    assert judge(PhotoMatches("a", error="x"), PhotoMatches("b", error="y")).error == "x; y"
    finding = decide(Listing("L", (), error="bad row"), [], policy=POLICY, encoder="toy@0")
    assert (finding.verdict, finding.error) == (Verdict.UNREADABLE, "bad row")
    assert decide(Listing("L", ()), [], policy=POLICY, encoder="t").error == "it has no photo"


def test_a_listing_that_nothing_was_found_for_is_clear() -> None:
    finding = judge(photo("a"))
    assert (finding.verdict, finding.similarity, finding.image) == (Verdict.CLEAR, None, "a")


def test_hints_reach_the_finding() -> None:
    finding = judge(PhotoMatches("a", hint="only the first of 3 frames was compared"))
    assert finding.hint == "a: only the first of 3 frames was compared"


def test_a_finding_names_policy_and_encoder() -> None:
    finding = judge(photo("a", 0.9))
    assert (finding.policy, finding.encoder) == (str(POLICY), "toy@0")
    assert str(POLICY) != str(Policy(name="test", flag=0.81, review=0.6))


def test_each_brands_own_threshold_decides() -> None:
    policy = Policy(
        "p", 0.9, 0.5, scopes=(Scope(0.7, 0.6, brand="Acme"), Scope(0.8, 0.6, brand="Acme", territory="DE"))
    )
    acme = Match(Reference("r1", "p1", "Acme", "1.jpg"), 0.75)
    other = Match(Reference("r2", "p2", "Other", "2.jpg"), 0.85)
    found = decide(LISTING, [PhotoMatches("a", (other, acme))], policy=policy, encoder="e")
    assert (found.verdict, found.brand, found.threshold) == (Verdict.FLAGGED, "Acme", 0.7)
    assert [match.reference.id for match in found.matches] == ["r1", "r2"], "the one that decided comes first"
    german = decide(
        Listing("L", ("a",), territory="DE"), [PhotoMatches("a", (other, acme))], policy=policy, encoder="e"
    )
    assert (german.verdict, german.brand) == (Verdict.REVIEW, "Other")


def test_a_photo_nearer_to_a_harmless_one_says_nothing_of_the_reference() -> None:
    stock = Match(Reference("stock", "stock", "", "s.jpg"), 0.95)
    found = judge(replace(photo("a", 0.9), harmless=(stock,)))
    assert (found.verdict, found.suppressed_by, found.similarity, found.kind) == (Verdict.CLEAR, "stock", 0.9, None)
    assert judge(replace(photo("a", 0.96), harmless=(stock,))).verdict is Verdict.FLAGGED
    both = judge(replace(photo("a", 0.9), harmless=(stock,)), photo("b", 0.85))
    assert (both.verdict, both.image, both.suppressed_by) == (Verdict.FLAGGED, "b", None)


def test_thresholds_are_held_against_the_normalised_similarity_where_there_is_one() -> None:
    close = Match(Reference("r", "p", "B", "r.jpg"), 0.9, normalised_similarity=0.2)
    policy = Policy("p", 0.3, 0.1, cohort=Cohort(np.eye(3, dtype=np.float32), nearest=2))
    found = decide(LISTING, [PhotoMatches("a", (close,))], policy=policy, encoder="e")
    assert (found.verdict, found.similarity, found.normalised_similarity) == (Verdict.REVIEW, 0.9, 0.2)
