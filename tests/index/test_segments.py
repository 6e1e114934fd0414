"""A partitioned index answers as one that compares everything, through changes, kills and hostile files."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from toy import ToyEncoder, clustered, near, unit_vectors

from lookalike.errors import IndexDamagedError, LookalikeError
from lookalike.index import data_files, store
from lookalike.index.build import compact_index
from lookalike.index.reference_index import ReferenceIndex
from lookalike.records import Match, Reference

SPEC = ToyEncoder().spec
COUNT = 900
VECTORS = clustered(COUNT + 200, SPEC.dim)


def references(rows: range) -> list[Reference]:
    return [Reference(f"r{i}", f"p{i // 3}", "ABC"[i % 3], f"/photos/{i}.jpg", {"row": str(i)}) for i in rows]


def add(index: ReferenceIndex, rows: range, *, features: bool = False) -> None:
    packed = [f"features of {row}".encode() for row in rows] if features else None
    index.add(references(rows), VECTORS[rows.start : rows.stop], hashes=[f"h{i}" for i in rows], features=packed)


def index_of(rows: range, *, exact_up_to: int = 300) -> ReferenceIndex:
    index = ReferenceIndex(SPEC, exact_up_to=exact_up_to)
    add(index, rows)
    return index


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A partitioned index of COUNT references."""
    folder = tmp_path_factory.mktemp("partitioned") / "index"
    index_of(range(COUNT)).save(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "index"))


QUERIES = near(VECTORS[:COUNT], 200)


def answers(found: list[tuple[Match, ...]], *, least: float = 0.5) -> list[list[tuple[str, float]]]:
    return [[(m.reference.id, round(m.similarity, 5)) for m in matches if m.similarity >= least] for matches in found]


def decided_alike(one: ReferenceIndex, other: ReferenceIndex) -> bool:
    """Whether both name the same reference, as alike, for all but 1 % of the queries: few vectors are hard to cut."""
    pairs = list(zip(answers(one.search(QUERIES, top=1)), answers(other.search(QUERIES, top=1)), strict=True))
    return sum(a != b for a, b in pairs) <= 0.01 * len(pairs)


def test_decides_as_exact_search_and_says_how_surely(folder: Path) -> None:
    exact, loaded = index_of(range(COUNT)), ReferenceIndex.load(folder)
    assert exact.agreement is None and loaded.agreement is not None
    assert loaded.agreement.share >= 0.999 and loaded.agreement.vectors == COUNT
    assert decided_alike(loaded, exact)
    assert list(loaded.references) == references(range(COUNT))
    np.testing.assert_array_equal(loaded.vectors, VECTORS[:COUNT])
    np.testing.assert_array_equal(loaded.vectors_at([5, 3, 800]), VECTORS[[5, 3, 800]])


def test_similarities_are_those_of_the_vectors_themselves(folder: Path) -> None:
    for query, matches in zip(QUERIES, ReferenceIndex.load(folder).search(QUERIES, top=4), strict=True):
        expected = [float(query @ VECTORS[int(match.reference.more["row"])]) for match in matches]
        np.testing.assert_allclose([match.similarity for match in matches], expected, atol=1e-6)
        assert expected == sorted(expected, reverse=True)


def test_a_restricted_search_and_one_for_all_products_are_exact(folder: Path) -> None:
    exact, loaded = index_of(range(COUNT)), ReferenceIndex.load(folder)
    some: dict[str, Any] = {"brands": ["A", "C"], "products": [f"p{i}" for i in range(0, 300, 7)]}
    for query in QUERIES[:20]:
        one, other = (each.search(query[None], top=9, **some) for each in (exact, loaded))
        assert answers(one, least=-1) == answers(other, least=-1)
    few = loaded.search(QUERIES[:3], top=10_000)
    assert [len(matches) for matches in few] == [COUNT] * 3
    assert answers(few, least=-1) == answers(exact.search(QUERIES[:3], top=10_000), least=-1)


def test_one_query_is_answered_as_in_a_batch(folder: Path) -> None:
    loaded = ReferenceIndex.load(folder)
    batch = loaded.search(QUERIES, top=3)
    assert [loaded.search(query[None], top=3)[0] for query in QUERIES] == batch


