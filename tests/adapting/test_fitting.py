"""The map equals its formula, and weakens what photos of one product differ in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from drawn_labels import drawn_labels
from numpy.typing import NDArray

from lookalike.adapting.fitting import LabelledVectors, answers, fit_map


def by_hand(labelled: LabelledVectors, rows: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The inverse square of the map, and the offset, written out."""
    photos, dim = labelled.photos[rows].astype(np.float64), labelled.photos.shape[1]
    offset = sum(photos) / len(photos)
    whole = sum(np.outer(x - offset, x - offset) for x in photos)
    within = np.zeros((dim, dim))
    for row, photo in zip(rows, photos, strict=True):
        own = [r for r, p in zip(labelled.references, labelled.product, strict=True) if p in labelled.right[row]]
        if own:
            apart = photo - max(own, key=lambda reference: float(reference @ photo))
            within += np.outer(apart, apart)
    both = whole / np.trace(whole) + within / np.trace(within)
    return both * dim / np.trace(both) + (1 + 300 / len(rows)) * np.eye(dim), offset


def test_the_map_divides_by_the_root_of_the_mean_of_both_covariances() -> None:
    labelled = drawn_labels(30, dim=6)
    rows = np.arange(0, len(labelled.photos), 2)
    found = fit_map(labelled, labelled.partners(), rows)
    covariance, offset = by_hand(labelled, rows)
    np.testing.assert_allclose(found.offset, offset, atol=1e-6)
    np.testing.assert_allclose(found.matrix, found.matrix.T, atol=1e-5)
    np.testing.assert_allclose(np.linalg.inv(found.matrix.astype(np.float64) @ found.matrix), covariance, rtol=1e-3)


def test_a_direction_in_which_photos_of_a_product_differ_counts_less() -> None:
    labelled = drawn_labels(200, dim=8, nuisance=2.0)
    found = fit_map(labelled, labelled.partners(), np.arange(len(labelled.photos)))
    strength = np.linalg.norm(found.matrix, axis=0)
    assert strength[0] < 0.6 * strength[1:].min()


def test_photos_without_a_right_product_alone_whiten() -> None:
    labelled = drawn_labels(40, dim=6)
    unrelated = replace(labelled, right=(frozenset(),) * len(labelled.right))
    rows = np.arange(len(labelled.photos))
    assert (unrelated.partners() == -1).all()
    found = fit_map(unrelated, unrelated.partners(), rows)
    centred = labelled.photos - labelled.photos.mean(axis=0, dtype=np.float64)
    whole = centred.T @ centred
    wanted = whole * 6 / np.trace(whole) + (1 + 300 / len(rows)) * np.eye(6)
    np.testing.assert_allclose(np.linalg.inv(found.matrix.astype(np.float64) @ found.matrix), wanted, rtol=1e-3)


def test_answers_are_those_of_comparing_each_photo_with_all_references() -> None:
    labelled = drawn_labels(30, dim=6)
    fitted = fit_map(labelled, labelled.partners(), np.arange(len(labelled.photos)))
    rows = np.array([5, 0, 17])
    for mapped in (None, fitted):
        similarity, right = answers(labelled, rows, mapped)
        for at, row in enumerate(rows):
            cosines = []
            for reference in labelled.references:
                x, y = labelled.photos[row], reference
                if mapped is not None:
                    x, y = (mapped.matrix @ (each - mapped.offset) for each in (x, y))
                cosines.append(float(x @ y / np.linalg.norm(x) / np.linalg.norm(y)))
            assert abs(similarity[at] - max(cosines)) < 1e-5
            assert right[at] == (labelled.product[int(np.argmax(cosines))] in labelled.right[row])
