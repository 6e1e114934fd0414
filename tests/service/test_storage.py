"""Indexes and policies are copied from object storage file by file, checked, and never half."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reviewed import shop_in
from serving import POLICY, Place, place_in, served
from toy import ToyEncoder, drawn_adapter, save_pictures, unit_vectors
from workers import until

from lookalike import IndexDamagedError, Policy, Reference, ReferenceIndex
from lookalike.errors import LookalikeError, PolicyError
from lookalike.index.build import adapt_index, add_harmless, add_references, build_index, load_harmless
from lookalike.policy.cohort import Cohort
from lookalike.service.keys import add_key
from lookalike.service.storage import Storage, StorageError
from lookalike.service.verdict_copy import VerdictCopy
from lookalike.tables.verdicts import verdict_file

BUCKET = "s3://brands/a b/genuine.index"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """An S3 server on this machine."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(server: str) -> Iterator[Any]:
    import s3fs

    system = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)
    system.mkdir("brands")
    yield system
    system.rm("brands", recursive=True)


@pytest.fixture
def index(tmp_path: Path) -> Path:
    folder = tmp_path / "index"
    build_index(references(tmp_path, 4), index=folder, encoder=ToyEncoder())
    return folder


def references(folder: Path, count: int, *, seed: int = 0) -> list[Reference]:
    paths = save_pictures(folder / "photos", count, seed=seed)
    return [Reference(f"r{seed}-{i}", f"p{i}", "Acme", path) for i, path in enumerate(paths)]


def upload(bucket: Any, folder: Path, url: str = BUCKET) -> None:
    for path in sorted(folder.rglob("*"), key=lambda path: path.name == "manifest.json"):
        if path.is_file() and path.suffix in (".json", ".npy", ".parquet", ".bin", ".safetensors"):
            bucket.put_file(str(path), f"{url}/{path.relative_to(folder)}")


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file() and path.name != ".lock"}


def test_an_index_in_a_bucket_is_opened_as_the_one_that_was_uploaded(bucket: Any, index: Path, tmp_path: Path) -> None:
    add_harmless(references(tmp_path, 1, seed=7), index=index, encoder=ToyEncoder())
    upload(bucket, index)
    copy = Storage(tmp_path / "cache").local_copy(BUCKET)
    ours, theirs = ReferenceIndex.load(index, verify=True), ReferenceIndex.load(copy, verify=True)
    assert (theirs.digest, theirs.catalogue.to_pylist()) == (ours.digest, ours.catalogue.to_pylist())
    assert ReferenceIndex.load(copy / "harmless").digest == ReferenceIndex.load(index / "harmless").digest
    assert copy.is_relative_to(tmp_path / "cache")


