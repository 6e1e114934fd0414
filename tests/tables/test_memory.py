"""A small file that unpacks to gigabytes takes little memory, and no row of it is lost; a large honest one streams."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.errors import TableError
from lookalike.tables import json_rows
from lookalike.tables.files import read_rows
from lookalike.tables.lines import MOST_BYTES

MEBIBYTE = 1 << 20
READ = """
import sys
from pathlib import Path
import pyarrow.parquet, numpy
from lookalike.errors import TableError
from lookalike.tables.inputs import read_listings

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) >> 10

before = peak()
try:
    listings = errors = 0
    for listing in read_listings(Path(sys.argv[1])):
        listings, errors = listings + 1, errors + bool(listing.error)
except TableError:
    listings = errors = -1
print(listings, errors, peak() - before)
"""


def read_apart(path: Path) -> tuple[int, int, int]:
    """How many listings and errors a table has, −1 if it is refused, and how many MiB it takes to read it."""
    told = subprocess.run([sys.executable, "-c", READ, path], check=True, capture_output=True, text=True).stdout
    listings, errors, taken = map(int, told.split())
    return listings, errors, taken


def repeated(value: object, count: int) -> pa.Array:
    return pa.array([value]).take(pa.array([0] * count, pa.int32()))


def stored_once(value: object, count: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array([value]))


def write(path: Path, **columns: pa.Array) -> Path:
    count = len(next(iter(columns.values())))
    table = {"image": repeated("/a.jpg", count)} | columns
    if "listing_id" not in columns:
        table["listing_id"] = pa.array(map(str, range(count)))
    pq.write_table(pa.table(table), path, compression="zstd")
    return path


def lists(*lengths: int, of: Callable[[int], pa.Array]) -> pa.Array:
    ends = [sum(lengths[:n]) for n in range(len(lengths) + 1)]
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), of(ends[-1]))


def lists_of_lists() -> pa.Array:
    return lists(1, 1, of=lambda count: lists(*[5_000_000] * count, of=lambda inner: repeated(0, inner)))


BOMBS: dict[str, tuple[str, Callable[[], pa.Array], tuple[int, int]]] = {
    "a long value that is stored once": ("title", lambda: stored_once("a" * 3_000_000, 1024), (1024, 0)),
    "a longer one, more than a row may have": ("title", lambda: stored_once("a" * (MOST_BYTES + 1), 200), (200, 200)),
    "a long id": ("listing_id", lambda: stored_once("a" * 3_000_000, 512), (1, 0)),
    "very many in a list": ("image", lambda: lists(20_000_000, 1, of=lambda n: repeated("/a.jpg", n)), (2, 1)),
    "long ones in a list": ("image", lambda: lists(100_000, 1, of=lambda n: stored_once("a" * 100_000, n)), (2, 1)),
    "lists of lists": ("image", lists_of_lists, (2, 2)),
    "a long value in a struct": (
        "title", lambda: pa.StructArray.from_arrays([stored_once("a" * 3_000_000, 512)], ["k"]), (512, 0),
    ),
    "more rows than its bytes can tell": ("listing_id", lambda: repeated("1", 4_000_000), (-1, -1)),
}  # fmt: skip


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("name", BOMBS)
def test_a_small_parquet_file_takes_little_memory(tmp_path: Path, name: str) -> None:
    column, values, expected = BOMBS[name]
    path = write(tmp_path / "l.parquet", **{column: values()})
    assert path.stat().st_size < MEBIBYTE
    listings, errors, taken = read_apart(path)
    assert (listings, errors) == expected
    assert taken < 640, f"{taken} MiB"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_large_honest_table_streams(tmp_path: Path) -> None:
    count = 100_000
    photos = pa.array([f"/photos/{n // 3}-{n % 3}.jpg" for n in range(3 * count)])
    image = pa.ListArray.from_arrays(pa.array(range(0, 3 * count + 1, 3), pa.int32()), photos)
    titles = pa.array([f"a title of listing {n} that is as long as titles are" for n in range(count)])
    path = write(tmp_path / "l.parquet", image=image, title=titles)  # in one row group
    listings, errors, taken = read_apart(path)
    assert (listings, errors) == (count, 0)
    assert taken < 120, f"{taken} MiB"


def test_a_parquet_file_whose_pages_unpack_to_far_more_is_refused(tmp_path: Path) -> None:
    titles = pa.array(["b" * (200_000 + n) for n in range(2048)])
    table = pa.table({"listing_id": pa.array(map(str, range(2048))), "title": titles})
    pq.write_table(table, tmp_path / "l.parquet", compression="zstd", use_dictionary=False)
    with pytest.raises(TableError, match="l.parquet unpacks title from .* bytes; no honest table is like that"):
        list(read_rows(tmp_path / "l.parquet"))
    assert len(list(read_rows(tmp_path / "l.parquet", columns=("listing_id",)))) == 2048, "nobody asked for the titles"


def test_a_parquet_row_beyond_the_bound_is_an_error_and_keeps_its_id(tmp_path: Path) -> None:
    titles = pa.array(["a", "b" * (MOST_BYTES + 1), "c"])
    path = write(tmp_path / "l.parquet", title=titles)
    first, second, third = read_rows(path, required=("listing_id",))
    assert (first.values["title"], third.values["title"]) == ("a", "c")
    assert (second.values, second.error) == (
        {"listing_id": "1"},
        f"row 2 is longer than {MOST_BYTES:,} bytes; shorten it",
    )


@pytest.mark.parametrize("line", ["[" + "0.5," * 20 + "0]", '{"a": ' + "[" * 12 + "]" * 12 + "}", "{}" + ",{}" * 20])
def test_a_json_line_of_very_many_values_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setattr(json_rows, "_MOST_VALUES", 10)
    (tmp_path / "l.jsonl").write_text(f'{{"id": "1"}}\n{line}\n{{"id": "3"}}\n')
    errors = [each.error for each in read_rows(tmp_path / "l.jsonl", required=("id",))]
    assert errors == [None, "row 2 has more than 10 commas and brackets; shorten it", None]


@pytest.mark.parametrize("depth", [500, 100_000])
def test_a_json_line_nested_very_deeply_spoils_no_other(tmp_path: Path, depth: int) -> None:
    line = '{"id": "2", "a": ' + '{"b": [' * depth + "]}" * depth + "}"
    (tmp_path / "l.jsonl").write_text(f'{{"id": "1"}}\n{line}\n{{"id": "3"}}\n')
    found = list(read_rows(tmp_path / "l.jsonl", required=("id",), columns=()))
    assert [found[0].error, found[2].error] == [None, None] and len(found) == 3