def test_widens_past_a_product_with_hundreds_of_references(tmp_path: Path) -> None:
    index = index_of(range(600))
    crowd = [Reference(f"c{i}", "crowd", "A", "", {"row": "-1"}) for i in range(400)]
    index.add(crowd, np.repeat(VECTORS[:1], 400, axis=0), hashes=["h"] * 400)
    index.save(tmp_path)
    loaded = ReferenceIndex.load(tmp_path)
    assert loaded.agreement is not None
    found = loaded.search(VECTORS[:1], top=5)[0]
    assert len({match.reference.product for match in found}) >= 4


def test_a_change_writes_what_is_new_and_ends_as_a_fresh_build(folder: Path) -> None:
    first = {path.name: path.stat().st_ino for path in folder.iterdir() if path.name.startswith("vectors")}
    index = ReferenceIndex.load(folder)
    add(index, range(COUNT, COUNT + 100))
    changed = Reference("r7", "moved", "B", "/photos/new.jpg", {"row": "1050"})
    index.add([changed], VECTORS[1050:1051], hashes=["new"])
    third = [f"r{i}" for i in range(0, 300, 3)]
    assert index.remove(references=third, products=["p310"], brands=["A", "B", "C"]) == 103
    index.save(folder)
    loaded = ReferenceIndex.load(folder)
    kept = {path.name: path.stat().st_ino for path in folder.iterdir() if path.name.startswith("vectors")}
    assert kept.items() > first.items(), "the vectors that were there are not written again"
    assert sum((folder / name).stat().st_size for name in kept.keys() - first.keys()) < 104 * 4 * SPEC.dim

    gone = {f"r{i}" for i in range(0, 300, 3)} | {"r930", "r931", "r932", "r7"}
    rows = [i for i in range(COUNT + 100) if f"r{i}" not in gone]
    every = [*(references(range(i, i + 1))[0] for i in rows), changed]
    fresh = ReferenceIndex(SPEC, exact_up_to=300)
    fresh.add(every, VECTORS[[*rows, 1050]], hashes=[*(f"h{i}" for i in rows), "new"])
    exact_catalogue = fresh.catalogue
    fresh.save(folder.parent / "fresh")
    assert fresh.agreement is not None
    for state in (index, loaded):
        assert state.catalogue.equals(exact_catalogue)
        np.testing.assert_array_equal(state.vectors, VECTORS[[*rows, 1050]])
        assert decided_alike(state, fresh)
        found = {match.reference.id for matches in state.search(QUERIES, top=5) for match in matches}
        assert not found & (gone - {"r7"}) and found & {reference.id for reference in every[-100:]}
    compact_index(index=folder)
    assert len(list(folder.glob("vectors-*"))) == 1 and not list(folder.glob("removed-*"))
    assert names(folder) == names(folder.parent / "fresh"), "compacted to the same bits as a fresh build"
    assert decided_alike(ReferenceIndex.load(folder), fresh)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name not in ("manifest.json", ".lock")}


def test_the_same_build_gives_the_same_files(saved: Path, tmp_path: Path) -> None:
    index_of(range(COUNT)).save(tmp_path)
    assert names(tmp_path) == names(saved)


def test_many_small_changes_stay_few_pieces(folder: Path) -> None:
    exact = index_of(range(COUNT), exact_up_to=10_000)
    for start in range(COUNT, COUNT + 40, 2):
        index = ReferenceIndex.load(folder)
        for each in (index, exact):
            add(each, range(start, start + 2))
            each.remove(references=[f"r{start - COUNT}", f"r{start}"])
        index.save(folder)
    loaded = ReferenceIndex.load(folder)
    assert len(list(folder.glob("vectors-*"))) <= 17
    assert loaded.catalogue.equals(exact.catalogue)
    np.testing.assert_array_equal(loaded.vectors, exact.vectors)
    assert decided_alike(loaded, exact)


def test_measures_again_once_a_quarter_was_added_and_is_exact_when_little_is_left(folder: Path) -> None:
    index = ReferenceIndex.load(folder)
    add(index, range(COUNT, COUNT + 100))
    index.save(folder)
    assert index.agreement is not None and index.agreement.vectors == COUNT
    more = unit_vectors(200, SPEC.dim, seed=4)
    index.add([Reference(f"x{i}", "x", "A", "") for i in range(200)], more, hashes=["x"] * 200)
    index.save(folder)
    assert index.agreement is not None and index.agreement.vectors == COUNT + 300
    index.remove(brands=["A", "B"])
    index.save(folder)
    assert index.agreement is not None and index.agreement.vectors == len(index)
    index.remove(references=[f"r{i}" for i in range(800)])
    index.save(folder)
    loaded = ReferenceIndex.load(folder)
    assert loaded.agreement is None and not list(folder.glob("codes-*"))
    assert loaded.exact_up_to == 300, "what an index was asked to be it stays"