def test_a_change_is_taken_over_by_fetching_only_what_is_new(
    bucket: Any, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(tmp_path / "cache")
    upload(bucket, index)
    copy = storage.local_copy(BUCKET)
    opened = ReferenceIndex.load(copy)
    add_references(references(tmp_path, 2, seed=1), index=index, encoder=ToyEncoder())
    upload(bucket, index)
    fetched: list[str] = []
    fetch = type(storage.place(BUCKET)).fetch
    monkeypatch.setattr(
        "lookalike.service.storage.Place.fetch",
        lambda self, name, *given, **options: (fetched.append(name), fetch(self, name, *given, **options)),
    )
    assert storage.local_copy(BUCKET) == copy
    assert ReferenceIndex.load(copy, verify=True).digest == ReferenceIndex.load(index).digest != opened.digest
    before = len(fetched)
    storage.local_copy(BUCKET)
    assert len(fetched) == before > 0, "nothing is fetched while nothing changed"
    assert files(copy) == files(index), "and nothing of the old one is left"
    assert len(opened.search(unit_vectors(1), top=1)) == 1, "who has it open still reads it"


def test_an_adapted_index_brings_its_adapter_and_loses_it_when_that_is_undone(
    bucket: Any, index: Path, tmp_path: Path
) -> None:
    storage = Storage(tmp_path / "cache")
    add_harmless(references(tmp_path, 1, seed=7), index=index, encoder=ToyEncoder())
    for adapter in (drawn_adapter(ToyEncoder().spec), None):
        adapt_index(adapter, index=index)
        upload(bucket, index)
        copy = storage.local_copy(BUCKET)
        ours, theirs = ReferenceIndex.load(index, verify=True), ReferenceIndex.load(copy, verify=True)
        assert (theirs.digest, theirs.spec) == (ours.digest, ours.spec)
        assert (theirs.adapter is None) is (adapter is None) and files(copy) == files(index)
        harmless = load_harmless(copy, adapter=theirs.adapter)
        assert harmless is not None and harmless.spec == theirs.spec


def test_an_index_without_harmless_photos_has_none_after_it_had_some(bucket: Any, index: Path, tmp_path: Path) -> None:
    storage = Storage(tmp_path / "cache")
    add_harmless(references(tmp_path, 1, seed=7), index=index, encoder=ToyEncoder())
    upload(bucket, index)
    assert (storage.local_copy(BUCKET) / "harmless").is_dir()
    bucket.rm(f"{BUCKET}/harmless", recursive=True)
    assert not (storage.local_copy(BUCKET) / "harmless").exists()


@pytest.mark.parametrize("how", ["a byte differs", "a byte more", "missing", "empty"])
def test_a_file_that_is_not_as_it_was_written_leaves_the_copy_as_it_was(
    bucket: Any, index: Path, tmp_path: Path, how: str
) -> None:
    storage = Storage(tmp_path / "cache")
    upload(bucket, index)
    copy = storage.local_copy(BUCKET)
    before = ReferenceIndex.load(copy).digest
    add_references(references(tmp_path, 2, seed=1), index=index, encoder=ToyEncoder())
    upload(bucket, index)
    name = next(index.glob("vectors-*.npy")).name
    data = (index / name).read_bytes()
    if how == "missing":
        bucket.rm(f"{BUCKET}/{name}")
    else:
        worse = {"a byte differs": data[:-1] + b"?", "a byte more": data + b"?", "empty": b""}
        bucket.pipe_file(f"{BUCKET}/{name}", worse[how])
    with pytest.raises(StorageError, match="upload it again"):
        storage.local_copy(BUCKET)
    assert ReferenceIndex.load(copy, verify=True).digest == before


def test_a_forged_manifest_leads_to_no_file_outside_the_copy(bucket: Any, index: Path, tmp_path: Path) -> None:
    from lookalike.index import store

    manifest, _ = store.read_manifest(index)
    manifest["files"]["vectors"]["name"] = "../../stolen.npy"
    forged = store._manifest_text(manifest)
    upload(bucket, index)
    bucket.pipe_file(f"{BUCKET}/manifest.json", forged.encode())
    with pytest.raises(IndexDamagedError, match="may not be named"):
        Storage(tmp_path / "cache").local_copy(BUCKET)
    assert not list(tmp_path.rglob("stolen*"))
    bucket.pipe_file(f"{BUCKET}/manifest.json", b"[" * 100_000)
    with pytest.raises(IndexDamagedError, match="can't be read"):
        Storage(tmp_path / "cache").local_copy(BUCKET)


def test_no_more_is_fetched_than_the_settings_allow(bucket: Any, index: Path, tmp_path: Path) -> None:
    upload(bucket, index)
    with pytest.raises(StorageError, match="larger than 100 bytes"):
        Storage(tmp_path / "cache", most_bytes=100).local_copy(BUCKET)
    bucket.pipe_file(f"{BUCKET}/manifest.json", b" " * ((16 << 20) + 1))
    with pytest.raises(StorageError, match="too large"):
        Storage(tmp_path / "cache").local_copy(BUCKET)


def test_only_protocols_that_are_allowed_are_read(server: str, tmp_path: Path) -> None:
    storage = Storage(tmp_path / "cache")
    for url in ("file:///etc", "local:///etc/x.toml", "http://127.0.0.1/i", "memory://i", "s3://b/i::file:///etc"):
        with pytest.raises(StorageError, match="may not be read"):
            storage.local_copy(url)
    with pytest.raises(StorageError, match=r"s3://nowhere/i/manifest.json is missing"):
        storage.local_copy("s3://nowhere/i")
    assert storage.local_copy(tmp_path / "index") == tmp_path / "index", "a path is its own copy"


def test_a_policy_comes_with_its_cohort(bucket: Any, tmp_path: Path) -> None:
    storage = Storage(tmp_path / "cache")
    policy = Policy("mine", 2.0, 1.0, cohort=Cohort(unit_vectors(40), "subtract"))
    policy.save(tmp_path / "mine.toml")
    for name in ("mine.toml", "mine.cohort.npy"):
        bucket.put_file(str(tmp_path / name), f"brands/{name}")
    copy = storage.local_copy("s3://brands/mine.toml")
    assert str(Policy.load(copy)) == str(policy)
    Policy("mine", 0.9, 0.8).save(tmp_path / "mine.toml")
    bucket.put_file(str(tmp_path / "mine.toml"), "brands/mine.toml")
    assert Policy.load(storage.local_copy("s3://brands/mine.toml")).flag == 0.9
    bucket.pipe_file("brands/mine.toml", b"flag = 0.5")
    with pytest.raises(PolicyError, match=r"s3://brands/mine.toml"):
        storage.local_copy("s3://brands/mine.toml")
    assert Policy.load(copy).flag == 0.9, "the copy stayed as it was"
    bucket.pipe_file("brands/mine.toml", (tmp_path / "mine.toml").read_bytes() + _OUTSIDE)
    with pytest.raises(StorageError, match="expected a file beside it"):
        storage.local_copy("s3://brands/mine.toml")


_OUTSIDE = b"""
[cohort]
file = "../../etc/passwd"
sha256 = "00"
method = "subtract"
"""


def test_an_error_is_one_line_that_says_where(tmp_path: Path, bucket: Any) -> None:
    with pytest.raises(LookalikeError) as raised:
        Storage(tmp_path / "cache").local_copy("s3://brands/nothing.toml")
    assert str(raised.value) == "s3://brands/nothing.toml is missing; upload it again"


def test_the_service_takes_over_what_is_uploaded(bucket: Any, tmp_path: Path) -> None:
    place = place_in(tmp_path, 3)
    upload(bucket, place.index)
    bucket.put_file(str(place.policy), "brands/policy.toml")
    add_references(references(tmp_path, 1, seed=1), index=place.index, encoder=ToyEncoder())
    new = ReferenceIndex.load(place.index).digest
    with served(place, index=BUCKET, policy="s3://brands/policy.toml") as running:
        holder = running.app.state.services.holder
        assert holder.borrow().versions.index != new
        upload(bucket, place.index)
        Policy("tighter", 0.95, 0.9).save(place.policy)
        bucket.put_file(str(place.policy), "brands/policy.toml")
        until(lambda: holder.borrow().versions.index == new and holder.borrow().policy.name == "tighter")
        bucket.pipe_file(f"{BUCKET}/manifest.json", b"{}")
        until(lambda: holder.failures)
        assert holder.borrow().versions.index == new, "what is open stays"


def test_verdicts_come_from_a_bucket_and_go_back_to_it(bucket: Any, tmp_path: Path) -> None:
    url = "s3://brands/verdicts.jsonl"
    bucket.pipe_file(url, b"one\n")
    here, elsewhere = (VerdictCopy(Storage(tmp_path / name), url) for name in ("here", "elsewhere"))
    here.take()
    assert here.path.read_bytes() == b"one\n"
    here.path.write_bytes(b"one\ntwo\nhal")
    here.give()
    assert bucket.cat_file(url) == b"one\ntwo\n", "no half line goes there"
    elsewhere.take()
    elsewhere.path.write_bytes(b"one\ntwo\nother\n")
    elsewhere.give()
    here.path.write_bytes(b"one\ntwo\nthree\n")
    here.give()
    assert bucket.cat_file(url) == b"one\ntwo\nother\n", "nobody's verdicts are overwritten"
    with pytest.raises(StorageError, match="lookalike verdicts merge"):
        here.take()
    assert here.path.read_bytes() == b"one\ntwo\nthree\n"


def test_a_review_adds_to_verdicts_in_a_bucket(bucket: Any, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    shop = shop_in(tmp_path / "shop", 8)
    POLICY.save(tmp_path / "policy.toml")
    keys = {"admin": add_key(tmp_path / "keys.json", "admin", ["review"])}
    options = {"index": str(shop.index), "policy": str(shop.policy), "findings": shop.findings}
    for judged in (1, 2):
        place = Place(tmp_path, [], keys)
        state = tmp_path / f"state of {judged}"  # as on another machine
        with served(place, **options, verdicts="s3://brands/v.jsonl", state=state) as running:
            client, own = running.client, {"Origin": running.address}
            client.post("/review/sign-in", data={"key": keys["admin"]}, headers=own)
            said = {"place": client.get("/review/next").json()["place"], "verdict": "lookalike"}
            assert client.post("/review/verdict", json=said, headers=own).status_code == 200
            until(lambda judged=judged: bucket.exists("brands/v.jsonl") and lines(bucket) == judged)  # type: ignore[misc]
    (tmp_path / "v.jsonl").write_bytes(bucket.cat_file("brands/v.jsonl"))
    assert len(verdict_file(tmp_path / "v.jsonl").entries()) == 2, "the chain of hashes is whole"


def lines(bucket: Any) -> int:
    return int(bucket.cat_file("brands/v.jsonl").count(b"\n"))
