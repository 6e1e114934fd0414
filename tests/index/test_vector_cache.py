"""The cache gives back what it was given, to the right encoder, whatever happens to its file."""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from toy import ToyEncoder, unit_vectors

from lookalike.index.vector_cache import VectorCache

SPEC = ToyEncoder().spec


def test_gives_back_the_same_bits_and_the_hint(tmp_path: Path) -> None:
    vectors = unit_vectors(2)
    with VectorCache(tmp_path / "c.sqlite", SPEC) as cache:
        cache.put(["a", "b"], vectors, [None, "only the first of 3 frames was compared"])
    with VectorCache(tmp_path / "c.sqlite", SPEC) as cache:
        a, b = cache.get("a"), cache.get("b")
        assert cache.get("c") is None
    assert a is not None
    assert b is not None
    np.testing.assert_array_equal([a.vector, b.vector], vectors)
    assert (a.hint, b.hint) == (None, "only the first of 3 frames was compared")


def test_keeps_encoders_apart_but_not_their_names(tmp_path: Path) -> None:
    from dataclasses import replace

    with VectorCache(tmp_path / "c.sqlite", SPEC) as cache:
        cache.put(["a"], unit_vectors(1), [None])
    with VectorCache(tmp_path / "c.sqlite", ToyEncoder("1" * 64).spec) as cache:
        assert cache.get("a") is None
    with VectorCache(tmp_path / "c.sqlite", replace(SPEC, name="other")) as cache:
        assert cache.get("a") is not None


def test_threads_may_share_it(tmp_path: Path) -> None:
    vectors = unit_vectors(200)
    with VectorCache(tmp_path / "c.sqlite", SPEC) as cache, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: cache.put([str(i)], vectors[i : i + 1], [None]), range(200)))
        found = list(pool.map(lambda i: cache.get(str(i)), range(200)))
    np.testing.assert_array_equal([entry.vector for entry in found if entry], vectors)


def test_a_damaged_file_is_recreated(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "c.sqlite").write_bytes(b"no database at all" * 100)
    with caplog.at_level(logging.WARNING), VectorCache(tmp_path / "c.sqlite", SPEC) as cache:
        cache.put(["a"], unit_vectors(1), [None])
        assert cache.get("a") is not None
    assert "is damaged" in caplog.text


