"""A table goes in by path or address, and its findings come out, each by its id as well."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from PIL import Image
from serving import Place, Running, place_in, served
from workers import until

from lookalike import read_findings
from lookalike.index.build import build_index
from lookalike.model.loading import load_encoder
from lookalike.records import Reference
from lookalike.scripts.benchmarks.served import web


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A shop whose index was built with the embedded encoder, since a job's worker loads it by its name."""
    place = place_in(tmp_path_factory.mktemp("place"), 3)
    rows = [Reference(f"r{at}", f"p{at}", "Acme", path) for at, path in enumerate(place.pictures)]
    build_index(rows, index=place.index, encoder=load_encoder(device="cpu"))
    tables = place.folder / "tables"
    tables.mkdir()
    for at, path in enumerate(place.pictures):
        Image.open(path).save(tables / f"{at}.png")
    (tables / "day.csv").write_text(f"listing_id,image\nL0,0.png\nL1,1.png\nL2,missing.png\nL3,{place.pictures[1]}\n")
    return place


@pytest.fixture(scope="module")
def running(place: Place) -> Iterator[Running]:
    tables = (place.folder / "tables",)
    with served(
        place, encoder=load_encoder(device="cpu"), policy="shipped", tables_under=tables, private=True
    ) as server:
        yield server


def ended(client: httpx.Client, location: str) -> dict[str, Any]:
    until(lambda: client.get(location).json()["state"] not in ("waiting", "running"))
    return dict(client.get(location).json())


def add(client: httpx.Client, listings: str) -> str:
    answer = client.post("/v1/jobs", json={"listings": listings})
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"
    return answer.headers["location"]


@pytest.fixture(scope="module")
def done(running: Running) -> dict[str, Any]:
    return ended(running.client, add(running.client, "day.csv"))


def test_a_job_judges_a_table_of_this_machine(running: Running, done: dict[str, Any], tmp_path: Path) -> None:
    assert (done["state"], done["judged"], done["errors"], done["by"]) == ("done", 4, 2, "admin")
    assert done["listings"] == "day.csv", "no path of the server"
    assert done["verdicts"] == {"flagged": 2, "unreadable": 2}
    answer = running.client.get(f"/v1/jobs/{done['id']}/findings")
    (tmp_path / "f.parquet").write_bytes(answer.content)
    rows = list(read_findings(tmp_path / "f.parquet"))
    assert [row["listing_id"] for row in rows] == ["L0", "L1", "L2", "L3"]
    assert "in no folder that may be read" in str(rows[3]["error"]), "it is a picture, and elsewhere"
    assert done["id"] in [job["id"] for job in running.client.get("/v1/jobs").json()]


def test_each_finding_of_a_job_is_found_by_its_number(running: Running, done: dict[str, Any]) -> None:
    found = running.client.get(f"/v1/findings/{done['id']}-1").json()
    assert (found["listing"], found["verdict"], found["match"]["reference"]) == ("L1", "flagged", "r1")
    info = running.app.state.services.holder.borrow().versions
    assert found["versions"]["index"] == info.index and found["versions"]["policy"] == info.policy
    last = running.client.get(f"/v1/findings/{done['id']}-3").json()
    assert (last["verdict"], last["match"]) == ("unreadable", None)
    for name in (f"{done['id']}-4", f"{done['id']}--1", f"{'0' * 28}-0", "nothing", f"{done['id']}-1/../x"):
        assert running.client.get(f"/v1/findings/{name}").status_code == 404, name


def test_the_evidence_of_a_job_shows_photos_of_its_folder(running: Running, done: dict[str, Any]) -> None:
    answer = running.client.get(f"/v1/findings/{done['id']}-0/evidence.png")
    assert answer.status_code == 200, answer.text
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert (picture.format, picture.width) == ("PNG", 1200)
    none = running.client.get(f"/v1/findings/{done['id']}-2/evidence.png")
    assert (none.status_code, none.json()["reason"]) == (404, "no_match")


