"""No address of a listing's photo, however it is spelt or wherever it leads, reaches a server that it may not reach."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from serving import Photos, Place, Running, encoded, photo_server, served

HOSTS = [
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "0177.0.0.1", "127.0.0.1.",
    "0", "0.0.0.0", "localhost", "LOCALHOST", "localhost.", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "１２７.0.0.1", "①②⑦.⓪.⓪.①",
    "127。0。0。1", "user@127.0.0.1", "example.com@127.0.0.1", "example.com:80@127.0.0.1", "example.com%2f@127.0.0.1",
    "rebound.example", "%31%32%37.0.0.1", "127.0.0.1%00.example.com", "[::1%25lo]",
]  # fmt: skip
SPELLINGS = [
    "http://example.com\\@127.0.0.1:{port}/picture/0", "http:\\\\127.0.0.1:{port}/picture/0",
    "http:127.0.0.1:{port}/picture/0",
    "http:///127.0.0.1:{port}/picture/0", "http://127.0.0.1\t:{port}/picture/0", " http://127.0.0.1:{port}/picture/0",
    "HTTP://127.0.0.1:{port}/picture/0", "//127.0.0.1:{port}/picture/0", "http://[127.0.0.1]:{port}/picture/0",
    "file://127.0.0.1:{port}/picture/0", "ftp://127.0.0.1:{port}/picture/0", "https://127.0.0.1:{port}/picture/0",
    "http://127.0.0.1:{port}\r\nHost: example.com/picture/0", "simplecache::http://127.0.0.1:{port}/picture/0",
]  # fmt: skip


@pytest.fixture
def forbidden(place: Place) -> Iterator[Photos]:
    """It must not be reached."""
    with photo_server(place.pictures) as server:
        yield server


@pytest.fixture(scope="module")
def running(place: Place) -> Iterator[Running]:
    with served(place, private=False, photo_seconds=2) as server:
        yield server


@pytest.fixture(autouse=True)
def rebound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of somebody else's that leads to this machine; no other name is asked for."""
    ask = socket.getaddrinfo

    def asked(host: Any, *more: Any, **others: Any) -> Any:
        if host in ("rebound.example", b"rebound.example"):
            host = "127.0.0.1"
        elif isinstance(host, str) and host.rstrip(".").endswith(("example", "example.com")):
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return ask(host, *more, **others)

    monkeypatch.setattr(socket, "getaddrinfo", asked)


def test_no_forged_host_reaches_the_forbidden_server(running: Running, forbidden: Photos) -> None:
    assert len(HOSTS) == 33
    for host in HOSTS:
        found = running.check({"url": f"http://{host}:{forbidden.port}/picture/0"})
        assert found["verdict"] == "unreadable", host
        assert found["photos"][0]["reason"] in ("private_address", "network", "missing"), (host, found["photos"])
    assert not forbidden.asked


def test_no_odd_spelling_reaches_the_forbidden_server(running: Running, forbidden: Photos) -> None:
    for spelling in SPELLINGS:
        found = running.check({"url": spelling.format(port=forbidden.port)})
        assert found["verdict"] == "unreadable", spelling
    assert not forbidden.asked


@pytest.fixture
def allowed(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Photos]:
    """The one server that counts as public."""
    monkeypatch.setattr("lookalike.model.fetching.is_public", lambda address: address == "127.0.0.3")
    with Photos(place.pictures, host="127.0.0.3") as server:
        yield server
        server.shutdown()


def test_no_redirect_leads_to_the_forbidden_server(running: Running, forbidden: Photos, allowed: Photos) -> None:
    here = f"http://127.0.0.3:{allowed.port}"
    assert running.check({"url": f"{here}/to?url=/picture/1"})["match"]["reference"] == "r1"
    targets = [f"http://{host}:{forbidden.port}/picture/0" for host in HOSTS]
    targets += [f"//127.0.0.1:{forbidden.port}/picture/0", f"file://127.0.0.1:{forbidden.port}/picture/0",
                f"{here}/to?url=http://127.0.0.1:{forbidden.port}/picture/0"]  # fmt: skip
    for target in targets:
        found = running.check({"url": f"{here}/to?url={target.replace('%', '%25')}"})
        assert found["verdict"] == "unreadable", target
    assert not forbidden.asked
    assert allowed.asked["/to"] >= len(targets)


def test_with_a_list_of_hosts_no_other_is_reached_by_no_redirect_either(place: Place, forbidden: Photos) -> None:
    with served(place, hosts={"localhost"}) as server:
        here = f"http://localhost:{forbidden.port}"
        assert server.check({"url": f"{here}/picture/1"})["match"]["reference"] == "r1"
        for path in (f"http://127.0.0.1:{forbidden.port}/picture/0",
                     f"{here}/to?url=http://127.0.0.1:{forbidden.port}/picture/0"):  # fmt: skip
            assert server.check({"url": path})["photos"][0]["reason"] == "host"
        assert forbidden.asked["/picture/0"] == 0


def test_references_are_fetched_no_further_than_listings(running: Running, forbidden: Photos) -> None:
    for host in HOSTS[::4]:
        photo = {"url": f"http://{host}:{forbidden.port}/picture/0"}
        body = {"product": "p", "brand": "Acme", "photo": photo}
        answer = running.client.put("/v1/references/new", json=body)
        assert (answer.status_code, answer.json()["reason"]) == (422, "photo"), host
    assert not forbidden.asked


@pytest.mark.parametrize(
    ("path", "seconds", "reason"),
    [("endless", 20.0, "too_large"), ("drip", 1.0, "timeout"), ("slow?seconds=60", 1.0, "timeout")],
)
def test_endless_and_slow_servers_hold_nobody_up(
    place: Place, forbidden: Photos, path: str, seconds: float, reason: str
) -> None:
    with served(place, photo_seconds=seconds, photo_bytes=2_000_000) as server:
        found = server.check(*[{"url": f"{forbidden.address}/{path}"}] * 8, encoded(place.pictures[2]))
        assert [each["reason"] for each in found["photos"]] == [reason] * 8 + [None]
        assert found["match"]["reference"] == "r2"
