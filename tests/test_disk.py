"""A file appears whole or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from lookalike.disk import write_named_by_content, written


def test_a_file_appears_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    with written(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_after_an_error_the_old_file_stays_and_nothing_is_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), written(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with written(path) as first, written(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # the one that ended last
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_can_be_named_after_what_was_written(tmp_path: Path) -> None:
    path, sha256 = write_named_by_content(tmp_path, "vectors", ".bin", lambda path: path.write_bytes(b"1 2 3"))
    assert sha256 == hashlib.sha256(b"1 2 3").hexdigest()
    assert path == tmp_path / f"vectors-{sha256[:16]}.bin"
    assert path.read_bytes() == b"1 2 3"

    def fail(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_named_by_content(tmp_path, "vectors", ".bin", fail)
    assert list(tmp_path.iterdir()) == [path]
