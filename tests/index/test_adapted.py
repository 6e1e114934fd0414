"""An adapted index: its vectors are mapped, those before stay, and what was done is undone in one step."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from toy import ToyEncoder, clustered, drawn_adapter, near, save_pictures, unit_vectors

from lookalike.detection.lookup import Lookup
from lookalike.errors import EncoderMismatchError, IndexDamagedError, ReferenceIndexError
from lookalike.index import learning, reference_index, store
from lookalike.index.build import (
    adapt_index,
    add_harmless,
    add_references,
    build_index,
    compact_index,
    load_harmless,
    remove_references,
)
from lookalike.index.embedding import PhotoReader
from lookalike.index.learning import learn_partition
from lookalike.index.reference_index import ReferenceIndex
from lookalike.index.vector_cache import VectorCache
from lookalike.model.adapter import AdaptedEncoder, Adapter
from lookalike.model.encoder import EncoderSpec, Preprocessing
from lookalike.records import Listing, Reference


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


@pytest.fixture
def grown(tmp_path: Path) -> Path:
    """A partitioned index of 600 photos, to which 30 were added and of which 20 are gone, in two segments."""
    spec, vectors, rows = large(630, look=True)
    index = ReferenceIndex(spec, exact_up_to=280)
    for part in (slice(0, 600), slice(600, 630)):
        index.add(rows[part], vectors[part], hashes=[row.id for row in rows[part]])
        index.save(tmp_path / "i")
    index.remove(references=[*(f"r{row}" for row in range(0, 54, 3)), "r600", "r629"])
    index.save(tmp_path / "i")
    return tmp_path / "i"


def files_of(index: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in index.iterdir()
        if path.is_file() and path.name not in (store.MANIFEST, ".lock")
    }


def test_a_large_index_keeps_its_pieces_and_what_stands_for_look(grown: Path) -> None:
    before, manifest, files = ReferenceIndex.load(grown)._state, store.read_manifest(grown)[0], files_of(grown)
    returned = adapt_index(drawn_adapter(before.spec), index=grown)._state.whole
    after = ReferenceIndex.load(grown, verify=True)._state
    assert returned is not None
    assert before.whole is not None and after.whole is not None
    assert len(after.whole.segments) == 2 and len(after.whole.removed) == 20
    assert store.read_manifest(grown)[0]["look_partition"] == manifest["look_partition"]
    for whole in (returned, after.whole):
        for was, now in zip(before.whole.segments, whole.segments, strict=True):
            assert [array.tobytes() for array in now.coded[1]] == [array.tobytes() for array in was.coded[1]]
            np.testing.assert_array_equal(now.vectors[:, 32:], was.vectors[:, 32:])
    np.testing.assert_array_equal(after.unadapted, before.vectors)
    assert after.catalogue.equals(before.catalogue)
    new = {name.split("-")[0] for name in files_of(grown).keys() - files.keys()}
    assert new <= {"adapter", "vectors", "lists", "codes", "centroids", "codebook"}
    assert files.items() <= files_of(grown).items(), "what was before is still there"


def test_undoing_leaves_a_large_index_as_it_was_to_the_bit_and_learns_nothing(
    grown: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest, files = ReferenceIndex.load(grown).digest, files_of(grown)
    for seed in (1, 2):  # a second adapter takes the place of the first
        adapt_index(drawn_adapter(ReferenceIndex.load(grown).spec.unadapted, seed=seed), index=grown)
    monkeypatch.setattr(learning, "_Learning", None)
    adapt_index(None, index=grown)
    assert ReferenceIndex.load(grown, verify=True).digest == digest
    assert files_of(grown) == files


def test_undoing_keeps_what_was_added_to_a_large_adapted_index(grown: Path, tmp_path: Path) -> None:
    spec, vectors, rows = large(640, look=True)

    def grow() -> None:
        index = ReferenceIndex.load(grown)
        index.add(rows[630:], vectors[630:], hashes=[row.id for row in rows[630:]])
        index.remove(references=["r7", "r631"])
        index.save(grown)

    shutil.copytree(grown, tmp_path / "kept")
    grow()
    wanted = ReferenceIndex.load(grown).digest
    shutil.rmtree(grown)
    (tmp_path / "kept").rename(grown)
    adapt_index(drawn_adapter(spec), index=grown)
    grow()
    adapt_index(None, index=grown)
    assert ReferenceIndex.load(grown, verify=True).digest == wanted


def test_a_large_adapted_index_finds_what_exact_search_finds_in_one_made_with_the_adapter(grown: Path) -> None:
    spec, vectors, rows = large(630, look=True)
    adapter = drawn_adapter(spec)
    loaded = adapt_index(adapter, index=grown)
    assert loaded.agreement is not None
    alive = {reference.id for reference in loaded.references}
    kept = [at for at, row in enumerate(rows) if row.id in alive]
    beside = ReferenceIndex(adapter.adapted_spec, adapter=adapter)
    beside.add([rows[at] for at in kept], vectors[kept], hashes=[rows[at].id for at in kept])
    assert beside.agreement is None
    queries = np.hstack([near(beside.vectors[:, :32], 500), near(beside.vectors[:, 32:], 500)])
    found, wanted = ([each[0] for each in index.search(queries, top=1)] for index in (loaded, beside))
    same = [one.reference.id == other.reference.id for one, other in zip(found, wanted, strict=True)]
    assert np.mean(same) >= 0.998
    assert [match.similarity for match in found] == pytest.approx([match.similarity for match in wanted], abs=0.05)


def test_the_same_adapter_gives_the_same_bits(grown: Path, tmp_path: Path) -> None:
    shutil.copytree(grown, tmp_path / "other")
    adapter = drawn_adapter(ReferenceIndex.load(grown).spec)
    adapt_index(drawn_adapter(adapter.spec, seed=1), index=grown)  # what it was adapted with in between plays no part
    digests = {adapt_index(adapter, index=index).digest for index in (grown, tmp_path / "other")}
    assert len(digests) == 1


def test_a_moved_partition_that_is_not_good_enough_is_learnt_again(
    grown: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = drawn_adapter(ReferenceIndex.load(grown).spec)
    monkeypatch.setattr(learning._Learning, "moved", lambda *_: None)
    loaded = adapt_index(adapter, index=grown)
    assert loaded._state.whole is not None
    partition = loaded._state.whole.partitions[0]
    learnt = learn_partition(loaded.vectors, columns=slice(0, 32), leasts=(0.25,))
    assert learnt is not None
    np.testing.assert_array_equal(partition.centroids, learnt[0].centroids)
    assert partition.agreement == learnt[0].agreement
    assert len(ReferenceIndex.load(grown, verify=True)) == 610


def test_an_index_without_a_good_enough_partition_is_searched_exactly_and_tried_once(
    grown: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ReferenceIndex.load(grown)
    tried: list[str] = []
    for name in ("moved", "learnt"):
        monkeypatch.setattr(learning._Learning, name, lambda *_, name=name: tried.append(name))
    adapted = adapt_index(drawn_adapter(before.spec), index=grown)
    assert tried == ["moved", "learnt"]
    assert adapted.agreement is None and len(adapted) == 610
    np.testing.assert_array_equal(ReferenceIndex.load(grown).unadapted_vectors, before.vectors)


def test_compacting_an_adapted_index_is_adapting_a_compacted_one(grown: Path, tmp_path: Path) -> None:
    shutil.copytree(grown, tmp_path / "other")
    adapter = drawn_adapter(ReferenceIndex.load(grown).spec)
    adapt_index(adapter, index=grown)
    compact_index(index=grown)
    compact_index(index=tmp_path / "other")
    adapt_index(adapter, index=tmp_path / "other")
    assert ReferenceIndex.load(grown, verify=True).digest == ReferenceIndex.load(tmp_path / "other").digest
    assert ReferenceIndex.load(grown).digest != ""


@pytest.mark.parametrize("change", ["unadapted_lists", "unadapted_codes", "unadapted_partition"])
def test_an_adapted_index_without_what_was_before_is_noticed(grown: Path, change: str) -> None:
    adapt_index(drawn_adapter(ReferenceIndex.load(grown).spec), index=grown)
    manifest, _ = store.read_manifest(grown)
    if change == "unadapted_partition":
        del manifest[change]
    else:
        del manifest["segments"][1]["files"][change]
    store.replace_manifest(grown, manifest)
    with pytest.raises(IndexDamagedError, match=change):
        ReferenceIndex.load(grown)


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
