"""References' local features are kept with the index: once computed, aligned with the catalogue, and checked."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy import ToyEncoder, save_pictures, unit_vectors

import lookalike
from lookalike.errors import FeaturesError, IndexDamagedError
from lookalike.index import features as features_module
from lookalike.index import store
from lookalike.index.blobs import BlobCache
from lookalike.index.build import add_references, build_index, remove_references
from lookalike.index.features import Unpacked
from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.features import LocalFeatures, reference_features
from lookalike.model.images import read_image
from lookalike.records import Reference

SAMPLE = sorted((Path(lookalike.__file__).parent / "sample" / "images").glob("*-front.jpg"))[:4]


def references() -> list[Reference]:
    return [Reference(f"r{i}", f"p{i}", "Brand", path) for i, path in enumerate(SAMPLE)]


def packed(path: Path) -> bytes:
    return reference_features(read_image(path).image).to_bytes()


def test_a_build_keeps_the_features_of_each_reference(tmp_path: Path) -> None:
    build_index(references(), index=tmp_path / "index", encoder=ToyEncoder())
    loaded = ReferenceIndex.load(tmp_path / "index")
    assert loaded.has_features
    for reference, path in zip(loaded.references, SAMPLE, strict=True):
        kept = loaded.features(reference.id)
        assert kept is not None and kept.to_bytes() == packed(path)
    assert loaded.features("another") is None


def test_features_are_unpacked_once_as_long_as_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [packed(path) for path in SAMPLE[:3]]
    one = reference_features(read_image(SAMPLE[0]).image).nbytes
    unpacked, real = [], LocalFeatures.from_bytes
    monkeypatch.setattr(LocalFeatures, "from_bytes", lambda data: unpacked.append(data) or real(data))
    kept = Unpacked(most_bytes=5 * one // 2)
    found = [kept.of(rows[at]) for at in (0, 0, 1, 0, 2, 0, 1)]
    assert list(map(rows.index, unpacked)) == [0, 1, 2, 1], "of three, the one unused for longest makes room"
    assert found[1] is found[0] and [each.to_bytes() for each in found if each] == [
        rows[at] for at in (0, 0, 1, 0, 2, 0, 1)
    ]
    assert kept.of(b"") is None
    with pytest.raises(FeaturesError):
        kept.of(b"another")


def test_adding_and_removing_keep_them_aligned(tmp_path: Path) -> None:
    build_index(references()[:2], index=tmp_path / "index", encoder=ToyEncoder())
    replaced = Reference("r0", "p0", "Brand", SAMPLE[3])
    add_references([references()[2], replaced], index=tmp_path / "index", encoder=ToyEncoder())
    remove_references(index=tmp_path / "index", references=["r1"])
    loaded = ReferenceIndex.load(tmp_path / "index")
    shown = {"r2": SAMPLE[2], "r0": SAMPLE[3]}
    assert {reference.id for reference in loaded.references} == set(shown)
    for name, path in shown.items():
        kept = loaded.features(name)
        assert kept is not None and kept.to_bytes() == packed(path)


def test_nothing_is_computed_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    computed = []

    def counting(image: Image.Image) -> object:
        computed.append(image.size)
        return reference_features(image)

    monkeypatch.setattr(features_module, "reference_features", counting)
    twice = [*references(), Reference("again", "p0", "Brand", SAMPLE[0])]
    build_index(twice, index=tmp_path / "index", encoder=ToyEncoder())
    build_index(twice, index=tmp_path / "index", encoder=ToyEncoder())
    build_index(twice, index=tmp_path / "index", encoder=ToyEncoder("1" * 64))
    assert len(computed) == 4


def test_a_journal_that_is_damaged_during_a_build_ends_it_in_one_line_and_the_next_build_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(self: BlobCache, key: str) -> None:
        return None

    with monkeypatch.context() as patch, pytest.raises(FeaturesError, match="damaged meanwhile; run the same command"):
        patch.setattr(BlobCache, "get", lost)
        build_index(references(), index=tmp_path / "index", encoder=ToyEncoder())
    build_index(references(), index=tmp_path / "index", encoder=ToyEncoder())
    assert ReferenceIndex.load(tmp_path / "index").has_features


def test_an_index_without_features_loads_and_gets_them_by_building_again(tmp_path: Path) -> None:
    build_index(references(), index=tmp_path / "index", encoder=ToyEncoder(), features=False)
    bare = ReferenceIndex.load(tmp_path / "index")
    assert not bare.has_features and bare.features("r0") is None
    assert not list((tmp_path / "index").glob("features-*"))
    encoder = ToyEncoder()
    build_index(references(), index=tmp_path / "index", encoder=encoder)
    assert encoder.embedded == 0
    assert ReferenceIndex.load(tmp_path / "index").has_features


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    build_index(references(), index=tmp_path / "index", encoder=ToyEncoder())
    (path,) = (tmp_path / "index").glob("features-*.bin")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(IndexDamagedError, match="checksum differs"):
        ReferenceIndex.load(tmp_path / "index")


def hostile(rows: list[bytes], folder: Path) -> Path:
    """An index whose checksums are right, but whose features are these."""
    index = ReferenceIndex(ToyEncoder().spec)
    wanted = [Reference(f"r{i}", f"p{i}", "Brand", "x.jpg") for i in range(len(rows))]
    index.add(wanted, unit_vectors(len(rows)), hashes=["0"] * len(rows), features=rows)
    index.save(folder)
    return folder


def test_a_strangers_features_are_refused_when_they_are_asked_for(tmp_path: Path) -> None:
    loaded = ReferenceIndex.load(hostile([packed(SAMPLE[0]), b"no features at all"], tmp_path / "index"))
    assert loaded.features("r0") is not None
    with pytest.raises(IndexDamagedError, match="of reference 'r1'"):
        loaded.features("r1")


@pytest.mark.parametrize("offsets", [[], [0, 0, 0], [24, 1 << 60, 30], [24, 20, 30], [24, 26, 31], [32, 32, 32, 32]])
def test_a_file_with_wrong_offsets_is_refused(tmp_path: Path, offsets: list[int]) -> None:
    path = tmp_path / "features.bin"
    path.write_bytes(np.array(offsets, "<u8").tobytes() + b"123456")
    with open(path, "rb") as file, pytest.raises(IndexDamagedError, match="does not hold the features of 2 references"):
        features_module.read_features(file, 2)


def test_the_manifest_may_name_no_other_file(tmp_path: Path) -> None:
    build_index(references()[:1], index=tmp_path / "index", encoder=ToyEncoder())
    manifest, _ = store.read_manifest(tmp_path / "index")
    manifest["files"]["features"]["name"] = "../../etc/passwd"
    (tmp_path / "index" / store.MANIFEST).write_text(store._manifest_text(manifest))
    with pytest.raises(IndexDamagedError, match="may not be named"):
        ReferenceIndex.load(tmp_path / "index")


def test_small_pictures_have_features_without_points(tmp_path: Path) -> None:
    (path,) = save_pictures(tmp_path, 1)
    build_index([Reference("r", "p", "Brand", path)], index=tmp_path / "index", encoder=ToyEncoder())
    kept = ReferenceIndex.load(tmp_path / "index").features("r")
    assert kept is not None and kept.picture.size


def test_spooled_features_are_those_that_were_appended(tmp_path: Path) -> None:
    photos = [b"", b"abc", memoryview(b"d" * 100_000), b""]
    with closing(features_module.FeatureSpool(tmp_path / "spool")) as spool:
        for each in photos:
            spool.append(each)
        rows = spool.rows()
        assert [bytes(row) for row in rows] == [bytes(each) for each in photos]
        assert not any(isinstance(row, bytes) for row in rows), "they are mapped, not read"
    with closing(features_module.FeatureSpool(tmp_path / "spool")) as spool:
        spool.append(b"")
        assert list(spool.rows()) == [b""]
