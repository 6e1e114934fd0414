"""A cases table gives back the cases that were written to it, in every format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from flagged import row

from lookalike.cases.grouping import build_cases
from lookalike.cases.shared_photos import SharedPhoto
from lookalike.cases.table import read_cases, write_cases
from lookalike.errors import TableError

RIGHTS = '[{"ground":"right","kind":"trademark","number":"7","territory":"DE"}]'


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
def test_cases_come_back_from_their_table(tmp_path: Path, ending: str) -> None:
    rows = [row("L,1", 'a "q"\n', 19.99, rights=RIGHTS), row("L2", "ü", 3.0, currency="USD"), row("L3", None, None)]
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
