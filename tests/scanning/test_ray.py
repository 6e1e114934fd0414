"""On Ray, findings and indexes are those of the local engine, whoever dies; without Ray, one line says what to do."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import toy
from toy import ToyEncoder, save_pictures

from lookalike import Detector, Listing, Policy, scan_listings
from lookalike.detection.lookup import Lookup
from lookalike.errors import ChangedIndexWarning, EngineError, LookalikeError, MissingExtraError, TableError
from lookalike.index.build import build_index
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.records import BadRow, Reference
from lookalike.rights.rights import Rights
from lookalike.scanning.cluster import Cluster
from lookalike.scanning.ray import build_on_ray, scan_on_ray
from lookalike.tables.findings import read_findings

pytestmark = pytest.mark.filterwarnings("ignore:`use_\\w+` is deprecated:DeprecationWarning")  # Ray's own

POLICY = Policy(name="toy", flag=0.99, review=0.9)


def open_detector(index: Path, encoder: type[ToyEncoder] = ToyEncoder) -> Detector:
    return Detector(Lookup(encoder(), ReferenceIndex.load(index), PhotoReader(workers=1)), POLICY)


def open_with_tables(index: Path, folder: Path) -> Detector:
    """With rights and sellers, and a policy that was tuned before the index changed."""
    rights = Rights.load(rights=folder / "rights.csv", sellers=folder / "sellers.csv")
    lookup = Lookup(ToyEncoder(), ReferenceIndex.load(index), PhotoReader(workers=1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChangedIndexWarning)
        return Detector(lookup, replace(POLICY, index_digest="f" * 64), rights=rights, day=date(2026, 7, 1))


def references(paths: list[Path]) -> list[Reference | BadRow]:
    rows: list[Reference | BadRow] = [Reference(f"r{i}", f"p{i}", "Brand", p) for i, p in enumerate(paths[:6])]
    return [*rows, BadRow("r6", "row 7 has no image"), Reference("r7", "p7", "Brand", "gone.jpg")]


def listings(paths: list[Path], count: int) -> Iterator[Listing]:
    for i in range(count):
        images = ("gone.jpg",) if i % 10 == 7 else (paths[i % 12], paths[i * 5 % 12], paths[i * 7 % 12])
        yield Listing(
            f"L{i}", images[: i % 4], seller=f"s{i % 3}", territory="DE", price=Decimal(f"{i}.5"), currency="EUR"
        )


def rows(path: Path) -> list[dict[str, Any]]:
    return [{**row, "scanned_at": None} for row in read_findings(path)]


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return save_pictures(tmp_path / "photos", 12)


@pytest.fixture
def index(tmp_path: Path, paths: list[Path]) -> Path:
    build_index(references(paths), index=tmp_path / "index", encoder=ToyEncoder())
    return tmp_path / "index"


@pytest.fixture(scope="module")
def ray() -> Any:
    return pytest.importorskip("ray", reason="needs the extra ray")


@pytest.fixture(scope="module")
def cluster(ray: Any) -> Iterator[Cluster]:
    """One small cluster for all tests, whose workers find what this folder holds."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}.items():
            patch.setenv(name, value)
        roots = [str(Path(__file__).parents[2]), str(Path(toy.__file__).parent)]
        patch.setenv("PYTHONPATH", os.pathsep.join([*roots, os.environ.get("PYTHONPATH", "")]))
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        options = {"object_store_memory": 200 << 20, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        ray.init(address="local", num_cpus=2, log_to_driver=False, logging_level="ERROR", **options)
        yield Cluster(workers=1)  # one starts sooner than two
        ray.shutdown()


def test_names_the_extra_where_ray_is_missing(tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"lookalike\[ray\]"):
        scan_on_ray([], open_detector=partial(open_detector, index), out=tmp_path / "f.csv")
    with pytest.raises(MissingExtraError, match=r"lookalike\[ray\]"):
        build_on_ray([], index=tmp_path / "other", open_encoder=ToyEncoder, reader=PhotoReader())
    assert not (tmp_path / "f.csv.partial").exists()
    assert not (tmp_path / "other").exists()


def test_findings_are_those_of_the_local_engine_row_by_row(
    tmp_path: Path, index: Path, paths: list[Path], cluster: Cluster
) -> None:
    opening, done = partial(open_detector, index), list[int]()
    local, there = tmp_path / "local.jsonl", tmp_path / "there.jsonl"
    expected = scan_listings(listings(paths, 50), detector=opening(), out=local)
    found = scan_on_ray(
        listings(paths, 50),
        open_detector=opening,
        out=there,
        cluster=replace(cluster, workers=2),
        progress=done.append,
        part=8,
    )
    assert found == expected
    assert rows(there) == rows(local)
    assert sorted(done) == [2, *[8] * 6]
    assert not there.with_name("there.jsonl.partial").exists()


def test_rights_sellers_and_a_policy_of_an_older_index_count_there_as_here(
    tmp_path: Path, index: Path, paths: list[Path], cluster: Cluster
) -> None:
    (tmp_path / "rights.csv").write_text(
        "brand,kind,number,territory,valid_from,valid_until,product_id\n"
        "Brand,trademark,T1,DE,,,p5\nBrand,design,D1,DE,,,p1\nBrand,design,D2,DE,,2026-06-30,p2\n"
    )
    (tmp_path / "sellers.csv").write_text("brand,seller_id,territory,valid_from,valid_until\nBrand,s1,,,\n")
    opened = partial(open_with_tables, index, tmp_path)
    here, there = tmp_path / "here.parquet", tmp_path / "there.parquet"
    scan_listings(listings(paths, 30), detector=opened(), out=here)
    summary = scan_on_ray(listings(paths, 30), open_detector=opened, out=there, cluster=cluster, part=8)
    assert rows(there) == rows(here)
    assert set(summary.verdicts) >= {"flagged", "authorised", "unprotected", "unreadable"}


def test_an_index_is_that_of_the_local_engine(tmp_path: Path, index: Path, paths: list[Path], cluster: Cluster) -> None:
    summary = build_on_ray(
        references(paths),
        index=tmp_path / "there",
        open_encoder=ToyEncoder,
        reader=PhotoReader(workers=1),
        cluster=cluster,
        part=3,
        exact_up_to=5,
    )
    assert (summary.references, summary.embedded, len(summary.failed)) == (6, 6, 2)
    here, there = ReferenceIndex.load(index), ReferenceIndex.load(tmp_path / "there")
    assert there.catalogue == here.catalogue
    assert (there.vectors == here.vectors).all()
    assert there.exact_up_to == 5
    assert [bytes(packed) for packed in there.packed_features] == [bytes(packed) for packed in here.packed_features]
    assert {path.suffix for path in (tmp_path / "there").iterdir()} <= {".json", ".parquet", ".npy", ".bin", ""}


def test_a_scan_whose_worker_dies_ends_right(tmp_path: Path, index: Path, paths: list[Path], cluster: Cluster) -> None:
    died = tmp_path / "died"

    class DiesOnce(ToyEncoder):
        def embed(self, inputs: Any) -> Any:
            if os.getpid() != driver and not died.exists():
                died.touch()
                os._exit(1)
            return super().embed(inputs)

    driver = os.getpid()
    scan_listings(listings(paths, 30), detector=open_detector(index), out=tmp_path / "local.jsonl")
    scan_on_ray(
        listings(paths, 30),
        open_detector=partial(open_detector, index, DiesOnce),
        out=tmp_path / "there.jsonl",
        cluster=replace(cluster, workers=2),
        part=8,
    )
    assert died.exists()
    assert rows(tmp_path / "there.jsonl") == rows(tmp_path / "local.jsonl")


def test_an_error_in_code_comes_back_with_its_traceback_and_a_full_disk_as_one_line(
    tmp_path: Path, index: Path, paths: list[Path], cluster: Cluster
) -> None:
    class Raises(ToyEncoder):
        def embed(self, inputs: Any) -> Any:
            raise error

    opening, offers = partial(open_detector, index, Raises), list(listings(paths, 3))
    error: Exception = TypeError("odd")
    with pytest.raises(Exception, match="(?s)TypeError: odd") as raised:
        scan_on_ray(offers, open_detector=opening, out=tmp_path / "f.csv", cluster=cluster)
    assert not isinstance(raised.value, LookalikeError) and "in embed" in str(raised.value)
    error = OSError(28, "No space left on device")
    with pytest.raises(EngineError, match="No space left on device"):
        scan_on_ray(offers, open_detector=opening, out=tmp_path / "f.csv", cluster=cluster)


def test_a_part_that_kills_every_worker_is_reported_and_finished_parts_are_kept(
    tmp_path: Path, index: Path, paths: list[Path], cluster: Cluster
) -> None:
    poison = tmp_path / "poison"
    poison.touch()

    class DiesOfTheFirst(ToyEncoder):
        def prepare(self, image: Any) -> Any:
            if poison.exists() and image.getpixel((0, 0)) == first:
                os._exit(1)
            return super().prepare(image)

    from PIL import Image

    first = Image.open(paths[0]).convert("RGB").getpixel((0, 0))
    opening, out = partial(open_detector, index, DiesOfTheFirst), tmp_path / "there.jsonl"
    offers = [Listing(f"L{i}", (path,)) for i, path in enumerate(paths)]
    with pytest.raises(EngineError, match="each of 3 workers died at .*part-000000"):
        scan_on_ray(offers, open_detector=opening, out=out, cluster=cluster, part=3)
    assert not out.exists()
    poison.unlink()
    scan_on_ray(offers, open_detector=opening, out=out, cluster=cluster, part=3)
    scan_listings(offers, detector=opening(), out=tmp_path / "local.jsonl")
    assert rows(out) == rows(tmp_path / "local.jsonl")


def test_a_scan_resumes_where_it_stopped(tmp_path: Path, index: Path, paths: list[Path], cluster: Cluster) -> None:
    class Killed(BaseException):
        pass

    def dying(_: int) -> None:
        raise Killed

    opening, out = partial(open_detector, index), tmp_path / "there.jsonl"
    with pytest.raises(Killed):
        scan_on_ray(listings(paths, 30), open_detector=opening, out=out, cluster=cluster, progress=dying, part=8)
    assert not out.exists()
    summary = scan_on_ray(iter(()), open_detector=opening, out=out, cluster=cluster, part=8)  # the table is kept, too
    scan_listings(listings(paths, 30), detector=opening(), out=tmp_path / "local.jsonl")
    assert rows(out) == rows(tmp_path / "local.jsonl")
    assert summary.resumed >= 6


def test_a_build_resumes_where_it_stopped(tmp_path: Path, index: Path, paths: list[Path], cluster: Cluster) -> None:
    class Killed(BaseException):
        pass

    def dying(_: int) -> None:
        raise Killed

    build = partial(
        build_on_ray,
        index=tmp_path / "there",
        open_encoder=ToyEncoder,
        reader=PhotoReader(workers=1),
        cluster=cluster,
        part=3,
    )
    with pytest.raises(Killed):
        build(references(paths), progress=dying)
    done = list[int]()
    assert build(references(paths), progress=done.append).references == 6
    assert sum(done) < 7, "a part that was done was done again"
    here, there = ReferenceIndex.load(index), ReferenceIndex.load(tmp_path / "there")
    assert there.catalogue == here.catalogue and (there.vectors == here.vectors).all()


def test_refuses_pictures_that_workers_cannot_open(tmp_path: Path, index: Path, ray: Any) -> None:
    with pytest.raises(TableError, match="given as bytes; give a path or URL"):
        scan_on_ray([Listing("L", (b"",))], open_detector=partial(open_detector, index), out=tmp_path / "f.csv")
