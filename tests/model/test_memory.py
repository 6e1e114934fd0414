"""However many threads decode pictures, together they take no more memory than they may."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from lookalike.errors import ImageReadError
from lookalike.model.encoder import Preprocessing
from lookalike.model.hostile import decoding_memory
from lookalike.model.images import ImageLimits, decode_image
from lookalike.model.memory import DECODING, Budget
from lookalike.model.plain_jpeg import prepared_plain

SQUASHED = Preprocessing((144, 144), (0.5,) * 3, (0.5,) * 3, "bilinear", "squash", reducing_gap=1.5)


def test_threads_wait_until_there_is_room() -> None:
    budget, most_held, held = Budget(), 0, 0
    lock = threading.Lock()

    def work(size: int) -> None:
        nonlocal most_held, held
        with budget.reserve(size, most=100):
            with lock:
                held += size
                most_held = max(most_held, held)
            time.sleep(0.002)
            with lock:
                held -= size

    sizes = np.random.default_rng(0).integers(1, 101, 200).tolist()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, sizes))
    assert 50 < most_held <= 100
    assert budget.reserved == 0


def test_a_large_picture_is_not_overtaken_for_ever() -> None:
    budget, done = Budget(), threading.Event()
    with ThreadPoolExecutor(9) as pool:

        def small() -> None:
            while not done.is_set():
                with budget.reserve(30, most=100):
                    time.sleep(0.001)

        def large() -> None:
            with budget.reserve(100, most=100):
                done.set()

        for _ in range(8):
            pool.submit(small)
        pool.submit(large).result(timeout=10)


def test_gives_back_what_was_held_when_something_fails() -> None:
    budget = Budget()
    with pytest.raises(RuntimeError), budget.reserve(5, most=5):
        raise RuntimeError
    with budget.reserve(5, most=5):
        assert budget.reserved == 5


def test_a_fork_while_others_decode_leaves_the_child_a_free_budget() -> None:
    with DECODING.reserve(10, most=10):
        child = os.fork() if hasattr(os, "fork") else pytest.skip("this system has no fork")
        if child == 0:
            with DECODING.reserve(10, most=10):
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def encoded(format: str, side: int, mode: str = "RGB", **options: object) -> bytes:
    data = io.BytesIO()
    Image.new(mode, (side, side)).save(data, format, **options)
    return data.getvalue()


def test_refuses_a_picture_that_needs_more_memory_than_all_may_take() -> None:
    data = encoded("WEBP", 8000, lossless=True, method=0)
    assert len(data) < 100
    with pytest.raises(ImageReadError, match=r"takes about 1,\d\d\d MB to decode.*--max-memory") as caught:
        decode_image(data, limits=ImageLimits(max_memory=10**9))
    assert caught.value.reason == "too_much_memory"
    plain = encoded("JPEG", 400)
    assert prepared_plain(plain, SQUASHED, limits=ImageLimits(max_memory=10**5)) is None


MEASURED = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from lookalike.model.images import ImageLimits, decode_image
data = open(sys.argv[1], "rb").read()
decode_image(open(sys.argv[2], "rb").read())
peak = lambda: next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmHWM")) * 1024
limits, before = ImageLimits(max_memory=int(sys.argv[3])), peak()
def read(_):
    decode_image(data, limits=limits)
with ThreadPoolExecutor(6) as pool:
    list(pool.map(read, range(int(sys.argv[4]))))
print(peak() - before)
"""


def peak(data: bytes, tmp_path: os.PathLike[str], *, memory: int, times: int) -> int:
    """How much memory it takes to decode a file that many times, with six threads, in bytes."""
    large, small = os.path.join(tmp_path, "large"), os.path.join(tmp_path, "small")  # noqa: PTH118
    for path, content in ((large, data), (small, encoded("PNG", 8))):
        with open(path, "wb") as file:
            file.write(content)
    call = [sys.executable, "-c", MEASURED, large, small, str(memory), str(times)]
    return int(subprocess.run(call, capture_output=True, text=True, check=True).stdout)


FORMATS = {
    "JPEG": encoded("JPEG", 6000),
    "progressive JPEG": encoded("JPEG", 6000, progressive=True, subsampling=0),
    "PNG": encoded("PNG", 4000, compress_level=1),
    "PNG, transparent": encoded("PNG", 4000, "RGBA", compress_level=1),
    "WEBP": encoded("WEBP", 4000, lossless=True, method=0),
    "AVIF": encoded("AVIF", 4000, "RGBA", speed=10),
    "GIF": encoded("GIF", 4000),
    "TIFF of floats": encoded("TIFF", 4000, "F", compression="tiff_adobe_deflate"),
}


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize("kind", FORMATS)
def test_reserves_what_decoding_takes(kind: str, tmp_path: os.PathLike[str]) -> None:
    data = FORMATS[kind]
    with Image.open(io.BytesIO(data)) as image:
        assert image.format is not None
        reserved = decoding_memory(image, image.format, len(data), 2 if image.width == 6000 else 1)
    assert 0.25 * reserved < peak(data, tmp_path, memory=2**30, times=1) < reserved + 150e6  # strips take some 100 MB


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_six_threads_share_the_memory_of_one(tmp_path: os.PathLike[str]) -> None:
    data = FORMATS["WEBP"]
    alone = peak(data, tmp_path, memory=2**30, times=1)
    assert peak(data, tmp_path, memory=int(1.5 * alone), times=12) < 2.2 * alone


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_threads_share_memory_also_if_avifs_say_that_they_are_small(tmp_path: os.PathLike[str]) -> None:
    data = bytearray(encoded("AVIF", 6000, speed=10))
    size = data.find(b"ispe") + 8  # ISO/IEC 23008-12, 6.5.3: what the header says; the frame stays as it is
    data[size : size + 8] = struct.pack(">II", 64, 64)
    assert decode_image(bytes(data)).image.size == (64, 64)
    alone = peak(bytes(data), tmp_path, memory=2**30, times=1)
    assert alone > 50e6
    assert peak(bytes(data), tmp_path, memory=2**29, times=12) < 3 * alone  # without waiting, six times as much