def damage(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(statement).rowcount == 1


@pytest.mark.parametrize("column", ["vector = zeroblob(112)", "hint = 'another'", "vector = x'00'", "checksum = x'00'"])
def test_a_damaged_row_counts_as_missing(tmp_path: Path, column: str, caplog: pytest.LogCaptureFixture) -> None:
    with VectorCache(tmp_path / "c.sqlite", SPEC) as cache:
        cache.put(["a", "b"], unit_vectors(2), [None, None])
    damage(tmp_path / "c.sqlite", f"UPDATE rows SET {column} WHERE key = 'a'")
    with VectorCache(tmp_path / "c.sqlite", SPEC) as cache, caplog.at_level(logging.WARNING):
        assert cache.get("a") is None
        assert cache.get("b") is not None
    assert "the row of a is damaged" in caplog.text


def test_a_file_damaged_in_the_middle_is_recreated(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    keys = [str(i) for i in range(2000)]
    with VectorCache(path, SPEC) as cache:
        cache.put(keys, unit_vectors(2000), [None] * 2000)
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (path.stat().st_size - 4096))
    with VectorCache(path, SPEC) as cache:
        assert all(cache.get(key) is None for key in keys)
        cache.put(keys, unit_vectors(2000), [None] * 2000)
        assert all(cache.get(key) is not None for key in keys)


def count(path: Path, keys: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM rows WHERE key LIKE ?", (keys,)).fetchone()[0])


def test_stays_within_its_size_and_keeps_what_is_used(tmp_path: Path) -> None:
    path, vectors = tmp_path / "c.sqlite", unit_vectors(400)
    old = [f"old {i}" for i in range(400)]
    with VectorCache(path, SPEC) as cache:
        cache.put([*old[1:], old[0]], vectors, [None] * 400)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE rows SET used = 1")
    with VectorCache(path, SPEC, most_bytes=200_000) as cache:
        assert cache.get("old 0") is not None
        number = 0
        while count(path, "old %") == 400:
            cache.put([f"new {number} {i}" for i in range(50)], vectors[:50], [None] * 50)
            number += 1
        assert cache.get("old 0") is not None, "it was used last"
        assert cache.get(f"new {number - 1} 0") is not None
        for more in range(20):
            cache.put([f"more {more} {i}" for i in range(50)], vectors[:50], [None] * 50)
    assert path.stat().st_size < 300_000


WORK = """
import sys, numpy as np
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from toy import ToyEncoder, unit_vectors
from lookalike.index.vector_cache import VectorCache
vectors = unit_vectors(400)
with VectorCache(Path(sys.argv[2]), ToyEncoder().spec) as cache:
    while True:
        for start in np.random.default_rng(int(sys.argv[3])).permutation(40) * 10:
            keys = [str(i) for i in range(start, start + 10)]
            found = [cache.get(key) for key in keys]
            assert all(f is None or np.array_equal(f.vector, vectors[int(k)]) for k, f in zip(keys, found))
            assert len({f is None for f in found}) == 1, "half of a put"
            cache.put(keys, vectors[start : start + 10], [None] * 10)
            print("put", flush=True)
"""


def test_four_processes_share_it_and_are_killed(tmp_path: Path) -> None:
    folder, path = str(Path(__file__).parents[1]), tmp_path / "c.sqlite"
    workers = [
        subprocess.Popen([sys.executable, "-c", WORK, folder, str(path), str(seed)], stdout=subprocess.PIPE, text=True)
        for seed in range(4)
    ]
    for number, worker in enumerate(workers):
        assert worker.stdout is not None
        lines = [worker.stdout.readline() for _ in range(20 * (number + 1))]
        worker.kill()
        worker.wait()
        worker.stdout.close()
        assert lines[-1] == "put\n", "it failed before it was killed"
    vectors = unit_vectors(400)
    with VectorCache(path, SPEC) as cache:
        found = [cache.get(str(i)) for i in range(400)]
    assert sum(entry is not None for entry in found) >= 200
    for vector, entry in zip(vectors, found, strict=True):
        assert entry is None or np.array_equal(entry.vector, vector)


def other_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE rows (name TEXT, price REAL)")


def locked(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("CREATE TABLE other (name TEXT)")
    connection.execute("BEGIN EXCLUSIVE")
    HELD.append(connection)


HELD: list[sqlite3.Connection] = []
UNUSABLE: dict[str, Callable[[Path], object]] = {
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "a pipe for its log": lambda path: os.mkfifo(f"{path}-wal"),
    "other tables": other_tables,
    "locked": locked,
    "below a file": lambda path: path.parent.rmdir() or path.parent.write_text("a file"),
}


@pytest.mark.skipif(os.name != "posix", reason="makes a pipe")
@pytest.mark.parametrize("why", UNUSABLE)
def test_a_file_that_can_not_be_used_is_set_aside_with_one_warning(
    tmp_path: Path, why: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookalike.index.database._WAIT", 0)
    path = tmp_path / "folder" / "c.sqlite"
    path.parent.mkdir()
    UNUSABLE[why](path)
    with caplog.at_level(logging.WARNING), VectorCache(path, SPEC, optional=True) as cache:
        cache.put(["a"], unit_vectors(1), [None])
        assert cache.get("a") is None
    (message,) = caplog.messages
    assert message.startswith(f"{path} can't be used (") and message.endswith("); going on without it")
    with pytest.raises((OSError, sqlite3.OperationalError)):
        VectorCache(path, SPEC)
    while HELD:
        HELD.pop().close()


def test_a_full_disk_sets_it_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys = [str(i) for i in range(500)]
    with caplog.at_level(logging.WARNING), VectorCache(tmp_path / "c.sqlite", SPEC, optional=True) as cache:
        cache.put(["first"], unit_vectors(1), [None])
        assert cache._connection is not None
        cache._connection.execute("PRAGMA max_page_count = 8")
        for _ in range(3):
            cache.put(keys, unit_vectors(500), [None] * 500)
        assert cache.get("first") is None
    assert [message.endswith("(database or disk is full); going on without it") for message in caplog.messages] == [
        True
    ]
    with VectorCache(tmp_path / "c.sqlite", SPEC) as cache:
        assert cache.get("first") is not None and cache.get("0") is None


@pytest.mark.parametrize("change", ["vector = 5", "vector = 'text'", "hint = x'ff'", "hint = CAST(x'ff' AS TEXT)",
                                    "used = 'never'", "checksum = 7"])  # fmt: skip
def test_a_value_of_another_type_counts_as_missing(tmp_path: Path, change: str) -> None:
    with VectorCache(tmp_path / "c.sqlite", SPEC) as cache:
        cache.put(["a", "b"], unit_vectors(2), [None, None])
    damage(tmp_path / "c.sqlite", f"UPDATE rows SET {change} WHERE key = 'a'")
    with VectorCache(tmp_path / "c.sqlite", SPEC) as cache:
        assert cache.get("a") is None
        assert cache.get("b") is not None


@pytest.mark.parametrize("seed", range(25))
def test_whatever_the_disk_made_of_it_a_vector_is_right_or_missing(tmp_path: Path, seed: int) -> None:
    path, keys, vectors = tmp_path / "c.sqlite", [str(i) for i in range(300)], unit_vectors(300)
    with VectorCache(path, SPEC) as cache:
        cache.put(keys, vectors, [None] * 300)
    rng = np.random.default_rng(seed)
    data = bytearray(path.read_bytes())
    for start in rng.integers(0, len(data), rng.integers(1, 6)):
        data[start : start + 40] = rng.bytes(len(data[start : start + 40]))
    path.write_bytes(data[: len(data) if seed % 2 else rng.integers(len(data))])
    with VectorCache(path, SPEC, optional=True) as cache:
        for _ in range(2):
            for key, vector in zip(keys, vectors, strict=True):
                found = cache.get(key)
                assert found is None or np.array_equal(found.vector, vector)
            cache.put(keys, vectors, [None] * 300)
