"""Rates convert sums exactly, and wrong ones are refused."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from flagged import row

from lookalike.cases.grouping import build_cases
from lookalike.cases.money import Rates
from lookalike.errors import TableError


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
