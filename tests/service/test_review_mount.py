"""A browser signs in to the review with its key, and nothing but the review's own pages reaches it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from reviewed import shop_in
from serving import POLICY, Place, Running, place_in, served
from workers import until

from lookalike.review.guard import POLICY as CONTENT_POLICY
from lookalike.service.keys import add_key, remove_key
from lookalike.tables.verdicts import verdict_file


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """For tests that change nothing."""
    with reviewing(tmp_path_factory.mktemp("reviewing")) as server:
        yield server


@pytest.fixture
def changing(tmp_path: Path) -> Iterator[Running]:
    """For tests that judge, or change keys or findings."""
    with reviewing(tmp_path) as server:
        yield server


def reviewing(folder: Path) -> Any:
    (folder / "shop").mkdir()
    shop = shop_in(folder / "shop", 12)
    POLICY.save(folder / "policy.toml")
    scopes = {"check": ["check"], "admin": ["admin"], "anna": ["review"], "ben": ["review", "check"]}
    keys = {name: add_key(folder / "keys.json", name, each) for name, each in scopes.items()}
    place = Place(folder, [], keys)
    return served(place, index=str(shop.index), policy=str(shop.policy), findings=shop.findings,
                  verdicts=str(folder / "verdicts.jsonl"))  # fmt: skip


@contextmanager
def browser(running: Running, name: str | None = None) -> Iterator[httpx.Client]:
    """A browser, signed in with a key."""
    with httpx.Client(base_url=running.address, timeout=30) as client:
        if name is not None:
            answer = client.post("/review/sign-in", data={"key": running.place.keys[name]}, headers=own(running))
            assert (answer.status_code, answer.headers["location"]) == (303, "./"), answer.text
        yield client


def own(running: Running) -> dict[str, str]:
    return {"Origin": running.address, "Sec-Fetch-Site": "same-origin"}


def test_a_key_opens_the_review_under_its_name(changing: Running) -> None:
    for name, judged in (("anna", "lookalike"), ("ben", "not_lookalike")):
        with browser(changing, name) as client:
            page = client.get("/review/")
            assert page.status_code == 200 and name in page.text
            state = client.get("/review/next").json()
            said = {"place": state["place"], "verdict": judged}
            assert client.post("/review/verdict", json=said, headers=own(changing)).status_code == 200
            assert client.get(f"/review/photo/{state['place']}/0.jpg").headers["content-type"] == "image/jpeg"
    verdicts = verdict_file(changing.place.folder / "verdicts.jsonl").entries()
    assert [(entry.said.who, str(entry.said.verdict)) for entry in verdicts] == [
        ("anna", "lookalike"), ("ben", "not_lookalike"),
    ]  # fmt: skip


def test_without_signing_in_there_is_a_form_and_nothing_else(running: Running) -> None:
    with browser(running) as client:
        page = client.get("/review", follow_redirects=True)
        assert page.url.path == "/review/" and page.status_code == 401 and 'action="sign-in"' in page.text
        assert client.get("/review/assets/review.css").status_code == 200
        for path in (
            "next",
            "finding/0",
            "photo/0/0.jpg",
            "live",
            "cases",
            "assets/review.js",
            "nothing",
            "assets/../x",
        ):
            assert client.get(f"/review/{path}").status_code == 401, path
        for path in ("verdict", "undo", "skip", "live/save", "bundle"):
            assert client.post(f"/review/{path}", json={"place": 0}, headers=own(running)).status_code == 401, path
        for cookie in ("x", "", '"; x', "a" * 3000):
            assert client.get("/review/next", headers={"Cookie": f"lookalike-review={cookie}"}).status_code == 401
    assert not (running.place.folder / "verdicts.jsonl").exists()


@pytest.mark.parametrize("key", ["", "guessed", "lk_" + "A" * 43, "\udce4", "check's"])
def test_a_key_that_is_unknown_or_for_something_else_is_refused(running: Running, key: str) -> None:
    key = running.place.keys["check"] if key == "check's" else key
    with browser(running) as client:
        data = b"key=" + key.encode("utf-8", "surrogateescape")
        answer = client.post("/review/sign-in", content=data, headers=own(running))
        assert answer.status_code == 403 and "set-cookie" not in answer.headers
        assert "lacks the scope review" in answer.text and (not key or key not in answer.text)
        many = b"&".join(b"key=x" for _ in range(500))
        assert client.post("/review/sign-in", content=many, headers=own(running)).status_code in (400, 403)
        assert client.post("/review/sign-in", content=b"key=" + b"x" * 5000, headers=own(running)).status_code == 413


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_origins_are_refused_though_they_have_the_cookie(
    running: Running, headers: dict[str, str]
) -> None:
    with browser(running, "anna") as client:
        said = {"place": 0, "verdict": "lookalike"}
        assert client.post("/review/verdict", json=said, headers=headers).status_code == 403
        key = {"key": running.place.keys["anna"]}
        assert client.post("/review/sign-in", data=key, headers=headers).status_code == 403
        for method in ("PUT", "DELETE", "OPTIONS"):
            assert client.request(method, "/review/next").status_code == 405
    assert not (running.place.folder / "verdicts.jsonl").exists()


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(running: Running) -> None:
    with browser(running) as client:
        key = {"key": running.place.keys["anna"]}
        answer = client.post("/review/sign-in", data=key, headers=own(running))
        assert "; HttpOnly; SameSite=Strict; Path=/" in answer.headers["set-cookie"]
        assert running.place.keys["anna"] not in answer.headers["set-cookie"]


def test_every_answer_forbids_all_that_is_not_the_apps_own(running: Running) -> None:
    with browser(running) as client:
        form = client.get("/review/").headers
        assert form["content-security-policy"] == CONTENT_POLICY.replace("form-action 'none'", "form-action 'self'")
        assert form["referrer-policy"] == "same-origin", "else the browser sends the form with the origin null"
    with browser(running, "anna") as client:
        for path in ("", "next", "nothing", "live", "photo/0/0.jpg", "assets/review.js"):
            headers = client.get(f"/review/{path}").headers
            assert headers["content-security-policy"] == CONTENT_POLICY, path
            assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")


def test_a_key_that_is_removed_or_made_anew_ends_its_sessions(changing: Running) -> None:
    file = changing.place.folder / "keys.json"
    with browser(changing, "anna") as anna, browser(changing, "ben") as ben:
        assert anna.get("/review/next").status_code == ben.get("/review/next").status_code == 200
        remove_key(file, "anna")
        add_key(file, "ben", ["review"])
        until(lambda: anna.get("/review/next").status_code == 401)
        until(lambda: ben.get("/review/next").status_code == 401)


def test_a_table_that_was_replaced_is_shown_when_the_page_is_loaded(changing: Running) -> None:
    table = changing.app.state.services.settings.findings
    with browser(changing, "anna") as client:
        assert client.get("/review/").status_code == 200
        total = client.get("/review/next").json()["total"]
        (changing.place.folder / "other").mkdir()
        other = shop_in(changing.place.folder / "other", 24)
        table.write_bytes(other.findings.read_bytes())
        assert client.get("/review/next").json()["total"] == total
        client.get("/review/")
        assert client.get("/review/next").json()["total"] > total
        table.write_bytes(b"no table")
        answer = client.get("/review/")
        assert answer.status_code == 503 and "can't be opened" in answer.text


def test_without_findings_in_the_settings_there_is_no_review(tmp_path: Path) -> None:
    with served(place_in(tmp_path)) as running:
        assert running.client.get("/review/").status_code == 404
