"""Each photo is answered by a map that was fitted to no photo of its product, and to no equal photo."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawn_labels import drawn_labels

from lookalike.adapting.fitting import answers, fit_map
from lookalike.adapting.folds import LEAST_PRODUCTS, cross_fit


def test_no_photo_is_answered_by_a_map_that_saw_its_product() -> None:
    labelled = drawn_labels(20, nuisance=1.0)
    crossed = cross_fit(labelled)
    assert crossed is not None
    similarity, right = crossed.answers(labelled, np.arange(80))
    for at, shown in enumerate(labelled.right):
        number = crossed.fold[at]
        seen = np.flatnonzero(crossed.fold != number)
        assert at not in seen
        assert not shown & set().union(*(labelled.right[row] for row in seen))
        fitted = fit_map(labelled, labelled.partners(), seen)
        np.testing.assert_allclose(crossed.maps[number].matrix, fitted.matrix, atol=1e-6)
        found = answers(labelled, np.array([at]), fitted)
        assert similarity[at] == pytest.approx(found[0][0], abs=1e-5)
        assert right[at] == found[1][0]
    assert len(set(crossed.fold.tolist())) == len(crossed.maps) == 5


def test_a_photo_of_two_products_and_equal_photos_bring_them_together() -> None:
    labelled = drawn_labels(20)
    right = list(labelled.right)
    right[0] = right[0] | right[2] | right[4]  # one photo shows the first three products
    photos = labelled.photos.copy()
    photos[79] = photos[41]  # two unrelated photos are equal
    photos[42] = photos[6]  # an unrelated one is equal to one of the fourth product
    labelled = replace(labelled, right=tuple(right), photos=photos)
    groups = labelled.groups
    assert len(set(groups[:6].tolist())) == 1
    assert groups[79] == groups[41]
    assert groups[42] == groups[6] == groups[7]
    assert len(set(groups.tolist())) == 1 + 17 + 40 - 2
    crossed = cross_fit(labelled)
    assert crossed is not None
    assert all(len(set(crossed.fold[groups == group].tolist())) == 1 for group in groups)


def test_folds_are_the_same_whatever_the_order_of_the_labels() -> None:
    labelled = drawn_labels(20)
    order = np.random.default_rng(0).permutation(80)
    right = tuple(labelled.right[row] for row in order)
    turned = replace(labelled, photos=labelled.photos[order], right=right)
    one, other = cross_fit(labelled), cross_fit(turned)
    assert one is not None
    assert other is not None
    np.testing.assert_array_equal(other.fold, one.fold[order])
    sizes = np.bincount(one.fold)
    assert sizes.max() - sizes.min() <= 2 * 5


def test_labels_of_few_products_have_no_folds() -> None:
    assert cross_fit(drawn_labels(LEAST_PRODUCTS - 1, photos=40)) is None
    assert cross_fit(drawn_labels(LEAST_PRODUCTS, photos=40)) is not None
    few = drawn_labels(LEAST_PRODUCTS, photos=40)
    assert cross_fit(replace(few, counted=np.arange(len(few.photos)) >= 40)) is None
