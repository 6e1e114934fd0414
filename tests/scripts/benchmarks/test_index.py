"""The index benchmark measures all contestants on the same vectors and compares them with exact search."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from toy import unit_vectors

from lookalike.scripts.benchmarks.index import main
from lookalike.scripts.benchmarks.vectors import drawn_vectors, queries_near, repeated_vectors


def test_writes_what_it_measured_and_draws_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "real.npy", unit_vectors(100, 16))
    few = ["--queries", "20", "--probes", "40", "--rounds", "1", "--dim", "16", "--others"]
    assert main(["--out", str(tmp_path), "--sizes", "300", "--data", "real", "--vectors", str(tmp_path / "real.npy"),
                 *few]) == 0  # fmt: skip
    results = json.loads((tmp_path / "index.json").read_text())
    assert [(each["data"], each["size"], each["name"]) for each in results] == [
        ("real", 300, "Flat (FAISS)"), ("real", 300, "lookalike"),
    ]  # fmt: skip
    ours = results[1]
    assert (ours["decisions"], ours["nearest"], ours["exact"]) == (1.0, 1.0, True)
    assert ours["after_changes"]["misses"] == 0 and ours["half"]["most_off"] < 5e-4
    assert ours["disk"] > 16 * 4 and min(ours[key] for key in ("rate", "p50_ms", "open_s", "add_s", "remove_s")) > 0
    assert (tmp_path / "index-real.png").read_bytes()[:4] == b"\x89PNG"
    assert "lookalike" in capsys.readouterr().out


def test_draws_unit_vectors_in_clusters_and_repeats_real_ones_with_noise() -> None:
    rng = np.random.default_rng(0)
    drawn = np.concatenate(list(drawn_vectors(1000, 64, rng)))
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1, atol=1e-5)
    alike = drawn @ drawn.T - 2 * np.eye(1000)
    assert np.median(alike.max(axis=1)) > 0.6 and abs(np.median(alike)) < 0.1
    real = unit_vectors(40, 64)
    repeated = np.concatenate(list(repeated_vectors(real, 100, rng)))
    np.testing.assert_array_equal(repeated[:40], real)
    again = np.sum(repeated[40:80] * real, axis=1)
    assert again.min() > 0.74 and again.max() < 0.99


def test_queries_reach_from_a_threshold_to_a_copy() -> None:
    rng = np.random.default_rng(0)
    vectors = np.concatenate(list(drawn_vectors(1000, 64, rng)))
    best = (queries_near(vectors, 400, rng) @ vectors.T).max(axis=1)
    assert best.min() < 0.65 and best.max() > 0.97
