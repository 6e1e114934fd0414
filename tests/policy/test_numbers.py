"""The numbers of a finding in words: a threshold stands beside the number that it applies to, and beside no other."""

from __future__ import annotations

from typing import Any

import pytest

from lookalike.policy.numbers import in_words, numbers_of

BY_POINTS = {"similarity": 0.759, "look": 0.62, "probability": 0.98}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            {"verdict": "flagged", **BY_POINTS, "threshold": 0.877, "flag_threshold": 0.877},
            "probability 0.980, flag from 0.877 · similarity 0.759 · look 0.620",
        ),
        (
            {"verdict": "review", **BY_POINTS, "probability": 0.4, "threshold": 0.05, "flag_threshold": 0.877},
            "probability 0.400, review from 0.050, flag from 0.877 · similarity 0.759 · look 0.620",
        ),
        (
            {"verdict": "clear", "similarity": 0.3, "normalised_similarity": 0.1, "threshold": 0.2},
            "normalised similarity 0.100, review from 0.200 · similarity 0.300",
        ),
        ({"verdict": "flagged", "similarity": 0.92, "threshold": 0.9}, "similarity 0.920, flag from 0.900"),
        (
            {"verdict": "authorised", "similarity_verdict": "flagged", "similarity": 0.92, "threshold": 0.9},
            "similarity 0.920, flag from 0.900",
        ),
        ({"verdict": "unreadable", "similarity": None}, ""),
    ],
)
def test_a_threshold_stands_beside_the_number_that_it_applies_to(row: dict[str, Any], said: str) -> None:
    assert in_words(row) == said


def test_only_the_number_that_decided_has_thresholds() -> None:
    first, *others = numbers_of({"verdict": "flagged", **BY_POINTS, "threshold": 0.877})
    assert first.name == "probability" and not any(other.thresholds for other in others)
