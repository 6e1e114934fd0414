"""A map is used only where it is better with confidence, on products that it was not fitted to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawn_labels import drawn_labels
from sklearn.metrics import average_precision_score

from lookalike.adapting import judging
from lookalike.adapting.fitting import LabelledVectors, LinearMap, fit_map
from lookalike.adapting.folds import cross_fit
from lookalike.adapting.judging import Gain, average_precision, judge_map


def judged(labelled: LabelledVectors, *, seed: int = 0) -> Gain | None:
    crossed = cross_fit(labelled, seed=seed)
    return None if crossed is None else judge_map(labelled, crossed, seed=seed)


def test_a_map_that_removes_a_nuisance_is_certain_to_gain() -> None:
    gain = judged(drawn_labels(100, nuisance=1.0))
    assert gain is not None
    assert gain.is_certain
    assert gain.low < gain.value < gain.high
    assert (gain.photos, gain.products, gain.more_needed) == (400, 100, 0)


def test_where_nothing_can_be_learnt_no_map_is_certain_and_harms() -> None:
    harmed = used = 0
    for seed in range(20):
        known, others = (drawn_labels(40, seed=2 * seed + at) for at in (0, 1))
        gain = judged(known, seed=seed)
        assert gain is not None
        if gain.is_certain:
            used += 1
            fitted = fit_map(known, known.partners(), np.arange(len(known.photos)))
            harmed += _average_precision(others, fitted) < _average_precision(others, None)
    assert used <= 2
    assert harmed <= 1


def _average_precision(labelled: LabelledVectors, fitted: LinearMap | None) -> float:
    rows = np.arange(len(labelled.photos))
    return float(
        average_precision(
            *judging.answers(labelled, rows, fitted), labelled.related, np.ones((1, len(rows)), np.int64)
        )[0]
    )


def test_photos_that_are_not_counted_help_to_fit_and_are_not_judged() -> None:
    labelled = drawn_labels(60, nuisance=1.0)
    counted = np.arange(len(labelled.photos)) % 2 == 0
    with_all = judged(replace(labelled, counted=counted))
    alone = judged(replace(labelled, photos=labelled.photos[counted], counted=np.ones(120, bool),
                              right=labelled.right[::2]))  # fmt: skip
    assert with_all is not None
    assert alone is not None
    assert with_all.photos == alone.photos == 120
    assert with_all.before == alone.before
    assert with_all.after.micro_average_precision > alone.after.micro_average_precision


def test_average_precision_of_a_round_is_that_of_its_answers_written_out() -> None:
    rng = np.random.default_rng(0)
    similarity, related = rng.random(40), rng.random(40) < 0.7
    right = related & (rng.random(40) < 0.6)
    times = rng.multinomial(40, np.full(40, 1 / 40), 5)
    found = average_precision(similarity, right, related, times)
    for value, counts in zip(found, times, strict=True):
        rows = np.repeat(np.arange(40), counts)
        share = right[rows].sum() / related[rows].sum()
        assert value == pytest.approx(average_precision_score(right[rows], similarity[rows]) * share)


def test_equal_similarities_never_flatter() -> None:
    right, every = np.array([True, False]), np.ones((1, 2), np.int64)
    assert average_precision(np.array([0.5, 0.5]), right, right, every).tolist() == [0.5]


def test_how_many_more_labels_follows_the_root_of_their_number() -> None:
    assert judging._more_needed(0.02, 0.01, 100) == 0
    assert judging._more_needed(0.02, -0.02, 100) == 300  # an interval of half the width takes four times as many
    assert judging._more_needed(-0.01, -0.02, 100) is None
