"""Normalised similarities are those of the published formulas, written out."""

from __future__ import annotations

import numpy as np
import pytest
from toy import unit_vectors

from lookalike.errors import PolicyError
from lookalike.policy.cohort import Cohort

COHORT, PHOTOS, REFERENCES = unit_vectors(40), unit_vectors(6, seed=1), unit_vectors(6, seed=2)


def nearest(vector: np.ndarray, count: int) -> np.ndarray:
    return np.sort(COHORT @ vector)[-count:]


def test_subtracts_a_share_of_the_mean_similarity_to_the_nearest_background_photos() -> None:
    cohort = Cohort(COHORT, "subtract", nearest=5, share=0.5)
    similarity = np.einsum("nd,nd->n", PHOTOS, REFERENCES)
    expected = [s - 0.5 * nearest(photo, 5).mean() for s, photo in zip(similarity, PHOTOS, strict=True)]
    np.testing.assert_allclose(cohort.normalise(similarity, cohort.level(PHOTOS)), expected, atol=1e-6)


def test_s_norm_is_the_mean_of_both_standard_scores() -> None:
    cohort = Cohort(COHORT, "s-norm", nearest=8)
    similarity = np.einsum("nd,nd->n", PHOTOS, REFERENCES)
    expected = [
        np.mean([(s - nearest(v, 8).mean()) / nearest(v, 8).std() for v in pair])
        for s, pair in zip(similarity, zip(PHOTOS, REFERENCES, strict=True), strict=True)
    ]
    normalised = cohort.normalise(similarity, cohort.level(PHOTOS), cohort.level(REFERENCES))
    np.testing.assert_allclose(normalised, expected, rtol=1e-4)


def test_a_cohort_of_equal_photos_gives_numbers_all_the_same() -> None:
    cohort = Cohort(np.repeat(COHORT[:1], 10, axis=0), "s-norm", nearest=5)
    level = cohort.level(PHOTOS)
    assert np.isfinite(cohort.normalise(np.ones(6, np.float32), level, level)).all()


def test_no_photos_have_no_level() -> None:
    assert Cohort(COHORT).level(np.empty((0, 28), np.float32)).mean.shape == (0,)


@pytest.mark.parametrize("wrong", [{"method": "z-norm"}, {"nearest": 41}, {"nearest": 1}, {"share": -1.0}])
def test_refuses_what_it_can_not_do(wrong: dict[str, object]) -> None:
    with pytest.raises(PolicyError):
        Cohort(COHORT, **wrong)  # type: ignore[arg-type]
