"""A listing is judged by its most similar photo, and the finding tells all that the verdict rests on."""

from __future__ import annotations

from pathlib import Path

import pytest

from lookalike.decision import PhotoMatches, Policy, decide, default_policy
from lookalike.errors import PolicyError
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


def test_the_strongest_photo_decides_and_is_named() -> None:
    finding = judge(photo("a", 0.5, 0.4), photo("b", 0.9, 0.7), photo("c", 0.8))
    assert (finding.image, finding.similarity, finding.product, finding.kind) == ("b", 0.9, "p0.9", "lookalike")
    assert [match.similarity for match in finding.matches] == [0.9, 0.7]


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


def test_reads_a_policy_file(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text('name = "n"\n[thresholds]\nflag = 0.9\nreview = 0.5\n[encoder]\nweights_sha256 = "ab"\n')
    assert Policy.load(path) == Policy(name="n", flag=0.9, review=0.5, weights_sha256="ab")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flag = ", "is no TOML"),
        ("flag = 0.9", "unknown entries flag"),
        ("[thresholds]\nflag = 0.9", "needs .thresholds. with flag and review"),
        ('[thresholds]\nflag = "0.9"\nreview = 0.5', "the threshold '0.9'; needed a number"),
        ("[thresholds]\nflag = 0.5\nreview = 0.9", "needed -1 <= review <= flag <= 1"),
        ('[thresholds]\nflag = 0.9\nreview = 0.5\n[encoder]\nweights = "ab"', "only name and weights_sha256"),
        ("[thresholds]\nflag = nan\nreview = 0.9", "needed -1 <= review <= flag <= 1"),
    ],
)
def test_refuses_a_wrong_policy_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(PolicyError, match=message) as caught:
        Policy.load(tmp_path / "p.toml")
    assert "\n" not in str(caught.value)


def test_the_shipped_policy_is_for_the_shipped_weights() -> None:
    from lookalike.model.encoder import load_encoder

    policy = default_policy(load_encoder("embedded", device="cpu").spec.weights_sha256)
    assert policy is not None
    assert 0 < policy.review < policy.flag < 1
    assert default_policy("0" * 64) is None
