"""An encoder with a second head: both parts of its vectors are kept and searched, in memory, partitioned, on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from toy import ToyEncoder, clustered, near, save_pictures, shuffled

from lookalike.errors import EncoderMismatchError, IndexDamagedError
from lookalike.index import store
from lookalike.index.build import add_references, build_index
from lookalike.index.embedding import PhotoReader, embed_photos
from lookalike.index.reference_index import ReferenceIndex
from lookalike.index.vector_cache import VectorCache
from lookalike.model.encoder import EncoderSpec
from lookalike.records import Match, Reference

DIM, LOOK, COUNT, PRODUCTS, TOP = 32, 16, 900, 300, 4
SPEC = replace(ToyEncoder().spec, dim=DIM, look_dim=LOOK)
PLAIN = replace(SPEC, look_dim=0)
VECTORS = np.hstack([clustered(COUNT, DIM), clustered(COUNT, LOOK, seed=9)])
QUERIES = np.hstack([near(VECTORS[:, :DIM], 64), near(VECTORS[:, DIM:], 64, seed=8)])
REFERENCES = [Reference(f"r{row}", f"p{row % PRODUCTS}", "Acme", f"{row}.jpg") for row in range(COUNT)]
HASHES = [f"{row:064x}" for row in range(COUNT)]


def index_of(rows: slice = slice(None), *, exact_up_to: int = COUNT) -> ReferenceIndex:
    index = ReferenceIndex(SPEC, exact_up_to=exact_up_to)
    index.add(REFERENCES[rows], VECTORS[rows], hashes=HASHES[rows])
    return index


def by_brute_force(
    query: NDArray[np.float32], top: int = TOP, rows: int = COUNT
) -> dict[str, tuple[str, float, float]]:
    """Each product among the `top` of either cosine: its reference, similarity and look."""
    similarity, look = VECTORS[:rows, :DIM] @ query[:DIM], VECTORS[:rows, DIM:] @ query[DIM:]
    found: dict[str, tuple[str, float, float]] = {}
    for values in (similarity, look):
        best: dict[str, int] = {}
        for row in np.argsort(-values).tolist():
            best.setdefault(REFERENCES[row].product, row)
        for product, row in list(best.items())[:top]:
            one = (REFERENCES[row].id, float(similarity[row]), float(look[row]))
            found[product] = max(found.get(product, one), one, key=lambda each: each[1] + each[2])
    return found


def as_found(matches: tuple[Match, ...]) -> dict[str, tuple[str, float, float]]:
    assert [match.similarity for match in matches] == sorted((m.similarity for m in matches), reverse=True)
    assert len({match.reference.product for match in matches}) == len(matches)
    return {m.reference.product: (m.reference.id, m.similarity, m.look or 0.0) for m in matches}


def same(found: dict[str, tuple[str, float, float]], expected: dict[str, tuple[str, float, float]]) -> bool:
    return {product: each[0] for product, each in found.items()} == {
        product: each[0] for product, each in expected.items()
    } and all(np.allclose(found[product][1:], expected[product][1:], atol=1e-5) for product in found)


def test_finds_the_nearest_products_by_similarity_and_by_look() -> None:
    answers = index_of().search(QUERIES, top=TOP)
    for query, matches in zip(QUERIES, answers, strict=True):
        assert same(as_found(matches), by_brute_force(query))
    assert any(len(matches) > TOP for matches in answers)


def test_of_two_references_of_a_product_the_one_with_the_greater_sum_stands_for_it() -> None:
    index = ReferenceIndex(replace(SPEC, dim=2, look_dim=2))
    rows = np.array([[1, 0, 0, 1], [0.8, 0.6, 1, 0], [0, 1, 0.6, 0.8]], np.float32)
    names = [
        Reference("print", "p", "B", "1.jpg"),
        Reference("dress", "p", "B", "2.jpg"),
        Reference("q", "q", "B", "3.jpg"),
    ]
    index.add(names, rows, hashes=["1", "2", "3"])
    matches = index.search(np.array([[1, 0, 1, 0]], np.float32), top=1)[0]
    assert [(m.reference.id, round(m.similarity, 3), m.look) for m in matches] == [("dress", 0.8, 1.0)]


def test_a_partitioned_index_decides_like_an_exact_one_and_says_how_often(tmp_path: Path) -> None:
    index_of(exact_up_to=100).save(tmp_path)
    loaded = ReferenceIndex.load(tmp_path, verify=True)
    assert loaded.agreement is not None and loaded.agreement.share >= 0.999
    np.testing.assert_array_equal(loaded.vectors, VECTORS)
    agreeing = [
        same(as_found(matches), by_brute_force(query, 1))
        for query, matches in zip(QUERIES, loaded.search(QUERIES, top=1), strict=True)
    ]
    assert np.mean(agreeing) > 0.9
    manifest, _ = store.read_manifest(tmp_path)
    worse = min((manifest[name]["agreement"] for name in ("partition", "look_partition")), key=lambda a: a["agreeing"])
    assert loaded.agreement.agreeing == worse["agreeing"]


def test_a_search_among_some_brands_of_a_partitioned_index_is_exact(tmp_path: Path) -> None:
    index_of(exact_up_to=100).save(tmp_path)
    some = [f"p{number}" for number in range(40)]
    rows = [row for row in range(COUNT) if REFERENCES[row].product in some]
    found = ReferenceIndex.load(tmp_path).search(QUERIES, top=1, products=some)
    for query, matches in zip(QUERIES, found, strict=True):
        nearest = REFERENCES[rows[int(np.argmax(VECTORS[rows, DIM:] @ query[DIM:]))]].product
        assert nearest in {match.reference.product for match in matches}


@pytest.mark.parametrize("exact_up_to", [COUNT, 100])
def test_what_was_added_and_removed_later_is_found_or_not(exact_up_to: int, tmp_path: Path) -> None:
    index_of(slice(0, 800), exact_up_to=exact_up_to).save(tmp_path)
    index = ReferenceIndex.load(tmp_path)
    index.add(REFERENCES[800:], VECTORS[800:], hashes=HASHES[800:])
    assert index.remove(references=["r3", "r7"]) == 2
    index.save(tmp_path)
    again = ReferenceIndex.load(tmp_path, verify=True)
    np.testing.assert_array_equal(again.vectors, np.delete(VECTORS, [3, 7], axis=0))
    np.testing.assert_array_equal(again.vectors_at([0, 797]), VECTORS[[0, 799]])
    for row in (3, 7, 850):
        match = again.search(VECTORS[row : row + 1], top=1)[0][0]
        assert (match.reference.id == f"r{row}") is (row == 850)
        if row == 850:
            assert match.look == pytest.approx(1, abs=1e-6)


def test_an_index_of_an_encoder_without_a_second_head_has_no_look() -> None:
    index = ReferenceIndex(PLAIN)
    index.add(REFERENCES, VECTORS[:, :DIM], hashes=HASHES)
    matches = index.search(QUERIES[:, :DIM], top=TOP)
    assert {match.look for found in matches for match in found} == {None}
    assert {len(found) for found in matches} == {TOP}


def test_an_index_of_today_is_read_as_before_and_refused_by_the_new_encoder(tmp_path: Path) -> None:
    index = ReferenceIndex(PLAIN)
    index.add(REFERENCES, VECTORS[:, :DIM], hashes=HASHES)
    index.save(tmp_path)
    manifest, _ = store.read_manifest(tmp_path)
    assert "look_dim" not in manifest["encoder"] and manifest["dim"] == DIM
    loaded = ReferenceIndex.load(tmp_path)
    assert loaded.spec == PLAIN
    with pytest.raises(EncoderMismatchError, match="build the index again"):
        loaded.require(SPEC)


def test_refuses_rows_of_which_a_part_does_not_have_length_1(tmp_path: Path) -> None:
    index, bad = index_of(slice(0, 2)), VECTORS[2:3].copy()
    bad[:, DIM:] *= 1.1
    with pytest.raises(ValueError, match="each of their two parts must have length 1"):
        index.add(REFERENCES[2:3], bad, hashes=HASHES[2:3])
    with pytest.raises(ValueError, match=r"expected \(1, 48\)"):
        index.add(REFERENCES[2:3], bad[:, :DIM], hashes=HASHES[2:3])
    store.write(tmp_path, spec=SPEC, catalogue=index_of(slice(2, 3)).catalogue, vectors=bad)
    with pytest.raises(IndexDamagedError, match="not of length 1"):
        ReferenceIndex.load(tmp_path)


def test_refuses_a_manifest_whose_encoder_makes_other_vectors(tmp_path: Path) -> None:
    narrower = replace(SPEC, look_dim=LOOK - 1)
    wrong = store.manifest_head(1, narrower, 2) | {"dim": DIM + LOOK}
    store.make_folder(tmp_path)
    store.replace_manifest(tmp_path, wrong)
    with pytest.raises(IndexDamagedError, match="has vectors of 48 dimensions, but its encoder makes 47"):
        ReferenceIndex.load(tmp_path)


@pytest.mark.parametrize("cached", [False, True])
def test_builds_and_adds_and_embeds_nothing_twice(cached: bool, tmp_path: Path) -> None:
    encoder, index = ToyEncoder(look=True), tmp_path / "index"
    pictures = save_pictures(tmp_path / "pictures", 6)
    references = [Reference(path.stem, path.stem, "Acme", str(path)) for path in pictures]
    cache = VectorCache(tmp_path / "cache.sqlite", encoder.spec) if cached else None
    build_index(references[:5], index=index, encoder=encoder, features=False, cache=cache)
    add_references(references[5:], index=index, encoder=encoder, features=False, cache=cache)
    assert encoder.embedded == 6
    again = build_index(references, index=index, encoder=encoder, features=False, cache=cache)
    assert (again.embedded, again.reused, encoder.embedded) == (0, 6, 6)
    moved = shuffled(pictures[2], tmp_path / "moved.png")
    photo = next(embed_photos([str(moved)], encoder=encoder, reader=PhotoReader(workers=1), cache=cache))
    assert photo.vector is not None and photo.vector.shape == (encoder.spec.width,)
    best = max(ReferenceIndex.load(index).search(photo.vector[None], top=2)[0], key=lambda match: match.look or -1)
    assert best.reference.product == pictures[2].stem and best.look == pytest.approx(1, abs=1e-5)


def test_vectors_of_an_encoder_with_and_without_look_are_kept_apart(tmp_path: Path) -> None:
    plain, both = ToyEncoder(), ToyEncoder(look=True)
    for encoder in (plain, both, plain, both):
        with VectorCache(tmp_path / "cache.sqlite", encoder.spec) as cache:
            (path,) = save_pictures(tmp_path / "pictures", 1)
            photo = next(embed_photos([path], encoder=encoder, reader=PhotoReader(workers=1), cache=cache))
            assert photo.vector is not None and photo.vector.shape == (encoder.spec.width,)
    assert (plain.embedded, both.embedded) == (1, 1)


def test_a_spec_with_a_second_head_says_so_in_json_and_one_without_is_as_before() -> None:
    assert EncoderSpec.from_json(SPEC.to_json()) == SPEC != PLAIN
    assert "look_dim" not in PLAIN.to_json() and EncoderSpec.from_json(PLAIN.to_json()) == PLAIN
    assert (SPEC.width, PLAIN.width) == (DIM + LOOK, DIM)
