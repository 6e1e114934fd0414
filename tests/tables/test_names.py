"""A cell of what labels say is read back as it was written, and nothing else is taken for one."""

from __future__ import annotations

import json

import pytest

from lookalike.tables.names import ANSWERS, NameReading, name_in


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_reading_is_read_back(answer: str) -> None:
    reading = NameReading(answer, "Été", 'E\u0301te"s', 0.75)
    assert name_in(reading.to_cell()) == reading
    assert name_in(NameReading(answer).to_cell()) == NameReading(answer)


@pytest.mark.parametrize(
    "cell", [None, "", 7, "{", "[]", "null", '{"answer": "guilty"}', '{"answer": ["same"]}', "[" * 9999]
)
def test_anything_else_is_no_reading(cell: object) -> None:
    assert name_in(cell) is None


def test_what_a_table_from_elsewhere_says_is_bounded() -> None:
    cell = json.dumps({"answer": "same", "reference": "x" * 999, "listing": {"a": 1}, "similarity": 7})
    assert name_in(cell) == NameReading("same", "x" * 80)
