"""Rows as Arrow tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from .amounts import amount_text

if TYPE_CHECKING:
    import pyarrow as pa


def arrow_table(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table of that schema; a decimal goes into its column as text, which keeps it exactly."""
    import pyarrow as pa

    return pa.Table.from_pylist(list(map(with_text_amounts, rows)), schema=schema)


def with_text_amounts(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with its decimals as text.

    >>> with_text_amounts({"listing_id": "L1", "price": Decimal("19.90")})
    {'listing_id': 'L1', 'price': '19.90'}
    """
    return {name: amount_text(value) if isinstance(value, Decimal) else value for name, value in row.items()}
