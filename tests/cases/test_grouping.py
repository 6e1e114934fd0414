"""Sellers are one case when they share what is their own, and sums are exact."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import pytest
from flagged import Row, row

from lookalike.cases.case import Cases, Effort
from lookalike.cases.grouping import Joining, build_cases
from lookalike.cases.money import Rates
from lookalike.errors import TableError

RIGHTS = json.dumps([
    {"ground": "right", "kind": "trademark", "number": "7", "territory": "EU"},
    {"ground": "right", "kind": "design", "number": "3; 4", "territory": "FR"},
    {"ground": "conflict", "kind": "design", "number": "3; 4", "territory": "FR", "owners": ["A", "B"]},
])  # fmt: skip


def test_rights_that_are_words_of_an_older_version_are_refused_in_one_line() -> None:
    with pytest.raises(TableError, match="rights of listing L1 can't be read .*: lookalike recheck"):
        build_cases([row("L1", "a", rights="trademark 7 in EU, design 3 in FR")])


def groups(found: Cases) -> set[tuple[str, ...]]:
    return {case.sellers for case in found.cases}


def test_a_case_adds_up_a_sellers_findings() -> None:
    rows = [
        row("L1", "a", 19.99, scanned_at="2026-11-20T10:00:00+02:00"),
        row("L2", "a", 0.01, kind="copied_photo", territory="FR", rights=RIGHTS),
        row("L3", "a", None, brand="Other", product_id="p2", scanned_at="2026-11-22T10:00:00+00:00"),
        row("L4", "a", verdict="review"),
        row("L5", "a", verdict="clear"),
    ]
    (case,) = build_cases(rows).cases
    assert (case.sellers, case.listings, case.verdicts) == (("a",), ("L1", "L2", "L3"), {"flagged": 3})
    assert (case.brands, case.products) == ({"Acme": 2, "Other": 1}, {"p1": 2, "p2": 1})
    assert case.kinds == {"same_print": 2, "copied_photo": 1}
    assert case.territories == {"DE": 2, "FR": 1}
    assert case.rights == {"FR": ("design 3; 4 in FR", "trademark 7 in EU")}
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


def test_prices_that_are_none_are_counted_and_not_added() -> None:
    wrong = ["nan", "inf", "-1", "1e12", "1e-21", "twelve"]
    found = build_cases([row("L", "a", 2.5), *(row(f"L{k}", "a", price) for k, price in enumerate(wrong))])
    assert (found.bad_prices, found.cases[0].values) == (len(wrong), {"EUR": Decimal("2.5")})


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


@pytest.mark.parametrize("seed", range(4))
def test_cases_are_what_can_be_reached_from_seller_to_seller(seed: int) -> None:
    rng = random.Random(seed)
    sellers = [f"s{number}" for number in range(60)]
    keys = [(seller, "phone", str(rng.randrange(45))) for seller in sellers for _ in range(rng.randrange(3))]
    reached = {frozenset(_reachable(seller, keys)) for seller in sellers}
    found = build_cases([row(f"L{seller}", seller) for seller in sellers], keys=keys, joining=Joining(most=60))
    assert {frozenset(case.sellers) for case in found.cases} == reached
    assert 1 < len(reached) < 60


def _reachable(seller: str, keys: list[tuple[str, str, str]]) -> set[str]:
    reached, waiting = {seller}, [seller]
    while waiting:
        held = {value for name, _, value in keys if name == waiting[-1]}
        waiting.pop()
        others = {name for name, _, value in keys if value in held} - reached
        reached |= others
        waiting += others
    return reached


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Effort(Decimal(0)), "minutes per case"),
        (lambda: Joining(most=1), "2 or more"),
        (
            lambda: build_cases([row("L1", "a", scanned_at="noon")]),
            "finding of listing L1 has the time 'noon', which is not valid; write it like",
        ),
        (lambda: build_cases([row("L1", "a", rights="[1")]), "they are not JSON"),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(TableError, match=message):
        make()
