"""Nothing but health without a key, nothing beyond a key's scopes, nothing for other origins, and not too often."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import httpx
import pytest
from serving import Place, Running, encoded, served
from workers import until

from lookalike.service.keys import add_key, remove_key

OPEN = {"/healthz", "/readyz"}
ADMIN = ("/v1/references", "/v1/harmless", "/v1/admin")
CHECK = ("/v1/check", "/v1/jobs")
EITHER = ("/v1/findings",)


@pytest.fixture(scope="module")
def stranger(running: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.address, timeout=30) as client:
        yield client


def routes(running: Running) -> list[tuple[str, str]]:
    """Every method and path of the schema."""
    paths = running.client.get("/openapi.json").json()["paths"]
    found = [(method.upper(), re.sub(r"{.*?}", "x", path)) for path, each in paths.items() for method in each]
    assert len(found) > 10
    return found


def is_problem(answer: httpx.Response, status: int, reason: str) -> bool:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert body["status"] == answer.status_code
    return (answer.status_code, body["reason"]) == (status, reason)


def test_without_a_key_nothing_answers_but_health(running: Running, stranger: httpx.Client) -> None:
    for method, path in [*routes(running), ("GET", "/openapi.json"), ("GET", "/docs"), ("GET", "/nothing")]:
        answer = stranger.request(method, path)
        if path in OPEN:
            assert answer.status_code == 200
        else:
            assert is_problem(answer, 401, "key"), (method, path)
            assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "given",
    ["", "Bearer", "Bearer wrong", "Basic {}", "{}", "Bearer {}x", "Bearer x{}", "Bearer é", "bearer\t{}"],
)
def test_a_wrong_key_is_none(running: Running, stranger: httpx.Client, given: str) -> None:
    header = given.format(running.place.keys["admin"]).encode("latin-1")
    assert is_problem(stranger.get("/v1/info", headers=[(b"Authorization", header)]), 401, "key")


def test_a_key_opens_what_its_scopes_say_and_no_more(running: Running) -> None:
    for method, path in routes(running):
        needed = {"admin"} if path.startswith(ADMIN) else {"check"} if path.startswith(CHECK) else set()
        needed |= {"check", "review"} if path.startswith(EITHER) else set()
        for name in ("check", "review", "nothing"):
            answer = running.client.request(method, path, headers=running.key(name), content=b"")
            refused = bool(needed) and name not in needed
            assert (answer.status_code == 403) is refused, (method, path, name)
            if refused:
                assert is_problem(answer, 403, "scope")


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null", "http://127.0.0.1:1"])
def test_pages_of_other_origins_are_refused(running: Running, origin: str) -> None:
    listing = {"id": "L", "photos": [encoded(running.place.pictures[0])]}
    assert is_problem(running.client.post("/v1/check", json=listing, headers={"Origin": origin}), 403, "origin")
    preflight = running.client.options(
        "/v1/check", headers={"Origin": origin, "Access-Control-Request-Method": "POST"}
    )  # fmt: skip
    assert is_problem(preflight, 403, "origin")
    assert not [name for name in preflight.headers if name.startswith("access-control-")]
    own = running.client.post("/v1/check", json=listing, headers={"Origin": running.address})
    assert own.status_code == 200


def test_a_key_that_asks_too_often_is_told_to_wait_and_others_are_not(place: Place) -> None:
    with served(place, rate_per_minute=20) as server:
        answers = [server.client.get("/v1/info", headers=server.key("nothing")) for _ in range(30)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert [answer.status_code for answer in answers[:20]] == [200] * 20 and refused
        assert is_problem(refused[0], 429, "rate") and int(refused[0].headers["retry-after"]) >= 1
        assert server.client.get("/v1/info").status_code == 200
        time.sleep(int(refused[-1].headers["retry-after"]) + 0.5)
        assert server.client.get("/v1/info", headers=server.key("nothing")).status_code == 200


def test_keys_that_are_added_or_removed_count_without_a_restart(running: Running, stranger: httpx.Client) -> None:
    path = running.place.folder / "keys.json"

    def status(key: str) -> int:
        return stranger.get("/v1/info", headers={"Authorization": f"Bearer {key}"}).status_code

    key = add_key(path, "late", ["check"])
    until(lambda: status(key) == 200)
    path.with_name("broken").write_text("{")
    before = path.read_bytes()
    path.write_text("{")  # a file that can't be read locks nobody out
    time.sleep(0.2)
    assert status(key) == 200
    path.write_bytes(before)
    remove_key(path, "late")
    until(lambda: status(key) == 401)
