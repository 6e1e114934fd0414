"""Cells that a spreadsheet would run as formulas: made harmless in every CSV file written, and read back as they were.

A seller's title like `=HYPERLINK(...)` would run on the machine of whoever opens the table. So an apostrophe is put
before text that begins like a formula, after apostrophes or not; a plain number such as -5 does nothing and stays.
Source: https://owasp.org/www-community/attacks/CSV_Injection.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_STARTS = r"[=+\-@\t\r\n＝＋－＠]"
_NUMBER = r"^[+-]\d*\.?\d+\z"
_MARKED = re.compile(f"'+{_STARTS}")


def harmless_table(table: pa.Table) -> pa.Table:
    """The table with an apostrophe before each text that a spreadsheet would run.

    >>> import pyarrow as pa
    >>> harmless_table(pa.table({"title": ["=1+1", "'=1", "-5", "-a", "a"]}))["title"].to_pylist()
    ["'=1+1", "''=1", '-5', "'-a", 'a']
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    for place, field in enumerate(table.schema):
        if not pa.types.is_string(field.type):
            continue
        column = table.column(place)
        marked = pc.and_not(
            pc.match_substring_regex(column, f"^'*{_STARTS}"), pc.match_substring_regex(column, _NUMBER)
        )
        if pc.any(marked).as_py():
            table = table.set_column(place, field, pc.if_else(
                pc.fill_null(marked, False), pc.binary_join_element_wise("'", column, ""), column
            ))  # fmt: skip
    return table


def as_written(text: str) -> str:
    """The text of a cell before `harmless_table` changed it.

    >>> [as_written(text) for text in ("'=1+1", "''=1", "-5", "'a")]
    ['=1+1', "'=1", '-5', "'a"]
    """
    return text[1:] if text.startswith("'") and _MARKED.match(text) else text


def values_as_written(values: dict[str, Any]) -> dict[str, Any]:
    """A row of a CSV file with each text as it was before `harmless_table` changed it."""
    return {name: as_written(value) if isinstance(value, str) else value for name, value in values.items()}
