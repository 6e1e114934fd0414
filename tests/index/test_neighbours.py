"""Near pairs against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from toy import unit_vectors

from lookalike.index.neighbours import near_pairs


def planted(count: int) -> np.ndarray:
    """Unit vectors, the last tenth near earlier ones."""
    vectors = unit_vectors(count, 32)
    near = count // 10
    vectors[-near:] = vectors[:near] + unit_vectors(near, 32, seed=1) * 0.2
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def brute_force(vectors: np.ndarray, threshold: float) -> set[tuple[int, int]]:
    alike = vectors @ vectors.T
    return {(int(i), int(j)) for i, j in np.argwhere(alike >= threshold) if i < j}


def test_finds_the_pairs_that_brute_force_finds_the_most_alike_first() -> None:
    vectors = planted(500)
    pairs, similarities = near_pairs(vectors, threshold=0.8)
    assert set(map(tuple, pairs.tolist())) == brute_force(vectors, 0.8)
    assert len(pairs) >= 50
    assert (np.diff(similarities) <= 0).all()
    assert np.allclose(similarities, (vectors[pairs[:, 0]] * vectors[pairs[:, 1]]).sum(axis=1), atol=1e-5)


def test_cells_find_nearly_all_of_them() -> None:
    vectors = planted(3000)
    expected = brute_force(vectors, 0.9)
    pairs, _ = near_pairs(vectors, threshold=0.9, exact=0)
    assert len(expected) >= 250
    assert len(set(map(tuple, pairs.tolist())) & expected) >= 0.95 * len(expected)


def test_one_picture_many_times_makes_no_square_of_pairs() -> None:
    vectors = np.repeat(unit_vectors(1, 32), 2000, axis=0)
    pairs, _ = near_pairs(vectors, threshold=0.9, most=4)
    assert len(pairs) <= 2000 * 5


def test_few_vectors_and_wrong_calls() -> None:
    assert len(near_pairs(unit_vectors(1), threshold=0.5)[0]) == 0
    with pytest.raises(ValueError, match="expected -1 to 1"):
        near_pairs(unit_vectors(3), threshold=2)
    with pytest.raises(ValueError, match="1 or more"):
        near_pairs(unit_vectors(3), threshold=0.5, most=0)
