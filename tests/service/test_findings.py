"""What checks found is kept within bounds, and is there after a kill."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lookalike.service.findings import FindingStore, KeptPhotos, Pair

PAIR = Pair("photo.jpg", "ab" * 32, "genuine.jpg", (0.0, 0.0, 0.5, 1.0), "similarity 0.900", "flagged: resembles A p")


def store_in(folder: Path, *, most: int = 100, days: float = 1) -> FindingStore:
    return FindingStore(folder / "findings.sqlite", most=most, days=days)


def test_an_answer_comes_back_as_it_was_put(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.put("a", '{"verdict": "clear"}', None)
    store.put("b", '{"verdict": "flagged"}', PAIR)
    store.close()
    again = store_in(tmp_path)
    assert again.get("a") == ('{"verdict": "clear"}', None)
    answer, pair = again.get("b") or ("", None)
    assert answer == '{"verdict": "flagged"}' and pair is not None
    assert (pair.image, pair.numbers, list(pair.region or ())) == (
        "photo.jpg",
        "similarity 0.900",
        [0.0, 0.0, 0.5, 1.0],
    )
    assert again.get("c") is None and again.get("' OR 1=1 --") is None


def test_the_oldest_answers_are_forgotten(tmp_path: Path) -> None:
    store = store_in(tmp_path, most=3)
    for number in range(5):
        store.put(str(number), "{}", None)
    store.trim()
    assert [number for number in range(5) if store.get(str(number))] == [2, 3, 4]
    store.close()
    late = store_in(tmp_path, days=-1)
    assert late.get("4") is None


_PUTS = """
import sys
from pathlib import Path
from lookalike.service.findings import FindingStore
store = FindingStore(Path(sys.argv[1]), most=100_000, days=1)
for number in range(100_000):
    store.put(str(number), "{}", None)
    print(number, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="processes are killed as on POSIX")
def test_a_kill_loses_no_answer_that_was_put(tmp_path: Path) -> None:
    call = [sys.executable, "-c", _PUTS, str(tmp_path / "findings.sqlite")]
    with subprocess.Popen(call, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(50):
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        last = max(last, *map(int, process.stdout.read().split()[:-1] or [0]))
    store = store_in(tmp_path, most=100_000)
    assert last >= 49 and all(store.get(str(number)) for number in range(last + 1))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_photos_are_kept_up_to_so_many_bytes_the_newest_ones(tmp_path: Path) -> None:
    photos = KeptPhotos(tmp_path, most_bytes=30)
    data = [bytes([number]) * 10 for number in range(5)]
    for number, each in enumerate(data):
        photos.put(sha256(each), each)
        for path in tmp_path.glob(f"*/{sha256(each)}"):
            os.utime(path, (number, number))
    photos.put(sha256(b"x" * 31), b"x" * 31)
    assert [photos.get(sha256(each)) for each in data] == [None, None, *data[2:]]
    assert sum(path.stat().st_size for path in tmp_path.glob("*/*")) == 30
    fewer = KeptPhotos(tmp_path, most_bytes=20)
    assert [fewer.get(sha256(each)) for each in data] == [None, None, None, *data[3:]]


def test_nothing_is_kept_where_nothing_may_be(tmp_path: Path) -> None:
    photos = KeptPhotos(tmp_path, most_bytes=0)
    photos.put(sha256(b"a"), b"a")
    assert photos.get(sha256(b"a")) is None and not list(tmp_path.iterdir())


def test_a_photo_that_was_damaged_or_left_half_counts_as_gone(tmp_path: Path) -> None:
    photos = KeptPhotos(tmp_path, most_bytes=100)
    photos.put(sha256(b"a"), b"a")
    path = next(tmp_path.glob("*/*"))
    path.write_bytes(b"")
    path.with_name("0123.tmp").write_bytes(b"half")
    assert photos.get(sha256(b"a")) is None
    assert KeptPhotos(tmp_path, most_bytes=100).get("../../etc/passwd") is None
    assert not list(tmp_path.glob("*/*.tmp"))
