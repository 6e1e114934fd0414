"""The index answers what brute force would, and its folder is never half a change."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from toy import ToyEncoder, unit_vectors

from lookalike.errors import EncoderMismatchError, IndexDamagedError, IndexNotFoundError, ReferenceIndexError
from lookalike.index.reference_index import ReferenceIndex
from lookalike.records import Reference

SPEC = ToyEncoder().spec


def references(count: int) -> list[Reference]:
    """`count` references of count // 3 products of three brands; one product_id stands in two brands."""
    return [
        Reference(
            f"r{i}", f"p{i // 3 % 40}", "ABC"[i % 3 if i < 6 else i // 40 % 3], f"/photos/{i}.jpg", {"row": str(i)}
        )
        for i in range(count)
    ]


def index_of(count: int, *, seed: int = 0) -> ReferenceIndex:
    index = ReferenceIndex(SPEC)
    index.add(references(count), unit_vectors(count, seed=seed), hashes=[f"h{i}" for i in range(count)])
    return index


def brute_force(queries: NDArray[np.float32], count: int, top: int, allowed: set[int] | None = None) -> list[list[str]]:
    """Ids of the best reference of each of the nearest `top` products, by sorting everything."""
    rows, vectors = references(count), unit_vectors(count)
    answers = []
    for query in queries:
        similarity = vectors @ query
        best: dict[tuple[str, str], str] = {}
        for i in np.argsort(-similarity):
            if allowed is None or int(i) in allowed:
                best.setdefault((rows[i].brand, rows[i].product), rows[i].id)
        answers.append(list(best.values())[:top])
    return answers


@pytest.mark.parametrize("top", [1, 5, 1000])
def test_gives_the_best_reference_of_each_of_the_nearest_products(top: int) -> None:
    queries = unit_vectors(50, seed=9)
    found = index_of(300).search(queries, top=top)
    assert [[match.reference.id for match in matches] for matches in found] == brute_force(queries, 300, top)


def test_widens_the_search_past_a_product_with_hundreds_of_references() -> None:
    crowd = [Reference(f"c{i}", "crowd", "A", "") for i in range(500)]
    near, far = unit_vectors(1), unit_vectors(2, seed=3)
    vectors = np.concatenate([np.repeat(near, 500, axis=0), far])
    index = ReferenceIndex(SPEC)
    index.add([*crowd, Reference("x", "x", "A", ""), Reference("y", "y", "A", "")], vectors, hashes=["h"] * 502)
    assert {match.reference.product for match in index.search(near, top=3)[0]} == {"crowd", "x", "y"}


def test_restricts_a_search_to_brands_and_products() -> None:
    queries = unit_vectors(20, seed=4)
    rows = references(300)
    allowed = {i for i, row in enumerate(rows) if row.brand in ("A", "C") and row.product in ("p1", "p2", "p7")}
    found = index_of(300).search(queries, top=3, brands=["A", "C"], products=["p1", "p2", "p7"])
    assert [[m.reference.id for m in matches] for matches in found] == brute_force(queries, 300, 3, allowed)
    assert index_of(300).search(queries, brands=["nobody"]) == [()] * 20


def test_similarity_is_the_cosine_and_comes_best_first() -> None:
    query = unit_vectors(1, seed=5)
    matches = index_of(100).search(query, top=5)[0]
    vectors, rows = unit_vectors(100), references(100)
    expected = [float(query[0] @ vectors[rows.index(match.reference)]) for match in matches]
    np.testing.assert_allclose([match.similarity for match in matches], expected, atol=1e-6)
    assert expected == sorted(expected, reverse=True)


@pytest.mark.parametrize("exact_up_to", [10_000, 500])
def test_no_similarity_is_above_1_or_below_minus_1(exact_up_to: int, tmp_path: Path) -> None:
    vectors = np.float32(1.0005) * unit_vectors(1000)
    index = ReferenceIndex(SPEC, exact_up_to=exact_up_to)
    index.add(references(1000), vectors, hashes=[str(i) for i in range(1000)])
    index.save(tmp_path)
    assert (index.agreement is None) == (exact_up_to > 1000)
    for brands in (None, {reference.brand for reference in references(1000)}):
        for sign in (1, -1):
            found = [
                m.similarity for matches in index.search(sign * vectors[:9], top=1000, brands=brands) for m in matches
            ]
            assert (max(found) == 1.0) if sign == 1 else (min(found) == -1.0)


def test_an_empty_index_finds_nothing() -> None:
    assert ReferenceIndex(SPEC).search(unit_vectors(2)) == [(), ()]


def test_comes_back_from_disk_as_it_was(tmp_path: Path) -> None:
    index = index_of(100)
    index.save(tmp_path)
    loaded = ReferenceIndex.load(tmp_path)
    assert list(loaded.references) == references(100)
    np.testing.assert_array_equal(loaded.vectors, index.vectors)
    assert (loaded.spec, loaded.digest) == (SPEC, index.digest)


def test_adding_a_known_id_replaces_it() -> None:
    index = index_of(10)
    changed = Reference("r3", "new", "A", "new.jpg")
    index.add([changed], unit_vectors(1, seed=8), hashes=["n"])
    assert len(index) == 10
    assert index.search(unit_vectors(1, seed=8), top=1)[0][0].reference.product == "new"


def test_gives_a_reference_by_its_id() -> None:
    index = index_of(20)
    assert [index.reference(each.id) for each in index.references] == list(index.references)
    assert index.reference("nothing") is None


def test_keeps_every_column_of_references_that_have_different_ones(tmp_path: Path) -> None:
    index = index_of(2)
    index.add([Reference("z", "p", "A", "", {"season": "spring"})], unit_vectors(1, seed=1), hashes=["z"])
    index.save(tmp_path)
    more = [reference.more for reference in ReferenceIndex.load(tmp_path).references]
    assert more == [{"row": "0", "season": None}, {"row": "1", "season": None}, {"row": None, "season": "spring"}]


def test_removes_by_reference_product_and_brand() -> None:
    index = index_of(90)
    rows = references(90)
    expected = [r for r in rows if not (r.id == "r50" or r.product == "p5")]
    assert index.remove(references=["r50"], products=["p5"]) == 90 - len(expected)
    assert list(index.references) == expected
    expected = [r for r in expected if r.brand != "B"]
    index.remove(brands=["B"])
    assert list(index.references) == expected
    assert index.remove(references=["nobody"]) == index.remove(products=["nothing"]) == 0


def test_removes_a_product_of_one_brand_and_asks_which() -> None:
    index = index_of(90)
    rows = references(90)
    assert {r.brand for r in rows if r.product == "p1"} == {"A", "B", "C"}
    with pytest.raises(ReferenceIndexError, match="product 'p1' is one of A, B, C; name the brand, too: --brand A"):
        index.remove(products=["p1"])
    expected = [r for r in rows if not (r.product in ("p1", "p2") and r.brand in ("A", "C"))]
    assert index.remove(products=["p1", "p2"], brands=["A", "C"]) == 90 - len(expected) > 0
    assert list(index.references) == expected


def test_refuses_an_encoder_it_was_not_built_with() -> None:
    with pytest.raises(EncoderMismatchError, match=r"built with toy@00000000 but the encoder is toy@11111111"):
        index_of(1).require(ToyEncoder("1" * 64).spec)


@pytest.mark.parametrize("rows", [np.ones((2, 28)), unit_vectors(2)[:, :5], unit_vectors(3)])
def test_refuses_vectors_of_another_shape_or_length(rows: NDArray[np.float32]) -> None:
    with pytest.raises(ValueError, match="expected|length 1"):
        ReferenceIndex(SPEC).add(references(2), rows.astype(np.float32), hashes=["a", "b"])


def test_says_when_there_is_no_index(tmp_path: Path) -> None:
    with pytest.raises(IndexNotFoundError, match="make one with: lookalike build"):
        ReferenceIndex.load(tmp_path / "none")


def test_notices_a_changed_byte_anywhere(tmp_path: Path) -> None:
    index_of(20).save(tmp_path)
    files = [path for path in tmp_path.iterdir() if path.suffix in (".json", ".parquet", ".npy")]
    assert len(files) == 3
    rng = np.random.default_rng(0)
    for path in files:
        whole = path.read_bytes()
        for place in rng.integers(0, len(whole), 40).tolist():
            damaged = bytearray(whole)
            damaged[place] ^= int(rng.integers(1, 256))
            path.write_bytes(damaged)
            with pytest.raises(IndexDamagedError):
                ReferenceIndex.load(tmp_path)
        path.write_bytes(whole[:-1])
        with pytest.raises(IndexDamagedError):
            ReferenceIndex.load(tmp_path)
        path.write_bytes(whole)
    assert len(ReferenceIndex.load(tmp_path)) == 20


def test_opens_no_file_outside_its_folder(tmp_path: Path) -> None:
    from lookalike.index import store

    index_of(3).save(tmp_path / "index")
    manifest, _ = store.read_manifest(tmp_path / "index")
    manifest["files"]["vectors"]["name"] = "../../etc/passwd"
    (tmp_path / "index" / "manifest.json").write_text(store._manifest_text(manifest))
    with pytest.raises(IndexDamagedError, match="may not be named"):
        ReferenceIndex.load(tmp_path / "index")


def test_refuses_a_format_of_the_future(tmp_path: Path) -> None:
    index_of(3).save(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "version": 99}))
    with pytest.raises(IndexDamagedError, match="lookalike-index 99, expected lookalike-index 2 or older"):
        ReferenceIndex.load(tmp_path)


def test_readers_see_one_state_or_the_other_while_it_is_saved_again_and_again(tmp_path: Path) -> None:
    sizes = (5, 50)
    index_of(sizes[0]).save(tmp_path)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for size in sizes:
                index_of(size, seed=size).save(tmp_path)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(40):
            loaded = ReferenceIndex.load(tmp_path)
            assert len(loaded) in sizes
    finally:
        stop.set()
        writer.join()


def test_leaves_no_old_files_behind(tmp_path: Path) -> None:
    for count in (3, 4, 5):
        index_of(count).save(tmp_path)
    assert len(list(tmp_path.glob("vectors-*"))) == len(list(tmp_path.glob("catalogue-*"))) == 1
