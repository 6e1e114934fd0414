"""Further columns are carried along as text: they stop no build, and what is written can be read again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toy import ToyEncoder, save_pictures, unit_vectors

from lookalike.errors import IndexDamagedError, TableError
from lookalike.index import catalogue, store
from lookalike.index.build import add_harmless, add_references, build_index, load_harmless
from lookalike.index.catalogue import MOST_COLUMNS, MOST_ROW_BYTES
from lookalike.index.reference_index import ReferenceIndex
from lookalike.records import BadRow, Reference
from lookalike.tables.inputs import read_references

ODD: dict[str, tuple[Any, str | None]] = {
    "text": ("05 é", "05 é"),
    "nothing": (None, None),
    "not a number": (float("nan"), None),
    "a whole float": (7.0, "7"),
    "a number above 2**63": (10**20, "100000000000000000000"),
    "a decimal": (Decimal("19.90"), "19.90"),
    "a truth value": (True, "true"),
    "a day": (date(2026, 11, 24), "2026-11-24"),
    "a time": (datetime(2026, 11, 24, 10, 30), "2026-11-24 10:30:00"),
    "bytes": (b"caf\xe9", "caf\\xe9"),
    "an empty object": ({}, "{}"),
    "nested values": ({"a": [1, None, {"b": date(2026, 1, 1)}], "c": float("inf")},
                      '{"a": [1, null, {"b": "2026-01-01"}], "c": null}'),
}  # fmt: skip


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return [Path(path) for path in save_pictures(tmp_path / "photos", 4)]


def of(photos: list[Path], *more: dict[str, Any]) -> list[Reference]:
    return [Reference(f"r{n}", f"p{n}", "B", photos[n], each) for n, each in enumerate(more)]


def carried(index: Path) -> list[dict[str, Any]]:
    return [dict(reference.more) for reference in ReferenceIndex.load(index, verify=True).references]


@pytest.mark.parametrize("kind", ODD)
def test_whatever_a_further_column_holds_is_kept_as_text(tmp_path: Path, photos: list[Path], kind: str) -> None:
    value, text = ODD[kind]
    summary = build_index(of(photos, {"x": "n/a"}, {"x": value}), index=tmp_path / "index", encoder=ToyEncoder())
    assert summary.failed == ()
    assert carried(tmp_path / "index") == [{"x": "n/a"}, {"x": text}]


def deep() -> list[Any]:
    nested: list[Any] = []
    for _ in range(10_000):
        nested = [nested]
    return nested


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a long value": ({"html": "a" * 4_400_000}, "its column html has 4,400,004 bytes, but all columns of a reference "
                     f"together may have {MOST_ROW_BYTES:,}; shorten it, or leave the column out"),
    "many values": ({f"c{n}": "a" * 300 for n in range(100)}, "its column c10 has 303 bytes"),
    "a long name": ({"n" * 40_000: "a"}, "has 40,001 bytes"),
    "the index's own column": ({"sha256": "00"}, "has a column sha256, a name that the index uses itself; rename it"),
    "one of ours": ({"brand": "Acme"}, "has a column brand, a name that the index uses itself; rename it"),
    "half a character": ({"title": "\ud83d"}, "a further column can't be kept as text"),
    "very deep nesting": ({"a": deep()}, "a further column can't be kept as text"),
    "very many columns": ({f"c{n}": "a" for n in range(MOST_COLUMNS + 1)}, f"the index has {MOST_COLUMNS} further"),
}  # fmt: skip


class Unread(ToyEncoder):
    """Fails the test if a photo is read."""

    def embed(self, inputs: Any) -> Any:
        raise AssertionError("a photo was embedded")


@pytest.mark.parametrize("kind", BAD)
def test_a_row_that_the_index_cannot_keep_fails_alone_and_before_its_photo_is_read(
    tmp_path: Path, photos: list[Path], kind: str
) -> None:
    more, message = BAD[kind]
    good, bad = of(photos, {}, more)
    with pytest.raises(TableError, match=f"none of the 1 references could be used; the first: .*{message[:30]}"):
        build_index([bad], index=tmp_path / "index", encoder=Unread())
    assert not (tmp_path / "index").exists()
    for change in (build_index, add_references, add_harmless):
        summary = change([good, bad], index=tmp_path / "index", encoder=ToyEncoder())
        ((row, error),) = [(each.row, each.error) for each in summary.failed]
        assert row == "r1" and message in error
    assert carried(tmp_path / "index") == [{}]
    harmless = load_harmless(tmp_path / "index")
    assert harmless is not None and len(harmless) == 1
    index = ReferenceIndex.load(tmp_path / "index")
    with pytest.raises(TableError, match="reference 'r1': |the references have"):
        index.add([bad], unit_vectors(1, dim=index.spec.dim), hashes=["1"])


def test_columns_of_any_tables_go_together(tmp_path: Path, photos: list[Path]) -> None:
    rows = [
        {"reference_id": f"r{n}", "image": str(photo), "product_id": "p", "brand": "B"}
        for n, photo in enumerate(photos)
    ]
    pq.write_table(pa.Table.from_pylist([{**rows[0], "year": 2024, "sizes": [1, 2]}]), tmp_path / "a.parquet")
    (tmp_path / "b.jsonl").write_text(json.dumps({**rows[1], "year": "n/a", "sizes": {"eu": 40}}))
    (tmp_path / "c.csv").write_text(f"reference_id,image,product_id,brand,year,shade\nr2,{photos[2]},p,B,2024,red\n")
    build_index(read_references(tmp_path / "a.parquet"), index=tmp_path / "index", encoder=ToyEncoder())
    for name in ("b.jsonl", "c.csv"):
        assert (
            add_references(read_references(tmp_path / name), index=tmp_path / "index", encoder=ToyEncoder()).failed
            == ()
        )
    assert carried(tmp_path / "index") == [
        {"year": "2024", "sizes": "[1, 2]", "shade": None},
        {"year": "n/a", "sizes": '{"eu": 40}', "shade": None},
        {"year": "2024", "sizes": None, "shade": "red"},
    ]


def test_an_index_never_gets_more_columns_than_it_may_have(
    tmp_path: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookalike.index.build.MOST_COLUMNS", 2)
    rows = of(photos, {"a": "1"}, {"b": "2"}, {"c": "3"}, {"a": "4"})
    summary = build_index(rows, index=tmp_path / "index", encoder=ToyEncoder())
    wanted = "has a column 'c', but the index has 2 further ones already; leave some out"
    assert summary.failed == (BadRow("r2", wanted),)
    assert add_references(rows[2:], index=tmp_path / "index", encoder=ToyEncoder()).failed == (BadRow("r2", wanted),)
    assert carried(tmp_path / "index") == [{"a": "1", "b": None}, {"a": None, "b": "2"}, {"a": "4", "b": None}]


def test_a_full_row_for_every_reference_can_be_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "_FREE", 0)
    count, dim = 40, 256
    own = len("r00") + len("pB") + len("00.jpg") + len("x")
    rows = [Reference(f"r{n:02}", "p", "B", f"{n:02}.jpg", {"x": f"{n:02}" + "é" * ((MOST_ROW_BYTES - own - 2) // 2)})
            for n in range(count)]  # fmt: skip
    table = catalogue.catalogue_of(rows, [f"{n:064}" for n in range(count)])
    spec = ToyEncoder().spec
    vectors = np.eye(count, dim, dtype=np.float32)
    entries = store.write_rows(tmp_path, catalogue=table, vectors=vectors, features=())
    assert entries["catalogue"]["bytes"] > 0 and spec.dim < dim


def test_what_could_not_be_read_again_is_not_written(
    tmp_path: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    build_index(of(photos, {"x": "1"}), index=tmp_path / "index", encoder=ToyEncoder())
    monkeypatch.setattr(catalogue, "_FREE", 5_000)
    rows = of(photos, {"x": "1"}, {"x": "a" * 20_000})
    with pytest.raises(TableError, match="the further columns of the references can't be kept in .*; leave them out"):
        add_references(rows, index=tmp_path / "index", encoder=ToyEncoder())
    assert carried(tmp_path / "index") == [{"x": "1"}]
    assert not list((tmp_path / "index").glob("*.tmp"))


def forged(folder: Path, columns: dict[str, pa.Array]) -> Path:
    """The index in that folder with another catalogue that its manifest describes truly."""
    manifest, _ = store.read_manifest(folder)
    path = folder / manifest["files"]["catalogue"]["name"]
    table = pq.read_table(path)
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, values) if name in table.column_names else (
            table.append_column(name, values))  # fmt: skip
    path.unlink()

    def save(path: Path) -> None:
        pq.write_table(table, path, compression="zstd")

    manifest["files"]["catalogue"] = store.write_data(folder, "catalogue", ".parquet", save)
    store.replace_manifest(folder, manifest)
    return path


def indices(folder: Path, count: int) -> Path:
    index = ReferenceIndex(ToyEncoder().spec)
    rows = [Reference(f"r{n}", "p", "B", f"{n}.jpg") for n in range(count)]
    index.add(rows, unit_vectors(count, dim=index.spec.dim), hashes=[f"{n:064}" for n in range(count)])
    index.save(folder)
    return folder


def bombs(count: int) -> Iterator[tuple[str, pa.Array]]:
    first = pa.array([0] * count, pa.int32())
    yield "note", pa.DictionaryArray.from_arrays(first, pa.array(["a" * 1_000_000])).cast(pa.string())
    yield (
        "note",
        pa.ListArray.from_arrays(pa.array([0, *[5_000_000] * count], pa.int32()), pa.nulls(5_000_000, pa.int8())),
    )


@pytest.mark.parametrize("place", [0, 1])
def test_a_catalogue_that_unpacks_to_far_more_than_the_index_has_is_refused(tmp_path: Path, place: int) -> None:
    folder = indices(tmp_path / "index", 200)
    name, column = list(bombs(200))[place]
    forged(folder, {name: column})
    with pytest.raises(IndexDamagedError, match="can't be read as a catalogue"):
        ReferenceIndex.load(folder)


def test_the_typed_columns_of_older_indexes_are_read_as_text(tmp_path: Path) -> None:
    folder = indices(tmp_path / "index", 3)
    forged(folder, {"year": pa.array([2024, None, 2026]), "sizes": pa.array([[1, 2], [], None])})
    assert carried(folder) == [
        {"year": "2024", "sizes": "[1, 2]"}, {"year": None, "sizes": "[]"}, {"year": "2026", "sizes": None}
    ]  # fmt: skip
