"""As many rows come out of a table as went in, whatever bytes stand in its cells.

Each of the five tests draws 500 tables. LOOKALIKE_TABLES=200000 draws a million together, others each time.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.tables.files import read_rows
from lookalike.tables.inputs import read_listings

NAMES = ("listing_id", "title", "note")
asked = os.environ.get("LOOKALIKE_TABLES")
many = settings(max_examples=int(asked or 500), deadline=None, database=None, derandomize=asked is None)

cells = st.one_of(
    st.binary(max_size=8),
    st.text(alphabet='",\r\n;|\t\0 aé😀\u2028', max_size=8).map(str.encode),
)
tables = st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=6)


@contextmanager
def file(name: str) -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        yield Path(folder) / name


def check(path: Path, rows: list[tuple[bytes, bytes, bytes]]) -> None:
    """Each row has its values, or an error that names its place, and the id if that can be read."""
    found = list(read_rows(path, required=NAMES[:1], columns=NAMES[:2]))
    assert [line.number for line in found] == list(range(1, len(rows) + 1))
    for line, (key, title, _) in zip(found, rows, strict=True):
        try:
            values = {"listing_id": key.decode(), "title": title.decode()}
        except UnicodeDecodeError:
            assert str(line.error).startswith(f"row {line.number} ")
            assert line.values.get("listing_id", "") in ("", key.decode(errors="backslashreplace"))
        else:
            assert (line.values, line.error) == (values, None)


@many
@given(tables)
def test_csv(rows: list[tuple[bytes, bytes, bytes]]) -> None:
    with file("t.csv") as path:
        with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as out:
            text = ([cell.decode(errors="surrogateescape") for cell in row] for row in rows)
            csv.writer(out).writerows([NAMES, *text])
        check(path, rows)


@many
@given(tables)
def test_parquet(rows: list[tuple[bytes, bytes, bytes]]) -> None:
    columns = [pa.array(column, pa.binary()) for column in zip(*rows, strict=True)]
    text = [pa.Array.from_buffers(pa.string(), len(rows), column.buffers()) for column in columns]
    with file("t.parquet") as path:
        pq.write_table(pa.table(text, NAMES), path)
        check(path, rows)


@many
@given(tables)
def test_json_lines(rows: list[tuple[bytes, bytes, bytes]]) -> None:
    with file("t.jsonl") as path:
        lines = (
            json.dumps({n: cell.decode(errors="surrogateescape") for n, cell in zip(NAMES, row, strict=True)})
            for row in rows
        )
        path.write_text("\n".join(lines))
        check(path, rows)


@many
@given(st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")).filter(bytes.strip)))
def test_json_lines_of_any_bytes(lines: list[bytes]) -> None:
    with file("t.jsonl") as path:
        path.write_bytes(b"\n".join([b'{"listing_id": "1"}', *lines]))
        found = list(read_rows(path, required=NAMES[:1]))
        assert [line.number for line in found] == list(range(1, len(lines) + 2))


@many
@given(st.lists(st.tuples(st.sampled_from([None, "", "a", "b", "c", 7, 7.0, True]), st.integers(0, 9)), min_size=1))
def test_each_row_is_in_one_listing(rows: list[tuple[Any, int]]) -> None:
    with file("t.jsonl") as path:
        path.write_text("\n".join(json.dumps({"listing_id": key, "image": f"{n}.jpg"}) for key, n in rows))
        photos: dict[str, list[str]] = {}
        for number, (key, n) in enumerate(rows, 1):
            name = f"row {number}" if key in (None, "") or key is True else "7" if key == 7 else key
            photos.setdefault(name, []).append(f"{path.parent}/{n}.jpg")
        found = list(read_listings(path))
        assert {each.id: list(each.images) for each in found} == {
            name: list(dict.fromkeys(images)) for name, images in photos.items()
        }
        assert len(found) == len(photos)
