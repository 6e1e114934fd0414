"""Currencies, and rates that convert amounts exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from lookalike.errors import TableError
from lookalike.tables.amounts import read_amount
from lookalike.tables.files import read_rows


def currency_code(value: object) -> str:
    """A currency in capitals, as tables name it; empty for None."""
    return "" if value is None else str(value).strip().upper()


@dataclass(frozen=True)
class Rates:
    """What one unit of each currency is worth in `currency`."""

    currency: str
    rates: Mapping[str, Decimal]

    @classmethod
    def load(cls, path: str | Path, currency: str) -> Rates:
        """Read a table of `currency` and `rate`: what one unit is worth in the currency wanted.

        Raises TableError for a table that can't be read, and for a rate that is not a number above 0.
        """
        rates: dict[str, Decimal] = {}
        for line in read_rows(Path(path), required=("currency", "rate"), columns=()):
            name = currency_code(line.values.get("currency"))
            rate = read_amount(line.values.get("rate"))
            if line.error or not name or not rate or rates.get(name, rate) != rate:
                trouble = line.error or f"row {line.number} needs a currency, named once, and a rate like 0.8612"
                raise TableError(f"{path}: {trouble}")
            rates[name] = rate
        wanted = currency_code(currency)
        if rates.setdefault(wanted, Decimal(1)) != 1:
            raise TableError(f"{path}: one {wanted} is said to be worth {rates[wanted]} {wanted}; leave that row out")
        return cls(wanted, rates)

    @classmethod
    def only(cls, currency: str) -> Rates:
        """No conversion at all: amounts in that currency are worth what they are, others have no rate."""
        return cls(currency, {currency: Decimal(1)})


def round_fraction(value: Fraction) -> Decimal:
    """A fraction to two decimal places, halves to the even one.

    >>> round_fraction(Fraction(2, 3)), round_fraction(Fraction(1, 8))
    (Decimal('0.67'), Decimal('0.12'))
    """
    return Decimal(round(value * 100)).scaleb(-2)
