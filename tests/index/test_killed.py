"""A real kill -9 in the middle of the work: the index is as before or as after, and the work resumes."""

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

SHARED = """
import sys, time
from pathlib import Path
import numpy as np
from test_killed import own, references
from toy import ToyEncoder
from lookalike.errors import ReferenceIndexError
from lookalike.index.build import add_references, remove_references
from lookalike.index.reference_index import ReferenceIndex
from lookalike.index.vector_cache import VectorCache

photos, index, seed, rounds = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
rows, vectors = references(photos), np.load(photos / "vectors.npy")
mine, encoder, done = own(seed, int(sys.argv[5])), ToyEncoder(), 0
with VectorCache(photos / "cache.sqlite", encoder.spec) as cache:
    while done < rounds:
        found = ReferenceIndex.load(index)
        numbers = [int(each.id[1:]) for each in found.references]
        assert np.array_equal(found.vectors, vectors[numbers]), "a vector of another picture"
        assert all(m[0].reference.id == rows[n].id for n, m in zip(numbers, found.search(found.vectors, top=1)))
        half = mine[done % 2 :: 2]
        try:
            if seed == 3:
                remove_references(index=index, references=[rows[n].id for n in half])
            add_references([rows[n] for n in half], index=index, encoder=encoder, cache=cache)
        except ReferenceIndexError as error:
            assert "another process is changing the index" in str(error)
            time.sleep(0.01)
            continue
        done += 1
        print("changed", flush=True)
"""


def own(seed: int, base: int) -> list[int]:
    """The numbers of the references that one of four processes adds."""
    return list(range(base + seed, COUNT, 4))


def references(photos: Path) -> list[Reference]:
    return [Reference(f"r{i}", f"p{i}", "Brand", photos / f"0-{i}.png") for i in range(COUNT)]


def kill_in_the_middle(work: str, photos: Path, index: Path, delay: float) -> None:
    """Start the work in another process, and kill it a while after it has begun to embed."""
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


@pytest.mark.parametrize(("base", "exact_up_to"), [(BASE, COUNT), (3 * BASE, 2 * BASE)], ids=["exact", "partitioned"])
def test_four_processes_share_an_index_and_a_cache_and_are_killed(tmp_path: Path, base: int, exact_up_to: int) -> None:
    photos, index, rng = tmp_path / "photos", tmp_path / "index", random.Random(0)
    save_pictures(photos, COUNT)
    build_index(references(photos), index=tmp_path / "whole", encoder=ToyEncoder())
    whole = ReferenceIndex.load(tmp_path / "whole")
    np.save(photos / "vectors.npy", whole.vectors)
    build_index(references(photos)[:base], index=index, encoder=ToyEncoder(), exact_up_to=exact_up_to)
    assert (ReferenceIndex.load(index).agreement is None) == (exact_up_to == COUNT)

    def start(seed: int, rounds: int) -> subprocess.Popen[str]:
        folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
        code = f"import sys; sys.path[:0] = {folders!r}\n" + SHARED
        call = [sys.executable, "-c", code, str(photos), str(index), str(seed), str(rounds), str(base)]
        return subprocess.Popen(call, stdout=subprocess.PIPE, text=True)

    workers = [start(seed, 10**6) for seed in range(4)]
    for _ in range(5):
        seed = rng.randrange(4)
        worker = workers[seed]
        assert worker.stdout is not None and worker.stdout.readline() == "changed\n", "it failed before it was killed"
        time.sleep(rng.uniform(0, 0.1))
        worker.kill()
        worker.communicate()
        assert base <= len(ReferenceIndex.load(index)) <= COUNT
        workers[seed] = start(seed, 10**6)
    for worker in workers:
        worker.kill()
        worker.communicate()
    last = [start(seed, 2) for seed in range(4)]
    assert [(worker.communicate()[0], worker.returncode) for worker in last] == [("changed\n" * 2, 0)] * 4
    found = ReferenceIndex.load(index)
    assert sorted(each.id for each in found.references) == sorted(each.id for each in references(photos))
    assert not list(index.glob("*.tmp")) and not list(index.glob("building*"))
