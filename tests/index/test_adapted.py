"""An adapted index: its vectors are mapped, those before stay, and what was done is undone in one step."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from toy import ToyEncoder, clustered, near, save_pictures, unit_vectors

from lookalike.detection.lookup import Lookup
from lookalike.errors import EncoderMismatchError, IndexDamagedError, ReferenceIndexError
from lookalike.index import reference_index, store
from lookalike.index.build import (
    adapt_index,
    add_harmless,
    add_references,
    build_index,
    load_harmless,
    remove_references,
)
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.index.vector_cache import VectorCache
from lookalike.model.adapter import AdaptedEncoder, Adapter
from lookalike.model.encoder import EncoderSpec, Preprocessing
from lookalike.records import Listing, Reference


def drawn_adapter(spec: EncoderSpec, *, seed: int = 3) -> Adapter:
    rng = np.random.default_rng(seed)
    matrix = np.eye(spec.dim) + rng.normal(size=(spec.dim, spec.dim)) / spec.dim**0.5
    return Adapter(spec, matrix.astype(np.float32), rng.normal(size=spec.dim).astype(np.float32) / 10)


def by_hand(adapter: Adapter, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """What the adapter makes of vectors, one by one in float64."""
    dim, rows = adapter.spec.dim, []
    for vector in vectors.astype(np.float64):
        mapped = adapter.matrix.astype(np.float64) @ (vector[:dim] - adapter.offset)
        rows.append([*(mapped / np.sqrt((mapped**2).sum())), *vector[dim:]])
    return np.array(rows)


def references(paths: list[Path], *, first: int = 0) -> list[Reference]:
    return [Reference(f"r{first + at}", f"p{(first + at) // 2}", "Brand", path) for at, path in enumerate(paths)]


@pytest.fixture
def built(tmp_path: Path) -> tuple[Path, list[Path], ToyEncoder]:
    """An index of 12 photos, the photos, and the encoder, which counts from 0 again."""
    paths, encoder = save_pictures(tmp_path / "photos", 12), ToyEncoder(look=True)
    build_index(references(paths), index=tmp_path / "i", encoder=encoder, features=False)
    encoder.embedded = 0
    return tmp_path / "i", paths, encoder


def test_adapting_maps_the_stored_vectors_and_keeps_the_others_beside_them(
    built: tuple[Path, list[Path], ToyEncoder],
) -> None:
    index, paths, encoder = built
    before = ReferenceIndex.load(index).vectors
    adapter = drawn_adapter(encoder.spec)
    for path in paths:
        path.unlink()
    adapt_index(adapter, index=index)
    loaded = ReferenceIndex.load(index, verify=True)
    np.testing.assert_allclose(loaded.vectors, by_hand(adapter, before), atol=1e-5)
    np.testing.assert_array_equal(loaded.unadapted_vectors, before)
    assert loaded.spec == adapter.adapted_spec
    assert str(loaded.spec) == f"toy@00000000+adapter@{loaded.spec.weights_sha256[:8]}"
    assert encoder.embedded == 0


def test_undoing_leaves_the_index_as_it_was_to_the_bit(built: tuple[Path, list[Path], ToyEncoder]) -> None:
    index, _, encoder = built
    digest, names = ReferenceIndex.load(index).digest, {path.name for path in index.iterdir()}
    adapt_index(drawn_adapter(encoder.spec), index=index)
    assert ReferenceIndex.load(index).digest != digest
    adapt_index(None, index=index)
    assert ReferenceIndex.load(index).digest == digest
    assert {path.name for path in index.iterdir()} == names
    with pytest.raises(ReferenceIndexError, match="is not adapted, so there is nothing to undo"):
        adapt_index(None, index=index)


def test_a_second_adapter_takes_the_place_of_the_first(built: tuple[Path, list[Path], ToyEncoder]) -> None:
    index, _, encoder = built
    before = ReferenceIndex.load(index).vectors
    adapt_index(drawn_adapter(encoder.spec, seed=1), index=index)
    second = drawn_adapter(encoder.spec, seed=2)
    adapt_index(second, index=index)
    np.testing.assert_allclose(ReferenceIndex.load(index).vectors, by_hand(second, before), atol=1e-5)


def test_what_is_added_to_an_adapted_index_is_adapted_and_embedded_once(
    tmp_path: Path, built: tuple[Path, list[Path], ToyEncoder]
) -> None:
    index, paths, encoder = built
    adapter = drawn_adapter(encoder.spec)
    adapt_index(adapter, index=index)
    more = save_pictures(tmp_path / "more", 3, seed=1)
    again = [*references(paths[:2]), *references(more, first=12)]  # two known pictures, three new ones
    summary = add_references(again, index=index, encoder=encoder, features=False)
    assert (summary.embedded, summary.reused, encoder.embedded) == (3, 2, 3)
    loaded = ReferenceIndex.load(index)
    np.testing.assert_allclose(loaded.vectors, by_hand(adapter, loaded.unadapted_vectors), atol=1e-5)
    remove_references(index=index, references=["r0", "r13"])
    adapt_index(None, index=index)
    fresh = tmp_path / "fresh"
    kept = {each.id: each for each in (*references(paths), *references(more, first=12))}
    order = [each.id for each in ReferenceIndex.load(index).references]
    build_index([kept[name] for name in order], index=fresh, encoder=encoder, features=False)
    np.testing.assert_array_equal(ReferenceIndex.load(index).vectors, ReferenceIndex.load(fresh).vectors)
    assert sorted(order) == sorted(set(kept) - {"r0", "r13"})


def test_search_finds_the_same_as_in_an_index_of_vectors_that_the_adapted_encoder_made(
    built: tuple[Path, list[Path], ToyEncoder],
) -> None:
    index, paths, encoder = built
    adapter = drawn_adapter(encoder.spec)
    adapt_index(adapter, index=index)
    adapted = ReferenceIndex.load(index)
    lookup = Lookup(AdaptedEncoder(encoder, adapter), adapted, PhotoReader())
    found = [[(m.reference.id, round(m.similarity, 4)) for m in photo.matches] for photo in lookup.look_up(paths)]
    vectors = by_hand(adapter, encoder.encode([_opened(path) for path in paths]))
    similarity = vectors[:, :28] @ vectors[:, :28].T
    for at, matches in enumerate(found):
        named = dict(matches)
        assert named[f"r{at}"] == 1
        for name, value in matches:
            assert value == pytest.approx(similarity[at, int(name[1:])], abs=2e-4)


def _opened(path: Path) -> Image.Image:
    return Image.open(path).convert("RGB")


def test_the_cache_keeps_vectors_before_they_are_adapted(
    tmp_path: Path, built: tuple[Path, list[Path], ToyEncoder]
) -> None:
    index, paths, encoder = built
    adapter = drawn_adapter(encoder.spec)
    plain = Lookup(encoder, ReferenceIndex.load(index), PhotoReader())
    cache = tmp_path / "c.sqlite"
    listings = [Listing(path.name, (path,)) for path in paths]
    with VectorCache(cache, encoder.spec) as vectors:
        before = [each.embedded[0].vector for each in plain.see(listings, cache=vectors)]
    count = encoder.embedded
    adapt_index(adapter, index=index)
    lookup = Lookup(AdaptedEncoder(encoder, adapter), ReferenceIndex.load(index), PhotoReader())
    with VectorCache(cache, lookup.encoder.spec) as vectors:
        after = [each.embedded[0].vector for each in lookup.see(listings, cache=vectors)]
    assert encoder.embedded == count > 0
    np.testing.assert_allclose(np.stack(after), by_hand(adapter, np.stack(before)), atol=1e-5)  # type: ignore[arg-type]


def test_harmless_photos_are_adapted_with_their_index(
    tmp_path: Path, built: tuple[Path, list[Path], ToyEncoder]
) -> None:
    index, _, encoder = built
    adapter = drawn_adapter(encoder.spec)
    adapt_index(adapter, index=index)
    photos = references(save_pictures(tmp_path / "harmless", 2, seed=7))
    add_harmless(photos, index=index, encoder=AdaptedEncoder(encoder, adapter))
    stored, used = load_harmless(index), load_harmless(index, adapter=adapter)
    assert stored is not None
    assert used is not None
    np.testing.assert_allclose(used.vectors, by_hand(adapter, stored.vectors), atol=1e-5)
    assert used.digest == stored.digest
    assert len(Lookup(AdaptedEncoder(encoder, adapter), ReferenceIndex.load(index), PhotoReader(), harmless=used).index)


def test_refuses_an_adapter_of_another_encoder_and_an_encoder_without_the_adapter(
    built: tuple[Path, list[Path], ToyEncoder],
) -> None:
    index, _, encoder = built
    other = drawn_adapter(ToyEncoder("1" * 64, look=True).spec)
    with pytest.raises(EncoderMismatchError, match="the adapter is for toy@11111111 but the index was built with"):
        adapt_index(other, index=index)
    adapt_index(drawn_adapter(encoder.spec), index=index)
    with pytest.raises(EncoderMismatchError, match=r"built with toy@00000000\+adapter@"):
        Lookup(encoder, ReferenceIndex.load(index), PhotoReader())
    with pytest.raises(EncoderMismatchError, match="the adapter is for toy@11111111"):
        AdaptedEncoder(encoder, other)
    with pytest.raises(EncoderMismatchError):
        add_references([], index=index, encoder=ToyEncoder("1" * 64, look=True))


def test_building_again_makes_an_index_without_adapter_of_known_vectors(
    built: tuple[Path, list[Path], ToyEncoder],
) -> None:
    index, paths, encoder = built
    digest = ReferenceIndex.load(index).digest
    adapt_index(drawn_adapter(encoder.spec), index=index)
    summary = build_index(references(paths), index=index, encoder=encoder, features=False)
    assert (summary.embedded, summary.reused) == (0, 12)
    assert ReferenceIndex.load(index).digest == digest


@pytest.mark.parametrize("change", ["adapter", "unadapted"])
def test_a_damaged_file_of_an_adapted_index_is_noticed(built: tuple[Path, list[Path], ToyEncoder], change: str) -> None:
    index, _, encoder = built
    adapt_index(drawn_adapter(encoder.spec), index=index)
    manifest, _ = store.read_manifest(index)
    holder = manifest["adapter"] if change == "adapter" else manifest
    path = index / holder["files"][change]["name"]
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(IndexDamagedError):
        ReferenceIndex.load(index)


def large(count: int, *, look: bool) -> tuple[EncoderSpec, NDArray[np.float32], list[Reference]]:
    spec = EncoderSpec("toy", "toy", "0" * 64, 32, Preprocessing((3, 3), (0.0,) * 3, (1.0,) * 3, "box", "squash"),
                       look_dim=32 if look else 0)  # fmt: skip
    vectors = np.hstack([clustered(count, seed=seed) for seed in range(2 if look else 1)])
    return spec, vectors, [Reference(f"r{at}", f"p{at // 3}", "Brand", f"{at}.jpg") for at in range(count)]


def test_a_partitioned_index_is_partitioned_again_and_decides_as_an_exact_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference_index, "_MOST_SEGMENTS", 2)  # so that what is added later is joined
    spec, vectors, rows = large(600, look=True)
    index = ReferenceIndex(spec, exact_up_to=280)
    index.add(rows[:560], vectors[:560], hashes=[row.id for row in rows[:560]])
    index.save(tmp_path / "i")
    adapter = drawn_adapter(spec)
    adapt_index(adapter, index=tmp_path / "i")
    loaded = ReferenceIndex.load(tmp_path / "i", verify=True)
    assert loaded.agreement is not None
    partitions = ReferenceIndex.load(tmp_path / "i")._state.whole.partitions  # type: ignore[union-attr]
    assert [partition.agreement.least for partition in partitions] == [0.25, 0.5]  # the look is not adapted
    assert "thresholds of 0.25 and more" in str(partitions[0].agreement)
    loaded.add(rows[560:590], vectors[560:590], hashes=[row.id for row in rows[560:590]])
    loaded.remove(references=["r5"])
    loaded.save(tmp_path / "i")
    for row in (590, 595):
        loaded = ReferenceIndex.load(tmp_path / "i")
        loaded.add(rows[row : row + 5], vectors[row : row + 5], hashes=[each.id for each in rows[row : row + 5]])
        loaded.save(tmp_path / "i")
    again = ReferenceIndex.load(tmp_path / "i", verify=True)
    kept = [row for row in range(600) if row != 5]
    truth = by_hand(adapter, vectors[kept])
    np.testing.assert_allclose(again.vectors, truth, atol=1e-5)
    queries = near(again.vectors[:, :32], 200)
    asked = np.hstack([queries, queries])
    best = (queries @ truth[:, :32].T).max(axis=1)
    found = np.array([matches[0].similarity for matches in again.search(asked, top=1)])
    decided = best >= 0.25
    assert np.mean(np.abs(found - best)[decided] < 1e-4) > 0.98
    adapt_index(None, index=tmp_path / "i")
    undone = ReferenceIndex.load(tmp_path / "i", verify=True)
    np.testing.assert_array_equal(undone.vectors, vectors[kept])
    assert undone.agreement is not None
    assert undone.agreement.least == 0.5
    assert undone.spec == spec


WORK = """
import sys
sys.path.insert(0, sys.argv[1])
from test_adapted import drawn_adapter
from pathlib import Path
from lookalike.index.build import adapt_index
from lookalike.index.reference_index import ReferenceIndex
index, seed = Path(sys.argv[2]), 0
spec = ReferenceIndex.load(index).spec.unadapted
print("ready", flush=True)
while True:
    seed += 1
    adapt_index(drawn_adapter(spec, seed=1 + seed % 2) if seed % 3 else None, index=index)
