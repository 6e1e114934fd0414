"""A scan's state comes back as it was saved, whoever else saves one, and leaves nothing else behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lookalike.scanning.basis import Basis
from lookalike.scanning.state import ScanState
from lookalike.scanning.state_rows import state_schema

BASIS = Basis({"name": "toy"}, "reading", "judging", "0" * 64)


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
