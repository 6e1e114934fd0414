"""Which labels an adapter is fitted to, and which say how good it is."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from reviewed import shop_in
from toy import ToyEncoder, save_pictures

from lookalike.adapting import labelled
from lookalike.adapting.labelled import LabelledImage, images_of_findings, take
from lookalike.detection.lookup import Lookup
from lookalike.errors import TableError
from lookalike.index.build import adapt_index, build_index
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.adapter import AdaptedEncoder, Adapter
from lookalike.records import Reference
from lookalike.tables.verdicts import Judgement, Mode


@pytest.fixture
def lookup(tmp_path: Path) -> Lookup:
    """An index of 40 products of one photo each."""
    paths = save_pictures(tmp_path / "photos", 40)
    rows = [Reference(f"r{at}", f"p{at}", f"B{at % 2}", path) for at, path in enumerate(paths)]
    build_index(rows, index=tmp_path / "i", encoder=ToyEncoder(), features=False)
    return Lookup(ToyEncoder(), ReferenceIndex.load(tmp_path / "i"), PhotoReader())


def photos_of(folder: Path, count: int) -> list[LabelledImage]:
    return [
        LabelledImage(str(path), path.name, frozenset({(f"B{at % 2}", f"p{at}")} if at % 3 else ()))
        for at, path in enumerate(save_pictures(folder, count, seed=1))
    ]


def test_each_label_is_named_by_its_name_and_its_photo(lookup: Lookup, tmp_path: Path) -> None:
    images = photos_of(tmp_path / "a", 12)
    taken = take([*images, replace(images[0], name="the same photo")], lookup=lookup)
    shown = [hashlib.sha256(Path(image.image).read_bytes()).hexdigest() for image in images]
    assert taken.names == (*zip([image.name for image in images], shown, strict=True), ("the same photo", shown[0]))


def test_vectors_and_products_are_those_of_the_photos(lookup: Lookup, tmp_path: Path) -> None:
    images = photos_of(tmp_path / "a", 12)
    taken = take(images, lookup=lookup)
    seen = [photo.matches[0] for photo in lookup.look_up([image.image for image in images])]
    similarity = taken.labelled.photos @ taken.labelled.references.T
    np.testing.assert_allclose(similarity.max(axis=1), [match.similarity for match in seen], atol=1e-5)
    pairs = sorted(lookup.index.products)
    named = [{pairs[number] for number in right} for right in taken.labelled.right]
    assert named == [set(image.right) for image in images]


def test_an_adapted_index_counts_as_it_was_before(lookup: Lookup, tmp_path: Path) -> None:
    images = photos_of(tmp_path / "a", 12)
    before = take(images, lookup=lookup)
    matrix = np.random.default_rng(0).normal(size=(28, 28)).astype(np.float32)
    adapter = Adapter(lookup.encoder.spec, matrix, np.zeros(28, np.float32))
    adapt_index(adapter, index=tmp_path / "i")
    adapted = Lookup(AdaptedEncoder(ToyEncoder(), adapter), ReferenceIndex.load(tmp_path / "i"), PhotoReader())
    after = take(images, lookup=adapted)
    np.testing.assert_array_equal(after.labelled.photos, before.labelled.photos)
    np.testing.assert_array_equal(after.labelled.references, before.labelled.references)


def test_labels_that_cannot_be_used_are_counted(lookup: Lookup, tmp_path: Path) -> None:
    images = [
        *photos_of(tmp_path / "a", 4),
        LabelledImage(str(tmp_path / "photos" / "0-0.png"), "other", frozenset({("B9", "p1")})),
        LabelledImage(str(tmp_path / "none.png"), "none", frozenset()),
    ]
    taken = take(images, lookup=lookup)
    assert (len(taken.labelled.photos), taken.unknown, len(taken.failed)) == (4, 1, 1)
    assert "none.png" in taken.failed[0]
    with pytest.raises(TableError, match="none of the 1 labelled photos could be used; the first: .*none.png"):
        take(images[-1:], lookup=lookup)


def test_of_a_large_catalogue_the_labelled_products_and_others_at_random_are_compared(
    lookup: Lookup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labelled, "MOST_REFERENCES", 20)
    taken = take(photos_of(tmp_path / "a", 12), lookup=lookup)
    assert len(taken.labelled.references) == len(set(taken.labelled.product.tolist())) == 20
    assert set().union(*taken.labelled.right) <= set(taken.labelled.product.tolist())
    index = lookup.index
    pairs = sorted(index.products)
    for number, vector in zip(taken.labelled.product.tolist(), taken.labelled.references, strict=True):
        row = index.catalogue["product_id"].to_pylist().index(pairs[number][1])
        np.testing.assert_array_equal(vector, index.vectors[row])


def test_verdicts_of_triage_help_to_fit_and_only_a_finished_draw_counts(tmp_path: Path) -> None:
    shop, verdicts = shop_in(tmp_path / "shop", 40), tmp_path / "v.jsonl"
    with shop.review(verdicts) as app:
        chosen = [app.session.findings.items[place].listing for place in app.session.next(5)]
        for place in app.session.next(5):
            app.session.judge(place, Judgement.LOOKALIKE)
    with pytest.raises(TableError, match="a promise holds for findings drawn at random"):
        images_of_findings(verdicts, shop.findings)
    with shop.review(verdicts, mode=Mode.AUDIT, size=8) as app:
        for place in app.session.next(8):
            app.session.judge(place, Judgement.NOT_LOOKALIKE)
    images = {image.name: image for image in images_of_findings(verdicts, shop.findings)}
    drawn = {name for name, image in images.items() if image.sound}
    assert len(drawn) == 8
    assert set(images) == drawn | set(chosen)
    for name in set(chosen) - drawn:
        assert images[name].right
        assert Path(images[name].image).is_file()
    assert all(not images[name].right for name in drawn - set(chosen))
    lookup = Lookup(ToyEncoder(), ReferenceIndex.load(shop.index), PhotoReader())
    taken = take(list(images.values()), lookup=lookup)
    assert (taken.labelled.counted.sum(), len(taken.labelled.photos)) == (8, len(images))
