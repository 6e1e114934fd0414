"""Photographs that sellers share, found with the embedded encoder on the sample's pictures: theirs, not the brand's."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.cases.comparison import NEAR, find_shared
from lookalike.cases.shared_photos import SellerPhoto, SharedPhotos
from lookalike.index.build import build_index
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.index.vector_cache import VectorCache
from lookalike.model.adapter import AdaptedEncoder, Adapter
from lookalike.model.encoder import Encoder
from lookalike.model.loading import load_encoder
from lookalike.records import BadRow
from lookalike.scripts.training.edits import edit
from lookalike.tables.inputs import read_references

SAMPLE = Path(str(files("lookalike") / "sample"))


@dataclass(frozen=True)
class Desk:
    """An index of the sample, and photos: a private one and the brand's, each as it is and with an edit."""

    index: ReferenceIndex
    encoder: Encoder
    own: Path
    own_edited: Path
    stock: Path
    stock_edited: Path
    folder: Path


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("desk")
    encoder = load_encoder("embedded")
    references = [row for row in read_references(SAMPLE / "references.csv") if not isinstance(row, BadRow)]
    build_index(references, index=folder / "index", encoder=encoder)
    with open(SAMPLE / "listings.csv", encoding="utf-8", newline="") as file:
        own = next(SAMPLE / row["image"] for row in csv.DictReader(file) if row["truth"] == "photo")
    stock = Path(str(references[0].image))
    made = {}
    for name, source, edits in (("own", own, ["recompress"]), ("stock", stock, ["noise"])):
        pixels = np.asarray(Image.open(source).convert("RGB"))
        made[name] = folder / f"{name}-edited.png"
        Image.fromarray(edit(pixels, edits, np.random.default_rng(3))).save(made[name])
    return Desk(ReferenceIndex.load(folder / "index"), encoder, own, made["own"], stock, made["stock"], folder)


def find(desk: Desk, photos: list[SellerPhoto], **options: object) -> SharedPhotos:
    return find_shared(photos, index=desk.index, encoder=desk.encoder, reader=PhotoReader(workers=1), **options)  # type: ignore[arg-type]


def photos(**images: Path) -> list[SellerPhoto]:
    return [SellerPhoto(seller, str(image)) for seller, image in images.items()]


def test_an_own_photograph_put_up_again_with_an_edit_joins_and_the_brands_never_does(desk: Desk) -> None:
    found = find(
        desk,
        photos(a=desk.own, b=desk.own_edited, c=desk.stock, d=desk.stock_edited, e=desk.stock, f=desk.stock_edited),
    )
    (shared,) = found.shared
    assert (shared.sellers, shared.images) == (("a", "b"), {"a": str(desk.own), "b": str(desk.own_edited)})
    assert (found.photos, found.brands, found.unread) == (4, 2, 0)


def test_an_adapter_changes_nothing_about_what_is_one_photograph(desk: Desk) -> None:
    given = photos(a=desk.own, b=desk.own_edited, c=desk.stock, d=desk.stock_edited)
    pair = desk.encoder.encode([Image.open(path).convert("RGB") for path in (desk.own, desk.own_edited)])
    apart = (pair[0] - pair[1])[: desk.encoder.spec.dim]
    stretched = np.eye(len(apart)) + 80 * np.outer(apart, apart) / (apart @ apart)
    adapter = Adapter(desk.encoder.spec, stretched.astype(np.float32), np.zeros(len(apart), np.float32))
    one, other = desk.encoder.spec.parts(adapter.map(pair))[0]
    assert one @ other < NEAR
    adapted = replace(desk, index=desk.index.adapted(adapter), encoder=AdaptedEncoder(desk.encoder, adapter))
    assert find(adapted, given) == find(desk, given)


def test_a_file_that_a_finding_calls_copied_joins_nobody(desk: Desk) -> None:
    given = [SellerPhoto("a", str(desk.own)), SellerPhoto("b", str(desk.own), copied=True)]
    assert [shared.sellers for shared in find(desk, [given[0], SellerPhoto("b", str(desk.own))]).shared] == [("a", "b")]
    assert find(desk, given).shared == ()


def test_photos_of_one_seller_are_no_link(desk: Desk) -> None:
    given = [SellerPhoto("a", str(desk.own)), SellerPhoto("a", str(desk.own_edited))]
    assert find(desk, given).shared == ()


def test_what_cannot_be_read_is_counted_and_vectors_are_kept(desk: Desk) -> None:
    with VectorCache(desk.folder / "vectors.sqlite", desk.encoder.spec) as cache:
        given = [*photos(a=desk.own, b=desk.own_edited), SellerPhoto("c", str(desk.folder / "gone.jpg"))]
        first = find(desk, given, cache=cache)
        assert (first.unread, len(first.shared)) == (1, 1)
        assert find(desk, given, cache=cache) == first


def test_by_similarity_alone_what_is_near_a_reference_is_the_brands(desk: Desk) -> None:
    given = photos(a=desk.own, b=desk.own_edited, c=desk.stock, d=desk.stock_edited)
    assert [shared.sellers for shared in find(desk, given, verified=False, near=0.8).shared] in ([("a", "b")], [])
    assert all("c" not in shared.sellers for shared in find(desk, given, verified=False, near=0.8).shared)
