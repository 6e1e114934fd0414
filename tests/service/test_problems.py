"""Every error is a problem of one shape, and the schema says which there are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from serving import Running, encoded, photo_server, place_in, served
from workers import until

from lookalike import Detector, Finding, Listing
from lookalike.errors import EncoderError, IndexDamagedError


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with served(place_in(tmp_path_factory.mktemp("place"))) as server:
        yield server


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404), ("GET", "/v1/", 404), ("GET", "/v1/check/", 404), ("GET", "/v1/check", 405),
        ("DELETE", "/healthz", 405), ("POST", "/v1/info", 405), ("TRACE", "/v1/info", 405), ("GET", "/docs", 404),
    ],
)  # fmt: skip
def test_unknown_paths_and_methods_are_problems(running: Running, method: str, path: str, status: int) -> None:
    answer = running.client.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    body = answer.json()
    assert set(body) == {"type", "title", "status", "detail", "reason"} and body["status"] == status
    assert answer.headers["cache-control"] == "no-store"


def test_a_fault_with_one_listing_of_a_batch_costs_the_others_nothing(
    running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    judge = Detector.judge

    def fails(detector: Detector, listing: Listing, *more: Any, **others: Any) -> Finding:
        if listing.id == "L1":
            raise ZeroDivisionError("a secret of the inside")
        return judge(detector, listing, *more, **others)

    monkeypatch.setattr(Detector, "judge", fails)
    photo = encoded(running.place.pictures[0])
    body = {"listings": [{"id": f"L{at}", "photos": [photo]} for at in range(3)]}
    answer = running.client.post("/v1/check:batch", json=body)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["status"] for line in lines] == [200, 500, 200]
    assert lines[1]["problem"]["reason"] == "fault" and "secret" not in answer.text
    assert "a secret of the inside" in caplog.text


def test_a_client_that_goes_away_in_the_middle_of_a_batch_leaves_nothing_behind(running: Running) -> None:
    with photo_server(running.place.pictures) as photos:
        slow = {"id": "L", "photos": [{"url": f"{photos.address}/slow?seconds=0.5"}]}
        with running.client.stream("POST", "/v1/check:batch", json={"listings": [slow] * 100}) as answer:
            next(answer.iter_lines())
        checks = running.services.checks
        until(lambda: not checks.waiting and not checks.room.taken)
        asked = photos.asked["/slow"]
        assert asked < 50, "what nobody waits for is still fetched"


@pytest.mark.parametrize("error", [EncoderError("/srv/weights failed"), IndexDamagedError("/srv/index is damaged")])
def test_what_the_library_cannot_do_now_is_unavailable_and_the_next_check_works(
    running: Running, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    photo = {"photos": [encoded(running.place.pictures[0])]}
    encoder = running.services.holder.borrow().detector.encoder
    with monkeypatch.context() as patch:

        def fails(*_: object) -> None:
            raise error

        patch.setattr(encoder, "embed", fails)
        answer = running.client.post("/v1/check", json={"id": "L", **photo})
        assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
        batch = running.client.post("/v1/check:batch", json={"listings": [{"id": "L", **photo}]})
        line = batch.json()
        assert (batch.status_code, line["status"], line["problem"]["reason"]) == (200, 503, "unavailable")
        assert "/srv" not in answer.text + batch.text, "the server's own path"
    assert running.check(photo["photos"][0])["verdict"] == "flagged"
    assert running.services.checks.room.taken == 0 and running.services.checks.waiting == 0


def test_the_schema_says_what_every_route_answers(running: Running) -> None:
    schema = running.client.get("/openapi.json").json()
    assert "ProblemBody" in schema["components"]["schemas"]
    for path, each in schema["paths"].items():
        for method, route in each.items():
            for status, said in route["responses"].items():
                if int(status) >= 400:
                    assert list(said["content"]) == ["application/problem+json"], (method, path, status)
            if path not in ("/healthz", "/readyz"):
                assert {"401", "403", "429"} <= set(route["responses"]) and route["security"], (method, path)
