"""A scan's state comes back as it was written, however large, window by window; what no scan writes is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toy import unit_vectors

from lookalike.errors import ScanStateError
from lookalike.scanning import state as state_module
from lookalike.scanning.basis import Basis
from lookalike.scanning.state import MANIFEST, ScanState, writing_state
from lookalike.scanning.state_rows import state_schema
from lookalike.scanning.windows import File, Window

BASIS = Basis({"name": "toy", "dim": 28}, "reading", '{"rights": null}', "0" * 64)


def references(count: int) -> pa.Table:
    names = [f"r{i}" for i in range(count)]
    return pa.table({"reference_id": pa.array(names, pa.string()), "digest": pa.array(names, pa.string())})


def row(number: int, **values: Any) -> dict[str, Any]:
    photo = {"sha256": f"{number:064x}", "hint": None, "error": None, "matches": ["r0"], "least": 0.5, "regions": []}
    here = {"listing_id": f"L{number}", "verdict": "clear", "policy": "p", "encoder": "e", "images": ["a.png"]}
    return {**here, "photos": [photo], **values}


def window(*rows: dict[str, Any], seed: int = 0) -> Window:
    read = sum(photo["error"] is None for each in rows for photo in each["photos"] or ())
    vectors = unit_vectors(read, seed=seed)
    return Window(pa.Table.from_pylist(list(rows), state_schema()), lambda: vectors)


def save(folder: Path, *windows: Window, basis: Basis = BASIS) -> None:
    with writing_state(folder) as writer:
        for each in windows:
            writer.add(each)
        writer.finish(basis, references(3), 0.5)


def load(folder: Path) -> ScanState:
    loaded = ScanState.load(folder)
    assert loaded is not None
    return loaded


def content(state: ScanState) -> tuple[Any, ...]:
    windows = [state.window(number) for number in range(len(state.windows))]
    return (
        state.basis,
        state.seconds,
        state.references.to_pylist(),
        [each.table.to_pylist() for each in windows],
        [each.vectors.tolist() for each in windows],
    )


def test_comes_back_as_it_was_written(tmp_path: Path) -> None:
    unread = row(3)
    unread["photos"].append({**unread["photos"][0], "error": "broken"})
    unread["images"] = ["a.png", "b.png"]
    windows = window(row(0), row(1)), window(row(2), unread, seed=1)
    save(tmp_path, *windows)
    loaded = load(tmp_path)
    assert (loaded.basis, loaded.seconds, len(loaded)) == (BASIS, 0.5, 4)
    assert loaded.references == references(3)
    for number, each in enumerate(windows):
        assert loaded.window(number).table == each.table
        np.testing.assert_array_equal(loaded.window(number).vectors, each.vectors)
    assert ScanState.load(tmp_path / "none") is None


def test_listings_are_taken_with_their_own_vectors(tmp_path: Path) -> None:
    rows = [row(number) for number in range(4)]
    rows[0]["photos"] *= 3
    rows[1]["photos"] = []
    rows[2]["photos"] = [{**rows[2]["photos"][0], "error": "broken"}]
    whole = window(*rows)
    taken = whole.take(np.array([3, 2, 0]))
    assert taken.table["listing_id"].to_pylist() == ["L3", "L2", "L0"]
    np.testing.assert_array_equal(taken.vectors, whole.vectors[[3, 0, 1, 2]])
    joined = Window.joined([taken, whole])
    np.testing.assert_array_equal(joined.vectors, np.concatenate([taken.vectors, whole.vectors]))
    assert whole.take(np.arange(4)) is whole


def test_more_vectors_than_two_gib_come_back(tmp_path: Path) -> None:
    rows = [row(number) for number in range(8192)]
    vectors = np.full((len(rows), 2048), 2048**-0.5, np.float32)
    many = Window(pa.Table.from_pylist(rows, state_schema()), lambda: vectors)
    basis = Basis({**BASIS.encoder, "dim": 2048}, *list(vars(BASIS).values())[1:])
    save(tmp_path, *[many] * 33, basis=basis)
    loaded = load(tmp_path)
    assert 4 * 2048 * len(loaded) > 1 << 31
    for number in (0, 32):
        np.testing.assert_array_equal(loaded.window(number).vectors[-1], vectors[-1])
    assert sum(len(table) for table in loaded.rows("listing_id")) == len(loaded)


def test_a_window_of_more_bytes_than_can_be_read_again_is_written_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_module, "_SPLIT_BYTES", 5000)
    whole = window(*[row(number, title="x" * 1000) for number in range(11)])
    save(tmp_path, whole)
    loaded = load(tmp_path)
    assert [each.listings for each in loaded.windows] == [3, 3, 3, 2]
    assert content(loaded)[3] == [whole.table.slice(at, 3).to_pylist() for at in (0, 3, 6, 9)]


def test_what_did_not_change_is_not_written_again(tmp_path: Path) -> None:
    save(tmp_path, window(row(0)), window(row(1), seed=1))
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    kept = load(tmp_path)
    save(tmp_path, kept.window(1), kept.window(0))
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    unchanged = [name for name in before if name.startswith(("rows", "vectors"))]
    assert len(unchanged) == 4 and all(before[name] == after[name] for name in unchanged)
    assert next(load(tmp_path).rows("listing_id"))["listing_id"].to_pylist() == ["L1"]


def test_removes_what_it_replaces_and_what_a_killed_process_left(tmp_path: Path) -> None:
    save(tmp_path, window(row(0)))
    (tmp_path / "rows.parquet.0123456789abcdef.tmp").write_bytes(b"half")
    (tmp_path / "rows-0123456789abcdef.parquet").write_bytes(b"written, but not named by a manifest")
    (tmp_path / "verified.sqlite").write_bytes(b"kept")
    save(tmp_path, window(row(1), seed=1))
    names = sorted(path.name.split("-")[0] for path in tmp_path.iterdir() if path.name != ".lock")
    assert names == ["references", "rows", "state.json", "vectors", "verified.sqlite"]


def test_a_run_that_fails_leaves_the_state_as_it_was(tmp_path: Path) -> None:
    save(tmp_path, window(row(0)))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(OSError, match="full"), writing_state(tmp_path) as writer:
        writer.add(window(row(1), seed=1))
        raise OSError("full")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_only_one_may_write(tmp_path: Path) -> None:
    with writing_state(tmp_path), pytest.raises(ScanStateError, match="another process"), writing_state(tmp_path):
        pass


def test_a_state_of_another_version_names_the_command_that_makes_it_again(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text('{"format": "lookalike-scan-state", "version": 1}')
    with pytest.raises(ScanStateError, match="state 1, expected .* 3; remove it, and .* lookalike scan --since"):
        load(tmp_path)


def test_whichever_byte_is_flipped_the_state_is_refused_or_right(tmp_path: Path) -> None:
    save(tmp_path, window(row(0), row(1)), window(row(2), seed=1))
    expected = content(load(tmp_path))
    refused = tried = 0
    for path in (path for path in sorted(tmp_path.iterdir()) if path.name != ".lock"):
        data = path.read_bytes()
        for at in range(0, len(data), 3 if path.name == MANIFEST else 31):
            path.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
            tried += 1
            try:
                found = content(load(tmp_path))
            except ScanStateError as error:
                assert "\n" not in str(error)
                refused += 1
            else:
                assert path.name == MANIFEST, f"{path.name} was changed at {at}"
                assert found[2:] == expected[2:], "all but the manifest's own values"
        path.write_bytes(data)
    assert content(load(tmp_path)) == expected
    assert refused > 0.8 * tried > 500


ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, 10**400, float("inf"), float("nan"), "", "text", "../../etc", [], [1], {}, {"a": None},
    1 << 40, [[]], [{}],
)  # fmt: skip


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every dictionary and list in a manifest, with each of its keys."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places(value[key])


def test_a_manifest_with_an_odd_value_loads_or_is_refused(tmp_path: Path) -> None:
    save(tmp_path, window(row(0)))
    path = tmp_path / MANIFEST
    manifest = json.loads(path.read_bytes())
    refused = tried = 0
    for holder, key in list(places(manifest)):
        right = holder[key]
        for odd in ODD:
            holder[key] = odd
            path.write_text(json.dumps(manifest))
            tried += 1
            try:
                content(load(tmp_path))
            except ScanStateError as error:
                assert "\n" not in str(error)
                refused += 1
        holder[key] = right
    assert tried == 26 * len(ODD)
    assert refused > 0.8 * tried
    for text in ("[]", "null", "{", "[" * 100_000, "{}", " " * (65 << 20)):
        path.write_text(text)
        with pytest.raises(ScanStateError, match="can't be read"):
            ScanState.load(tmp_path)


PHOTO = row(0)["photos"][0]


@pytest.mark.parametrize(
    "change",
    [{"listing_id": None}, {"verdict": None}, {"policy": None}, {"images": None}, {"images": [None]}, {"photos": None},
     {"photos": [None]}, {"photos": [PHOTO | {"matches": None}]}, {"photos": [PHOTO | {"matches": [None]}]},
     {"photos": [PHOTO, PHOTO]}],
)  # fmt: skip
def test_rows_that_no_scan_writes_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    rows = pa.Table.from_pylist([row(0), row(1, **change)], state_schema())
    refuse(tmp_path, rows, unit_vectors(2))


@pytest.mark.parametrize(
    "vectors",
    [unit_vectors(2)[:, :27], unit_vectors(3), unit_vectors(2) * 2, unit_vectors(2) * np.nan, unit_vectors(0)],
    ids=["too short", "too many", "too long", "no numbers", "none"],
)
def test_vectors_that_no_scan_writes_are_refused(tmp_path: Path, vectors: Any) -> None:
    refuse(tmp_path, pa.Table.from_pylist([row(0), row(1)], state_schema()), vectors)


def refuse(folder: Path, rows: pa.Table, vectors: Any) -> None:
    """Writing these succeeds, because they are of the right type; reading them is refused in one line."""
    save(folder, window(row(0), row(1)))
    sink = BytesIO()
    pq.write_table(rows, sink, compression="zstd", use_dictionary=False)
    put(folder, "rows_file", ".parquet", sink.getvalue())
    put(folder, "vectors_file", ".f32", np.ascontiguousarray(vectors, "<f4").tobytes())
    with pytest.raises(ScanStateError, match="can't be read") as refused:
        content(load(folder))
    assert "\n" not in str(refused.value)


def put(folder: Path, kind: str, suffix: str, data: bytes) -> None:
    """Replace a file of the first window, with the right checksum in the manifest."""
    manifest = json.loads((folder / MANIFEST).read_bytes())
    file = File.written(folder, kind.removesuffix("_file"), suffix, lambda path: path.write_bytes(data))
    manifest["windows"][0][kind] = vars(file)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def repetitive() -> bytes:
    """Two rows of eight megabytes each, in a few bytes."""
    table = pa.Table.from_pylist([row(0, title="x" * (8 << 20)), row(1, title="x" * (8 << 20))], state_schema())
    sink = BytesIO()
    pq.write_table(table, sink, compression="zstd", use_dictionary=True)
    return sink.getvalue()


def foreign() -> bytes:
    sink = BytesIO()
    pq.write_table(pa.table({"listing_id": [1, 2], "verdict": ["a", "b"]}), sink)
    return sink.getvalue()


@pytest.mark.parametrize("make", [repetitive, foreign, lambda: b"", lambda: b"PAR1" * 9])
def test_files_that_no_scan_writes_are_refused(tmp_path: Path, make: Callable[[], bytes]) -> None:
    save(tmp_path, window(row(0), row(1)))
    put(tmp_path, "rows_file", ".parquet", make())
    with pytest.raises(ScanStateError, match="can't be read"):
        content(load(tmp_path))


@pytest.mark.skipif(os.name != "posix", reason="makes a pipe")
@pytest.mark.parametrize("name", ["state.json", "rows-*.parquet", "references-*.parquet", "vectors-*.f32"])
def test_a_pipe_in_place_of_a_file_is_refused_at_once(tmp_path: Path, name: str) -> None:
    save(tmp_path, window(row(0)))
    (path,) = tmp_path.glob(name)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ScanStateError, match="not a regular file"):
        content(load(tmp_path))
