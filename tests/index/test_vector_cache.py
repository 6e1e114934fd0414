"""The cache gives back what it was given, to the right encoder, whatever happens to its file."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
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


def test_a_damaged_file_is_begun_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "c.sqlite").write_bytes(b"no database at all" * 100)
    with caplog.at_level(logging.WARNING), VectorCache(tmp_path / "c.sqlite", SPEC) as cache:
        cache.put(["a"], unit_vectors(1), [None])
        assert cache.get("a") is not None
    assert "is damaged" in caplog.text