def test_a_job_has_findings_once_it_is_done_and_until_it_is_forgotten(running: Running) -> None:
    location = add(running.client, "day.csv")
    answer = running.client.get(f"{location}/findings")
    assert (answer.status_code, answer.json()["reason"]) == (409, "not_done")
    assert ended(running.client, location)["state"] == "done"
    assert running.client.get(f"{location}/findings").status_code == 200
    assert running.client.delete(location).status_code == 204
    finding = location.replace("jobs", "findings") + "-0"
    for path in (location, f"{location}/findings", finding):
        assert running.client.get(path).status_code == 404
    assert running.client.delete(location).status_code == 404


def test_a_job_that_runs_is_cancelled(running: Running) -> None:
    locations = [add(running.client, "day.csv") for _ in range(2)]
    for location in reversed(locations):
        assert running.client.delete(location).status_code == 204
        assert running.client.get(location).status_code == 404
    folder = running.place.folder / "state" / "jobs"
    until(lambda: not any((folder / location.rpartition("/")[2]).exists() for location in locations))


@pytest.mark.parametrize(
    "listings",
    ["../policy.toml", "../keys.json", "/etc/passwd", "0.png", "missing.csv", ".", "", "a\0b.csv", "x" * 1500 + ".csv",
     "link.csv", "ftp://example.com/l.csv", "file:///etc/passwd", "data:text/csv,listing_id", "https://example.com/l.exe",
     "s3://bucket/l.csv", "\udcff.csv"],
)  # fmt: skip
def test_a_table_outside_the_folders_and_schemes_is_refused(running: Running, place: Place, listings: str) -> None:
    secret = place.folder / "secret.csv"
    secret.write_text("listing_id,image\nL1,a.png\n")
    link = place.folder / "tables" / "link.csv"
    if not link.is_symlink():
        link.symlink_to(secret)
    body = (
        httpx.Response(200, json={"listings": listings}, default_encoding="utf-8") if "\udcff" not in listings else None
    )
    content = body.content if body is not None else b'{"listings": "\\udcff.csv"}'
    answer = running.client.post("/v1/jobs", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_table_by_address_names_photos_by_address_only(running: Running, place: Place) -> None:
    files = {f"/{at}.png": path.read_bytes() for at, path in enumerate(place.pictures)}
    with web(files) as address:
        files["/l.csv"] = (
            f"listing_id,image\nL0,{address}/0.png\nL1,{place.folder / 'tables' / '1.png'}\nL2,1.png\n".encode()
        )
        job = ended(running.client, add(running.client, f"{address}/l.csv?signature=1"))
        assert (job["state"], job["verdicts"]) == ("done", {"flagged": 1, "unreadable": 2}), job


def test_jobs_take_a_key_for_checks(running: Running, done: dict[str, Any]) -> None:
    for name, status in (("review", 403), ("nothing", 403), ("admin", 200)):
        assert running.client.get("/v1/jobs", headers=running.key(name)).status_code == status
    assert running.client.get("/v1/jobs", headers={"Authorization": ""}).status_code == 401
    assert running.client.get(f"/v1/findings/{done['id']}-0", headers=running.key("review")).status_code == 200
    assert running.client.get(f"/v1/findings/{done['id']}-0", headers=running.key("nothing")).status_code == 403


def test_the_table_is_parquet_whose_row_groups_are_read_alone(tmp_path: Path) -> None:
    from lookalike.service.finding_routes import row_at
    from lookalike.tables.findings import write_findings

    rows = [{"listing_id": f"L{at}", "verdict": "clear", "policy": "p", "encoder": "e"} for at in range(2500)]
    write_findings(rows, tmp_path / "f.parquet")
    assert pq.ParquetFile(tmp_path / "f.parquet").num_row_groups == 3
    found = [row_at(tmp_path / "f.parquet", at) for at in (0, 1023, 1024, 2499, 2500)]
    assert [row and row["listing_id"] for row in found] == ["L0", "L1023", "L1024", "L2499", None]
