"""An index folder made by a stranger loads, or is refused in one line: whatever its manifest and files say."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toy import ToyEncoder, clustered, unit_vectors

from lookalike.errors import IndexDamagedError, LookalikeError
from lookalike.index import store
from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.encoder import EncoderSpec
from lookalike.records import Reference

ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, 10**30, float("inf"), float("nan"), "", "text", "../../etc", [], [1], {}, {"a": None},
)  # fmt: skip


def exact(folder: Path) -> Path:
    index = ReferenceIndex(ToyEncoder().spec)
    index.add([Reference(f"r{i}", "p", "b", "x.png") for i in range(5)], unit_vectors(5), hashes=["0"] * 5)
    index.save(folder)
    return folder


def partitioned(folder: Path) -> Path:
    spec = EncoderSpec("toy", "toy", "0" * 64, 32, ToyEncoder().spec.preprocessing)
    index = ReferenceIndex(spec, exact_up_to=100)
    rows = [Reference(f"r{i}", f"p{i}", "b", "x.png") for i in range(600)]
    index.add(rows, clustered(600), hashes=["0"] * 600)
    index.save(folder)
    index.remove(references=["r1"])
    index.save(folder)
    return folder


MAKE = {"exact": exact, "partitioned": partitioned}


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every dictionary or list in a manifest, with each of its keys."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from places(value[key])


def rewrite(folder: Path, manifest: dict[str, Any]) -> None:
    """Write a manifest with the right checksum."""
    (folder / store.MANIFEST).write_text(store._manifest_text(manifest), encoding="utf-8")


@pytest.mark.parametrize("kind", MAKE)
def test_a_manifest_with_an_odd_value_loads_or_is_refused(tmp_path: Path, kind: str) -> None:
    folder = MAKE[kind](tmp_path / "index")
    manifest, _ = store.read_manifest(folder)
    refused = tried = 0
    for holder, key in list(places(manifest)):
        right = holder[key]
        for odd in ODD:
            holder[key] = odd
            rewrite(folder, manifest)
            tried += 1
            try:
                ReferenceIndex.load(folder)
            except LookalikeError as error:
                assert "\n" not in str(error)
                refused += 1
        holder[key] = right
    assert tried > 300 and refused > 0.6 * tried
    rewrite(folder, manifest)
    assert len(ReferenceIndex.load(folder))


def replace_file(folder: Path, kind: str, data: bytes) -> None:
    """Put another data file in the place of one, with a manifest that says so."""
    manifest, _ = store.read_manifest(folder)
    entry = manifest["files"][kind]
    (folder / entry["name"]).write_bytes(data)
    entry |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    rewrite(folder, manifest)


HEADERS = (
    b"{", b"{'descr': (", b"(", b"\x00", b"1" * 5000, b"'" * 3, b"{'shape': ()}", b"[[" * 4000, b"\xff", b"a\n  b\n c",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
)  # fmt: skip


@pytest.mark.parametrize("header", HEADERS)
def test_an_array_with_an_odd_header_is_refused(tmp_path: Path, header: bytes) -> None:
    folder = exact(tmp_path / "index")
    replace_file(folder, "vectors", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(IndexDamagedError):
        ReferenceIndex.load(folder)


@pytest.mark.parametrize("column", ["reference_id", "product_id", "brand", "image", "sha256"])
@pytest.mark.parametrize(
    "values", [[1] * 5, [None] * 5, ["a", None, "a", "a", "a"], [["a"]] * 5, [b"a"] * 5, [1.5] * 5]
)
def test_a_catalogue_without_text_where_text_belongs_is_refused(tmp_path: Path, column: str, values: list[Any]) -> None:
    folder = exact(tmp_path / "index")
    manifest, _ = store.read_manifest(folder)
    table = pq.read_table(folder / manifest["files"]["catalogue"]["name"])
    sink = pa.BufferOutputStream()
    pq.write_table(table.set_column(table.column_names.index(column), column, pa.array(values)), sink)
    replace_file(folder, "catalogue", sink.getvalue().to_pybytes())
    with pytest.raises(IndexDamagedError, match=f"no text for every row in {column}"):
        ReferenceIndex.load(folder)


@pytest.mark.skipif(os.name != "posix", reason="makes a pipe")
@pytest.mark.parametrize("kind", MAKE)
def test_a_pipe_in_place_of_a_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    folder = MAKE[kind](tmp_path / "index")
    for path in sorted(folder.iterdir()):
        if path.name == store.MANIFEST or path.suffix not in (".json", ".npy", ".parquet", ".bin"):
            continue
        data = path.read_bytes()
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(IndexDamagedError, match="not a regular file"):
            ReferenceIndex.load(folder)
        path.unlink()
        path.write_bytes(data)
    (folder / store.MANIFEST).unlink()
    os.mkfifo(folder / store.MANIFEST)
    with pytest.raises(LookalikeError):
        ReferenceIndex.load(folder)


def test_a_manifest_that_is_larger_than_any_is_refused(tmp_path: Path) -> None:
    folder = exact(tmp_path / "index")
    (folder / store.MANIFEST).write_text(json.dumps({"format": " " * (2 << 20)}))
    with pytest.raises(IndexDamagedError, match="larger than"):
        ReferenceIndex.load(folder)