def test_removing_everything_leaves_an_index_that_finds_nothing(folder: Path) -> None:
    index = ReferenceIndex.load(folder)
    assert index.remove(brands=["A", "B", "C"]) == COUNT
    assert index.search(QUERIES[:2]) == [(), ()] and len(index.vectors) == 0
    index.save(folder)
    assert len(ReferenceIndex.load(folder)) == 0


def test_features_go_with_their_reference_through_every_change(tmp_path: Path) -> None:
    index = ReferenceIndex(SPEC, exact_up_to=300)
    add(index, range(400), features=True)
    index.save(tmp_path)
    index = ReferenceIndex.load(tmp_path)
    add(index, range(400, 420), features=True)
    add(index, range(420, 430))
    index.remove(references=[f"r{i}" for i in range(0, 410, 5)])
    index.save(tmp_path)

    def right(state: ReferenceIndex) -> bool:
        rows = list(map(int, state.catalogue["row"].to_pylist()))
        expected = [f"features of {row}".encode() if row < 420 else b"" for row in rows]
        return [bytes(packed) for packed in state.packed_features] == expected

    assert right(index) and right(ReferenceIndex.load(tmp_path)) and ReferenceIndex.load(tmp_path).has_features
    assert right(compact_index(index=tmp_path)) and right(ReferenceIndex.load(tmp_path))


def test_an_exact_index_of_version_1_grows_into_a_partitioned_one(tmp_path: Path) -> None:
    index_of(range(290)).save(tmp_path)
    assert store.read_manifest(tmp_path)[0]["version"] == 1
    index = ReferenceIndex.load(tmp_path)
    add(index, range(290, 400))
    index.save(tmp_path)
    assert store.read_manifest(tmp_path)[0]["version"] == 2
    assert {path.name.split("-")[0] for path in tmp_path.glob("*-*")} == {
        "catalogue", "vectors", "lists", "codes", "centroids", "codebook",
    }  # fmt: skip
    np.testing.assert_array_equal(ReferenceIndex.load(tmp_path).vectors, VECTORS[:400])


def test_notices_a_changed_byte_in_any_file(folder: Path) -> None:
    index = ReferenceIndex.load(folder)
    add(index, range(COUNT, COUNT + 9), features=True)
    index.remove(references=["r1", "r4"])
    index.save(folder)
    files = [path for path in folder.iterdir() if path.suffix in (".json", ".parquet", ".npy", ".bin")]
    assert len(files) == 13
    rng = np.random.default_rng(0)
    for path in files:
        whole = path.read_bytes()
        for place in rng.integers(0, len(whole), 5).tolist():
            damaged = bytearray(whole)
            damaged[place] ^= int(rng.integers(1, 256))
            path.write_bytes(damaged)
            with pytest.raises(IndexDamagedError):
                ReferenceIndex.load(folder)
        path.write_bytes(whole[:-1])
        with pytest.raises(IndexDamagedError):
            ReferenceIndex.load(folder)
        path.unlink()
        with pytest.raises(LookalikeError):
            ReferenceIndex.load(folder)
        path.write_bytes(whole)
    assert len(ReferenceIndex.load(folder)) == COUNT + 7


Change = Callable[[dict[str, Any]], object]

HOSTILE_NUMBERS: dict[str, Change] = {
    "nprobe 0": lambda m: m["partition"].update(nprobe=0),
    "nprobe of more lists than there are": lambda m: m["partition"].update(nprobe=10**6),
    "nprobe that is no number": lambda m: m["partition"].update(nprobe="all"),
    "candidates without end": lambda m: m["partition"].update(candidates=10**12),
    "more lists than the file": lambda m: m["partition"].update(lists=10**7),
    "parts that divide nothing": lambda m: m["partition"].update(parts=5),
    "no partition": lambda m: m.update(partition=None),
    "no segments": lambda m: m.update(segments=[]),
    "segments as a mapping": lambda m: m.update(segments={"count": 1}),
    "a million segments": lambda m: m.update(segments=m["segments"] * 10**4),
    "a count beyond the file": lambda m: m["segments"][0].update(count=10**11),
    "a count below nothing": lambda m: m["segments"][0].update(count=-1),
    "another count": lambda m: m.update(count=COUNT + 1),
    "a width beyond all measure": lambda m: m.update(dim=10**9),
    "agreement of more probes than there were": lambda m: m["partition"]["agreement"].update(agreeing=10**6),
    "no probes": lambda m: m["partition"]["agreement"].update(agreeing=0, probes=0),
    "agreement that is infinite": lambda m: m["partition"]["agreement"].update(nearest_five="x"),
    "removed rows without a file": lambda m: m["removed"].update(count=3),
    "a file elsewhere": lambda m: m["segments"][0]["files"]["codes"].update(name="../../etc/passwd"),
    "a file of another kind": lambda m: m["segments"][0]["files"].update(codes=m["segments"][0]["files"]["vectors"]),
    "no codes": lambda m: m["segments"][0]["files"].pop("codes"),
    "files as a list": lambda m: m["segments"][0].update(files=[]),
    "exact_up_to that is no number": lambda m: m.update(exact_up_to="x"),
}


