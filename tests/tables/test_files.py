"""A table appears whole or not at all, in each format."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.errors import TableError
from lookalike.tables.files import require_ending, writing_table

SCHEMA = pa.schema([("id", pa.string()), ("count", pa.int64()), ("share", pa.float32())])
ROWS = [{"id": "007", "count": 1, "share": 0.5}, {"id": 'a "b"\nc', "count": None, "share": None}]
TEXT = [["007", "1", "0.5"], ['a "b"\nc', "", ""]]


def text_of(path: Path) -> list[list[str]]:
    """The values as text, read without the library; null is empty."""
    read: dict[str, Callable[[], list[dict[str, Any]]]] = {
        ".csv": lambda: list(csv.DictReader(path.read_text().splitlines(keepends=True))),
        ".parquet": lambda: pq.read_table(path).to_pylist(),
        ".jsonl": lambda: [json.loads(line) for line in path.read_text().splitlines()],
    }
    return [["" if value is None else str(value) for value in row.values()] for row in read[path.suffix]()]


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
def test_holds_every_row_that_was_written(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t{ending}"
    with writing_table(path, SCHEMA) as writer:
        writer.write(ROWS)
        writer.write([])
        writer.write([{"id": "8"}])
        writer.write_table(pa.Table.from_pylist(ROWS, schema=SCHEMA))
    assert text_of(path) == [*TEXT, ["8", "", ""], *TEXT]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
def test_replaces_a_table_only_at_the_end(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t{ending}"
    path.write_text("old")
    with writing_table(path, SCHEMA) as writer:
        writer.write(ROWS)
        assert path.read_text() == "old"
    assert text_of(path) == TEXT


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
@pytest.mark.parametrize("trouble", ["in the caller", "in a row"])
def test_after_an_error_the_old_table_stays_and_nothing_is_left_behind(
    tmp_path: Path, ending: str, trouble: str
) -> None:
    path = tmp_path / f"t{ending}"
    path.write_text("old")
    with pytest.raises((RuntimeError, pa.ArrowException, TypeError)), writing_table(path, SCHEMA) as writer:
        writer.write(ROWS)
        if trouble == "in a row":
            writer.write([{"id": object(), "count": 1, "share": 0.5}])
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
def test_two_writers_of_one_table_do_not_mix(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t{ending}"
    with writing_table(path, SCHEMA) as first, writing_table(path, SCHEMA) as second:
        for _ in range(3):
            first.write(ROWS)
            second.write([{"id": "8"}])
    assert text_of(path) == TEXT * 3, "the one that ended last"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["t.xlsx", "t", "t.csv.gz"])
def test_refuses_another_ending_before_it_writes_anything(tmp_path: Path, name: str) -> None:
    with pytest.raises(TableError, match=r"; use \.csv, \.parquet or \.jsonl$"), writing_table(tmp_path / name, SCHEMA):
        pass
    assert not list(tmp_path.iterdir())


def test_endings_may_be_in_capitals(tmp_path: Path) -> None:
    assert require_ending(tmp_path / "T.CSV") == ".csv"
    with writing_table(tmp_path / "T.CSV", SCHEMA) as writer:
        writer.write(ROWS)
    assert (tmp_path / "T.CSV").read_text().startswith('"id","count","share"\n')
