"""A build embeds each picture once, whatever interrupts it, and loses no row."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from toy import ToyEncoder, save_pictures

from lookalike.errors import (
    EncoderMismatchError,
    IndexBusyError,
    IndexNotFoundError,
    LookalikeError,
    TableError,
)
from lookalike.index import store
from lookalike.index.build import add_references, build_index, remove_references
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.images import content_hash
from lookalike.model.sources import Access
from lookalike.records import BadRow, Reference


def references(folder: Path, count: int, *, seed: int = 0) -> list[Reference]:
    paths = save_pictures(folder, count, seed=seed)
    return [Reference(f"s{seed}r{i}", f"p{i}", "Brand", path) for i, path in enumerate(paths)]


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


class DyingEncoder(ToyEncoder):
    def embed(self, inputs: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        if self.embedded >= 128:
            raise Killed
        return super().embed(inputs)


def test_gives_the_vectors_of_the_pictures_in_the_tables_order(tmp_path: Path) -> None:
    rows = references(tmp_path / "photos", 150)
    summary = build_index(rows, index=tmp_path / "index", encoder=ToyEncoder())
    assert (summary.references, summary.embedded, summary.failed) == (150, 150, ())
    loaded = ReferenceIndex.load(tmp_path / "index")
    from PIL import Image

    expected = ToyEncoder().encode([Image.open(str(row.image)) for row in rows])
    np.testing.assert_array_equal(loaded.vectors, expected)
    assert [r.id for r in loaded.references] == [r.id for r in rows]


def test_a_killed_build_resumes_and_ends_with_the_same_bits(tmp_path: Path) -> None:
    rows = references(tmp_path / "photos", 300)
    build_index(rows, index=tmp_path / "whole", encoder=ToyEncoder())
    with pytest.raises(Killed):
        build_index(rows, index=tmp_path / "killed", encoder=DyingEncoder())
    with pytest.raises(IndexNotFoundError, match="run the same build again"):
        ReferenceIndex.load(tmp_path / "killed")
    summary = build_index(rows, index=tmp_path / "killed", encoder=ToyEncoder())
    assert (summary.embedded, summary.reused) == (300 - 128, 128)
    whole, killed = ReferenceIndex.load(tmp_path / "whole"), ReferenceIndex.load(tmp_path / "killed")
    np.testing.assert_array_equal(killed.vectors, whole.vectors)
    assert killed.catalogue.equals(whole.catalogue)
    assert not list((tmp_path / "killed").glob("building.sqlite*"))


def test_a_second_build_embeds_nothing(tmp_path: Path) -> None:
    rows = references(tmp_path / "photos", 20)
    build_index(rows, index=tmp_path / "index", encoder=ToyEncoder())
    summary = build_index(rows, index=tmp_path / "index", encoder=ToyEncoder())
    assert (summary.embedded, summary.reused) == (0, 20)


def test_an_index_has_the_digest_of_its_content_whenever_it_was_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def built(year: int, rows: list[Reference], folder: str) -> str:
        class Clock(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Clock:
                return cls(year, 1, 1, tzinfo=tz)

        monkeypatch.setattr(store, "datetime", Clock)
        build_index(rows, index=tmp_path / folder, encoder=ToyEncoder())
        loaded = ReferenceIndex.load(tmp_path / folder)
        assert loaded.created.startswith(str(year)) and len(loaded.digest) == 64
        return loaded.digest

    rows = references(tmp_path / "photos", 20)
    first = built(2026, rows, "index")
    assert built(2027, rows, "index") == built(2028, rows, "other") == first
    renamed = [replace(rows[0], product="other"), *rows[1:]]
    repainted = [replace(rows[0], image=rows[1].image), *rows[1:]]
    assert len({first, *(built(2027, other, "index") for other in (rows[:19], renamed, repainted))}) == 4
    added = add_references(rows[19:], index=tmp_path / "index", encoder=ToyEncoder())
    assert added.references == 20 and ReferenceIndex.load(tmp_path / "index").digest != first


def test_a_build_replaces_an_index_of_another_encoder(tmp_path: Path) -> None:
    rows = references(tmp_path / "photos", 5)
    build_index(rows, index=tmp_path / "index", encoder=ToyEncoder())
    other = ToyEncoder("1" * 64)
    assert build_index(rows, index=tmp_path / "index", encoder=other).embedded == 5
    assert ReferenceIndex.load(tmp_path / "index").spec == other.spec


def test_equal_pictures_are_embedded_once(tmp_path: Path) -> None:
    (path,) = save_pictures(tmp_path, 1)
    rows = [Reference(f"r{i}", f"p{i}", "Brand", path) for i in range(200)]
    summary = build_index(rows, index=tmp_path / "index", encoder=ToyEncoder())
    assert (summary.references, summary.embedded, summary.reused) == (200, 1, 199)


def test_adds_only_what_is_new_and_keeps_the_rest(tmp_path: Path) -> None:
    old, new = references(tmp_path / "a", 10), references(tmp_path / "b", 5, seed=1)
    build_index(old, index=tmp_path / "index", encoder=ToyEncoder())
    summary = add_references([*old, *new], index=tmp_path / "index", encoder=ToyEncoder())
    assert (summary.references, summary.embedded, summary.reused) == (15, 5, 10)


def test_add_refuses_another_encoder_and_a_missing_index(tmp_path: Path) -> None:
    rows = references(tmp_path / "photos", 2)
    with pytest.raises(IndexNotFoundError):
        add_references(rows, index=tmp_path / "none", encoder=ToyEncoder())
    assert not (tmp_path / "none").exists()
    build_index(rows, index=tmp_path / "index", encoder=ToyEncoder())
    with pytest.raises(EncoderMismatchError):
        add_references(rows, index=tmp_path / "index", encoder=ToyEncoder("1" * 64))


def test_bad_rows_are_reported_and_the_others_are_built(tmp_path: Path) -> None:
    good, twin = references(tmp_path / "photos", 2)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    rows = [good, BadRow("row 2", "has no brand"), Reference("b", "p", "B", tmp_path / "bad.png")]
    rows.append(Reference(good.id, "other", "B", twin.image))
    summary = build_index(rows, index=tmp_path / "index", encoder=ToyEncoder())
    assert summary.references == 1
    assert sorted(row.row for row in summary.failed) == ["b", "row 2", good.id]
    assert all(row.error for row in summary.failed)


def test_an_index_of_nothing_is_not_written(tmp_path: Path) -> None:
    rows = references(tmp_path / "photos", 3)
    build_index(rows, index=tmp_path / "index", encoder=ToyEncoder())
    digest = store.read_manifest(tmp_path / "index")[1]
    with pytest.raises(TableError, match="none of the 1 references could be used; the first: .*no such file"):
        build_index([Reference("r", "p", "B", "gone.jpg")], index=tmp_path / "index", encoder=ToyEncoder())
    assert store.read_manifest(tmp_path / "index")[1] == digest
    with pytest.raises(TableError):
        build_index([Reference("r", "p", "B", "gone.jpg")], index=tmp_path / "new", encoder=ToyEncoder())
    assert not (tmp_path / "new").exists()


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    rows = references(tmp_path / "photos", 2)
    with store.writing(tmp_path / "index"), pytest.raises(IndexBusyError, match="another process"):
        build_index(rows, index=tmp_path / "index", encoder=ToyEncoder())


def test_removes_from_disk(tmp_path: Path) -> None:
    build_index(references(tmp_path / "photos", 4), index=tmp_path / "index", encoder=ToyEncoder())
    assert remove_references(index=tmp_path / "index", products=["p1", "p2"]) == 2
    assert len(ReferenceIndex.load(tmp_path / "index")) == 2


def test_an_address_is_no_index_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    index = ReferenceIndex(ToyEncoder().spec)
    address: Any = "s3://bucket/genuine.index"
    for use in (
        lambda: build_index([], index=address, encoder=ToyEncoder()),
        lambda: add_references([], index=address, encoder=ToyEncoder()),
        lambda: remove_references(index=address, brands=["B"]),
        lambda: ReferenceIndex.load(address),
        lambda: index.save(address),
    ):
        with pytest.raises(LookalikeError, match="s3:/bucket/genuine.index is an address"):
            use()
    assert not list(tmp_path.iterdir())


def test_photos_without_a_name_are_kept_by_their_content_hash(tmp_path: Path) -> None:
    path = save_pictures(tmp_path / "photos", 1)[0]
    data = path.read_bytes()
    address = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    pixels = np.asarray(Image.open(path))
    given: list[Any] = [data, io.BytesIO(data), pixels, address, path]
    rows = [Reference(f"r{at}", "p", "Brand", image) for at, image in enumerate(given)]
    reader = PhotoReader(access=Access(schemes=frozenset({"data"})))
    build_index(rows, index=tmp_path / "index", encoder=ToyEncoder(), reader=reader)
    found = [reference.image for reference in ReferenceIndex.load(tmp_path / "index").references]
    named = f"sha256:{content_hash(data)}"
    assert found == [named, named, f"sha256:{content_hash(pixels)}", named, str(path)]
