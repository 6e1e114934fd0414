"""A file appears whole or not at all."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lookalike.disk import (
    clear,
    file_sha256,
    held,
    make_folder,
    open_regular,
    read_regular,
    require_local,
    write_named_by_content,
    written,
)
from lookalike.errors import LookalikeError


@pytest.mark.parametrize("address", ["s3://bucket/a.csv", "https://example.com/a", "file:///tmp/a", "gs://a", "s3:/a"])
def test_an_address_is_refused_and_makes_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path, busy = Path(address), RuntimeError()
    for write in (written(path), held(path, busy)):
        with pytest.raises(LookalikeError, match="is an address; results are written to local files only"), write:
            pass
    with pytest.raises(LookalikeError, match="is an address"):
        make_folder(path)
    with pytest.raises(LookalikeError, match="is an address"):
        write_named_by_content(path, "a", ".txt", lambda place: place.touch())
    assert not list(tmp_path.iterdir())


def test_a_name_with_a_colon_is_no_address(tmp_path: Path) -> None:
    with written(tmp_path / "12:30.csv") as temporary:
        temporary.touch()
    require_local(Path("C:/findings.csv"))
    require_local(Path("12:30.csv"))


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


def test_removes_what_a_killed_writer_left_but_not_what_another_one_is_writing(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    killed = "import os, pathlib, sys, lookalike.disk as d\nwith d.written(pathlib.Path(sys.argv[1])): os._exit(9)"
    assert subprocess.run([sys.executable, "-c", killed, path], check=False).returncode == 9
    (left,) = tmp_path.iterdir()
    with written(path) as first:
        assert not left.exists()
        first.write_text("first")
        with written(path) as second:
            second.write_text("second")
    assert path.read_text() == "first"
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


BUSY = RuntimeError("another process holds it")


def test_a_folder_has_one_holder_and_is_gone_if_nothing_was_written(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    with held(folder, BUSY), pytest.raises(RuntimeError, match="another process holds it"), held(folder, BUSY):
        pytest.fail("two hold it")
    assert not folder.exists()
    with held(folder, BUSY):
        (folder / "kept").touch()
    assert (folder / "kept").exists()


def test_a_folder_is_free_once_its_holder_was_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from lookalike.disk import *\n"
        "with held(Path(sys.argv[1]), OSError()): print(1, flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(RuntimeError), held(tmp_path, BUSY):
        pytest.fail("two hold it")
    holder.kill()
    holder.communicate()
    with held(tmp_path, BUSY):
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "file").touch()
        clear(tmp_path)
        with pytest.raises(RuntimeError), held(tmp_path, BUSY):
            pytest.fail("clearing removed the lock")
    assert not tmp_path.exists()


def test_reads_only_regular_files_up_to_a_size(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_regular(tmp_path / "file", most=5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_regular(tmp_path / "file", most=4)
    with open_regular(tmp_path / "file") as file:
        assert (file.name, file.read()) == (str(tmp_path / "file"), b"12345")


@pytest.mark.skipif(os.name != "posix", reason="makes a pipe")
@pytest.mark.parametrize("kind", ["pipe", "link", "device"])
def test_neither_a_pipe_nor_a_device_keeps_its_reader_waiting(tmp_path: Path, kind: str) -> None:
    path = Path("/dev/zero") if kind == "device" else tmp_path / "pipe"
    if kind != "device":
        os.mkfifo(path)
    if kind == "link":
        (tmp_path / "link").symlink_to(path)
        path = tmp_path / "link"
    for read in (open_regular, file_sha256):
        with pytest.raises(OSError, match="not a regular file"):
            read(path)
