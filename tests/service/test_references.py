"""References and harmless photos come and go over HTTP, and the next check sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from serving import Place, Running, encoded, photo_server, place_in, served
from toy import ToyEncoder, save_pictures

from lookalike.disk import LOCK
from lookalike.index.build import remove_references
from lookalike.index.reference_index import ReferenceIndex


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with served(place_in(tmp_path)) as server:
        yield server


@pytest.fixture
def fresh(tmp_path: Path) -> dict[str, str]:
    return encoded(save_pictures(tmp_path / "fresh", 1, seed=9)[0])


def kept(running: Running) -> list[str]:
    """What is kept of references in the state folder."""
    state = running.place.folder / "state"
    return sorted(path.name for part in ("references", "imports") for path in state.glob(f"{part}/*"))


def test_a_reference_that_was_put_is_found_by_the_next_check(running: Running, fresh: dict[str, str]) -> None:
    assert running.check(fresh)["verdict"] != "flagged"
    body = {"product": "p new", "brand": "Beta", "photo": fresh}
    put = running.client.put("/v1/references/new", json=body)
    assert put.status_code == 201, put.text
    found = running.check(fresh)
    assert (found["verdict"], found["match"]["reference"], found["match"]["brand"]) == ("flagged", "new", "Beta")
    assert found["versions"]["index"] == put.json()["index"]
    assert running.client.get("/v1/references/new").json() == put.json()
    assert running.client.put("/v1/references/new", json=body).status_code == 200
    loaded = ReferenceIndex.load(running.place.index)
    assert loaded.digest == put.json()["index"] and loaded.image_sha256("new") == put.json()["sha256"]


def test_a_reference_that_was_deleted_is_found_no_more_and_leaves_nothing(
    running: Running, fresh: dict[str, str]
) -> None:
    path = "/v1/references/a%2Fb%20%C3%BC"
    put = running.client.put(path, json={"product": "p", "brand": "Beta", "photo": fresh})
    assert put.json()["id"] == "a/b ü"
    assert kept(running) == [put.json()["sha256"]]
    assert running.client.delete(path).status_code == 204
    assert running.check(fresh)["verdict"] != "flagged"
    assert kept(running) == []
    for method in ("GET", "DELETE"):
        answer = running.client.request(method, path)
        assert (answer.status_code, answer.json()["reason"]) == (404, "not_found")


def test_the_photo_of_a_replaced_reference_is_not_kept(running: Running, tmp_path: Path) -> None:
    for seed in (11, 12):
        photo = encoded(save_pictures(tmp_path / "seeds", 1, seed=seed)[0])
        put = running.client.put("/v1/references/new", json={"product": "p", "brand": "Beta", "photo": photo})
        assert kept(running) == [put.json()["sha256"]]


def test_the_last_reference_stays(running: Running) -> None:
    remove_references(index=running.place.index, references=[f"r{at}" for at in range(1, 6)])
    assert running.client.post("/v1/admin/reload").json()["references"] == 1
    answer = running.client.delete("/v1/references/r0")
    assert (answer.status_code, answer.json()["reason"]) == (409, "last")
    assert running.client.delete("/v1/references/r1").status_code == 404
    assert running.check(encoded(running.place.pictures[0]))["match"]["reference"] == "r0"


def test_a_harmless_photo_takes_its_likeness_out_of_findings(running: Running, tmp_path: Path) -> None:
    from PIL import Image, ImageEnhance

    near = tmp_path / "near.png"
    ImageEnhance.Brightness(Image.open(running.place.pictures[0])).enhance(0.8).save(near)
    assert running.check(encoded(near))["verdict"] == "flagged"
    put = running.client.put("/v1/harmless/h", json={"photo": encoded(near)})
    assert put.status_code == 201, put.text
    found = running.check(encoded(near))
    assert (found["verdict"], found["match"]["suppressed_by"]) == ("clear", "h")
    assert found["versions"]["harmless"] == put.json()["index"]
    assert running.client.get("/v1/harmless/h").json()["sha256"] == put.json()["sha256"]
    assert running.client.delete("/v1/harmless/h").status_code == 204
    assert running.check(encoded(near))["verdict"] == "flagged"
    assert running.client.delete("/v1/harmless/h").status_code == 404
    assert kept(running) == []


@pytest.mark.parametrize(
    "photo", [{"base64": "bm8gcGljdHVyZQ=="}, {"url": "/etc/passwd"}, {"url": "http://127.0.0.1:9/a"}]
)
def test_a_photo_that_cannot_be_read_adds_nothing(running: Running, photo: dict[str, str]) -> None:
    digest = ReferenceIndex.load(running.place.index).digest
    answer = running.client.put("/v1/references/new", json={"product": "p", "brand": "Beta", "photo": photo})
    assert (answer.status_code, answer.json()["reason"]) == (422, "photo")
    assert ReferenceIndex.load(running.place.index).digest == digest
    assert running.client.get("/v1/references/new").status_code == 404
    assert kept(running) == []


def test_a_table_is_imported_and_rows_that_cannot_be_used_are_said(running: Running, tmp_path: Path) -> None:
    with photo_server(save_pictures(tmp_path / "seeds", 2, seed=13)) as photos:
        images = [f"{photos.address}/picture/0", f"{photos.address}/picture/1", f"{photos.address}/no", "a/b.jpg"]
        rows = [[f"x{at}", image, f"p{at}x", "Beta"] for at, image in enumerate(images)]
        names = ["reference_id", "image", "product_id", "brand"]
        table = "\n".join(",".join(row) for row in [names, *rows])
        answer = running.client.post("/v1/references:import", content=table, headers={"Content-Type": "text/csv"})
        assert answer.status_code == 200, answer.text
        done = answer.json()
        assert (done["references"], done["embedded"], done["failures"]) == (8, 2, 2)
        assert [each["row"] for each in done["failed"]] == ["x2", "x3"]
        assert done["failed"][1]["error"].startswith("a/b.jpg: ")
        assert done["index"] == ReferenceIndex.load(running.place.index).digest
        assert running.check({"url": f"{photos.address}/picture/1"})["match"]["reference"] == "x1"
        lines = "\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows[:1])
        again = running.client.post(
            "/v1/references:import", content=lines, headers={"Content-Type": "application/jsonl"}
        )  # fmt: skip
        assert (again.json()["references"], again.json()["reused"]) == (8, 1)
        assert kept(running) == []


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        ("text/csv", b""),
        ("text/csv", b"a,b\n1,2\n"),
        ("text/csv", b"\xff\xfe\x00"),
        ("application/jsonl", b"{"),
        ("application/vnd.apache.parquet", b"PAR1 no parquet"),
    ],
)
@pytest.mark.parametrize("name", ["references", "harmless"])
def test_what_is_no_table_is_refused(running: Running, name: str, kind: str, table: bytes) -> None:
    answer = running.client.post(f"/v1/{name}:import", content=table, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["reason"]) == (422, "table")
    assert "imports" not in answer.text, "the server's own path"
    assert kept(running) == []


def test_a_change_waits_for_another_process_and_says_if_that_takes_too_long(
    running: Running, fresh: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookalike.service.changes._BUSY", 0.3)
    body = {"product": "p", "brand": "Beta", "photo": fresh}
    with FileLock(running.place.index / LOCK):
        answer = running.client.put("/v1/references/new", json=body)
    assert (answer.status_code, answer.json()["reason"]) == (409, "busy")
    assert "retry-after" in answer.headers
    assert running.client.put("/v1/references/new", json=body).status_code == 201


def test_a_change_that_cannot_be_opened_is_kept_and_said(running: Running, fresh: dict[str, str]) -> None:
    good = running.place.policy.read_text()
    running.place.policy.write_text("[thresholds]\nflag = 2\n")
    answer = running.client.put("/v1/references/new", json={"product": "p", "brand": "Beta", "photo": fresh})
    assert (answer.status_code, answer.json()["reason"]) == (503, "not_open")
    assert running.check(fresh)["verdict"] != "flagged", "what was open stays"
    assert len(kept(running)) == 1
    running.place.policy.write_text(good)
    assert running.client.post("/v1/admin/reload").status_code == 200
    assert running.check(fresh)["match"]["reference"] == "new"


def test_what_a_killed_server_left_is_tidied_up_at_the_start(tmp_path: Path) -> None:
    place: Place = place_in(tmp_path)
    for name in ("references", "imports"):
        (tmp_path / "state" / name).mkdir(parents=True)
        (tmp_path / "state" / name / "left").write_bytes(b"x")
    with served(place, encoder=ToyEncoder()) as running:
        assert kept(running) == []
