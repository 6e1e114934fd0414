"""Grounds are data: what isn't is told apart, and nothing in them ends in a traceback."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lookalike.cases.totals import rights_of
from lookalike.errors import TableError
from lookalike.rights.grounds import cell_in_words, claimable, grounds_of

RIGHT = {"ground": "right", "kind": "trademark", "number": "7; 8", "territory": "DE"}


def test_only_what_could_support_a_claim_is_named() -> None:
    disputed = {**RIGHT, "ground": "conflict", "owners": ["A", "B"]}
    grounds = [RIGHT, {**RIGHT, "ground": "ended", "day": "2025-01-31"}, {"ground": "further", "count": 2},
               {"ground": "unfair_competition", "territory": "DE"}, disputed,
               {"ground": "listing", "territory": "DE", "known": True}]  # fmt: skip
    assert list(claimable(grounds)) == ["trademark 7; 8 in DE", "unfair competition in DE"]
    assert grounds_of(json.dumps(grounds)) == grounds
    assert grounds_of(None) == grounds_of("") == []


@pytest.mark.parametrize(
    "text", ["trademark 7 in DE, design 3 in DE", "[1]", '{"ground": "right"}', "NaN", "[" * 9999, 7]
)
def test_what_is_no_list_of_objects_is_refused_by_cases_and_shown_as_it_is_to_people(text: object) -> None:
    with pytest.raises(ValueError, match="they are not"):
        grounds_of(text)
    with pytest.raises(TableError, match="rights of listing L1 can't be read .* lookalike recheck"):
        rights_of({"listing_id": "L1", "rights": text})
    assert cell_in_words(text) == str(text)


@pytest.mark.parametrize(
    "change", [{"ground": ["right"]}, {"kind": 1}, {"kind": None, "number": {}}, {"territory": 5, "kind": []}]
)
def test_an_object_that_is_no_ground_is_no_traceback(change: dict[str, Any]) -> None:
    text = json.dumps([{**RIGHT, **change}, {"ground": "conflict", "owners": 1}])
    assert cell_in_words(text) == text
    try:
        rights_of({"listing_id": "L1", "rights": text})
    except TableError as error:
        assert "rights of listing L1 can't be read" in str(error)
