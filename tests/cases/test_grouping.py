"""Sellers are one case when they share what is their own; sums are exact; a case keeps its id."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from flagged import Row, row

from lookalike.cases.grouping import Cases, Effort, Joining, build_cases, case_id
from lookalike.cases.money import Rates, read_amount
from lookalike.cases.shared_photos import SharedPhoto
from lookalike.cases.table import compare_cases, read_cases, write_cases
from lookalike.errors import TableError


def groups(found: Cases) -> set[tuple[str, ...]]:
    return {case.sellers for case in found.cases}


def test_a_case_adds_up_a_sellers_findings() -> None:
    rows = [
        row("L1", "a", 19.99, scanned_at="2026-11-20T10:00:00+02:00"),
        row("L2", "a", 0.01, kind="copied_photo", territory="FR", rights="trademark 7; design 3"),
        row("L3", "a", None, brand="Other", product_id="p2", scanned_at="2026-11-22T10:00:00+00:00"),
        row("L4", "a", verdict="review"),
        row("L5", "a", verdict="clear"),
    ]
    (case,) = build_cases(rows).cases
    assert (case.sellers, case.listings, case.verdicts) == (("a",), ("L1", "L2", "L3"), {"flagged": 3})
    assert (case.brands, case.products) == ({"Acme": 2, "Other": 1}, {"p1": 2, "p2": 1})
    assert case.kinds == {"same_print": 2, "copied_photo": 1}
    assert case.territories == {"DE": 2, "FR": 1}
    assert case.rights == {"FR": ("design 3", "trademark 7")}
    assert (case.first_seen, case.last_seen) == ("2026-11-20T08:00:00+00:00", "2026-11-22T10:00:00+00:00")
    assert (case.values, case.value, case.value_currency, case.unvalued) == (
        {"EUR": Decimal("20.00")}, Decimal("20.00"), "EUR", 1,
    )  # fmt: skip
    assert (case.pairs, case.minutes, case.per_minute) == (3, Decimal("6.5"), Decimal("3.08"))
    assert build_cases(rows, verdicts=("flagged", "review")).cases[0].verdicts == {"flagged": 3, "review": 1}


def test_a_listing_that_comes_twice_counts_once() -> None:
    later = row("L1", "a", 10.0, scanned_at="2026-11-25T10:00:00+00:00")
    (case,) = build_cases([row("L1", "a", 10.0), later]).cases
    assert (case.values, len(case.listings), case.last_seen) == ({"EUR": Decimal("10.0")}, 1, later["scanned_at"])


def test_sums_are_exact_and_currencies_are_never_added() -> None:
    rows = [row(f"L{k}", "a", 0.1) for k in range(1000)] + [
        row("M", "a", 0.2, currency="usd"),
        row("N", "a", 5.5, currency=None),
    ]
    (case,) = build_cases(rows).cases
    assert sum([0.1] * 1000) != 100  # what floats would give
    assert case.values == {"EUR": Decimal("100.0"), "USD": Decimal("0.2"), "": Decimal("5.5")}
    assert (case.value, case.value_currency) == (None, None)


def test_a_sum_far_beyond_28_digits_is_exact() -> None:
    prices = ["999999999999.99", "0.000000000001", "123456789012.345678901234"]
    (case,) = build_cases([row(f"L{k}", "a", price) for k, price in enumerate(prices)]).cases
    cents = sum(Fraction(price) for price in prices)
    assert Fraction(case.values["EUR"]) == cents == Fraction("1123456789012.335678901235")
    finest = Rates("USD", {"EUR": Decimal("1.000000000001")})
    (case,) = build_cases([row("L", "a", "999999999999.999999999999")], rates=finest).cases
    assert case.value is not None
    assert Fraction(case.value) == Fraction("999999999999.999999999999") * Fraction("1.000000000001")


def test_rates_convert_exactly_and_say_what_they_lack(tmp_path: Path) -> None:
    (tmp_path / "rates.csv").write_text("currency,rate\nusd,0.9137\nGBP,1.163\n")
    rates = Rates.load(tmp_path / "rates.csv", "eur")
    rows = [row("L1", "a", 0.1), row("L2", "a", 3.33, currency="USD"), row("L3", "a", 7.0, currency="JPY")]
    found = build_cases(rows, rates=rates)
    (case,) = found.cases
    assert case.value == Decimal("0.1") + Decimal("3.33") * Decimal("0.9137") == Decimal("3.142621")
    assert (case.value_currency, case.unvalued, found.unconverted) == ("EUR", 1, {"JPY": 1})


@pytest.mark.parametrize("text", ["USD,0", "USD,-1", "USD,x", "USD,nan", ",1", "USD,1\nUSD,2", "EUR,2"])
def test_rates_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "rates.csv").write_text(f"currency,rate\n{text}\n")
    with pytest.raises(TableError, match=r"rates\.csv"):
        Rates.load(tmp_path / "rates.csv", "EUR")


def test_prices_that_are_none_are_counted_and_not_added() -> None:
    wrong = ["nan", "inf", "-1", "1e12", "1e-13", "twelve"]
    found = build_cases([row("L", "a", 2.5), *(row(f"L{k}", "a", price) for k, price in enumerate(wrong))])
    assert (found.bad_prices, found.cases[0].values) == (len(wrong), {"EUR": Decimal("2.5")})
    assert read_amount(1e-7) == Decimal("0.0000001")


def test_cases_are_ranked_by_value_per_minute_of_review() -> None:
    same = {"image_sha256": "one photo"}
    rows = [row(f"L{k}", "many photos", 10.0) for k in range(10)]
    rows += [row(f"M{k}", "one photo", 10.0, **same) for k in range(10)]
    rows += [row("N", "dear", 99.0)]
    found = build_cases(rows, effort=Effort(Decimal(4), Decimal(1)))
    assert found.ranked_by == "value"
    assert [(case.sellers[0], case.pairs, case.minutes, case.per_minute) for case in found.cases] == [
        ("one photo", 1, Decimal(5), Decimal("20.00")),
        ("dear", 1, Decimal(5), Decimal("19.80")),
        ("many photos", 10, Decimal(14), Decimal("7.14")),
    ]


def test_without_a_common_currency_cases_are_ranked_by_listings_per_minute() -> None:
    rows = [
        row("L1", "dear", 5000.0, currency="USD"),
        row("L2", "b", 1.0, image_sha256="x"),
        row("L3", "b", 1.0, image_sha256="x"),
    ]
    found = build_cases(rows)
    assert (found.ranked_by, [case.sellers[0] for case in found.cases]) == ("listings", ["b", "dear"])


@pytest.mark.parametrize(
    ("values", "joined"),
    [
        (({"kind": "lookalike"}, {"kind": "lookalike"}), True),
        (({"kind": "copied_photo"}, {"kind": "lookalike"}), False),
        (({"kind": "same_print"}, {"kind": "same_print"}), False),
        (({"kind": "lookalike", "inliers": None}, {"kind": "lookalike"}), False),
        (({"kind": "lookalike"}, {"kind": "lookalike", "image_sha256": "another"}), False),
    ],
)
def test_without_pictures_only_a_file_surely_of_sellers_own_joins_them(values: tuple[Row, Row], joined: bool) -> None:
    rows = [
        row(f"L{at}", seller, **{"image_sha256": "one", **value})
        for at, (seller, value) in enumerate(zip("ab", values, strict=True))
    ]
    found = build_cases(rows)
    assert groups(found) == ({("a", "b")} if joined else {("a",), ("b",)})
    assert [link.kind for case in found.cases for link in case.links] == ["photo"] * joined


def test_keys_join_however_they_are_written_unless_too_many_have_them() -> None:
    rows = [
        row("L1", "a", phone="+49 170 555-01"),
        row("L2", "b", phone="004917055501"),
        row("L3", "c", phone="+49(170)55501"),
    ]
    assert groups(build_cases(rows, joining=Joining(("phone",)))) == {("a", "c"), ("b",)}
    assert len(build_cases(rows).cases) == 3
    many = [row(f"L{k}", f"s{k}", phone="call centre") for k in range(4)]
    assert len(build_cases(many, joining=Joining(("phone",), most=4)).cases) == 1
    found = build_cases(many, joining=Joining(("phone",), most=3))
    assert (len(found.cases), found.ignored) == (4, (("phone", "callcentre", 4),))


def test_keys_of_a_listings_table_and_chains_join() -> None:
    rows = [row("L1", "a"), row("L2", "b"), row("L3", "c"), row("L4", None), row("L5", None)]
    keys = [
        ("a", "payout", "X1"),
        ("b", "payout", "x-1"),
        ("b", "phone", "7"),
        ("c", "phone", "7"),
        ("nobody", "phone", "7"),
    ]
    found = build_cases(rows, keys=keys)
    assert groups(found) == {("a", "b", "c"), ("listing L4",), ("listing L5",)}


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


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
def test_cases_come_back_from_their_table(tmp_path: Path, ending: str) -> None:
    rows = [row("L,1", 'a "q"\n', 19.99, rights="t 1; t 2"), row("L2", "ü", 3.0, currency="USD"), row("L3", None, None)]
    found = build_cases(rows, shared=[SharedPhoto("p", {'a "q"\n': "1", "ü": "2"})])
    path = tmp_path / f"cases{ending}"
    write_cases([replace(case, merged=("C1",)) for case in found.cases], path)
    again = read_cases(path)
    assert [replace(case, merged=()) for case in again] == list(found.cases)
    assert again[0].merged == ("C1",)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_table_that_is_none_of_cases_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("listing_id\nL1\n")
    with pytest.raises(TableError, match="has no column"):
        read_cases(tmp_path / "f.csv")
    write_cases(build_cases([row("L1", "a")]).cases, tmp_path / "c.jsonl")
    text = (tmp_path / "c.jsonl").read_text()
    (tmp_path / "c.jsonl").write_text(text.replace('"minutes": "5.50"', '"minutes": "soon"'))
    with pytest.raises(TableError, match="row 1 can't be read as a case"):
        read_cases(tmp_path / "c.jsonl")


def test_the_diff_says_what_is_new_gone_and_changed() -> None:
    old = build_cases([row("L1", "a"), row("L2", "b"), row("L3", "c")]).cases
    new = build_cases([row("L1", "a"), row("L9", "b", 12.0), row("L4", "d")], previous=old).cases
    diff = compare_cases(old, new)
    assert ([case.sellers for case in diff.new], [case.sellers for case in diff.gone]) == ([("d",)], [("c",)])
    (change,) = diff.changed
    assert (change.id, change.listings_added, change.listings_gone) == (case_id("b"), ("L9",), ("L2",))
    assert change.sums == ({"EUR": Decimal("10.0")}, {"EUR": Decimal("12.0")})
    assert diff.unchanged == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Effort(Decimal(0)), "minutes a case"),
        (lambda: Joining(most=1), "2 or more"),
        (lambda: build_cases([row("L1", "a", scanned_at="noon")]), "needed a time like"),
        (lambda: build_cases([row("L1", "a", rights="[1")]), "no JSON list"),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(TableError, match=message):
        make()
