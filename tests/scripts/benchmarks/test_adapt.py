"""What is learnt from and what is measured on have no product and no unrelated photo in common."""

from __future__ import annotations

import numpy as np
from drawn_labels import drawn_labels

from lookalike.adapting.fitting import LabelledVectors
from lookalike.scripts.benchmarks.adapt import LabelledSet, _halves, _kept, at, kept_promises


def test_products_and_strangers_are_learnt_from_or_measured_on() -> None:
    asked = drawn_labels(30)
    twice = LabelledVectors(np.tile(asked.photos, (2, 1)), asked.right * 2, np.tile(asked.counted, 2),
                            asked.references, asked.product)  # fmt: skip
    each = LabelledSet("drawn", asked, twice, (twice.photos, asked.references))
    rows, measured = _halves(each, np.random.default_rng(0))
    learnt = at(twice, rows)
    assert not set().union(*learnt.right) & set().union(*measured.right)
    known, others = ({vector.tobytes() for vector in part.photos} for part in (learnt, measured))
    assert not known & others
    assert known | others == {vector.tobytes() for vector in asked.photos}
    assert {len(right) for right in measured.right} == {0, 1}


def test_a_promise_is_broken_by_what_all_flags_are_and_not_by_those_it_was_set_on() -> None:
    similarity = np.concatenate([np.linspace(0.9, 1, 100), np.linspace(0.9, 1, 100)])
    right = np.arange(200) < 100
    truth = similarity, right
    assert _kept((similarity[:100], right[:100]), truth) == (True, 0.5)
    assert _kept(truth, truth) is None
    assert _kept((similarity, np.ones(200, bool)), (similarity, np.ones(200, bool))) == (False, 1.0)


def test_cross_fitted_labels_find_more_than_without_an_adapter_and_less_than_those_that_flatter_it() -> None:
    population = drawn_labels(200, dim=64, nuisance=1.5, noise=1.5)
    rng = np.random.default_rng(0)
    drawn = [kept_promises(population, rng, labels=150) for _ in range(12)]
    assert all(use for _, use in drawn)
    plain, crossed, seen = (sum(kept[name][1] for kept, _ in drawn if kept[name]) for name in drawn[0][0])
    assert plain < 0.8 * crossed
    assert crossed < seen
    assert not any(kept["all labels, cross-fitted"][0] for kept, _ in drawn if kept["all labels, cross-fitted"])
