"""A scan's state comes back as it was saved, whoever else saves one, and leaves nothing else behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lookalike.errors import ScanStateError
from lookalike.scanning.basis import Basis
from lookalike.scanning.state import ScanState
from lookalike.scanning.state_rows import state_schema

BASIS = Basis({"name": "toy"}, "reading", '{"rights": null}', "0" * 64)


def state(count: int) -> ScanState:
    return ScanState(BASIS, state_schema().empty_table(), {f"r{i}": str(i) for i in range(count)}, 0.5)


def test_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    state(3).save(tmp_path)
    loaded = ScanState.load(tmp_path)
    assert loaded is not None
    assert (loaded, loaded.seconds) == (state(3), 0.5)
    assert ScanState.load(tmp_path / "none") is None


def test_removes_what_it_replaces_and_what_a_killed_process_left(tmp_path: Path) -> None:
    state(3).save(tmp_path)
    (tmp_path / "listings.parquet.0123456789abcdef.tmp").write_bytes(b"half")
    (tmp_path / "verified.sqlite").write_bytes(b"kept")
    state(4).save(tmp_path)
    names = sorted(path.name.split("-")[0] for path in tmp_path.iterdir() if path.name != ".lock")
    assert names == ["listings", "references", "state.json", "verified.sqlite"]


SAVE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_state import state
for round in range(25):
    state(1000 * int(sys.argv[3]) + round).save(sys.argv[2])
"""


def test_processes_may_save_at_the_same_time(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SAVE, str(Path(__file__).parent), str(tmp_path)]
    workers = [subprocess.Popen([*command, str(number)], stderr=subprocess.PIPE, text=True) for number in range(3)]
    said = [worker.communicate()[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 3, said
    loaded = ScanState.load(tmp_path)
    assert loaded is not None
    assert len(loaded.references) % 1000 == 24


ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, 10**400, float("inf"), float("nan"), "", "text", "../../etc", [], [1], {}, {"a": None},
)  # fmt: skip


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every dictionary in a manifest, with each of its keys."""
    for key in list(value) if isinstance(value, dict) else ():
        yield value, key
        yield from places(value[key])


def test_a_manifest_with_an_odd_value_loads_or_is_refused(tmp_path: Path) -> None:
    state(3).save(tmp_path)
    path = tmp_path / "state.json"
    manifest = json.loads(path.read_bytes())
    refused = tried = 0
    for holder, key in list(places(manifest)):
        right = holder[key]
        for odd in ODD:
            holder[key] = odd
            path.write_text(json.dumps(manifest))
            tried += 1
            try:
                ScanState.load(tmp_path)
            except ScanStateError as error:
                assert "\n" not in str(error)
                refused += 1
        holder[key] = right
    assert tried == 15 * 16
    assert refused > 0.7 * tried
    for text in ("[]", "null", "{", "[" * 100_000, "{}", " " * (17 << 20)):
        path.write_text(text)
        with pytest.raises(ScanStateError, match="can't be read"):
            ScanState.load(tmp_path)


PHOTO = {"sha256": "0", "vector": b"\0" * 112, "hint": None, "error": None, "matches": ["r0"], "least": 0.5}
ROW = {"listing_id": "L", "verdict": "clear", "images": ["a.png"], "photos": [PHOTO]}


@pytest.mark.parametrize(
    "change",
    [{}, {"listing_id": None}, {"verdict": None}, {"images": None}, {"photos": None},
     {"photos": [PHOTO | {"vector": b"\0" * 111}]}, {"photos": [PHOTO | {"matches": None}]}],
)  # fmt: skip
def test_rows_that_no_scan_writes_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    rows = pa.Table.from_pylist([ROW, ROW | change], state_schema())
    basis = replace(BASIS, encoder={"name": "toy", "dim": 28})
    ScanState(basis, rows, {}, 0.5).save(tmp_path)
    if not change:
        assert ScanState.load(tmp_path) == ScanState(basis, rows, {}, 0.5)
        return
    with pytest.raises(ScanStateError, match="can't be read"):
        ScanState.load(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="makes a pipe")
@pytest.mark.parametrize("name", ["state.json", "listings-*.parquet", "references-*.parquet"])
def test_a_pipe_in_place_of_a_file_is_refused_at_once(tmp_path: Path, name: str) -> None:
    state(3).save(tmp_path)
    (path,) = tmp_path.glob(name)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ScanStateError, match="not a regular file"):
        ScanState.load(tmp_path)