@pytest.mark.parametrize("change", HOSTILE_NUMBERS.values(), ids=HOSTILE_NUMBERS.keys())
def test_refuses_a_manifest_that_can_not_be_right(folder: Path, change: Change) -> None:
    rewrite(folder, change)
    with pytest.raises(IndexDamagedError):
        ReferenceIndex.load(folder)


def rewrite(folder: Path, change: Change) -> None:
    """Change a manifest and give it the checksum of what it is now, as somebody with bad intentions would."""
    manifest, _ = store.read_manifest(folder)
    change(manifest)
    manifest = json.loads(json.dumps(manifest))
    (folder / store.MANIFEST).write_text(store._manifest_text(manifest))


def swap(folder: Path, kind: str, array: NDArray[Any]) -> None:
    """Put another array in the place of a file, named and checksummed as it should be."""
    swap_entry(folder, kind, data_files.write_array(folder, kind, array))


def swap_entry(folder: Path, kind: str, entry: dict[str, Any]) -> None:
    def change(manifest: dict[str, Any]) -> None:
        holders = [manifest["partition"], manifest["removed"], *manifest["segments"]]
        next(holder for holder in holders if kind in holder["files"])["files"][kind] = entry

    rewrite(folder, change)


def test_refuses_arrays_that_can_not_be_right(folder: Path) -> None:
    index = ReferenceIndex.load(folder)
    index.remove(references=["r1", "r4"])
    index.save(folder)
    manifest, _ = store.read_manifest(folder)
    lists = len(np.load(folder / manifest["partition"]["files"]["centroids"]["name"]))
    right = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    wrong: list[tuple[str, NDArray[Any]]] = [
        ("lists", np.full(COUNT, lists, np.int32)),
        ("lists", np.full(COUNT, -1, np.int32)),
        ("lists", np.zeros(COUNT, np.int64)),
        ("lists", np.zeros(COUNT - 1, np.int32)),
        ("codes", np.zeros((COUNT, 3), np.uint8)),
        ("codes", np.asfortranarray(np.zeros((COUNT, 4), np.uint8))),
        ("codes", np.array([b"x"] * COUNT, object)),
        ("vectors", np.zeros((COUNT, SPEC.dim), np.float32)),
        ("vectors", VECTORS[:COUNT].astype(np.float64)),
        ("centroids", np.full((lists, SPEC.dim), np.nan, np.float32)),
        ("codebook", np.full((7, 16, 4), np.inf, np.float32)),
        ("removed", np.array([4, 1])),
        ("removed", np.array([1, 1])),
        ("removed", np.array([1, COUNT])),
        ("removed", np.array([-1, 1])),
    ]
    for kind, array in wrong:
        if array.dtype == object:
            with pytest.raises(ValueError, match="[Oo]bject"):  # numpy won't write one without pickling it either
                swap(folder, kind, array)
        else:
            if np.isfortran(array):
                path = folder / "codes.tmp"
                np.save(path.with_suffix(".npy"), array)
                entry = data_files.write_data(folder, kind, ".npy", path.with_suffix(".npy").replace)
                swap_entry(folder, kind, entry)
            else:
                swap(folder, kind, array)
            with pytest.raises(IndexDamagedError):
                ReferenceIndex.load(folder)
        for name, content in right.items():
            (folder / name).write_bytes(content)
    assert len(ReferenceIndex.load(folder)) == COUNT - 2


