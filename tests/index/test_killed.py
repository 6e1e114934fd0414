"""A real kill -9 in the middle of the work: the index is as before or as after, and the work goes on."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from toy import ToyEncoder, save_pictures

from lookalike.errors import IndexNotFoundError
from lookalike.index.build import add_references, build_index
from lookalike.index.reference_index import ReferenceIndex
from lookalike.records import Reference

COUNT, BASE = 400, 100

WORK = """
import sys, time
sys.path.insert(0, sys.argv[1])
from test_killed import references
from toy import ToyEncoder
from pathlib import Path
from lookalike.index.build import add_references, build_index

class SlowEncoder(ToyEncoder):
    def embed(self, inputs):
        time.sleep(0.15)
        return super().embed(inputs)

work = {"build": build_index, "add": add_references}[sys.argv[2]]
work(references(Path(sys.argv[3])), index=sys.argv[4], encoder=SlowEncoder())
"""


def references(photos: Path) -> list[Reference]:
    return [Reference(f"r{i}", f"p{i}", "Brand", photos / f"0-{i}.png") for i in range(COUNT)]


def kill_in_the_middle(work: str, photos: Path, index: Path, delay: float) -> None:
    """Start the work in a process of its own and kill it some time after it has begun to embed."""
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    code = f"import sys; sys.path[:0] = {folders!r}\n" + WORK
    process = subprocess.Popen([sys.executable, "-c", code, folders[0], work, str(photos), str(index)])
    while not (index / "building.sqlite").exists() and process.poll() is None:
        time.sleep(0.005)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("work", ["build", "add"])
def test_ends_with_the_same_bits_whenever_it_is_killed(tmp_path: Path, work: str) -> None:
    photos = tmp_path / "photos"
    save_pictures(photos, COUNT)
    build_index(references(photos), index=tmp_path / "whole", encoder=ToyEncoder())
    whole = ReferenceIndex.load(tmp_path / "whole")
    rng = random.Random(0)
    for round_ in range(4):
        index = tmp_path / f"{work}{round_}"
        if work == "add":
            build_index(references(photos)[:BASE], index=index, encoder=ToyEncoder())
        kill_in_the_middle(work, photos, index, rng.uniform(0, 1.3))
        try:
            assert len(ReferenceIndex.load(index)) in ((BASE, COUNT) if work == "add" else (COUNT,))
        except IndexNotFoundError:
            assert work == "build"
        encoder = ToyEncoder()
        summary = {"build": build_index, "add": add_references}[work](references(photos), index=index, encoder=encoder)
        assert summary.embedded == encoder.embedded <= COUNT
        assert summary.embedded + summary.reused == COUNT
        loaded = ReferenceIndex.load(index)
        np.testing.assert_array_equal(loaded.vectors, whole.vectors)
        assert loaded.catalogue.equals(whole.catalogue)
