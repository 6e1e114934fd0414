"""A finding is there after its answer, also after a restart, with the picture that shows why."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from serving import Place, Running, place_in, served

from lookalike.errors import LookalikeError
from lookalike.scripts.benchmarks.served import web
from lookalike.service.background import opened, require_free


@pytest.fixture(scope="module")
def running(place: Place) -> Iterator[Running]:
    with served(place, private=True) as server:
        yield server


def check(running: Running, photo: bytes | str) -> dict[str, Any]:
    given = {"url": photo} if isinstance(photo, str) else {"base64": base64.b64encode(photo).decode()}
    answer = running.client.post("/v1/check", json={"id": "L1", "photos": [given]})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def evidence(running: Running, found: dict[str, Any]) -> httpx.Response:
    return running.client.get(f"/v1/findings/{found['finding']}/evidence.png")


def test_a_finding_is_what_was_answered(running: Running, place: Place) -> None:
    found = check(running, place.pictures[1].read_bytes())
    again = running.client.get(f"/v1/findings/{found['finding']}")
    assert again.json() == found
    assert again.headers["cache-control"] == "private, no-store"
    assert running.client.get("/v1/findings/nothing").status_code == 404
    assert running.client.get(f"/v1/findings/{found['finding']}", headers=running.key("nothing")).status_code == 403


def test_the_evidence_is_drawn_from_the_photo_that_was_sent(running: Running, place: Place) -> None:
    answer = evidence(running, check(running, place.pictures[1].read_bytes()))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png"), answer.text
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert picture.width == 1200


def test_a_restart_forgets_neither_finding_nor_photo(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    with served(place) as running:
        found = check(running, place.pictures[0].read_bytes())
    with served(place) as running:
        assert running.client.get(f"/v1/findings/{found['finding']}").json() == found
        data = place.pictures[0].read_bytes()
        assert running.app.state.background.photos.get(found["match"]["photo_sha256"]) == data


def test_where_no_photos_are_kept_the_evidence_says_so(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    with served(place, keep_photos_bytes=0) as running:
        found = check(running, place.pictures[0].read_bytes())
        answer = evidence(running, found)
        assert (answer.status_code, answer.json()["reason"]) == (404, "photo_not_kept")
        assert "keep_photos_bytes" in answer.json()["detail"]
    assert not [path for path in (tmp_path / "state" / "photos").rglob("*") if path.is_file()]


def test_a_photo_by_address_is_read_again_unless_it_is_another_one_now(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    files = {f"/{at}.png": path.read_bytes() for at, path in enumerate(place.pictures)}
    with web(files) as address, served(place, keep_photos_bytes=0, private=True) as running:
        found = check(running, f"{address}/0.png")
        assert evidence(running, found).status_code == 200
        changed = check(running, f"{address}/1.png")
        files["/1.png"] = files["/2.png"]
        answer = evidence(running, changed)
        assert (answer.status_code, answer.json()["reason"]) == (404, "photo_changed")
        gone = check(running, f"{address}/3.png")
        del files["/3.png"]
        answer = evidence(running, gone)
        assert (answer.status_code, answer.json()["reason"]) == (404, "photo_unreadable")


def test_a_genuine_photo_that_is_gone_is_said_without_its_path(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    with served(place) as running:
        found = check(running, place.pictures[0].read_bytes())
        place.pictures[0].unlink()
        answer = evidence(running, found)
        assert (answer.status_code, answer.json()["reason"]) == (404, "photo_unreadable")
        assert str(tmp_path) not in answer.text


def test_a_finding_without_a_match_has_no_evidence(running: Running) -> None:
    answer = evidence(running, check(running, b"no picture"))
    assert (answer.status_code, answer.json()["reason"]) == (404, "no_match")


def test_a_second_server_on_the_same_state_is_refused(place: Place, running: Running) -> None:
    with pytest.raises(LookalikeError, match="another server keeps its state in"):
        require_free(place.settings())
    with pytest.raises(LookalikeError, match="another server keeps its state in"), opened(place.settings()):
        pass
