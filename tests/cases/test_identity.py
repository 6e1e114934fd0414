"""A case keeps its id from run to run, whatever happens to its sellers."""

from __future__ import annotations

import random

from flagged import row

from lookalike.cases.diff import compare_cases
from lookalike.cases.grouping import build_cases
from lookalike.cases.identity import case_id
from lookalike.cases.shared_photos import SharedPhoto


def test_ids_stay_when_rows_are_shuffled_and_listings_added() -> None:
    shared = [SharedPhoto("p", {"b": "1.jpg", "c": "2.jpg"})]
    rows = [row(f"L{k}", seller, k + 0.25) for k, seller in enumerate("aabbccdd")]
    first = build_cases(rows, shared=shared)
    shuffled = list(rows)
    random.Random(4).shuffle(shuffled)
    assert build_cases(shuffled, shared=shared) == first
    more = [row(f"N{k}", seller) for k, seller in enumerate("ABCdcba")]
    random.Random(5).shuffle(more)
    for previous in ((), first.cases):  # an id follows from the sellers alone, and all the more from the last run
        grown = build_cases(more + shuffled, shared=shared, previous=previous)
        ids = {case.sellers: case.id for case in grown.cases}
        assert all(ids[case.sellers] == case.id for case in first.cases)
        assert len(set(ids.values())) == len(grown.cases) == 6


def test_a_case_keeps_its_id_when_a_seller_joins_who_comes_first_in_the_alphabet() -> None:
    (old,) = build_cases([row("L1", "m")]).cases
    shared = [SharedPhoto("p", {"a": "1.jpg", "m": "2.jpg"})]
    (new,) = build_cases([row("L1", "m"), row("L2", "a")], shared=shared, previous=[old]).cases
    assert (new.id, new.merged, new.sellers) == (old.id, (), ("a", "m"))


def test_of_cases_that_become_one_the_older_id_stays_and_the_others_are_named() -> None:
    early, late = "2026-10-01T00:00:00+00:00", "2026-11-01T00:00:00+00:00"
    rows = [row("L1", "a", scanned_at=late), row("L2", "b", scanned_at=early), row("L3", "c", scanned_at=late)]
    before = build_cases(rows).cases
    now = [row(f"L{k}", seller) for k, seller in enumerate("abc", 1)]
    shared = [SharedPhoto("p", {"a": "1", "b": "2"})]
    merged = build_cases(now, shared=shared, previous=before).cases
    assert {case.sellers: (case.id, case.merged) for case in merged} == {
        ("a", "b"): (case_id("b"), (case_id("a"),)),
        ("c",): (case_id("c"), ()),
    }
    assert next(case for case in merged if len(case.sellers) == 2).first_seen == early
    shared = [SharedPhoto("p", {"a": "1", "b": "2", "c": "3"})]
    (all_in_one,) = build_cases(now, shared=shared, previous=merged).cases
    assert (all_in_one.id, all_in_one.merged) == (case_id("b"), tuple(sorted((case_id("a"), case_id("c")))))
    diff = compare_cases(before, [all_in_one])
    assert diff.merged == {case_id("a"): case_id("b"), case_id("c"): case_id("b")}
    assert (diff.new, diff.gone) == ((), ())


def test_a_case_that_falls_apart_leaves_its_id_with_most_of_its_sellers() -> None:
    shared = [SharedPhoto("p", {"a": "1", "b": "2", "c": "3"})]
    rows = [row(f"L{k}", seller) for k, seller in enumerate("abc")]
    (old,) = build_cases(rows, shared=shared).cases
    assert old.id == case_id("a")
    apart = build_cases(rows, shared=[SharedPhoto("q", {"b": "2", "c": "3"})], previous=[old]).cases
    by_sellers = {case.sellers: case for case in apart}
    assert by_sellers["b", "c"].id == old.id
    assert by_sellers["a",].id not in (old.id, case_id("b"))
    assert by_sellers["a",].split_from == old.id
