"""Details are paired as a search of all pairs would pair them, in the photo and in its mirror image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import lookalike
from lookalike.model.features import LocalFeatures, local_features, reference_features
from lookalike.model.images import read_image
from lookalike.model.matching import NEAR, match

SAMPLE = Path(lookalike.__file__).parent / "sample" / "images"
CARTON, OTHER = "yelmique-ground-coffee-front", "kweniska-olive-oil-front"


def searched(reference: LocalFeatures, listing: LocalFeatures) -> NDArray[np.int64]:
    """Pairs by Lowe's ratio test, one listing feature after the other, in exact whole numbers."""
    found = []
    theirs = reference.descriptors.astype(np.int64)
    for row, ours in enumerate(listing.descriptors.astype(np.int64)):
        alike = theirs @ ours
        best = int(alike.argmax())
        apart = np.abs(reference.points - reference.points[best]).max(axis=1) >= NEAR * max(reference.size)
        second = alike[apart].max()
        ratio = np.sqrt(max(2 - 2 * alike[best] / 512**2, 0) / (2 - 2 * second / 512**2))
        if ratio < 0.85:
            found.append((ratio, best, row))
    return np.array([pair for _, *pair in sorted(found)[:400]]).reshape(-1, 2)


@pytest.mark.parametrize("name", [CARTON, OTHER])
def test_pairs_are_those_of_a_search_of_all_pairs_mirrored_ones_too(name: str) -> None:
    reference = reference_features(read_image(SAMPLE / f"{name}.jpg").image)
    listing = local_features(read_image(SAMPLE / f"{CARTON}.jpg").image)
    for found, photo in zip(match(reference, listing), (listing, listing.mirrored), strict=True):
        expected = searched(reference, photo)
        same = set(map(tuple, found.tolist())) & set(map(tuple, expected.tolist()))
        assert len(same) >= 0.99 * max(len(found), len(expected)), "but for ties and rounding"
    assert len(match(reference, listing)[0]) > (100 if name == CARTON else 0)


def test_nothing_is_paired_with_a_photo_of_one_or_two_details() -> None:
    features = local_features(read_image(SAMPLE / f"{CARTON}.jpg").image)
    few = replace(features, points=features.points[:2], descriptors=features.descriptors[:2])
    assert [len(pairs) for order in ((few, features), (features, few)) for pairs in match(*order)] == [0] * 4
