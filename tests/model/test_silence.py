"""Reading pictures is silent, and leaves the program's warnings to the program."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from lookalike.errors import ImageReadError
from lookalike.model.images import decode_image
from lookalike.model.silence import silenced


def encoded(format: str, **options: object) -> bytes:
    data = io.BytesIO()
    picture = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    Image.fromarray(picture).save(data, format, **options)
    return data.getvalue()


# one table in the EXIF claims more bytes than there are
ODD = encoded("JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\1\0\x0e\1\2\0\xff\xff\0\0\x20\0\0\0\0\0\0\0")
GOOD, CUT = encoded("PNG"), encoded("PNG")[:900]

EVERY_MODULE = """
import importlib, pkgutil, sys, warnings
from concurrent.futures import ThreadPoolExecutor
import cv2, fsspec, numpy, open_clip, PIL.Image, simplejpeg, timm, torch  # some of these add filters of their own
before = list(warnings.filters)
import lookalike, lookalike.model
for module in pkgutil.iter_modules(lookalike.model.__path__, "lookalike.model."):
    importlib.import_module(module.name)
assert warnings.filters == before, "importing"
from lookalike.errors import ImageReadError
from lookalike.model.images import decode_image
def read(data):
    try:
        decode_image(data)
    except ImageReadError:
        pass
    return warnings.filters == before
files = [bytes.fromhex(line) for line in sys.stdin.read().split()]
with ThreadPoolExecutor(8) as pool:
    assert all(pool.map(read, files * 50)), "reading"
encoder = lookalike.model.loading.load_encoder("embedded", device="cpu")
encoder.encode([PIL.Image.new("RGB", (20, 20))])
assert warnings.filters == before, "encoding"
"""


def test_neither_importing_nor_reading_nor_encoding_changes_the_programs_warning_filters() -> None:
    files = "\n".join(data.hex() for data in (GOOD, CUT, ODD))
    done = subprocess.run(
        [sys.executable, "-c", EVERY_MODULE], input=files, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_odd_picture_is_one_that_pillow_warns_about() -> None:
    with pytest.warns(UserWarning, match="Tag data larger than file|Possibly corrupt EXIF|Truncated File Read"):
        Image.open(io.BytesIO(ODD))


@pytest.mark.parametrize("action", ["error", "always"])
def test_reading_an_odd_picture_warns_of_nothing_whatever_the_filters(action: str) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter(action)  # type: ignore[arg-type]
        with ThreadPoolExecutor(4) as pool:
            sizes = list(pool.map(lambda data: decode_image(data).image.size, [ODD, GOOD] * 20))
    assert sizes == [(48, 48)] * 40
    assert seen == []


def test_others_get_pillows_warnings_while_a_picture_is_read_in_another_thread() -> None:
    reading, done = threading.Event(), threading.Event()

    def read() -> None:
        with silenced():
            reading.set()
            assert done.wait(30)
            Image.open(io.BytesIO(ODD))

    with warnings.catch_warnings(record=True) as seen, ThreadPoolExecutor(1) as pool:
        warnings.simplefilter("always")
        task = pool.submit(read)
        assert reading.wait(30)
        Image.open(io.BytesIO(ODD))
        done.set()
        task.result()
    assert [warning.filename.rpartition("/")[2] for warning in seen] == ["TiffImagePlugin.py"]


def test_a_failed_read_ends_the_silence() -> None:
    with pytest.raises(ImageReadError):
        decode_image(CUT)
    with pytest.warns(UserWarning):
        Image.open(io.BytesIO(ODD))