"""


def test_a_kill_leaves_the_index_as_before_or_as_after(tmp_path: Path) -> None:
    spec, vectors, rows = large(600, look=False)
    index = ReferenceIndex(spec)
    index.add(rows, vectors, hashes=[row.id for row in rows])
    index.save(tmp_path / "i")
    states = [vectors, *(drawn_adapter(spec, seed=seed).map(vectors) for seed in (1, 2))]
    rng = np.random.default_rng(0)
    for _ in range(4):
        if ReferenceIndex.load(tmp_path / "i").adapter is None:
            adapt_index(drawn_adapter(spec, seed=1), index=tmp_path / "i")  # so that there is something to undo
        work = subprocess.Popen(
            [sys.executable, "-c", WORK, str(Path(__file__).parent), str(tmp_path / "i")],
            stdout=subprocess.PIPE, env=_environment(),
        )  # fmt: skip
        assert work.stdout is not None
        work.stdout.readline()
        time.sleep(rng.uniform(0.01, 0.15))
        work.send_signal(signal.SIGKILL)
        work.wait()
        work.stdout.close()
        found = ReferenceIndex.load(tmp_path / "i", verify=True)
        np.testing.assert_array_equal(found.unadapted_vectors, vectors)
        assert any(np.array_equal(found.vectors, state) for state in states)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{Path(__file__).parent.parent}:{os.environ.get('PYTHONPATH', '')}"}


def test_a_second_writer_is_told_that_the_index_is_being_changed(built: tuple[Path, list[Path], ToyEncoder]) -> None:
    index, _, encoder = built
    with store.writing(index), pytest.raises(ReferenceIndexError, match="another process is changing the index"):
        adapt_index(drawn_adapter(encoder.spec), index=index)


def test_a_vector_at_the_offset_stays_as_it_is() -> None:
    spec = ToyEncoder().spec
    vectors = unit_vectors(3)
    adapter = Adapter(spec, np.eye(28, dtype=np.float32), vectors[1])
    np.testing.assert_array_equal(adapter.map(vectors)[1], vectors[1])
    assert spec.are_unit(adapter.map(vectors))
