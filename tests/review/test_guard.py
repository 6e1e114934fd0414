"""Without the token nothing answers, a foreign page reaches nothing, and nothing but the app's own files runs."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from reviewed import Client, Shop, served, shop_in

from lookalike.review.guard import POLICY

PATHS = (
    "/", "/next", "/finding/0", "/assets/review.js", "/assets/review.css", "/photo/0/0.jpg", "/genuine/0/0.jpg",
    "/evidence/0/0.json", "/evidence/0/0/view-genuine.jpg", "/live", "/live/figures?precision=0.95", "/cases",
    "/nothing",
)  # fmt: skip
POSTS = ("/verdict", "/undo", "/skip", "/open", "/reopen", "/live/save", "/live/compare", "/case", "/bundle")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return shop_in(tmp_path_factory.mktemp("shop"), 12)


@pytest.fixture
def stranger(shop: Shop, tmp_path: Path) -> Iterator[Client]:
    """Knows where the review is, and not its token."""
    with shop.review(tmp_path / "v.jsonl") as app, served(app, entered=False) as client:
        yield client


def test_without_the_token_nothing_answers(stranger: Client, tmp_path: Path) -> None:
    for path in PATHS:
        assert stranger.ask(path)[0] == 403, path
    for path in POSTS:
        assert stranger.ask(path, {"place": 0, "verdict": "lookalike"})[0] == 403, path
    for cookie in ("", "lookalike-review=x", f"lookalike-review-{stranger.host.split(':')[1]}=x", "=;;=", "a=\x01"):
        assert stranger.ask("/next", Cookie=cookie)[0] == 403
    assert stranger.ask("/?token=guessed")[0] == 403
    assert not (tmp_path / "v.jsonl").exists()


def test_the_token_opens_the_review_once(stranger: Client) -> None:
    stranger.enter()
    assert stranger.ask("/next")[0] == 200
    second = Client(stranger.address)
    status, headers, body = second.ask(stranger.address.partition(stranger.host)[2])
    assert status == 403 and "set-cookie" not in headers
    assert b"opens the review once" in body


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(stranger: Client) -> None:
    _, headers, _ = stranger.ask(stranger.address.partition(stranger.host)[2])
    assert "; HttpOnly; SameSite=Strict; Path=/" in headers["set-cookie"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Host": "evil.example"}, 421),
        ({"Host": "localhost:80"}, 421),
    ],
)
def test_a_foreign_origin_or_name_is_refused_though_it_has_the_cookie(
    stranger: Client, tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    stranger.enter()
    verdict = {"place": 0, "verdict": "lookalike"}
    assert stranger.ask("/verdict", verdict, **headers)[0] == status
    assert stranger.ask("/next", **headers)[0] == status
    assert not (tmp_path / "v.jsonl").exists()
    assert stranger.ask("/verdict", verdict, Origin=f"http://{stranger.host}", Sec_Fetch_Site="same-origin")[0] == 200


def test_every_answer_forbids_all_that_is_not_the_apps_own(stranger: Client) -> None:
    answers = [stranger.ask("/next")]
    stranger.enter()
    answers += [stranger.ask(path) for path in PATHS]
    answers += [stranger.ask(path, {}) for path in POSTS]
    for _, headers, _ in answers:
        assert headers["content-security-policy"] == POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "unsafe" not in POLICY and "http" not in POLICY and "default-src 'none'" in POLICY
    for name in ("/", "/live", "/cases"):
        text = stranger.ask(name)[2].decode()
        assert "<style" not in text and "style=" not in text and "onclick" not in text
        assert all("src=" in tag.partition(">")[0] for tag in text.split("<script")[1:])


def test_methods_that_the_page_does_not_use_are_refused(stranger: Client) -> None:
    stranger.enter()
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"):
        assert stranger.ask("/next", method=method)[0] == 405
    assert stranger.ask("/verdict")[0] == 405


@pytest.mark.parametrize(
    ("body", "content", "status"),
    [
        (b"x" * (1 << 16) + b"x", "application/json", 413),
        (b"[" * 100_000, "application/json", 413),
        (b"[" * 60_000, "application/json", 400),
        (b"not json", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"place": 0, "verdict": "lookalike"}', "text/plain", 400),
        (b'{"place": 0, "verdict": "lookalike"}', "application/x-www-form-urlencoded", 400),
    ],
)
def test_a_body_that_is_not_a_small_json_object_is_refused(
    stranger: Client, body: bytes, content: str, status: int
) -> None:
    stranger.enter()
    assert stranger.ask("/verdict", body=body, Content_Type=content)[0] == status


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"place": 99, "verdict": "lookalike"},
        {"place": -1, "verdict": "lookalike"},
        {"place": "0", "verdict": "lookalike"},
        {"place": True, "verdict": "lookalike"},
        {"place": 0, "verdict": "counterfeit"},
        {"place": 0, "verdict": ["lookalike"]},
        {"place": 0, "verdict": "lookalike", "note": 7},
        {"place": 0, "verdict": "lookalike", "note": "x" * 5000},
        {"place": 0, "verdict": "lookalike", "seconds": "soon"},
        {"place": 0, "verdict": "lookalike", "seconds": -1},
        {"place": 0, "verdict": "other_product", "instead": 99},
        {"place": 0, "verdict": "lookalike", "instead": 0},
    ],
)
def test_a_verdict_that_makes_no_sense_is_refused_in_one_line(
    stranger: Client, tmp_path: Path, values: dict[str, object]
) -> None:
    stranger.enter()
    status, _, body = stranger.ask("/verdict", values)
    assert status in (400, 409) and body.count(b"\n") == 1, json.dumps(values)
    assert not (tmp_path / "v.jsonl").exists()


def test_only_this_machine_is_listened_on(stranger: Client) -> None:
    port = int(stranger.host.split(":")[1])
    with socket.socket() as other:
        other.bind(("127.0.0.2", port))  # free, so the server has not taken every address
