"""Results under a key come back as they were put, whatever happens to their file."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from lookalike.index.blobs import BlobCache


def test_gives_back_the_same_bytes(tmp_path: Path) -> None:
    with BlobCache(tmp_path / "b.sqlite") as cache:
        cache.put({"a": b"one", "b": b""})
        cache.put({"a": b"two"})
    with BlobCache(tmp_path / "b.sqlite") as cache:
        assert [cache.get(key) for key in "abc"] == [b"two", b"", None]


def test_keeps_only_what_is_wanted(tmp_path: Path) -> None:
    with BlobCache(tmp_path / "b.sqlite") as cache:
        assert cache.empty
        cache.put({str(number): b"x" for number in range(10_000)})
        assert not cache.empty
        cache.keep_only(lambda keys: [int(key) % 3 == 0 for key in keys])
        assert [cache.get(str(number)) for number in (0, 1, 9998, 9999)] == [b"x", None, None, b"x"]


def _name(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def test_beyond_its_size_some_are_removed_and_most_stay(tmp_path: Path) -> None:
    with BlobCache(tmp_path / "b.sqlite", most_bytes=1 << 20) as cache:
        for start in range(0, 10_000, 500):
            cache.put({_name(number): b"x" * 400 for number in range(start, start + 500)})
        kept = [cache.get(_name(number)) is not None for number in range(10_000)]
    with closing(sqlite3.connect(tmp_path / "b.sqlite")) as file:
        pages, free, size = (
            file.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
    assert (pages - free) * size <= 1 << 20, "which would hold some 2,300 rows"
    assert 1_000 < sum(kept) < 2_400
    assert 0 < sum(kept[:5_000]) < sum(kept[5_000:]), "older ones are likelier gone, but not all of them"


def test_threads_may_share_it(tmp_path: Path) -> None:
    values = {str(i): bytes([i]) * i for i in range(200)}
    with BlobCache(tmp_path / "b.sqlite") as cache, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: cache.put({key: values[key]}), values))
        found = list(pool.map(cache.get, values))
    assert found == list(values.values())


@pytest.mark.parametrize("damage", ["value = x'00'", "value = zeroblob(3)", "checksum = x'00'", "key = 'c'"])
def test_a_damaged_row_counts_as_missing(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    with BlobCache(tmp_path / "b.sqlite") as cache:
        cache.put({"a": b"one", "b": b"two"})
    with closing(sqlite3.connect(tmp_path / "b.sqlite")) as connection, connection:
        assert connection.execute(f"UPDATE results SET {damage} WHERE key = 'a'").rowcount == 1
    with BlobCache(tmp_path / "b.sqlite") as cache, caplog.at_level(logging.WARNING):
        assert cache.get("a") is None
        assert cache.get("b") == b"two"
        assert cache.get("c") is None
        assert "is damaged" in caplog.text
        cache.put({"a": b"one"})
        assert cache.get("a") == b"one"


def test_a_damaged_file_is_recreated_when_it_is_opened(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "b.sqlite").write_bytes(b"no database at all" * 100)
    with caplog.at_level(logging.WARNING), BlobCache(tmp_path / "b.sqlite") as cache:
        cache.put({"a": b"one"})
        assert cache.get("a") == b"one"
    assert "is damaged" in caplog.text


@pytest.mark.parametrize("first", ["get", "put"])
def test_a_file_damaged_in_the_middle_is_recreated_when_it_is_noticed(tmp_path: Path, first: str) -> None:
    path, keys = tmp_path / "b.sqlite", [str(i) for i in range(2000)]
    with BlobCache(path) as cache:
        cache.put(dict.fromkeys(keys, b"x" * 100))
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (path.stat().st_size - 4096))
    with BlobCache(path) as cache:
        if first == "get":
            assert all(cache.get(key) is None for key in keys)
        cache.put(dict.fromkeys(keys, b"y" * 100))
        assert all(cache.get(key) == b"y" * 100 for key in keys)


def test_a_file_with_other_tables_keeps_them(tmp_path: Path) -> None:
    path = tmp_path / "b.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE blobs (key TEXT PRIMARY KEY, value BLOB)")
        connection.execute("INSERT INTO blobs VALUES ('a', x'01')")
    with BlobCache(path) as cache:
        assert cache.get("a") is None
        cache.put({"a": b"one"})
        assert cache.get("a") == b"one"
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT value FROM blobs").fetchall() == [(b"\x01",)]


def test_a_mistake_is_not_taken_for_damage(tmp_path: Path) -> None:
    with BlobCache(tmp_path / "b.sqlite") as cache:
        cache.put({"a": b"one"})
        with pytest.raises(sqlite3.OperationalError, match="no such column"):
            cache.row("SELECT missing FROM results", ())
        assert cache.get("a") == b"one"
