"""Prices as exact decimals: read as they were written, added by currency, converted by given rates only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation
from fractions import Fraction
from pathlib import Path

from lookalike.errors import TableError
from lookalike.tables.files import read_rows

EXACT = Context(prec=80, traps=[Inexact, InvalidOperation])
"""Adds and multiplies amounts without ever rounding: some 2⁶⁰ prices of the largest and finest kind fit."""

_MOST, _MOST_PLACES = Decimal(10) ** 12, 12


def read_amount(value: object) -> Decimal | None:
    """A price or rate as an exact decimal; None for what is none, is 10¹² or more, or has over 12 decimals.

    Of a float it is the shortest decimal that stands for it, which is what was written.

    >>> read_amount(19.99), read_amount("0.1"), read_amount("1,50"), read_amount(float("nan"))
    (Decimal('19.99'), Decimal('0.1'), None, None)
    """
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    if not amount.is_finite() or not 0 <= amount < _MOST or -int(amount.as_tuple().exponent) > _MOST_PLACES:
        return None
    return amount


def currency_code(value: object) -> str:
    """A currency as tables name it, in capitals; empty for none."""
    return "" if value is None else str(value).strip().upper()


@dataclass(frozen=True)
class Rates:
    """What one unit of each currency is in `currency`, as exact decimals."""

    currency: str
    rates: Mapping[str, Decimal]

    @classmethod
    def load(cls, path: str | Path, currency: str) -> Rates:
        """Read a table of `currency` and `rate`: what one unit of it is in the currency wanted.

        Raises TableError for a table that can't be read, and for a rate that is no number above 0.
        """
        rates: dict[str, Decimal] = {}
        for line in read_rows(Path(path), required=("currency", "rate")):
            name = currency_code(line.values.get("currency"))
            rate = read_amount(line.values.get("rate"))
            if line.error or not name or not rate or rates.get(name, rate) != rate:
                trouble = line.error or f"row {line.number} needs a currency, named once, and a rate like 0.8612"
                raise TableError(f"{path}: {trouble}")
            rates[name] = rate
        wanted = currency_code(currency)
        if rates.setdefault(wanted, Decimal(1)) != 1:
            raise TableError(f"{path}: the rate of {wanted} in {wanted} is {rates[wanted]}; needed 1")
        return cls(wanted, rates)


def round_fraction(value: Fraction) -> Decimal:
    """A fraction to two decimals, halves to the even one.

    >>> round_fraction(Fraction(2, 3)), round_fraction(Fraction(1, 8))
    (Decimal('0.67'), Decimal('0.12'))
    """
    return Decimal(round(value * 100)).scaleb(-2)


def plain_decimal(value: Decimal) -> str:
    """A decimal as people write it, with two places or as many as it takes.

    >>> plain_decimal(Decimal("1E+3")), plain_decimal(Decimal("0.10")), plain_decimal(Decimal("1.2345"))
    ('1000.00', '0.10', '1.2345')
    """
    text = f"{value:f}"
    whole, _, places = text.partition(".")
    return f"{whole}.{places.rstrip('0').ljust(2, '0')}"
