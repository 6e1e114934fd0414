"""Amounts of money in tables: decimals, read as they were written and written as people write them."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Self

MOST, MOST_PLACES = Decimal(10) ** 12, 20
"""An amount is below the first and has at most this many decimal places, which are enough for any binary float."""

AMOUNTS = f"a number from 0 to below 10¹² with at most {MOST_PLACES} decimal places"
"""What `read_amount` accepts, in words."""

_MOST_DIGITS = 50


class WrittenFloat(float):
    """A float whose text is what stands in the file, so that `read_decimal` gives just that.

    >>> number = WrittenFloat("19.90")
    >>> number + 1, str(number)
    (20.9, '19.90')
    """

    __slots__ = ("text",)

    def __new__(cls, text: str, value: float | None = None) -> Self:
        """The number of that text, or else `value`, which is what another type made of it."""
        number = super().__new__(cls, text if value is None else value)
        number.text = text
        return number

    text: str

    def __str__(self) -> str:
        return self.text


def read_decimal(value: object) -> Decimal:
    """A number as an exact decimal: of a float, the shortest decimal that stands for it, which is what was written.

    Raises ValueError for anything else, and for a number that takes more than 50 digits before or after the point.

    >>> read_decimal(19.99), read_decimal("0.10"), read_decimal(7)
    (Decimal('19.99'), Decimal('0.10'), Decimal('7'))
    """
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        raise ValueError(f"{str(value)[:40]!r} is not a number") from None
    if number.is_finite() and abs(number.adjusted()) >= _MOST_DIGITS:
        raise ValueError(f"{str(value)[:40]!r} is not a number of at most {_MOST_DIGITS} digits")
    return number


def read_amount(value: object) -> Decimal | None:
    """A price or rate as an exact decimal, None if it is not from 0 to below 10¹² with at most 20 places.

    >>> read_amount("1234.50"), read_amount("1,50"), read_amount(-1), read_amount(float("nan"))
    (Decimal('1234.50'), None, None, None)
    """
    try:
        amount = read_decimal(value)
    except ValueError:
        return None
    if not amount.is_finite() or not 0 <= amount < MOST or -int(amount.as_tuple().exponent) > MOST_PLACES:
        return None
    return amount


def amount_text(amount: Decimal) -> str:
    """A decimal with all its digits and without an exponent, unless its digits would fill a page.

    >>> [amount_text(Decimal(text)) for text in ("19.90", "1E+3", "1E-9", "1E+999")]
    ['19.90', '1000', '0.000000001', '1E+999']
    """
    return f"{amount:f}" if abs(amount.adjusted()) < _MOST_DIGITS else str(amount)


def plain_decimal(value: Decimal, *, thousands: str = "") -> str:
    """A decimal as people write money: with two decimal places, or as many as it takes.

    >>> plain_decimal(Decimal("1E+3")), plain_decimal(Decimal("0.10")), plain_decimal(Decimal("1.2345"))
    ('1000.00', '0.10', '1.2345')
    >>> plain_decimal(Decimal("1234567.005"), thousands=",")
    '1,234,567.005'
    """
    whole, _, places = f"{value:{thousands}f}".partition(".")
    return f"{whole}.{places.rstrip('0').ljust(2, '0')}"