def test_never_unpickles(folder: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return Path.touch, (tmp_path / "exploded",)

    def save(path: Path) -> None:
        with open(path, "wb") as file:
            np.save(file, np.array([Bomb()] * COUNT, object), allow_pickle=True)

    for kind in ("vectors", "lists", "codes"):
        swap_entry(folder, kind, data_files.write_data(folder, kind, ".npy", save))
        with pytest.raises(IndexDamagedError):
            ReferenceIndex.load(folder)
    assert not (tmp_path / "exploded").exists()


def test_a_big_file_of_vectors_is_mapped_and_verified_when_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_files, "BIG", 1000)
    path = next(folder.glob("vectors-*"))
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[-40:] = np.full(10, np.nan, "<f4").tobytes()
    path.write_bytes(damaged[:-4])
    with pytest.raises(IndexDamagedError, match="checksum"):
        ReferenceIndex.load(folder)
    path.write_bytes(whole[:-4000] + np.full(1000, 7, "<f4").tobytes())
    with pytest.raises(IndexDamagedError, match="length 1"):
        ReferenceIndex.load(folder)
    some = np.frombuffer(whole[128:], "<f4").reshape(COUNT, SPEC.dim).copy()
    some[7] *= 1.0005  # still of length 1, nearly, so that only the checksum tells
    path.write_bytes(whole[:128] + some.tobytes())
    assert len(ReferenceIndex.load(folder)) == COUNT
    with pytest.raises(IndexDamagedError, match="checksum"):
        ReferenceIndex.load(folder, verify=True)


def test_a_search_that_meets_damaged_vectors_says_so(folder: Path) -> None:
    loaded = ReferenceIndex.load(folder)
    path = next(folder.glob("vectors-*"))
    with open(path, "r+b") as file:
        file.seek(128)
        file.write(np.full(COUNT * SPEC.dim, np.nan, "<f4").tobytes())
    with pytest.raises(IndexDamagedError, match="don't have length 1"):
        loaded.search(QUERIES)


def test_readers_see_one_state_or_the_other_while_it_changes_on_disk(folder: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            index = ReferenceIndex.load(folder)
            add(index, range(COUNT, COUNT + 50))
            index.save(folder)
            index.remove(references=[f"r{i}" for i in range(COUNT, COUNT + 50)])
            index.save(folder)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(15):
            loaded = ReferenceIndex.load(folder)
            assert len(loaded) in (COUNT, COUNT + 50)
            assert len(loaded.search(QUERIES[:5], top=1)) == 5
    finally:
        stop.set()
        writer.join()


def test_searches_go_on_while_another_thread_changes_the_index(folder: Path) -> None:
    index = ReferenceIndex.load(folder)
    expected = answers(index.search(QUERIES, top=1), least=0.8)
    failures: list[object] = []

    def look() -> None:
        for _ in range(10):
            if answers(index.search(QUERIES, top=1), least=0.8) != expected:
                failures.append("another answer")

    readers = [threading.Thread(target=look) for _ in range(3)]
    for reader in readers:
        reader.start()
    far = -VECTORS[:30]
    for _ in range(5):
        index.add([Reference(f"x{i}", "x", "A", "") for i in range(30)], far, hashes=["x"] * 30)
        index.remove(products=["x"])
    for reader in readers:
        reader.join()
    assert not failures


CHANGE_WITHOUT_END = """
import sys
sys.path[:0] = sys.argv[1:3]
from test_segments import add, COUNT
from lookalike.index.reference_index import ReferenceIndex
index = ReferenceIndex.load(sys.argv[3])
print("ready", flush=True)
while True:
    add(index, range(COUNT, COUNT + 50))
    index.save(sys.argv[3])
    index.remove(references=[f"r{i}" for i in range(COUNT, COUNT + 50)])
    index.save(sys.argv[3])
"""


def test_a_kill_at_any_moment_leaves_the_index_as_before_or_as_after(folder: Path) -> None:
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    rng = random.Random(0)
    for _ in range(3):
        command = [sys.executable, "-c", CHANGE_WITHOUT_END, *folders, str(folder)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.02, 0.3))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        loaded = ReferenceIndex.load(folder, verify=True)
        assert len(loaded) in (COUNT, COUNT + 50)
        np.testing.assert_array_equal(loaded.vectors, VECTORS[: len(loaded)])
    loaded.remove(references=["r3"])
    loaded.save(folder)
    named = store.data_names(store.read_manifest(folder)[0])
    assert names(folder) == named, "what the killed processes left half written is gone, too"
